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
// Everything behind the entry moves or stalls together; it stalls only while an output waits.
//
// Rate: a step a cycle, a vector every NF*SF cycles without a gap between vectors.
// Latency: from the beat that completes a row to its output, one cycle for the entry, the latency
// of `popcount`, and one for the accumulator where SF > 1.
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

  if (MH % PE != 0) begin : gen_bad_pe
    $error("mvu_bin: PE must divide MH");
  end
  if (MW % SIMD != 0) begin : gen_bad_simd
    $error("mvu_bin: SIMD must divide MW");
  end
  if (2 ** ACC_BITS <= MW) begin : gen_bad_bits
    $error("mvu_bin: ACC_BITS cannot hold a count of MW");
  end

  logic advance;  // the pipeline moves
  logic step;  // and takes up one more step
  logic reading;  // this step's columns come from the input, not from the ring
  logic row_first, row_last;  // this step opens, closes its rows
  assign advance = !m_axis_tvalid || m_axis_tready;
  assign step = advance && (s_axis_tvalid || !reading);
  assign s_axis_tready = advance && reading;

  // Which step comes next.
  logic [STEP_BITS-1:0] step_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) step_q <= '0;
    else if (step) step_q <= step_q == STEP_BITS'(STEPS - 1) ? '0 : step_q + 1'b1;
  end

  if (SF == 1) begin : gen_row_is_step
    assign row_first = 1'b1;
    assign row_last = 1'b1;
  end else begin : gen_row
    localparam int unsigned SF_BITS = $clog2(SF);
    logic [SF_BITS-1:0] sf_q;
    assign row_first = sf_q == '0;
    assign row_last = sf_q == SF_BITS'(SF - 1);
    always_ff @(posedge aclk) begin
      if (!aresetn) sf_q <= '0;
      else if (step) sf_q <= row_last ? '0 : sf_q + 1'b1;
    end
  end

  if (NF == 1) begin : gen_always_reading
    assign reading = 1'b1;
  end else begin : gen_reading
    logic reading_q;
    assign reading = reading_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) reading_q <= 1'b1;
      else if (step && step_q == STEP_BITS'(STEPS - 1)) reading_q <= 1'b1;
      else if (step && row_last) reading_q <= 1'b0;
    end
  end

  // The columns of the step, with the ring behind them.
  logic [SIMD-1:0] columns_q;
  if (NF > 1 && SF > 1) begin : gen_ring
    logic [SF*SIMD-1:0] ring_q;
    always_ff @(posedge aclk) begin
      if (step) begin
        ring_q <= {
          ring_q[(SF-1)*SIMD-1:0], reading ? s_axis_tdata : ring_q[SF*SIMD-1:(SF-1)*SIMD]
        };
      end
    end
    assign columns_q = ring_q[SIMD-1:0];
  end else begin : gen_hold
    always_ff @(posedge aclk) begin
      if (step && reading) columns_q <= s_axis_tdata;
    end
  end

  logic [PE*SIMD-1:0] weights;
  rom #(
    .WIDTH(PE * SIMD),
    .DEPTH(STEPS),
    .BLOCK(BLOCK),
    .INIT_FILE(WEIGHTS)
  ) u_weights (
    .aclk,
    .enable(step),
    .addr(step_q),
    .data(weights)
  );

  logic valid_q, first_q, last_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) valid_q <= 1'b0;
    else if (advance) valid_q <= step;
    if (advance) begin
      first_q <= row_first;
      last_q <= row_last;
    end
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
      .TAG_BITS(3)
    ) u_popcount (
      .aclk,
      .aresetn,
      .enable(advance),
      .a(columns_q),
      .w(weights[p*SIMD+:SIMD]),
      .s_tag({valid_q, first_q, last_q}),
      .m_count(counts[p*COUNT_BITS+:COUNT_BITS]),
      .m_tag(tags[3*p+:3])
    );
  end

  if (SF == 1) begin : gen_out
    assign m_axis_tvalid = count_valid;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign m_axis_tdata[p*ACC_BITS+:ACC_BITS] = ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]);
    end
    logic unused;
    assign unused = &{1'b0, count_first, count_last, tags};
  end else begin : gen_accumulate
    logic out_valid_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) out_valid_q <= 1'b0;
      else if (advance) out_valid_q <= count_valid && count_last;
    end
    assign m_axis_tvalid = out_valid_q;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      logic [ACC_BITS-1:0] sum_q;
      always_ff @(posedge aclk) begin
        if (advance && count_valid) begin
          sum_q <= ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]) + (count_first ? '0 : sum_q);
        end
      end
      assign m_axis_tdata[p*ACC_BITS+:ACC_BITS] = sum_q;
    end
    logic unused;
    assign unused = &{1'b0, tags};
  end
endmodule
