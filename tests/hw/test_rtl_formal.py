"""Proofs of the stream rules (hw/formal/stream_rules.sv) with Yosys' own SAT solver.

By induction, for all time: after a stall valid stays and data is stable. For all runs of LENGTH
cycles from reset: words come out of the FIFOs in order, none lost or added.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from benches import HERE, RTL

from flow import tools

RULES = HERE.parents[1] / "hw" / "formal" / "stream_rules.sv"
LENGTH = 16

# name: (module, parameters, input bits, output bits)
FIFOS = {
    "reg": ("axis_reg", ".WIDTH(2)", 2, 2),
    "fifo2": ("axis_fifo", ".WIDTH(2), .DEPTH(2)", 2, 2),
    "fifo3": ("axis_fifo", ".WIDTH(2), .DEPTH(3)", 2, 2),
    "fifo5": ("axis_fifo", ".WIDTH(1), .DEPTH(5)", 1, 1),
    "ring": ("axis_fifo", ".WIDTH(2), .DEPTH(3), .BLOCK(1)", 2, 2),
}
STREAMS = FIFOS | {
    "up": ("axis_width", ".IN_BITS(2), .OUT_BITS(6)", 2, 6),
    "down": ("axis_width", ".IN_BITS(6), .OUT_BITS(2)", 6, 2),
    "label": ("label_select", ".CLASSES(6), .PE(3), .IN_BITS(3), .OUT_BITS(3)", 9, 3),
    "threshold": (
        "threshold",
        '.C(4), .PE(2), .LEVELS(3), .IN_BITS(3), .OUT_BITS(2), .THRESHOLDS("zero.mem")',
        6,
        4,
    ),
    "rows": (
        "mvu_bin",
        '.MW(4), .MH(4), .PE(2), .SIMD(4), .ACC_BITS(3), .WEIGHTS("zero.mem")',
        4,
        6,
    ),
    "window": (
        "sliding_window",
        ".HEIGHT(3), .WIDTH(3), .C(2), .SIMD(1), .KERNEL(2), .REPEAT(2)",
        1,
        1,
    ),
    "whole window": (
        "sliding_window",
        ".HEIGHT(3), .WIDTH(3), .C(1), .SIMD(1), .KERNEL(2), .PARALLEL(1)",
        1,
        4,
    ),
    "average": (
        "acc_pool",
        ".PIXELS(3), .C(4), .PE(2), .IN_BITS(2), .OUT_BITS(4)",
        4,
        8,
    ),
    "pool": ("max_pool", ".HEIGHT(4), .WIDTH(4), .C(2), .PE(1), .BLOCK(1)", 1, 1),
    "padding": (
        "padding",
        ".HEIGHT(2), .WIDTH(2), .C(2), .BITS(2), .PAD(1), .VALUE(1), .SIMD(1)",
        2,
        2,
    ),
    "channels": ("vvu_bin", '.C(4), .K(4), .PE(2), .WEIGHTS("zero.mem")', 2, 8),
    "whole channels": (
        "vvu_bin",
        '.C(4), .K(4), .PE(2), .SIMD(2), .WEIGHTS("zero.mem")',
        16,
        8,
    ),
    "numbers": (
        "mvu_int",
        '.MW(4), .MH(4), .PE(2), .SIMD(2), .IN_BITS(2), .ACC_BITS(5), .WEIGHTS("zero.mem")',
        4,
        10,
    ),
    "folded": (
        "mvu_bin",
        '.MW(6), .MH(4), .PE(2), .SIMD(2), .ACC_BITS(3), .WEIGHTS("zero.mem")',
        2,
        6,
    ),
    "long rows": (  # one place at the end, no stall
        "mvu_bin",
        '.MW(10), .MH(4), .PE(2), .SIMD(2), .ACC_BITS(4), .WEIGHTS("zero.mem")',
        2,
        8,
    ),
}


# name: (module, parameters, bits of each input, bits of each output), streams side by side
BRANCHES = {
    "fork": ("axis_fork", ".WIDTH(2), .OUTPUTS(3)", (2,), (2, 2, 2)),
    "add": ("add_streams", ".PE(2), .A_BITS(2), .B_BITS(1), .OUT_BITS(3)", (4, 2), (6,)),
}


def prove(folder: Path, stream: tuple[str, str, int, int], order: bool) -> None:
    """Raise ToolError where a property fails or cannot be proved."""
    module, parameters, in_bits, out_bits = stream
    prove_branches(folder, (module, parameters, (in_bits,), (out_bits,)), order)


def prove_branches(folder: Path, stream: tuple, order: bool) -> None:
    """The same of a module with several streams: rules for each pair of one in and one out."""
    module, parameters, ins, outs = stream
    rules = "".join(
        f"""  stream_rules #(.IN_BITS({n}), .OUT_BITS({m}), .ORDER({int(order)})) u_rules_{i}_{j} (
    .aclk, .aresetn,
    .s_axis_tdata(s_axis_tdata[{sum(ins[:i])} +: {n}]),
    .s_axis_tvalid(s_axis_tvalid[{i}]), .s_axis_tready(s_axis_tready[{i}]),
    .m_axis_tdata(m_axis_tdata[{sum(outs[:j])} +: {m}]),
    .m_axis_tvalid(m_axis_tvalid[{j}]), .m_axis_tready(m_axis_tready[{j}]));
"""
        for i, n in enumerate(ins)
        for j, m in enumerate(outs)
    )
    (folder / "zero.mem").write_text("0\n" * 16)
    (folder / "proof.sv").write_text(f"""module proof (
  input logic aclk, aresetn,
  input logic [{len(ins) - 1}:0] s_axis_tvalid,
  input logic [{len(outs) - 1}:0] m_axis_tready,
  input logic [{sum(ins) - 1}:0] s_axis_tdata
);
  logic [{len(ins) - 1}:0] s_axis_tready;
  logic [{len(outs) - 1}:0] m_axis_tvalid;
  logic [{sum(outs) - 1}:0] m_axis_tdata;
  {module} #({parameters}) u_dut (.*);
{rules}endmodule
""")
    files = " ".join(map(str, [*sorted(RTL.glob("*.sv")), HERE / "broken.sv", RULES]))
    how = f"-tempinduct-baseonly -maxsteps {LENGTH}" if order else "-tempinduct -maxsteps 8"
    script = (
        f"read_verilog -formal -sv -defer {files}; read_verilog -sv proof.sv;"
        " read_verilog -lib +/xilinx/cells_sim.v; hierarchy -top proof; proc; flatten;"
        " techmap -map +/xilinx/cells_sim.v t:LUT6; opt_clean; memory_map; async2sync; dffunmap;"
        " opt -full; chformal -lower; select -assert-min 1 t:$assert;"
        f" sat -verify -prove-asserts -set-assumes {how} proof"
    )
    tools.run("yosys", "-q", "-p", script, cwd=folder, log=folder / "proof.log")


@pytest.mark.parametrize("name", STREAMS)
def test_output_is_stable_while_stalled(name: str, tmp_path: Path) -> None:
    prove(tmp_path, STREAMS[name], order=False)


@pytest.mark.parametrize("name", BRANCHES)
def test_each_output_of_a_branch_is_stable(name: str, tmp_path: Path) -> None:
    prove_branches(tmp_path, BRANCHES[name], order=False)


@pytest.mark.parametrize("name", FIFOS)
def test_words_keep_their_order(name: str, tmp_path: Path) -> None:
    prove(tmp_path, FIFOS[name], order=True)


@pytest.mark.parametrize(
    ("fault", "order"), [(1, False), (2, False), (3, True), (4, True), (5, True)]
)
def test_proof_sees_faults(fault: int, order: bool, tmp_path: Path) -> None:
    prove(tmp_path, ("broken", ".FAULT(0)", 8, 8), order)
    with pytest.raises(tools.ToolError):
        prove(tmp_path, ("broken", f".FAULT({fault})", 8, 8), order)
    assert "proof did fail" in (tmp_path / "proof.log").read_text()
