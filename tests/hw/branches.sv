// Modules with several streams on one side, made testable by a bench with one on each.

/* verilator lint_off DECLFILENAME */
/* verilator lint_off UNUSEDSIGNAL */

// Stalls at random, by its seed; a word that it offers stays until it is taken.
module uneven #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned SEED = 1
) (
  input logic aclk,
  input logic aresetn,
  input logic [WIDTH-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [WIDTH-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  logic open_q;
  logic [15:0] random_q;
  assign m_axis_tdata = s_axis_tdata;
  assign m_axis_tvalid = s_axis_tvalid && open_q;
  assign s_axis_tready = m_axis_tready && open_q;
  always_ff @(posedge aclk) begin
    if (!aresetn) begin
      open_q <= 1'b1;
      random_q <= 16'(SEED * 40503 + 1);
    end else begin
      random_q <= {random_q[14:0], random_q[15] ^ random_q[13] ^ random_q[12] ^ random_q[10]};
      if (!open_q || (s_axis_tvalid && m_axis_tready)) open_q <= SEED == 0 || random_q[3];
    end
  end
endmodule

// A fork whose readers stall apart; its words come out side by side, that of output 0 lowest.
module forked #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned OUTPUTS = 2,
  parameter int unsigned DEPTH = 2,  // of the FIFO at each output
  parameter int unsigned SEED = 0  // 0: no stalls
) (
  input logic aclk,
  input logic aresetn,
  input logic [WIDTH-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [OUTPUTS*WIDTH-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  logic [OUTPUTS*WIDTH-1:0] data, late;
  logic [OUTPUTS-1:0] valid, ready, late_valid, late_ready, there;
  axis_fork #(
    .WIDTH(WIDTH),
    .OUTPUTS(OUTPUTS)
  ) u_fork (
    .aclk,
    .aresetn,
    .s_axis_tdata,
    .s_axis_tvalid,
    .s_axis_tready,
    .m_axis_tdata(data),
    .m_axis_tvalid(valid),
    .m_axis_tready(ready)
  );
  for (genvar i = 0; i < OUTPUTS; i++) begin : gen_reader
    uneven #(
      .WIDTH(WIDTH),
      .SEED(SEED * (i + 1))
    ) u_uneven (
      .aclk,
      .aresetn,
      .s_axis_tdata(data[i*WIDTH+:WIDTH]),
      .s_axis_tvalid(valid[i]),
      .s_axis_tready(ready[i]),
      .m_axis_tdata(late[i*WIDTH+:WIDTH]),
      .m_axis_tvalid(late_valid[i]),
      .m_axis_tready(late_ready[i])
    );
    axis_fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
    ) u_fifo (
      .aclk,
      .aresetn,
      .s_axis_tdata(late[i*WIDTH+:WIDTH]),
      .s_axis_tvalid(late_valid[i]),
      .s_axis_tready(late_ready[i]),
      .m_axis_tdata(m_axis_tdata[i*WIDTH+:WIDTH]),
      .m_axis_tvalid(there[i]),
      .m_axis_tready(m_axis_tready && m_axis_tvalid)
    );
  end
  assign m_axis_tvalid = &there;
endmodule

// Two streams that come as one, a in the lower bits, stall apart, and are added.
module added #(
  parameter int unsigned PE = 1,
  parameter int unsigned A_BITS = 4,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned B_BITS = 4,
  parameter int unsigned B_SIGNED = 0,
  parameter int unsigned OUT_BITS = 5,
  parameter int unsigned SEED = 0
) (
  input logic aclk,
  input logic aresetn,
  input logic [PE*(A_BITS+B_BITS)-1:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [PE*OUT_BITS-1:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  localparam int unsigned WIDTH = PE * (A_BITS + B_BITS);
  logic [2*WIDTH-1:0] data;
  logic [1:0] valid, ready, late_valid, late_ready;
  logic [WIDTH-1:0] late;
  axis_fork #(
    .WIDTH(WIDTH)
  ) u_fork (
    .aclk,
    .aresetn,
    .s_axis_tdata,
    .s_axis_tvalid,
    .s_axis_tready,
    .m_axis_tdata(data),
    .m_axis_tvalid(valid),
    .m_axis_tready(ready)
  );
  uneven #(
    .WIDTH(PE * A_BITS),
    .SEED(SEED)
  ) u_a (
    .aclk,
    .aresetn,
    .s_axis_tdata(data[0+:PE*A_BITS]),
    .s_axis_tvalid(valid[0]),
    .s_axis_tready(ready[0]),
    .m_axis_tdata(late[0+:PE*A_BITS]),
    .m_axis_tvalid(late_valid[0]),
    .m_axis_tready(late_ready[0])
  );
  uneven #(
    .WIDTH(PE * B_BITS),
    .SEED(SEED * 2)
  ) u_b (
    .aclk,
    .aresetn,
    .s_axis_tdata(data[WIDTH+PE*A_BITS+:PE*B_BITS]),
    .s_axis_tvalid(valid[1]),
    .s_axis_tready(ready[1]),
    .m_axis_tdata(late[PE*A_BITS+:PE*B_BITS]),
    .m_axis_tvalid(late_valid[1]),
    .m_axis_tready(late_ready[1])
  );
  add_streams #(
    .PE(PE),
    .A_BITS(A_BITS),
    .A_SIGNED(A_SIGNED),
    .B_BITS(B_BITS),
    .B_SIGNED(B_SIGNED),
    .OUT_BITS(OUT_BITS)
  ) u_add (
    .aclk,
    .aresetn,
    .s_axis_tdata(late),
    .s_axis_tvalid(late_valid),
    .s_axis_tready(late_ready),
    .m_axis_tdata,
    .m_axis_tvalid,
    .m_axis_tready
  );
endmodule
