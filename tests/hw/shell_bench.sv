// The accelerator shell behind the GP0 bridge, with a small core and the constants that a top adds.
//
// The core adds the lowest and the highest 16 bits of all beats of an image; result k of the image is
// that sum + 17 k. `stall_in` and `stall_out` hold it up at either end.
module shell_bench #(
  parameter int unsigned ADDR_BITS = 32,
  parameter int unsigned IN_ELEMENTS = 16,
  parameter int unsigned IN_ELEMENT_BITS = 8,
  parameter int unsigned IN_MEMORY_BITS = 8,
  parameter int unsigned IN_BEATS = 49,
  parameter int unsigned IN_BITS = 128,
  parameter int unsigned OUT_ELEMENTS = 1,
  parameter int unsigned OUT_ELEMENT_BITS = 4,
  parameter int unsigned OUT_MEMORY_BITS = 8,
  parameter int unsigned OUT_SIGNED = 0,
  parameter int unsigned OUT_BEATS = 1,
  parameter int unsigned OUT_BITS = 8
) (
  input  logic                 aclk,
  input  logic                 aresetn,
  input  logic                 stall_in,
  input  logic                 stall_out,
  output logic [3:0]           led,

  input  logic                 gp0_awvalid,
  output logic                 gp0_awready,
  input  logic [11:0]          gp0_awid,
  input  logic [31:0]          gp0_awaddr,
  input  logic [7:0]           gp0_awlen,
  input  logic [2:0]           gp0_awsize,
  input  logic [1:0]           gp0_awburst,
  input  logic                 gp0_wvalid,
  output logic                 gp0_wready,
  input  logic [31:0]          gp0_wdata,
  input  logic [3:0]           gp0_wstrb,
  input  logic                 gp0_wlast,
  output logic                 gp0_bvalid,
  input  logic                 gp0_bready,
  output logic [11:0]          gp0_bid,
  output logic [1:0]           gp0_bresp,
  input  logic                 gp0_arvalid,
  output logic                 gp0_arready,
  input  logic [11:0]          gp0_arid,
  input  logic [31:0]          gp0_araddr,
  input  logic [7:0]           gp0_arlen,
  input  logic [2:0]           gp0_arsize,
  input  logic [1:0]           gp0_arburst,
  output logic                 gp0_rvalid,
  input  logic                 gp0_rready,
  output logic [11:0]          gp0_rid,
  output logic [31:0]          gp0_rdata,
  output logic [1:0]           gp0_rresp,
  output logic                 gp0_rlast,

  `MEMORY_PORTS
);
  assign {m_axi_arid, m_axi_awid} = '0;
  assign {m_axi_arsize, m_axi_awsize} = {3'd3, 3'd3};
  assign {m_axi_arburst, m_axi_awburst} = {2'd1, 2'd1};
  assign {m_axi_arlen[7:4], m_axi_awlen[7:4]} = '0;

  logic [9:0] reg_index;
  logic reg_known, reg_write, reg_read;
  logic [31:0] reg_wdata, reg_rdata;

  gp0_slave bridge (
    .gp0_awlen(gp0_awlen[3:0]),
    .gp0_awsize(gp0_awsize[1:0]),
    .gp0_arlen(gp0_arlen[3:0]),
    .gp0_arsize(gp0_arsize[1:0]),
    .*
  );

  // What the timing takes for granted (`slow` in board.toml): index and data have long stood still when
  // they are used, and between two writes a start has time for all that was written before it.
  logic [41:0] bus_q;
  int unsigned still_q, since_q;
  always_ff @(posedge aclk) begin
    bus_q <= {reg_index, reg_wdata};
    still_q <= bus_q != {reg_index, reg_wdata} ? 0 : still_q + 1;
    since_q <= reg_write ? 0 : since_q + 1;
    if (aresetn && ((reg_write || reg_read) && still_q < 16 || reg_write && since_q < 16))
      $fatal(1, "the register bus is too fast");
  end

  logic core_aresetn, core_in_tvalid, core_in_tready, core_out_tvalid, core_out_tready;
  logic [IN_BITS-1:0] core_in_tdata;
  logic [OUT_BITS-1:0] core_out_tdata;

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
    .BUILD(32'hC0FFEE11)
  ) shell (
    .m_axi_arlen(m_axi_arlen[3:0]),
    .m_axi_awlen(m_axi_awlen[3:0]),
    .*
  );

  logic read_busy, write_busy, running, feeding;  // for the bench
  assign read_busy = shell.read_busy;
  assign write_busy = shell.write_busy;
  assign running = shell.running;
  assign feeding = shell.counts.feeding;

  logic [15:0] sum_q, result_q, now;
  logic [15:0] beat_q, out_q;
  logic held_q, last_in, last_out, take, give;
  assign now = (beat_q == 16'd0 ? 16'd0 : sum_q) + core_in_tdata[15:0]
               + core_in_tdata[IN_BITS-1-:16];
  assign last_in = beat_q == 16'(IN_BEATS - 1);
  assign last_out = out_q == 16'(OUT_BEATS - 1);
  assign core_in_tready = !stall_in && !(last_in && held_q && !(give && last_out));
  assign core_out_tvalid = held_q && !hold_q;
  assign take = core_in_tvalid && core_in_tready;
  assign give = core_out_tvalid && core_out_tready;
  for (genvar i = 0; i < OUT_ELEMENTS; i++) begin : gen_out
    assign core_out_tdata[i*OUT_ELEMENT_BITS+:OUT_ELEMENT_BITS] =
        OUT_ELEMENT_BITS'(result_q + 16'd17 * (out_q * 16'(OUT_ELEMENTS) + 16'(i)));
  end
  if (OUT_BITS > OUT_ELEMENTS * OUT_ELEMENT_BITS) begin : gen_pad
    assign core_out_tdata[OUT_BITS-1:OUT_ELEMENTS*OUT_ELEMENT_BITS] = '0;
  end
  logic hold_q;  // begins between offers only, so that an offered beat stays
  always_ff @(posedge aclk) begin
    if (!core_out_tvalid || give) hold_q <= stall_out;
    else hold_q <= 1'b0;
    if (give) begin
      out_q <= last_out ? 16'd0 : out_q + 16'd1;
      if (last_out) held_q <= 1'b0;
    end
    if (take) begin
      sum_q <= now;
      beat_q <= last_in ? 16'd0 : beat_q + 16'd1;
      if (last_in) begin
        result_q <= now;
        held_q <= 1'b1;
      end
    end
    if (!core_aresetn) begin
      {beat_q, out_q} <= '0;
      held_q <= 1'b0;
    end
  end
endmodule
