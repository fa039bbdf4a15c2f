// Beats of results from the core to words of memory.
//
// Function
//   A beat has ELEMENTS results of ELEMENT_BITS in its least significant bits, the first lowest.
//   Each becomes MEMORY_BITS wide, its sign repeated where SIGNED, else zeros above. They follow
//   each other from the least significant bits of a word (the lowest addresses) up, image after
//   image without a gap. `start` takes `images`; after the last beat of that many images the word
//   begun is filled with zeros, and no beat is taken before the next `start`.
//
// Rate: GROUP bits of memory a cycle, the greatest common divisor of 64 and the results of a
// beat; a whole beat a cycle where these divide 64. Latency: 2 cycles from the beat that
// completes a word; a word that must be filled takes up to 64/GROUP - 1 more.
// Legal: MEMORY_BITS 8, 16, 32 or 64, not less than ELEMENT_BITS.
module pack #(
  parameter int unsigned ELEMENTS = 1,      // of a beat
  parameter int unsigned ELEMENT_BITS = 4,  // of an element in the stream
  parameter int unsigned MEMORY_BITS = 8,   // of an element in memory
  parameter int unsigned SIGNED = 0,
  parameter int unsigned BEATS = 1,         // of an image
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned IMAGE_BITS = 20    // of `images`
) (
  input  logic                  aclk,
  input  logic                  aresetn,
  input  logic                  start,
  input  logic [IMAGE_BITS-1:0] images,
  input  logic [IN_BITS-1:0]    s_axis_tdata,
  input  logic                  s_axis_tvalid,
  output logic                  s_axis_tready,
  output logic [63:0]           m_axis_tdata,
  output logic                  m_axis_tvalid,
  input  logic                  m_axis_tready
);
  localparam int unsigned WIDE = ELEMENTS * MEMORY_BITS;
  localparam int unsigned DIVISOR = WIDE & (~WIDE + 1);  // the largest power of two in WIDE
  localparam int unsigned GROUP = DIVISOR < 64 ? DIVISOR : 64;
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;
  localparam int unsigned PARTS = WIDE / GROUP;  // of a beat
  localparam int unsigned PLACES = 64 / GROUP;   // of a word

  if (MEMORY_BITS < ELEMENT_BITS || MEMORY_BITS < 8 || 64 % MEMORY_BITS != 0) begin : gen_bad_bits
    $error("pack: MEMORY_BITS must be 8, 16, 32 or 64 and hold ELEMENT_BITS");
  end
  if (IN_BITS < ELEMENTS * ELEMENT_BITS || BEATS < 1 || SIGNED > 1) begin : gen_bad_in
    $error("pack: IN_BITS must hold a beat, BEATS be at least 1, SIGNED 0 or 1");
  end

  logic [WIDE-1:0] wide;
  for (genvar i = 0; i < ELEMENTS; i++) begin : gen_element
    logic [ELEMENT_BITS-1:0] element;
    assign element = s_axis_tdata[i*ELEMENT_BITS+:ELEMENT_BITS];
    if (MEMORY_BITS == ELEMENT_BITS) begin : gen_same
      assign wide[i*MEMORY_BITS+:MEMORY_BITS] = element;
    end else begin : gen_extend
      assign wide[i*MEMORY_BITS+:MEMORY_BITS] =
          {{(MEMORY_BITS - ELEMENT_BITS) {SIGNED == 1 && element[ELEMENT_BITS-1]}}, element};
    end
  end
  if (IN_BITS > ELEMENTS * ELEMENT_BITS) begin : gen_unused
    logic unused;
    assign unused = &{1'b0, s_axis_tdata[IN_BITS-1:ELEMENTS*ELEMENT_BITS]};
  end

  // Beats of the batch that are still to come.
  logic [IMAGE_BITS-1:0] images_q;
  logic [BEAT_BITS-1:0] beat_q;
  logic open_q, take, final_beat;
  assign final_beat = beat_q == BEAT_BITS'(BEATS - 1) && images_q == IMAGE_BITS'(1);
  always_ff @(posedge aclk) begin
    if (take) begin
      beat_q <= beat_q == BEAT_BITS'(BEATS - 1) ? '0 : beat_q + 1'b1;
      if (beat_q == BEAT_BITS'(BEATS - 1)) images_q <= images_q - 1'b1;
      if (final_beat) open_q <= 1'b0;
    end
    if (start) begin
      images_q <= images;
      open_q <= images != '0;
    end
    if (!aresetn) begin
      beat_q <= '0;
      open_q <= 1'b0;
    end
  end

  // A beat is taken whole and leaves in parts of GROUP bits, with a mark on the last of the batch.
  localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;
  logic [WIDE-1:0] parts_q;
  logic full_q, final_q, last_part, part_taken;
  logic [PART_BITS-1:0] part_q;
  assign last_part = part_q == PART_BITS'(PARTS - 1);
  assign s_axis_tready = open_q && (!full_q || (last_part && part_taken));
  assign take = s_axis_tvalid && s_axis_tready;
  always_ff @(posedge aclk) begin
    if (take) begin
      parts_q <= wide;
      final_q <= final_beat;
    end else if (part_taken) begin
      parts_q <= parts_q >> GROUP;
    end
    if (!aresetn) begin
      full_q <= 1'b0;
      part_q <= '0;
    end else begin
      full_q <= take || (full_q && !(last_part && part_taken));
      if (part_taken) part_q <= last_part ? '0 : part_q + 1'b1;
    end
  end

  // Parts move down a word, so that the first ends lowest; `fill` moves zeros after the last.
  localparam int unsigned PLACE_BITS = PLACES > 1 ? $clog2(PLACES) : 1;
  logic [PLACE_BITS-1:0] place_q;
  logic word_q, fill_q, room, shift, last_place;
  assign last_place = place_q == PLACE_BITS'(PLACES - 1);
  assign room = !word_q || m_axis_tready;
  assign part_taken = full_q && room && !fill_q;
  assign shift = room && (full_q || fill_q);
  assign m_axis_tvalid = word_q;
  logic [63:0] data_q;
  logic [GROUP-1:0] part;
  assign part = fill_q ? '0 : parts_q[GROUP-1:0];
  assign m_axis_tdata = data_q;
  if (GROUP == 64) begin : gen_word
    always_ff @(posedge aclk) if (shift) data_q <= part;
  end else begin : gen_shift
    always_ff @(posedge aclk) if (shift) data_q <= {part, data_q[63:GROUP]};
  end
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      word_q <= 1'b0;
      fill_q <= 1'b0;
      place_q <= '0;
    end else begin
      if (room) word_q <= shift && last_place;
      if (shift) begin
        place_q <= last_place ? '0 : place_q + 1'b1;
        fill_q <= !last_place && (fill_q || (final_q && last_part));
      end
    end
  end
endmodule
