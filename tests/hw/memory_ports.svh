// The AXI4 port behind which the benches have their memory; ADDR_BITS is the module's parameter.
`define MEMORY_PORTS \
  output logic                 m_axi_arvalid, \
  input  logic                 m_axi_arready, \
  output logic [5:0]           m_axi_arid, \
  output logic [ADDR_BITS-1:0] m_axi_araddr, \
  output logic [7:0]           m_axi_arlen, \
  output logic [2:0]           m_axi_arsize, \
  output logic [1:0]           m_axi_arburst, \
  input  logic                 m_axi_rvalid, \
  output logic                 m_axi_rready, \
  input  logic [5:0]           m_axi_rid, \
  input  logic [63:0]          m_axi_rdata, \
  input  logic [1:0]           m_axi_rresp, \
  input  logic                 m_axi_rlast, \
  output logic                 m_axi_awvalid, \
  input  logic                 m_axi_awready, \
  output logic [5:0]           m_axi_awid, \
  output logic [ADDR_BITS-1:0] m_axi_awaddr, \
  output logic [7:0]           m_axi_awlen, \
  output logic [2:0]           m_axi_awsize, \
  output logic [1:0]           m_axi_awburst, \
  output logic                 m_axi_wvalid, \
  input  logic                 m_axi_wready, \
  output logic [63:0]          m_axi_wdata, \
  output logic [7:0]           m_axi_wstrb, \
  output logic                 m_axi_wlast, \
  input  logic                 m_axi_bvalid, \
  output logic                 m_axi_bready, \
  input  logic [5:0]           m_axi_bid, \
  input  logic [1:0]           m_axi_bresp
