// XNOR and population count: how many of N activation bits equal their weight bits.
//
//   m_count = sum over i of (a[i] == w[i])
//
// Built for LUT6: three pairs are six inputs, so two LUTs turn them into a two-bit number (the XNOR
// costs nothing). Two more pairs and the lower bit of that number are five inputs, of which one LUT
// with two outputs makes sum and carry, and so on with two more: chains of seven lanes give one bit
// of weight 1 and three of weight 2 in four LUTs. What is left over goes by threes. `compress` adds
// the bits up. Everything moves with `enable`; `s_tag` travels beside the data and comes out with
// its count, which also tells the latency. Tags are 0 after reset.
//
// Latency: a register after every SPAN levels of LUTs, the first ones (three where there are chains)
// included; see `compress`.
// Weights that are words of a memory of up to eight are functions of three bits, and three lanes of them
// have six inputs, too: with ABSORB = 1 there are no chains, and flow/implement/fanout.py takes the words
// into the first level's LUTs. With ABSORB = 2 they are constants, and the first level is left to
// synthesis: of three lanes there are but eight sums, which the rows of a matrix share.
// Legal: 1 <= N <= 12000, 2**OUT_BITS > N, SPAN >= 3, ABSORB 0 to 2.

module popcount #(
  parameter int unsigned N = 64,  // lanes
  parameter int unsigned OUT_BITS = $clog2(N + 1),
  parameter int unsigned TAG_BITS = 1,
  parameter int unsigned SPAN = 3,  // levels of LUTs between registers
  parameter int unsigned ABSORB = 0  // 1: w is logic of three bits, 2: constant
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
  localparam int unsigned COLS = N >= 2 ? $clog2(N + 1) : 1;
  // Chains pay from a dozen lanes on. Lanes 0 .. BEHIND-1 go by threes, the others behind these.
  localparam int unsigned CHAINS = N >= 12 && ABSORB == 0 ? N / 7 : 0;
  localparam int unsigned BEHIND = N - 4 * CHAINS;
  localparam int unsigned GROUPS = (BEHIND + 2) / 3;
  // The last group has no carry where it has a single lane.
  localparam int unsigned CARRIES = BEHIND % 3 == 1 ? GROUPS - 1 : GROUPS;
  localparam int unsigned TWOS = CARRIES + 2 * CHAINS;

  if (N < 1 || N > 12000 || 2 ** OUT_BITS <= N || SPAN < 3) begin : gen_bad
    $error("popcount: N must be 1..12000, OUT_BITS wide enough for 0..N, SPAN at least 3");
  end

  // First level: group g adds up lane g of each third; the last group has fewer where lanes are
  // missing at the end of the second or third third. These never match.
  localparam int unsigned TWO_THIRDS = GROUPS + CARRIES;
  logic [3*GROUPS-1:0] a_padded, w_padded;
  if (BEHIND > TWO_THIRDS) begin : gen_thirds
    always_comb begin
      a_padded = '0;
      w_padded = '1;
      a_padded[TWO_THIRDS-1:0] = a[TWO_THIRDS-1:0];
      w_padded[TWO_THIRDS-1:0] = w[TWO_THIRDS-1:0];
      a_padded[2*GROUPS+:BEHIND-TWO_THIRDS] = a[BEHIND-1:TWO_THIRDS];
      w_padded[2*GROUPS+:BEHIND-TWO_THIRDS] = w[BEHIND-1:TWO_THIRDS];
    end
  end else begin : gen_one_group
    always_comb begin
      a_padded = '0;
      w_padded = '1;
      a_padded[BEHIND-1:0] = a[BEHIND-1:0];
      w_padded[BEHIND-1:0] = w[BEHIND-1:0];
    end
  end

`ifdef VERILATOR
  localparam bit PLAIN = ABSORB < 3;  // the same for all groups at once: simulated many times faster
`else
  localparam bit PLAIN = ABSORB == 2;
`endif
  logic [GROUPS-1:0] sums, carries;
  if (PLAIN) begin : gen_plain
    logic [GROUPS-1:0] x0, x1, x2;
    assign {x2, x1, x0} = a_padded ~^ w_padded;
    assign sums = x0 ^ x1 ^ x2;
    assign carries = (x0 & x1) | (x2 & (x0 | x1));
  end else begin : gen_luts
    // Bits 0 and 1 of the number of matches among three lanes, as truth tables.
    localparam logic [63:0] ONES = 64'h9669_6996_6996_9669;
    localparam logic [63:0] TWOS_TABLE = 64'hE8D4_B271_8E4D_2B17;

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
        .y(sums[g])
      );
      if (g < CARRIES) begin : gen_carry
        lut6 #(
          .TABLE(TWOS_TABLE)
        ) u_two (
          .x,
          .y(carries[g])
        );
      end else begin : gen_no_carry
        assign carries[g] = 1'b0;
      end
    end
  end

  // Weight-1 bits below, weight-2 bits above.
  logic [GROUPS+TWOS-1:0] first;
  if (CARRIES > 0) begin : gen_carries
    assign first[GROUPS+:CARRIES] = carries[CARRIES-1:0];
  end
  logic unused;
  assign unused = &{1'b0, carries};

  // Second and third level: the first groups' sums take two more lanes each, twice.
  if (CHAINS == 0) begin : gen_no_chains
    assign first[GROUPS-1:0] = sums;
  end else begin : gen_chains
    logic [3*CHAINS-1:0] sum;  // before the second level, behind it, behind the third
    logic [2*CHAINS-1:0] carry;
    assign sum[CHAINS-1:0] = sums[CHAINS-1:0];
    assign first[CHAINS-1:0] = sum[3*CHAINS-1:2*CHAINS];
    if (GROUPS > CHAINS) begin : gen_groups
      assign first[GROUPS-1:CHAINS] = sums[GROUPS-1:CHAINS];
    end
    assign first[GROUPS+CARRIES+:2*CHAINS] = carry;
    for (genvar k = 0; k < 2; k++) begin : gen_level
      logic [CHAINS-1:0] a0, a1, w0, w1;
      assign {a1, a0} = a[BEHIND+2*k*CHAINS+:2*CHAINS];
      assign {w1, w0} = w[BEHIND+2*k*CHAINS+:2*CHAINS];
`ifdef VERILATOR
      logic [CHAINS-1:0] x0, x1;
      assign x0 = a0 ~^ w0;
      assign x1 = a1 ~^ w1;
      assign sum[(k+1)*CHAINS+:CHAINS] = x0 ^ x1 ^ sum[k*CHAINS+:CHAINS];
      assign carry[k*CHAINS+:CHAINS] = (x0 & x1) | (sum[k*CHAINS+:CHAINS] & (x0 | x1));
`else
      for (genvar c = 0; c < CHAINS; c++) begin : gen_chain
        // Sum and carry of two matches and a bit, as truth tables.
        lut5_pair #(
          .HIGH(32'h9669_6996),
          .LOW(32'hF99F_9009)
        ) u_pair (
          .x({sum[k*CHAINS+c], w1[c], a1[c], w0[c], a0[c]}),
          .high(sum[(k+1)*CHAINS+c]),
          .low(carry[k*CHAINS+c])
        );
      end
`endif
    end
  end

  logic [COLS-1:0] count;
  compress #(
    .COLS(COLS),
    .HEIGHTS((12 * COLS)'(GROUPS) | (12 * COLS)'(TWOS << 12)),
    .BITS(GROUPS + TWOS),
    .TAG_BITS(TAG_BITS),
    .SPAN(SPAN),
    .LEVEL(CHAINS > 0 ? 3 : 1)
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
