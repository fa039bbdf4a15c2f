// XNOR and population count: how many of N activation bits equal their weight bits.
//
//   m_count = sum over i of (a[i] == w[i])
//
// Built for LUT6: three pairs are six inputs, so two LUTs turn them into a two-bit number (the XNOR
// costs nothing); `compress` adds these numbers up. Everything moves with `enable`; `s_tag` travels
// beside the data and comes out with its count, which also tells the latency. Tags are 0 after reset.
//
// Latency: the first register, then one for every two levels of `compress`; see there.
// Legal: N >= 1, 2**OUT_BITS > N.

module popcount #(
  parameter int unsigned N = 64,  // lanes
  parameter int unsigned OUT_BITS = $clog2(N + 1),
  parameter int unsigned TAG_BITS = 1
) (
  input logic aclk,
  input logic aresetn,
  input logic enable,
  input logic [N-1:0] a,
  input logic [N-1:0] w,
  input logic [TAG_BITS-1:0] s_tag,
  output logic [OUT_BITS-1:0] m_count,
  output logic [TAG_BITS-1:0] m_tag
);
  localparam int unsigned GROUPS = (N + 2) / 3;
  localparam int unsigned COLS = N >= 2 ? $clog2(N + 1) : 1;
  // A last group of a single lane has no carry.
  localparam int unsigned CARRIES = N % 3 == 1 ? GROUPS - 1 : GROUPS;

  if (N < 1 || 2 ** OUT_BITS <= N) begin : gen_bad
    $error("popcount: N must be at least 1 and OUT_BITS wide enough for 0..N");
  end

  // First level: groups of three lanes to two bits. Unused lanes of the last group never match.
  logic [3*GROUPS-1:0] a_padded, w_padded;
  always_comb begin
    a_padded = '0;
    w_padded = '1;
    a_padded[N-1:0] = a;
    w_padded[N-1:0] = w;
  end

  // Bits 0 and 1 of the number of matches among three lanes, as truth tables.
  localparam logic [63:0] ONES = 64'h9669_6996_6996_9669;
  localparam logic [63:0] TWOS = 64'hE8D4_B271_8E4D_2B17;

  // Weight-1 bits below, weight-2 bits above.
  logic [GROUPS+CARRIES-1:0] first;
  for (genvar g = 0; g < GROUPS; g++) begin : gen_group
    logic [5:0] x;
    assign x = {w_padded[3*g+:3], a_padded[3*g+:3]};
    lut6 #(
      .TABLE(ONES)
    ) u_one (
      .x,
      .y(first[g])
    );
    if (g < CARRIES) begin : gen_carry
      lut6 #(
        .TABLE(TWOS)
      ) u_two (
        .x,
        .y(first[GROUPS+g])
      );
    end
  end

  logic [GROUPS+CARRIES-1:0] first_q;
  logic [TAG_BITS-1:0] tag_q;
  always_ff @(posedge aclk) begin
    if (enable) first_q <= first;
    if (!aresetn) tag_q <= '0;
    else if (enable) tag_q <= s_tag;
  end

  logic [COLS-1:0] count;
  compress #(
    .COLS(COLS),
    .HEIGHTS((12 * COLS)'(GROUPS) | (12 * COLS)'(CARRIES << 12)),
    .BITS(GROUPS + CARRIES),
    .TAG_BITS(TAG_BITS)
  ) u_compress (
    .aclk,
    .aresetn,
    .enable,
    .bits(first_q),
    .s_tag(tag_q),
    .m_count(count),
    .m_tag
  );
  assign m_count = OUT_BITS'(count);
endmodule
