// Multi-threshold.
//
//   out[c] = number of levels i with in[c] >= thresholds[c][i]
//
// Stream order: beat f of a pixel holds channels f*PE .. f*PE + PE-1; C/PE beats a pixel. Threshold
// word f holds in bits (pe*LEVELS + i)*(IN_BITS+1) +: IN_BITS+1 threshold [f*PE + pe][i]; with
// UNIFORM = 1 there is one word of LEVELS elements, the same for every channel. Unsigned, or two's
// complement where SIGNED = 1; one bit more than the input, so that a threshold can be out of reach.
//
// The next word is read ahead, so that an input meets its thresholds at once. A single word (C = PE
// or UNIFORM) becomes constants. s_axis_tready is a register.
// Rate: a beat a cycle. Latency: one cycle.
// Legal: PE divides C, LEVELS >= 1, 2**OUT_BITS > LEVELS, SIGNED, UNIFORM, BLOCK 0 or 1.

module threshold #(
  parameter int unsigned C = 64,  // channels
  parameter int unsigned PE = 1,  // channels a beat
  parameter int unsigned LEVELS = 1,  // thresholds a channel
  parameter int unsigned IN_BITS = 8,  // bits of an input element
  parameter int unsigned OUT_BITS = 1,  // bits of an output element
  parameter int unsigned SIGNED = 0,  // 1: two's complement input and thresholds
  parameter int unsigned UNIFORM = 0,  // 1: all channels have the same thresholds
  parameter int unsigned BLOCK = 0,  // thresholds in 0: LUTs, 1: block RAM
  parameter THRESHOLDS = "thresholds.mem"
) (
  input logic aclk,
  input logic aresetn,
  input logic [PE*IN_BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE*OUT_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned BITS = IN_BITS + 1;  // of a threshold
  localparam int unsigned FOLDS = UNIFORM == 1 ? 1 : C / PE;
  localparam int unsigned SETS = UNIFORM == 1 ? 1 : PE;  // sets of thresholds in a word

  if (C % PE != 0) begin : gen_bad_pe
    $error("threshold: PE must divide C");
  end
  if (LEVELS < 1 || 2 ** OUT_BITS <= LEVELS) begin : gen_bad_levels
    $error("threshold: LEVELS must be at least 1 and OUT_BITS wide enough for 0..LEVELS");
  end
  if (SIGNED > 1 || UNIFORM > 1 || BLOCK > 1) begin : gen_bad_flag
    $error("threshold: SIGNED, UNIFORM and BLOCK are 0 or 1");
  end

  // The thresholds of the next beat.
  logic [SETS*LEVELS*BITS-1:0] word;
  logic accept;
  if (FOLDS == 1) begin : gen_constant
    rom #(
      .WIDTH(SETS * LEVELS * BITS),
      .DEPTH(1),
      .BLOCK(BLOCK),
      .INIT_FILE(THRESHOLDS)
    ) u_thresholds (
      .aclk,
      .enable(1'b1),
      .addr(1'b0),
      .data(word)
    );
    logic unused;
    assign unused = accept;
  end else begin : gen_read_ahead
    localparam int unsigned FOLD_BITS = $clog2(FOLDS);
    logic [FOLD_BITS-1:0] fold_q;  // the word after
    // A reset reads word 0, so that nothing has to wait for it afterwards.
    always_ff @(posedge aclk) begin
      if (!aresetn) fold_q <= FOLD_BITS'(1);
      else if (accept) fold_q <= fold_q == FOLD_BITS'(FOLDS - 1) ? '0 : fold_q + 1'b1;
    end
    rom #(
      .WIDTH(SETS * LEVELS * BITS),
      .DEPTH(FOLDS),
      .BLOCK(BLOCK),
      .INIT_FILE(THRESHOLDS)
    ) u_thresholds (
      .aclk,
      .enable(accept || !aresetn),
      .addr(aresetn ? fold_q : '0),
      .data(word)
    );
  end

  logic [PE*OUT_BITS-1:0] result;
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    logic [IN_BITS-1:0] value;
    logic [LEVELS-1:0] reached;
    assign value = s_axis_tdata[p*IN_BITS+:IN_BITS];
    for (genvar i = 0; i < LEVELS; i++) begin : gen_level
      logic [BITS-1:0] level;
      assign level = word[((UNIFORM == 1 ? 0 : p)*LEVELS+i)*BITS+:BITS];
      if (FOLDS > 1) begin : gen_subtract
        // A carry chain, which Yosys would break up for `>=`: slow behind a multiplexer.
        logic [BITS:0] above;
        assign above = {{2{SIGNED == 1 && value[IN_BITS-1]}}, value}
          - {SIGNED == 1 && level[BITS-1], level};
        assign reached[i] = !above[BITS];
        logic unused;
        assign unused = &{1'b0, above[BITS-1:0]};
      end else if (SIGNED == 1) begin : gen_signed
        assign reached[i] = $signed({value[IN_BITS-1], value}) >= $signed(level);
      end else begin : gen_unsigned
        assign reached[i] = {1'b0, value} >= level;
      end
    end
    assign result[p*OUT_BITS+:OUT_BITS] = OUT_BITS'($countones(reached));
  end

  assign accept = s_axis_tvalid && s_axis_tready;
  axis_reg #(
    .WIDTH(PE * OUT_BITS)
  ) u_out (
    .aclk,
    .aresetn,
    .s_axis_tdata(result),
    .s_axis_tvalid,
    .s_axis_tready,
    .m_axis_tdata,
    .m_axis_tvalid,
    .m_axis_tready
  );
endmodule
