"""The PS7 that plays a script sees every broken rule of broken.sv, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow import tools
from flow.paths import RTL
from flow.shell.board_sim import MODELS

GP0 = 0x43C0_0000
DEAD = {"stall": 16}  # READY of HP0 never comes

RULES = {
    1: "HP0: a burst crosses 4 KiB",
    2: "HP0: a burst that is not INCR of 8 bytes a beat",
    3: "HP0: a burst that is not INCR of 8 bytes a beat",
    4: "HP0: an address that is no multiple of 8",
    5: "HP0: WID is not AWID",
    6: "HP0: WLAST at the wrong beat",
    9: "HP0: AR changed while it waited for ARREADY",
    10: "HP0: W changed while it waited for WREADY",
    11: "RID is not ARID",
    12: "BID is not AWID",
    13: "RLAST at the wrong beat",
    14: "FPGAIDLEN, IRQF2P or MAXIGP0ACLK is not tied",
    15: "R changed while it waited for RREADY",
    16: "B changed while it waited for BREADY",
    17: "HP0: AW changed while it waited for AWREADY",
}
WAITING = (9, 10, 17)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    tools.run(
        "verilator",
        *("--binary", "--timing", "--timescale", "1ns/1ns", "-Wno-fatal", "--top-module", "broken"),
        *("-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0", "-Mdir", "obj"),
        *(*MODELS, RTL / "gp0_slave.sv", Path(__file__).with_name("broken.sv")),
        cwd=folder,
        log=folder / "verilator.log",
    )
    return folder / "obj" / "Vbroken"


def play(program: Path, script: list[str], **timing: int) -> list[str]:
    folder = program.parent.parent
    (folder / "script.txt").write_text("\n".join(script) + "\n")
    options = [f"+{name}={value}" for name, value in timing.items()]
    tools.run(program, *options, cwd=folder, log=folder / "run.log", timeout=60)
    return (folder / "replies.txt").read_text().splitlines()


def writes_and_reads(kind: int) -> list[str]:
    """More than once: READY may be high at once."""
    return [f"w {GP0:x} 1 2 f 1 {kind:x}", "c 64", f"r {GP0:x} 1 2 2"] * 6


def test_nothing_is_said_of_what_is_right(program):
    replies = play(program, writes_and_reads(0), gap=9)
    assert replies[:-1] == ["w 0", "r 0 00000000", "r 0 00000001"] * 6
    assert replies[-1].startswith("end ")


@pytest.mark.parametrize("kind", RULES)
def test_a_broken_rule_ends_the_simulation(kind, program):
    replies = play(program, writes_and_reads(kind), gap=9, **(DEAD if kind in WAITING else {}))
    assert f"fault: {RULES[kind]}" in replies


def test_an_access_without_an_answer_is_a_fault(program):
    """The script's own faults: a poll in vain, a command that is none."""
    replies = play(program, [f"p {GP0:x} ffffffff 5 3"])
    assert "fault: a poll ran out of tries" in replies
    assert "fault: unknown command in the script" in play(program, ["z"])
