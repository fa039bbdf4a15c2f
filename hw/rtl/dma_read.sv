// AXI read master: a run of 64-bit words from memory to a stream, through a buffer in block RAM.
//
// Function
//   `start` takes `address` (a multiple of 8) and `words` (at least 1), while not `busy`. The words
//   are read in bursts of up to 16 beats that end at multiples of 128 bytes, so none crosses a
//   4 KiB border. Every word asked for has its place in the buffer, so rready is always high and
//   reads are outstanding up to DEPTH words. `busy` falls when the last word has arrived, in the
//   buffer at least.
//   `stop` ends a run: no further burst is asked for, what still arrives is dropped, and `busy`
//   falls when nothing more is outstanding. An answer other than OKAY does the same and sets
//   `failed`. After either the buffer holds a part of the run: reset it with `clear_n` (low while
//   not busy, 1 cycle or more), which also resets `failed`.
//   `checksum`: of the words since `start`, sum = {sum[30:0], sum[31]} ^ high half ^ low half.
//
// Boundary
//   As in gp0_slave.sv: what the bus drives is captured by flip-flops before anything else, only
//   arready reaches one flip-flop through one LUT; what drives the bus is flip-flops and constants.
//
// Rate: a word a cycle. Latency: 4 cycles from `start` to arvalid, 4 from rvalid to m_axis_tvalid.
// Legal: ADDR_BITS 12 to 64, DEPTH a power of two from 32 up.
module dma_read #(
  parameter int unsigned ADDR_BITS = 32,
  parameter int unsigned WORD_BITS = 32,  // of `words`
  parameter int unsigned DEPTH = 512      // words in the buffer
) (
  input  logic                 aclk,
  input  logic                 aresetn,
  input  logic                 clear_n,

  input  logic                 start,
  input  logic [ADDR_BITS-1:0] address,
  input  logic [WORD_BITS-1:0] words,
  input  logic                 stop,
  output logic                 busy,
  output logic                 failed,
  output logic                 moved,     // a word arrived
  output logic [31:0]          checksum,

  output logic                 m_axi_arvalid,
  input  logic                 m_axi_arready,
  output logic [ADDR_BITS-1:0] m_axi_araddr,
  output logic [3:0]           m_axi_arlen,
  input  logic                 m_axi_rvalid,
  output logic                 m_axi_rready,
  input  logic [63:0]          m_axi_rdata,
  input  logic [1:0]           m_axi_rresp,

  output logic [63:0]          m_axis_tdata,
  output logic                 m_axis_tvalid,
  input  logic                 m_axis_tready
);
  localparam int unsigned COUNT_BITS = $clog2(DEPTH) + 1;

  if (ADDR_BITS < 12 || ADDR_BITS > 64) begin : gen_bad_address
    $error("dma_read: ADDR_BITS must be 12 to 64");
  end
  if (DEPTH < 32 || 2 ** $clog2(DEPTH) != DEPTH) begin : gen_bad_depth
    $error("dma_read: DEPTH must be a power of two from 32 up");
  end

  // What arrives.
  logic r_valid_q, r_bad_q;
  logic [63:0] r_data_q;
  assign m_axi_rready = 1'b1;
  always_ff @(posedge aclk) begin
    r_valid_q <= m_axi_rvalid && aresetn;
    r_bad_q <= m_axi_rresp != 2'b00;
    r_data_q <= m_axi_rdata;
  end
  assign moved = r_valid_q;

  // Once more, on the long way from the bus to the buffer.
  logic word_valid_q;
  logic [63:0] word_q;

  // What is asked for.
  typedef enum logic [2:0] {
    IDLE,
    PLAN,   // compare what is left with the way to the border
    FIT,    // the length of the next burst
    ISSUE,  // wait for room in the buffer
    SEND,   // wait for arready
    DRAIN   // wait for what is outstanding
  } state_t;

  state_t state_q;
  logic [ADDR_BITS-1:0] address_q;  // of the next burst; the bus has its own copy, at its pins
  logic [WORD_BITS-1:0] left_q;  // words not asked for yet
  logic [4:0] length_q;
  logic [COUNT_BITS-1:0] reserved_q;  // places of the buffer that are taken or promised
  logic [COUNT_BITS-1:0] expected_q;  // words asked for and not arrived
  logic none_q, short_q;  // nothing left; less than to the border
  logic room_q, stop_q, quiet_q, sending_q, sent_q;
  logic issue, pop;

  logic [4:0] to_border;
  assign to_border = 5'd16 - {1'b0, address_q[6:3]};
  assign issue = state_q == ISSUE && room_q && !stop_q;
  assign pop = m_axis_tvalid && m_axis_tready;
  assign busy = state_q != IDLE;

  always_ff @(posedge aclk) begin
    m_axi_arvalid <= (m_axi_arvalid && !m_axi_arready) || issue;
    stop_q <= stop || failed;
    // Two cycles late: from the pins and back is far.
    quiet_q <= !m_axi_arvalid;
    sending_q <= state_q == SEND;
    sent_q <= state_q == SEND && sending_q && quiet_q;
    unique case (state_q)
      IDLE: begin
        address_q <= address;
        left_q <= words;
        if (start) state_q <= PLAN;
      end
      PLAN: begin
        none_q <= left_q == '0;
        short_q <= left_q < WORD_BITS'(to_border);
        state_q <= FIT;
      end
      FIT: begin
        length_q <= short_q ? left_q[4:0] : to_border;
        state_q <= none_q || stop_q ? DRAIN : ISSUE;
      end
      ISSUE: begin
        m_axi_araddr <= address_q;
        m_axi_arlen <= 4'(length_q - 5'd1);
        if (stop_q) state_q <= DRAIN;
        else if (room_q) state_q <= SEND;
      end
      SEND:
      if (sent_q) begin
        address_q <= address_q + ADDR_BITS'({length_q, 3'b000});
        left_q <= left_q - WORD_BITS'(length_q);
        state_q <= PLAN;
      end
      DRAIN: if (expected_q == '0) state_q <= IDLE;
      default: state_q <= IDLE;
    endcase
    if (!aresetn) begin
      state_q <= IDLE;
      m_axi_arvalid <= 1'b0;
    end
  end

  // Five cycles or more lie between two bursts, so what is reserved may be two cycles late, and
  // room_q another; a place that becomes free may be late too.
  logic issue_q, pop_q;
  logic [COUNT_BITS-1:0] more_q;  // reserved, or free if negative
  always_ff @(posedge aclk) begin
    issue_q <= issue && aresetn;
    pop_q <= pop && clear_n && aresetn;
    room_q <= reserved_q <= COUNT_BITS'(DEPTH - 16);
    more_q <= (issue_q ? COUNT_BITS'(length_q) : '0) - COUNT_BITS'(pop_q);
    reserved_q <= reserved_q + more_q;
    expected_q <= expected_q + (issue_q ? COUNT_BITS'(length_q) : '0) - COUNT_BITS'(r_valid_q);
    if (r_valid_q && r_bad_q) failed <= 1'b1;
    if (r_valid_q) checksum <= {checksum[30:0], checksum[31]} ^ r_data_q[63:32] ^ r_data_q[31:0];
    if (start && !busy) checksum <= '0;
    if (!clear_n || !aresetn) begin
      more_q <= '0;
      reserved_q <= '0;
      failed <= 1'b0;
    end
    if (!aresetn) begin
      expected_q <= '0;
      checksum <= '0;
    end
  end

  always_ff @(posedge aclk) begin
    word_valid_q <= r_valid_q && !r_bad_q && !stop_q && !failed && clear_n && aresetn;
    word_q <= r_data_q;
  end

  // The buffer; a word that arrives has a place.
  // verilator lint_off UNUSEDSIGNAL
  logic has_place;
  // verilator lint_on UNUSEDSIGNAL
  axis_fifo #(
    .WIDTH(64),
    .DEPTH(DEPTH),
    .BLOCK(1)
  ) buffer (
    .aclk(aclk),
    .aresetn(clear_n && aresetn),
    .s_axis_tdata(word_q),
    .s_axis_tvalid(word_valid_q),
    .s_axis_tready(has_place),
    .m_axis_tdata(m_axis_tdata),
    .m_axis_tvalid(m_axis_tvalid),
    .m_axis_tready(m_axis_tready)
  );
`ifdef FORMAL
  // What the registers say of each other; the rules of the bus follow by induction.
  always_comb begin
    if (aresetn) begin
      assert (state_q <= DRAIN);
      assert (!m_axi_arvalid || state_q == SEND);
      assert (!sent_q || (!m_axi_arvalid && state_q != ISSUE));
      assert (!sending_q || !quiet_q || !m_axi_arvalid);
      assert (address_q[2:0] == 3'd0 || state_q == IDLE);
      if (state_q == SEND) assert (m_axi_araddr == address_q);
      if (state_q == FIT) assert (none_q == (left_q == '0));
      if (state_q == FIT) assert (short_q == (left_q < WORD_BITS'(to_border)));
      if (state_q == ISSUE || state_q == SEND)
        assert (length_q != 5'd0 && length_q <= to_border);
      if (state_q == SEND) assert (m_axi_arlen == 4'(length_q - 5'd1));
      if (state_q == ISSUE || state_q == SEND) assert (left_q >= WORD_BITS'(length_q));
    end
  end
`endif
endmodule
