// Binary matrix-vector unit.
//
//   out[h] = number of columns w with in[w] == weights[h][w]        (XNOR and popcount)
//
// Stream order: SF = MW/SIMD beats in, NF = MH/PE beats out per vector. Step nf*SF + sf adds columns
// sf*SIMD .. sf*SIMD + SIMD-1 to rows nf*PE .. nf*PE + PE-1; weight word nf*SF + sf holds in bit
// pe*SIMD + simd the weight [nf*PE + pe][sf*SIMD + simd].
//
// The input is read once, in the steps of nf = 0, and kept for the other rows in a ring of SF
// registers: flip-flop to flip-flop, only the entry has a multiplexer (none where SF or NF is 1).
// Nothing behind the entry ever stalls, so that no enable has to reach it: a step that closes its rows
// waits at the entry until there is a place for them at the end, of PLACES. One place, a register, is
// enough where a row takes as many steps as the pipeline is long. Where the places would cost too much
// (short rows, few columns a step) the pipeline has an enable instead, and stalls while an output waits.
//
// Rate: a step a cycle, a vector every NF*SF cycles without a gap between vectors.
// Latency: from the beat that completes a row to its output, one cycle for the entry, the latency
// of `popcount`, one for the accumulator where SF > 1, one for the places, two for block RAM.
// Legal: PE divides MH, SIMD divides MW, 2**ACC_BITS > MW, BLOCK 0 or 1.

module mvu_bin #(
  parameter int unsigned MW = 64,  // columns
  parameter int unsigned MH = 64,  // rows
  parameter int unsigned PE = 1,  // rows at once
  parameter int unsigned SIMD = 64,  // columns at once
  parameter int unsigned ACC_BITS = 7,  // bits of an output element
  parameter int unsigned BLOCK = 0,  // weights in 0: LUTs, 1: block RAM
  parameter WEIGHTS = "weights.mem"
) (
  input logic aclk,
  input logic aresetn,
  input logic [SIMD-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE*ACC_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned NF = MH / PE;
  localparam int unsigned SF = MW / SIMD;
  localparam int unsigned STEPS = NF * SF;
  localparam int unsigned STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int unsigned COUNT_BITS = $clog2(SIMD + 1);

  // Block RAM is slow and far away: it gets a register in front of its address, one behind its word.
  localparam int unsigned LATE = BLOCK == 1 && STEPS > 1 ? 2 : 0;
  // From a step that closes its rows to the first one that may reuse their place; the latency of
  // `popcount` as it is at most.
  localparam int unsigned TREE = SIMD <= 6 ? 1 : SIMD <= 37 ? 2 : SIMD <= 307 ? 3 : SIMD <= 3360 ? 4 : 5;
  localparam int unsigned ROUND = TREE + LATE + (SF > 1 ? 4 : 3);
  localparam int unsigned PLACES = (ROUND + SF - 1) / SF;
  // LUTs a row that the multiplexers of the places take, against those of its lanes.
  localparam int unsigned PLACE_LUTS = PLACES == 1 ? 0 : ACC_BITS * ((PLACES + 3) / 4);
  localparam bit FREE = 16 * PLACE_LUTS <= SIMD;

  if (MH % PE != 0) begin : gen_bad_pe
    $error("mvu_bin: PE must divide MH");
  end
  if (MW % SIMD != 0) begin : gen_bad_simd
    $error("mvu_bin: SIMD must divide MW");
  end
  if (2 ** ACC_BITS <= MW) begin : gen_bad_bits
    $error("mvu_bin: ACC_BITS cannot hold a count of MW");
  end

  logic move;  // the pipeline moves
  logic room;  // rows may be closed
  logic step;  // one more step is taken up
  logic reading;  // this step's columns come from the input, not from the ring
  logic row_first, row_last;  // this step opens, closes its rows
  logic go;
  assign go = move && (room || !row_last);
  assign step = go && (s_axis_tvalid || !reading);
  assign s_axis_tready = go && reading;

  // Which step comes next.
  logic [STEP_BITS-1:0] step_q;
  logic final_step;
  if (STEPS == 1) begin : gen_one_step
    assign step_q = '0;
    assign final_step = 1'b1;
  end else begin : gen_steps
    logic final_q;
    assign final_step = final_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        step_q <= '0;
        final_q <= 1'b0;
      end else if (step) begin
        step_q <= final_q ? '0 : step_q + 1'b1;
        final_q <= step_q == STEP_BITS'(STEPS - 2);
      end
    end
  end

  if (SF == 1) begin : gen_row_is_step
    assign row_first = 1'b1;
    assign row_last = 1'b1;
  end else begin : gen_row
    localparam int unsigned SF_BITS = $clog2(SF);
    logic [SF_BITS-1:0] sf_q;
    logic first_q, last_q;
    assign row_first = first_q;
    assign row_last = last_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        sf_q <= '0;
        first_q <= 1'b1;
        last_q <= 1'b0;
      end else if (step) begin
        sf_q <= last_q ? '0 : sf_q + 1'b1;
        first_q <= last_q;
        last_q <= sf_q == SF_BITS'(SF - 2);
      end
    end
  end

  if (NF == 1) begin : gen_always_reading
    assign reading = 1'b1;
    logic unused;
    assign unused = final_step;
  end else begin : gen_reading
    logic reading_q;
    assign reading = reading_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) reading_q <= 1'b1;
      else if (step && final_step) reading_q <= 1'b1;
      else if (step && row_last) reading_q <= 1'b0;
    end
  end

  // The columns of the step, with the ring behind them.
  logic [SIMD-1:0] columns_q;
  if (NF == 1) begin : gen_pass
    always_ff @(posedge aclk) if (move) columns_q <= s_axis_tdata;
  end else if (SF == 1) begin : gen_hold
    always_ff @(posedge aclk) if (step && reading) columns_q <= s_axis_tdata;
  end else begin : gen_ring
    logic [SF*SIMD-1:0] ring_q;
    always_ff @(posedge aclk) begin
      if (step) begin
        ring_q <= {
          ring_q[(SF-1)*SIMD-1:0], reading ? s_axis_tdata : ring_q[SF*SIMD-1:(SF-1)*SIMD]
        };
      end
    end
    assign columns_q = ring_q[SIMD-1:0];
  end

  logic [STEP_BITS-1:0] address;
  logic [PE*SIMD-1:0] word, weights;
  rom #(
    .WIDTH(PE * SIMD),
    .DEPTH(STEPS),
    .BLOCK(BLOCK),
    .INIT_FILE(WEIGHTS)
  ) u_weights (
    .aclk,
    .enable(move),
    .addr(address),
    .data(word)
  );

  logic valid_q, first_q, last_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) valid_q <= 1'b0;
    else if (move) valid_q <= step;
    if (move) begin
      first_q <= row_first;
      last_q <= row_last;
    end
  end

  // Columns and flags wait for weights that come late.
  logic [SIMD-1:0] columns;
  logic [2:0] flags;
  if (LATE == 0) begin : gen_at_once
    assign address = step_q;
    assign weights = word;
    assign columns = columns_q;
    assign flags = {valid_q, first_q, last_q};
  end else begin : gen_late
    logic [STEP_BITS-1:0] address_q;
    logic [PE*SIMD-1:0] weights_q;
    logic [LATE*SIMD-1:0] columns_late_q;
    logic [LATE*3-1:0] flags_late_q;
    assign address = address_q;
    assign weights = weights_q;
    always_ff @(posedge aclk) begin
      if (move) begin
        address_q <= step_q;
        weights_q <= word;
        columns_late_q <= {columns_late_q[(LATE-1)*SIMD-1:0], columns_q};
      end
      if (!aresetn) flags_late_q <= '0;
      else if (move) flags_late_q <= {flags_late_q[(LATE-1)*3-1:0], valid_q, first_q, last_q};
    end
    assign columns = columns_late_q[LATE*SIMD-1:(LATE-1)*SIMD];
    assign flags = flags_late_q[LATE*3-1:(LATE-1)*3];
  end

  // One popcount a row; the first one's tag tells when all are ready.
  logic [PE*COUNT_BITS-1:0] counts;
  logic [PE*3-1:0] tags;
  logic count_valid, count_first, count_last;
  assign {count_valid, count_first, count_last} = tags[2:0];
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    popcount #(
      .N(SIMD),
      .OUT_BITS(COUNT_BITS),
      .TAG_BITS(3),
      .CONSTANT(STEPS == 1 ? 1 : 0)
    ) u_popcount (
      .aclk,
      .aresetn,
      .enable(move),
      .a(columns),
      .w(weights[p*SIMD+:SIMD]),
      .s_tag(flags),
      .m_count(counts[p*COUNT_BITS+:COUNT_BITS]),
      .m_tag(tags[3*p+:3])
    );
  end

  // The sums of finished rows.
  logic done;
  logic [PE*ACC_BITS-1:0] sums;
  if (SF == 1) begin : gen_sum_is_count
    assign done = count_valid;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign sums[p*ACC_BITS+:ACC_BITS] = ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]);
    end
    logic unused;
    assign unused = &{1'b0, count_first, count_last, tags};
  end else begin : gen_accumulate
    logic done_q;
    assign done = done_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) done_q <= 1'b0;
      else if (move) done_q <= count_valid && count_last;
    end
    for (genvar p = 0; p < PE; p++) begin : gen_element
      logic [ACC_BITS-1:0] sum_q;
      always_ff @(posedge aclk) begin
        if (move && count_valid) begin
          sum_q <= ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]) + (count_first ? '0 : sum_q);
        end
      end
      assign sums[p*ACC_BITS+:ACC_BITS] = sum_q;
    end
    logic unused;
    assign unused = &{1'b0, tags};
  end

  if (!FREE) begin : gen_stalling
    assign move = !m_axis_tvalid || m_axis_tready;
    assign room = 1'b1;
    assign m_axis_tvalid = done;
    assign m_axis_tdata = sums;
  end else begin : gen_places
    localparam int unsigned TAKEN_BITS = $clog2(PLACES + 1);
    logic [TAKEN_BITS-1:0] taken_q;  // places kept for rows, from their last step on
    logic room_q;
    logic take, give;
    assign move = 1'b1;
    assign room = room_q;
    assign take = step && row_last;
    assign give = m_axis_tvalid && m_axis_tready;
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        taken_q <= '0;
        room_q <= 1'b1;
      end else if (take && !give) begin
        taken_q <= taken_q + 1'b1;
        room_q <= taken_q != TAKEN_BITS'(PLACES - 1);
      end else if (give && !take) begin
        taken_q <= taken_q - 1'b1;
        room_q <= 1'b1;
      end
    end
    if (PLACES == 1) begin : gen_register
      always_ff @(posedge aclk) begin
        if (!aresetn) m_axis_tvalid <= 1'b0;
        else if (done) m_axis_tvalid <= 1'b1;
        else if (m_axis_tready) m_axis_tvalid <= 1'b0;
        if (done) m_axis_tdata <= sums;
      end
`ifdef FORMAL
      // What the registers say of each other, and when rows arrive (TREE is exact for few lanes);
      // the stream rules follow by induction.
      logic [3:0] age_q;  // cycles since the last step of the rows on their way
      always_ff @(posedge aclk) begin
        if (take) age_q <= 4'd1;
        else if (age_q != '1) age_q <= age_q + 1'b1;
      end
      always_comb begin
        if (aresetn) begin
          assert (room_q == (taken_q == '0));
          assert (!m_axis_tvalid || !room_q);
          assert (!done || (!room_q && !m_axis_tvalid && age_q == 4'(ROUND - 2)));
        end
      end
`endif
    end else begin : gen_fifo
      logic unused;
      axis_fifo #(
        .WIDTH(PE * ACC_BITS),
        .DEPTH(PLACES)
      ) u_places (
        .aclk,
        .aresetn,
        .s_axis_tdata(sums),
        .s_axis_tvalid(done),
        .s_axis_tready(unused),
        .m_axis_tdata,
        .m_axis_tvalid,
        .m_axis_tready
      );
    end
  end
endmodule
