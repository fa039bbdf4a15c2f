// What every stream module promises and may expect, as properties for a prover.
//
// Expected of the environment: an offered word stays, unchanged, until it is taken. Promised at the
// output: the same. With ORDER = 1 also that the module is a FIFO of words of WIDTH bits: a word that
// the prover picks by its place comes out at the same place, unchanged; places count modulo 8, so
// the module must hold fewer words than that.

module stream_rules #(
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned OUT_BITS = 8,
  parameter int unsigned ORDER = 0
) (
  input logic aclk,
  input logic aresetn,
  input logic [IN_BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  input logic s_axis_tready,
  input logic [OUT_BITS-1:0] m_axis_tdata,
  input logic m_axis_tvalid,
  input logic m_axis_tready
);
  logic running_q = 1'b0;  // reset has been seen
  logic s_stalled_q = 1'b0, m_stalled_q = 1'b0;
  logic [IN_BITS-1:0] s_data_q;
  logic [OUT_BITS-1:0] m_data_q;
  always_ff @(posedge aclk) begin
    running_q <= running_q || !aresetn;
    s_stalled_q <= running_q && aresetn && s_axis_tvalid && !s_axis_tready;
    m_stalled_q <= running_q && aresetn && m_axis_tvalid && !m_axis_tready;
    s_data_q <= s_axis_tdata;
    m_data_q <= m_axis_tdata;
  end
  always_comb begin
    if (!running_q) assume (!aresetn);
    if (aresetn && s_stalled_q) begin
      assume (s_axis_tvalid);
      assume (s_axis_tdata == s_data_q);
    end
    if (aresetn && m_stalled_q) begin
      assert (m_axis_tvalid);
      assert (m_axis_tdata == m_data_q);
    end
  end

  if (ORDER == 1) begin : gen_order
    (* anyconst *) logic [2:0] place;
    logic [2:0] in_q, out_q;
    logic known_q;  // the picked word is inside
    logic [IN_BITS-1:0] word_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        in_q <= '0;
        out_q <= '0;
        known_q <= 1'b0;
      end else begin
        if (s_axis_tvalid && s_axis_tready) begin
          in_q <= in_q + 1'b1;
          if (in_q == place) begin
            known_q <= 1'b1;
            word_q <= s_axis_tdata;
          end
        end
        if (m_axis_tvalid && m_axis_tready) begin
          out_q <= out_q + 1'b1;
          if (out_q == place) known_q <= 1'b0;
        end
      end
    end
    always_comb begin
      if (running_q && aresetn && m_axis_tvalid && out_q == place) begin
        assert (known_q);
        assert (m_axis_tdata == word_q);
      end
      if (running_q && aresetn && m_axis_tvalid) assert (in_q != out_q);
    end
  end
endmodule
