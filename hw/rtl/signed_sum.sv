// Sum of N numbers, each with the sign of its weight: a tree of adders.
//
//   m_sum = sum over i of (w[i] ? a[i] : -a[i]), m_sum in two's complement, a[i] where SIGNED = 1
//
// A node is a number with a sign beside it: that of its first lane. Joining A and B, the sign of A is
// kept and B is added where the signs agree, subtracted otherwise; so an adder is all that a node
// takes, a LUT a bit, and no number is negated before the root. Everything moves with `enable`;
// `s_tag` travels beside the data. Tags are 0 after reset.
//
// Latency: a register after every SPAN levels of adders and after the root.
// Legal: N, IN_BITS >= 1; OUT_BITS holds N * (2**IN_BITS - 1) and a sign.

module signed_sum #(
  parameter int unsigned N = 27,  // lanes
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned SIGNED = 0,  // 1: a[i] in two's complement
  parameter int unsigned OUT_BITS = $clog2(N * (2 ** IN_BITS - 1) + 1) + 1,
  parameter int unsigned TAG_BITS = 1,
  parameter int unsigned SPAN = 1  // levels of adders between registers
) (
  input logic aclk,
  input logic aresetn,
  input logic enable,
  input logic [N*IN_BITS-1:0] a,
  input logic [N-1:0] w,
  input logic [TAG_BITS-1:0] s_tag,
  output logic [OUT_BITS-1:0] m_sum,
  output logic [TAG_BITS-1:0] m_tag
);
  localparam int unsigned LEVELS = N > 1 ? $clog2(N) : 0;

  if (N < 1 || IN_BITS < 1 || 2 ** (OUT_BITS - 1) <= N * (2 ** IN_BITS - 1)) begin : gen_bad
    $error("signed_sum: OUT_BITS cannot hold the sum");
  end

  // Level l has ceil(N / 2**l) nodes, node n of it at place n. Yosys drops the bits that only repeat
  // the sign, since a level's numbers are as wide as they must be.
  for (genvar l = 0; l <= LEVELS; l++) begin : gen_level
    localparam int unsigned NODES = (N + 2 ** l - 1) / 2 ** l;
    localparam int unsigned BITS = IN_BITS + l + 1;
    logic [NODES*BITS-1:0] value;
    logic [NODES-1:0] sign;  // 1: the number counts negative
    logic [TAG_BITS-1:0] tag;

    if (l == 0) begin : gen_leaf
      for (genvar n = 0; n < NODES; n++) begin : gen_node
        assign value[n*BITS+:BITS] = {SIGNED == 1 && a[n*IN_BITS+IN_BITS-1], a[n*IN_BITS+:IN_BITS]};
      end
      assign sign = ~w;
      assign tag = s_tag;
    end else begin : gen_sum
      localparam int unsigned FROM = (N + 2 ** (l - 1) - 1) / 2 ** (l - 1);  // nodes below
      logic [NODES*BITS-1:0] sum;
      logic [NODES-1:0] first;
      for (genvar n = 0; n < NODES; n++) begin : gen_node
        logic [BITS-1:0] left;
        assign left = BITS'($signed(gen_level[l-1].value[2*n*(BITS-1)+:BITS-1]));
        assign first[n] = gen_level[l-1].sign[2*n];
        if (2 * n + 1 < FROM) begin : gen_add
          logic [BITS-1:0] right;
          logic minus;
          logic unused;
          assign right = BITS'($signed(gen_level[l-1].value[(2*n+1)*(BITS-1)+:BITS-1]));
          assign minus = first[n] ^ gen_level[l-1].sign[2*n+1];
          // One bit below, whose carry is the one of the two's complement.
          assign {sum[n*BITS+:BITS], unused} = {left, 1'b1} + {right ^ {BITS{minus}}, minus};
        end else begin : gen_pass
          assign sum[n*BITS+:BITS] = left;
        end
      end
      if (l % SPAN == 0) begin : gen_register
        logic [NODES*BITS-1:0] value_q;
        logic [NODES-1:0] sign_q;
        logic [TAG_BITS-1:0] tag_q;
        assign value = value_q;
        assign sign = sign_q;
        assign tag = tag_q;
        always_ff @(posedge aclk) begin
          if (enable) begin
            value_q <= sum;
            sign_q <= first;
          end
          if (!aresetn) tag_q <= '0;
          else if (enable) tag_q <= gen_level[l-1].tag;
        end
      end else begin : gen_wires
        assign value = sum;
        assign sign = first;
        assign tag = gen_level[l-1].tag;
      end
    end
  end

  localparam int unsigned ROOT_BITS = IN_BITS + LEVELS + 1;
  logic [ROOT_BITS-1:0] root;
  assign root = gen_level[LEVELS].value;
  always_ff @(posedge aclk) begin
    if (enable) begin
      m_sum <= OUT_BITS'($signed(gen_level[LEVELS].sign[0] ? -root : root));
    end
    if (!aresetn) m_tag <= '0;
    else if (enable) m_tag <= gen_level[LEVELS].tag;
  end
endmodule
