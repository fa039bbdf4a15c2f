// Programmable logic that breaks one rule of its buses, for the checks of the processing systems.
//
// A write of KIND to any register starts one burst on HP0 that breaks the rule KIND; from then on
// GP0's answers are wrong where KIND says so. KIND 0 breaks none: reads and writes two words at BASE.
module broken #(
    parameter logic [31:0] BASE = 32'h1000_0000
) (
    output logic [3:0] led
);
  localparam logic [7:0] CROSSES = 1, SIZE = 2, KIND_OF_BURST = 3, ALIGNMENT = 4, ID = 5;
  localparam logic [7:0] LAST = 6, WILD_READ = 7, WILD_WRITE = 8, READ_DROPS = 9, DATA_CHANGES = 10;
  localparam logic [7:0] READ_ID = 11, ANSWER_ID = 12, READ_LAST = 13, UNTIED = 14, READ_CHANGES = 15;
  localparam logic [7:0] ANSWER_CHANGES = 16, ADDRESS_CHANGES = 17;

  logic [3:0] fclk, fclk_resetn;
  logic aclk, aresetn;
  assign aclk = fclk[0];
  always_ff @(posedge aclk) aresetn <= fclk_resetn[0];

  logic awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready, rlast;
  logic [11:0] awid, arid, bid, rid;
  logic [31:0] awaddr, araddr, wdata, rdata;
  logic [3:0] awlen, arlen, wstrb;
  logic [1:0] awsize, awburst, arsize, arburst, bresp, rresp;
  logic [9:0] reg_index;
  logic reg_write, reg_read;
  logic [31:0] reg_wdata;
  logic [7:0] kind_q;
  assign led = kind_q[3:0];

  // The burst: every VALID until its READY, or for a few cycles where it is to drop.
  logic ar_q, aw_q, w_q, beat_q;
  logic [3:0] age_q;
  logic hp_arready, hp_awready, hp_wready;
  logic [31:0] address;
  always_comb begin
    address = BASE;
    if (kind_q == CROSSES) address = BASE + 32'hFF8;
    if (kind_q == ALIGNMENT) address = BASE + 32'd4;
    if (kind_q == WILD_READ || kind_q == WILD_WRITE) address = BASE + 32'h4000;
  end
  // An ID that is right once the answer is taken has changed while it waited.
  logic wrong_bid, wrong_rid;
  assign wrong_bid = kind_q == ANSWER_ID || (kind_q == ANSWER_CHANGES && !bready);
  assign wrong_rid = kind_q == READ_ID || (kind_q == READ_CHANGES && !rready);
  logic [31:0] write_address;
  always_comb begin
    write_address = kind_q == CROSSES || kind_q == ALIGNMENT ? BASE : address;
    if (kind_q == ADDRESS_CHANGES && age_q[0]) write_address = BASE + 32'd8;
  end
  always_ff @(posedge aclk) begin
    age_q <= age_q + 4'd1;
    if (ar_q && hp_arready) ar_q <= 1'b0;
    if (aw_q && hp_awready) aw_q <= 1'b0;
    if (w_q && hp_wready) begin
      beat_q <= 1'b1;
      w_q <= !beat_q;
    end
    if (kind_q == READ_DROPS && age_q == 4'd8) ar_q <= 1'b0;
    if (reg_write) begin
      kind_q <= reg_wdata[7:0];
      ar_q <= reg_wdata[7:0] != WILD_WRITE;
      {aw_q, w_q} <= {2{reg_wdata[7:0] != WILD_READ}};
      beat_q <= 1'b0;
      age_q <= '0;
    end
    if (!aresetn) {ar_q, aw_q, w_q, beat_q, kind_q} <= '0;
  end

  // verilator lint_off PINMISSING
  PS7 ps7 (
      .FCLKCLK(fclk),
      .FCLKRESETN(fclk_resetn),
      .FPGAIDLEN(1'b1),
      .IRQF2P({19'd0, kind_q == UNTIED}),
      .MAXIGP0ACLK(aclk),
      .MAXIGP0AWVALID(awvalid), .MAXIGP0AWREADY(awready), .MAXIGP0AWID(awid),
      .MAXIGP0AWADDR(awaddr), .MAXIGP0AWLEN(awlen), .MAXIGP0AWSIZE(awsize),
      .MAXIGP0AWBURST(awburst), .MAXIGP0WVALID(wvalid), .MAXIGP0WREADY(wready),
      .MAXIGP0WDATA(wdata), .MAXIGP0WSTRB(wstrb), .MAXIGP0BVALID(bvalid),
      .MAXIGP0BREADY(bready), .MAXIGP0BID(bid ^ 12'(wrong_bid)), .MAXIGP0BRESP(bresp),
      .MAXIGP0ARVALID(arvalid), .MAXIGP0ARREADY(arready), .MAXIGP0ARID(arid),
      .MAXIGP0ARADDR(araddr), .MAXIGP0ARLEN(arlen), .MAXIGP0ARSIZE(arsize),
      .MAXIGP0ARBURST(arburst), .MAXIGP0RVALID(rvalid), .MAXIGP0RREADY(rready),
      .MAXIGP0RID(rid ^ 12'(wrong_rid)), .MAXIGP0RDATA(rdata), .MAXIGP0RRESP(rresp),
      .MAXIGP0RLAST(rlast ^ (kind_q == READ_LAST)),
      .SAXIHP0ACLK(aclk),
      .SAXIHP0RDISSUECAP1EN(1'b0), .SAXIHP0WRISSUECAP1EN(1'b0),
      .SAXIHP0ARVALID(ar_q), .SAXIHP0ARREADY(hp_arready), .SAXIHP0ARID(6'd0),
      .SAXIHP0ARADDR(address), .SAXIHP0ARLEN(4'd1),
      .SAXIHP0ARSIZE(kind_q == SIZE ? 2'd2 : 2'd3),
      .SAXIHP0ARBURST(kind_q == KIND_OF_BURST ? 2'd0 : 2'd1), .SAXIHP0ARCACHE(4'd0),
      .SAXIHP0ARLOCK(2'd0), .SAXIHP0ARPROT(3'd0), .SAXIHP0ARQOS(4'd0), .SAXIHP0RREADY(1'b1),
      .SAXIHP0AWVALID(aw_q), .SAXIHP0AWREADY(hp_awready), .SAXIHP0AWID(6'd0),
      .SAXIHP0AWADDR(write_address),
      .SAXIHP0AWLEN(4'd1), .SAXIHP0AWSIZE(2'd3), .SAXIHP0AWBURST(2'd1), .SAXIHP0AWCACHE(4'd0),
      .SAXIHP0AWLOCK(2'd0), .SAXIHP0AWPROT(3'd0), .SAXIHP0AWQOS(4'd0),
      .SAXIHP0WVALID(w_q), .SAXIHP0WREADY(hp_wready), .SAXIHP0WID({5'd0, kind_q == ID}),
      .SAXIHP0WDATA({56'h11_2233_4455_6677, 4'd0, kind_q == DATA_CHANGES ? age_q : {3'd0, beat_q}}),
      .SAXIHP0WSTRB(8'hFF), .SAXIHP0WLAST(beat_q && kind_q != LAST), .SAXIHP0BREADY(1'b1)
  );
  // verilator lint_on PINMISSING

  gp0_slave bridge (
      .aclk(aclk), .aresetn(aresetn),
      .gp0_awvalid(awvalid), .gp0_awready(awready), .gp0_awid(awid), .gp0_awaddr(awaddr),
      .gp0_awlen(awlen), .gp0_awsize(awsize), .gp0_awburst(awburst), .gp0_wvalid(wvalid),
      .gp0_wready(wready), .gp0_wdata(wdata), .gp0_wstrb(wstrb), .gp0_bvalid(bvalid),
      .gp0_bready(bready), .gp0_bid(bid), .gp0_bresp(bresp), .gp0_arvalid(arvalid),
      .gp0_arready(arready), .gp0_arid(arid), .gp0_araddr(araddr), .gp0_arlen(arlen),
      .gp0_arsize(arsize), .gp0_arburst(arburst), .gp0_rvalid(rvalid), .gp0_rready(rready),
      .gp0_rid(rid), .gp0_rdata(rdata), .gp0_rresp(rresp), .gp0_rlast(rlast),
      .reg_index(reg_index), .reg_known(1'b1), .reg_write(reg_write), .reg_wdata(reg_wdata),
      .reg_read(reg_read), .reg_rdata({22'd0, reg_index})
  );
endmodule
