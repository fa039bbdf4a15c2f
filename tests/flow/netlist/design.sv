// A design with every kind of cell that a netlist can be extracted from, small enough to be placed
// in seconds. The outputs fold everything into four LEDs.
module memory #(
    parameter int unsigned WIDTH = 18,
    parameter int unsigned DEPTH = 1024,
    parameter INIT_FILE = "rom18.mem"
) (
    input  logic                     aclk,
    input  logic                     enable,
    input  logic [$clog2(DEPTH)-1:0] addr,
    output logic [WIDTH-1:0]         data
);
  (* rom_style = "block" *) logic [WIDTH-1:0] words[DEPTH];
  initial $readmemh(INIT_FILE, words);
  always_ff @(posedge aclk) if (enable) data <= words[addr];
endmodule

module queue #(
    parameter int unsigned WIDTH = 18,
    parameter int unsigned DEPTH = 1024
) (
    input  logic                     aclk,
    input  logic                     write,
    input  logic [$clog2(DEPTH)-1:0] write_addr,
    input  logic [WIDTH-1:0]         write_data,
    input  logic                     read,
    input  logic [$clog2(DEPTH)-1:0] read_addr,
    output logic [WIDTH-1:0]         read_data
);
  (* ram_style = "block" *) logic [WIDTH-1:0] words[DEPTH];
  initial for (int i = 0; i < DEPTH; i = i + 1) words[i] = WIDTH'(7 * i + 3);
  always_ff @(posedge aclk) if (write) words[write_addr] <= write_data;
  always_ff @(posedge aclk) if (read) read_data <= words[read_addr];
endmodule

module top (
    output logic [3:0] led
);
  logic [3:0] fclk;
  logic aclk;
  (* keep *) PS7 ps7 (.FCLKCLK(fclk));
  BUFG clock_buffer (
      .I(fclk[0]),
      .O(aclk)
  );

  // Carry chain; shift register with feedback.
  logic [11:0] count;
  logic [71:0] noise;
  initial begin
    count = 12'h5A3;
    noise = 72'h1;
  end
  always_ff @(posedge aclk) begin
    count <= count + 12'd1;
    noise <= {noise[70:0], noise[71] ^ noise[65] ^ noise[24] ^ noise[18]};
  end

  // Flip-flops with enable, synchronous set and reset, asynchronous set and reset.
  logic [2:0] state;
  logic set_q, clear_q, preset_q;
  initial {state, set_q, clear_q, preset_q} = 6'b010_100;
  always_ff @(posedge aclk) begin
    if (noise[3]) set_q <= 1'b1;
    else if (noise[5]) set_q <= noise[7];
    if (count[4:0] == 5'd9) state <= 3'd0;
    else if (noise[11])
      case (state)
        3'd0: state <= noise[0] ? 3'd5 : 3'd2;
        3'd2: state <= 3'd7;
        3'd5: state <= noise[1] ? 3'd0 : 3'd1;
        default: state <= 3'd0;
      endcase
  end
  logic reset_q;
  initial reset_q = 1'b0;
  always_ff @(posedge aclk) reset_q <= count[5:0] == 6'd17;
  always_ff @(posedge aclk or posedge reset_q)
    if (reset_q) clear_q <= 1'b0;
    else clear_q <= noise[13];
  always_ff @(posedge aclk or posedge reset_q)
    if (reset_q) preset_q <= 1'b1;
    else preset_q <= noise[14];

  // Wide multiplexers of a slice, as primitives since Yosys rarely chooses them; a comparison.
  logic [3:0] leaf;
  logic low, high, selected, greater;
  for (genvar i = 0; i < 4; i = i + 1) begin : gen_leaf
    assign leaf[i] = ^noise[6*i+:5] & noise[6*i+5];
  end
  MUXF7 mux_low (
      .I0(leaf[0]),
      .I1(leaf[1]),
      .S (count[1]),
      .O (low)
  );
  MUXF7 mux_high (
      .I0(leaf[2]),
      .I1(leaf[3]),
      .S (count[1]),
      .O (high)
  );
  MUXF8 mux_top (
      .I0(low),
      .I1(high),
      .S (count[2]),
      .O (selected)
  );
  assign greater = noise[40:29] > count;

  logic [17:0] rom18;
  logic [35:0] rom36, deep36;
  logic [71:0] rom72;
  memory #(18, 1024, "rom18.mem") u_rom18 (aclk, 1'b1, count[9:0], rom18);
  memory #(36, 512, "rom36.mem") u_rom36 (aclk, noise[2], count[8:0], rom36);
  memory #(72, 512, "rom72.mem") u_rom72 (aclk, 1'b1, count[8:0], rom72);
  memory #(36, 1024, "deep36.mem") u_deep36 (aclk, 1'b1, count[9:0], deep36);

  logic [9:0] behind;
  logic [17:0] queue18;
  logic [71:0] queue72;
  assign behind = count[9:0] ^ 10'h155;
  queue #(18, 1024) u_queue18 (aclk, noise[4], behind, noise[17:0], noise[6], count[9:0], queue18);
  queue #(72, 512) u_queue72 (aclk, noise[8], behind[8:0], noise, noise[9], count[8:0], queue72);

  // Words that leave bytes of a block RAM unused: these are never written.
  logic [23:0] queue24;
  logic [59:0] queue60;
  queue #(24, 512) u_queue24 (aclk, noise[4], behind[8:0], noise[31:8], noise[6], count[8:0], queue24);
  queue #(60, 512) u_queue60 (aclk, noise[8], behind[8:0], noise[65:6], noise[9], count[8:0], queue60);

  initial led = 4'd0;
  always_ff @(posedge aclk) begin
    led[0] <= ^{rom18, rom36} ^ selected;
    led[1] <= ^{rom72, deep36} ^ greater;
    led[2] <= ^{queue18, queue72, queue24, queue60} ^ count[11];
    led[3] <= ^{state, set_q, clear_q, preset_q};
  end
endmodule
