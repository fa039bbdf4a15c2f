// XNOR and population count: how many of N activation bits equal their weight bits.
//
//   m_count = sum over i of (a[i] == w[i])
//
// Built for LUT6: three pairs are six inputs, so two LUTs turn them into a two-bit number (the XNOR
// costs nothing); `compress` adds these numbers up. Everything moves with `enable`; `s_tag` travels
// beside the data and comes out with its count, which also tells the latency. Tags are 0 after reset.
//
// Latency: a register after every SPAN levels of LUTs, these included; see `compress`.
// Where the weights are constants the first level is left to synthesis: of three lanes there are but
// eight sums, which the rows of a matrix share.
// Legal: 1 <= N <= 12000, 2**OUT_BITS > N, SPAN >= 2, CONSTANT 0 or 1.

module popcount #(
  parameter int unsigned N = 64,  // lanes
  parameter int unsigned OUT_BITS = $clog2(N + 1),
  parameter int unsigned TAG_BITS = 1,
  parameter int unsigned SPAN = 3,  // levels of LUTs between registers
  parameter int unsigned CONSTANT = 0  // 1: w never changes
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
  // The last group has no carry where it has a single lane.
  localparam int unsigned CARRIES = N % 3 == 1 ? GROUPS - 1 : GROUPS;

  if (N < 1 || N > 12000 || 2 ** OUT_BITS <= N || SPAN < 2) begin : gen_bad
    $error("popcount: N must be 1..12000, OUT_BITS wide enough for 0..N, SPAN at least 2");
  end

  // First level: group g adds up lane g of each third; the last group has fewer where lanes are
  // missing at the end of the second or third third. These never match.
  localparam int unsigned TWO_THIRDS = GROUPS + CARRIES;
  logic [3*GROUPS-1:0] a_padded, w_padded;
  if (N > TWO_THIRDS) begin : gen_thirds
    always_comb begin
      a_padded = '0;
      w_padded = '1;
      a_padded[TWO_THIRDS-1:0] = a[TWO_THIRDS-1:0];
      w_padded[TWO_THIRDS-1:0] = w[TWO_THIRDS-1:0];
      a_padded[2*GROUPS+:N-TWO_THIRDS] = a[N-1:TWO_THIRDS];
      w_padded[2*GROUPS+:N-TWO_THIRDS] = w[N-1:TWO_THIRDS];
    end
  end else begin : gen_one_group
    always_comb begin
      a_padded = '0;
      w_padded = '1;
      a_padded[N-1:0] = a;
      w_padded[N-1:0] = w;
    end
  end

  // Weight-1 bits below, weight-2 bits above.
  logic [GROUPS+CARRIES-1:0] first;
`ifdef VERILATOR
  localparam bit PLAIN = CONSTANT < 2;  // the same for all groups at once: simulated many times faster
`else
  localparam bit PLAIN = CONSTANT == 1;
`endif
  if (PLAIN) begin : gen_plain
    logic [GROUPS-1:0] x0, x1, x2, twos;
    assign {x2, x1, x0} = a_padded ~^ w_padded;
    assign twos = (x0 & x1) | (x2 & (x0 | x1));
    assign first[GROUPS-1:0] = x0 ^ x1 ^ x2;
    if (CARRIES > 0) begin : gen_carries
      assign first[GROUPS+:CARRIES] = twos[CARRIES-1:0];
    end
    logic unused;
    assign unused = &{1'b0, twos};
  end else begin : gen_luts
    // Bits 0 and 1 of the number of matches among three lanes, as truth tables.
    localparam logic [63:0] ONES = 64'h9669_6996_6996_9669;
    localparam logic [63:0] TWOS = 64'hE8D4_B271_8E4D_2B17;

    for (genvar g = 0; g < GROUPS; g++) begin : gen_group
      logic [5:0] x;
      assign x = {
        w_padded[2*GROUPS+g], w_padded[GROUPS+g], w_padded[g],
        a_padded[2*GROUPS+g], a_padded[GROUPS+g], a_padded[g]
      };
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
  end

  logic [COLS-1:0] count;
  compress #(
    .COLS(COLS),
    .HEIGHTS((12 * COLS)'(GROUPS) | (12 * COLS)'(CARRIES << 12)),
    .BITS(GROUPS + CARRIES),
    .TAG_BITS(TAG_BITS),
    .SPAN(SPAN),
    .LEVEL(1)
  ) u_compress (
    .aclk,
    .aresetn,
    .enable,
    .bits(first),
    .s_tag,
    .m_count(count),
    .m_tag
  );
  assign m_count = OUT_BITS'(count);
endmodule
