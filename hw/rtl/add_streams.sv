// Sum of two streams, element by element.
//
//   out[c] = a[c] + b[c]
//
// Stream order: PE elements a beat, the same on all three streams. Stream a lies in the lower bits of
// the input ports, b in the upper. Each may be unsigned or two's complement; the result is two's
// complement where one of them is. A beat is taken from both at once: the tready of each waits for the
// tvalid of the other.
// Rate: a beat a cycle. Latency: one cycle.
// Legal: A_SIGNED and B_SIGNED 0 or 1; OUT_BITS holds every sum: more than the wider of A_BITS and
// B_BITS may be needed, less is refused where A_BITS or B_BITS exceed it.

module add_streams #(
  parameter int unsigned PE = 1,  // elements a beat
  parameter int unsigned A_BITS = 4,
  parameter int unsigned A_SIGNED = 0,  // 1: two's complement
  parameter int unsigned B_BITS = 4,
  parameter int unsigned B_SIGNED = 0,
  parameter int unsigned OUT_BITS = 5
) (
  input logic aclk,
  input logic aresetn,
  input logic [PE*(A_BITS+B_BITS)-1:0] s_axis_tdata,
  input logic [1:0] s_axis_tvalid,
  output logic [1:0] s_axis_tready,
  output logic [PE*OUT_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  if (A_SIGNED > 1 || B_SIGNED > 1) begin : gen_bad_flag
    $error("add_streams: A_SIGNED and B_SIGNED are 0 or 1");
  end
  if (OUT_BITS < A_BITS || OUT_BITS < B_BITS) begin : gen_bad_bits
    $error("add_streams: OUT_BITS cannot hold A_BITS or B_BITS");
  end

  logic [PE*OUT_BITS-1:0] sums;
  for (genvar p = 0; p < PE; p++) begin : gen_pe
    logic [A_BITS-1:0] a;
    logic [B_BITS-1:0] b;
    logic [OUT_BITS-1:0] wide_a, wide_b;
    assign a = s_axis_tdata[p*A_BITS+:A_BITS];
    assign b = s_axis_tdata[PE*A_BITS+p*B_BITS+:B_BITS];
    assign wide_a = A_SIGNED == 1 ? OUT_BITS'($signed(a)) : OUT_BITS'(a);
    assign wide_b = B_SIGNED == 1 ? OUT_BITS'($signed(b)) : OUT_BITS'(b);
    assign sums[p*OUT_BITS+:OUT_BITS] = wide_a + wide_b;
  end

  logic ready;
  assign s_axis_tready = {2{ready}} & {s_axis_tvalid[0], s_axis_tvalid[1]};
  axis_reg #(
    .WIDTH(PE * OUT_BITS)
  ) u_out (
    .aclk,
    .aresetn,
    .s_axis_tdata(sums),
    .s_axis_tvalid(&s_axis_tvalid),
    .s_axis_tready(ready),
    .m_axis_tdata,
    .m_axis_tvalid,
    .m_axis_tready
  );
endmodule
