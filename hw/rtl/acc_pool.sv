// Sum of each channel over all pixels of an image: a global average pool, but for the division.
//
//   out[c] = sum over the pixels of in[pixel, c]
//
// Elements are unsigned, or two's complement (SIGNED), or bits that count as -1 and +1 (BIPOLAR).
//
// Stream order: C/PE beats a pixel, in and out; out is one pixel. The sums are kept in a ring of C/PE
// words in registers; with the last pixel they leave, while the next image may begin.
// Rate: a beat a cycle. Latency: one cycle behind the last pixel's beat. s_axis_tready is a register.
// Legal: PIXELS >= 1, PE divides C, SIGNED and BIPOLAR 0 or 1 (not both, BIPOLAR for bits alone),
// OUT_BITS holds every sum.

module acc_pool #(
  parameter int unsigned PIXELS = 16,
  parameter int unsigned C = 4,  // channels of a pixel
  parameter int unsigned PE = 1,  // channels a beat
  parameter int unsigned IN_BITS = 1,
  parameter int unsigned OUT_BITS = 5,
  parameter int unsigned SIGNED = 0,  // 1: two's complement, in and out
  parameter int unsigned BIPOLAR = 0  // 1: a bit is -1 or +1, out in two's complement
) (
  input logic aclk,
  input logic aresetn,
  input logic [PE*IN_BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE*OUT_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned FOLDS = C / PE;
  localparam int unsigned WORD = PE * OUT_BITS;

  if (C % PE != 0) begin : gen_bad_pe
    $error("acc_pool: PE must divide C");
  end
  if (PIXELS < 1 || SIGNED + BIPOLAR > 1 || (BIPOLAR == 1 && IN_BITS != 1)) begin : gen_bad_flag
    $error("acc_pool: PIXELS must be at least 1, SIGNED or BIPOLAR 1, BIPOLAR for IN_BITS = 1");
  end
  // The most that pixels can add up to, beyond a sign: less one where there is none.
  localparam longint unsigned MOST = 64'(PIXELS) * ((64'd1 << IN_BITS) - 64'(SIGNED + BIPOLAR == 0));
  if (MOST > (64'd1 << OUT_BITS) - 64'(SIGNED == 0) - 64'(BIPOLAR)) begin : gen_bad_bits
    $error("acc_pool: OUT_BITS cannot hold PIXELS elements of IN_BITS");
  end

  logic beat;  // one comes in
  assign beat = s_axis_tvalid && s_axis_tready;
  logic fold_last, pixel_last;
  logic first_q;  // the image's first pixel
  wrap_counter #(.COUNT(FOLDS)) u_fold (.aclk, .aresetn, .next(beat), .last(fold_last));
  wrap_counter #(.COUNT(PIXELS)) u_pixel (
    .aclk,
    .aresetn,
    .next(beat && fold_last),
    .last(pixel_last)
  );
  always_ff @(posedge aclk) begin
    if (!aresetn) first_q <= 1'b1;
    else if (beat && fold_last) first_q <= pixel_last;
  end

  logic [FOLDS*WORD-1:0] sums_q;
  logic [WORD-1:0] sums;
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    logic [IN_BITS-1:0] value;
    logic [OUT_BITS-1:0] wide, so_far;
    assign value = s_axis_tdata[p*IN_BITS+:IN_BITS];
    if (BIPOLAR == 1) begin : gen_bipolar
      assign wide = OUT_BITS'($signed({!value[0], 1'b1}));
    end else begin : gen_number
      assign wide = SIGNED == 1 ? OUT_BITS'($signed(value)) : OUT_BITS'(value);
    end
    assign so_far = first_q ? '0 : sums_q[p*OUT_BITS+:OUT_BITS];
    assign sums[p*OUT_BITS+:OUT_BITS] = so_far + wide;
  end
  always_ff @(posedge aclk) begin
    if (beat) sums_q <= (FOLDS * WORD)'({sums, sums_q} >> WORD);
  end

  axis_reg #(
    .WIDTH(WORD)
  ) u_out (
    .aclk,
    .aresetn,
    .s_axis_tdata(sums),
    .s_axis_tvalid(beat && pixel_last),
    .s_axis_tready,
    .m_axis_tdata,
    .m_axis_tvalid,
    .m_axis_tready
  );
endmodule
