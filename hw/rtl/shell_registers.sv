// Registers of the minimal shell: a program pushes input words, the core's results are read back.
//
// | offset | name    | access | meaning                                                            |
// |--------|---------|--------|--------------------------------------------------------------------|
// | 0x00   | ID      | read   | "hnb1" in ASCII: 0x686E6231                                        |
// | 0x04   | BUILD   | read   | hash of the design that the bitstream was made from                |
// | 0x08   | CONTROL | write  | bit 0: reset the core, the buffers and the flags                   |
// | 0x0C   | STATUS  | read   | bit 0: DATA_IN takes a word; 1: RESULT holds a word; 2: a word was |
// |        |         |        | pushed when there was no room, and lost; 3: RESULT was read when   |
// |        |         |        | there was none; 4: the core is being reset                         |
// | 0x10   | DATA_IN | write  | next word of the input, element 0 in the least significant bits    |
// | 0x14   | RESULT  | read   | next word of the output; 0 if there is none                        |
// | 0x18   | CYCLES  | read   | clock cycles since the bitstream was loaded, modulo 2^32           |
// | 0x1C   | SHAPE   | read   | bits 15..0: IN_BITS, bits 31..16: OUT_BITS                         |
// | 0x20   | SCRATCH | both   | keeps what is written to it                                        |
//
// Writing a register that can only be read, or reading one that can only be written (0), does
// nothing. A beat of IN_BITS is ceil(IN_BITS / 32) words, the first word lowest, the last one padded
// above; results likewise. One beat is kept in each direction; beyond that the core waits.
//
// Latency: 1 cycle from reg_read to reg_rdata; 2 cycles from the last word pushed to m_axis_tvalid.
// Legal: IN_BITS and OUT_BITS are multiples of 8 between 8 and 65528.
module shell_registers #(
    parameter int unsigned IN_BITS = 8,
    parameter int unsigned OUT_BITS = 8,
    parameter logic [31:0] BUILD = 32'd0
) (
    input  logic                aclk,
    input  logic                aresetn,

    input  logic [9:0]          reg_index,
    output logic                reg_known,
    input  logic                reg_write,
    input  logic [31:0]         reg_wdata,
    input  logic                reg_read,
    output logic [31:0]         reg_rdata,

    output logic                core_aresetn,
    output logic [IN_BITS-1:0]  m_axis_tdata,
    output logic                m_axis_tvalid,
    input  logic                m_axis_tready,
    input  logic [OUT_BITS-1:0] s_axis_tdata,
    input  logic                s_axis_tvalid,
    output logic                s_axis_tready,

    output logic [3:0]          led
);
  if (IN_BITS % 8 != 0 || IN_BITS < 8 || IN_BITS > 65528) begin : gen_bad_in
    $error("shell_registers: IN_BITS must be a multiple of 8 from 8 to 65528");
  end
  if (OUT_BITS % 8 != 0 || OUT_BITS < 8 || OUT_BITS > 65528) begin : gen_bad_out
    $error("shell_registers: OUT_BITS must be a multiple of 8 from 8 to 65528");
  end

  localparam int unsigned IN_WORDS = (IN_BITS + 31) / 32;
  localparam int unsigned OUT_WORDS = (OUT_BITS + 31) / 32;
  localparam int unsigned IN_COUNT = $clog2(IN_WORDS + 1);
  localparam int unsigned OUT_COUNT = $clog2(OUT_WORDS + 1);
  localparam logic [31:0] ID = 32'h686E_6231;

  localparam logic [3:0] R_ID = 4'd0;
  localparam logic [3:0] R_BUILD = 4'd1;
  localparam logic [3:0] R_CONTROL = 4'd2;
  localparam logic [3:0] R_STATUS = 4'd3;
  localparam logic [3:0] R_DATA_IN = 4'd4;
  localparam logic [3:0] R_RESULT = 4'd5;
  localparam logic [3:0] R_CYCLES = 4'd6;
  localparam logic [3:0] R_SHAPE = 4'd7;
  localparam logic [3:0] R_SCRATCH = 4'd8;

  logic [3:0] index;
  assign index = reg_index[3:0];
  assign reg_known = reg_index <= 10'(R_SCRATCH);

  // What an access does is decoded in the cycle of the access and done in the next one, which keeps
  // the many flip-flops behind an enable off the path from the address.
  logic reset_core, push, pop, keep;
  logic [31:0] wdata_q;
  always_ff @(posedge aclk) begin
    wdata_q <= reg_wdata;
    reset_core <= reg_write && index == R_CONTROL && reg_wdata[0];
    push <= reg_write && index == R_DATA_IN;
    pop <= reg_read && index == R_RESULT;
    keep <= reg_write && index == R_SCRATCH;
  end

  // The core's reset lasts 16 cycles, and nothing reaches the core for 16 more: it may take many
  // cycles to fan out, so it is no part of the timing (`slow` in board.toml).
  logic [4:0] reset_count_q;
  logic resetting_q;
  always_ff @(posedge aclk) begin
    if (!aresetn || reset_core) begin
      reset_count_q <= 5'd31;
      resetting_q <= 1'b1;
    end else if (resetting_q) begin
      reset_count_q <= reset_count_q - 5'd1;
      resetting_q <= reset_count_q != 5'd0;
    end
    core_aresetn <= !(resetting_q && reset_count_q[4]);
  end

  // Input: words enter at the top and move down, so that the first ends lowest.
  logic [IN_WORDS*32-1:0] in_q;
  logic [IN_COUNT-1:0] in_count_q;
  logic in_full, overflow_q;
  assign in_full = in_count_q == IN_COUNT'(IN_WORDS);
  assign m_axis_tvalid = in_full;
  assign m_axis_tdata = in_q[IN_BITS-1:0];

  always_ff @(posedge aclk) begin
    if (push && !in_full) begin
      in_q <= (IN_WORDS*32)'({wdata_q, in_q} >> 32);
      in_count_q <= in_count_q + IN_COUNT'(1);
    end
    if (push && (in_full || resetting_q)) overflow_q <= 1'b1;
    if (in_full && m_axis_tready) in_count_q <= '0;
    if (resetting_q) in_count_q <= '0;
    if (!aresetn || reset_core) overflow_q <= 1'b0;
  end

  // Output: the lowest word is read and the rest moves down; zeros follow.
  logic [OUT_WORDS*32-1:0] out_q;
  logic [OUT_COUNT-1:0] out_count_q;
  logic underflow_q, out_held;
  assign out_held = out_count_q != '0;
  assign s_axis_tready = !out_held;

  always_ff @(posedge aclk) begin
    if (s_axis_tvalid && !out_held) begin
      out_q <= (OUT_WORDS*32)'(s_axis_tdata);
      out_count_q <= OUT_COUNT'(OUT_WORDS);
    end
    if (pop && out_held) begin
      out_q <= out_q >> 32;
      out_count_q <= out_count_q - OUT_COUNT'(1);
    end
    if (pop && !out_held) underflow_q <= 1'b1;
    if (resetting_q) begin
      out_q <= '0;
      out_count_q <= '0;
    end
    if (!aresetn || reset_core) underflow_q <= 1'b0;
  end

  // Counter, scratch and the words that are read.
  logic [31:0] cycles_q, scratch_q, status;
  assign status = {27'd0, resetting_q, underflow_q, overflow_q, out_held, !in_full && !resetting_q};

  always_ff @(posedge aclk) begin
    cycles_q <= aresetn ? cycles_q + 32'd1 : 32'd0;
    if (keep) scratch_q <= wdata_q;
    if (!aresetn) scratch_q <= 32'd0;
    unique case (index)
      R_ID: reg_rdata <= ID;
      R_BUILD: reg_rdata <= BUILD;
      R_STATUS: reg_rdata <= status;
      R_RESULT: reg_rdata <= out_held ? out_q[31:0] : 32'd0;
      R_CYCLES: reg_rdata <= cycles_q;
      R_SHAPE: reg_rdata <= {16'(OUT_BITS), 16'(IN_BITS)};
      R_SCRATCH: reg_rdata <= scratch_q;
      default: reg_rdata <= 32'd0;
    endcase
    led <= {overflow_q || underflow_q, out_held, in_count_q != '0, cycles_q[25]};
  end
endmodule
