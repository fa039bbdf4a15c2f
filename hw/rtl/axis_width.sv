// Width converter between a narrow and a wide stream, by an integer ratio.
//
// Up: the first beat of OUT_BITS/IN_BITS goes to the least significant bits. Down: the least
// significant bits of a word leave first. Equal widths: wires.
// Up is a shift register, down a held word and a multiplexer.
// Rate: a narrow beat a cycle. Latency: one cycle from the beat that completes or brings the word.
// Legal: one of IN_BITS and OUT_BITS is a multiple of the other.

module axis_width #(
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned OUT_BITS = 32
) (
  input logic aclk,
  input logic aresetn,
  input logic [IN_BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [OUT_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  if (OUT_BITS % IN_BITS != 0 && IN_BITS % OUT_BITS != 0) begin : gen_bad
    $error("axis_width: one of IN_BITS and OUT_BITS must be a multiple of the other");
  end

  if (IN_BITS == OUT_BITS) begin : gen_wires
    assign m_axis_tdata = s_axis_tdata;
    assign m_axis_tvalid = s_axis_tvalid;
    assign s_axis_tready = m_axis_tready;
    logic unused;
    assign unused = &{1'b0, aclk, aresetn};
  end else begin : gen_convert
    localparam int unsigned RATIO = OUT_BITS > IN_BITS ? OUT_BITS / IN_BITS : IN_BITS / OUT_BITS;
    localparam int unsigned BEAT_BITS = $clog2(RATIO);
    logic [BEAT_BITS-1:0] beat_q;  // narrow beats of the word so far
    logic full_q;
    logic beat;  // a narrow beat passes
    logic last;
    assign last = beat_q == BEAT_BITS'(RATIO - 1);
    always_ff @(posedge aclk) begin
      if (!aresetn) beat_q <= '0;
      else if (beat) beat_q <= last ? '0 : beat_q + 1'b1;
    end
    assign m_axis_tvalid = full_q;

    if (OUT_BITS > IN_BITS) begin : gen_up
      assign s_axis_tready = !full_q || m_axis_tready;
      assign beat = s_axis_tvalid && s_axis_tready;
      always_ff @(posedge aclk) begin
        if (!aresetn) full_q <= 1'b0;
        else if (s_axis_tready) full_q <= s_axis_tvalid && last;
        if (beat) m_axis_tdata <= {s_axis_tdata, m_axis_tdata[OUT_BITS-1:IN_BITS]};
      end
    end else begin : gen_down
      logic [IN_BITS-1:0] word_q;
      assign s_axis_tready = !full_q || (last && m_axis_tready);
      assign beat = full_q && m_axis_tready;
      assign m_axis_tdata = word_q[beat_q*OUT_BITS+:OUT_BITS];
      always_ff @(posedge aclk) begin
        if (!aresetn) full_q <= 1'b0;
        else if (s_axis_tready) full_q <= s_axis_tvalid;
        if (s_axis_tready) word_q <= s_axis_tdata;
      end
    end
  end
endmodule
