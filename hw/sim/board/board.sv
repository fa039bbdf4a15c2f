// The whole programmable logic of a board behind ports, for the simulated board (board.cpp).
//
// `board` instantiates the board's top, BOARD_TOP with BOARD_PARAMETERS (both in parameters.svh, written by
// flow/board/model.py). The top's PS7 is the one below: nothing but wires to the ports of `board`, so
// that the behaviour of the processing system is in C++. `fclk0` is FCLKCLK[0]; 1 to 3 stand still.
// Needs zynq.sv.
`include "parameters.svh"
/* verilator lint_off DECLFILENAME */  // a vendor's primitive beside the top
module PS7 (
    `PS7_PORTS
);
  assign FCLKCLK = {3'd0, board.fclk0};
  assign FCLKRESETN = {4{board.fclk_resetn}};

  assign MAXIGP0AWVALID = board.gp0_awvalid;
  assign MAXIGP0AWID = board.gp0_awid;
  assign MAXIGP0AWADDR = board.gp0_awaddr;
  assign MAXIGP0AWLEN = board.gp0_awlen[3:0];
  assign MAXIGP0AWSIZE = board.gp0_awsize[1:0];
  assign MAXIGP0AWBURST = board.gp0_awburst;
  assign MAXIGP0WVALID = board.gp0_wvalid;
  assign MAXIGP0WID = board.gp0_awid;
  assign MAXIGP0WDATA = board.gp0_wdata;
  assign MAXIGP0WSTRB = board.gp0_wstrb;
  assign MAXIGP0WLAST = board.gp0_wlast;
  assign MAXIGP0BREADY = board.gp0_bready;
  assign MAXIGP0ARVALID = board.gp0_arvalid;
  assign MAXIGP0ARID = board.gp0_arid;
  assign MAXIGP0ARADDR = board.gp0_araddr;
  assign MAXIGP0ARLEN = board.gp0_arlen[3:0];
  assign MAXIGP0ARSIZE = board.gp0_arsize[1:0];
  assign MAXIGP0ARBURST = board.gp0_arburst;
  assign MAXIGP0RREADY = board.gp0_rready;
  assign board.gp0_awready = MAXIGP0AWREADY;
  assign board.gp0_wready = MAXIGP0WREADY;
  assign board.gp0_bvalid = MAXIGP0BVALID;
  assign board.gp0_bid = MAXIGP0BID;
  assign board.gp0_bresp = MAXIGP0BRESP;
  assign board.gp0_arready = MAXIGP0ARREADY;
  assign board.gp0_rvalid = MAXIGP0RVALID;
  assign board.gp0_rid = MAXIGP0RID;
  assign board.gp0_rdata = MAXIGP0RDATA;
  assign board.gp0_rresp = MAXIGP0RRESP;
  assign board.gp0_rlast = MAXIGP0RLAST;

  assign SAXIHP0ARREADY = board.hp0_arready;
  assign SAXIHP0RVALID = board.hp0_rvalid;
  assign SAXIHP0RID = board.hp0_rid;
  assign SAXIHP0RDATA = board.hp0_rdata;
  assign SAXIHP0RRESP = board.hp0_rresp;
  assign SAXIHP0RLAST = board.hp0_rlast;
  assign SAXIHP0AWREADY = board.hp0_awready;
  assign SAXIHP0WREADY = board.hp0_wready;
  assign SAXIHP0BVALID = board.hp0_bvalid;
  assign SAXIHP0BID = board.hp0_bid;
  assign SAXIHP0BRESP = board.hp0_bresp;
  assign board.hp0_arvalid = SAXIHP0ARVALID;
  assign board.hp0_arid = SAXIHP0ARID;
  assign board.hp0_araddr = SAXIHP0ARADDR;
  assign board.hp0_arlen = SAXIHP0ARLEN;
  assign board.hp0_arsize = SAXIHP0ARSIZE;
  assign board.hp0_arburst = SAXIHP0ARBURST;
  assign board.hp0_rready = SAXIHP0RREADY;
  assign board.hp0_awvalid = SAXIHP0AWVALID;
  assign board.hp0_awid = SAXIHP0AWID;
  assign board.hp0_awaddr = SAXIHP0AWADDR;
  assign board.hp0_awlen = SAXIHP0AWLEN;
  assign board.hp0_awsize = SAXIHP0AWSIZE;
  assign board.hp0_awburst = SAXIHP0AWBURST;
  assign board.hp0_wvalid = SAXIHP0WVALID;
  assign board.hp0_wid = SAXIHP0WID;
  assign board.hp0_wdata = SAXIHP0WDATA;
  assign board.hp0_wstrb = SAXIHP0WSTRB;
  assign board.hp0_wlast = SAXIHP0WLAST;
  assign board.hp0_bready = SAXIHP0BREADY;

  // What must be tied, and both ports on the clock that is simulated.
  assign board.tied = FPGAIDLEN && IRQF2P == '0 && !SAXIHP0RDISSUECAP1EN && !SAXIHP0WRISSUECAP1EN
      && SAXIHP0ARLOCK == '0 && SAXIHP0AWLOCK == '0 && MAXIGP0ACLK == board.fclk0
      && SAXIHP0ACLK == board.fclk0;

  // verilator lint_off UNUSEDSIGNAL
  logic free;  // what memory may do with a burst, no rule of AXI
  assign free = ^{SAXIHP0ARCACHE, SAXIHP0ARPROT, SAXIHP0ARQOS, SAXIHP0AWCACHE, SAXIHP0AWPROT, SAXIHP0AWQOS};
  // verilator lint_on UNUSEDSIGNAL
endmodule
/* verilator lint_on DECLFILENAME */

// Lengths and sizes of GP0 are as wide as AXI4's, which test benches drive; the PS7 has the lower bits.
module board (
    input  logic        fclk0,
    input  logic        fclk_resetn,
    output logic        tied,
    output logic [3:0]  led,

    input  logic        gp0_awvalid,
    output logic        gp0_awready,
    input  logic [11:0] gp0_awid,
    input  logic [31:0] gp0_awaddr,
    input  logic [7:0]  gp0_awlen,
    input  logic [2:0]  gp0_awsize,
    input  logic [1:0]  gp0_awburst,
    input  logic        gp0_wvalid,
    output logic        gp0_wready,
    input  logic [31:0] gp0_wdata,
    input  logic [3:0]  gp0_wstrb,
    input  logic        gp0_wlast,
    output logic        gp0_bvalid,
    input  logic        gp0_bready,
    output logic [11:0] gp0_bid,
    output logic [1:0]  gp0_bresp,
    input  logic        gp0_arvalid,
    output logic        gp0_arready,
    input  logic [11:0] gp0_arid,
    input  logic [31:0] gp0_araddr,
    input  logic [7:0]  gp0_arlen,
    input  logic [2:0]  gp0_arsize,
    input  logic [1:0]  gp0_arburst,
    output logic        gp0_rvalid,
    input  logic        gp0_rready,
    output logic [11:0] gp0_rid,
    output logic [31:0] gp0_rdata,
    output logic [1:0]  gp0_rresp,
    output logic        gp0_rlast,

    output logic        hp0_arvalid,
    input  logic        hp0_arready,
    output logic [5:0]  hp0_arid,
    output logic [31:0] hp0_araddr,
    output logic [3:0]  hp0_arlen,
    output logic [1:0]  hp0_arsize,
    output logic [1:0]  hp0_arburst,
    input  logic        hp0_rvalid,
    output logic        hp0_rready,
    input  logic [5:0]  hp0_rid,
    input  logic [63:0] hp0_rdata,
    input  logic [1:0]  hp0_rresp,
    input  logic        hp0_rlast,
    output logic        hp0_awvalid,
    input  logic        hp0_awready,
    output logic [5:0]  hp0_awid,
    output logic [31:0] hp0_awaddr,
    output logic [3:0]  hp0_awlen,
    output logic [1:0]  hp0_awsize,
    output logic [1:0]  hp0_awburst,
    output logic        hp0_wvalid,
    input  logic        hp0_wready,
    output logic [5:0]  hp0_wid,
    output logic [63:0] hp0_wdata,
    output logic [7:0]  hp0_wstrb,
    output logic        hp0_wlast,
    input  logic        hp0_bvalid,
    output logic        hp0_bready,
    input  logic [5:0]  hp0_bid,
    input  logic [1:0]  hp0_bresp
);
  `BOARD_TOP #(`BOARD_PARAMETERS) logic_under_test (.led(led));
endmodule
