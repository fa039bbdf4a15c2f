// Both DMAs on one memory bus, with the constant signals that a top adds.
module dma_bench #(
  parameter int unsigned ADDR_BITS = 32,
  parameter int unsigned DEPTH = 512
) (
  input  logic                 aclk,
  input  logic                 aresetn,
  input  logic                 clear_n,
  input  logic                 r_start,
  input  logic [ADDR_BITS-1:0] r_address,
  input  logic [31:0]          r_words,
  input  logic                 r_stop,
  output logic                 r_busy,
  output logic                 r_failed,
  output logic [31:0]          r_checksum,
  input  logic                 w_start,
  input  logic [ADDR_BITS-1:0] w_address,
  input  logic [31:0]          w_bytes,
  input  logic                 w_stop,
  output logic                 w_busy,
  output logic                 w_failed,

  `MEMORY_PORTS,

  output logic [63:0]          m_axis_tdata,
  output logic                 m_axis_tvalid,
  input  logic                 m_axis_tready,
  input  logic [63:0]          s_axis_tdata,
  input  logic                 s_axis_tvalid,
  output logic                 s_axis_tready
);
  assign {m_axi_arid, m_axi_awid} = '0;
  assign {m_axi_arlen[7:4], m_axi_awlen[7:4]} = '0;
  assign {m_axi_arsize, m_axi_awsize} = {3'd3, 3'd3};
  assign {m_axi_arburst, m_axi_awburst} = {2'd1, 2'd1};

  dma_read #(
    .ADDR_BITS(ADDR_BITS),
    .DEPTH(DEPTH)
  ) reader (
    .start(r_start),
    .address(r_address),
    .words(r_words),
    .stop(r_stop),
    .busy(r_busy),
    .failed(r_failed),
    .moved(),
    .checksum(r_checksum),
    .m_axi_arlen(m_axi_arlen[3:0]),
    .*
  );

  dma_write #(
    .ADDR_BITS(ADDR_BITS),
    .DEPTH(DEPTH)
  ) writer (
    .start(w_start),
    .address(w_address),
    .bytes(w_bytes),
    .stop(w_stop),
    .busy(w_busy),
    .failed(w_failed),
    .moved(),
    .m_axi_awlen(m_axi_awlen[3:0]),
    .*
  );
endmodule
