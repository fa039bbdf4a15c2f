// Binary matrix-vector unit.
//
//   out[h] = number of columns w with in[w] == weights[h][w]        (XNOR and popcount)
//
// Stream order: SF = MW/SIMD beats in, NF = MH/PE beats out per vector. Step nf*SF + sf adds columns
// sf*SIMD .. sf*SIMD + SIMD-1 to rows nf*PE .. nf*PE + PE-1; weight word nf*SF + sf holds in bit
// pe*SIMD + simd the weight [nf*PE + pe][sf*SIMD + simd].
//
// Nothing behind the entry ever stalls, so that no enable has to reach it: a step that closes its rows
// waits at the entry until there is a place for them at the end, of PLACES. One place, a register, is
// enough where a row takes as many steps as the pipeline is long. Where the places would cost too much
// (short rows, few columns a step) the pipeline has an enable instead, and stalls while an output waits.
//
// Rate: a step a cycle, a vector every NF*SF cycles without a gap between vectors.
// Latency: from the beat that completes a row to its output, one cycle for the entry, the latency
// of `popcount`, one for the accumulator where SF > 1, one for the places, two for block RAM.
// Legal: PE divides MH, SIMD divides MW, 2**ACC_BITS > MW, BLOCK 0 or 1.

module mvu_bin #(
  parameter int unsigned MW = 64,  // columns
  parameter int unsigned MH = 64,  // rows
  parameter int unsigned PE = 1,  // rows at once
  parameter int unsigned SIMD = 64,  // columns at once
  parameter int unsigned ACC_BITS = 7,  // bits of an output element
  parameter int unsigned BLOCK = 0,  // weights in 0: LUTs, 1: block RAM
  parameter WEIGHTS = "weights.mem"
) (
  input logic aclk,
  input logic aresetn,
  input logic [SIMD-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE*ACC_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned NF = MH / PE;
  localparam int unsigned SF = MW / SIMD;
  localparam int unsigned STEPS = NF * SF;
  localparam int unsigned STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int unsigned COUNT_BITS = $clog2(SIMD + 1);

  // So few words that the first level of `popcount` takes them in; none is stored.
  localparam bit FEW = BLOCK == 0 && STEPS <= 8;
  // Block RAM is slow and far away: it gets a register in front of its address, one behind its word.
  localparam int unsigned LATE = BLOCK == 1 && STEPS > 1 ? 2 : 0;
  // From a step that closes its rows to the first one that may reuse their place; the latency of
  // `popcount` as it is at most.
  localparam int unsigned TREE = SIMD <= 6 ? 1 : SIMD <= 15 ? 2 : SIMD <= 104 ? 3 : SIMD <= 823 ? 4 : SIMD <= 8467 ? 5 : 6;
  localparam int unsigned ROUND = TREE + LATE + (SF > 1 ? 4 : 3);
  localparam int unsigned PLACES = (ROUND + SF - 1) / SF;
  // LUTs a row that the multiplexers of the places take, against those of its lanes.
  localparam int unsigned PLACE_LUTS = PLACES == 1 ? 0 : ACC_BITS * ((PLACES + 3) / 4);
  localparam bit FREE = 16 * PLACE_LUTS <= SIMD;

  if (MH % PE != 0) begin : gen_bad_pe
    $error("mvu_bin: PE must divide MH");
  end
  if (MW % SIMD != 0) begin : gen_bad_simd
    $error("mvu_bin: SIMD must divide MW");
  end
  if (2 ** ACC_BITS <= MW) begin : gen_bad_bits
    $error("mvu_bin: ACC_BITS cannot hold a count of MW");
  end

  logic move;  // the pipeline moves
  logic room, take;  // there is a place for rows; it is taken
  logic [STEP_BITS-1:0] step_q;
  logic [SIMD-1:0] columns_q;
  logic valid_q, first_q, last_q;
  mvu_entry #(
    .NF(NF),
    .SF(SF),
    .WIDTH(SIMD)
  ) u_entry (
    .aclk,
    .aresetn,
    .s_axis_tdata,
    .s_axis_tvalid,
    .s_axis_tready,
    .move,
    .room,
    .take,
    .address(step_q),
    .columns(columns_q),
    .valid(valid_q),
    .first(first_q),
    .last(last_q)
  );

  logic [STEP_BITS-1:0] address;
  logic [PE*SIMD-1:0] word, weights;
  if (FEW && STEPS > 1) begin : gen_few_words
    rom_few #(
      .WIDTH(PE * SIMD),
      .DEPTH(STEPS),
      .INIT_FILE(WEIGHTS)
    ) u_weights (
      .aclk,
      .enable(move),
      .addr(address),
      .data(word)
    );
  end else begin : gen_words
    rom #(
      .WIDTH(PE * SIMD),
      .DEPTH(STEPS),
      .BLOCK(BLOCK),
      .INIT_FILE(WEIGHTS)
    ) u_weights (
      .aclk,
      .enable(move),
      .addr(address),
      .data(word)
    );
  end

  // Columns and flags wait for weights that come late.
  logic [SIMD-1:0] columns;
  logic [2:0] flags;
  if (LATE == 0) begin : gen_at_once
    assign address = step_q;
    assign weights = word;
    assign columns = columns_q;
    assign flags = {valid_q, first_q, last_q};
  end else begin : gen_late
    logic [STEP_BITS-1:0] address_q;
    logic [PE*SIMD-1:0] weights_q;
    logic [LATE*SIMD-1:0] columns_late_q;
    logic [LATE*3-1:0] flags_late_q;
    assign address = address_q;
    assign weights = weights_q;
    always_ff @(posedge aclk) begin
      if (move) begin
        address_q <= step_q;
        weights_q <= word;
        columns_late_q <= {columns_late_q[(LATE-1)*SIMD-1:0], columns_q};
      end
      if (!aresetn) flags_late_q <= '0;
      else if (move) flags_late_q <= {flags_late_q[(LATE-1)*3-1:0], valid_q, first_q, last_q};
    end
    assign columns = columns_late_q[LATE*SIMD-1:(LATE-1)*SIMD];
    assign flags = flags_late_q[LATE*3-1:(LATE-1)*3];
  end

  // One popcount a row; the first one's tag tells when all are ready.
  logic [PE*COUNT_BITS-1:0] counts;
  logic [PE*3-1:0] tags;
  logic count_valid, count_first, count_last;
  assign {count_valid, count_first, count_last} = tags[2:0];
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    popcount #(
      .N(SIMD),
      .OUT_BITS(COUNT_BITS),
      .TAG_BITS(3),
      .ABSORB(STEPS == 1 ? 2 : FEW ? 1 : 0)
    ) u_popcount (
      .aclk,
      .aresetn,
      .enable(move),
      .a(columns),
      .w(weights[p*SIMD+:SIMD]),
      .s_tag(flags),
      .m_count(counts[p*COUNT_BITS+:COUNT_BITS]),
      .m_tag(tags[3*p+:3])
    );
  end

  // The sums of finished rows.
  logic done;
  logic [PE*ACC_BITS-1:0] sums;
  if (SF == 1) begin : gen_sum_is_count
    assign done = count_valid;
    for (genvar p = 0; p < PE; p++) begin : gen_element
      assign sums[p*ACC_BITS+:ACC_BITS] = ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]);
    end
    logic unused;
    assign unused = &{1'b0, count_first, count_last, tags};
  end else begin : gen_accumulate
    logic done_q;
    assign done = done_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) done_q <= 1'b0;
      else if (move) done_q <= count_valid && count_last;
    end
    for (genvar p = 0; p < PE; p++) begin : gen_element
      logic [ACC_BITS-1:0] sum_q;
      always_ff @(posedge aclk) begin
        if (move && count_valid) begin
          sum_q <= ACC_BITS'(counts[p*COUNT_BITS+:COUNT_BITS]) + (count_first ? '0 : sum_q);
        end
      end
      assign sums[p*ACC_BITS+:ACC_BITS] = sum_q;
    end
    logic unused;
    assign unused = &{1'b0, tags};
  end

  if (!FREE) begin : gen_stalling
    logic unused;
    assign unused = take;
    assign move = !m_axis_tvalid || m_axis_tready;
    assign room = 1'b1;
    assign m_axis_tvalid = done;
    assign m_axis_tdata = sums;
  end else begin : gen_places
    assign move = 1'b1;
    result_places #(
      .WIDTH(PE * ACC_BITS),
      .PLACES(PLACES)
    ) u_places (
      .aclk,
      .aresetn,
      .take,
      .room,
      .done,
      .result(sums),
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
    );
`ifdef FORMAL
    if (PLACES == 1) begin : gen_arrival
      // When rows arrive (TREE is exact for few lanes); the stream rules follow by induction.
      logic [3:0] age_q;  // cycles since the last step of the rows on their way
      always_ff @(posedge aclk) begin
        if (take) age_q <= 4'd1;
        else if (age_q != '1) age_q <= age_q + 1'b1;
      end
      always_comb begin
        if (aresetn) assert (!done || (!room && !m_axis_tvalid && age_q == 4'(ROUND - 2)));
      end
    end
`endif
  end
endmodule
