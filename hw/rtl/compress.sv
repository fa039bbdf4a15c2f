// Compressor tree: adds up bits of given weights. One instance is one level; it instantiates the next.
//
//   m_count = sum over columns c of 2**c * (number of ones among the HEIGHTS[c] bits of column c)
//
// `bits` holds column 0 in its least significant bits, then column 1, and so on. A level turns six
// bits of a column into a three-bit number (three LUT6), three into a two-bit number. When no column
// holds more than two bits a carry chain adds the two rows. SPAN levels of logic lie between
// registers, the adder counts as two; its sum is registered. `s_tag` travels along, 0 after reset.
//
// Latency: one cycle for every register.
// Legal: the sum fits COLS bits; BITS is the sum of HEIGHTS; SPAN >= 2.

module compress #(
  parameter int unsigned COLS = 3,  // bits of the sum
  parameter logic [12*COLS-1:0] HEIGHTS = {12'd1, 12'd2, 12'd3},  // 12 bits a column, 0 first
  parameter int unsigned BITS = 6,
  parameter int unsigned TAG_BITS = 1,
  parameter int unsigned SPAN = 3,  // levels of logic between registers
  parameter int unsigned LEVEL = 0  // levels of logic since the last register
) (
  input logic aclk,
  input logic aresetn,
  input logic enable,
  input logic [BITS-1:0] bits,
  input logic [TAG_BITS-1:0] s_tag,
  output logic [COLS-1:0] m_count,
  output logic [TAG_BITS-1:0] m_tag
);
  function automatic int unsigned height(input int unsigned c);
    height = c < COLS ? 32'(HEIGHTS[12*c+:12]) : 0;
  endfunction

  // Index of the first bit of column c.
  function automatic int unsigned offset(input int unsigned c);
    offset = 0;
    for (int unsigned i = 0; i < c; i++) offset = offset + height(i);
  endfunction

  function automatic int unsigned highest();
    highest = 0;
    for (int unsigned i = 0; i < COLS; i++) if (height(i) > highest) highest = height(i);
  endfunction
  localparam int unsigned HIGHEST = highest();

  // Compressors of column c: 6:3 ones (the last may have five inputs), then at most one 3:2. In the
  // last level a column of two that gets a carry is compressed too (2:2), so that no carry ripples
  // on through further levels.
  function automatic int unsigned sixes(input int unsigned c);
    sixes = (height(c) + 1) / 6;
  endfunction
  function automatic int unsigned threes(input int unsigned c);
    threes = 0;
    for (int unsigned i = 0; i <= c; i++) begin
      threes = height(i) > 6 * sixes(i) + 2 || (HIGHEST == 3 && height(i) == 2 && threes == 1) ? 1 : 0;
    end
  endfunction
  function automatic int unsigned passed(input int unsigned c);
    passed = 6 * sixes(c) + 3 * threes(c);
    passed = height(c) > passed ? height(c) - passed : 0;
  endfunction

  // Next level: sums of the column, carries of the column below, passed bits, fours of two below.
  function automatic int unsigned next_height(input int unsigned c);
    next_height = sixes(c) + threes(c) + passed(c);
    if (c >= 1) next_height = next_height + sixes(c - 1) + threes(c - 1);
    if (c >= 2) next_height = next_height + sixes(c - 2);
    if (c >= COLS) next_height = 0;
  endfunction
  function automatic int unsigned next_offset(input int unsigned c);
    next_offset = 0;
    for (int unsigned i = 0; i < c; i++) next_offset = next_offset + next_height(i);
  endfunction
  function automatic logic [12*COLS-1:0] next_heights();
    next_heights = '0;
    for (int unsigned i = 0; i < COLS; i++) next_heights[12*i+:12] = 12'(next_height(i));
  endfunction

`ifndef VERILATOR
  // Bits 0, 1 and 2 of the number of ones among six bits, as truth tables.
  localparam logic [63:0] ONES = 64'h6996_9669_9669_6996;
  localparam logic [63:0] TWOS = 64'h8117_177E_177E_7EE8;
  localparam logic [63:0] FOURS = 64'hFEE8_E880_E880_8000;
`endif

  if (BITS != offset(COLS)) begin : gen_bad
    $error("compress: BITS is not the sum of HEIGHTS");
  end

  if (LEVEL == SPAN || (HIGHEST <= 2 && LEVEL + 2 > SPAN)) begin : gen_register
    logic [BITS-1:0] bits_q;
    logic [TAG_BITS-1:0] tag_q;
    always_ff @(posedge aclk) begin
      if (enable) bits_q <= bits;
      if (!aresetn) tag_q <= '0;
      else if (enable) tag_q <= s_tag;
    end
    compress #(
      .COLS(COLS),
      .HEIGHTS(HEIGHTS),
      .BITS(BITS),
      .TAG_BITS(TAG_BITS),
      .SPAN(SPAN),
      .LEVEL(0)
    ) u_next (
      .aclk,
      .aresetn,
      .enable,
      .bits(bits_q),
      .s_tag(tag_q),
      .m_count,
      .m_tag
    );
  end else if (HIGHEST <= 2) begin : gen_adder
    logic [COLS-1:0] row0, row1, count_q;
    for (genvar c = 0; c < COLS; c++) begin : gen_column
      if (height(c) > 0) begin : gen_row0
        assign row0[c] = bits[offset(c)];
      end else begin : gen_no_row0
        assign row0[c] = 1'b0;
      end
      if (height(c) > 1) begin : gen_row1
        assign row1[c] = bits[offset(c)+1];
      end else begin : gen_no_row1
        assign row1[c] = 1'b0;
      end
    end
    logic [TAG_BITS-1:0] tag_q;
    always_ff @(posedge aclk) begin
      if (enable) count_q <= row0 + row1;
      if (!aresetn) tag_q <= '0;
      else if (enable) tag_q <= s_tag;
    end
    assign m_count = count_q;
    assign m_tag = tag_q;
  end else begin : gen_level
    localparam int unsigned NEXT_BITS = next_offset(COLS);
    logic [NEXT_BITS-1:0] next;
    for (genvar c = 0; c < COLS; c++) begin : gen_column
      localparam int unsigned FROM = offset(c);
      localparam int unsigned H = height(c);
      localparam int unsigned SIXES = sixes(c);
      localparam int unsigned THREES = threes(c);
      // Places in the next level: own column, carries above it, fours above these.
      localparam int unsigned TO0 = next_offset(c);
      localparam int unsigned TO1 = next_offset(c + 1) + sixes(c + 1) + threes(c + 1) + passed(c + 1);
      localparam int unsigned TO2 = next_offset(c + 2) + next_height(c + 2) - SIXES;
      // Compressor i takes bits i, i + SIXES .. i + 5*SIXES of the column; the last may lack its sixth.
      if (SIXES > 0) begin : gen_sixes
        localparam int unsigned TAKEN = 6 * SIXES <= H ? 6 * SIXES : H;
        logic [6*SIXES-1:0] column;
        assign column = (6 * SIXES)'(bits[FROM+:TAKEN]);
        logic [SIXES-1:0] ones, twos, fours;
        assign next[TO0+:SIXES] = ones;
        if (c + 1 < COLS) begin : gen_two
          assign next[TO1+:SIXES] = twos;
        end
        if (c + 2 < COLS) begin : gen_four
          assign next[TO2+:SIXES] = fours;
        end
`ifdef VERILATOR
        // The same as the LUTs below, for all compressors at once: simulated many times faster.
        logic [SIXES-1:0] x0, x1, x2, x3, x4, x5, sum0, sum1, carry0, carry1, carry2;
        assign {x5, x4, x3, x2, x1, x0} = column;
        assign sum0 = x0 ^ x1 ^ x2;
        assign sum1 = x3 ^ x4 ^ x5;
        assign carry0 = (x0 & x1) | (x2 & (x0 | x1));
        assign carry1 = (x3 & x4) | (x5 & (x3 | x4));
        assign carry2 = sum0 & sum1;
        assign ones = sum0 ^ sum1;
        assign twos = carry0 ^ carry1 ^ carry2;
        assign fours = (carry0 & carry1) | (carry2 & (carry0 | carry1));
        logic unused;
        assign unused = &{1'b0, twos, fours};
`else
        for (genvar i = 0; i < SIXES; i++) begin : gen_six
          logic [5:0] x;
          for (genvar k = 0; k < 6; k++) begin : gen_input
            assign x[k] = column[k*SIXES+i];
          end
          lut6 #(
            .TABLE(ONES)
          ) u_one (
            .x,
            .y(ones[i])
          );
          if (c + 1 < COLS) begin : gen_two
            lut6 #(
              .TABLE(TWOS)
            ) u_two (
              .x,
              .y(twos[i])
            );
          end
          if (c + 2 < COLS) begin : gen_four
            lut6 #(
              .TABLE(FOURS)
            ) u_four (
              .x,
              .y(fours[i])
            );
          end
        end
`endif
      end
      if (THREES == 1) begin : gen_three
        logic [2:0] x;
        if (H == 2) begin : gen_two_inputs
          assign x = {1'b0, bits[FROM+:2]};
        end else begin : gen_three_inputs
          assign x = bits[FROM+6*SIXES+:3];
        end
        assign next[TO0+SIXES] = ^x;
        if (c + 1 < COLS) begin : gen_carry
          assign next[TO1+SIXES] = (x[0] & x[1]) | (x[0] & x[2]) | (x[1] & x[2]);
        end
      end
      for (genvar i = 0; i < passed(c); i++) begin : gen_pass
        assign next[TO0+SIXES+THREES+i] = bits[FROM+6*SIXES+3*THREES+i];
      end
    end

    compress #(
      .COLS(COLS),
      .HEIGHTS(next_heights()),
      .BITS(NEXT_BITS),
      .TAG_BITS(TAG_BITS),
      .SPAN(SPAN),
      .LEVEL(LEVEL + 1)
    ) u_next (
      .aclk,
      .aresetn,
      .enable,
      .bits(next),
      .s_tag,
      .m_count,
      .m_tag
    );
  end
endmodule
