// Faulty stages, one fault each, to show that the bench sees them.
//
// FAULT 0: none. 1: valid falls while stalled. 2: data changes while stalled. 3: loses a word when
// stalled. 4: flips a bit of word 5. 5: repeats the last word. 6: blocks after word 3. 7: reset does
// not clear it.

module broken #(
  parameter int unsigned FAULT = 0
) (
  input logic aclk,
  input logic aresetn,
  input logic [7:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [7:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  logic [7:0] data_q;
  logic valid_q, blink_q;
  logic [7:0] count_q;
  logic again_q;
  assign m_axis_tvalid = valid_q && !(FAULT == 1 && blink_q);
  assign m_axis_tdata = FAULT == 2 && blink_q ? ~data_q : data_q;
  logic move;
  assign move = !valid_q || (m_axis_tvalid && m_axis_tready);
  assign s_axis_tready = move && !(FAULT == 6 && count_q > 3);
  always_ff @(posedge aclk) begin
    blink_q <= m_axis_tvalid && !m_axis_tready;
    if (!aresetn) begin
      if (FAULT != 7) valid_q <= 1'b0;
      count_q <= '0;
      again_q <= 1'b0;
    end else begin
      if (move) begin
        valid_q <= s_axis_tvalid && s_axis_tready;
        if (s_axis_tvalid && s_axis_tready) begin
          count_q <= count_q + 1'b1;
          data_q <= s_axis_tdata ^ 8'(FAULT == 4 && count_q == 5);
        end else if (FAULT == 5 && valid_q && !again_q) begin
          valid_q <= 1'b1;
          again_q <= 1'b1;
        end
      end else if (FAULT == 3 && valid_q && s_axis_tvalid && count_q == 9) begin
        data_q <= s_axis_tdata;
      end
    end
  end
endmodule
