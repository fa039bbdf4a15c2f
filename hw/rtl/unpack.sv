// Words of memory to beats of elements for the core.
//
// Memory
//   An image is BEATS beats; each lies in a slot of SLOT bits, its elements from the least
//   significant bit up, MEMORY_BITS each, the rest of the slot unused. Slots follow each other from
//   the least significant bits of a word (the lowest addresses) up, and an image begins in a new
//   word. SLOT is ELEMENTS*MEMORY_BITS up to the next power of two, or beyond 64 bits up to the next
//   multiple of 64. So 8-bit pixels, 8, 16 or 64 a beat, lie as a plain array.
// Stream
//   Element i of a beat is in bits i*ELEMENT_BITS +: ELEMENT_BITS; what is left of OUT_BITS is 0.
//   MEMORY_BITS = ELEMENT_BITS: the element itself. MEMORY_BITS = 1: 0 becomes 0, 1 all ones, so an
//   image of two grey levels needs one bit a pixel in memory.
//
// Rate: a word or a beat a cycle, whichever is more. Latency: one cycle from the word that
// completes a beat.
// Legal: MEMORY_BITS 1 or ELEMENT_BITS; OUT_BITS >= ELEMENTS*ELEMENT_BITS.
module unpack #(
  parameter int unsigned ELEMENTS = 8,      // of a beat
  parameter int unsigned MEMORY_BITS = 8,   // of an element in memory
  parameter int unsigned ELEMENT_BITS = 8,  // of an element in the stream
  parameter int unsigned BEATS = 8,         // of an image
  parameter int unsigned OUT_BITS = 64
) (
  input  logic                aclk,
  input  logic                aresetn,
  input  logic [63:0]         s_axis_tdata,
  input  logic                s_axis_tvalid,
  output logic                s_axis_tready,
  output logic [OUT_BITS-1:0] m_axis_tdata,
  output logic                m_axis_tvalid,
  input  logic                m_axis_tready
);
  localparam int unsigned USED = ELEMENTS * MEMORY_BITS;
  localparam int unsigned SLOT = USED <= 64 ? 2 ** $clog2(USED) : (USED + 63) / 64 * 64;

  if (MEMORY_BITS != 1 && MEMORY_BITS != ELEMENT_BITS) begin : gen_bad_bits
    $error("unpack: MEMORY_BITS must be 1 or ELEMENT_BITS");
  end
  if (OUT_BITS < ELEMENTS * ELEMENT_BITS || BEATS < 1) begin : gen_bad_out
    $error("unpack: OUT_BITS must hold a beat, BEATS must be at least 1");
  end

  logic [SLOT-1:0] slot;

  if (SLOT >= 64 || BEATS * SLOT % 64 == 0) begin : gen_whole_words
    axis_width #(
      .IN_BITS(64),
      .OUT_BITS(SLOT)
    ) convert (
      .aclk(aclk),
      .aresetn(aresetn),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .m_axis_tdata(slot),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
    );
  end else begin : gen_part_words
    // The last word of an image is left early.
    localparam int unsigned RATIO = 64 / SLOT;
    localparam int unsigned PLACE_BITS = $clog2(RATIO);
    localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;
    logic [63:0] word_q;
    logic full_q, beat, last, image_last;
    logic [PLACE_BITS-1:0] place_q;
    logic [BEAT_BITS-1:0] beat_q;
    assign image_last = beat_q == BEAT_BITS'(BEATS - 1);
    assign last = place_q == PLACE_BITS'(RATIO - 1) || image_last;
    assign beat = full_q && m_axis_tready;
    assign s_axis_tready = !full_q || (last && m_axis_tready);
    assign m_axis_tvalid = full_q;
    assign slot = word_q[place_q*SLOT+:SLOT];
    always_ff @(posedge aclk) begin
      if (s_axis_tready) word_q <= s_axis_tdata;
      if (!aresetn) begin
        full_q <= 1'b0;
        place_q <= '0;
        beat_q <= '0;
      end else begin
        if (s_axis_tready) full_q <= s_axis_tvalid;
        if (beat) begin
          place_q <= last ? '0 : place_q + 1'b1;
          beat_q <= image_last ? '0 : beat_q + 1'b1;
        end
      end
    end
  end

  logic [ELEMENTS*ELEMENT_BITS-1:0] elements;
  if (MEMORY_BITS == ELEMENT_BITS) begin : gen_same
    assign elements = slot[USED-1:0];
  end else begin : gen_spread
    for (genvar i = 0; i < ELEMENTS; i++) begin : gen_element
      assign elements[i*ELEMENT_BITS+:ELEMENT_BITS] = {ELEMENT_BITS{slot[i]}};
    end
  end
  if (OUT_BITS > ELEMENTS * ELEMENT_BITS) begin : gen_pad
    assign m_axis_tdata = {{(OUT_BITS - ELEMENTS * ELEMENT_BITS){1'b0}}, elements};
  end else begin : gen_full
    assign m_axis_tdata = elements;
  end
  if (SLOT > USED) begin : gen_unused
    logic unused;
    assign unused = &{1'b0, slot[SLOT-1:USED]};
  end
endmodule
