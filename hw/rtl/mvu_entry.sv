// Entry of a matrix-vector unit: reads the columns of a vector once and gives them out for all rows.
//
// SF beats in per vector, NF*SF steps out. Step nf*SF + sf has beat sf for rows nf; the beats are read
// in the steps of nf = 0 and kept for the other rows in a ring of SF registers: flip-flop to
// flip-flop, only the entry has a multiplexer (none where SF or NF is 1).
//
// `address` counts the steps for a memory of weights that registers its word: word and `columns` come
// together, one cycle after the step is taken up. A step is taken up while `move` is high, and one
// that closes its rows only where `room` is high too.
// Rate: a step a cycle.
// Legal: NF, SF, WIDTH >= 1.

module mvu_entry #(
  parameter int unsigned NF = 1,  // times that a vector is given out
  parameter int unsigned SF = 1,  // beats a vector
  parameter int unsigned WIDTH = 64,  // bits of a beat
  localparam int unsigned STEPS = NF * SF,
  localparam int unsigned STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1
) (
  input logic aclk,
  input logic aresetn,
  input logic [WIDTH-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  input logic move,  // the pipeline behind the entry moves
  input logic room,  // rows may be closed
  output logic take,  // a step is taken up that closes its rows
  output logic [STEP_BITS-1:0] address,  // of the weights of the next step
  output logic [WIDTH-1:0] columns,  // of the step taken up before
  output logic valid,  // there was one
  output logic first,  // it opens its rows
  output logic last  // it closes them
);
  logic step;  // one more step is taken up
  logic reading;  // its columns come from the input, not from the ring
  logic row_first, row_last;  // it opens, closes its rows
  logic go;
  assign go = move && (room || !row_last);
  assign step = go && (s_axis_tvalid || !reading);
  assign take = step && row_last;
  assign s_axis_tready = go && reading;

  always_ff @(posedge aclk) begin
    if (!aresetn) valid <= 1'b0;
    else if (move) valid <= step;
    if (move) begin
      first <= row_first;
      last <= row_last;
    end
  end

  // Which step comes next.
  logic final_step;
  if (STEPS == 1) begin : gen_one_step
    assign address = '0;
    assign final_step = 1'b1;
  end else begin : gen_steps
    logic final_q;
    assign final_step = final_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        address <= '0;
        final_q <= 1'b0;
      end else if (step) begin
        address <= final_q ? '0 : address + 1'b1;
        final_q <= address == STEP_BITS'(STEPS - 2);
      end
    end
  end

  wrap_counter #(
    .COUNT(SF)
  ) u_row (
    .aclk,
    .aresetn,
    .next(step),
    .last(row_last)
  );
  always_ff @(posedge aclk) begin
    if (!aresetn) row_first <= 1'b1;
    else if (step) row_first <= row_last;
  end

  if (NF == 1) begin : gen_pass
    assign reading = 1'b1;
    always_ff @(posedge aclk) if (move) columns <= s_axis_tdata;
    logic unused;
    assign unused = final_step;
  end else begin : gen_keep
    logic reading_q;
    assign reading = reading_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) reading_q <= 1'b1;
      else if (take) reading_q <= final_step;
    end
    if (SF == 1) begin : gen_hold
      // Until the step is taken up, whatever there is: so the enable does not wait for `step`.
      always_ff @(posedge aclk) if (move && reading_q) columns <= s_axis_tdata;
    end else begin : gen_ring
      logic [SF*WIDTH-1:0] ring_q;
      always_ff @(posedge aclk) begin
        if (step) begin
          ring_q <= {
            ring_q[(SF-1)*WIDTH-1:0], reading_q ? s_axis_tdata : ring_q[SF*WIDTH-1:(SF-1)*WIDTH]
          };
        end
      end
      assign columns = ring_q[WIDTH-1:0];
    end
  end
endmodule
