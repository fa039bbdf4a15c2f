// Starts, ends, errors and resets of the accelerator shell.
//
// Function
//   A start (a pulse from the registers) of a DMA that is idle, with a legal descriptor, no error
//   and no reset under way, goes through to that DMA; any other sets an error. Any error sets
//   `stop`, which ends both DMAs. It goes through a cycle later. `done` of a DMA is set when it ends or its start was refused,
//   and cleared by its next start.
//   A soft reset stops both DMAs, waits until the bus has answered all that was asked, then
//   holds `core_aresetn` low for 16 cycles and everything idle for 16 more: it may take many cycles to
//   fan out, so it is no part of the timing (`slow` in board.toml). Errors and `done` are cleared. The
//   same follows `aresetn`.
//   `running`: from the start of the read DMA until neither DMA is busy.
module shell_control (
  input  logic       aclk,
  input  logic       aresetn,

  input  logic       soft_reset,
  input  logic       start_read,
  input  logic       start_write,
  input  logic       read_legal,
  input  logic       write_legal,
  input  logic       read_busy,
  input  logic       write_busy,
  input  logic       read_failed,
  input  logic       write_failed,
  input  logic       timed_out,

  output logic       read_start,
  output logic       write_start,
  output logic       stop,
  output logic       read_done,
  output logic       write_done,
  output logic       running,
  output logic       resetting,
  output logic       core_aresetn,
  output logic       error_read,
  output logic       error_write,
  output logic       error_timeout,
  output logic       error_descriptor,
  output logic       error_start,
  output logic       error
);
  logic [4:0] reset_count_q;
  logic draining_q, read_busy_q, write_busy_q, allowed;
  logic read_accepted, write_accepted, read_refused, write_refused;

  assign allowed = !resetting && !error;
  assign read_accepted = start_read && allowed && !read_busy && read_legal;
  assign write_accepted = start_write && allowed && !write_busy && write_legal;
  assign read_refused = start_read && !read_accepted;
  assign write_refused = start_write && !write_accepted;

  always_ff @(posedge aclk) begin
    read_start <= read_accepted && aresetn;
    write_start <= write_accepted && aresetn;
    read_busy_q <= read_busy;
    write_busy_q <= write_busy;

    if (read_failed) error_read <= 1'b1;
    if (write_failed) error_write <= 1'b1;
    if (timed_out) error_timeout <= 1'b1;
    if ((start_read && !read_legal) || (start_write && !write_legal)) error_descriptor <= 1'b1;
    if ((start_read && (!allowed || read_busy)) || (start_write && (!allowed || write_busy)))
      error_start <= 1'b1;

    if ((read_busy_q && !read_busy) || read_refused) read_done <= 1'b1;
    if ((write_busy_q && !write_busy) || write_refused) write_done <= 1'b1;
    if (read_start) read_done <= 1'b0;
    if (write_start) write_done <= 1'b0;

    // A DMA is busy from the cycle after its start; two cycles of rest end the run.
    if (read_start) running <= 1'b1;
    else if (!read_busy && !write_busy && !read_busy_q && !write_busy_q) running <= 1'b0;

    if (soft_reset) begin
      draining_q <= 1'b1;
      resetting <= 1'b1;
      reset_count_q <= 5'd31;
    end else if (draining_q) begin
      draining_q <= read_busy || write_busy || read_busy_q || write_busy_q;
    end else if (resetting) begin
      reset_count_q <= reset_count_q - 5'd1;
      resetting <= reset_count_q != 5'd0;
    end
    core_aresetn <= !(resetting && !draining_q && reset_count_q[4]);

    if (!core_aresetn) begin
      {error_read, error_write, error_timeout, error_descriptor, error_start} <= 5'd0;
      read_done <= 1'b0;
      write_done <= 1'b0;
      running <= 1'b0;
    end
    if (!aresetn) begin
      draining_q <= 1'b0;
      resetting <= 1'b1;
      reset_count_q <= 5'd31;
      core_aresetn <= 1'b0;
    end
  end

  // A cycle late: also off the paths of the starts.
  always_ff @(posedge aclk) begin
    error <= error_read || error_write || error_timeout || error_descriptor || error_start;
    stop <= error || resetting;
  end
endmodule
