// Drives one stream module and checks what comes out, in phases.
//
// The words of STIMULUS go in, those of EXPECTED must come out, in order and no more. Phase 0 never
// stalls; phase 1 stalls both sides at random; phase 2 mostly starves the input, phase 3 mostly
// blocks the output; phase 4 breaks off half way, and phase 5 must then work after a reset. While the
// input is not valid its data lines carry noise. Every cycle the stream rules are checked: valid
// stays and data is stable while stalled. Prints one line:
//
//   BENCH <NAME> <errors> <first error> <latency> <interval in 1/1000 cycles> <first word to first word>
//
// `latency` is from the first beat in to the last beat of the first group out, in phase 0;
// `interval` is the mean distance of groups of OUT_GROUP words, taken after the first two groups.

module stream_bench #(
  parameter NAME = "x",
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned OUT_BITS = 8,
  parameter int unsigned IN_WORDS = 8,
  parameter int unsigned OUT_WORDS = 8,
  parameter int unsigned OUT_GROUP = 1,
  parameter int unsigned SEED = 1,
  parameter STIMULUS = "in.mem",
  parameter EXPECTED = "out.mem"
) (
  input logic aclk,
  output logic aresetn,
  output logic [IN_BITS-1:0] s_tdata,
  output logic s_tvalid,
  input logic s_tready,
  input logic [OUT_BITS-1:0] m_tdata,
  input logic m_tvalid,
  output logic m_tready,
  output logic done
);
  localparam int unsigned PHASES = 6;
  localparam int unsigned IDLE_LIMIT = 3000;  // cycles without a beat: deadlock
  localparam int unsigned TAIL = 60;  // cycles in which nothing more may come in or out

  logic [IN_BITS-1:0] stimulus[IN_WORDS];
  logic [OUT_BITS-1:0] expected[OUT_WORDS];
  initial $readmemh(STIMULUS, stimulus);
  initial $readmemh(EXPECTED, expected);

  // Out of 256: how often the input offers a word, the output takes one.
  function automatic int unsigned offer_rate(input int unsigned phase);
    case (phase)
      0: offer_rate = 256;
      2: offer_rate = 40;
      default: offer_rate = 150;
    endcase
  endfunction
  function automatic int unsigned take_rate(input int unsigned phase);
    case (phase)
      0: take_rate = 256;
      3: take_rate = 40;
      default: take_rate = 150;
    endcase
  endfunction

  int unsigned phase, sent, got, idle, tail, cycle, in_reset, errors;
  int unsigned first_in, first_out, second_group, last_out, first_word_out;
  logic [63:0] random;
  string first_error;
  logic stalled;
  logic [OUT_BITS-1:0] stalled_data;
  logic starting;

  function automatic logic [63:0] xorshift(input logic [63:0] x);
    x = x ^ (x << 13);
    x = x ^ (x >> 7);
    xorshift = x ^ (x << 17);
  endfunction

  task automatic fail(input string what);
    if (errors == 0) first_error = $sformatf("%s@phase%0d,word%0d", what, phase, got);
    errors = errors + 1;
  endtask

  initial begin
    phase = 0; sent = 0; got = 0; idle = 0; tail = 0; cycle = 0; errors = 0;
    in_reset = 3; aresetn = 0; s_tvalid = 0; s_tdata = '0; m_tready = 0; done = 0;
    stalled = 0; starting = 0; first_error = "-";
    first_in = 0; first_out = 0; second_group = 0; last_out = 0; first_word_out = 0;
    random = 64'h9E37_79B9_7F4A_7C15 ^ (64'(SEED) << 20) ^ 64'(SEED);
  end

  logic take, give, next_phase;
  always @(posedge aclk) begin
    random = xorshift(random);
    cycle = cycle + 1;
    if (done) begin
      // nothing left to do
    end else if (in_reset > 0) begin
      in_reset = in_reset - 1;
      aresetn <= in_reset == 0;
      s_tvalid <= 0;
      // Inputs may do anything in reset; nothing may be taken over.
      m_tready <= random[3];
      stalled = 0;
      sent = 0; got = 0; idle = 0; tail = 0;
    end else begin
      give = s_tvalid && s_tready;
      take = m_tvalid && m_tready;
      next_phase = 0;
      idle = (give || take) ? 0 : idle + 1;

      // What came out, and the stream rules.
      if (stalled && !m_tvalid) fail("valid_dropped");
      if (stalled && m_tvalid && m_tdata != stalled_data) fail("data_changed");
      stalled = m_tvalid && !m_tready;
      stalled_data = m_tdata;
      if (give) begin
        if (phase == 0 && sent == 0) first_in = cycle;
        sent = sent + 1;
      end
      if (take) begin
        if (got >= OUT_WORDS) fail("extra_word");
        else if (m_tdata != expected[got]) fail("wrong_word");
        got = got + 1;
        if (phase == 0) begin
          if (got == 1) first_word_out = cycle;
          if (got == OUT_GROUP) first_out = cycle;
          if (got == 2 * OUT_GROUP) second_group = cycle;
          if (got == OUT_WORDS) last_out = cycle;
        end
      end

      // The end of a phase.
      if (got >= OUT_WORDS) tail = give ? 0 : tail + 1;
      if (idle > IDLE_LIMIT) begin
        fail("deadlock");
        next_phase = 1;
      end
      if (tail > TAIL) begin
        if (sent != IN_WORDS) fail("input_left");
        next_phase = 1;
      end
      if (phase == 4 && (got > OUT_WORDS / 2 || sent > IN_WORDS / 2)) next_phase = 1;

      // What to offer and take next.
      if (next_phase) begin
        phase = phase + 1;
        in_reset = 1 + 32'(random[1:0]);
        aresetn <= 0;
        done <= phase == PHASES;
        if (phase == PHASES) begin
          $display("BENCH %s %0d %s %0d %0d %0d", NAME, errors, first_error, first_out - first_in,
                   OUT_WORDS > 2 * OUT_GROUP
                     ? 1000 * (last_out - second_group) / (OUT_WORDS / OUT_GROUP - 2) : 0,
                   first_word_out - first_in);
        end
      end else begin
        m_tready <= 32'(random[15:8]) < take_rate(phase);
        if (!s_tvalid || give) begin
          if (sent < IN_WORDS && 32'(random[23:16]) < offer_rate(phase)) begin
            s_tvalid <= 1;
            s_tdata <= stimulus[sent];
          end else begin
            s_tvalid <= 0;
            s_tdata <= {(IN_BITS + 63) / 64{random}}[IN_BITS-1:0];
          end
        end
      end
    end
  end
endmodule
