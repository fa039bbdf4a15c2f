// Matrix-vector unit of binary weights on numbers.
//
//   out[h] = sum over columns w of (weights[h][w] ? in[w] : -in[w]), in two's complement,
//
// in[w] unsigned, or in two's complement where SIGNED = 1.
//
// Stream order and weight words as in `mvu_bin`: SF = MW/SIMD beats in, NF = MH/PE beats out per
// vector; step nf*SF + sf adds columns sf*SIMD .. sf*SIMD + SIMD-1 to rows nf*PE .. nf*PE + PE-1.
//
// Nothing behind the entry ever stalls where the rows are wide, since an enable would have to reach
// thousands of flip-flops: they have places in block RAM (`result_places`). Narrow ones, few at once,
// have none; there everything moves together, and stalls only while an output waits.
//
// Rate: a step a cycle, a vector every NF*SF cycles without a gap between vectors.
// Latency: from the beat that completes a row to its output, one cycle for the entry, the latency
// of `signed_sum`, one for the accumulator where SF > 1, and two for the places.
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
  // Rows so wide have places of their own at the end, more than the pipeline is long.
  localparam bit FREE = PE * ACC_BITS >= 36;
  localparam int unsigned PLACES = 32;

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
  logic room, take;  // rows may be closed, are closed
  logic [STEP_BITS-1:0] step_q;
  logic [WORD-1:0] columns_q;
  logic valid_q, first_q, last_q;
  mvu_entry #(
    .NF(NF),
    .SF(SF),
    .WIDTH(WORD)
  ) u_entry (
    .aclk,
    .aresetn,
    .s_axis_tdata,
    .s_axis_tvalid,
    .s_axis_tready,
    .move,
    .room,
    .take,
    .address(step_q),
    .columns(columns_q),
    .valid(valid_q),
    .first(first_q),
    .last(last_q)
  );

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

  // The sums of finished rows.
  logic done;
  logic [PE*ACC_BITS-1:0] rows;
  if (SF == 1) begin : gen_row_is_sum
    assign done = sum_valid;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign rows[p*ACC_BITS+:ACC_BITS] = ACC_BITS'($signed(sums[p*SUM_BITS+:SUM_BITS]));
    end
    logic unused;
    assign unused = &{1'b0, sum_first, sum_last, tags};
  end else begin : gen_accumulate
    logic done_q;
    assign done = done_q;
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
      assign rows[p*ACC_BITS+:ACC_BITS] = sum_q;
    end
    logic unused;
    assign unused = &{1'b0, tags};
  end

  if (!FREE) begin : gen_stalling
    logic unused;
    assign unused = take;
    assign move = !m_axis_tvalid || m_axis_tready;
    assign room = 1'b1;
    assign m_axis_tvalid = done;
    assign m_axis_tdata = rows;
  end else begin : gen_places
    assign move = 1'b1;
    result_places #(
      .WIDTH(PE * ACC_BITS),
      .PLACES(PLACES),
      .BLOCK(1)
    ) u_places (
      .aclk,
      .aresetn,
      .take,
      .room,
      .done,
      .result(rows),
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
    );
  end
endmodule
