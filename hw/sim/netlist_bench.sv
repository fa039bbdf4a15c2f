// The board design as RTL and as the netlist extracted from its bitstream, side by side.
//
// Function
//   `pynq_z2`, with the model of the processing system in ps7_model.sv, plays that model's script.
//   `netlist` (flow/bits/netlist.py) gets the same signals from the processing system. Everything that
//   goes back, and the LEDs, is compared in every cycle, in both phases of the clock.
//
// Plus arguments: those of ps7_model.sv, and
//   +result=FILE   gets "cycle N: SIGNAL is V in the netlist, V in the RTL" for each signal of the
//                  first cycle that differs, and at the end "equal N" or "different N", N cycles.
//
// The design's parameters are this module's.
module netlist_bench #(
    parameter int unsigned IN_BITS = 8,
    parameter int unsigned OUT_BITS = 8,
    parameter logic [31:0] BUILD = 32'd0
);
  logic [3:0] rtl_led, placed_led;
  pynq_z2 #(
      .IN_BITS(IN_BITS),
      .OUT_BITS(OUT_BITS),
      .BUILD(BUILD)
  ) rtl (
      .led(rtl_led)
  );

  logic placed_idle_n, placed_aclk, placed_awready, placed_wready, placed_bvalid, placed_arready;
  logic placed_rvalid, placed_rlast;
  logic [19:0] placed_irq;
  logic [11:0] placed_bid, placed_rid;
  logic [1:0] placed_bresp, placed_rresp;
  logic [31:0] placed_rdata;

  // Pins that the model does not have, such as AWCACHE, are 0; the shell does not look at them.
  netlist placed (
      .ps7_FCLKCLK(rtl.ps7.FCLKCLK),
      .ps7_FCLKRESETN(rtl.ps7.FCLKRESETN),
      .ps7_FPGAIDLEN(placed_idle_n),
      .ps7_IRQF2P(placed_irq),
      .ps7_MAXIGP0ACLK(placed_aclk),
      .ps7_MAXIGP0ARESETN(1'b0),
      .ps7_MAXIGP0AWVALID(rtl.ps7.MAXIGP0AWVALID),
      .ps7_MAXIGP0AWREADY(placed_awready),
      .ps7_MAXIGP0AWID(rtl.ps7.MAXIGP0AWID),
      .ps7_MAXIGP0AWADDR(rtl.ps7.MAXIGP0AWADDR),
      .ps7_MAXIGP0AWLEN(rtl.ps7.MAXIGP0AWLEN),
      .ps7_MAXIGP0AWSIZE(rtl.ps7.MAXIGP0AWSIZE),
      .ps7_MAXIGP0AWBURST(rtl.ps7.MAXIGP0AWBURST),
      .ps7_MAXIGP0AWLOCK(2'd0),
      .ps7_MAXIGP0AWCACHE(4'd0),
      .ps7_MAXIGP0AWPROT(3'd0),
      .ps7_MAXIGP0AWQOS(4'd0),
      .ps7_MAXIGP0WVALID(rtl.ps7.MAXIGP0WVALID),
      .ps7_MAXIGP0WREADY(placed_wready),
      .ps7_MAXIGP0WID(12'd0),
      .ps7_MAXIGP0WLAST(1'b0),
      .ps7_MAXIGP0WDATA(rtl.ps7.MAXIGP0WDATA),
      .ps7_MAXIGP0WSTRB(rtl.ps7.MAXIGP0WSTRB),
      .ps7_MAXIGP0BVALID(placed_bvalid),
      .ps7_MAXIGP0BREADY(rtl.ps7.MAXIGP0BREADY),
      .ps7_MAXIGP0BID(placed_bid),
      .ps7_MAXIGP0BRESP(placed_bresp),
      .ps7_MAXIGP0ARVALID(rtl.ps7.MAXIGP0ARVALID),
      .ps7_MAXIGP0ARREADY(placed_arready),
      .ps7_MAXIGP0ARID(rtl.ps7.MAXIGP0ARID),
      .ps7_MAXIGP0ARADDR(rtl.ps7.MAXIGP0ARADDR),
      .ps7_MAXIGP0ARLEN(rtl.ps7.MAXIGP0ARLEN),
      .ps7_MAXIGP0ARSIZE(rtl.ps7.MAXIGP0ARSIZE),
      .ps7_MAXIGP0ARBURST(rtl.ps7.MAXIGP0ARBURST),
      .ps7_MAXIGP0ARLOCK(2'd0),
      .ps7_MAXIGP0ARCACHE(4'd0),
      .ps7_MAXIGP0ARPROT(3'd0),
      .ps7_MAXIGP0ARQOS(4'd0),
      .ps7_MAXIGP0RVALID(placed_rvalid),
      .ps7_MAXIGP0RREADY(rtl.ps7.MAXIGP0RREADY),
      .ps7_MAXIGP0RID(placed_rid),
      .ps7_MAXIGP0RDATA(placed_rdata),
      .ps7_MAXIGP0RRESP(placed_rresp),
      .ps7_MAXIGP0RLAST(placed_rlast),
      .pad_R14(placed_led[0]),
      .pad_P14(placed_led[1]),
      .pad_N16(placed_led[2]),
      .pad_M14(placed_led[3])
  );

  integer result, cycles;
  logic different;
  string name;

  task automatic check(input string signal, input logic [31:0] in_netlist,
                       input logic [31:0] in_rtl);
    if (in_netlist != in_rtl) begin
      different = 1'b1;
      $fdisplay(result, "cycle %0d: %s is %0h in the netlist, %0h in the RTL", cycles, signal,
                in_netlist, in_rtl);
    end
  endtask

  task automatic check_all;
    check("FPGAIDLEN", 32'(placed_idle_n), 32'(rtl.ps7.FPGAIDLEN));
    check("IRQF2P", 32'(placed_irq), 32'(rtl.ps7.IRQF2P));
    check("MAXIGP0ACLK", 32'(placed_aclk), 32'(rtl.ps7.MAXIGP0ACLK));
    check("MAXIGP0AWREADY", 32'(placed_awready), 32'(rtl.ps7.MAXIGP0AWREADY));
    check("MAXIGP0WREADY", 32'(placed_wready), 32'(rtl.ps7.MAXIGP0WREADY));
    check("MAXIGP0BVALID", 32'(placed_bvalid), 32'(rtl.ps7.MAXIGP0BVALID));
    check("MAXIGP0BID", 32'(placed_bid), 32'(rtl.ps7.MAXIGP0BID));
    check("MAXIGP0BRESP", 32'(placed_bresp), 32'(rtl.ps7.MAXIGP0BRESP));
    check("MAXIGP0ARREADY", 32'(placed_arready), 32'(rtl.ps7.MAXIGP0ARREADY));
    check("MAXIGP0RVALID", 32'(placed_rvalid), 32'(rtl.ps7.MAXIGP0RVALID));
    check("MAXIGP0RID", 32'(placed_rid), 32'(rtl.ps7.MAXIGP0RID));
    check("MAXIGP0RDATA", placed_rdata, rtl.ps7.MAXIGP0RDATA);
    check("MAXIGP0RRESP", 32'(placed_rresp), 32'(rtl.ps7.MAXIGP0RRESP));
    check("MAXIGP0RLAST", 32'(placed_rlast), 32'(rtl.ps7.MAXIGP0RLAST));
    check("led", 32'(placed_led), 32'(rtl_led));
    if (different) $finish;
  endtask

  initial begin
    different = 1'b0;
    cycles = 0;
    if (!$value$plusargs("result=%s", name)) name = "result.txt";
    result = $fopen(name, "w");
    // Signals change with the rising edge and one time unit after it; the clock's period is ten.
    while (!different) begin
      @(posedge rtl.ps7.FCLKCLK[0]);
      #3 check_all;
      @(negedge rtl.ps7.FCLKCLK[0]);
      #3 check_all;
      cycles = cycles + 1;
    end
  end

  final begin
    $fdisplay(result, "%s %0d", different ? "different" : "equal", cycles);
    $fclose(result);
  end
endmodule
