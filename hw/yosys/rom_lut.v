// Yosys technology map: a small read-only memory becomes LUTs that hold its words.
//
// Left to itself Yosys turns such a memory into a tree of multiplexers over constants, and the
// mapper finds the one LUT6 that 64 words of a bit are no more: it takes more than three. Here each
// bit is one LUT6 for every 64 words, joined by MUXF7 and MUXF8.
//
// Legal: one read port with a clock and no reset or with neither, no write port, at most 256 words;
// anything else is left to Yosys. In steps, so that the tables are constants in the last:
//   techmap -autoproc -map rom_lut.v t:$mem_v2
//   techmap -map rom_lut.v t:$__rom_group; opt_clean; techmap -map rom_lut.v t:$__rom_table

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
      || (RD_CLK_ENABLE === 1'b1 && RD_CLK_POLARITY !== 1'b1);

  // Cut into groups of bits, and these into tables, in steps: Yosys needs a time that grows with the
  // square of the assignments in one module. As a signal, since a slice of a long parameter copies it.
  localparam GROUPS = (WIDTH + 31) / 32;
  wire [SIZE*WIDTH+31:0] init = INIT;
  wire [7:0] address = RD_ADDR;
  wire [32*GROUPS-1:0] words;
  genvar g, k, i;
  generate
    for (g = 0; g < GROUPS; g = g + 1) begin : gen_group
      wire [127:0] part;
      for (k = 0; k < 4; k = k + 1) begin : gen_block
        if (k < BLOCKS) begin : gen_used
          wire [64*32-1:0] rows;
          for (i = 0; i < 64; i = i + 1) begin : gen_row
            if (64 * k + i < SIZE) begin : gen_held
              assign rows[32*i+:32] = init[(64*k+i)*WIDTH+32*g+:32];
            end else begin : gen_beyond
              assign rows[32*i+:32] = 32'd0;
            end
          end
          \$__rom_group group (.ROWS(rows), .X(address[5:0]), .Y(part[32*k+:32]));
        end else begin : gen_unused
          assign part[32*k+:32] = 32'd0;
        end
      end
      for (i = 0; i < 32; i = i + 1) begin : gen_bit
        if (BLOCKS == 1) begin : gen_one
          assign words[32*g+i] = part[i];
        end else begin : gen_muxes
          wire low, high;
          MUXF7 mux_low (.I0(part[i]), .I1(part[32+i]), .S(address[6]), .O(low));
          if (BLOCKS == 2) begin : gen_two
            assign words[32*g+i] = low;
          end else begin : gen_four
            MUXF7 mux_high (.I0(part[64+i]), .I1(part[96+i]), .S(address[6]), .O(high));
            MUXF8 mux (.I0(low), .I1(high), .S(address[7]), .O(words[32*g+i]));
          end
        end
      end
    end
  endgenerate

  generate
    if (RD_CLK_ENABLE === 1'b1) begin : gen_register
      reg [WIDTH-1:0] data;
      always @(posedge RD_CLK) if (RD_EN) data <= words[WIDTH-1:0];
      assign RD_DATA = data;
    end else begin : gen_at_once
      assign RD_DATA = words[WIDTH-1:0];
    end
  endgenerate
endmodule

// 64 words of 32 bits; turns rows into columns.
(* techmap_celltype = "$__rom_group" *)
module rom_group (ROWS, X, Y);
  input [64*32-1:0] ROWS;
  input [5:0] X;
  output [31:0] Y;
  genvar b, i;
  generate
    for (b = 0; b < 32; b = b + 1) begin : gen_bit
      wire [63:0] column;
      for (i = 0; i < 64; i = i + 1) begin : gen_word
        assign column[i] = ROWS[32*i+b];
      end
      \$__rom_table lut (.TABLE(column), .X(X), .Y(Y[b]));
    end
  endgenerate
endmodule

// A function of six bits given by its table, which is constant by the time this is mapped.
(* techmap_celltype = "$__rom_table" *)
module rom_table (TABLE, X, Y);
  input [63:0] TABLE;
  input [5:0] X;
  output Y;
  parameter _TECHMAP_CONSTMSK_TABLE_ = 64'd0;
  parameter _TECHMAP_CONSTVAL_TABLE_ = 64'd0;
  wire _TECHMAP_FAIL_ = _TECHMAP_CONSTMSK_TABLE_ !== ~64'd0;
  generate
    if (_TECHMAP_CONSTVAL_TABLE_ === 64'd0) begin : gen_zero
      assign Y = 1'b0;
    end else begin : gen_lut
      LUT6 #(
        .INIT(_TECHMAP_CONSTVAL_TABLE_)
      ) lut (
        .I0(X[0]), .I1(X[1]), .I2(X[2]), .I3(X[3]), .I4(X[4]), .I5(X[5]), .O(Y)
      );
    end
  endgenerate
endmodule
