// Two functions of the same five bits, as exactly one LUT with two outputs.
//
//   high = HIGH[x], low = LOW[x]
//
// The LUT6 of this device is two LUT5 behind a multiplexer, and both have an output. Yosys never makes
// use of that by itself and nextpnr only by chance; so the primitive is named for Yosys, and
// flow/implement/pairs.py sees to it that nextpnr lays both halves into one LUT. Everyone else,
// simulators and Vivado included, sees the plain tables.

module lut5_pair #(
  parameter logic [31:0] HIGH = 32'h8000_0000,
  parameter logic [31:0] LOW = 32'h8000_0000
) (
  input logic [4:0] x,
  output logic high,
  output logic low
);
`ifdef YOSYS
  LUT6_2 #(
    .INIT({HIGH, LOW})
  ) u_lut6_2 (
    .I0(x[0]),
    .I1(x[1]),
    .I2(x[2]),
    .I3(x[3]),
    .I4(x[4]),
    .I5(1'b1),
    .O6(high),
    .O5(low)
  );
`else
  assign high = HIGH[x];
  assign low = LOW[x];
`endif
endmodule
