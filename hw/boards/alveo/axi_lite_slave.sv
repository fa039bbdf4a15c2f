// AXI4-Lite slave on one side, a register bus as gp0_slave.sv has it on the other.
//
// Function
//   4 KiB of registers of 32 bits. Words that `reg_known` admits are answered with OKAY, all else with
//   DECERR (reads then return 0). A write takes effect with all four strobes set; with some but
//   not all it has no effect and is answered with SLVERR; with none it has no effect.
//   One transaction at a time, reads and writes in turn; address and data of a write may come in
//   any order.
//
// Register bus
//   reg_write: reg_wdata to word reg_index, one cycle. reg_read: fetch word reg_index, one cycle;
//   reg_rdata is taken in the next cycle. reg_known answers for reg_index in the same cycle.
//
// All outputs of the AXI side come from flip-flops. Latency: 3 cycles from ARVALID to RVALID,
// 2 cycles from AWVALID and WVALID to BVALID.
module axi_lite_slave (
  input  logic        aclk,
  input  logic        aresetn,

  input  logic        s_axi_awvalid,
  output logic        s_axi_awready,
  // verilator lint_off UNUSEDSIGNAL
  input  logic [11:0] s_axi_awaddr,  // whole words: the lowest two bits say nothing
  // verilator lint_on UNUSEDSIGNAL
  input  logic        s_axi_wvalid,
  output logic        s_axi_wready,
  input  logic [31:0] s_axi_wdata,
  input  logic [3:0]  s_axi_wstrb,
  output logic        s_axi_bvalid,
  input  logic        s_axi_bready,
  output logic [1:0]  s_axi_bresp,
  input  logic        s_axi_arvalid,
  output logic        s_axi_arready,
  // verilator lint_off UNUSEDSIGNAL
  input  logic [11:0] s_axi_araddr,
  // verilator lint_on UNUSEDSIGNAL
  output logic        s_axi_rvalid,
  input  logic        s_axi_rready,
  output logic [31:0] s_axi_rdata,
  output logic [1:0]  s_axi_rresp,

  output logic [9:0]  reg_index,
  input  logic        reg_known,
  output logic        reg_write,
  output logic [31:0] reg_wdata,
  output logic        reg_read,
  input  logic [31:0] reg_rdata
);
  localparam logic [1:0] OKAY = 2'b00;
  localparam logic [1:0] SLVERR = 2'b10;
  localparam logic [1:0] DECERR = 2'b11;

  typedef enum logic [2:0] {
    IDLE,   // take an address, and data with it
    WRITE,  // the register is written
    READ,   // fetch the register
    LOAD,   // its word to the output
    ANSWER  // wait for BREADY or RREADY
  } state_t;

  state_t state_q;
  logic write_last_q;  // the transaction before was a write: a read has the next turn
  logic known_q, take_write;
  logic [3:0] strobes_q;
  assign take_write = s_axi_awvalid && s_axi_wvalid && !(s_axi_arvalid && write_last_q);

  assign reg_write = state_q == WRITE && reg_known && strobes_q == 4'b1111;
  assign reg_read = state_q == READ && reg_known;

  always_ff @(posedge aclk) begin
    s_axi_awready <= 1'b0;
    s_axi_wready <= 1'b0;
    s_axi_arready <= 1'b0;
    unique case (state_q)
      IDLE: begin
        reg_index <= take_write ? s_axi_awaddr[11:2] : s_axi_araddr[11:2];
        reg_wdata <= s_axi_wdata;
        strobes_q <= s_axi_wstrb;
        if (take_write) begin
          s_axi_awready <= 1'b1;
          s_axi_wready <= 1'b1;
          write_last_q <= 1'b1;
          state_q <= WRITE;
        end else if (s_axi_arvalid) begin
          s_axi_arready <= 1'b1;
          write_last_q <= 1'b0;
          state_q <= READ;
        end
      end
      WRITE: begin
        s_axi_bvalid <= 1'b1;
        if (!reg_known) s_axi_bresp <= DECERR;
        else s_axi_bresp <= strobes_q == 4'b1111 || strobes_q == 4'b0000 ? OKAY : SLVERR;
        state_q <= ANSWER;
      end
      READ: begin
        known_q <= reg_known;
        state_q <= LOAD;
      end
      LOAD: begin
        s_axi_rvalid <= 1'b1;
        s_axi_rdata <= known_q ? reg_rdata : 32'd0;
        s_axi_rresp <= known_q ? OKAY : DECERR;
        state_q <= ANSWER;
      end
      default: begin
        if (s_axi_bvalid ? s_axi_bready : s_axi_rready) begin
          s_axi_bvalid <= 1'b0;
          s_axi_rvalid <= 1'b0;
          state_q <= IDLE;
        end
      end
    endcase
    if (!aresetn) begin
      s_axi_awready <= 1'b0;
      s_axi_wready <= 1'b0;
      s_axi_arready <= 1'b0;
      s_axi_bvalid <= 1'b0;
      s_axi_rvalid <= 1'b0;
      write_last_q <= 1'b0;
      state_q <= IDLE;
    end
  end

`ifdef FORMAL
  // What holds in every state that can be reached, so that hw/formal/axi_lite_rules.sv is inductive.
  always_comb begin
    if (aresetn) begin
      assert ((state_q == IDLE || state_q == WRITE || state_q == READ || state_q == LOAD) ==
              !(s_axi_bvalid || s_axi_rvalid));
      assert (!(s_axi_bvalid && s_axi_rvalid));
      assert (s_axi_awready == (state_q == WRITE) && s_axi_wready == (state_q == WRITE));
      assert (s_axi_arready == (state_q == READ));
    end
  end
`endif
endmodule
