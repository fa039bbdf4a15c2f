// One stream to several readers: each word leaves once at every output, then the next comes in.
//
//   out[i] = in, for each i < OUTPUTS
//
// The outputs lie side by side in the ports, output 0 lowest. Each takes a word when it can; the input
// waits for the last of them, so a reader that is to run ahead of another needs a FIFO at the other's
// output. Nothing is stored but which outputs have taken the word.
// Rate: a word a cycle. Latency: none. s_axis_tready follows m_axis_tready.
// Legal: WIDTH >= 1, OUTPUTS >= 2.

module axis_fork #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned OUTPUTS = 2
) (
  input logic aclk,
  input logic aresetn,
  input logic [WIDTH-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [OUTPUTS*WIDTH-1:0] m_axis_tdata,
  output logic [OUTPUTS-1:0] m_axis_tvalid,
  input logic [OUTPUTS-1:0] m_axis_tready
);
  if (OUTPUTS < 2) begin : gen_bad
    $error("axis_fork: OUTPUTS must be at least 2");
  end

  logic [OUTPUTS-1:0] taken_q;  // by these, while others still wait
  assign m_axis_tdata = {OUTPUTS{s_axis_tdata}};
  assign m_axis_tvalid = {OUTPUTS{s_axis_tvalid}} & ~taken_q;
  assign s_axis_tready = &(m_axis_tready | taken_q);
  always_ff @(posedge aclk) begin
    if (!aresetn || (s_axis_tvalid && s_axis_tready)) taken_q <= '0;
    else taken_q <= taken_q | (m_axis_tvalid & m_axis_tready);
  end
endmodule
