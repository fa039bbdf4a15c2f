// Any function of six bits, as exactly one LUT6.
//
//   y = TABLE[x]
//
// Yosys' mapper weighs a LUT5 and a LUT2 no dearer than a LUT6 and would spread the compressors of
// `popcount` over a third more LUTs; so the primitive is named for it. Everyone else, simulators and
// Vivado included, sees the plain table.

module lut6 #(
  parameter logic [63:0] TABLE = 64'h8000_0000_0000_0000
) (
  input logic [5:0] x,
  output logic y
);
`ifdef YOSYS
  LUT6 #(
    .INIT(TABLE)
  ) u_lut6 (
    .I0(x[0]),
    .I1(x[1]),
    .I2(x[2]),
    .I3(x[3]),
    .I4(x[4]),
    .I5(x[5]),
    .O(y)
  );
`else
  assign y = TABLE[x];
`endif
endmodule
