// Memory behind an AXI3 port of the Zynq as its HP ports are, for simulation; it checks AXI's rules.
//
// Function
//   SIZE words of 64 bits from BASE on; an access elsewhere is answered with DECERR and reads 0.
//   Reads: up to 8 bursts wait; the first beat of each comes `latency` cycles after its address
//   was taken at the earliest, then a beat a cycle, without a gap to a burst that waits already.
//   Writes: up to 8 addresses and 32 beats wait; answered `latency` cycles after the last beat.
//   Between beats the memory does nothing for 20 cycles in every `refresh` (DDR3: 160 ns in 7.8 us).
//   A broken rule ends the simulation with a `fault` of the processing system.
//
// Plus arguments
//   +memory=FILE   content at the start, for $readmemh
//   +latency=N     cycles (30); +refresh=N: cycles from one to the next (0: none)
//   +stall=N       each channel stands still in N of 16 cycles, at random (0)
module hp_memory #(
    parameter logic [31:0] BASE = 32'h1000_0000,
    parameter int unsigned SIZE = 1 << 18  // words
) (
    input  logic        clk,
    input  logic        resetn,
    input  logic        arvalid,
    output logic        arready,
    input  logic [5:0]  arid,
    input  logic [31:0] araddr,
    input  logic [3:0]  arlen,
    input  logic [1:0]  arsize,
    input  logic [1:0]  arburst,
    output logic        rvalid,
    input  logic        rready,
    output logic [5:0]  rid,
    output logic [63:0] rdata,
    output logic [1:0]  rresp,
    output logic        rlast,
    input  logic        awvalid,
    output logic        awready,
    input  logic [5:0]  awid,
    input  logic [31:0] awaddr,
    input  logic [3:0]  awlen,
    input  logic [1:0]  awsize,
    input  logic [1:0]  awburst,
    input  logic        wvalid,
    output logic        wready,
    input  logic [5:0]  wid,
    input  logic [63:0] wdata,
    input  logic [7:0]  wstrb,
    input  logic        wlast,
    output logic        bvalid,
    input  logic        bready,
    output logic [5:0]  bid,
    output logic [1:0]  bresp
);
  localparam int unsigned BURSTS = 8, BEATS = 32;

  // verilator lint_off UNUSEDSIGNAL  // parts of what is queued do not matter everywhere

  logic [63:0] memory[SIZE];
  string name, broken;
  integer latency, refresh, stall, cycle;
  logic [31:0] rng;

  typedef struct packed {
    logic [5:0]  id;
    logic [31:0] addr;
    logic [3:0]  len;
    logic [31:0] due;
  } burst_t;

  burst_t reads[BURSTS], writes[BURSTS], answers[BURSTS];
  logic [63:0] data[BEATS];
  logic [14:0] marks[BEATS];  // strobes, last, ID
  integer read_in, read_out, write_in, write_out, beat_in, beat_out, answer_in, answer_out;
  logic [4:0] read_beat, write_beat;
  logic [1:0] write_resp;
  logic still, r_taken, b_taken;

  // What the last cycle offered and was not taken must be offered unchanged.
  logic ar_held, aw_held, w_held;
  logic [45:0] ar_before, aw_before;
  logic [78:0] w_before;

  function automatic logic present(input logic [31:0] address);
    present = address >= BASE && address - BASE < 32'(8 * SIZE);
  endfunction

  function automatic integer place(input logic [31:0] address);
    place = integer'((address - BASE) >> 3);
  endfunction

  // Whether a channel stands still in this cycle.
  function automatic logic halt(input integer channel);
    halt = stall != 0 && integer'(4'(rng >> (4 * channel))) < stall;
  endfunction

  task automatic rule(input logic kept, input string what);
    if (!kept && broken == "") broken = what;
  endtask

  task automatic check_burst(input logic [31:0] addr, input logic [3:0] len, input logic [1:0] size,
                             input logic [1:0] burst);
    rule(size == 2'd3 && burst == 2'd1, "HP0: a burst that is not INCR of 8 bytes a beat");
    rule(addr[2:0] == 3'd0, "HP0: an address that is no multiple of 8");
    rule({1'b0, addr[11:3]} + 10'(len) < 10'd512, "HP0: a burst crosses 4 KiB");
  endtask

  task automatic reset_all;
    {arready, rvalid, awready, wready, bvalid} = 5'd0;
    {ar_held, aw_held, w_held, r_taken, b_taken} = 5'd0;
    read_in = 0;
    read_out = 0;
    write_in = 0;
    write_out = 0;
    beat_in = 0;
    beat_out = 0;
    answer_in = 0;
    answer_out = 0;
    read_beat = 5'd0;
    write_beat = 5'd0;
    write_resp = 2'd0;
  endtask

  // What passed at the clock edge.
  task automatic take;
    rule(!ar_held || (arvalid && ar_before == {arid, araddr, arlen, arsize, arburst}),
         "HP0: AR changed while it waited for ARREADY");
    rule(!aw_held || (awvalid && aw_before == {awid, awaddr, awlen, awsize, awburst}),
         "HP0: AW changed while it waited for AWREADY");
    rule(!w_held || (wvalid && w_before == {wid, wdata, wstrb, wlast}),
         "HP0: W changed while it waited for WREADY");
    ar_held = arvalid && !arready;
    aw_held = awvalid && !awready;
    w_held = wvalid && !wready;
    ar_before = {arid, araddr, arlen, arsize, arburst};
    aw_before = {awid, awaddr, awlen, awsize, awburst};
    w_before = {wid, wdata, wstrb, wlast};
    if (arvalid && arready) begin
      check_burst(araddr, arlen, arsize, arburst);
      reads[read_in%integer'(BURSTS)] = {arid, araddr, arlen, 32'(cycle + latency)};
      read_in = read_in + 1;
    end
    if (awvalid && awready) begin
      check_burst(awaddr, awlen, awsize, awburst);
      writes[write_in%integer'(BURSTS)] = {awid, awaddr, awlen, 32'd0};
      write_in = write_in + 1;
    end
    if (wvalid && wready) begin
      data[beat_in%integer'(BEATS)] = wdata;
      marks[beat_in%integer'(BEATS)] = {wstrb, wlast, wid};
      beat_in = beat_in + 1;
    end
    r_taken = rvalid && rready;
    b_taken = bvalid && bready;
  endtask

  task automatic offer_read;
    burst_t now;
    logic [31:0] address;
    now = reads[read_out%integer'(BURSTS)];
    if (!rvalid && !still && !halt(0) && read_out < read_in && 32'(cycle) >= now.due) begin
      address = now.addr + 32'({read_beat, 3'b000});
      rvalid = 1'b1;
      rid = now.id;
      rresp = present(address) ? 2'd0 : 2'd3;
      rdata = present(address) ? memory[place(address)] : 64'd0;
      rlast = read_beat == {1'b0, now.len};
      read_beat = rlast ? 5'd0 : read_beat + 5'd1;
      if (rlast) read_out = read_out + 1;
    end
  endtask

  task automatic write_beat_to_memory;
    burst_t now;
    logic [31:0] address;
    logic [7:0] strobes;
    logic last;
    logic [5:0] id;
    now = writes[write_out%integer'(BURSTS)];
    {strobes, last, id} = marks[beat_out%integer'(BEATS)];
    if (!still && write_out < write_in && beat_out < beat_in && answer_in < answer_out + 8) begin
      address = now.addr + 32'({write_beat, 3'b000});
      rule(id == now.id, "HP0: WID is not AWID");
      rule(last == (write_beat == {1'b0, now.len}), "HP0: WLAST at the wrong beat");
      if (!present(address)) write_resp = 2'd3;
      else
        for (integer i = 0; i < 8; i = i + 1)
          if (strobes[i]) memory[place(address)][8*i+:8] = data[beat_out%integer'(BEATS)][8*i+:8];
      beat_out = beat_out + 1;
      write_beat = write_beat + 5'd1;
      if (last) begin
        answers[answer_in%integer'(BURSTS)] = {now.id, 30'd0, write_resp, 4'd0, 32'(cycle + latency)};
        answer_in = answer_in + 1;
        write_out = write_out + 1;
        write_beat = 5'd0;
        write_resp = 2'd0;
      end
    end
  endtask

  task automatic offer_answer;
    burst_t now;
    now = answers[answer_out%integer'(BURSTS)];
    if (!bvalid && !halt(1) && answer_out < answer_in && 32'(cycle) >= now.due) begin
      bvalid = 1'b1;
      bid = now.id;
      bresp = now.addr[1:0];
      answer_out = answer_out + 1;
    end
  endtask

  initial begin
    latency = 30;
    refresh = 0;
    stall = 0;
    cycle = 0;
    broken = "";
    rng = 32'd1;
    if ($value$plusargs("seed=%d", rng)) rng = rng * 32'd2246822519 | 32'd1;
    if ($value$plusargs("latency=%d", latency)) cycle = 0;
    if ($value$plusargs("refresh=%d", refresh)) cycle = 0;
    if ($value$plusargs("stall=%d", stall)) cycle = 0;
    for (integer i = 0; i < integer'(SIZE); i = i + 1) memory[i] = 64'd0;
    if ($value$plusargs("memory=%s", name)) $readmemh(name, memory);
    reset_all;
    // Signals are read at the clock edge and driven one time unit after it.
    forever begin
      @(posedge clk);
      cycle = cycle + 1;
      rng = rng ^ (rng << 13);
      rng = rng ^ (rng >> 17);
      rng = rng ^ (rng << 5);
      if (resetn) take;
      #1;
      if (!resetn) reset_all;
      else begin
        if (r_taken) rvalid = 1'b0;
        if (b_taken) bvalid = 1'b0;
        still = refresh != 0 && cycle % refresh < 20;
        offer_read;
        write_beat_to_memory;
        offer_answer;
        arready = read_in < read_out + integer'(BURSTS) && !halt(2);
        awready = write_in < write_out + integer'(BURSTS) && !halt(3);
        wready = beat_in < beat_out + integer'(BEATS) && !halt(4);
      end
    end
  end
  // verilator lint_on UNUSEDSIGNAL
endmodule
