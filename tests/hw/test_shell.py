"""The PYNQ-Z2 shell, played through a model of the processing system that checks AXI's rules."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from flow import tools
from flow.implement import boards
from flow.paths import SIM

BASE = 0x43C0_0000
ID, BUILD, CONTROL, STATUS, DATA_IN, RESULT, CYCLES, SHAPE, SCRATCH = range(BASE, BASE + 36, 4)
FIXED, INCR, WRAP = 0, 1, 2
OKAY, SLVERR, DECERR = 0, 2, 3
BEATS = 4  # an image of the test core

CORE = """
module top (
  input logic aclk,
  input logic aresetn,
  input logic [{in_top}:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [{out_top}:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  // Four beats in, their sum out.
  logic [{in_top}:0] sum_q;
  logic [1:0] count_q;
  logic full_q;
  assign s_axis_tready = !full_q;
  assign m_axis_tvalid = full_q;
  assign m_axis_tdata = {out_bits}'(sum_q);
  always_ff @(posedge aclk) begin
    if (s_axis_tvalid && s_axis_tready) begin
      sum_q <= (count_q == 2'd0 ? '0 : sum_q) + s_axis_tdata;
      count_q <= count_q + 2'd1;
      full_q <= count_q == 2'd3;
    end
    if (full_q && m_axis_tready) full_q <= 1'b0;
    if (!aresetn) begin
      count_q <= 2'd0;
      full_q <= 1'b0;
    end
  end
endmodule
"""


@dataclass
class Shell:
    """A compiled shell with the test core; `play` runs a script and returns the replies."""

    folder: Path
    in_bits: int
    out_bits: int

    @property
    def in_words(self) -> int:
        return -(-self.in_bits // 32)

    @property
    def out_words(self) -> int:
        return -(-self.out_bits // 32)

    def play(self, script: list[str], seed: int = 1, gap: int = 0) -> list[str]:
        (self.folder / "script.txt").write_text("\n".join(script) + "\n")
        options = ("+script=script.txt", "+replies=replies.txt", f"+seed={seed}", f"+gap={gap}")
        log = self.folder / "run.log"
        tools.run("./obj/Vpynq_z2", *options, cwd=self.folder, log=log, timeout=60)
        return (self.folder / "replies.txt").read_text().splitlines()

    def words(self, beat: int) -> list[int]:
        return [beat >> (32 * i) & 0xFFFF_FFFF for i in range(self.in_words)]

    def result(self, beats: list[int]) -> list[int]:
        """Words of RESULT for one image: the sum, modulo both widths."""
        value = sum(beats) % 2**self.in_bits % 2**self.out_bits
        return [value >> (32 * i) & 0xFFFF_FFFF for i in range(self.out_words)]


def compile_shell(folder: Path, in_bits: int, out_bits: int, break_rtl=None) -> Shell:
    """Compile with Verilator; `break_rtl` is (file name, old text, new text)."""
    sources = [*boards.load("pynq-z2").sources, SIM / "ps7_model.sv"]
    for source in sources:
        text = source.read_text()
        if break_rtl and source.name == break_rtl[0]:
            assert text.count(break_rtl[1]) == 1
            text = text.replace(break_rtl[1], break_rtl[2])
        (folder / source.name).write_text(text)
    core = CORE.format(in_top=in_bits - 1, out_top=out_bits - 1, out_bits=out_bits)
    (folder / "top.sv").write_text(core)
    tools.run(
        "verilator",
        *("--binary", "--timing", "--timescale", "1ns/1ns", "-Wall", "--top-module", "pynq_z2"),
        *(f"-GIN_BITS={in_bits}", f"-GOUT_BITS={out_bits}", "-GBUILD=32'hC0FFEE11"),
        *("-Mdir", "obj", "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"),
        *(source.name for source in sources),
        "top.sv",
        cwd=folder,
        log=folder / "verilator.log",
    )
    return Shell(folder, in_bits, out_bits)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Beats of four words in, one word out, as a small network has."""
    return compile_shell(tmp_path_factory.mktemp("shell"), 128, 8)


@pytest.fixture(scope="module")
def odd_shell(tmp_path_factory):
    """Beats that fill no whole number of words."""
    return compile_shell(tmp_path_factory.mktemp("odd_shell"), 40, 72)


def write(address: int, words: list[int], burst: int = INCR, strobes: int = 15, size: int = 2):
    data = " ".join(f"{word:x}" for word in words)
    return f"w {address:x} {burst:x} {size:x} {strobes:x} {len(words):x} {data}"


def read(address: int, beats: int = 1, burst: int = INCR, size: int = 2) -> str:
    return f"r {address:x} {burst:x} {size:x} {beats:x}"


def poll(address: int, mask: int, value: int) -> str:
    return f"p {address:x} {mask:x} {value:x} 200"


def ok(*words: int) -> list[str]:
    return [f"r {OKAY} {word:08x}" for word in words]


def push(shell: Shell, beats: list[int], draw: random.Random) -> list[str]:
    """Commands that push an image: bursts of random length at DATA_IN, room awaited."""
    script = []
    for beat in beats:
        script.append(poll(STATUS, 1, 1))
        words = shell.words(beat)
        while words:
            count = draw.randint(1, min(16, len(words)))
            script.append(write(DATA_IN, words[:count], FIXED))
            words = words[count:]
    return script


def answers(replies: list[str]) -> list[str]:
    """Replies without those of writes and polls, the end taken off; faults fail the test."""
    assert not [line for line in replies if line.startswith("fault")], replies
    assert replies[-1].startswith("end ")
    return [line for line in replies[:-1] if line[0] not in "wp"]


def test_registers_identify_the_design(shell):
    script = [poll(STATUS, 16, 0)]  # the first reset is over
    script += [read(register) for register in (ID, BUILD, SHAPE, STATUS, CONTROL)]
    replies = answers(shell.play(script))
    assert replies == ok(0x686E6231, 0xC0FFEE11, 8 << 16 | 128, 1, 0)


@pytest.mark.parametrize(("seed", "gap"), [(1, 0), (2, 3), (3, 11)])
@pytest.mark.parametrize("which", ["shell", "odd_shell"])
def test_images_in_results_out(which, seed, gap, request):
    shell = request.getfixturevalue(which)
    draw = random.Random(seed)
    script, expected = [], []
    for _ in range(12):
        beats = [draw.getrandbits(shell.in_bits) for _ in range(BEATS)]
        script += push(shell, beats, draw)
        script += [poll(STATUS, 2, 2), read(RESULT, shell.out_words, FIXED)]
        expected += ok(*shell.result(beats))
    script.append(read(STATUS))
    assert answers(shell.play(script, seed, gap)) == expected + ok(1)


@pytest.mark.parametrize("gap", [0, 5])
def test_reset_in_the_middle_of_an_image(shell, gap):
    draw = random.Random(5)
    lost, kept = ([draw.getrandbits(128) for _ in range(BEATS)] for _ in range(2))
    script = [*push(shell, lost[:2], draw), write(DATA_IN, shell.words(lost[2])[:3], FIXED)]
    script += [write(CONTROL, [1]), poll(STATUS, 0x1F, 1)]
    script += [*push(shell, kept, draw), poll(STATUS, 2, 2), read(RESULT)]
    assert answers(shell.play(script, gap=gap)) == ok(*shell.result(kept))


def test_words_pushed_during_a_reset_are_lost_and_flagged(shell):
    script = [poll(STATUS, 0x1F, 1), write(CONTROL, [1]), write(DATA_IN, [1]), poll(STATUS, 16, 0)]
    assert answers(shell.play([*script, read(STATUS)])) == ok(0b00101)


def test_reset_drops_a_waiting_result_and_the_flags(shell):
    draw = random.Random(6)
    script = [read(RESULT), *push(shell, [draw.getrandbits(128) for _ in range(BEATS)], draw)]
    script += [poll(STATUS, 0xA, 0xA), write(CONTROL, [1]), poll(STATUS, 0x1F, 1), read(RESULT)]
    assert answers(shell.play(script)) == ok(0, 0)


def test_lost_words_and_missing_results_set_flags(shell):
    # One result waits in the shell, one in the core, one beat before it: then there is no room.
    words = [1, 0, 0, 0] * BEATS
    script = [poll(STATUS, 0x1F, 1)]
    script += [write(DATA_IN, words, FIXED)] * 2 + [write(DATA_IN, words[:4], FIXED)]
    script += [read(STATUS), write(DATA_IN, [7]), read(STATUS)]
    script += [read(RESULT), poll(STATUS, 2, 2), read(RESULT), read(RESULT), read(STATUS)]
    assert answers(shell.play(script)) == ok(0b00010, 0b00110, 4, 4, 0, 0b01101)


def test_bursts_walk_the_registers(shell):
    script = [
        poll(STATUS, 16, 0),
        write(STATUS, [5, 6, 7], INCR),  # STATUS and RESULT ignore it, DATA_IN takes one word
        write(SCRATCH, [0xDEADBEEF]),
        read(ID, 4, WRAP),
        read(BUILD, 4, WRAP),  # wraps to ID
        read(SHAPE, 2, INCR),
        read(SCRATCH, 3, FIXED),
        read(ID, 8, INCR, size=1),  # half words: every register twice
        read(ID + 1, 2, INCR),  # the first address need not be aligned
    ]
    control, status = 0, 1
    expected = ok(0x686E6231, 0xC0FFEE11, control, status)
    expected += ok(0xC0FFEE11, control, status, 0x686E6231)
    expected += ok(8 << 16 | 128, 0xDEADBEEF) + ok(*[0xDEADBEEF] * 3)
    expected += ok(0x686E6231, 0x686E6231, 0xC0FFEE11, 0xC0FFEE11, 0, 0, 1, 1)
    expected += ok(0x686E6231, 0xC0FFEE11)
    for gap in (0, 4):
        assert answers(shell.play(script, gap=gap)) == expected


def test_every_access_is_answered(shell):
    outside = [BASE - 4, BASE + 0x1000, 0x4000_0000, 0x7FFF_FFFC, BASE + 36, BASE + 0xFFC]
    script = []
    for address in outside:
        script += [read(address), write(address, [1])]
    script += [read(BASE + 32, 2), write(BASE + 32, [3, 4])]  # leaves the registers on the way
    script += [read(SCRATCH)]
    replies = shell.play(script, gap=2)
    expected = [f"r {DECERR} 00000000", f"w {DECERR}"] * len(outside)
    expected += [*ok(0), f"r {DECERR} 00000000", f"w {DECERR}", *ok(3)]
    assert replies[:-1] == expected


def test_partial_writes_have_no_effect(shell):
    script = [write(SCRATCH, [1]), write(SCRATCH, [2], strobes=1), write(SCRATCH, [3], strobes=0)]
    replies = shell.play([*script, read(SCRATCH)])
    assert replies[:-1] == [f"w {OKAY}", f"w {SLVERR}", f"w {OKAY}", *ok(1)]


def test_write_and_read_at_the_same_time(shell):
    script = [f"x {SCRATCH:x} {n:x} {ID:x}" for n in range(20)] + [read(SCRATCH)]
    expected = [f"x {OKAY} {OKAY} 686e6231"] * 20 + ok(19)
    for seed in (1, 2):
        assert answers(shell.play(script, seed, gap=6)) == expected


def test_cycles_count_the_clock(shell):
    replies = answers(shell.play([read(CYCLES), "c 3e8", read(CYCLES)]))
    first, second = (int(line.split()[2], 16) for line in replies)
    assert 1000 <= second - first <= 1040


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("gp0_bid <= id_q;", "gp0_bid <= 12'd0;", "BID is not AWID"),
        (
            "gp0_rvalid <= gp0_rvalid && !gp0_rready;",
            "gp0_rvalid <= gp0_rvalid && gp0_rready;",
            "R changed while it waited for RREADY",
        ),
    ],
)
def test_the_model_sees_a_broken_slave(tmp_path, old, new, fault):
    shell = compile_shell(tmp_path, 32, 32, ("gp0_slave.sv", old, new))
    replies = shell.play([write(SCRATCH, [1]), read(ID, 4), read(ID, 4)], gap=5)
    assert any(line.startswith(f"fault: {fault}") for line in replies)


def test_illegal_width_is_refused(tmp_path):
    with pytest.raises(tools.ToolError) as error:
        compile_shell(tmp_path, 12, 8)
    assert "IN_BITS must be a multiple of 8" in error.value.log.read_text()
