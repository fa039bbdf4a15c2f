// One half (18 Kbit) of a 7-series block RAM that is only read, for extracted netlists.
//
// Function
//   On a rising edge of clka, while ena: port A's output = SRVAL_A if rsta, else the word at addra;
//   port B likewise. The outputs start as INIT_A and INIT_B.
//   WIDTH_A, WIDTH_B: 1, 2, 4 (data only), 9, 18 (with parity); 36 at A reads a word of 32 + 4 bits,
//   the lower half to A's outputs and the upper to B's (simple dual port); then WIDTH_B is 0.
//   A word of W data bits at address n is bits n*W and up of INIT; parity of byte k is INITP[k].
//   Address bits below those that select a word are ignored, as in the device.
//   A RAMB36 is two of these; they share the word bit by bit, even bits in the first.
// Source: UG473, 7 Series FPGAs Memory Resources, tables 1-7 to 1-13.
// verilator lint_off WIDTHCONCAT
module xc7_ramb18 #(
    parameter int unsigned  WIDTH_A = 18,
    parameter int unsigned  WIDTH_B = 18,
    parameter bit [16383:0] INIT = '0,
    parameter bit [2047:0]  INITP = '0,
    parameter bit [17:0]    INIT_A = '0,
    parameter bit [17:0]    INIT_B = '0,
    parameter bit [17:0]    SRVAL_A = '0,
    parameter bit [17:0]    SRVAL_B = '0
) (
    input  logic        clka,
    input  logic        ena,
    input  logic        rsta,
    input  logic [13:0] addra,
    output logic [15:0] doa,
    output logic [1:0]  dopa,
    input  logic        clkb,
    input  logic        enb,
    input  logic        rstb,
    input  logic [13:0] addrb,
    output logic [15:0] dob,
    output logic [1:0]  dopb
);
  logic [15:0] data[1024];
  logic [1:0] parity[1024];
  initial begin
    for (int i = 0; i < 1024; i = i + 1) begin
      data[i] = INIT[16*i+:16];
      parity[i] = INITP[2*i+:2];
    end
    {dopa, doa} = INIT_A;
    {dopb, dob} = INIT_B;
  end

  // The 18 bits at `addr`, moved down so that the addressed word starts at bit 0.
  function automatic logic [17:0] word(input logic [13:0] addr, input int unsigned width);
    logic [15:0] d;
    logic [1:0] p;
    d = data[addr[13:4]];
    p = parity[addr[13:4]];
    case (width)
      1: word = {17'd0, d[addr[3:0]]};
      2: word = {16'd0, d[{addr[3:1], 1'b0}+:2]};
      4: word = {14'd0, d[{addr[3:2], 2'b0}+:4]};
      9: word = {1'b0, p[addr[3]], 8'd0, d[{addr[3], 3'b0}+:8]};
      default: word = {p, d};
    endcase
  endfunction

  if (WIDTH_A == 36) begin : gen_simple
    always_ff @(posedge clka)
      if (ena) begin
        {dopa, doa} <= rsta ? SRVAL_A : {parity[{addra[13:5], 1'b0}], data[{addra[13:5], 1'b0}]};
        {dopb, dob} <= rsta ? SRVAL_B : {parity[{addra[13:5], 1'b1}], data[{addra[13:5], 1'b1}]};
      end
  end else begin : gen_ports
    always_ff @(posedge clka) if (ena) {dopa, doa} <= rsta ? SRVAL_A : word(addra, WIDTH_A);
    always_ff @(posedge clkb) if (enb) {dopb, dob} <= rstb ? SRVAL_B : word(addrb, WIDTH_B);
  end
endmodule
