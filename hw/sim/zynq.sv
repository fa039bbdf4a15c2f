// What every simulation of a Zynq's programmable logic needs of the vendor's primitives.
//
// `BUFG`, and PS7_PORTS: the ports of `PS7` that a shell of ours may use. What is behind them differs:
// ps7_model.sv plays a script, board/board.sv hands them on to a program. Read before either.
/* verilator lint_off DECLFILENAME */  // the names are the vendor's
module BUFG (
    input  logic I,
    output logic O
);
  assign O = I;
endmodule
/* verilator lint_on DECLFILENAME */

`define PS7_PORTS \
    output logic [3:0]  FCLKCLK, \
    output logic [3:0]  FCLKRESETN, \
    input  logic        FPGAIDLEN, \
    input  logic [19:0] IRQF2P, \
    input  logic        MAXIGP0ACLK, \
    output logic        MAXIGP0AWVALID, \
    input  logic        MAXIGP0AWREADY, \
    output logic [11:0] MAXIGP0AWID, \
    output logic [31:0] MAXIGP0AWADDR, \
    output logic [3:0]  MAXIGP0AWLEN, \
    output logic [1:0]  MAXIGP0AWSIZE, \
    output logic [1:0]  MAXIGP0AWBURST, \
    output logic        MAXIGP0WVALID, \
    input  logic        MAXIGP0WREADY, \
    output logic [11:0] MAXIGP0WID, \
    output logic [31:0] MAXIGP0WDATA, \
    output logic [3:0]  MAXIGP0WSTRB, \
    output logic        MAXIGP0WLAST, \
    input  logic        MAXIGP0BVALID, \
    output logic        MAXIGP0BREADY, \
    input  logic [11:0] MAXIGP0BID, \
    input  logic [1:0]  MAXIGP0BRESP, \
    output logic        MAXIGP0ARVALID, \
    input  logic        MAXIGP0ARREADY, \
    output logic [11:0] MAXIGP0ARID, \
    output logic [31:0] MAXIGP0ARADDR, \
    output logic [3:0]  MAXIGP0ARLEN, \
    output logic [1:0]  MAXIGP0ARSIZE, \
    output logic [1:0]  MAXIGP0ARBURST, \
    input  logic        MAXIGP0RVALID, \
    output logic        MAXIGP0RREADY, \
    input  logic [11:0] MAXIGP0RID, \
    input  logic [31:0] MAXIGP0RDATA, \
    input  logic [1:0]  MAXIGP0RRESP, \
    input  logic        MAXIGP0RLAST, \
    input  logic        SAXIHP0ACLK, \
    input  logic        SAXIHP0RDISSUECAP1EN, \
    input  logic        SAXIHP0WRISSUECAP1EN, \
    input  logic        SAXIHP0ARVALID, \
    output logic        SAXIHP0ARREADY, \
    input  logic [5:0]  SAXIHP0ARID, \
    input  logic [31:0] SAXIHP0ARADDR, \
    input  logic [3:0]  SAXIHP0ARLEN, \
    input  logic [1:0]  SAXIHP0ARSIZE, \
    input  logic [1:0]  SAXIHP0ARBURST, \
    input  logic [3:0]  SAXIHP0ARCACHE, \
    input  logic [1:0]  SAXIHP0ARLOCK, \
    input  logic [2:0]  SAXIHP0ARPROT, \
    input  logic [3:0]  SAXIHP0ARQOS, \
    output logic        SAXIHP0RVALID, \
    input  logic        SAXIHP0RREADY, \
    output logic [5:0]  SAXIHP0RID, \
    output logic [63:0] SAXIHP0RDATA, \
    output logic [1:0]  SAXIHP0RRESP, \
    output logic        SAXIHP0RLAST, \
    input  logic        SAXIHP0AWVALID, \
    output logic        SAXIHP0AWREADY, \
    input  logic [5:0]  SAXIHP0AWID, \
    input  logic [31:0] SAXIHP0AWADDR, \
    input  logic [3:0]  SAXIHP0AWLEN, \
    input  logic [1:0]  SAXIHP0AWSIZE, \
    input  logic [1:0]  SAXIHP0AWBURST, \
    input  logic [3:0]  SAXIHP0AWCACHE, \
    input  logic [1:0]  SAXIHP0AWLOCK, \
    input  logic [2:0]  SAXIHP0AWPROT, \
    input  logic [3:0]  SAXIHP0AWQOS, \
    input  logic        SAXIHP0WVALID, \
    output logic        SAXIHP0WREADY, \
    input  logic [5:0]  SAXIHP0WID, \
    input  logic [63:0] SAXIHP0WDATA, \
    input  logic [7:0]  SAXIHP0WSTRB, \
    input  logic        SAXIHP0WLAST, \
    output logic        SAXIHP0BVALID, \
    input  logic        SAXIHP0BREADY, \
    output logic [5:0]  SAXIHP0BID, \
    output logic [1:0]  SAXIHP0BRESP
