// What lies between the DMAs of accelerator_shell.sv and the core: images to beats, results to words.
//
// Function
//   Words that were read become beats of the core (unpack.sv), its results words to be written
//   (pack.sv). MODE.ROUTE, once nothing is under way, leads past the core: 1 copies what is read to
//   what is written, 2 drops it. `start` and `images` are for pack.sv. `waiting`: a word has been
//   read and is not in the core or dropped yet.
//
// Rate: a word of 64 bits a cycle in, half a word out. Latency: a cycle for each of the stages that
//   stand around the core, which may lie far away.
// Parameters and what is legal: as in accelerator_shell.sv.
module shell_streams #(
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
  parameter int unsigned IMAGE_BITS = 20  // of `images`
) (
  input  logic                  aclk,
  input  logic                  aresetn,

  input  logic [1:0]            route,
  input  logic                  busy,     // a DMA
  output logic                  waiting,
  input  logic                  start,
  input  logic [IMAGE_BITS-1:0] images,

  input  logic [63:0]           read_tdata,
  input  logic                  read_tvalid,
  output logic                  read_tready,
  output logic [63:0]           write_tdata,
  output logic                  write_tvalid,
  input  logic                  write_tready,

  output logic [IN_BITS-1:0]    core_in_tdata,
  output logic                  core_in_tvalid,
  input  logic                  core_in_tready,
  input  logic [OUT_BITS-1:0]   core_out_tdata,
  input  logic                  core_out_tvalid,
  output logic                  core_out_tready
);
  localparam logic [1:0] COPY = 2'd1;
  localparam logic [1:0] DROP = 2'd2;

  // The route of what is read. It changes only while nothing is under way, more than 16 cycles before
  // a start (gp0_slave.sv): no part of the timing (`slow` in board.toml).
  logic through_q, copy_q, drop_q;
  always_ff @(posedge aclk) begin
    if (!busy && !waiting) begin
      through_q <= route != COPY && route != DROP;
      copy_q <= route == COPY;
      drop_q <= route == DROP;
    end
  end

  logic [63:0] word_tdata;
  logic word_tvalid, word_tready;
  assign waiting = read_tvalid || word_tvalid;

  // Block RAM is slow to answer: a register stage behind it. So is all that lies far away: stages
  // around the core and before the writer, which lies at the bus.
  axis_reg #(
    .WIDTH(64)
  ) stage (
    .aclk(aclk),
    .aresetn(aresetn),
    .s_axis_tdata(read_tdata),
    .s_axis_tvalid(read_tvalid),
    .s_axis_tready(read_tready),
    .m_axis_tdata(word_tdata),
    .m_axis_tvalid(word_tvalid),
    .m_axis_tready(word_tready)
  );

  logic unpack_tready, beat_tvalid, beat_tready;
  logic [IN_BITS-1:0] beat_tdata;
  unpack #(
    .ELEMENTS(IN_ELEMENTS),
    .MEMORY_BITS(IN_MEMORY_BITS),
    .ELEMENT_BITS(IN_ELEMENT_BITS),
    .BEATS(IN_BEATS),
    .OUT_BITS(IN_BITS)
  ) unpacker (
    .aclk(aclk),
    .aresetn(aresetn),
    .s_axis_tdata(word_tdata),
    .s_axis_tvalid(word_tvalid && through_q),
    .s_axis_tready(unpack_tready),
    .m_axis_tdata(beat_tdata),
    .m_axis_tvalid(beat_tvalid),
    .m_axis_tready(beat_tready)
  );

  axis_reg #(
    .WIDTH(IN_BITS)
  ) beat_stage (
    .aclk(aclk),
    .aresetn(aresetn),
    .s_axis_tdata(beat_tdata),
    .s_axis_tvalid(beat_tvalid),
    .s_axis_tready(beat_tready),
    .m_axis_tdata(core_in_tdata),
    .m_axis_tvalid(core_in_tvalid),
    .m_axis_tready(core_in_tready)
  );

  // Core to memory. A stage on the core's side and one on the writer's.
  logic [OUT_BITS-1:0] score_tdata, result_tdata;
  logic score_tvalid, score_tready, result_tvalid, result_tready;
  axis_reg #(
    .WIDTH(OUT_BITS)
  ) score_stage (
    .aclk(aclk),
    .aresetn(aresetn),
    .s_axis_tdata(core_out_tdata),
    .s_axis_tvalid(core_out_tvalid),
    .s_axis_tready(core_out_tready),
    .m_axis_tdata(score_tdata),
    .m_axis_tvalid(score_tvalid),
    .m_axis_tready(score_tready)
  );
  axis_reg #(
    .WIDTH(OUT_BITS)
  ) result_stage (
    .aclk(aclk),
    .aresetn(aresetn),
    .s_axis_tdata(score_tdata),
    .s_axis_tvalid(score_tvalid),
    .s_axis_tready(score_tready),
    .m_axis_tdata(result_tdata),
    .m_axis_tvalid(result_tvalid),
    .m_axis_tready(result_tready)
  );

  logic [63:0] packed_tdata, mixed_tdata;
  logic packed_tvalid, packed_tready, mixed_tvalid, mixed_tready;
  pack #(
    .ELEMENTS(OUT_ELEMENTS),
    .ELEMENT_BITS(OUT_ELEMENT_BITS),
    .MEMORY_BITS(OUT_MEMORY_BITS),
    .SIGNED(OUT_SIGNED),
    .BEATS(OUT_BEATS),
    .IN_BITS(OUT_BITS),
    .IMAGE_BITS(IMAGE_BITS)
  ) packer (
    .aclk(aclk),
    .aresetn(aresetn),
    .start(start),
    .images(images),
    .s_axis_tdata(result_tdata),
    .s_axis_tvalid(result_tvalid),
    .s_axis_tready(result_tready),
    .m_axis_tdata(packed_tdata),
    .m_axis_tvalid(packed_tvalid),
    .m_axis_tready(packed_tready)
  );

  // The route past the core.
  assign word_tready = drop_q || (copy_q ? mixed_tready : unpack_tready);
  assign mixed_tdata = copy_q ? word_tdata : packed_tdata;
  assign mixed_tvalid = copy_q ? word_tvalid : packed_tvalid;
  assign packed_tready = !copy_q && mixed_tready;
  axis_reg #(
    .WIDTH(64)
  ) write_stage (
    .aclk(aclk),
    .aresetn(aresetn),
    .s_axis_tdata(mixed_tdata),
    .s_axis_tvalid(mixed_tvalid),
    .s_axis_tready(mixed_tready),
    .m_axis_tdata(write_tdata),
    .m_axis_tvalid(write_tvalid),
    .m_axis_tready(write_tready)
  );
endmodule
