// AXI write master: a stream of 64-bit words to a run of memory, through a buffer in block RAM.
//
// Function
//   `start` takes `address` (a multiple of 8) and `bytes` (at least 1), while not `busy`; then
//   ceil(bytes / 8) words are taken from the stream. They are written in bursts of up to 16 beats
//   that end at multiples of 128 bytes, so none crosses a 4 KiB border; a burst begins when all its
//   words are in the buffer. In the last word only the bytes asked for have a strobe. `busy` falls
//   when every burst is answered.
//   `stop` ends a run: the burst under way is finished, no other follows, and `busy` falls when all
//   are answered. An answer other than OKAY does the same and sets `failed`. After either
//   the buffer may hold words: reset it with `clear_n` (low while not busy, 1 cycle or more),
//   which also resets `failed`.
//   Address and data of a burst are offered without waiting for each other. bready is always high.
//
// Boundary: as in dma_read.sv; awready and wready each reach one flip-flop through one LUT.
//
// Rate: a word in two cycles. Latency: 3 cycles from the word that completes a burst to awvalid.
// Legal: ADDR_BITS 12 to 64, DEPTH from 16 up.
module dma_write #(
  parameter int unsigned ADDR_BITS = 32,
  parameter int unsigned BYTE_BITS = 32,  // of `bytes`
  parameter int unsigned DEPTH = 512,     // words in the buffer
  parameter int unsigned OUTSTANDING = 8  // bursts without an answer
) (
  input  logic                 aclk,
  input  logic                 aresetn,
  input  logic                 clear_n,

  input  logic                 start,
  input  logic [ADDR_BITS-1:0] address,
  input  logic [BYTE_BITS-1:0] bytes,
  input  logic                 stop,
  output logic                 busy,
  output logic                 failed,
  output logic                 moved,     // a word left or an answer came

  output logic                 m_axi_awvalid,
  input  logic                 m_axi_awready,
  output logic [ADDR_BITS-1:0] m_axi_awaddr,
  output logic [3:0]           m_axi_awlen,
  output logic                 m_axi_wvalid,
  input  logic                 m_axi_wready,
  output logic [63:0]          m_axi_wdata,
  output logic [7:0]           m_axi_wstrb,
  output logic                 m_axi_wlast,
  input  logic                 m_axi_bvalid,
  output logic                 m_axi_bready,
  input  logic [1:0]           m_axi_bresp,

  input  logic [63:0]          s_axis_tdata,
  input  logic                 s_axis_tvalid,
  output logic                 s_axis_tready
);
  localparam int unsigned WORD_BITS = BYTE_BITS - 2;  // a run has up to 2^(BYTE_BITS-3) words
  localparam int unsigned COUNT_BITS = $clog2(DEPTH + 2) + 1;
  localparam int unsigned ANSWER_BITS = $clog2(OUTSTANDING + 1);

  if (ADDR_BITS < 12 || ADDR_BITS > 64) begin : gen_bad_address
    $error("dma_write: ADDR_BITS must be 12 to 64");
  end
  if (DEPTH < 16) begin : gen_bad_depth
    $error("dma_write: DEPTH must be at least 16");
  end
  if (BYTE_BITS < 8 || OUTSTANDING < 1) begin : gen_bad_counts
    $error("dma_write: BYTE_BITS must be at least 8 and OUTSTANDING at least 1");
  end

  // Answers.
  logic b_valid_q, b_bad_q;
  assign m_axi_bready = 1'b1;
  always_ff @(posedge aclk) begin
    b_valid_q <= m_axi_bvalid && aresetn;
    b_bad_q <= m_axi_bresp != 2'b00;
  end

  // The buffer. Words beyond the run stay outside.
  logic word_valid, word_ready, space, take, load;
  logic [63:0] word;
  logic [WORD_BITS-1:0] wanted_q;  // words of the run not taken from the stream yet
  logic some_wanted_q;
  assign s_axis_tready = space && some_wanted_q;
  assign take = s_axis_tvalid && s_axis_tready;
  assign word_ready = load;
  axis_fifo #(
    .WIDTH(64),
    .DEPTH(DEPTH),
    .BLOCK(1)
  ) buffer (
    .aclk(aclk),
    .aresetn(clear_n && aresetn),
    .s_axis_tdata(s_axis_tdata),
    .s_axis_tvalid(s_axis_tvalid && some_wanted_q),
    .s_axis_tready(space),
    .m_axis_tdata(word),
    .m_axis_tvalid(word_valid),
    .m_axis_tready(word_ready)
  );

  // Bursts.
  typedef enum logic [2:0] {
    IDLE,
    PLAN,   // the length of the next burst
    GATHER, // wait for its words
    SEND,   // wait for awready, and until the last word is at the bus
    DRAIN   // wait for the answers
  } state_t;

  state_t state_q;
  logic [ADDR_BITS-1:0] address_q;  // of the next burst; the bus has its own copy, at its pins
  logic [WORD_BITS-1:0] left_q;  // words of the run not in a burst yet
  logic [4:0] length_q, beats_q;
  logic [7:0] last_strobe_q;
  logic [COUNT_BITS-1:0] held_q;  // words in the buffer that no burst has claimed
  logic [ANSWER_BITS-1:0] unanswered_q;
  logic beats_left_q;  // beats_q is not 0
  logic stop_q, ready_q, final_q, quiet_q, sending_q, sent_q;
  logic claim, claim_q;

  logic [4:0] to_border;
  assign to_border = 5'd16 - {1'b0, address_q[6:3]};
  assign claim = state_q == GATHER && ready_q && !stop_q;
  assign load = beats_left_q && word_valid && !m_axi_wvalid;
  assign busy = state_q != IDLE;
  assign moved = load || b_valid_q;

  always_ff @(posedge aclk) begin
    m_axi_awvalid <= (m_axi_awvalid && !m_axi_awready) || claim;
    m_axi_wvalid <= (m_axi_wvalid && !m_axi_wready) || load;
    stop_q <= stop || failed;
    // Two cycles late: from the pins and back is far.
    quiet_q <= !m_axi_awvalid;
    sending_q <= state_q == SEND;
    sent_q <= state_q == SEND && sending_q && quiet_q;
    ready_q <= state_q == GATHER && held_q >= COUNT_BITS'(length_q)
               && unanswered_q < ANSWER_BITS'(OUTSTANDING);
    unique case (state_q)
      IDLE: begin
        address_q <= address;
        left_q <= WORD_BITS'(bytes[BYTE_BITS-1:3]) + WORD_BITS'(bytes[2:0] != 3'd0);
        last_strobe_q <= bytes[2:0] == 3'd0 ? 8'hFF : ~(8'hFF << bytes[2:0]);
        if (start) state_q <= PLAN;
      end
      PLAN: begin
        final_q <= left_q <= WORD_BITS'(to_border);
        length_q <= left_q < WORD_BITS'(to_border) ? left_q[4:0] : to_border;
        state_q <= stop_q ? DRAIN : GATHER;
      end
      GATHER: begin
        m_axi_awaddr <= address_q;
        m_axi_awlen <= 4'(length_q - 5'd1);
        if (stop_q) state_q <= DRAIN;
        else if (ready_q) state_q <= SEND;
      end
      SEND: if (sent_q && !beats_left_q) state_q <= final_q ? DRAIN : PLAN;
      DRAIN: if (unanswered_q == '0) state_q <= IDLE;
      default: state_q <= IDLE;
    endcase
    // On to the next burst while this one is sent: the long adders wait for a flip-flop alone.
    if (claim_q) begin
      address_q <= address_q + ADDR_BITS'({length_q, 3'b000});
      left_q <= left_q - WORD_BITS'(length_q);
    end
    if (claim) beats_q <= length_q;
    if (load) beats_q <= beats_q - 5'd1;
    beats_left_q <= claim || (beats_left_q && !(load && beats_q == 5'd1));
    // Whatever stands here while wvalid is low does not matter: one flip-flop enables all.
    if (!m_axi_wvalid) begin
      m_axi_wdata <= word;
      m_axi_wlast <= beats_q == 5'd1;
      m_axi_wstrb <= final_q && beats_q == 5'd1 ? last_strobe_q : 8'hFF;
    end
    if (!aresetn) begin
      state_q <= IDLE;
      beats_q <= 5'd0;
      beats_left_q <= 1'b0;
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
    end
  end

  logic started_q;  // the words of the run have been counted
  // A cycle late: no burst looks for words sooner than two cycles after another, and one may wait a
  // cycle longer for its words.
  logic claimed_q, take_q;
  always_ff @(posedge aclk) begin
    started_q <= state_q != IDLE;
    claim_q <= claim && aresetn;
    claimed_q <= claim && clear_n && aresetn;
    take_q <= take && clear_n && aresetn;
    held_q <= held_q + COUNT_BITS'(take_q) - (claimed_q ? COUNT_BITS'(length_q) : '0);
    unanswered_q <= unanswered_q + ANSWER_BITS'(claim_q) - ANSWER_BITS'(b_valid_q);
    some_wanted_q <= wanted_q > WORD_BITS'(take);
    if (take) wanted_q <= wanted_q - WORD_BITS'(1);
    if (state_q == PLAN && !started_q) begin
      wanted_q <= left_q;
      some_wanted_q <= 1'b0;
    end
    if (stop_q || state_q == IDLE) begin
      wanted_q <= '0;
      some_wanted_q <= 1'b0;
    end
    if (b_valid_q && b_bad_q) failed <= 1'b1;
    if (!clear_n) begin
      held_q <= '0;
      failed <= 1'b0;
    end
    if (!aresetn) begin
      held_q <= '0;
      unanswered_q <= '0;
      failed <= 1'b0;
    end
  end
`ifdef FORMAL
  // What the registers say of each other; the rules of the bus follow by induction.
  always_comb begin
    if (aresetn) begin
      assert (state_q <= DRAIN);
      assert (!m_axi_awvalid || state_q == SEND);
      assert (!sent_q || (!m_axi_awvalid && state_q != GATHER));
      assert (!sending_q || !quiet_q || !m_axi_awvalid);
      assert (address_q[2:0] == 3'd0 || state_q == IDLE);
      assert (!claim_q || state_q == SEND);
      if (state_q == SEND)
        assert (address_q == m_axi_awaddr + (claim_q ? '0 : ADDR_BITS'({length_q, 3'b000})));
      assert (beats_q == 5'd0 || (state_q == SEND && beats_q <= length_q));
      assert (beats_left_q == (beats_q != 5'd0));
      if (state_q == GATHER) assert (length_q != 5'd0 && length_q <= to_border);
      if (state_q == SEND) begin
        assert (length_q != 5'd0 && length_q <= 5'd16 - {1'b0, m_axi_awaddr[6:3]});
        assert (m_axi_awlen == 4'(length_q - 5'd1));
      end
      if (state_q == PLAN) assert (left_q != '0);
      if (state_q == GATHER || claim_q) begin
        assert (left_q >= WORD_BITS'(length_q));
        assert (final_q == (left_q == WORD_BITS'(length_q)));
      end else if (state_q == SEND) begin
        assert (final_q == (left_q == '0));
      end
    end
  end
`endif
endmodule
