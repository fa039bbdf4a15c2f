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
//   A pulse of `keep_<name>` holds that counter's upper half for `high`, so that two reads of 32 bits
//   fit together while it counts.
//   `timed_out` is a pulse when `running` and nothing `moved` for `limit` cycles; never where `limit`
//   is 0.
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

  logic [63:0] run_count_q, latency_count_q, stall_in_count_q, stall_out_count_q;
  always_ff @(posedge aclk) begin
    if (run_q) run_count_q <= run_count_q + 64'd1;
    if (latency_q) latency_count_q <= latency_count_q + 64'd1;
    if (stall_in_q) stall_in_count_q <= stall_in_count_q + 64'd1;
    if (stall_out_q) stall_out_count_q <= stall_out_count_q + 64'd1;
    if (begin_q || !aresetn) begin
      run_count_q <= '0;
      latency_count_q <= '0;
      stall_in_count_q <= '0;
      stall_out_count_q <= '0;
    end
  end

  assign run_low = run_count_q[31:0];
  assign latency_low = latency_count_q[31:0];
  assign stall_in_low = stall_in_count_q[31:0];
  assign stall_out_low = stall_out_count_q[31:0];
  always_ff @(posedge aclk) begin
    if (keep_run) high <= run_count_q[63:32];
    if (keep_latency) high <= latency_count_q[63:32];
    if (keep_stall_in) high <= stall_in_count_q[63:32];
    if (keep_stall_out) high <= stall_out_count_q[63:32];
    if (!aresetn) high <= '0;
  end

  // Counts down from `limit` while nothing moves.
  logic [31:0] patience_q;
  logic armed_q, limited_q, expires_q;
  always_ff @(posedge aclk) begin
    expires_q <= idle_q ? patience_q == 32'd2 : limit == 32'd1;  // patience_q is 1 next
    timed_out <= armed_q && expires_q && idle_q;
    limited_q <= limit != 32'd0;
    patience_q <= idle_q ? patience_q - 32'd1 : limit;
    armed_q <= idle_q && (armed_q || limited_q);
    if (!aresetn) armed_q <= 1'b0;
  end
endmodule
