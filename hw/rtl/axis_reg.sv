// Register stage with two entries: no path from m_axis_tready to s_axis_tready, none from
// s_axis_tdata to m_axis_tdata.
//
// The first entry is the output; the second takes the one word that arrives while the output waits.
// Rate: a word a cycle. Latency: one cycle.
// Legal: WIDTH >= 1.

module axis_reg #(
  parameter int unsigned WIDTH = 8
) (
  input logic aclk,
  input logic aresetn,
  input logic [WIDTH-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [WIDTH-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  logic [WIDTH-1:0] spare_q;
  logic spare_valid_q;
  assign s_axis_tready = !spare_valid_q;

  logic move;  // the output entry is free or leaves
  assign move = !m_axis_tvalid || m_axis_tready;

  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      m_axis_tvalid <= 1'b0;
      spare_valid_q <= 1'b0;
    end else begin
      if (move) m_axis_tvalid <= s_axis_tvalid || spare_valid_q;
      spare_valid_q <= !move && (s_axis_tvalid || spare_valid_q);
    end
    if (move) m_axis_tdata <= spare_valid_q ? spare_q : s_axis_tdata;
    if (!spare_valid_q) spare_q <= s_axis_tdata;
  end
endmodule
