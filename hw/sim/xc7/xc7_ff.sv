// 7-series flip-flop, for netlists extracted from a bitstream (flow/bits/netlist.py).
//
// Function
//   Starts as INIT. On a rising edge of c: q = SRVAL while sr, else d while ce.
//   With SYNC = 0, sr acts at once.
module xc7_ff #(
    parameter bit INIT  = 0,
    parameter bit SRVAL = 0,
    parameter bit SYNC  = 1
) (
    input  logic c,
    input  logic ce,
    input  logic sr,
    input  logic d,
    output logic q
);
  initial q = INIT;
  if (SYNC) begin : gen_sync
    always_ff @(posedge c)
      if (sr) q <= SRVAL;
      else if (ce) q <= d;
  end else begin : gen_async
    always_ff @(posedge c or posedge sr)
      if (sr) q <= SRVAL;
      else if (ce) q <= d;
  end
endmodule
