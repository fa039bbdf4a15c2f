// Index of the largest of CLASSES scores; of equal ones the lowest.
//
// Stream order: CLASSES/PE beats in, one label out. Within a beat a tree of registered comparisons,
// then a running best over the beats.
// Rate: a beat a cycle. Latency: ceil(log2(PE)) + 1 cycles from the last beat.
// Legal: PE divides CLASSES, 2**OUT_BITS >= CLASSES, SIGNED 0 or 1.

module label_select #(
  parameter int unsigned CLASSES = 10,
  parameter int unsigned PE = 1,  // scores a beat
  parameter int unsigned IN_BITS = 7,  // bits of a score
  parameter int unsigned OUT_BITS = 4,  // bits of the label
  parameter int unsigned SIGNED = 0  // 1: scores in two's complement
) (
  input logic aclk,
  input logic aresetn,
  input logic [PE*IN_BITS-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [OUT_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned BEATS = CLASSES / PE;
  localparam int unsigned LEVELS = PE > 1 ? $clog2(PE) : 0;
  localparam int unsigned LEAVES = 2 ** LEVELS;

  if (CLASSES % PE != 0) begin : gen_bad_pe
    $error("label_select: PE must divide CLASSES");
  end
  if (2 ** OUT_BITS < CLASSES || SIGNED > 1) begin : gen_bad_bits
    $error("label_select: OUT_BITS cannot hold CLASSES - 1, or SIGNED is not 0 or 1");
  end

  logic advance;
  assign advance = !m_axis_tvalid || m_axis_tready;
  assign s_axis_tready = advance;

  // A heap: node 0 is the root, node n has the children 2n+1 and 2n+2, leaves come last. A leaf
  // without a score repeats the last score, which then is never preferred. Signed scores are
  // compared as unsigned with the sign bit flipped.
  logic [(2*LEAVES-1)*IN_BITS-1:0] score;
  logic [(2*LEAVES-1)*OUT_BITS-1:0] index;
  for (genvar i = 0; i < LEAVES; i++) begin : gen_leaf
    localparam int unsigned FROM = i < PE ? i : PE - 1;
    localparam int unsigned NODE = LEAVES - 1 + i;
    assign score[NODE*IN_BITS+:IN_BITS] = s_axis_tdata[FROM*IN_BITS+:IN_BITS]
        ^ (IN_BITS'(SIGNED) << (IN_BITS - 1));
    assign index[NODE*OUT_BITS+:OUT_BITS] = OUT_BITS'(FROM);
  end
  for (genvar n = 0; n < LEAVES - 1; n++) begin : gen_node
    localparam int unsigned L = 2 * n + 1, R = 2 * n + 2;  // children
    logic [IN_BITS-1:0] score_q;
    logic [OUT_BITS-1:0] index_q;
    logic right;
    assign right = score[R*IN_BITS+:IN_BITS] > score[L*IN_BITS+:IN_BITS];
    always_ff @(posedge aclk) begin
      if (advance) begin
        score_q <= right ? score[R*IN_BITS+:IN_BITS] : score[L*IN_BITS+:IN_BITS];
        index_q <= right ? index[R*OUT_BITS+:OUT_BITS] : index[L*OUT_BITS+:OUT_BITS];
      end
    end
    assign score[n*IN_BITS+:IN_BITS] = score_q;
    assign index[n*OUT_BITS+:OUT_BITS] = index_q;
  end

  logic beat_valid;  // the root of a beat is there
  if (LEVELS == 0) begin : gen_no_tree
    assign beat_valid = s_axis_tvalid;
  end else begin : gen_tree
    logic [LEVELS:0] valid;
    assign valid[0] = s_axis_tvalid;
    for (genvar l = 0; l < LEVELS; l++) begin : gen_valid
      logic valid_q;
      always_ff @(posedge aclk) begin
        if (!aresetn) valid_q <= 1'b0;
        else if (advance) valid_q <= valid[l];
      end
      assign valid[l+1] = valid_q;
    end
    assign beat_valid = valid[LEVELS];
  end

  logic first, last;
  logic [OUT_BITS-1:0] base;  // class of the beat's first score
  if (BEATS == 1) begin : gen_one_beat
    assign first = 1'b1;
    assign last = 1'b1;
    assign base = '0;
  end else begin : gen_beats
    logic [OUT_BITS-1:0] base_q;
    assign first = base_q == '0;
    assign last = base_q == OUT_BITS'(CLASSES - PE);
    assign base = base_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) base_q <= '0;
      else if (advance && beat_valid) base_q <= last ? '0 : base_q + OUT_BITS'(PE);
    end
  end

  logic [IN_BITS-1:0] best_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) m_axis_tvalid <= 1'b0;
    else if (advance) m_axis_tvalid <= beat_valid && last;
    if (advance && beat_valid && (first || score[0+:IN_BITS] > best_q)) begin
      best_q <= score[0+:IN_BITS];
      m_axis_tdata <= base + index[0+:OUT_BITS];
    end
  end
endmodule
