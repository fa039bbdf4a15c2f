// Matrix-vector unit of binary weights on numbers.
//
//   out[h] = sum over columns w of (weights[h][w] ? in[w] : -in[w]), in two's complement,
//
// in[w] unsigned, or in two's complement where SIGNED = 1.
//
// Stream order and weight words as in `mvu_bin`: SF = MW/SIMD beats in, NF = MH/PE beats out per
// vector; step nf*SF + sf adds columns sf*SIMD .. sf*SIMD + SIMD-1 to rows nf*PE .. nf*PE + PE-1.
//
// The input is read in the steps of nf = 0 and kept for the other rows in a ring of SF registers.
// Everything behind the entry moves or stalls together; it stalls only while an output waits.
//
// Rate: a step a cycle, a vector every NF*SF cycles without a gap between vectors.
// Latency: from the beat that completes a row to its output, one cycle for the entry, the latency
// of `signed_sum`, and one for the accumulator where SF > 1.
// Legal: PE divides MH, SIMD divides MW, ACC_BITS holds every sum that the weights can give (sums
// on the way are right modulo 2**ACC_BITS); SIGNED and BLOCK 0 or 1.

module mvu_int #(
  parameter int unsigned MW = 27,  // columns
  parameter int unsigned MH = 64,  // rows
  parameter int unsigned PE = 1,  // rows at once
  parameter int unsigned SIMD = 27,  // columns at once
  parameter int unsigned IN_BITS = 8,  // bits of an input element
  parameter int unsigned SIGNED = 0,  // 1: input in two's complement
  parameter int unsigned ACC_BITS = 14,  // bits of an output element
  parameter int unsigned BLOCK = 0,  // weights in 0: LUTs, 1: block RAM
  parameter WEIGHTS = "weights.mem"
) (
  input logic aclk,
  input logic aresetn,
  input logic [SIMD*IN_BITS-1:0] s_axis_tdata,
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
  localparam int unsigned WORD = SIMD * IN_BITS;
  localparam int unsigned SUM_BITS = $clog2(SIMD * (2 ** IN_BITS - 1) + 1) + 1;

  if (MH % PE != 0) begin : gen_bad_pe
    $error("mvu_int: PE must divide MH");
  end
  if (MW % SIMD != 0) begin : gen_bad_simd
    $error("mvu_int: SIMD must divide MW");
  end
  if (ACC_BITS < IN_BITS || SIGNED > 1 || BLOCK > 1) begin : gen_bad_bits
    $error("mvu_int: ACC_BITS must be IN_BITS at least, SIGNED and BLOCK 0 or 1");
  end

  logic move;  // the pipeline moves
  logic step;  // and takes up one more step
  logic reading;  // this step's columns come from the input
  logic row_first, row_last;  // this step opens, closes its rows
  logic vector_last;  // this step is a vector's last
  assign move = !m_axis_tvalid || m_axis_tready;
  assign step = move && (s_axis_tvalid || !reading);
  assign s_axis_tready = move && reading;

  // Which step comes next.
  logic rows_last;
  wrap_counter #(
    .COUNT(SF)
  ) u_sf (
    .aclk,
    .aresetn,
    .next(step),
    .last(row_last)
  );
  wrap_counter #(
    .COUNT(NF)
  ) u_nf (
    .aclk,
    .aresetn,
    .next(step && row_last),
    .last(rows_last)
  );
  assign vector_last = row_last && rows_last;
  logic [STEP_BITS-1:0] step_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      step_q <= '0;
      row_first <= 1'b1;
    end else if (step) begin
      step_q <= vector_last ? '0 : step_q + 1'b1;
      row_first <= row_last;
    end
  end

  // The columns of the step.
  logic [WORD-1:0] columns_q;
  if (NF == 1) begin : gen_pass
    assign reading = 1'b1;
    always_ff @(posedge aclk) if (move) columns_q <= s_axis_tdata;
  end else begin : gen_keep
    logic [SF*WORD-1:0] ring_q;
    logic reading_q;
    assign reading = reading_q;
    assign columns_q = ring_q[WORD-1:0];
    always_ff @(posedge aclk) begin
      if (!aresetn) reading_q <= 1'b1;
      else if (step && row_last) reading_q <= rows_last;
      if (step) begin
        ring_q <= (SF * WORD)'({ring_q, reading ? s_axis_tdata : ring_q[SF*WORD-1:(SF-1)*WORD]});
      end
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
    .enable(move),
    .addr(step_q),
    .data(weights)
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

  // One sum a row; the first one's tag tells when all are ready.
  logic [PE*SUM_BITS-1:0] sums;
  logic [PE*3-1:0] tags;
  logic sum_valid, sum_first, sum_last;
  assign {sum_valid, sum_first, sum_last} = tags[2:0];
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    signed_sum #(
      .N(SIMD),
      .IN_BITS(IN_BITS),
      .SIGNED(SIGNED),
      .OUT_BITS(SUM_BITS),
      .TAG_BITS(3)
    ) u_sum (
      .aclk,
      .aresetn,
      .enable(move),
      .a(columns_q),
      .w(weights[p*SIMD+:SIMD]),
      .s_tag({valid_q, first_q, last_q}),
      .m_sum(sums[p*SUM_BITS+:SUM_BITS]),
      .m_tag(tags[3*p+:3])
    );
  end

  if (SF == 1) begin : gen_out
    assign m_axis_tvalid = sum_valid;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign m_axis_tdata[p*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(sums[p*SUM_BITS+:SUM_BITS]));
    end
    logic unused;
    assign unused = &{1'b0, sum_first, sum_last, tags};
  end else begin : gen_accumulate
    logic done_q;
    assign m_axis_tvalid = done_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) done_q <= 1'b0;
      else if (move) done_q <= sum_valid && sum_last;
    end
    for (genvar p = 0; p < PE; p++) begin : gen_element
      logic [ACC_BITS-1:0] sum_q;
      always_ff @(posedge aclk) begin
        if (move && sum_valid) begin
          sum_q <= ACC_BITS'($signed(sums[p*SUM_BITS+:SUM_BITS])) + (sum_first ? '0 : sum_q);
        end
      end
      assign m_axis_tdata[p*ACC_BITS+:ACC_BITS] = sum_q;
    end
    logic unused;
    assign unused = &{1'b0, tags};
  end
endmodule
