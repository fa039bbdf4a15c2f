// Pooling of bits: the OR of each channel over squares of SIZE x SIZE pixels, side by side.
//
//   out[y, x, c] = OR of in[y*SIZE + i, x*SIZE + j, c]
//
// Rows and columns that fill no square are left out.
// Stream order: pixels row by row, C/PE beats a pixel, in and out. The squares' columns of a row are
// joined in a ring of C/PE words, their rows in a ring of a row of results; the second lies in
// registers or, with BLOCK = 1, in block RAM.
// Rate: a beat a cycle. Latency: one cycle. s_axis_tready is a register.
// Legal: 2 <= SIZE <= HEIGHT, WIDTH; PE divides C; BLOCK 0 or 1, 1 only for rings of 2..2048 words.

module max_pool #(
  parameter int unsigned HEIGHT = 8,
  parameter int unsigned WIDTH = 8,
  parameter int unsigned C = 4,  // channels of a pixel
  parameter int unsigned SIZE = 2,
  parameter int unsigned PE = 4,  // channels a beat
  parameter int unsigned BLOCK = 0  // a row of results in 0: registers, 1: block RAM
) (
  input logic aclk,
  input logic aresetn,
  input logic [PE-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned FOLDS = C / PE;
  localparam int unsigned SLOTS = (WIDTH / SIZE) * FOLDS;  // beats of a row of results

  if (SIZE < 2 || SIZE > HEIGHT || SIZE > WIDTH) begin : gen_bad_size
    $error("max_pool: SIZE must be 2..HEIGHT, WIDTH");
  end
  if (C % PE != 0) begin : gen_bad_pe
    $error("max_pool: PE must divide C");
  end

  logic beat;  // one comes in
  assign beat = s_axis_tvalid && s_axis_tready;

  // Where in the pixel, the square and the image it is.
  logic fold_last, column_last, row_last, x_last, y_last;
  logic column_first, row_first;
  logic line_end;
  assign line_end = beat && fold_last && x_last;
  wrap_counter #(
    .COUNT(FOLDS)
  ) u_fold (
    .aclk,
    .aresetn,
    .next(beat),
    .last(fold_last)
  );

  wrap_counter #(
    .COUNT(WIDTH)
  ) u_x (
    .aclk,
    .aresetn,
    .next(beat && fold_last),
    .last(x_last)
  );
  wrap_counter #(
    .COUNT(HEIGHT)
  ) u_y (
    .aclk,
    .aresetn,
    .next(line_end),
    .last(y_last)
  );

  // Columns and lines beyond the last whole square are too few to end one.
  localparam int unsigned SIZE_BITS = $clog2(SIZE);
  logic [SIZE_BITS-1:0] column_q, row_q;  // of the square
  assign column_first = column_q == '0;
  assign column_last = column_q == SIZE_BITS'(SIZE - 1);
  assign row_first = row_q == '0;
  assign row_last = row_q == SIZE_BITS'(SIZE - 1);
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      column_q <= '0;
      row_q <= '0;
    end else begin
      if (beat && fold_last) column_q <= x_last || column_last ? '0 : column_q + 1'b1;
      if (line_end) row_q <= y_last || row_last ? '0 : row_q + 1'b1;
    end
  end

  // Columns of the square so far.
  logic [FOLDS*PE-1:0] columns_q;
  logic [PE-1:0] columns, rows, above;
  assign columns = s_axis_tdata | (column_first ? '0 : columns_q[PE-1:0]);
  always_ff @(posedge aclk) begin
    if (beat) columns_q <= (FOLDS * PE)'({columns, columns_q} >> PE);
  end

  // Rows of the square so far.
  logic joined;  // a row of a square is complete
  assign joined = beat && column_last;
  assign rows = columns | (row_first ? '0 : above);
  if (BLOCK == 0) begin : gen_registers
    logic [SLOTS*PE-1:0] rows_q;
    assign above = rows_q[PE-1:0];
    always_ff @(posedge aclk) begin
      if (joined) rows_q <= (SLOTS * PE)'({rows, rows_q} >> PE);
    end
  end else begin : gen_block
    localparam int unsigned SLOT_BITS = $clog2(SLOTS);
    logic [SLOT_BITS-1:0] slot_q, slot_next;
    assign slot_next = slot_q == SLOT_BITS'(SLOTS - 1) ? '0 : slot_q + 1'b1;
    always_ff @(posedge aclk) begin
      if (!aresetn) slot_q <= '0;
      else if (joined) slot_q <= slot_next;
    end
    ram #(
      .WIDTH(PE),
      .DEPTH(SLOTS)
    ) u_rows (
      .aclk,
      .write(joined),
      .write_addr(slot_q),
      .write_data(rows),
      .read(joined),
      .read_addr(slot_next),
      .read_data(above)
    );
  end

  axis_reg #(
    .WIDTH(PE)
  ) u_out (
    .aclk,
    .aresetn,
    .s_axis_tdata(rows),
    .s_axis_tvalid(s_axis_tvalid && column_last && row_last),
    .s_axis_tready,
    .m_axis_tdata,
    .m_axis_tvalid,
    .m_axis_tready
  );
endmodule
