// Counter that wraps: `last` is high at its last value; a count of 1 is a constant.
//
// `last` is a register, so that whatever ends with the count starts without a comparison.
// Legal: COUNT >= 1.

module wrap_counter #(
  parameter int unsigned COUNT = 4
) (
  input logic aclk,
  input logic aresetn,
  input logic next,
  output logic last
);
  if (COUNT == 1) begin : gen_constant
    assign last = 1'b1;
    logic unused;
    assign unused = &{1'b0, aclk, aresetn, next};
  end else begin : gen_count
    localparam int unsigned BITS = $clog2(COUNT);
    logic [BITS-1:0] count_q;
    always_ff @(posedge aclk) begin
      if (!aresetn) begin
        count_q <= '0;
        last <= 1'b0;
      end else if (next) begin
        count_q <= last ? '0 : count_q + 1'b1;
        last <= count_q == BITS'(COUNT - 2);
      end
    end
  end
endmodule
