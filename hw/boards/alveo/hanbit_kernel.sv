// The accelerator, core and shell, with the ports of an RTL kernel for XRT: one AXI4-Lite slave for
// registers, one AXI4 master of 64 bits for images and results.
//
// Function
//   AP_CTRL 1: a kernel that XRT starts; its registers are those of kernel_control.sv. AP_CTRL 0: the
//   shell's own registers from offset 0 on, as on the PYNQ-Z2, for a block design in Vivado.
//   The core is module `top`.
//
// Memory: bursts of up to 16 beats, INCR, ID 0, no exclusive access. Both kinds of
// buffer begin at multiples of 8.
//
// Parameters: ADDR_BITS of the master, 32 or 64 (a kernel: 64); the others as accelerator_shell.sv
// has them.
module hanbit_kernel #(
  parameter int unsigned AP_CTRL = 1,
  parameter int unsigned ADDR_BITS = 64,
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
) (
  input  logic                 ap_clk,
  input  logic                 ap_rst_n,
  // verilator lint_off SYMRSVDWORD
  output logic                 interrupt,  // its name in every kernel
  // verilator lint_on SYMRSVDWORD

  input  logic                 s_axi_control_awvalid,
  output logic                 s_axi_control_awready,
  input  logic [11:0]          s_axi_control_awaddr,
  input  logic                 s_axi_control_wvalid,
  output logic                 s_axi_control_wready,
  input  logic [31:0]          s_axi_control_wdata,
  input  logic [3:0]           s_axi_control_wstrb,
  output logic                 s_axi_control_bvalid,
  input  logic                 s_axi_control_bready,
  output logic [1:0]           s_axi_control_bresp,
  input  logic                 s_axi_control_arvalid,
  output logic                 s_axi_control_arready,
  input  logic [11:0]          s_axi_control_araddr,
  output logic                 s_axi_control_rvalid,
  input  logic                 s_axi_control_rready,
  output logic [31:0]          s_axi_control_rdata,
  output logic [1:0]           s_axi_control_rresp,

  output logic                 m_axi_gmem_awvalid,
  input  logic                 m_axi_gmem_awready,
  output logic                 m_axi_gmem_awid,
  output logic [ADDR_BITS-1:0] m_axi_gmem_awaddr,
  output logic [7:0]           m_axi_gmem_awlen,
  output logic [2:0]           m_axi_gmem_awsize,
  output logic [1:0]           m_axi_gmem_awburst,
  output logic [3:0]           m_axi_gmem_awcache,
  output logic [2:0]           m_axi_gmem_awprot,
  output logic                 m_axi_gmem_wvalid,
  input  logic                 m_axi_gmem_wready,
  output logic [63:0]          m_axi_gmem_wdata,
  output logic [7:0]           m_axi_gmem_wstrb,
  output logic                 m_axi_gmem_wlast,
  input  logic                 m_axi_gmem_bvalid,
  output logic                 m_axi_gmem_bready,
  input  logic [1:0]           m_axi_gmem_bresp,
  output logic                 m_axi_gmem_arvalid,
  input  logic                 m_axi_gmem_arready,
  output logic                 m_axi_gmem_arid,
  output logic [ADDR_BITS-1:0] m_axi_gmem_araddr,
  output logic [7:0]           m_axi_gmem_arlen,
  output logic [2:0]           m_axi_gmem_arsize,
  output logic [1:0]           m_axi_gmem_arburst,
  output logic [3:0]           m_axi_gmem_arcache,
  output logic [2:0]           m_axi_gmem_arprot,
  input  logic                 m_axi_gmem_rvalid,
  output logic                 m_axi_gmem_rready,
  input  logic [63:0]          m_axi_gmem_rdata,
  input  logic [1:0]           m_axi_gmem_rresp,
  // All transactions have one ID, and the DMAs count beats.
  // verilator lint_off UNUSEDSIGNAL
  input  logic                 m_axi_gmem_rlast,
  input  logic                 m_axi_gmem_rid,
  input  logic                 m_axi_gmem_bid
  // verilator lint_on UNUSEDSIGNAL
);
  // What is the same in every transaction.
  localparam logic [2:0] EIGHT_BYTES = 3'd3;
  localparam logic [1:0] INCR = 2'd1;
  localparam logic [3:0] BUFFERABLE = 4'b0011;
  assign {m_axi_gmem_awid, m_axi_gmem_arid} = '0;
  assign {m_axi_gmem_awsize, m_axi_gmem_arsize} = {EIGHT_BYTES, EIGHT_BYTES};
  assign {m_axi_gmem_awburst, m_axi_gmem_arburst} = {INCR, INCR};
  assign {m_axi_gmem_awcache, m_axi_gmem_arcache} = {BUFFERABLE, BUFFERABLE};
  assign {m_axi_gmem_awprot, m_axi_gmem_arprot} = '0;
  assign m_axi_gmem_awlen[7:4] = 4'd0;
  assign m_axi_gmem_arlen[7:4] = 4'd0;

  // Registers: from the host, and those of the shell.
  logic [9:0] host_index, reg_index;
  logic host_known, host_write, host_read, reg_known, reg_write, reg_read;
  logic [31:0] host_wdata, host_rdata, reg_wdata, reg_rdata;

  axi_lite_slave slave (
    .aclk(ap_clk),
    .aresetn(ap_rst_n),
    .s_axi_awvalid(s_axi_control_awvalid),
    .s_axi_awready(s_axi_control_awready),
    .s_axi_awaddr(s_axi_control_awaddr),
    .s_axi_wvalid(s_axi_control_wvalid),
    .s_axi_wready(s_axi_control_wready),
    .s_axi_wdata(s_axi_control_wdata),
    .s_axi_wstrb(s_axi_control_wstrb),
    .s_axi_bvalid(s_axi_control_bvalid),
    .s_axi_bready(s_axi_control_bready),
    .s_axi_bresp(s_axi_control_bresp),
    .s_axi_arvalid(s_axi_control_arvalid),
    .s_axi_arready(s_axi_control_arready),
    .s_axi_araddr(s_axi_control_araddr),
    .s_axi_rvalid(s_axi_control_rvalid),
    .s_axi_rready(s_axi_control_rready),
    .s_axi_rdata(s_axi_control_rdata),
    .s_axi_rresp(s_axi_control_rresp),
    .reg_index(host_index),
    .reg_known(host_known),
    .reg_write(host_write),
    .reg_wdata(host_wdata),
    .reg_read(host_read),
    .reg_rdata(host_rdata)
  );

  if (AP_CTRL == 1) begin : gen_kernel
    kernel_control control (
      .aclk(ap_clk),
      .aresetn(ap_rst_n),
      .host_index(host_index),
      .host_known(host_known),
      .host_write(host_write),
      .host_wdata(host_wdata),
      .host_read(host_read),
      .host_rdata(host_rdata),
      .reg_index(reg_index),
      .reg_known(reg_known),
      .reg_write(reg_write),
      .reg_wdata(reg_wdata),
      .reg_read(reg_read),
      .reg_rdata(reg_rdata),
      .irq(interrupt)
    );
  end else begin : gen_registers
    assign reg_index = host_index;
    assign host_known = reg_known;
    assign reg_write = host_write;
    assign reg_wdata = host_wdata;
    assign reg_read = host_read;
    assign host_rdata = reg_rdata;
    assign interrupt = 1'b0;
  end

  logic core_aresetn, in_tvalid, in_tready, out_tvalid, out_tready;
  logic [IN_BITS-1:0] in_tdata;
  logic [OUT_BITS-1:0] out_tdata;
  // verilator lint_off UNUSEDSIGNAL
  logic [3:0] led;  // a card has none
  // verilator lint_on UNUSEDSIGNAL

  accelerator_shell #(
    .ADDR_BITS(ADDR_BITS),
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
    .aclk(ap_clk),
    .aresetn(ap_rst_n),
    .reg_index(reg_index),
    .reg_known(reg_known),
    .reg_write(reg_write),
    .reg_wdata(reg_wdata),
    .reg_read(reg_read),
    .reg_rdata(reg_rdata),
    .m_axi_arvalid(m_axi_gmem_arvalid),
    .m_axi_arready(m_axi_gmem_arready),
    .m_axi_araddr(m_axi_gmem_araddr),
    .m_axi_arlen(m_axi_gmem_arlen[3:0]),
    .m_axi_rvalid(m_axi_gmem_rvalid),
    .m_axi_rready(m_axi_gmem_rready),
    .m_axi_rdata(m_axi_gmem_rdata),
    .m_axi_rresp(m_axi_gmem_rresp),
    .m_axi_awvalid(m_axi_gmem_awvalid),
    .m_axi_awready(m_axi_gmem_awready),
    .m_axi_awaddr(m_axi_gmem_awaddr),
    .m_axi_awlen(m_axi_gmem_awlen[3:0]),
    .m_axi_wvalid(m_axi_gmem_wvalid),
    .m_axi_wready(m_axi_gmem_wready),
    .m_axi_wdata(m_axi_gmem_wdata),
    .m_axi_wstrb(m_axi_gmem_wstrb),
    .m_axi_wlast(m_axi_gmem_wlast),
    .m_axi_bvalid(m_axi_gmem_bvalid),
    .m_axi_bready(m_axi_gmem_bready),
    .m_axi_bresp(m_axi_gmem_bresp),
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
    .aclk(ap_clk),
    .aresetn(core_aresetn),
    .s_axis_tdata(in_tdata),
    .s_axis_tvalid(in_tvalid),
    .s_axis_tready(in_tready),
    .m_axis_tdata(out_tdata),
    .m_axis_tvalid(out_tvalid),
    .m_axis_tready(out_tready)
  );
endmodule
