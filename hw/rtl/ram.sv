// Simple dual-port memory in block RAM: one port writes, one reads, with a registered output.
//
//   read_data (after the edge) = word at read_addr (before the edge), where read is high; else unchanged.
//
// A word read while it is written comes out old. The optional output register of the block stays
// unused, since the open tools never configure its clock, and so do the widths below 18 bits:
// words of fewer than ten bits are kept several times over, so that Yosys takes a wider block.
// Legal: WIDTH >= 1, 2 <= DEPTH <= 2048 (deeper ones become blocks of 9 bits, which are not proven).

module ram #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 64,
  localparam int unsigned ADDR_BITS = $clog2(DEPTH)
) (
  input logic aclk,
  input logic write,
  input logic [ADDR_BITS-1:0] write_addr,
  input logic [WIDTH-1:0] write_data,
  input logic read,
  input logic [ADDR_BITS-1:0] read_addr,
  output logic [WIDTH-1:0] read_data
);
  localparam int unsigned COPIES = WIDTH < 10 ? (9 + WIDTH) / WIDTH : 1;

  if (WIDTH < 1 || DEPTH < 2 || DEPTH > 2048) begin : gen_bad
    $error("ram: WIDTH must be at least 1, DEPTH 2..2048");
  end

  (* ram_style = "block" *) logic [COPIES*WIDTH-1:0] words[DEPTH];
  logic [COPIES*WIDTH-1:0] word_q;
  always_ff @(posedge aclk) begin
    if (write) words[write_addr] <= {COPIES{write_data}};
    if (read) word_q <= words[read_addr];
  end

  // Equal copies: their AND is the word, and no copy is superfluous to synthesis.
  always_comb begin
    read_data = '1;
    for (int unsigned i = 0; i < COPIES; i++) read_data = read_data & word_q[i*WIDTH+:WIDTH];
  end
endmodule
