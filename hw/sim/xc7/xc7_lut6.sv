// 7-series LUT with two outputs, for netlists extracted from a bitstream (flow/bits/netlist.py).
//
// Function
//   o6 = init[a], with all six inputs; o5 = init[a[4:0]], the lower half with five.
//   Contents are a port, not a parameter, so that a simulator compiles one module, not thousands.
module xc7_lut6 (
    input  logic [63:0] init,
    input  logic [5:0]  a,
    output logic        o6,
    output logic        o5
);
  assign o6 = init[a];
  assign o5 = init[{1'b0, a[4:0]}];
endmodule
