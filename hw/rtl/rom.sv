// Read-only memory from a file, with a registered output.
//
//   data (after the edge) = word at addr (before the edge), where enable is high; else unchanged.
//
// Latency: one cycle; a single word is a constant. BLOCK = 0: words in LUTs, output in flip-flops.
// BLOCK = 1: block RAM, whose read latch is the output; its optional output register stays unused,
// since the open tools never configure that register's clock. With WIDTH >= 10 Yosys takes blocks of
// 512 x 72, 1024 x 36 or 2048 x 18 bits, or halves of the first two; narrower, with more than 2048 words,
// or with more than 1024 where an odd number of blocks of 9 bits is enough, it takes such ones, which
// flow/implement/netlist_check.py refuses.
// File: $readmemh, one word a line; see hw/README.md.
// Legal: WIDTH >= 1, DEPTH >= 1, BLOCK 0 or 1.

module rom #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 64,
  parameter int unsigned BLOCK = 0,
  parameter INIT_FILE = "rom.mem",
  localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
  input logic aclk,
  input logic enable,
  input logic [ADDR_BITS-1:0] addr,
  output logic [WIDTH-1:0] data
);
  if (WIDTH < 1 || DEPTH < 1 || BLOCK > 1) begin : gen_bad
    $error("rom: WIDTH and DEPTH must be at least 1, BLOCK 0 or 1");
  end

  if (DEPTH == 1) begin : gen_constant
    // One word: a constant, no register needed.
    logic [WIDTH-1:0] words [1];
    initial $readmemh(INIT_FILE, words);
    assign data = words[0];
    logic unused;
    assign unused = &{1'b0, aclk, enable, addr};
  end else if (BLOCK == 1) begin : gen_block
    (* rom_style = "block" *) logic [WIDTH-1:0] words [DEPTH];
    initial $readmemh(INIT_FILE, words);
    always_ff @(posedge aclk) begin
      if (enable) data <= words[addr];
    end
  end else begin : gen_lut
`ifdef YOSYS
    (* rom_style = "logic" *)  // "distributed" would ask for LUT RAM, which is switched off
`else
    (* rom_style = "distributed" *)
`endif
    logic [WIDTH-1:0] words [DEPTH];
    initial $readmemh(INIT_FILE, words);
    always_ff @(posedge aclk) begin
      if (enable) data <= words[addr];
    end
  end
endmodule
