// The whole of pynq_z2 with a core like shell_bench's; its PS7 hands the bench's signals through.
//
// PS7 joins M_AXI_GP0 and S_AXI_HP0 to the ports of the same meaning of this bench.
/* verilator lint_off DECLFILENAME */
module BUFG (
  input  logic I,
  output logic O
);
  assign O = I;
endmodule

module PS7 (
  output logic [3:0]  FCLKCLK,
  output logic [3:0]  FCLKRESETN,
  input  logic        FPGAIDLEN,
  input  logic [19:0] IRQF2P,
  input  logic        MAXIGP0ACLK,
  output logic         MAXIGP0AWVALID,
  output logic [11:0]  MAXIGP0AWID,
  output logic [31:0]  MAXIGP0AWADDR,
  output logic [3:0]   MAXIGP0AWLEN,
  output logic [1:0]   MAXIGP0AWSIZE,
  output logic [1:0]   MAXIGP0AWBURST,
  output logic         MAXIGP0WVALID,
  output logic [31:0]  MAXIGP0WDATA,
  output logic [3:0]   MAXIGP0WSTRB,
  output logic         MAXIGP0BREADY,
  output logic         MAXIGP0ARVALID,
  output logic [11:0]  MAXIGP0ARID,
  output logic [31:0]  MAXIGP0ARADDR,
  output logic [3:0]   MAXIGP0ARLEN,
  output logic [1:0]   MAXIGP0ARSIZE,
  output logic [1:0]   MAXIGP0ARBURST,
  output logic         MAXIGP0RREADY,
  input  logic         MAXIGP0AWREADY,
  input  logic         MAXIGP0WREADY,
  input  logic         MAXIGP0BVALID,
  input  logic [11:0]  MAXIGP0BID,
  input  logic [1:0]   MAXIGP0BRESP,
  input  logic         MAXIGP0ARREADY,
  input  logic         MAXIGP0RVALID,
  input  logic [11:0]  MAXIGP0RID,
  input  logic [31:0]  MAXIGP0RDATA,
  input  logic [1:0]   MAXIGP0RRESP,
  input  logic         MAXIGP0RLAST,
  output logic         SAXIHP0ARREADY,
  output logic         SAXIHP0RVALID,
  output logic [63:0]  SAXIHP0RDATA,
  output logic [1:0]   SAXIHP0RRESP,
  output logic         SAXIHP0AWREADY,
  output logic         SAXIHP0WREADY,
  output logic         SAXIHP0BVALID,
  output logic [1:0]   SAXIHP0BRESP,
  input  logic         SAXIHP0ARVALID,
  input  logic [31:0]  SAXIHP0ARADDR,
  input  logic [3:0]   SAXIHP0ARLEN,
  input  logic [1:0]   SAXIHP0ARSIZE,
  input  logic [1:0]   SAXIHP0ARBURST,
  input  logic [5:0]   SAXIHP0ARID,
  input  logic         SAXIHP0RREADY,
  input  logic         SAXIHP0AWVALID,
  input  logic [31:0]  SAXIHP0AWADDR,
  input  logic [3:0]   SAXIHP0AWLEN,
  input  logic [1:0]   SAXIHP0AWSIZE,
  input  logic [1:0]   SAXIHP0AWBURST,
  input  logic [5:0]   SAXIHP0AWID,
  input  logic         SAXIHP0WVALID,
  input  logic [63:0]  SAXIHP0WDATA,
  input  logic [7:0]   SAXIHP0WSTRB,
  input  logic         SAXIHP0WLAST,
  input  logic         SAXIHP0BREADY,
  input  logic [3:0]   SAXIHP0ARCACHE,
  input  logic [1:0]   SAXIHP0ARLOCK,
  input  logic [2:0]   SAXIHP0ARPROT,
  input  logic [3:0]   SAXIHP0ARQOS,
  input  logic [3:0]   SAXIHP0AWCACHE,
  input  logic [1:0]   SAXIHP0AWLOCK,
  input  logic [2:0]   SAXIHP0AWPROT,
  input  logic [3:0]   SAXIHP0AWQOS,
  input  logic [5:0]   SAXIHP0WID,
  input  logic         SAXIHP0RDISSUECAP1EN,
  input  logic         SAXIHP0WRISSUECAP1EN,
  input  logic         SAXIHP0ACLK
);
  assign FCLKCLK = {3'd0, pynq_bench.aclk};
  assign FCLKRESETN = {3'd0, pynq_bench.aresetn};
  assign MAXIGP0AWVALID = pynq_bench.gp0_awvalid;
  assign MAXIGP0AWID = pynq_bench.gp0_awid;
  assign MAXIGP0AWADDR = pynq_bench.gp0_awaddr;
  assign MAXIGP0AWLEN = pynq_bench.gp0_awlen[3:0];
  assign MAXIGP0AWSIZE = pynq_bench.gp0_awsize[1:0];
  assign MAXIGP0AWBURST = pynq_bench.gp0_awburst;
  assign MAXIGP0WVALID = pynq_bench.gp0_wvalid;
  assign MAXIGP0WDATA = pynq_bench.gp0_wdata;
  assign MAXIGP0WSTRB = pynq_bench.gp0_wstrb;
  assign MAXIGP0BREADY = pynq_bench.gp0_bready;
  assign MAXIGP0ARVALID = pynq_bench.gp0_arvalid;
  assign MAXIGP0ARID = pynq_bench.gp0_arid;
  assign MAXIGP0ARADDR = pynq_bench.gp0_araddr;
  assign MAXIGP0ARLEN = pynq_bench.gp0_arlen[3:0];
  assign MAXIGP0ARSIZE = pynq_bench.gp0_arsize[1:0];
  assign MAXIGP0ARBURST = pynq_bench.gp0_arburst;
  assign MAXIGP0RREADY = pynq_bench.gp0_rready;
  assign SAXIHP0ARREADY = pynq_bench.m_axi_arready;
  assign SAXIHP0RVALID = pynq_bench.m_axi_rvalid;
  assign SAXIHP0RDATA = pynq_bench.m_axi_rdata;
  assign SAXIHP0RRESP = pynq_bench.m_axi_rresp;
  assign SAXIHP0AWREADY = pynq_bench.m_axi_awready;
  assign SAXIHP0WREADY = pynq_bench.m_axi_wready;
  assign SAXIHP0BVALID = pynq_bench.m_axi_bvalid;
  assign SAXIHP0BRESP = pynq_bench.m_axi_bresp;
  // What AXI3 and the PS7 want tied.
  always_ff @(posedge FCLKCLK[0]) begin
    if (!FPGAIDLEN || IRQF2P != '0 || MAXIGP0ACLK != SAXIHP0ACLK) $fatal(1, "PS7: not tied");
    if (SAXIHP0WID != SAXIHP0AWID) $fatal(1, "PS7: WID is not AWID");
  end
endmodule

module top (
  input logic aclk, aresetn, s_axis_tvalid, m_axis_tready,
  input logic [127:0] s_axis_tdata,
  output logic s_axis_tready, m_axis_tvalid,
  output logic [7:0] m_axis_tdata
);
  // 49 beats: the sum of their lowest and highest 16 bits, the lowest four bits of it.
  logic [15:0] sum_q, now;
  logic [5:0] beat_q;
  logic full_q, take;
  assign take = s_axis_tvalid && s_axis_tready;
  assign now = (beat_q == 6'd0 ? 16'd0 : sum_q) + s_axis_tdata[15:0] + s_axis_tdata[127:112];
  assign s_axis_tready = !full_q;
  assign m_axis_tvalid = full_q;
  assign m_axis_tdata = {4'd0, sum_q[3:0]};
  always_ff @(posedge aclk) begin
    if (take) begin
      sum_q <= now;
      beat_q <= beat_q == 6'd48 ? 6'd0 : beat_q + 6'd1;
      full_q <= beat_q == 6'd48;
    end
    if (full_q && m_axis_tready) full_q <= 1'b0;
    if (!aresetn) {beat_q, full_q} <= '0;
  end
endmodule

module pynq_bench (
  input  logic                 aclk,
  input  logic                 aresetn,
  input  logic                 stall_in,
  input  logic                 stall_out,
  output logic [3:0]           led,

  input  logic                 gp0_awvalid,
  output logic                 gp0_awready,
  input  logic [11:0]          gp0_awid,
  input  logic [31:0]          gp0_awaddr,
  input  logic [7:0]           gp0_awlen,
  input  logic [2:0]           gp0_awsize,
  input  logic [1:0]           gp0_awburst,
  input  logic                 gp0_wvalid,
  output logic                 gp0_wready,
  input  logic [31:0]          gp0_wdata,
  input  logic [3:0]           gp0_wstrb,
  input  logic                 gp0_wlast,
  output logic                 gp0_bvalid,
  input  logic                 gp0_bready,
  output logic [11:0]          gp0_bid,
  output logic [1:0]           gp0_bresp,
  input  logic                 gp0_arvalid,
  output logic                 gp0_arready,
  input  logic [11:0]          gp0_arid,
  input  logic [31:0]          gp0_araddr,
  input  logic [7:0]           gp0_arlen,
  input  logic [2:0]           gp0_arsize,
  input  logic [1:0]           gp0_arburst,
  output logic                 gp0_rvalid,
  input  logic                 gp0_rready,
  output logic [11:0]          gp0_rid,
  output logic [31:0]          gp0_rdata,
  output logic [1:0]           gp0_rresp,
  output logic                 gp0_rlast,

  output logic                 m_axi_arvalid,
  input  logic                 m_axi_arready,
  output logic [5:0]           m_axi_arid,
  output logic [31:0]          m_axi_araddr,
  output logic [7:0]           m_axi_arlen,
  output logic [2:0]           m_axi_arsize,
  output logic [1:0]           m_axi_arburst,
  input  logic                 m_axi_rvalid,
  output logic                 m_axi_rready,
  input  logic [5:0]           m_axi_rid,
  input  logic [63:0]          m_axi_rdata,
  input  logic [1:0]           m_axi_rresp,
  input  logic                 m_axi_rlast,
  output logic                 m_axi_awvalid,
  input  logic                 m_axi_awready,
  output logic [5:0]           m_axi_awid,
  output logic [31:0]          m_axi_awaddr,
  output logic [7:0]           m_axi_awlen,
  output logic [2:0]           m_axi_awsize,
  output logic [1:0]           m_axi_awburst,
  output logic                 m_axi_wvalid,
  input  logic                 m_axi_wready,
  output logic [63:0]          m_axi_wdata,
  output logic [7:0]           m_axi_wstrb,
  output logic                 m_axi_wlast,
  input  logic                 m_axi_bvalid,
  output logic                 m_axi_bready,
  input  logic [5:0]           m_axi_bid,
  input  logic [1:0]           m_axi_bresp
);
  pynq_z2 #(
    .IN_ELEMENTS(16),
    .IN_BEATS(49),
    .IN_BITS(128),
    .BUILD(32'hC0FFEE11)
  ) dut (
    .led(led)
  );
  assign gp0_awready = dut.ps7.MAXIGP0AWREADY;
  assign gp0_wready = dut.ps7.MAXIGP0WREADY;
  assign gp0_bvalid = dut.ps7.MAXIGP0BVALID;
  assign gp0_bid = dut.ps7.MAXIGP0BID;
  assign gp0_bresp = dut.ps7.MAXIGP0BRESP;
  assign gp0_arready = dut.ps7.MAXIGP0ARREADY;
  assign gp0_rvalid = dut.ps7.MAXIGP0RVALID;
  assign gp0_rid = dut.ps7.MAXIGP0RID;
  assign gp0_rdata = dut.ps7.MAXIGP0RDATA;
  assign gp0_rresp = dut.ps7.MAXIGP0RRESP;
  assign gp0_rlast = dut.ps7.MAXIGP0RLAST;
  assign m_axi_arvalid = dut.ps7.SAXIHP0ARVALID;
  assign m_axi_araddr = dut.ps7.SAXIHP0ARADDR;
  assign m_axi_arlen = 8'(dut.ps7.SAXIHP0ARLEN);
  assign m_axi_arsize = 3'(dut.ps7.SAXIHP0ARSIZE);
  assign m_axi_arburst = dut.ps7.SAXIHP0ARBURST;
  assign m_axi_arid = dut.ps7.SAXIHP0ARID;
  assign m_axi_rready = dut.ps7.SAXIHP0RREADY;
  assign m_axi_awvalid = dut.ps7.SAXIHP0AWVALID;
  assign m_axi_awaddr = dut.ps7.SAXIHP0AWADDR;
  assign m_axi_awlen = 8'(dut.ps7.SAXIHP0AWLEN);
  assign m_axi_awsize = 3'(dut.ps7.SAXIHP0AWSIZE);
  assign m_axi_awburst = dut.ps7.SAXIHP0AWBURST;
  assign m_axi_awid = dut.ps7.SAXIHP0AWID;
  assign m_axi_wvalid = dut.ps7.SAXIHP0WVALID;
  assign m_axi_wdata = dut.ps7.SAXIHP0WDATA;
  assign m_axi_wstrb = dut.ps7.SAXIHP0WSTRB;
  assign m_axi_wlast = dut.ps7.SAXIHP0WLAST;
  assign m_axi_bready = dut.ps7.SAXIHP0BREADY;
endmodule
