"""Two reads of a 64-bit counter fit together: the halves are those of one count, by induction."""

from pathlib import Path

import pytest
from benches import RTL

from flow import tools

INPUTS = (
    "aclk, aresetn, begin_run, running, feeding, in_tvalid, in_tready, out_tvalid, out_tready,"
    " keep_run, keep_latency, keep_stall_in, keep_stall_out, moved"
)


def prove(folder: Path, old: str = "", new: str = "") -> None:
    """Raise ToolError where a property fails; with `old` replaced by `new` in the source."""
    source = (RTL / "counters.sv").read_text()
    assert old in source
    (folder / "counters.sv").write_text(source.replace(old, new))
    (folder / "proof.sv").write_text(
        f"module proof (input logic {INPUTS}, input logic [31:0] limit);\n"
        "  counters u_dut (.run_low(), .latency_low(), .stall_in_low(), .stall_out_low(),\n"
        "    .high(), .timed_out(), .*);\n"
        "  logic running_q = 1'b0;\n"
        "  always_ff @(posedge aclk) running_q <= running_q || !aresetn;\n"
        "  always_comb if (!running_q) assume (!aresetn);\n"
        "endmodule\n"
    )
    script = (
        "read_verilog -formal -sv counters.sv proof.sv; hierarchy -top proof; proc; flatten;"
        " opt_clean; async2sync; dffunmap; opt -full; chformal -lower;"
        " select -assert-count 12 t:$assert;"
        " sat -verify -prove-asserts -set-assumes -tempinduct -maxsteps 6 proof"
    )
    tools.run("yosys", "-q", "-p", script, cwd=folder, log=folder / "proof.log")


def test_halves_of_a_counter_fit(tmp_path: Path) -> None:
    prove(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if (keep_q[0])", "if (keep_run)"),
        ("high_q[32*i+:32] + 32'(carry_q[i]);", "high_q[32*i+:32];"),
        ("keep_q <= {keep_stall_out", "keep_q <= {!keep_stall_out"),
    ],
)
def test_proof_sees_faults(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(tools.ToolError):
        prove(tmp_path, old, new)
