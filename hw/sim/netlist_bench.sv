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
    parameter logic [31:0] BUILD = 32'd0
);
  logic [3:0] rtl_led, placed_led;
  pynq_z2 #(
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
  ) rtl (
      .led(rtl_led)
  );

  logic placed_idle_n, placed_aclk, placed_awready, placed_wready, placed_bvalid, placed_arready;
  logic placed_rvalid, placed_rlast;
  logic [19:0] placed_irq;
  logic [11:0] placed_bid, placed_rid;
  logic [1:0] placed_bresp, placed_rresp;
  logic [31:0] placed_rdata;
  logic placed_hp_aclk;
  logic placed_hp_rdissuecap1en;
  logic placed_hp_wrissuecap1en;
  logic placed_hp_arvalid;
  logic [5:0] placed_hp_arid;
  logic [31:0] placed_hp_araddr;
  logic [3:0] placed_hp_arlen;
  logic [1:0] placed_hp_arsize;
  logic [1:0] placed_hp_arburst;
  logic [3:0] placed_hp_arcache;
  logic [1:0] placed_hp_arlock;
  logic [2:0] placed_hp_arprot;
  logic [3:0] placed_hp_arqos;
  logic placed_hp_rready;
  logic placed_hp_awvalid;
  logic [5:0] placed_hp_awid;
  logic [31:0] placed_hp_awaddr;
  logic [3:0] placed_hp_awlen;
  logic [1:0] placed_hp_awsize;
  logic [1:0] placed_hp_awburst;
  logic [3:0] placed_hp_awcache;
  logic [1:0] placed_hp_awlock;
  logic [2:0] placed_hp_awprot;
  logic [3:0] placed_hp_awqos;
  logic placed_hp_wvalid;
  logic [5:0] placed_hp_wid;
  logic [63:0] placed_hp_wdata;
  logic [7:0] placed_hp_wstrb;
  logic placed_hp_wlast;
  logic placed_hp_bready;

  // Pins that no shell looks at, such as AWCACHE of GP0, are 0.
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
      .ps7_SAXIHP0ACLK(placed_hp_aclk),
      .ps7_SAXIHP0RDISSUECAP1EN(placed_hp_rdissuecap1en),
      .ps7_SAXIHP0WRISSUECAP1EN(placed_hp_wrissuecap1en),
      .ps7_SAXIHP0ARVALID(placed_hp_arvalid),
      .ps7_SAXIHP0ARID(placed_hp_arid),
      .ps7_SAXIHP0ARADDR(placed_hp_araddr),
      .ps7_SAXIHP0ARLEN(placed_hp_arlen),
      .ps7_SAXIHP0ARSIZE(placed_hp_arsize),
      .ps7_SAXIHP0ARBURST(placed_hp_arburst),
      .ps7_SAXIHP0ARCACHE(placed_hp_arcache),
      .ps7_SAXIHP0ARLOCK(placed_hp_arlock),
      .ps7_SAXIHP0ARPROT(placed_hp_arprot),
      .ps7_SAXIHP0ARQOS(placed_hp_arqos),
      .ps7_SAXIHP0RREADY(placed_hp_rready),
      .ps7_SAXIHP0AWVALID(placed_hp_awvalid),
      .ps7_SAXIHP0AWID(placed_hp_awid),
      .ps7_SAXIHP0AWADDR(placed_hp_awaddr),
      .ps7_SAXIHP0AWLEN(placed_hp_awlen),
      .ps7_SAXIHP0AWSIZE(placed_hp_awsize),
      .ps7_SAXIHP0AWBURST(placed_hp_awburst),
      .ps7_SAXIHP0AWCACHE(placed_hp_awcache),
      .ps7_SAXIHP0AWLOCK(placed_hp_awlock),
      .ps7_SAXIHP0AWPROT(placed_hp_awprot),
      .ps7_SAXIHP0AWQOS(placed_hp_awqos),
      .ps7_SAXIHP0WVALID(placed_hp_wvalid),
      .ps7_SAXIHP0WID(placed_hp_wid),
      .ps7_SAXIHP0WDATA(placed_hp_wdata),
      .ps7_SAXIHP0WSTRB(placed_hp_wstrb),
      .ps7_SAXIHP0WLAST(placed_hp_wlast),
      .ps7_SAXIHP0BREADY(placed_hp_bready),
      .ps7_SAXIHP0ARESETN(1'b0),
      .ps7_SAXIHP0ARREADY(rtl.ps7.SAXIHP0ARREADY),
      .ps7_SAXIHP0RVALID(rtl.ps7.SAXIHP0RVALID),
      .ps7_SAXIHP0RID(rtl.ps7.SAXIHP0RID),
      .ps7_SAXIHP0RDATA(rtl.ps7.SAXIHP0RDATA),
      .ps7_SAXIHP0RRESP(rtl.ps7.SAXIHP0RRESP),
      .ps7_SAXIHP0RLAST(rtl.ps7.SAXIHP0RLAST),
      .ps7_SAXIHP0AWREADY(rtl.ps7.SAXIHP0AWREADY),
      .ps7_SAXIHP0WREADY(rtl.ps7.SAXIHP0WREADY),
      .ps7_SAXIHP0BVALID(rtl.ps7.SAXIHP0BVALID),
      .ps7_SAXIHP0BID(rtl.ps7.SAXIHP0BID),
      .ps7_SAXIHP0BRESP(rtl.ps7.SAXIHP0BRESP),
      .ps7_SAXIHP0RACOUNT(3'd0),
      .ps7_SAXIHP0RCOUNT(8'd0),
      .ps7_SAXIHP0WACOUNT(6'd0),
      .ps7_SAXIHP0WCOUNT(8'd0),
      .pad_R14(placed_led[0]),
      .pad_P14(placed_led[1]),
      .pad_N16(placed_led[2]),
      .pad_M14(placed_led[3])
  );

  integer result, cycles;
  logic different;
  string name;

  task automatic check(input string signal, input logic [63:0] in_netlist,
                       input logic [63:0] in_rtl);
    if (in_netlist != in_rtl) begin
      different = 1'b1;
      $fdisplay(result, "cycle %0d: %s is %0h in the netlist, %0h in the RTL", cycles, signal,
                in_netlist, in_rtl);
    end
  endtask

  task automatic check_all;
    check("FPGAIDLEN", 64'(placed_idle_n), 64'(rtl.ps7.FPGAIDLEN));
    check("IRQF2P", 64'(placed_irq), 64'(rtl.ps7.IRQF2P));
    check("MAXIGP0ACLK", 64'(placed_aclk), 64'(rtl.ps7.MAXIGP0ACLK));
    check("MAXIGP0AWREADY", 64'(placed_awready), 64'(rtl.ps7.MAXIGP0AWREADY));
    check("MAXIGP0WREADY", 64'(placed_wready), 64'(rtl.ps7.MAXIGP0WREADY));
    check("MAXIGP0BVALID", 64'(placed_bvalid), 64'(rtl.ps7.MAXIGP0BVALID));
    check("MAXIGP0BID", 64'(placed_bid), 64'(rtl.ps7.MAXIGP0BID));
    check("MAXIGP0BRESP", 64'(placed_bresp), 64'(rtl.ps7.MAXIGP0BRESP));
    check("MAXIGP0ARREADY", 64'(placed_arready), 64'(rtl.ps7.MAXIGP0ARREADY));
    check("MAXIGP0RVALID", 64'(placed_rvalid), 64'(rtl.ps7.MAXIGP0RVALID));
    check("MAXIGP0RID", 64'(placed_rid), 64'(rtl.ps7.MAXIGP0RID));
    check("MAXIGP0RDATA", 64'(placed_rdata), 64'(rtl.ps7.MAXIGP0RDATA));
    check("MAXIGP0RRESP", 64'(placed_rresp), 64'(rtl.ps7.MAXIGP0RRESP));
    check("MAXIGP0RLAST", 64'(placed_rlast), 64'(rtl.ps7.MAXIGP0RLAST));
    check("SAXIHP0ACLK", 64'(placed_hp_aclk), 64'(rtl.ps7.SAXIHP0ACLK));
    check("SAXIHP0RDISSUECAP1EN", 64'(placed_hp_rdissuecap1en), 64'(rtl.ps7.SAXIHP0RDISSUECAP1EN));
    check("SAXIHP0WRISSUECAP1EN", 64'(placed_hp_wrissuecap1en), 64'(rtl.ps7.SAXIHP0WRISSUECAP1EN));
    check("SAXIHP0ARVALID", 64'(placed_hp_arvalid), 64'(rtl.ps7.SAXIHP0ARVALID));
    check("SAXIHP0ARID", 64'(placed_hp_arid), 64'(rtl.ps7.SAXIHP0ARID));
    check("SAXIHP0ARADDR", 64'(placed_hp_araddr), 64'(rtl.ps7.SAXIHP0ARADDR));
    check("SAXIHP0ARLEN", 64'(placed_hp_arlen), 64'(rtl.ps7.SAXIHP0ARLEN));
    check("SAXIHP0ARSIZE", 64'(placed_hp_arsize), 64'(rtl.ps7.SAXIHP0ARSIZE));
    check("SAXIHP0ARBURST", 64'(placed_hp_arburst), 64'(rtl.ps7.SAXIHP0ARBURST));
    check("SAXIHP0ARCACHE", 64'(placed_hp_arcache), 64'(rtl.ps7.SAXIHP0ARCACHE));
    check("SAXIHP0ARLOCK", 64'(placed_hp_arlock), 64'(rtl.ps7.SAXIHP0ARLOCK));
    check("SAXIHP0ARPROT", 64'(placed_hp_arprot), 64'(rtl.ps7.SAXIHP0ARPROT));
    check("SAXIHP0ARQOS", 64'(placed_hp_arqos), 64'(rtl.ps7.SAXIHP0ARQOS));
    check("SAXIHP0RREADY", 64'(placed_hp_rready), 64'(rtl.ps7.SAXIHP0RREADY));
    check("SAXIHP0AWVALID", 64'(placed_hp_awvalid), 64'(rtl.ps7.SAXIHP0AWVALID));
    check("SAXIHP0AWID", 64'(placed_hp_awid), 64'(rtl.ps7.SAXIHP0AWID));
    check("SAXIHP0AWADDR", 64'(placed_hp_awaddr), 64'(rtl.ps7.SAXIHP0AWADDR));
    check("SAXIHP0AWLEN", 64'(placed_hp_awlen), 64'(rtl.ps7.SAXIHP0AWLEN));
    check("SAXIHP0AWSIZE", 64'(placed_hp_awsize), 64'(rtl.ps7.SAXIHP0AWSIZE));
    check("SAXIHP0AWBURST", 64'(placed_hp_awburst), 64'(rtl.ps7.SAXIHP0AWBURST));
    check("SAXIHP0AWCACHE", 64'(placed_hp_awcache), 64'(rtl.ps7.SAXIHP0AWCACHE));
    check("SAXIHP0AWLOCK", 64'(placed_hp_awlock), 64'(rtl.ps7.SAXIHP0AWLOCK));
    check("SAXIHP0AWPROT", 64'(placed_hp_awprot), 64'(rtl.ps7.SAXIHP0AWPROT));
    check("SAXIHP0AWQOS", 64'(placed_hp_awqos), 64'(rtl.ps7.SAXIHP0AWQOS));
    check("SAXIHP0WVALID", 64'(placed_hp_wvalid), 64'(rtl.ps7.SAXIHP0WVALID));
    check("SAXIHP0WID", 64'(placed_hp_wid), 64'(rtl.ps7.SAXIHP0WID));
    check("SAXIHP0WDATA", placed_hp_wdata, rtl.ps7.SAXIHP0WDATA);
    check("SAXIHP0WSTRB", 64'(placed_hp_wstrb), 64'(rtl.ps7.SAXIHP0WSTRB));
    check("SAXIHP0WLAST", 64'(placed_hp_wlast), 64'(rtl.ps7.SAXIHP0WLAST));
    check("SAXIHP0BREADY", 64'(placed_hp_bready), 64'(rtl.ps7.SAXIHP0BREADY));
    check("led", 64'(placed_led), 64'(rtl_led));
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
