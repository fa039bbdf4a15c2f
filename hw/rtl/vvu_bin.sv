// Binary vector-vector unit: the products of a depthwise convolution, a row of weights a channel.
//
//   out[c] = number of places k of the window with in[k, c] == weights[c][k]     (XNOR and popcount)
//
// Stream order: windows as `sliding_window` writes them, places from 0 up, in a place channels from 0
// up; C/PE beats of PE channels out.
// SIMD = 1: PE elements a beat in, a step each; the C/PE sums of a window go round in a ring of
// registers. Step k*(C/PE) + f adds place k to channels f*PE .. f*PE + PE-1.
// SIMD > 1: a window a beat in, kept in a shift register in the order of the steps. Step
// f*(K/SIMD) + s adds places s*SIMD .. s*SIMD + SIMD-1 to channels f*PE .. f*PE + PE-1.
// Either way the weight word of a step holds in bit pe*SIMD + simd the weight of its channel pe and its
// place simd. Everything behind the entry moves or stalls together; it stalls only while an output
// waits.
//
// Rate: a step a cycle, a window every (C/PE)*(K/SIMD) cycles without a gap.
// Latency: from the beat that completes a channel to its output, one cycle for the entry, the latency
// of `popcount`, one for the accumulator where SIMD < K.
// Legal: PE divides C, SIMD divides K, 2**ACC_BITS > K.

module vvu_bin #(
  parameter int unsigned C = 8,  // channels
  parameter int unsigned K = 9,  // places of a window
  parameter int unsigned PE = 1,  // channels at once
  parameter int unsigned SIMD = 1,  // places at once
  parameter int unsigned ACC_BITS = 4,  // bits of an output element
  parameter WEIGHTS = "weights.mem",
  localparam int unsigned IN = SIMD > 1 ? K * C : PE
) (
  input logic aclk,
  input logic aresetn,
  input logic [IN-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE*ACC_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned FOLDS = C / PE;
  localparam int unsigned SF = K / SIMD;
  localparam int unsigned STEPS = FOLDS * SF;
  localparam int unsigned STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int unsigned COUNT_BITS = $clog2(SIMD + 1);
  localparam bit WHOLE = SIMD > 1;  // a window a beat

  if (C % PE != 0) begin : gen_bad_pe
    $error("vvu_bin: PE must divide C");
  end
  if (K % SIMD != 0) begin : gen_bad_simd
    $error("vvu_bin: SIMD must divide K");
  end
  if (2 ** ACC_BITS <= K) begin : gen_bad_bits
    $error("vvu_bin: ACC_BITS cannot hold a count of K");
  end

  logic move;  // the pipeline moves
  logic step;  // and takes up one more step
  logic reading;  // this step's window comes from the input
  assign move = !m_axis_tvalid || m_axis_tready;
  assign step = move && (s_axis_tvalid || !reading);
  assign s_axis_tready = move && reading;

  // Which step comes next. Of a channel's steps the first opens its sum, the last one closes it.
  logic inner_last, outer_last, inner_first_q, outer_first_q;
  wrap_counter #(.COUNT(WHOLE ? SF : FOLDS)) u_inner (
    .aclk,
    .aresetn,
    .next(step),
    .last(inner_last)
  );
  wrap_counter #(.COUNT(WHOLE ? FOLDS : SF)) u_outer (
    .aclk,
    .aresetn,
    .next(step && inner_last),
    .last(outer_last)
  );
  logic [STEP_BITS-1:0] step_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      step_q <= '0;
      inner_first_q <= 1'b1;
      outer_first_q <= 1'b1;
    end else if (step) begin
      step_q <= inner_last && outer_last ? '0 : step_q + 1'b1;
      inner_first_q <= inner_last;
      if (inner_last) outer_first_q <= outer_last;
    end
  end

  // The places of the step.
  logic [PE*SIMD-1:0] places;
  if (!WHOLE) begin : gen_words
    logic [PE-1:0] places_q;
    assign reading = 1'b1;
    assign places = places_q;
    always_ff @(posedge aclk) if (move) places_q <= s_axis_tdata;
  end else begin : gen_window
    logic [K*C-1:0] arranged, window_q;
    for (genvar c = 0; c < C; c++) begin : gen_channel
      for (genvar k = 0; k < K; k++) begin : gen_place
        assign arranged[(((c/PE)*SF+k/SIMD)*PE+c%PE)*SIMD+k%SIMD] = s_axis_tdata[k*C+c];
      end
    end
    logic reading_q;
    assign reading = reading_q;
    assign places = window_q[PE*SIMD-1:0];
    always_ff @(posedge aclk) begin
      if (!aresetn) reading_q <= 1'b1;
      else if (step) reading_q <= inner_last && outer_last;
      if (step) window_q <= reading ? arranged : window_q >> (PE * SIMD);
    end
  end

  logic [PE*SIMD-1:0] weights;
  rom #(
    .WIDTH(PE * SIMD),
    .DEPTH(STEPS),
    .INIT_FILE(WEIGHTS)
  ) u_weights (
    .aclk,
    .enable(move),
    .addr(step_q),
    .data(weights)
  );

  logic valid_q, first_q, last_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) valid_q <= 1'b0;
    else if (move) valid_q <= step;
    if (move) begin
      first_q <= WHOLE ? inner_first_q : outer_first_q;
      last_q <= WHOLE ? inner_last : outer_last;
    end
  end

  // One popcount a channel; the first one's tag tells when all are ready.
  logic [PE*COUNT_BITS-1:0] counts;
  logic [PE*3-1:0] tags;
  logic count_valid, count_first, count_last;
  assign {count_valid, count_first, count_last} = tags[2:0];
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    popcount #(
      .N(SIMD),
      .OUT_BITS(COUNT_BITS),
      .TAG_BITS(3),
      .ABSORB(STEPS == 1 ? 2 : 0)
    ) u_popcount (
      .aclk,
      .aresetn,
      .enable(move),
      .a(places[p*SIMD+:SIMD]),
      .w(weights[p*SIMD+:SIMD]),
      .s_tag({valid_q, first_q, last_q}),
      .m_count(counts[p*COUNT_BITS+:COUNT_BITS]),
      .m_tag(tags[3*p+:3])
    );
  end

  if (SF == 1) begin : gen_sum_is_count
    assign m_axis_tvalid = count_valid;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign m_axis_tdata[p*ACC_BITS+:ACC_BITS] = ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]);
    end
    logic unused;
    assign unused = &{1'b0, count_first, count_last, tags};
  end else begin : gen_accumulate
    localparam int unsigned WORD = PE * ACC_BITS;
    localparam int unsigned RING = WHOLE ? 1 : FOLDS;
    logic done_q;
    logic [RING*WORD-1:0] ring_q;  // the newest sums lowest
    logic [WORD-1:0] sums;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign sums[p*ACC_BITS+:ACC_BITS] = ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS])
        + (count_first ? '0 : ring_q[(RING-1)*WORD+p*ACC_BITS+:ACC_BITS]);
    end
    always_ff @(posedge aclk) begin
      if (!aresetn) done_q <= 1'b0;
      else if (move) done_q <= count_valid && count_last;
      if (move && count_valid) ring_q <= (RING * WORD)'({ring_q, sums});
    end
    assign m_axis_tvalid = done_q;
    assign m_axis_tdata = ring_q[WORD-1:0];
    logic unused;
    assign unused = &{1'b0, tags};
  end
endmodule
