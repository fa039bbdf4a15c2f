// AXI3 slave for the Zynq's general-purpose master port, on one side; a register bus, on the other.
//
// Function
//   Answers every access: words of the 4 KiB window at BASE that `reg_known` admits with OKAY, all
//   else with DECERR (reads then return 0), for an access that is never answered locks the CPU.
//   A write beat takes effect with all four strobes set; with some but not all it has no effect
//   and is answered with SLVERR; with none it has no effect.
//   Bursts of up to 16 beats, FIXED, INCR and WRAP, of 1, 2 or 4 bytes a beat. One transaction at
//   a time, reads and writes in turn; write data may come before its address. The ID of a
//   transaction is latched and returned. WID and WLAST are not needed: data comes in order of
//   addresses, as many beats as AWLEN says.
//
// Boundary
//   Place and route does not time the PS7, so nothing but a flip-flop touches its signals:
//   what arrives is captured every cycle, what leaves comes from a flip-flop. A master keeps VALID
//   and payload until READY, so a READY of one cycle after the captured VALID was seen takes
//   exactly the captured beat, and the two cycles after it are passed over. RREADY and BREADY,
//   which must act within their cycle, each reach one flip-flop through one LUT.
//
// Register bus
//   reg_write: reg_wdata to word reg_index, one cycle. reg_read: fetch word reg_index, one cycle;
//   reg_rdata is that of the next cycle. reg_known answers for reg_index. All outputs are flip-flops.
//   reg_index stands still for more than REST cycles before reg_known, reg_write or reg_read matters,
//   until the cycle after; so does reg_wdata before reg_write; and two writes lie more than REST cycles
//   apart. So both may take many cycles to the far end of the chip (`slow` in board.toml).
//
// Latency: REST + 8 cycles from ARVALID to RVALID, about REST + 6 a beat; writes alike.
module gp0_slave #(
    parameter logic [31:0] BASE = 32'h43C0_0000,
    parameter int unsigned REST = 16
) (
    input  logic        aclk,
    input  logic        aresetn,

    input  logic        gp0_awvalid,
    output logic        gp0_awready,
    input  logic [11:0] gp0_awid,
    input  logic [31:0] gp0_awaddr,
    input  logic [3:0]  gp0_awlen,
    input  logic [1:0]  gp0_awsize,
    input  logic [1:0]  gp0_awburst,
    input  logic        gp0_wvalid,
    output logic        gp0_wready,
    input  logic [31:0] gp0_wdata,
    input  logic [3:0]  gp0_wstrb,
    output logic        gp0_bvalid,
    input  logic        gp0_bready,
    output logic [11:0] gp0_bid,
    output logic [1:0]  gp0_bresp,
    input  logic        gp0_arvalid,
    output logic        gp0_arready,
    input  logic [11:0] gp0_arid,
    input  logic [31:0] gp0_araddr,
    input  logic [3:0]  gp0_arlen,
    input  logic [1:0]  gp0_arsize,
    input  logic [1:0]  gp0_arburst,
    output logic        gp0_rvalid,
    input  logic        gp0_rready,
    output logic [11:0] gp0_rid,
    output logic [31:0] gp0_rdata,
    output logic [1:0]  gp0_rresp,
    output logic        gp0_rlast,

    output logic [9:0]  reg_index,
    input  logic        reg_known,
    output logic        reg_write,
    output logic [31:0] reg_wdata,
    output logic        reg_read,
    input  logic [31:0] reg_rdata
);
  localparam logic [1:0] FIXED = 2'b00;
  localparam logic [1:0] WRAP = 2'b10;
  localparam logic [1:0] OKAY = 2'b00;
  localparam logic [1:0] SLVERR = 2'b10;
  localparam logic [1:0] DECERR = 2'b11;

  typedef struct packed {
    logic [11:0] id;
    logic [31:0] addr;
    logic [3:0]  len;
    logic [1:0]  size;
    logic [1:0]  burst;
  } address_t;

  // Capture of the boundary.
  address_t aw_q, ar_q;
  logic aw_valid_q, ar_valid_q, w_valid_q;
  logic [31:0] w_data_q;
  logic [3:0] w_strb_q;

  always_ff @(posedge aclk) begin
    aw_valid_q <= gp0_awvalid;
    aw_q <= {gp0_awid, gp0_awaddr, gp0_awlen, gp0_awsize, gp0_awburst};
    ar_valid_q <= gp0_arvalid;
    ar_q <= {gp0_arid, gp0_araddr, gp0_arlen, gp0_arsize, gp0_arburst};
    w_valid_q <= gp0_wvalid;
    w_data_q <= gp0_wdata;
    w_strb_q <= gp0_wstrb;
  end

  // The transaction under way.
  typedef enum logic [2:0] {
    IDLE,    // choose a captured address, answer it with READY
    W_WAIT,  // for captured write data
    W_TAKE,  // when all rests, write the register
    W_NEXT,  // it is written
    B_WAIT,  // for BREADY
    R_READ,  // when all rests, fetch the register
    R_LOAD,  // its word to the boundary
    R_WAIT   // for RREADY
  } state_t;

  state_t state_q;
  logic write_last_q;  // the transaction before was a write: a read has the next turn
  logic [11:0] id_q;
  logic inside_q;
  logic [11:0] addr_q;
  logic [3:0] len_q;    // beats still to come after this one
  logic [5:0] mask_q;   // address bits that a WRAP burst may change
  logic [1:0] size_q, burst_q;
  logic [1:0] resp_q;   // worst answer of the write burst so far

  logic take_write;
  address_t head;
  assign take_write = aw_valid_q && !(ar_valid_q && write_last_q);
  assign head = take_write ? aw_q : ar_q;

  logic [11:0] below, sum, next_addr;
  always_comb begin
    below = (12'd1 << size_q) - 12'd1;  // the bytes of one beat, less one
    sum = (addr_q | below) + 12'd1;
    next_addr = sum;
    if (burst_q == FIXED) next_addr = addr_q;
    if (burst_q == WRAP) next_addr = {addr_q[11:6], (addr_q[5:0] & ~mask_q) | (sum[5:0] & mask_q)};
  end

  // The far end, a cycle late.
  logic known_q, whole_q, partial_q;  // of the strobes: all, some
  logic [31:0] rdata_q;
  always_ff @(posedge aclk) begin
    reg_index <= addr_q[11:2];
    known_q <= inside_q && reg_known;
    rdata_q <= reg_rdata;
  end

  localparam int unsigned REST_BITS = $clog2(REST + 1);
  logic [REST_BITS-1:0] rest_q;  // cycles until what was sent there has arrived, less one
  logic rested_q;

  logic [1:0] write_resp;
  always_comb begin
    write_resp = resp_q;
    if (!known_q) write_resp = DECERR;
    else if (resp_q == OKAY && partial_q) write_resp = SLVERR;
  end

  always_ff @(posedge aclk) begin
    rest_q <= rest_q - 1'b1;
    rested_q <= rested_q || rest_q == '0;
    reg_write <= 1'b0;
    reg_read <= 1'b0;
    gp0_awready <= 1'b0;
    gp0_arready <= 1'b0;
    gp0_wready <= 1'b0;
    gp0_bvalid <= gp0_bvalid && !gp0_bready;
    gp0_rvalid <= gp0_rvalid && !gp0_rready;
    // Whatever stands here while rvalid is low does not matter: one flip-flop enables all.
    if (!gp0_rvalid) begin
      gp0_rid <= id_q;
      gp0_rdata <= known_q ? rdata_q : 32'd0;
      gp0_rresp <= known_q ? OKAY : DECERR;
      gp0_rlast <= len_q == 4'd0;
    end
    unique case (state_q)
      IDLE: begin
        id_q <= head.id;
        inside_q <= head.addr[31:12] == BASE[31:12];
        addr_q <= head.addr[11:0];
        len_q <= head.len;
        size_q <= head.size;
        burst_q <= head.burst;
        mask_q <= (6'(head.len) << head.size) | ((6'd1 << head.size) - 6'd1);
        resp_q <= OKAY;
        rest_q <= REST_BITS'(REST);
        rested_q <= 1'b0;
        if (aw_valid_q || ar_valid_q) begin
          write_last_q <= take_write;
          gp0_awready <= take_write;
          gp0_arready <= !take_write;
          state_q <= take_write ? W_WAIT : R_READ;
        end
      end
      W_WAIT:
      if (w_valid_q) begin
        gp0_wready <= 1'b1;
        reg_wdata <= w_data_q;
        whole_q <= w_strb_q == 4'b1111;
        partial_q <= w_strb_q != 4'b1111 && w_strb_q != 4'b0000;
        rest_q <= REST_BITS'(REST);
        rested_q <= 1'b0;
        state_q <= W_TAKE;
      end
      W_TAKE:
      if (rested_q) begin
        reg_write <= known_q && whole_q;
        resp_q <= write_resp;
        state_q <= W_NEXT;
      end
      W_NEXT: begin
        addr_q <= next_addr;
        len_q <= len_q - 4'd1;
        gp0_bid <= id_q;
        gp0_bresp <= resp_q;
        if (len_q == 4'd0) begin
          gp0_bvalid <= 1'b1;
          state_q <= B_WAIT;
        end else begin
          state_q <= W_WAIT;
        end
      end
      B_WAIT: if (!gp0_bvalid) state_q <= IDLE;
      R_READ:
      if (rested_q) begin
        reg_read <= known_q;
        rest_q <= REST_BITS'(1);  // to the register and back
        rested_q <= 1'b0;
        state_q <= R_LOAD;
      end
      R_LOAD:
      if (rested_q) begin
        gp0_rvalid <= 1'b1;
        state_q <= R_WAIT;
      end
      R_WAIT:
      if (!gp0_rvalid) begin
        addr_q <= next_addr;
        len_q <= len_q - 4'd1;
        rest_q <= REST_BITS'(REST);
        rested_q <= 1'b0;
        state_q <= len_q == 4'd0 ? IDLE : R_READ;
      end
    endcase
    if (!aresetn) begin
      state_q <= IDLE;
      write_last_q <= 1'b0;
      reg_write <= 1'b0;
      reg_read <= 1'b0;
      gp0_awready <= 1'b0;
      gp0_arready <= 1'b0;
      gp0_wready <= 1'b0;
      gp0_bvalid <= 1'b0;
      gp0_rvalid <= 1'b0;
    end
  end
endmodule
