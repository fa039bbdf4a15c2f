// Places for the results of a pipeline that never stalls.
//
// A step that will give a result is taken up (`take`) only while `room` is high; some cycles later the
// result comes (`done`, `result`), in order, and finds its place, from which it leaves by the stream.
// So no enable has to reach the pipeline.
//
// Rate: a result a cycle where PLACES is as long as the way from a `take` to the place's next one.
// Latency: one cycle, two in block RAM. `room` is a register.
// Legal: WIDTH, PLACES >= 1; BLOCK 0, or 1 where PLACES > 1.

module result_places #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned PLACES = 1,
  parameter int unsigned BLOCK = 0  // places in 0: registers, 1: block RAM
) (
  input logic aclk,
  input logic aresetn,
  input logic take,
  output logic room,
  input logic done,
  input logic [WIDTH-1:0] result,
  output logic [WIDTH-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned TAKEN_BITS = $clog2(PLACES + 1);
  logic [TAKEN_BITS-1:0] taken_q;  // kept for results, from their step on
  logic give;
  assign give = m_axis_tvalid && m_axis_tready;
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      taken_q <= '0;
      room <= 1'b1;
    end else if (take && !give) begin
      taken_q <= taken_q + 1'b1;
      room <= taken_q != TAKEN_BITS'(PLACES - 1);
    end else if (give && !take) begin
      taken_q <= taken_q - 1'b1;
      room <= 1'b1;
    end
  end

  if (PLACES == 1) begin : gen_register
    always_ff @(posedge aclk) begin
      if (!aresetn) m_axis_tvalid <= 1'b0;
      else if (done) m_axis_tvalid <= 1'b1;
      else if (m_axis_tready) m_axis_tvalid <= 1'b0;
      if (done) m_axis_tdata <= result;
    end
`ifdef FORMAL
    // What the registers say of each other; the stream rules follow by induction.
    always_comb begin
      if (aresetn) begin
        assert (room == (taken_q == '0));
        assert (!m_axis_tvalid || !room);
      end
    end
`endif
  end else begin : gen_fifo
    logic unused;
    axis_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(PLACES),
      .BLOCK(BLOCK)
    ) u_places (
      .aclk,
      .aresetn,
      .s_axis_tdata(result),
      .s_axis_tvalid(done),
      .s_axis_tready(unused),
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
    );
  end
endmodule
