"""The whole of the PYNQ-Z2's logic, played through a model of its processing system.

The model checks AXI's rules; what the shell does in every case is tested in tests/hw.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny_core import images, tiny_core

from flow import tools
from flow.bits.prove import Plan
from flow.errors import MismatchError
from flow.implement import boards
from flow.implement.sources import Sources, write_sources
from flow.shell import layout, processor
from flow.shell.board_sim import MODELS

BASE = 0x43C0_0000
ID, BUILD, CONTROL, STATUS, ERROR, TIMEOUT, SCRATCH, CYCLES = range(BASE, BASE + 32, 4)
FIXED, INCR, WRAP = 0, 1, 2
OKAY, SLVERR, DECERR = 0, 2, 3
FIRST = processor.ID
PATIENCE = 100_000_000  # TIMEOUT after a reset


@dataclass
class Shell:
    """A compiled board with the tiny core; `play` runs a script and returns the replies."""

    sources: Sources
    design: object

    def play(self, script: str, **timing: int) -> list[str]:
        folder = self.sources.folder
        (folder / "script.txt").write_text(script)
        options = ["+script=script.txt", "+replies=replies.txt", "+memory=memory.hex"]
        options += [f"+{name}={value}" for name, value in timing.items()]
        tools.run("./obj/Vpynq_z2", *options, cwd=folder, log=folder / "run.log", timeout=60)
        return (folder / "replies.txt").read_text().splitlines()

    def plan(self, count: int, seed: int = 1) -> Plan:
        pixels, results = images(self.design, count, seed)
        plan = Plan(*layout.of_design(self.design), pixels, results)
        processor.write_memory(self.sources.folder / "memory.hex", plan.memory)
        return plan


def compile_shell(folder: Path, parallel: int, bits: int, out_bits: int, broken=None) -> Shell:
    """Compile with Verilator; `broken` is (file name, old text, new text)."""
    design = tiny_core(folder / "core", parallel, bits, out_bits)
    sources = write_sources(design, boards.load("pynq-z2"), folder)
    if broken:
        text = (folder / broken[0]).read_text()
        assert text.count(broken[1]) == 1
        (folder / broken[0]).write_text(text.replace(broken[1], broken[2]))
    (folder / "memory.hex").write_text("0\n")
    tools.run(
        "verilator",
        *("--binary", "--timing", "--timescale", "1ns/1ns", "-Wall", "--top-module", sources.top),
        *(f"-G{name}={value}" for name, value in sources.parameters.items()),
        *("-Mdir", "obj", "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"),
        *(*MODELS, *sources.files),
        cwd=folder,
        log=folder / "verilator.log",
    )
    return Shell(sources, design)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Pixels in, a byte out, as a small network has."""
    return compile_shell(tmp_path_factory.mktemp("shell"), 4, 8, 8)


@pytest.fixture(scope="module")
def odd_shell(tmp_path_factory):
    """Beats that leave a part of their slots empty."""
    return compile_shell(tmp_path_factory.mktemp("odd_shell"), 5, 8, 24)


def write(address: int, words: list[int], burst: int = INCR, strobes: int = 15, size: int = 2):
    data = " ".join(f"{word:x}" for word in words)
    return f"w {address:x} {burst:x} {size:x} {strobes:x} {len(words):x} {data}"


def read(address: int, beats: int = 1, burst: int = INCR, size: int = 2) -> str:
    return f"r {address:x} {burst:x} {size:x} {beats:x}"


def ok(*words: int) -> list[str]:
    return [f"r {OKAY} {word:08x}" for word in words]


def answers(shell: Shell, script: list[str], **timing: int) -> list[str]:
    """Replies without those of writes, the end taken off; faults fail the test."""
    replies = shell.play("\n".join([f"p {STATUS:x} 1 0 200", *script]) + "\n", **timing)
    assert not [line for line in replies if line.startswith("fault")], replies
    assert replies[-1].startswith("end ")
    return [line for line in replies[:-1] if line[0] not in "wp"]


@pytest.mark.parametrize(
    "timing",
    [
        {"gap": 0},
        {"gap": 3, "latency": 3, "stall": 5, "seed": 2},
        {"gap": 1, "latency": 90, "refresh": 97, "stall": 12, "seed": 3},
    ],
)
@pytest.mark.parametrize("which", ["shell", "odd_shell"])
def test_images_through_memory(which, timing, request):
    shell = request.getfixturevalue(which)
    plan = shell.plan(23, timing.get("seed", 1))
    replies = plan.script.replies(shell.play(plan.script.text, **timing))
    counters = plan.check(replies, shell.sources.build_hash)
    assert counters["RUN"] > counters["LATENCY"] > 0


def test_a_wrong_result_is_named(shell):
    plan = shell.plan(6)
    lines = shell.play(plan.script.text)
    plan.expected[2] ^= 1
    with pytest.raises(MismatchError, match=r"^image 2: .*; 1 of 5 images differ") as error:
        plan.check(plan.script.replies(lines), shell.sources.build_hash)
    assert error.value.where == "image 2"
    plan.expected[2] ^= 1
    with pytest.raises(MismatchError, match="BUILD is"):
        plan.check(plan.script.replies(lines), 1)
    plan.checksum ^= 1
    with pytest.raises(MismatchError, match="CHECKSUM is"):
        plan.check(plan.script.replies(lines), shell.sources.build_hash)


def test_a_script_without_its_answers_is_no_proof(shell):
    plan = shell.plan(3)
    lines = shell.play(plan.script.text)
    with pytest.raises(MismatchError, match="the processor's script ended at"):
        plan.script.replies(lines[:9])
    refused = [re.sub(r"^w 0", "w 3", line) for line in lines]
    with pytest.raises(MismatchError, match="was answered with 3"):
        plan.script.replies(refused)


def test_memory_that_is_not_there_is_an_error_of_the_batch(shell):
    script = processor.Script()
    script.wait("shell.STATUS", 0xFFFF_FFFF, 0)
    script.batch(processor.MEMORY + processor.SIZE - 8, processor.MEMORY, 8)
    with pytest.raises(MismatchError, match=r"shell.ERROR is 0x1$"):
        script.replies(shell.play(script.text)).batch()


def test_bursts_walk_the_registers(shell):
    build, patience = shell.sources.build_hash, PATIENCE
    script = [
        write(SCRATCH, [0xDEADBEEF]),
        read(ID, 4, WRAP),
        read(BUILD, 4, WRAP),  # wraps to ID
        read(TIMEOUT, 2, INCR),
        read(SCRATCH, 3, FIXED),
        read(ID, 8, INCR, size=1),  # half words: every register twice
        read(ID + 1, 2, INCR),  # the first address need not be aligned
        write(SCRATCH, [1, 2, 3], FIXED),
        read(SCRATCH),
    ]
    expected = ok(FIRST, build, 0, 0) + ok(build, 0, 0, FIRST)
    expected += ok(patience, 0xDEADBEEF) + ok(*[0xDEADBEEF] * 3)
    expected += ok(FIRST, FIRST, build, build, 0, 0, 0, 0) + ok(FIRST, build) + ok(3)
    for gap in (0, 4):
        assert answers(shell, script, gap=gap) == expected


def test_every_access_is_answered(shell):
    outside = [BASE - 4, BASE + 0x1000, 0x4000_0000, 0x7FFF_FFFC, BASE + 0x30, BASE + 0xFFC]
    script = []
    for address in outside:
        script += [read(address), write(address, [1])]
    script += [read(BASE + 0x2C, 2), write(BASE + 0x18, [3])]  # leaves the registers on the way
    replies = shell.play("\n".join([*script, read(SCRATCH)]) + "\n", gap=2)
    expected = [f"r {DECERR} 00000000", f"w {DECERR}"] * len(outside)
    expected += [*ok(0), f"r {DECERR} 00000000", f"w {OKAY}", *ok(3)]
    assert replies[:-1] == expected


def test_partial_writes_have_no_effect(shell):
    script = [write(SCRATCH, [1]), write(SCRATCH, [2], strobes=1), write(SCRATCH, [3], strobes=0)]
    replies = shell.play("\n".join([*script, read(SCRATCH)]) + "\n")
    assert replies[:-1] == [f"w {OKAY}", f"w {SLVERR}", f"w {OKAY}", *ok(1)]


def test_write_and_read_at_the_same_time(shell):
    script = [f"x {SCRATCH:x} {n:x} {ID:x}" for n in range(20)] + [read(SCRATCH)]
    expected = [f"x {OKAY} {OKAY} {FIRST:08x}"] * 20 + ok(19)
    for seed in (1, 2):
        assert answers(shell, script, seed=seed, gap=6) == expected


def test_cycles_count_the_clock(shell):
    replies = answers(shell, [read(CYCLES), "c 3e8", read(CYCLES)])
    first, second = (int(line.split()[2], 16) for line in replies)
    assert 1000 <= second - first <= 1040


def test_a_broken_shell_is_seen(tmp_path):
    """The batch comes to a border of 4 KiB; every rule alone: tests/board/test_ps7_model.py."""
    whole, half = "to_border = 5'd16 - {1'b0, address_q[6:3]}", "to_border = 5'd16"
    shell = compile_shell(tmp_path, 4, 8, 8, ("dma_read.sv", whole, half))
    replies = shell.play(shell.plan(40).script.text, gap=5, stall=8)
    assert "fault: HP0: a burst crosses 4 KiB" in replies


def test_the_hash_covers_parameters_memories_and_code(tmp_path):
    board = boards.load("pynq-z2")
    design = tiny_core(tmp_path / "core", 4, 8, 8)
    same = [write_sources(design, board, tmp_path / name).build_hash for name in "ab"]
    assert same[0] == same[1] == Sources.load(tmp_path / "a").build_hash
    others = {same[0]}
    design.taps[0].beats = 5
    others.add(write_sources(design, board, tmp_path / "c").build_hash)
    (tmp_path / "core" / "top.sv").write_text("module top; endmodule")
    others.add(write_sources(design, board, tmp_path / "d").build_hash)
    assert len(others) == 3


def test_a_checksum_by_hand():
    from flow.bits.prove import _checksum

    assert _checksum(np.array([1, 2], np.uint32)) == 3
    assert _checksum(np.array([0x8000_0000, 0, 4, 0], np.uint32)) == 1 ^ 4
