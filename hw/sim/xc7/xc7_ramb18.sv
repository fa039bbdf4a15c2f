// One half (18 Kbit) of a 7-series block RAM, for netlists extracted from a bitstream.
//
// Function
//   On a rising edge of clka, while ena: port A's output = SRVAL_A if rsta, else the word at addra;
//   port B likewise. The outputs start as INIT_A and INIT_B.
//   On a rising edge of clkw, while we: the word at addrw = {dipw, diw}. A port that reads the word
//   being written gets the old one with READ_FIRST = 1; without, the device promises nothing, and
//   this model gives the old word inverted, so that a design which looks at it shows a difference.
//   WIDTH_x: 1, 2, 4 (data only), 9, 18 (with parity). 36 at A (simple dual port): a word of 32 + 4
//   bits, the lower half at A's outputs and the upper at B's; then WIDTH_B is 0. WIDTH_W: also 36,
//   or 0, never written; of 36 bits those of KEPT never change (byte enables that are tied low).
//   A word of W data bits at address n is bits n*W and up of INIT; parity of byte k is INITP[k].
//   Addresses are bit addresses: those bits that do not select a word are ignored, as in the device.
//   A RAMB36 is two of these; they share the word bit by bit, even bits in the first.
// Source: UG473, 7 Series FPGAs Memory Resources, chapter 1.
// verilator lint_off WIDTHCONCAT
module xc7_ramb18 #(
    parameter int unsigned  WIDTH_A = 18,
    parameter int unsigned  WIDTH_B = 18,
    parameter int unsigned  WIDTH_W = 0,
    parameter bit           READ_FIRST = 1,
    parameter bit [35:0]    KEPT = '0,
    parameter bit [16383:0] INIT = '0,
    parameter bit [2047:0]  INITP = '0,
    parameter bit [17:0]    INIT_A = '0,
    parameter bit [17:0]    INIT_B = '0,
    parameter bit [17:0]    SRVAL_A = '0,
    parameter bit [17:0]    SRVAL_B = '0
) (
    // B is not used where A has 36 bits, W where nothing is written.
    // verilator lint_off UNUSEDSIGNAL
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
    output logic [1:0]  dopb,
    input  logic        clkw,
    input  logic        we,
    input  logic [13:0] addrw,
    input  logic [31:0] diw,
    input  logic [3:0]  dipw
);
  // verilator lint_on UNUSEDSIGNAL

  // 512 rows of 32 + 4 bits; the widest word is one row.
  logic [31:0] data[512];
  logic [3:0] parity[512];
  initial begin
    for (int i = 0; i < 512; i = i + 1) begin
      data[i] = INIT[32*i+:32];
      parity[i] = INITP[4*i+:4];
    end
    {dopa, doa} = INIT_A;
    {dopb, dob} = INIT_B;
  end

  // How far a word of `width` bits lies above bit 0 of its row, for the in-row address `at`.
  function automatic logic [4:0] place(input logic [4:0] at, input int unsigned width);
    case (width)
      1: place = at;
      2: place = {at[4:1], 1'b0};
      4: place = {at[4:2], 2'b0};
      9: place = {at[4:3], 3'b0};
      18: place = {at[4], 4'b0};
      default: place = 5'd0;
    endcase
  endfunction

  // Bits of a row that the word takes: 4 of parity above 32 of data.
  function automatic logic [35:0] mask(input logic [4:0] at, input int unsigned width);
    logic [4:0] shift;
    logic [31:0] d;
    logic [3:0] p;
    shift = place(at, width);
    case (width)
      0: {p, d} = 36'h0_0000_0000;
      1: {p, d} = 36'h0_0000_0001;
      2: {p, d} = 36'h0_0000_0003;
      4: {p, d} = 36'h0_0000_000F;
      9: {p, d} = 36'h1_0000_00FF;
      18: {p, d} = 36'h3_0000_FFFF;
      default: {p, d} = 36'hF_FFFF_FFFF;
    endcase
    mask = {p << shift[4:3], d << shift};
  endfunction

  function automatic logic [35:0] changed(input logic [4:0] at);  // bits that writing there changes
    changed = mask(at, WIDTH_W) & ~KEPT;
  endfunction

  // The word at `addr`: 4 bits of parity above 32 of data, both moved down to bit 0.
  function automatic logic [35:0] word(input logic [13:0] addr, input int unsigned width);
    logic [35:0] row;
    logic [4:0] shift;
    row = {parity[addr[13:5]], data[addr[13:5]]};
    if (!READ_FIRST && we && addr[13:5] == addrw[13:5]) row = row ^ changed(addrw[4:0]);
    row = row & mask(addr[4:0], width);
    shift = place(addr[4:0], width);
    word = {row[35:32] >> shift[4:3], row[31:0] >> shift};
  endfunction

  if (WIDTH_W != 0) begin : gen_write
    logic [35:0] change, row, next;
    logic [4:0] shift;
    assign change = changed(addrw[4:0]);
    assign shift = place(addrw[4:0], WIDTH_W);
    assign row = {parity[addrw[13:5]], data[addrw[13:5]]};
    assign next = (row & ~change) | ({dipw << shift[4:3], diw << shift} & change);
    always_ff @(posedge clkw) if (we) {parity[addrw[13:5]], data[addrw[13:5]]} <= next;
  end

  // verilator lint_off UNUSEDSIGNAL
  logic [35:0] worda, wordb;  // the upper halves are only used by a port of 36 bits
  // verilator lint_on UNUSEDSIGNAL
  assign worda = word(addra, WIDTH_A);
  assign wordb = word(addrb, WIDTH_B);
  if (WIDTH_A == 36) begin : gen_simple
    always_ff @(posedge clka)
      if (ena) begin
        {dopa, doa} <= rsta ? SRVAL_A : {worda[33:32], worda[15:0]};
        {dopb, dob} <= rsta ? SRVAL_B : {worda[35:34], worda[31:16]};
      end
  end else begin : gen_ports
    always_ff @(posedge clka)
      if (ena) {dopa, doa} <= rsta ? SRVAL_A : {worda[33:32], worda[15:0]};
    always_ff @(posedge clkb)
      if (enb) {dopb, dob} <= rstb ? SRVAL_B : {wordb[33:32], wordb[15:0]};
  end
endmodule
