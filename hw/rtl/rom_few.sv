// Read-only memory of a few words from a file, as logic of a registered address.
//
//   data (after the edge) = word at addr (before the edge), where enable is high; else unchanged.
//
// To the outside this is `rom` with BLOCK = 0. But its register stands in front of the words, so that
// the LUTs that read them take them in: with up to eight words, a bit is a function of three, and a
// LUT6 that reads three bits of them has room for three more inputs. The address is kept inverted,
// since Yosys would take a plain register behind the words again.
// Latency: one cycle.
// File: $readmemh, one word a line; see hw/README.md.
// Legal: WIDTH >= 1, 2 <= DEPTH <= 8.

module rom_few #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 8,
  parameter INIT_FILE = "rom.mem",
  localparam int unsigned ADDR_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
  input logic aclk,
  input logic enable,
  input logic [ADDR_BITS-1:0] addr,
  output logic [WIDTH-1:0] data
);
  if (WIDTH < 1 || DEPTH < 2 || DEPTH > 8) begin : gen_bad
    $error("rom_few: WIDTH must be at least 1, DEPTH 2 to 8");
  end

  logic [WIDTH-1:0] words [DEPTH];
  initial $readmemh(INIT_FILE, words);
  logic [ADDR_BITS-1:0] inverted_q;
  always_ff @(posedge aclk) begin
    if (enable) inverted_q <= ~addr;
  end
  assign data = words[~inverted_q];
endmodule
