// Every window of an image, as a convolution without padding reads them.
//
//   out[y, x] = the elements in[y*STRIDE + ky, x*STRIDE + kx, c], in the order ky, kx, c
//
// Stream order: pixels row by row, C/SIMD beats a pixel in. Out, with PARALLEL = 0: SIMD elements a
// beat, KERNEL*KERNEL*C/SIMD beats a window, each window REPEAT times; with PARALLEL = 1: a window a
// beat, once.
//
// The lines lie in a ring of block RAM, LINES of them, so that those of the next windows, of the next
// image too, are written while these are read. PARALLEL = 0 reads a window word by word. PARALLEL = 1
// reads it column by column into a shift register, from which the oldest column falls out: the next
// window needs STRIDE columns more. Two counters tell whether the words of a window are there and
// whether there is room for a line; s_axis_tready is a register.
//
// Rate: a word of SIMD elements in and one read a cycle. An image takes the larger of
// HEIGHT*WIDTH*C/SIMD and its reads: H'*W'*KERNEL*KERNEL*REPEAT*C/SIMD, where PARALLEL = 1
// H'*KERNEL*((W'-1)*STRIDE + KERNEL)*C/SIMD, with H' = (HEIGHT - KERNEL)/STRIDE + 1 and W' likewise.
// Where both are the same and WIDTH = KERNEL, up to half a cycle a row more: lines are freed late.
// Latency: two cycles from the beat that completes the first window (PARALLEL = 0: to its last
// beat still to be read), one more where PARALLEL = 1.
// Legal: KERNEL <= HEIGHT, WIDTH; STRIDE, REPEAT >= 1; SIMD divides C; REPEAT = 1 where PARALLEL = 1;
// the ring has 2..2048 words.

module sliding_window #(
  parameter int unsigned HEIGHT = 8,
  parameter int unsigned WIDTH = 8,
  parameter int unsigned C = 4,  // channels of a pixel
  parameter int unsigned BITS = 1,  // of an element
  parameter int unsigned KERNEL = 3,
  parameter int unsigned STRIDE = 1,
  parameter int unsigned SIMD = 4,  // channels a beat and a word of the memory
  parameter int unsigned PARALLEL = 0,  // 1: a window a beat
  parameter int unsigned REPEAT = 1,  // how often each window is written
  localparam int unsigned OUT = PARALLEL == 1 ? KERNEL * KERNEL * C : SIMD
) (
  input logic aclk,
  input logic aresetn,
  input logic [SIMD*BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [OUT*BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned FOLDS = C / SIMD;  // words a pixel
  localparam int unsigned WORD = SIMD * BITS;
  localparam int unsigned LINE = WIDTH * FOLDS;  // words
  localparam int unsigned ROWS = (HEIGHT - KERNEL) / STRIDE + 1;  // of windows
  localparam int unsigned ROW = (WIDTH - KERNEL) / STRIDE + 1;  // windows of a row
  localparam int unsigned LAST_LINES = HEIGHT - (ROWS - 1) * STRIDE;  // from the last row on
  // Those of a row, and those that the next row needs besides, of the next image at the most.
  localparam int unsigned LINES = KERNEL + (LAST_LINES > STRIDE ? LAST_LINES : STRIDE);
  localparam int unsigned DEPTH = LINES * LINE;

  // What is read at a time, a group: a window, or a column of one. It is KERNEL runs of words that
  // lie side by side, one in each line.
  localparam int unsigned RUN = PARALLEL == 1 ? FOLDS : KERNEL * FOLDS;
  localparam int unsigned WORDS = KERNEL * RUN * REPEAT;  // of a group, with its repetitions
  localparam int unsigned STEP = PARALLEL == 1 ? 1 : STRIDE;  // pixels from group to group
  localparam int unsigned GROUPS = PARALLEL == 1 ? (ROW - 1) * STRIDE + KERNEL : ROW;
  // Words from the start of a group to the start of the next one, in the stream of pixels.
  localparam int unsigned NEXT = STEP * FOLDS;
  localparam int unsigned TO_ROW = STRIDE * LINE - (GROUPS - 1) * NEXT;
  localparam int unsigned TO_IMAGE = LAST_LINES * LINE - (GROUPS - 1) * NEXT;
  // Words that must be there before the first group is read.
  localparam int unsigned FIRST = (KERNEL - 1) * LINE + RUN;

  localparam int unsigned ADDR_BITS = $clog2(DEPTH);
  // A signed number of words; lines that no window reads are freed before they are there.
  localparam int unsigned WORD_BITS = $clog2(DEPTH + (LINES - KERNEL) * LINE + 1) + 1;
  localparam int unsigned SLOT_BITS = $clog2(LINES + STRIDE + KERNEL);

  if (HEIGHT < KERNEL || WIDTH < KERNEL || KERNEL < 1 || STRIDE < 1) begin : gen_bad_kernel
    $error("sliding_window: KERNEL must be 1..HEIGHT, WIDTH and STRIDE at least 1");
  end
  if (C % SIMD != 0) begin : gen_bad_simd
    $error("sliding_window: SIMD must divide C");
  end
  if (REPEAT < 1 || PARALLEL > 1 || (PARALLEL == 1 && REPEAT > 1)) begin : gen_bad_repeat
    $error("sliding_window: PARALLEL is 0 or 1, REPEAT at least 1, and 1 with PARALLEL = 1");
  end

  // --- the ring of lines ---
  logic write, fetch;
  logic [ADDR_BITS-1:0] write_q, read_q;
  logic [WORD-1:0] word;  // fetched last
  assign write = s_axis_tvalid && s_axis_tready;
  ram #(
    .WIDTH(WORD),
    .DEPTH(DEPTH)
  ) u_lines (
    .aclk,
    .write,
    .write_addr(write_q),
    .write_data(s_axis_tdata),
    .read(fetch),
    .read_addr(read_q),
    .read_data(word)
  );
  always_ff @(posedge aclk) begin
    if (!aresetn) write_q <= '0;
    else if (write) write_q <= write_q == ADDR_BITS'(DEPTH - 1) ? '0 : write_q + 1'b1;
  end

  // --- where in the group, row and image the next fetch is ---
  logic run_last, line_last, repeat_last, group_last, row_last;
  logic word_last;  // the first three at once, counted apart since much waits for it
  logic group_end, row_end;  // this fetch ends it
  logic ended_q;  // the fetch before ended the group
  logic go_on;  // to the next group: a cycle late, off the way of the fetch, where groups have the time
  assign group_end = fetch && word_last;
  assign row_end = group_end && group_last;
  assign go_on = KERNEL * RUN >= 3 ? ended_q : group_end;
  always_ff @(posedge aclk) begin
    if (!aresetn) ended_q <= 1'b0;
    else ended_q <= group_end;
  end

  wrap_counter #(.COUNT(RUN)) u_run (.aclk, .aresetn, .next(fetch), .last(run_last));
  wrap_counter #(.COUNT(KERNEL)) u_line (.aclk, .aresetn, .next(fetch && run_last), .last(line_last));
  wrap_counter #(.COUNT(REPEAT)) u_repeat (
    .aclk,
    .aresetn,
    .next(fetch && run_last && line_last),
    .last(repeat_last)
  );
  wrap_counter #(.COUNT(WORDS)) u_word (
    .aclk,
    .aresetn,
    .next(fetch),
    .last(word_last)
  );
  wrap_counter #(.COUNT(GROUPS)) u_group (.aclk, .aresetn, .next(go_on), .last(group_last));
  wrap_counter #(.COUNT(ROWS)) u_row (
    .aclk,
    .aresetn,
    .next(go_on && group_last),
    .last(row_last)
  );

  // The first word of the group, and the places of its line and of the fetched one in the ring.
  logic [ADDR_BITS-1:0] base_q, base_after, base_next;
  logic [SLOT_BITS-1:0] top_q, top_after, top_next, top_moved, slot_q;
  always_comb begin
    top_moved = top_q + (row_last ? SLOT_BITS'(LAST_LINES) : SLOT_BITS'(STRIDE));
    if (!group_last) begin
      top_after = top_q;
      base_after = base_q + ADDR_BITS'(NEXT);
    end else if (top_moved >= SLOT_BITS'(LINES)) begin
      top_after = top_moved - SLOT_BITS'(LINES);
      base_after = base_q + (row_last ? ADDR_BITS'(TO_IMAGE - DEPTH) : ADDR_BITS'(TO_ROW - DEPTH));
    end else begin
      top_after = top_moved;
      base_after = base_q + (row_last ? ADDR_BITS'(TO_IMAGE) : ADDR_BITS'(TO_ROW));
    end
  end
  if (WORDS == 1) begin : gen_after_now
    assign base_next = base_after;
    assign top_next = top_after;
  end else begin : gen_after_before
    // A group takes some cycles, time enough to find the next one in the cycle before its last.
    logic [ADDR_BITS-1:0] base_next_q;
    logic [SLOT_BITS-1:0] top_next_q;
    assign base_next = base_next_q;
    assign top_next = top_next_q;
    always_ff @(posedge aclk) begin
      base_next_q <= base_after;
      top_next_q <= top_after;
    end
  end
  logic wraps;  // the next line of the group lies at the start of the ring
  assign wraps = slot_q == SLOT_BITS'(LINES - 1);
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      base_q <= '0;
      top_q <= '0;
      read_q <= '0;
      slot_q <= '0;
    end else begin
      if (go_on) begin
        base_q <= base_next;
        top_q <= top_next;
      end
      if (fetch) begin
        if (!run_last) begin
          read_q <= read_q + 1'b1;
        end else if (!line_last) begin
          read_q <= read_q + (wraps ? ADDR_BITS'(LINE - RUN + 1 - DEPTH) : ADDR_BITS'(LINE - RUN + 1));
          slot_q <= wraps ? '0 : slot_q + 1'b1;
        end else begin
          read_q <= repeat_last ? base_next : base_q;
          slot_q <= repeat_last ? top_next : top_q;
        end
      end
    end
  end

  // --- words that are there beyond those of the group, and room; negative: not enough ---
  // The sum for the next group is made beside the other one, and taken after the group's last fetch:
  // so no sum waits for a fetch.
  logic [WORD_BITS-1:0] ahead, ahead_q, beyond_q, room_q;
  logic there_q;  // ahead is not negative
  logic [WORD_BITS-1:0] used;  // by going on to the next group
  logic freeing_q, image_q;  // lines are freed a cycle late; those of a whole image
  assign ahead = ended_q ? beyond_q : ahead_q;
  assign used = !group_last ? WORD_BITS'(NEXT) :
                !row_last ? WORD_BITS'(TO_ROW) : WORD_BITS'(TO_IMAGE);
  logic [WORD_BITS-1:0] freed;
  assign freed = !freeing_q ? '0 : WORD_BITS'((image_q ? LAST_LINES : STRIDE) * LINE);
  // A written word is the carry of one bit below: so the choice and the sum are one LUT.
  logic [WORD_BITS-1:0] ahead_next, beyond_next;
  logic [1:0] below;
  assign {ahead_next, below[0]} = {ahead, 1'b1} + (WORD_BITS + 1)'(write);
  assign {beyond_next, below[1]} = {ahead, 1'b1} + {-used, write};
  always_ff @(posedge aclk) begin
    image_q <= row_last;
    ahead_q <= ahead_next;
    beyond_q <= beyond_next;
    if (!aresetn) begin
      ahead_q <= WORD_BITS'(0 - FIRST);
      there_q <= 1'b0;
      room_q <= WORD_BITS'(DEPTH - 1);
      freeing_q <= 1'b0;
    end else begin
      there_q <= group_end ? !beyond_next[WORD_BITS-1] : !ahead_next[WORD_BITS-1];
      room_q <= room_q + freed - WORD_BITS'(write);
      freeing_q <= row_end;
    end
  end
  logic unused;
  assign unused = &{1'b0, below};
  assign s_axis_tready = !room_q[WORD_BITS-1];

  // --- out ---
  logic word_valid_q, word_taken;
  assign fetch = there_q && (!word_valid_q || word_taken);
  always_ff @(posedge aclk) begin
    if (!aresetn) word_valid_q <= 1'b0;
    else if (fetch) word_valid_q <= 1'b1;
    else if (word_taken) word_valid_q <= 1'b0;
  end

  if (PARALLEL == 0) begin : gen_words
    assign m_axis_tdata = word;
    assign m_axis_tvalid = word_valid_q;
    assign word_taken = m_axis_tready;
  end else begin : gen_window
    // Columns to come before the next window is whole.
    localparam int unsigned MISSING = KERNEL > STRIDE ? KERNEL : STRIDE;
    localparam int unsigned MISSING_BITS = MISSING > 1 ? $clog2(MISSING) : 1;
    logic [MISSING_BITS-1:0] missing_q;
    always_ff @(posedge aclk) begin
      if (!aresetn || (go_on && group_last)) missing_q <= MISSING_BITS'(KERNEL - 1);
      else if (go_on) begin
        missing_q <= missing_q == '0 ? MISSING_BITS'(STRIDE - 1) : missing_q - 1'b1;
      end
    end

    logic completes_q;  // the fetched word completes a window
    logic valid_q;
    logic [KERNEL*KERNEL*C*BITS-1:0] words_q;  // in the order kx, ky, c, the newest uppermost
    assign m_axis_tvalid = valid_q;
    assign word_taken = word_valid_q && (!valid_q || m_axis_tready);
    always_ff @(posedge aclk) begin
      if (fetch) completes_q <= group_end && missing_q == '0;
      if (word_taken) words_q <= (KERNEL * KERNEL * C * BITS)'({word, words_q} >> WORD);
      if (!aresetn) valid_q <= 1'b0;
      else if (word_taken) valid_q <= completes_q;
      else if (m_axis_tready) valid_q <= 1'b0;
    end
    for (genvar kx = 0; kx < KERNEL; kx++) begin : gen_column
      for (genvar ky = 0; ky < KERNEL; ky++) begin : gen_pixel
        assign m_axis_tdata[(ky*KERNEL+kx)*C*BITS+:C*BITS] = words_q[(kx*KERNEL+ky)*C*BITS+:C*BITS];
      end
    end
  end
endmodule
