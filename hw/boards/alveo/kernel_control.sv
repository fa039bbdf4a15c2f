// The registers by which XRT runs a kernel (ap_ctrl_hs), in front of those of the accelerator shell.
//
// Function
//   Word 0: bit 0 ap_start, set by writing 1 and 1 until the batch has ended; 1 ap_done and 3
//   ap_ready, set then and cleared by reading; 2 ap_idle. Word 1, bit 0: interrupts are on. Word 2: which
//   of ap_done (bit 0) and ap_ready (bit 1) make one. Word 3: those that did; reading clears it,
//   and so does writing 1. From word 4 on the arguments (kernel_arguments.sv), which may be written
//   anew during a batch. From word 512 on the shell's registers, at any time.
//   A start waits for the end of a reset, heals the shell by a soft reset where the batch before
//   ended in an error, writes the arguments to the shell's registers, and reads its STATUS until nothing
//   is busy. A batch that ends in an error ends with ap_done too: ERROR of the shell says so until the
//   next start.
//   Other words read as 0 and ignore what is written, as those of a kernel from HLS do: XRT writes the
//   reserved words between arguments.
//
// Host side and shell side are register busses as axi_lite_slave.sv and gp0_slave.sv have them. The host
// comes first: the steps of a start wait in the cycles in which it reaches for the shell.
module kernel_control (
  input  logic        aclk,
  input  logic        aresetn,

  input  logic [9:0]  host_index,
  output logic        host_known,
  input  logic        host_write,
  input  logic [31:0] host_wdata,
  input  logic        host_read,
  output logic [31:0] host_rdata,

  output logic [9:0]  reg_index,
  input  logic        reg_known,
  output logic        reg_write,
  output logic [31:0] reg_wdata,
  output logic        reg_read,
  input  logic [31:0] reg_rdata,

  output logic        irq
);
  localparam logic [9:0] CONTROL = 10'd0;
  localparam logic [9:0] GIE = 10'd1;
  localparam logic [9:0] IER = 10'd2;
  localparam logic [9:0] ISR = 10'd3;
  localparam logic [1:0] PAUSE = 2'd3;  // cycles until what was written to the shell shows

  typedef enum logic [2:0] {
    IDLE,   // wait for ap_start
    LOOK,   // read STATUS
    JUDGE,  // what it says
    HEAL,   // a soft reset
    STEP    // write arguments, start DMAs
  } state_t;

  state_t state_q;
  logic start_q, done_q, ready_q, started_q, enable_q;
  logic [1:0] enabled_q, flags_q;
  logic [1:0] pause_q;

  logic [3:0] step_q;
  logic [9:0] step_index, status_index, reset_index;
  logic [31:0] step_data, reset_data, argument;
  logic step_last, resetting, failed, busy;

  kernel_arguments arguments (
    .aclk(aclk),
    .aresetn(aresetn),
    .index(host_index),
    .write(host_write),
    .wdata(host_wdata),
    .rdata(argument),
    .step(step_q),
    .step_index(step_index),
    .step_data(step_data),
    .step_last(step_last),
    .status_index(status_index),
    .status(reg_rdata),
    .resetting(resetting),
    .failed(failed),
    .busy(busy),
    .reset_index(reset_index),
    .reset_data(reset_data)
  );

  // The shell's bus: the host's, or a step's.
  logic from_host;
  assign from_host = host_index[9] && (host_write || host_read);
  always_comb begin
    reg_index = status_index;
    reg_wdata = reset_data;
    reg_write = 1'b0;
    if (from_host) begin
      reg_index = {1'b0, host_index[8:0]};
      reg_wdata = host_wdata;
      reg_write = host_write && reg_known;
    end else if (state_q == HEAL) begin
      reg_index = reset_index;
      reg_write = 1'b1;
    end else if (state_q == STEP && pause_q == 2'd0) begin
      reg_index = step_index;
      reg_wdata = step_data;
      reg_write = 1'b1;
    end
  end
  assign reg_read = from_host && host_read && reg_known;

  // What the host reads.
  logic shell_q, known_q;
  logic [31:0] own_q;
  assign host_known = 1'b1;
  assign host_rdata = shell_q ? (known_q ? reg_rdata : 32'd0) : own_q;
  always_ff @(posedge aclk) begin
    shell_q <= host_index[9];
    known_q <= reg_known;
    unique case (host_index)
      CONTROL: own_q <= {28'd0, ready_q, state_q == IDLE && !start_q, done_q, start_q};
      GIE: own_q <= {31'd0, enable_q};
      IER: own_q <= {30'd0, enabled_q};
      ISR: own_q <= {30'd0, flags_q};
      default: own_q <= argument;
    endcase
  end

  logic ended;
  assign ended = state_q == JUDGE && started_q && !busy;
  assign irq = enable_q && flags_q != 2'b00;

  always_ff @(posedge aclk) begin
    if (host_write && host_index == CONTROL && host_wdata[0]) start_q <= 1'b1;
    if (host_write && host_index == GIE) enable_q <= host_wdata[0];
    if (host_write && host_index == IER) enabled_q <= host_wdata[1:0];
    if (host_write && host_index == ISR) flags_q <= flags_q & ~host_wdata[1:0];
    if (host_read && host_index == ISR) flags_q <= 2'b00;
    if (host_read && host_index == CONTROL) {ready_q, done_q} <= 2'b00;

    unique case (state_q)
      IDLE: begin
        step_q <= 4'd0;
        pause_q <= 2'd0;
        if (start_q) state_q <= LOOK;
      end
      LOOK: begin
        if (pause_q != 2'd0) pause_q <= pause_q - 2'd1;
        else if (!from_host) state_q <= JUDGE;
      end
      JUDGE: begin
        if (ended) begin
          state_q <= IDLE;
          started_q <= 1'b0;
          start_q <= 1'b0;
          {ready_q, done_q} <= 2'b11;
          flags_q <= flags_q | enabled_q;
        end else if (started_q || resetting) state_q <= LOOK;
        else state_q <= failed ? HEAL : STEP;
      end
      HEAL: begin
        pause_q <= PAUSE;
        if (!from_host) state_q <= LOOK;
      end
      default: begin
        if (pause_q != 2'd0) pause_q <= pause_q - 2'd1;
        else if (!from_host) begin
          pause_q <= PAUSE;
          step_q <= step_q + 4'd1;
          if (step_last) begin
            started_q <= 1'b1;
            state_q <= LOOK;
          end
        end
      end
    endcase
    if (!aresetn) begin
      {start_q, done_q, ready_q, started_q, enable_q} <= '0;
      {enabled_q, flags_q} <= '0;
      state_q <= IDLE;
    end
  end
endmodule
