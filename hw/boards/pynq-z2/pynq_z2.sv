// The whole programmable logic of a PYNQ-Z2: processing system, accelerator shell with DMAs, core.
//
// Function
//   FCLK0 of the processing system clocks everything, through a BUFG; FCLKRESETN[0] is released in
//   step with it. The processor reaches the registers over M_AXI_GP0 at BASE; images are read and
//   results written over S_AXI_HP0, 64 bits wide, by physical addresses. HP0 is not coherent with the
//   processor's caches.
//   LEDs: 0 heartbeat (0.75 Hz at 100 MHz), 1 a batch is running, 2 one has ended, 3 error.
//
// Parameters, set from outside by the flow: as accelerator_shell.sv has them.
module pynq_z2 #(
    parameter int unsigned IN_ELEMENTS = 8,
    parameter int unsigned IN_ELEMENT_BITS = 8,
    parameter int unsigned IN_MEMORY_BITS = 8,
    parameter int unsigned IN_BEATS = 8,
    parameter int unsigned IN_BITS = 64,
    parameter int unsigned OUT_ELEMENTS = 1,
    parameter int unsigned OUT_ELEMENT_BITS = 4,
    parameter int unsigned OUT_MEMORY_BITS = 8,
    parameter int unsigned OUT_SIGNED = 0,
    parameter int unsigned OUT_BEATS = 1,
    parameter int unsigned OUT_BITS = 8,
    parameter logic [31:0] BUILD = 32'd0,
    parameter logic [31:0] BASE = 32'h43C0_0000
) (
    output logic [3:0] led
);
  // Clock and reset. The first two flip-flops see a reset that no clock has to do with.
  // verilator lint_off UNUSEDSIGNAL
  logic [3:0] fclk, fclk_resetn;  // 1 to 3 are not used
  // verilator lint_on UNUSEDSIGNAL
  logic aclk;
  logic [2:0] reset_q;
  BUFG clock_buffer (
      .I(fclk[0]),
      .O(aclk)
  );
  always_ff @(posedge aclk) reset_q <= {reset_q[1:0], fclk_resetn[0]};

  logic aresetn;
  assign aresetn = reset_q[2];

  // M_AXI_GP0.
  logic awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready, rlast;
  logic [11:0] awid, arid, bid, rid;
  logic [31:0] awaddr, araddr, wdata, rdata;
  logic [3:0] awlen, arlen, wstrb;
  logic [1:0] awsize, awburst, arsize, arburst, bresp, rresp;

  // S_AXI_HP0. All bursts have ID 0, 8 bytes a beat and rising addresses; what the memory may do
  // with them (cache, protection, priority) is left at its plainest.
  logic hp_arvalid, hp_arready, hp_rvalid, hp_rready, hp_awvalid, hp_awready;
  logic hp_wvalid, hp_wready, hp_wlast, hp_bvalid, hp_bready;
  logic [31:0] hp_araddr, hp_awaddr;
  logic [3:0] hp_arlen, hp_awlen;
  logic [63:0] hp_rdata, hp_wdata;
  logic [7:0] hp_wstrb;
  logic [1:0] hp_rresp, hp_bresp;

  // verilator lint_off PINMISSING
  PS7 ps7 (
      .FCLKCLK(fclk),
      .FCLKRESETN(fclk_resetn),
      .FPGAIDLEN(1'b1),
      .IRQF2P(20'd0),
      .MAXIGP0ACLK(aclk),
      .MAXIGP0AWVALID(awvalid),
      .MAXIGP0AWREADY(awready),
      .MAXIGP0AWID(awid),
      .MAXIGP0AWADDR(awaddr),
      .MAXIGP0AWLEN(awlen),
      .MAXIGP0AWSIZE(awsize),
      .MAXIGP0AWBURST(awburst),
      .MAXIGP0WVALID(wvalid),
      .MAXIGP0WREADY(wready),
      .MAXIGP0WDATA(wdata),
      .MAXIGP0WSTRB(wstrb),
      .MAXIGP0BVALID(bvalid),
      .MAXIGP0BREADY(bready),
      .MAXIGP0BID(bid),
      .MAXIGP0BRESP(bresp),
      .MAXIGP0ARVALID(arvalid),
      .MAXIGP0ARREADY(arready),
      .MAXIGP0ARID(arid),
      .MAXIGP0ARADDR(araddr),
      .MAXIGP0ARLEN(arlen),
      .MAXIGP0ARSIZE(arsize),
      .MAXIGP0ARBURST(arburst),
      .MAXIGP0RVALID(rvalid),
      .MAXIGP0RREADY(rready),
      .MAXIGP0RID(rid),
      .MAXIGP0RDATA(rdata),
      .MAXIGP0RRESP(rresp),
      .MAXIGP0RLAST(rlast),
      .SAXIHP0ACLK(aclk),
      .SAXIHP0RDISSUECAP1EN(1'b0),
      .SAXIHP0WRISSUECAP1EN(1'b0),
      .SAXIHP0ARVALID(hp_arvalid),
      .SAXIHP0ARREADY(hp_arready),
      .SAXIHP0ARID(6'd0),
      .SAXIHP0ARADDR(hp_araddr),
      .SAXIHP0ARLEN(hp_arlen),
      .SAXIHP0ARSIZE(2'd3),
      .SAXIHP0ARBURST(2'd1),
      .SAXIHP0ARCACHE(4'b0011),
      .SAXIHP0ARLOCK(2'd0),
      .SAXIHP0ARPROT(3'd0),
      .SAXIHP0ARQOS(4'd0),
      .SAXIHP0RVALID(hp_rvalid),
      .SAXIHP0RREADY(hp_rready),
      .SAXIHP0RDATA(hp_rdata),
      .SAXIHP0RRESP(hp_rresp),
      .SAXIHP0AWVALID(hp_awvalid),
      .SAXIHP0AWREADY(hp_awready),
      .SAXIHP0AWID(6'd0),
      .SAXIHP0AWADDR(hp_awaddr),
      .SAXIHP0AWLEN(hp_awlen),
      .SAXIHP0AWSIZE(2'd3),
      .SAXIHP0AWBURST(2'd1),
      .SAXIHP0AWCACHE(4'b0011),
      .SAXIHP0AWLOCK(2'd0),
      .SAXIHP0AWPROT(3'd0),
      .SAXIHP0AWQOS(4'd0),
      .SAXIHP0WVALID(hp_wvalid),
      .SAXIHP0WREADY(hp_wready),
      .SAXIHP0WID(6'd0),
      .SAXIHP0WDATA(hp_wdata),
      .SAXIHP0WSTRB(hp_wstrb),
      .SAXIHP0WLAST(hp_wlast),
      .SAXIHP0BVALID(hp_bvalid),
      .SAXIHP0BREADY(hp_bready),
      .SAXIHP0BRESP(hp_bresp)
  );
  // verilator lint_on PINMISSING

  logic [9:0] reg_index;
  logic reg_known, reg_write, reg_read;
  logic [31:0] reg_wdata, reg_rdata;

  gp0_slave #(
      .BASE(BASE)
  ) bridge (
      .aclk(aclk),
      .aresetn(aresetn),
      .gp0_awvalid(awvalid),
      .gp0_awready(awready),
      .gp0_awid(awid),
      .gp0_awaddr(awaddr),
      .gp0_awlen(awlen),
      .gp0_awsize(awsize),
      .gp0_awburst(awburst),
      .gp0_wvalid(wvalid),
      .gp0_wready(wready),
      .gp0_wdata(wdata),
      .gp0_wstrb(wstrb),
      .gp0_bvalid(bvalid),
      .gp0_bready(bready),
      .gp0_bid(bid),
      .gp0_bresp(bresp),
      .gp0_arvalid(arvalid),
      .gp0_arready(arready),
      .gp0_arid(arid),
      .gp0_araddr(araddr),
      .gp0_arlen(arlen),
      .gp0_arsize(arsize),
      .gp0_arburst(arburst),
      .gp0_rvalid(rvalid),
      .gp0_rready(rready),
      .gp0_rid(rid),
      .gp0_rdata(rdata),
      .gp0_rresp(rresp),
      .gp0_rlast(rlast),
      .reg_index(reg_index),
      .reg_known(reg_known),
      .reg_write(reg_write),
      .reg_wdata(reg_wdata),
      .reg_read(reg_read),
      .reg_rdata(reg_rdata)
  );

  logic core_aresetn, in_tvalid, in_tready, out_tvalid, out_tready;
  logic [IN_BITS-1:0] in_tdata;
  logic [OUT_BITS-1:0] out_tdata;

  accelerator_shell #(
      .ADDR_BITS(32),
      .IN_ELEMENTS(IN_ELEMENTS),
      .IN_ELEMENT_BITS(IN_ELEMENT_BITS),
      .IN_MEMORY_BITS(IN_MEMORY_BITS),
      .IN_BEATS(IN_BEATS),
      .IN_BITS(IN_BITS),
      .OUT_ELEMENTS(OUT_ELEMENTS),
      .OUT_ELEMENT_BITS(OUT_ELEMENT_BITS),
      .OUT_MEMORY_BITS(OUT_MEMORY_BITS),
      .OUT_SIGNED(OUT_SIGNED),
      .OUT_BEATS(OUT_BEATS),
      .OUT_BITS(OUT_BITS),
      .BUILD(BUILD)
  ) shell (
      .aclk(aclk),
      .aresetn(aresetn),
      .reg_index(reg_index),
      .reg_known(reg_known),
      .reg_write(reg_write),
      .reg_wdata(reg_wdata),
      .reg_read(reg_read),
      .reg_rdata(reg_rdata),
      .m_axi_arvalid(hp_arvalid),
      .m_axi_arready(hp_arready),
      .m_axi_araddr(hp_araddr),
      .m_axi_arlen(hp_arlen),
      .m_axi_rvalid(hp_rvalid),
      .m_axi_rready(hp_rready),
      .m_axi_rdata(hp_rdata),
      .m_axi_rresp(hp_rresp),
      .m_axi_awvalid(hp_awvalid),
      .m_axi_awready(hp_awready),
      .m_axi_awaddr(hp_awaddr),
      .m_axi_awlen(hp_awlen),
      .m_axi_wvalid(hp_wvalid),
      .m_axi_wready(hp_wready),
      .m_axi_wdata(hp_wdata),
      .m_axi_wstrb(hp_wstrb),
      .m_axi_wlast(hp_wlast),
      .m_axi_bvalid(hp_bvalid),
      .m_axi_bready(hp_bready),
      .m_axi_bresp(hp_bresp),
      .core_aresetn(core_aresetn),
      .core_in_tdata(in_tdata),
      .core_in_tvalid(in_tvalid),
      .core_in_tready(in_tready),
      .core_out_tdata(out_tdata),
      .core_out_tvalid(out_tvalid),
      .core_out_tready(out_tready),
      .led(led)
  );

  top core (
      .aclk(aclk),
      .aresetn(core_aresetn),
      .s_axis_tdata(in_tdata),
      .s_axis_tvalid(in_tvalid),
      .s_axis_tready(in_tready),
      .m_axis_tdata(out_tdata),
      .m_axis_tvalid(out_tvalid),
      .m_axis_tready(out_tready)
  );
endmodule
