// The whole programmable logic of a PYNQ-Z2: processing system, register shell, accelerator core.
//
// Function
//   FCLK0 of the processing system clocks everything, through a BUFG; FCLKRESETN[0] is released in
//   step with it. The processor reaches the registers of `shell_registers` over M_AXI_GP0 at
//   BASE; they feed the core, module `top`, and hold its results.
//   LEDs: 0 heartbeat (0.75 Hz at 100 MHz), 1 part of an input is waiting, 2 a result is waiting,
//   3 a word was lost or a result was read that was not there.
//
// Parameters, set from outside by the flow
//   IN_BITS, OUT_BITS: widths of the core's streams, multiples of 8. BUILD: hash of the design.
module pynq_z2 #(
    parameter int unsigned IN_BITS = 8,
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

  // Processing system. Only M_AXI_GP0 is used; the clocks of all other ports stand still.
  logic awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready, rlast;
  logic [11:0] awid, arid, bid, rid;
  logic [31:0] awaddr, araddr, wdata, rdata;
  logic [3:0] awlen, arlen, wstrb;
  logic [1:0] awsize, awburst, arsize, arburst, bresp, rresp;

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
      .MAXIGP0RLAST(rlast)
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

  shell_registers #(
      .IN_BITS(IN_BITS),
      .OUT_BITS(OUT_BITS),
      .BUILD(BUILD)
  ) registers (
      .aclk(aclk),
      .aresetn(aresetn),
      .reg_index(reg_index),
      .reg_known(reg_known),
      .reg_write(reg_write),
      .reg_wdata(reg_wdata),
      .reg_read(reg_read),
      .reg_rdata(reg_rdata),
      .core_aresetn(core_aresetn),
      .m_axis_tdata(in_tdata),
      .m_axis_tvalid(in_tvalid),
      .m_axis_tready(in_tready),
      .s_axis_tdata(out_tdata),
      .s_axis_tvalid(out_tvalid),
      .s_axis_tready(out_tready),
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
