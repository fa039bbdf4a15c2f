// Yosys technology map: a small read-only memory becomes LUTs that hold its words.
//
// Left to itself Yosys turns such a memory into a tree of multiplexers over constants, and the
// mapper finds the one LUT6 that 64 words of a bit are no more: it takes more than three. Here each
// bit is one LUT6 for every 64 words, joined by MUXF7 and MUXF8.
//
// Legal: one read port with a clock and no reset, no write port, at most 256 words; anything else
// is left to Yosys. Select what may be mapped: `techmap -autoproc -map rom_lut.v a:ram_style=...`.

(* techmap_celltype = "$mem_v2" *)
module rom_lut (
  RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA
);
  parameter MEMID = "";
  parameter signed SIZE = 4;
  parameter signed OFFSET = 0;
  parameter signed ABITS = 2;
  parameter signed WIDTH = 8;
  parameter signed INIT = 1'bx;
  parameter signed RD_PORTS = 1;
  parameter RD_CLK_ENABLE = 1'b1;
  parameter RD_CLK_POLARITY = 1'b1;
  parameter RD_TRANSPARENCY_MASK = 1'b0;
  parameter RD_COLLISION_X_MASK = 1'b0;
  parameter RD_WIDE_CONTINUATION = 1'b0;
  parameter RD_CE_OVER_SRST = 1'b0;
  parameter RD_ARST_VALUE = 1'b0;
  parameter RD_SRST_VALUE = 1'b0;
  parameter RD_INIT_VALUE = 1'b0;
  parameter signed WR_PORTS = 0;
  parameter WR_CLK_ENABLE = 1'b0;
  parameter WR_CLK_POLARITY = 1'b0;
  parameter WR_PRIORITY_MASK = 1'b0;
  parameter WR_WIDE_CONTINUATION = 1'b0;

  input [RD_PORTS-1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [RD_PORTS*ABITS-1:0] RD_ADDR;
  output [RD_PORTS*WIDTH-1:0] RD_DATA;
  input [WR_PORTS-1:0] WR_CLK;
  input [WR_PORTS*WIDTH-1:0] WR_EN;
  input [WR_PORTS*ABITS-1:0] WR_ADDR;
  input [WR_PORTS*WIDTH-1:0] WR_DATA;

  parameter _TECHMAP_CONSTMSK_RD_ARST_ = 1'b0;
  parameter _TECHMAP_CONSTVAL_RD_ARST_ = 1'b0;
  parameter _TECHMAP_CONSTMSK_RD_SRST_ = 1'b0;
  parameter _TECHMAP_CONSTVAL_RD_SRST_ = 1'b0;
  localparam NO_RESET = _TECHMAP_CONSTMSK_RD_ARST_ === 1'b1 && _TECHMAP_CONSTVAL_RD_ARST_ === 1'b0
      && _TECHMAP_CONSTMSK_RD_SRST_ === 1'b1 && _TECHMAP_CONSTVAL_RD_SRST_ === 1'b0;
  localparam BLOCKS = (SIZE + 63) / 64;
  wire _TECHMAP_FAIL_ = RD_PORTS != 1 || WR_PORTS != 0 || OFFSET != 0 || SIZE > 256 || !NO_RESET
      || RD_CLK_ENABLE !== 1'b1 || RD_CLK_POLARITY !== 1'b1;

  // 64 words of one bit, from word 64 * block up; words beyond the end are 0.
  function [63:0] table_of(input integer column, input integer block);
    integer i;
    begin
      table_of = 64'd0;
      for (i = 0; i < 64; i = i + 1)
        if (64 * block + i < SIZE) table_of[i] = INIT[(64 * block + i) * WIDTH + column];
    end
  endfunction

  wire [7:0] address = RD_ADDR;
  wire [WIDTH-1:0] words;
  genvar b, k;
  generate
    for (b = 0; b < WIDTH; b = b + 1) begin : gen_bit
      wire [3:0] part;
      for (k = 0; k < BLOCKS; k = k + 1) begin : gen_block
        if (table_of(b, k) == 64'd0) begin : gen_zero
          assign part[k] = 1'b0;
        end else begin : gen_lut
          LUT6 #(.INIT(table_of(b, k))) lut (
            .I0(address[0]), .I1(address[1]), .I2(address[2]),
            .I3(address[3]), .I4(address[4]), .I5(address[5]), .O(part[k])
          );
        end
      end
      for (k = BLOCKS; k < 4; k = k + 1) begin : gen_unused
        assign part[k] = 1'b0;
      end
      if (BLOCKS == 1) begin : gen_one
        assign words[b] = part[0];
      end else begin : gen_muxes
        wire low, high;
        MUXF7 mux_low (.I0(part[0]), .I1(part[1]), .S(address[6]), .O(low));
        if (BLOCKS == 2) begin : gen_two
          assign words[b] = low;
        end else begin : gen_four
          MUXF7 mux_high (.I0(part[2]), .I1(part[3]), .S(address[6]), .O(high));
          MUXF8 mux (.I0(low), .I1(high), .S(address[7]), .O(words[b]));
        end
      end
    end
  endgenerate

  reg [WIDTH-1:0] data;
  always @(posedge RD_CLK) if (RD_EN) data <= words;
  assign RD_DATA = data;
endmodule
