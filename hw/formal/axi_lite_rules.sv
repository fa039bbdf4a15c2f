// What axi_lite_slave.sv promises of its bus, as properties for a prover. The host keeps what it offers
// until it is taken, and may do anything else.
//
// A READY comes only with its VALID, those of a write's address and data together. One transaction
// at a time: every one that is taken is answered once, and only those are, a write in the next cycle, a
// read in the one after. An answer stays, unchanged, until it is taken. A write reaches the registers at most once, with all strobes set; reads and
// writes of registers belong to a transaction that is under way.
module axi_lite_rules (
  input logic aclk,
  input logic aresetn,
  input logic s_axi_awvalid,
  input logic s_axi_awready,
  input logic [11:0] s_axi_awaddr,
  input logic s_axi_wvalid,
  input logic s_axi_wready,
  input logic [31:0] s_axi_wdata,
  input logic [3:0] s_axi_wstrb,
  input logic s_axi_bvalid,
  input logic s_axi_bready,
  input logic [1:0] s_axi_bresp,
  input logic s_axi_arvalid,
  input logic s_axi_arready,
  input logic [11:0] s_axi_araddr,
  input logic s_axi_rvalid,
  input logic s_axi_rready,
  input logic [31:0] s_axi_rdata,
  input logic [1:0] s_axi_rresp,
  input logic [9:0] reg_index,
  input logic reg_known,
  input logic reg_write,
  input logic [31:0] reg_wdata,
  input logic reg_read
);
  logic running_q = 1'b0;  // reset has been seen
  logic aw_waits_q = 1'b0, w_waits_q = 1'b0, ar_waits_q = 1'b0;
  logic b_waits_q = 1'b0, r_waits_q = 1'b0, writing_q = 1'b0, reading_q = 1'b0;
  logic fetching_q = 1'b0;
  logic [11:0] aw_q, ar_q;
  logic [35:0] w_q;
  logic [1:0] b_q;
  logic [33:0] r_q;
  always_ff @(posedge aclk) begin
    running_q <= running_q || !aresetn;
    aw_waits_q <= running_q && aresetn && s_axi_awvalid && !s_axi_awready;
    w_waits_q <= running_q && aresetn && s_axi_wvalid && !s_axi_wready;
    ar_waits_q <= running_q && aresetn && s_axi_arvalid && !s_axi_arready;
    b_waits_q <= running_q && aresetn && s_axi_bvalid && !s_axi_bready;
    r_waits_q <= running_q && aresetn && s_axi_rvalid && !s_axi_rready;
    aw_q <= s_axi_awaddr;
    w_q <= {s_axi_wdata, s_axi_wstrb};
    ar_q <= s_axi_araddr;
    b_q <= s_axi_bresp;
    r_q <= {s_axi_rdata, s_axi_rresp};
    if (s_axi_awready) writing_q <= 1'b1;
    else if (s_axi_bvalid && s_axi_bready) writing_q <= 1'b0;
    if (s_axi_arready) reading_q <= 1'b1;
    else if (s_axi_rvalid && s_axi_rready) reading_q <= 1'b0;
    fetching_q <= s_axi_arready;
    if (!aresetn) {writing_q, reading_q, fetching_q} <= 3'b000;
  end
  always_comb begin
    if (!running_q) assume (!aresetn);
    if (running_q && aresetn) begin
      if (aw_waits_q) assume (s_axi_awvalid && aw_q == s_axi_awaddr);
      if (w_waits_q) assume (s_axi_wvalid && w_q == {s_axi_wdata, s_axi_wstrb});
      if (ar_waits_q) assume (s_axi_arvalid && ar_q == s_axi_araddr);

      assert (s_axi_awready == s_axi_wready);
      if (s_axi_awready) assert (s_axi_awvalid && s_axi_wvalid && !writing_q && !reading_q);
      if (s_axi_arready) assert (s_axi_arvalid && !writing_q && !reading_q);
      assert (!(s_axi_awready && s_axi_arready));
      assert (s_axi_bvalid == writing_q);
      assert (s_axi_rvalid == (reading_q && !fetching_q));
      if (b_waits_q) assert (s_axi_bvalid && b_q == s_axi_bresp);
      if (r_waits_q) assert (s_axi_rvalid && r_q == {s_axi_rdata, s_axi_rresp});

      if (reg_write) begin
        assert (reg_known && s_axi_awready && s_axi_wstrb == 4'b1111);
        assert (reg_index == s_axi_awaddr[11:2] && reg_wdata == s_axi_wdata);
      end
      if (reg_read) assert (reg_known && s_axi_arready && reg_index == s_axi_araddr[11:2]);
    end
  end
endmodule
