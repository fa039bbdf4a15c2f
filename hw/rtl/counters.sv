// Cycle counters of a batch, 64 bits each, and the watch over its progress.
//
// Function
//   `begin_run` sets all counters to 0. Then
//   run:       cycles with `running`
//   latency:   cycles from the first beat into the core to the first out of it, both ends counted
//              as clock edges, so 1 is the least
//   stall_in:  cycles with `running`, after the first beat in and while `feeding` (the batch is not
//              wholly inside yet), in which the core was ready and no beat was offered
//   stall_out: cycles with `running` in which the core offered a beat that was not taken
//   A pulse of `keep_<name>` holds that counter's upper half for `high`, from the second cycle after
//   it on, so that two reads of 32 bits fit together while it counts.
//   `timed_out` is a pulse when `running` and nothing `moved` for `limit` cycles; never where `limit`
//   is 0. `limit` stays the same from three cycles before a run to its end.
module counters (
  input  logic        aclk,
  input  logic        aresetn,
  input  logic        begin_run,
  input  logic        running,
  input  logic        feeding,
  input  logic        in_tvalid,
  input  logic        in_tready,
  input  logic        out_tvalid,
  input  logic        out_tready,

  output logic [31:0] run_low,
  output logic [31:0] latency_low,
  output logic [31:0] stall_in_low,
  output logic [31:0] stall_out_low,
  input  logic        keep_run,
  input  logic        keep_latency,
  input  logic        keep_stall_in,
  input  logic        keep_stall_out,
  output logic [31:0] high,

  input  logic [31:0] limit,
  input  logic        moved,
  output logic        timed_out
);
  // What happens, two cycles late, so that the counters are off the streams' paths.
  logic begin_q, running_q, in_beat_q, in_gap_q, out_beat_q, out_gap_q, moving_q;
  always_ff @(posedge aclk) begin
    begin_q <= begin_run;
    running_q <= running;
    in_beat_q <= in_tvalid && in_tready;
    in_gap_q <= feeding && !in_tvalid && in_tready;
    out_beat_q <= out_tvalid && out_tready;
    out_gap_q <= out_tvalid && !out_tready;
    moving_q <= moved;
  end

  logic run_q, latency_q, stall_in_q, stall_out_q, waiting_in_q, waiting_out_q, idle_q;
  always_ff @(posedge aclk) begin
    run_q <= running_q;
    if (in_beat_q) waiting_in_q <= 1'b0;
    if (out_beat_q) waiting_out_q <= 1'b0;
    latency_q <= running_q && waiting_out_q && (!waiting_in_q || in_beat_q) && !out_beat_q;
    stall_in_q <= running_q && !waiting_in_q && in_gap_q;
    stall_out_q <= running_q && out_gap_q;
    idle_q <= running_q && !moving_q && !in_beat_q && !out_beat_q;
    if (begin_q || !aresetn) begin
      waiting_in_q <= 1'b1;
      waiting_out_q <= 1'b1;
    end
  end

  // The upper half follows a cycle late, a chain of 64 carries being too long; and so it is held a
  // cycle late, when it belongs to the lower half that was read.
  logic [3:0] counting, carry_q, keep_q;
  logic [4*32-1:0] low_q, high_q;
  assign counting = {stall_out_q, stall_in_q, latency_q, run_q};
  assign {stall_out_low, stall_in_low, latency_low, run_low} = low_q;
  for (genvar i = 0; i < 4; i++) begin : gen_counter
    always_ff @(posedge aclk) begin
      {carry_q[i], low_q[32*i+:32]} <= {1'b0, low_q[32*i+:32]} + 33'(counting[i]);
      high_q[32*i+:32] <= high_q[32*i+:32] + 32'(carry_q[i]);
      if (begin_q || !aresetn) begin
        carry_q[i] <= 1'b0;
        low_q[32*i+:32] <= '0;
        high_q[32*i+:32] <= '0;
      end
    end
  end
  always_ff @(posedge aclk) begin
    keep_q <= {keep_stall_out, keep_stall_in, keep_latency, keep_run};
    if (keep_q[0]) high <= high_q[31:0];
    if (keep_q[1]) high <= high_q[63:32];
    if (keep_q[2]) high <= high_q[95:64];
    if (keep_q[3]) high <= high_q[127:96];
    if (!aresetn) high <= '0;
  end

`ifdef FORMAL
  // Beside counters of 64 bits: the halves are theirs, and so is what a pulse holds; by induction.
  logic begun_q;  // what is held as a run begins is of no use
  logic [3:0] asked_q;
  always_ff @(posedge aclk) begin
    begun_q <= begin_q || !aresetn;
    asked_q <= {keep_stall_out, keep_stall_in, keep_latency, keep_run};
  end
  for (genvar i = 0; i < 4; i++) begin : gen_proof
    logic [63:0] count_q;
    logic [31:0] upper_q, held_q;
    logic alone_q;
    always_ff @(posedge aclk) begin
      count_q <= begin_q || !aresetn ? '0 : count_q + 64'(counting[i]);
      upper_q <= count_q[63:32];
      held_q <= upper_q;
      alone_q <= asked_q == 4'(1 << i) && !begun_q && aresetn;
    end
    always_comb begin
      if (aresetn) begin
        assert (count_q == {high_q[32*i+:32] + 32'(carry_q[i]), low_q[32*i+:32]});
        assert (begun_q || high_q[32*i+:32] == upper_q);
        assert (!alone_q || high == held_q);
      end
    end
  end
`endif

  // Counts down from `limit` while nothing moves.
  logic [31:0] patience_q;
  logic armed_q, limited_q, expires_q;
  // Comparisons in halves, the upper one of them a cycle before: it has long been the same by then.
  logic limit_low_q, limit_one_q, limit_high_q, patience_high_q;
  always_ff @(posedge aclk) begin
    limit_low_q <= limit[15:0] != 16'd0;
    limit_one_q <= limit[15:0] == 16'd1;
    limit_high_q <= limit[31:16] != 16'd0;
    patience_high_q <= patience_q[31:16] != 16'd0;
    expires_q <= idle_q ? !patience_high_q && patience_q[15:0] == 16'd2 :
                 !limit_high_q && limit_one_q;  // patience_q is 1 next
    timed_out <= armed_q && expires_q && idle_q;
    limited_q <= limit_low_q || limit_high_q;
    patience_q <= idle_q ? patience_q - 32'd1 : limit;
    armed_q <= idle_q && (armed_q || limited_q);
    if (!aresetn) armed_q <= 1'b0;
  end
endmodule
