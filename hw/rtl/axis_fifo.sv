// First in, first out.
//
// DEPTH = 2 is a register stage. Deeper in registers (BLOCK = 0), for a few words: a shift register,
// and a multiplexer in front of the output, which is a register too. In block RAM (BLOCK = 1): a ring;
// the read latch of the memory is the output, one word more than DEPTH.
// Rate: a word a cycle. Latency: one cycle, two in block RAM. s_axis_tready is a register.
// Legal: DEPTH >= 2, BLOCK 0 or 1.

module axis_fifo #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 2,
  parameter int unsigned BLOCK = 0  // words in 0: registers, 1: block RAM
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
  if (DEPTH < 2 || BLOCK > 1) begin : gen_bad
    $error("axis_fifo: DEPTH must be at least 2, BLOCK 0 or 1");
  end
  localparam int unsigned ADDR_BITS = $clog2(DEPTH);

  if (BLOCK == 0 && DEPTH == 2) begin : gen_reg
    axis_reg #(
      .WIDTH(WIDTH)
    ) u_reg (
      .aclk,
      .aresetn,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
    );
  end else if (BLOCK == 0) begin : gen_shift
    logic [(DEPTH-1)*WIDTH-1:0] words_q;  // behind the output, newest first
    logic [ADDR_BITS-1:0] waiting_q;  // how many of them
    logic [DEPTH*WIDTH-1:0] words;  // the next one for the output is number waiting_q of these
    logic push, move;
    assign words = {words_q, s_axis_tdata};
    assign push = s_axis_tvalid && s_axis_tready;
    assign move = !m_axis_tvalid || m_axis_tready;
    always_ff @(posedge aclk) begin
      if (push) words_q <= words[(DEPTH-1)*WIDTH-1:0];
      if (move) m_axis_tdata <= words[waiting_q*WIDTH+:WIDTH];
      if (!aresetn) begin
        waiting_q <= '0;
        m_axis_tvalid <= 1'b0;
        s_axis_tready <= 1'b1;
      end else begin
        if (move) m_axis_tvalid <= push || waiting_q != '0;
        if (push && !move) begin
          waiting_q <= waiting_q + 1'b1;
          s_axis_tready <= waiting_q != ADDR_BITS'(DEPTH - 2);
        end else if (move && !push) begin
          if (waiting_q != '0) waiting_q <= waiting_q - 1'b1;
          s_axis_tready <= 1'b1;
        end
      end
    end
`ifdef FORMAL
    // What the three registers say of each other; the stream rules follow by induction.
    always_comb begin
      if (aresetn) begin
        assert (s_axis_tready == (waiting_q != ADDR_BITS'(DEPTH - 1)));
        assert (m_axis_tvalid || waiting_q == '0);
        assert (32'(waiting_q) < DEPTH);
      end
    end
`endif
  end else begin : gen_block
    (* ram_style = "block" *) logic [WIDTH-1:0] words[DEPTH];
    logic [ADDR_BITS-1:0] write_q, read_q;
    logic [ADDR_BITS:0] stored_q;  // words in the memory
    logic some_q, ready_q, valid_q;  // there are any; there is room; the output is one
    logic push, pull;
    assign push = s_axis_tvalid && ready_q;
    assign pull = some_q && (!valid_q || m_axis_tready);
    assign s_axis_tready = ready_q;
    assign m_axis_tvalid = valid_q;
    always_ff @(posedge aclk) begin
      if (push) words[write_q] <= s_axis_tdata;
      if (pull) m_axis_tdata <= words[read_q];
    end
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        write_q <= '0;
        read_q <= '0;
        stored_q <= '0;
        some_q <= 1'b0;
        ready_q <= 1'b1;
        valid_q <= 1'b0;
      end else begin
        if (push) write_q <= write_q == ADDR_BITS'(DEPTH - 1) ? '0 : write_q + 1'b1;
        if (pull) read_q <= read_q == ADDR_BITS'(DEPTH - 1) ? '0 : read_q + 1'b1;
        if (pull) valid_q <= 1'b1;
        else if (m_axis_tready) valid_q <= 1'b0;
        if (push != pull) begin
          stored_q <= stored_q + {{ADDR_BITS{pull}}, 1'b1};
          some_q <= push || stored_q != (ADDR_BITS + 1)'(1);
          ready_q <= pull || stored_q != (ADDR_BITS + 1)'(DEPTH - 1);
        end
      end
    end
`ifdef FORMAL
    // What the registers say of each other; the stream rules follow by induction.
    always_comb begin
      if (aresetn) begin
        assert (some_q == (stored_q != '0));
        assert (ready_q == (stored_q != (ADDR_BITS + 1)'(DEPTH)));
        assert (32'(stored_q) <= DEPTH);
      end
    end
`endif
  end
endmodule
