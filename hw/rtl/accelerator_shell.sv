// Everything between a register bus, a memory bus and the accelerator's core.
//
// Function
//   Reads a batch of images by AXI, hands them to the core beat by beat, writes its results back by
//   AXI. The registers of flow/shell/registers.toml (shell_regfile.sv) start it, name its errors and
//   hold its counters. How images and results lie in memory: shell_streams.sv.
//   The core is outside: its input is `core_in`, its output `core_out`, its reset `core_aresetn`. It
//   needs no reset between batches.
//
// Memory bus: bursts of up to 16 beats of 8 bytes, INCR, one ID, in AXI3 and AXI4 alike; what is
//   constant is left to the top. Nothing but flip-flops at the border, see dma_read.sv.
//
// Rate: a word of 64 bits a cycle in, half a word out.
// Legal: ADDR_BITS 32 or 64; an image of at most 4095 words, its results at most 4095 bytes; else as
// unpack.sv and pack.sv say.
module accelerator_shell #(
  parameter int unsigned ADDR_BITS = 32,
  parameter int unsigned IN_ELEMENTS = 8,       // of a beat into the core
  parameter int unsigned IN_ELEMENT_BITS = 8,
  parameter int unsigned IN_MEMORY_BITS = 8,    // of an element in memory: the same, or 1
  parameter int unsigned IN_BEATS = 8,          // an image
  parameter int unsigned IN_BITS = 64,          // of the stream
  parameter int unsigned OUT_ELEMENTS = 1,      // of a beat out of the core
  parameter int unsigned OUT_ELEMENT_BITS = 4,
  parameter int unsigned OUT_MEMORY_BITS = 8,   // of a result in memory
  parameter int unsigned OUT_SIGNED = 0,
  parameter int unsigned OUT_BEATS = 1,         // an image
  parameter int unsigned OUT_BITS = 8,          // of the stream
  parameter logic [31:0] BUILD = 32'd0          // hash of the design
) (
  input  logic                 aclk,
  input  logic                 aresetn,

  input  logic [9:0]           reg_index,
  output logic                 reg_known,
  input  logic                 reg_write,
  input  logic [31:0]          reg_wdata,
  input  logic                 reg_read,
  output logic [31:0]          reg_rdata,

  output logic                 m_axi_arvalid,
  input  logic                 m_axi_arready,
  output logic [ADDR_BITS-1:0] m_axi_araddr,
  output logic [3:0]           m_axi_arlen,
  input  logic                 m_axi_rvalid,
  output logic                 m_axi_rready,
  input  logic [63:0]          m_axi_rdata,
  input  logic [1:0]           m_axi_rresp,
  output logic                 m_axi_awvalid,
  input  logic                 m_axi_awready,
  output logic [ADDR_BITS-1:0] m_axi_awaddr,
  output logic [3:0]           m_axi_awlen,
  output logic                 m_axi_wvalid,
  input  logic                 m_axi_wready,
  output logic [63:0]          m_axi_wdata,
  output logic [7:0]           m_axi_wstrb,
  output logic                 m_axi_wlast,
  input  logic                 m_axi_bvalid,
  output logic                 m_axi_bready,
  input  logic [1:0]           m_axi_bresp,

  output logic                 core_aresetn,
  output logic [IN_BITS-1:0]   core_in_tdata,
  output logic                 core_in_tvalid,
  input  logic                 core_in_tready,
  input  logic [OUT_BITS-1:0]  core_out_tdata,
  input  logic                 core_out_tvalid,
  output logic                 core_out_tready,

  output logic [3:0]           led
);
  localparam int unsigned IMAGE_BITS = 20;  // of the field BATCH.IMAGES
  localparam int unsigned COUNT_BITS = 32;
  localparam int unsigned IN_USED = IN_ELEMENTS * IN_MEMORY_BITS;
  localparam int unsigned IN_SLOT =
      IN_USED <= 64 ? 2 ** $clog2(IN_USED) : (IN_USED + 63) / 64 * 64;
  localparam int unsigned IN_WORDS = (IN_BEATS * IN_SLOT + 63) / 64;
  localparam int unsigned OUT_BYTES = OUT_BEATS * OUT_ELEMENTS * OUT_MEMORY_BITS / 8;

  if (ADDR_BITS != 32 && ADDR_BITS != 64) begin : gen_bad_address
    $error("accelerator_shell: ADDR_BITS must be 32 or 64");
  end
  if (IN_WORDS > 4095 || OUT_BYTES > 4095) begin : gen_bad_image
    $error("accelerator_shell: an image may have 4095 words and 4095 bytes of results");
  end

  // Registers.
  logic soft_reset, resetting, read_busy, write_busy, running, error;
  logic error_read, error_write, error_timeout, error_descriptor, error_start;
  logic start_read, start_write, read_done, write_done;
  logic keep_run, keep_latency, keep_stall_in, keep_stall_out;
  logic [31:0] timeout, cycles_q, checksum, count_high;
  logic [31:0] run_low, latency_low, stall_in_low, stall_out_low;
  logic [31:0] read_low, read_high, write_low, write_high;
  logic [IMAGE_BITS-1:0] read_images, write_images;
  logic [1:0] route;
  // verilator lint_off UNUSEDSIGNAL
  logic [31:0] scratch;  // kept for the program that wrote it
  logic [63:0] read_address, write_address;
  // verilator lint_on UNUSEDSIGNAL
  assign read_address = {read_high, read_low};
  assign write_address = {write_high, write_low};

  shell_regfile registers (
    .aclk(aclk),
    .aresetn(aresetn),
    .reg_index(reg_index),
    .reg_known(reg_known),
    .reg_write(reg_write),
    .reg_wdata(reg_wdata),
    .reg_read(reg_read),
    .reg_rdata(reg_rdata),
    .shell_build(BUILD),
    .shell_control_soft_reset(soft_reset),
    .shell_status_resetting(resetting),
    .shell_status_idma_busy(read_busy),
    .shell_status_odma_busy(write_busy),
    .shell_status_running(running),
    .shell_status_error(error),
    .shell_error_read(error_read),
    .shell_error_write(error_write),
    .shell_error_timeout(error_timeout),
    .shell_error_descriptor(error_descriptor),
    .shell_error_start(error_start),
    .shell_timeout(timeout),
    .shell_scratch(scratch),
    .shell_cycles(cycles_q),
    .shell_input_words(16'(IN_WORDS)),
    .shell_input_bits(8'(IN_MEMORY_BITS)),
    .shell_output_bytes(16'(OUT_BYTES)),
    .shell_output_bits(8'(OUT_MEMORY_BITS)),
    .shell_output_signed(OUT_SIGNED == 1),
    .shell_mode_route(route),
    .shell_checksum(checksum),
    .shell_run_low(run_low),
    .shell_run_low_read(keep_run),
    .shell_run_high(count_high),
    .shell_latency_low(latency_low),
    .shell_latency_low_read(keep_latency),
    .shell_latency_high(count_high),
    .shell_stall_in_low(stall_in_low),
    .shell_stall_in_low_read(keep_stall_in),
    .shell_stall_in_high(count_high),
    .shell_stall_out_low(stall_out_low),
    .shell_stall_out_low_read(keep_stall_out),
    .shell_stall_out_high(count_high),
    .idma0_control_start(start_read),
    .idma0_control_busy(read_busy),
    .idma0_control_done(read_done),
    .idma0_control_idle(!read_busy),
    .idma0_control_ready(read_done),
    .idma0_address_low(read_low),
    .idma0_address_high(read_high),
    .idma0_batch_images(read_images),
    .odma0_control_start(start_write),
    .odma0_control_busy(write_busy),
    .odma0_control_done(write_done),
    .odma0_control_idle(!write_busy),
    .odma0_control_ready(write_done),
    .odma0_address_low(write_low),
    .odma0_address_high(write_high),
    .odma0_batch_images(write_images)
  );

  // What a batch is in words and bytes; legal or not. Known long before the start.
  logic [COUNT_BITS-1:0] read_words_q, write_bytes_q;
  logic read_legal_q, write_legal_q;
  always_ff @(posedge aclk) begin
    read_words_q <= COUNT_BITS'(read_images) * COUNT_BITS'(IN_WORDS);
    write_bytes_q <= COUNT_BITS'(write_images) * COUNT_BITS'(OUT_BYTES);
    read_legal_q <= read_images != '0 && read_low[2:0] == 3'd0;
    write_legal_q <= write_images != '0 && write_low[2:0] == 3'd0;
    cycles_q <= aresetn ? cycles_q + 32'd1 : 32'd0;
    led <= {error, write_done, running, cycles_q[25]};
  end

  logic read_start, write_start, stop, read_failed, write_failed, timed_out;
  shell_control control (
    .aclk(aclk),
    .aresetn(aresetn),
    .soft_reset(soft_reset),
    .start_read(start_read),
    .start_write(start_write),
    .read_legal(read_legal_q),
    .write_legal(write_legal_q),
    .read_busy(read_busy),
    .write_busy(write_busy),
    .read_failed(read_failed),
    .write_failed(write_failed),
    .timed_out(timed_out),
    .read_start(read_start),
    .write_start(write_start),
    .stop(stop),
    .read_done(read_done),
    .write_done(write_done),
    .running(running),
    .resetting(resetting),
    .core_aresetn(core_aresetn),
    .error_read(error_read),
    .error_write(error_write),
    .error_timeout(error_timeout),
    .error_descriptor(error_descriptor),
    .error_start(error_start),
    .error(error)
  );

  // Memory to core, core to memory.
  logic [63:0] read_out_tdata;
  logic read_out_tvalid, read_out_tready, read_moved;
  dma_read #(
    .ADDR_BITS(ADDR_BITS),
    .WORD_BITS(COUNT_BITS)
  ) reader (
    .aclk(aclk),
    .aresetn(aresetn),
    .clear_n(core_aresetn),
    .start(read_start),
    .address(read_address[ADDR_BITS-1:0]),
    .words(read_words_q),
    .stop(stop),
    .busy(read_busy),
    .failed(read_failed),
    .moved(read_moved),
    .checksum(checksum),
    .m_axi_arvalid(m_axi_arvalid),
    .m_axi_arready(m_axi_arready),
    .m_axi_araddr(m_axi_araddr),
    .m_axi_arlen(m_axi_arlen),
    .m_axi_rvalid(m_axi_rvalid),
    .m_axi_rready(m_axi_rready),
    .m_axi_rdata(m_axi_rdata),
    .m_axi_rresp(m_axi_rresp),
    .m_axis_tdata(read_out_tdata),
    .m_axis_tvalid(read_out_tvalid),
    .m_axis_tready(read_out_tready)
  );

  logic [63:0] write_tdata;
  logic write_tvalid, write_tready, write_moved, waiting;
  shell_streams #(
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
    .IMAGE_BITS(IMAGE_BITS)
  ) streams (
    .aclk(aclk),
    .aresetn(core_aresetn),
    .route(route),
    .busy(read_busy || write_busy),
    .waiting(waiting),
    .start(write_start),
    .images(write_images),
    .read_tdata(read_out_tdata),
    .read_tvalid(read_out_tvalid),
    .read_tready(read_out_tready),
    .write_tdata(write_tdata),
    .write_tvalid(write_tvalid),
    .write_tready(write_tready),
    .core_in_tdata(core_in_tdata),
    .core_in_tvalid(core_in_tvalid),
    .core_in_tready(core_in_tready),
    .core_out_tdata(core_out_tdata),
    .core_out_tvalid(core_out_tvalid),
    .core_out_tready(core_out_tready)
  );

  dma_write #(
    .ADDR_BITS(ADDR_BITS),
    .BYTE_BITS(COUNT_BITS)
  ) writer (
    .aclk(aclk),
    .aresetn(aresetn),
    .clear_n(core_aresetn),
    .start(write_start),
    .address(write_address[ADDR_BITS-1:0]),
    .bytes(write_bytes_q),
    .stop(stop),
    .busy(write_busy),
    .failed(write_failed),
    .moved(write_moved),
    .m_axi_awvalid(m_axi_awvalid),
    .m_axi_awready(m_axi_awready),
    .m_axi_awaddr(m_axi_awaddr),
    .m_axi_awlen(m_axi_awlen),
    .m_axi_wvalid(m_axi_wvalid),
    .m_axi_wready(m_axi_wready),
    .m_axi_wdata(m_axi_wdata),
    .m_axi_wstrb(m_axi_wstrb),
    .m_axi_wlast(m_axi_wlast),
    .m_axi_bvalid(m_axi_bvalid),
    .m_axi_bready(m_axi_bready),
    .m_axi_bresp(m_axi_bresp),
    .s_axis_tdata(write_tdata),
    .s_axis_tvalid(write_tvalid),
    .s_axis_tready(write_tready)
  );

  counters counts (
    .aclk(aclk),
    .aresetn(core_aresetn),
    .begin_run(read_start),
    .running(running),
    .feeding(read_busy || waiting),
    .in_tvalid(core_in_tvalid),
    .in_tready(core_in_tready),
    .out_tvalid(core_out_tvalid),
    .out_tready(core_out_tready),
    .run_low(run_low),
    .latency_low(latency_low),
    .stall_in_low(stall_in_low),
    .stall_out_low(stall_out_low),
    .keep_run(keep_run),
    .keep_latency(keep_latency),
    .keep_stall_in(keep_stall_in),
    .keep_stall_out(keep_stall_out),
    .high(count_high),
    .limit(timeout),
    .moved(read_moved || write_moved),
    .timed_out(timed_out)
  );
endmodule
