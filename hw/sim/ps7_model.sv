// The Zynq's processing system, for simulation: FCLK0, its reset, an AXI3 master on M_AXI_GP0 that
// plays a script, and memory behind S_AXI_HP0 (hp_memory.sv). Needs zynq.sv.
//
// Plus arguments: those of hp_memory.sv, and
//   +script=FILE   what to do, see below
//   +replies=FILE  gets one line for each reply
//   +seed=N        of the random delays; +gap=N: 0 as fast as can be, N up to N cycles of delay
//
// Script: one command a line, numbers in hex; `burst` 0 FIXED, 1 INCR, 2 WRAP; `size` 2 = word
//   w addr burst size strobes beats data...   write            reply: w resp
//   r addr burst size beats                   read             reply: r resp data, for each beat
//   x addr data read_addr                     write and read   reply: x resp resp data
//                                             at the same time
//   p addr mask value tries                   read until masked word = value   reply: p reads
//   m addr words                              memory        reply: m data, for each word of 64 bits
//   c cycles                                  wait
// The last reply is "end cycles"; "fault: reason" stands where the slave broke a rule of AXI or
// left an access unanswered for 4096 cycles, or where a poll ran out of tries.
/* verilator lint_off DECLFILENAME */  // the name is the vendor's
/* verilator lint_off SYNCASYNCNET */
module PS7 (
    // verilator lint_off UNUSEDSIGNAL
    `PS7_PORTS
    // verilator lint_on UNUSEDSIGNAL
);
  localparam int unsigned LIMIT = 4096;  // cycles after which an access counts as unanswered

  // Clock of 100 MHz; the other three stand still. The reset ends between two clock edges.
  // Time units are nanoseconds where the simulator is told so; only their ratio matters here.
  logic clk, resetn;
  initial begin
    clk = 1'b0;
    forever #5 clk = !clk;
  end
  initial begin
    resetn = 1'b0;
    #123 resetn = 1'b1;
  end
  assign FCLKCLK = {3'b000, clk};
  assign FCLKRESETN = {3'b000, resetn};

  hp_memory hp0 (
      .clk(clk),
      .resetn(resetn),
      .arvalid(SAXIHP0ARVALID),
      .arid(SAXIHP0ARID),
      .araddr(SAXIHP0ARADDR),
      .arlen(SAXIHP0ARLEN),
      .arsize(SAXIHP0ARSIZE),
      .arburst(SAXIHP0ARBURST),
      .rready(SAXIHP0RREADY),
      .awvalid(SAXIHP0AWVALID),
      .awid(SAXIHP0AWID),
      .awaddr(SAXIHP0AWADDR),
      .awlen(SAXIHP0AWLEN),
      .awsize(SAXIHP0AWSIZE),
      .awburst(SAXIHP0AWBURST),
      .wvalid(SAXIHP0WVALID),
      .wid(SAXIHP0WID),
      .wdata(SAXIHP0WDATA),
      .wstrb(SAXIHP0WSTRB),
      .wlast(SAXIHP0WLAST),
      .bready(SAXIHP0BREADY),
      .arready(SAXIHP0ARREADY),
      .rvalid(SAXIHP0RVALID),
      .rid(SAXIHP0RID),
      .rdata(SAXIHP0RDATA),
      .rresp(SAXIHP0RRESP),
      .rlast(SAXIHP0RLAST),
      .awready(SAXIHP0AWREADY),
      .wready(SAXIHP0WREADY),
      .bvalid(SAXIHP0BVALID),
      .bid(SAXIHP0BID),
      .bresp(SAXIHP0BRESP)
  );

  integer script, replies, status, gap;
  logic [31:0] rng;
  integer cycles;
  initial begin
    cycles = 0;
    forever @(posedge clk) cycles = cycles + 1;
  end

  task automatic fault(input string reason);
    $fdisplay(replies, "fault: %s", reason);
    $fflush(replies);
    $finish;
  endtask

  function automatic logic [31:0] random(input logic [31:0] state);
    random = state ^ (state << 13);
    random = random ^ (random >> 17);
    random = random ^ (random << 5);
  endfunction

  task automatic pause;
    integer n;
    rng = random(rng);
    n = gap == 0 ? 0 : integer'(rng % 32'(gap + 1));
    repeat (n) @(posedge clk);
  endtask

  // Signals are read at the clock edge and driven one time unit after it.

  // One write burst: address, data and answer are three threads, so data may come first.
  logic [31:0] write_data[16];
  logic [1:0] write_resp;

  task automatic write_burst(input logic [31:0] addr, input logic [1:0] burst,
                             input logic [1:0] size, input logic [3:0] strobes,
                             input integer beats);
    integer waited;
    logic [11:0] id;
    rng = random(rng);
    id = rng[31:20];
    fork
      begin
        pause;
        #1 MAXIGP0AWID = id;
        MAXIGP0AWADDR = addr;
        MAXIGP0AWLEN = 4'(beats - 1);
        MAXIGP0AWSIZE = size;
        MAXIGP0AWBURST = burst;
        MAXIGP0AWVALID = 1'b1;
        @(posedge clk);
        while (!MAXIGP0AWREADY) @(posedge clk);
        #1 MAXIGP0AWVALID = 1'b0;
      end
      begin
        for (integer i = 0; i < beats; i = i + 1) begin
          pause;
          #1 MAXIGP0WDATA = write_data[i];
          MAXIGP0WID = id;
          MAXIGP0WLAST = i == beats - 1;
          MAXIGP0WSTRB = strobes;
          MAXIGP0WVALID = 1'b1;
          @(posedge clk);
          while (!MAXIGP0WREADY) @(posedge clk);
          #1 MAXIGP0WVALID = 1'b0;
        end
      end
      begin
        waited = 0;
        @(posedge clk);
        while (!(MAXIGP0BVALID && MAXIGP0BREADY)) begin
          @(posedge clk);
          waited = waited + 1;
          if (waited == integer'(LIMIT)) fault("a write is not answered");
        end
        write_resp = MAXIGP0BRESP;
        if (MAXIGP0BID != id) fault("BID is not AWID");
        if (MAXIGP0AWVALID || MAXIGP0WVALID) fault("BVALID before the last of the data");
      end
    join
  endtask

  // One read burst.
  logic [31:0] read_data[16];
  logic [1:0] read_resp[16];

  task automatic read_burst(input logic [31:0] addr, input logic [1:0] burst,
                            input logic [1:0] size, input integer beats);
    integer waited;
    logic [11:0] id;
    rng = random(rng);
    id = rng[31:20];
    fork
      begin
        pause;
        #1 MAXIGP0ARID = id;
        MAXIGP0ARADDR = addr;
        MAXIGP0ARLEN = 4'(beats - 1);
        MAXIGP0ARSIZE = size;
        MAXIGP0ARBURST = burst;
        MAXIGP0ARVALID = 1'b1;
        @(posedge clk);
        while (!MAXIGP0ARREADY) @(posedge clk);
        #1 MAXIGP0ARVALID = 1'b0;
      end
      begin
        for (integer i = 0; i < beats; i = i + 1) begin
          waited = 0;
          @(posedge clk);
          while (!(MAXIGP0RVALID && MAXIGP0RREADY)) begin
            @(posedge clk);
            waited = waited + 1;
            if (waited == integer'(LIMIT)) fault("a read is not answered");
          end
          read_data[i] = MAXIGP0RDATA;
          read_resp[i] = MAXIGP0RRESP;
          if (MAXIGP0RID != id) fault("RID is not ARID");
          if (MAXIGP0RLAST != (i == beats - 1)) fault("RLAST at the wrong beat");
          if (MAXIGP0ARVALID) fault("RVALID before the address was taken");
        end
      end
    join
  endtask

  // READY comes and goes by itself.
  logic [31:0] ready_rng;
  always @(posedge clk) begin
    ready_rng <= random(ready_rng);
    MAXIGP0BREADY <= resetn && (gap == 0 || ready_rng[1:0] == 2'd0);
    MAXIGP0RREADY <= resetn && (gap == 0 || ready_rng[5:4] == 2'd0);
  end

  // A VALID stays, and its payload with it, until READY.
  logic b_stalled, r_stalled;  // false at first, since resetn is
  logic [13:0] b_before;
  logic [46:0] r_before;
  always @(posedge clk) begin
    b_stalled <= resetn && MAXIGP0BVALID && !MAXIGP0BREADY;
    r_stalled <= resetn && MAXIGP0RVALID && !MAXIGP0RREADY;
    b_before <= {MAXIGP0BID, MAXIGP0BRESP};
    r_before <= {MAXIGP0RID, MAXIGP0RRESP, MAXIGP0RDATA, MAXIGP0RLAST};
    if (b_stalled && (!MAXIGP0BVALID || b_before != {MAXIGP0BID, MAXIGP0BRESP}))
      fault("B changed while it waited for BREADY");
    if (r_stalled && (!MAXIGP0RVALID
                      || r_before != {MAXIGP0RID, MAXIGP0RRESP, MAXIGP0RDATA, MAXIGP0RLAST}))
      fault("R changed while it waited for RREADY");
    if (FPGAIDLEN !== 1'b1 || IRQF2P !== 20'd0 || MAXIGP0ACLK !== FCLKCLK[0])
      fault("FPGAIDLEN, IRQF2P or MAXIGP0ACLK is not tied");
    if (SAXIHP0ACLK !== FCLKCLK[0]) fault("SAXIHP0ACLK is not the clock");
    if (hp0.broken != "") fault(hp0.broken);
  end

  // The script.
  string name;
  logic [7:0] command;
  logic [31:0] addr, other, mask, value, count;
  logic [1:0] burst, size;
  logic [3:0] strobes;
  integer beats;

  initial begin
    MAXIGP0AWVALID = 1'b0;
    MAXIGP0WVALID = 1'b0;
    MAXIGP0ARVALID = 1'b0;
    rng = 32'd1;
    gap = 0;
    if ($value$plusargs("seed=%d", rng)) rng = rng * 32'd2654435769 | 32'd1;
    ready_rng = rng;
    status = $value$plusargs("gap=%d", gap);
    if (!$value$plusargs("script=%s", name)) name = "script.txt";
    script = $fopen(name, "r");
    if (!$value$plusargs("replies=%s", name)) name = "replies.txt";
    replies = $fopen(name, "w");
    if (script == 0 || replies == 0) begin
      $display("ps7_model: cannot open the script or the replies");
      $finish;
    end
    repeat (40) @(posedge clk);  // the reset is over and has been synchronised
    status = $fscanf(script, " %c", command);
    while (status == 1) begin
      case (command)
        "w": begin
          status = $fscanf(script, "%h %h %h %h %h", addr, burst, size, strobes, beats);
          for (integer i = 0; i < beats; i = i + 1) begin
            status = $fscanf(script, "%h", other);
            write_data[i] = other;
          end
          write_burst(addr, burst, size, strobes, beats);
          $fdisplay(replies, "w %0d", write_resp);
        end
        "r": begin
          status = $fscanf(script, "%h %h %h %h", addr, burst, size, beats);
          read_burst(addr, burst, size, beats);
          for (integer i = 0; i < beats; i = i + 1)
            $fdisplay(replies, "r %0d %08x", read_resp[i], read_data[i]);
        end
        "x": begin
          status = $fscanf(script, "%h %h %h", addr, value, other);
          write_data[0] = value;
          fork
            write_burst(addr, 2'd1, 2'd2, 4'hF, 1);
            read_burst(other, 2'd1, 2'd2, 1);
          join
          $fdisplay(replies, "x %0d %0d %08x", write_resp, read_resp[0], read_data[0]);
        end
        "p": begin
          status = $fscanf(script, "%h %h %h %h", addr, mask, value, count);
          beats = 0;
          read_data[0] = ~value;
          while (beats < integer'(count) && (read_data[0] & mask) != value) begin
            read_burst(addr, 2'd1, 2'd2, 1);
            beats = beats + 1;
          end
          if ((read_data[0] & mask) != value) fault("a poll ran out of tries");
          $fdisplay(replies, "p %0d", beats);
        end
        "m": begin
          status = $fscanf(script, "%h %h", addr, count);
          for (integer i = 0; i < integer'(count); i = i + 1)
            $fdisplay(replies, "m %016x", hp0.memory[hp0.place(addr)+i]);
        end
        "c": begin
          status = $fscanf(script, "%h", count);
          repeat (count) @(posedge clk);
        end
        default: fault("unknown command in the script");
      endcase
      status = $fscanf(script, " %c", command);
    end
    $fdisplay(replies, "end %0d", cycles);
    $fclose(replies);
    $finish;
  end
endmodule
/* verilator lint_on SYNCASYNCNET */
/* verilator lint_on DECLFILENAME */
