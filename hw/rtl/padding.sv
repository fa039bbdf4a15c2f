// A border around an image: PAD pixels of VALUE on each side.
//
//   out[y, x, c] = in[y - PAD, x - PAD, c] inside the image, VALUE outside it
//
// Bits stand for -1 and +1, so that VALUE = 0 pads them by -1.
// Stream order: pixels row by row, C/SIMD beats a pixel, in and out. The border of an image begins when
// its first beat waits at the input: no beat leaves for an image that does not come.
// Rate: a beat a cycle. Latency: one cycle. s_axis_tready follows m_axis_tready.
// An image takes (HEIGHT + 2*PAD)*(WIDTH + 2*PAD)*C/SIMD cycles.
// Legal: PAD >= 1, SIMD divides C, VALUE < 2**BITS.

module padding #(
  parameter int unsigned HEIGHT = 8,
  parameter int unsigned WIDTH = 8,
  parameter int unsigned C = 4,  // channels of a pixel
  parameter int unsigned BITS = 1,  // of an element
  parameter int unsigned PAD = 1,  // pixels on each side
  parameter int unsigned VALUE = 0,  // of an element outside
  parameter int unsigned SIMD = 4  // channels a beat
) (
  input logic aclk,
  input logic aresetn,
  input logic [SIMD*BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [SIMD*BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned X_BITS = $clog2(WIDTH + 2 * PAD);
  localparam int unsigned Y_BITS = $clog2(HEIGHT + 2 * PAD);

  if (PAD < 1) begin : gen_bad_pad
    $error("padding: PAD must be at least 1");
  end
  if (C % SIMD != 0) begin : gen_bad_simd
    $error("padding: SIMD must divide C");
  end
  if (BITS < 32 && VALUE >> BITS != 0) begin : gen_bad_value
    $error("padding: VALUE does not fit into BITS");
  end

  logic move;  // the output is free or leaves
  logic beat;  // and takes one more
  logic inside_x_q, inside_y_q, in_image;
  logic begun_q;  // the image's first beat was taken
  assign in_image = inside_x_q && inside_y_q;
  assign move = !m_axis_tvalid || m_axis_tready;
  assign s_axis_tready = move && in_image;
  assign beat = move && (s_axis_tvalid || (begun_q && !in_image));

  logic fold_last;
  wrap_counter #(.COUNT(C / SIMD)) u_fold (.aclk, .aresetn, .next(beat), .last(fold_last));

  logic [X_BITS-1:0] x_q;
  logic [Y_BITS-1:0] y_q;
  logic x_last, y_last;
  assign x_last = x_q == X_BITS'(WIDTH + 2 * PAD - 1);
  assign y_last = y_q == Y_BITS'(HEIGHT + 2 * PAD - 1);
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      x_q <= '0;
      y_q <= '0;
      inside_x_q <= 1'b0;
      inside_y_q <= 1'b0;
      begun_q <= 1'b0;
    end else if (beat) begin
      if (fold_last) begin
        x_q <= x_last ? '0 : x_q + 1'b1;
        if (x_q == X_BITS'(PAD - 1)) inside_x_q <= 1'b1;
        if (x_q == X_BITS'(PAD + WIDTH - 1)) inside_x_q <= 1'b0;
        if (x_last) begin
          y_q <= y_last ? '0 : y_q + 1'b1;
          if (y_q == Y_BITS'(PAD - 1)) inside_y_q <= 1'b1;
          if (y_q == Y_BITS'(PAD + HEIGHT - 1)) inside_y_q <= 1'b0;
        end
      end
      if (in_image) begun_q <= 1'b1;
      else if (fold_last && x_last && y_last) begun_q <= 1'b0;
    end
  end

  always_ff @(posedge aclk) begin
    if (!aresetn) m_axis_tvalid <= 1'b0;
    else if (move) m_axis_tvalid <= beat;
    if (move) m_axis_tdata <= in_image ? s_axis_tdata : {SIMD{BITS'(VALUE)}};
  end
endmodule
