// What the shell's DMAs promise of the memory bus, as properties for a prover. The memory may do
// anything; of the program it is expected that addresses are multiples of 8 (shell_control.sv sees
// to that).
//
// An address or a word that is offered stays, unchanged, until it is taken. A burst begins at a
// multiple of 8 and does not cross a multiple of 128 bytes, so it has at most 16 beats and stays
// within 4 KiB. RREADY and BREADY are always high.
module axi_rules #(
  parameter int unsigned ADDR_BITS = 32
) (
  input logic aclk,
  input logic aresetn,
  input logic [ADDR_BITS-1:0] address,
  input logic m_axi_arvalid,
  input logic m_axi_arready,
  input logic [ADDR_BITS-1:0] m_axi_araddr,
  input logic [3:0] m_axi_arlen,
  input logic m_axi_rready,
  input logic m_axi_awvalid,
  input logic m_axi_awready,
  input logic [ADDR_BITS-1:0] m_axi_awaddr,
  input logic [3:0] m_axi_awlen,
  input logic m_axi_wvalid,
  input logic m_axi_wready,
  input logic [63:0] m_axi_wdata,
  input logic [7:0] m_axi_wstrb,
  input logic m_axi_wlast,
  input logic m_axi_bready
);
  logic running_q = 1'b0;  // reset has been seen
  logic ar_waits_q = 1'b0, aw_waits_q = 1'b0, w_waits_q = 1'b0;
  logic [ADDR_BITS+3:0] ar_q, aw_q;
  logic [72:0] w_q;
  always_ff @(posedge aclk) begin
    running_q <= running_q || !aresetn;
    ar_waits_q <= running_q && aresetn && m_axi_arvalid && !m_axi_arready;
    aw_waits_q <= running_q && aresetn && m_axi_awvalid && !m_axi_awready;
    w_waits_q <= running_q && aresetn && m_axi_wvalid && !m_axi_wready;
    ar_q <= {m_axi_araddr, m_axi_arlen};
    aw_q <= {m_axi_awaddr, m_axi_awlen};
    w_q <= {m_axi_wdata, m_axi_wstrb, m_axi_wlast};
  end
  always_comb begin
    if (!running_q) assume (!aresetn);
    assume (address[2:0] == 3'd0);
    assert (m_axi_rready && m_axi_bready);
    if (running_q && aresetn) begin
      if (ar_waits_q) assert (m_axi_arvalid && ar_q == {m_axi_araddr, m_axi_arlen});
      if (aw_waits_q) assert (m_axi_awvalid && aw_q == {m_axi_awaddr, m_axi_awlen});
      if (w_waits_q) assert (m_axi_wvalid && w_q == {m_axi_wdata, m_axi_wstrb, m_axi_wlast});
      if (m_axi_arvalid) begin
        assert (m_axi_araddr[2:0] == 3'd0);
        assert ({1'b0, m_axi_araddr[6:3]} + {1'b0, m_axi_arlen} <= 5'd15);
      end
      if (m_axi_awvalid) begin
        assert (m_axi_awaddr[2:0] == 3'd0);
        assert ({1'b0, m_axi_awaddr[6:3]} + {1'b0, m_axi_awlen} <= 5'd15);
      end
    end
  end
endmodule
