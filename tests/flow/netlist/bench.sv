// design.sv and the netlist extracted from its FASM, side by side, for Icarus Verilog.
module BUFG (input logic I, output logic O);
  assign O = I;
endmodule

module MUXF7 (input logic I0, input logic I1, input logic S, output logic O);
  assign O = S ? I1 : I0;
endmodule

module MUXF8 (input logic I0, input logic I1, input logic S, output logic O);
  assign O = S ? I1 : I0;
endmodule

module PS7 (output logic [3:0] FCLKCLK);
  initial begin
    FCLKCLK = 4'd0;
    forever #5 FCLKCLK[0] = !FCLKCLK[0];
  end
endmodule

module bench;
  logic [3:0] led, pads;
  int cycle, differing;
  top rtl (.led(led));
  netlist placed (
      .ps7_FCLKCLK(rtl.ps7.FCLKCLK),
      .pad_R14(pads[0]),
      .pad_P14(pads[1]),
      .pad_N16(pads[2]),
      .pad_M14(pads[3])
  );
  initial begin
    differing = 0;
    // Until each memory was read once, its output is unknown in the RTL.
    for (cycle = 0; cycle < 2500; cycle = cycle + 1) begin
      @(negedge rtl.ps7.FCLKCLK[0]);
      if (^led !== 1'bx && led !== pads) begin
        if (differing == 0) $display("cycle %0d: led %b, netlist %b", cycle, led, pads);
        differing = differing + 1;
      end
      if (cycle > 50 && ^led === 1'bx) $display("cycle %0d: led unknown", cycle);
    end
    $display("%0d differ", differing);
    $finish;
  end
endmodule
