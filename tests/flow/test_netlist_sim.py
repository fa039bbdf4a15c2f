"""A whole board design and the netlist of its FASM, in lockstep on batches of images."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flow import tools
from flow.bits import netlist, netlist_sim
from flow.bits.prove import TIMING, Plan
from flow.errors import MismatchError
from flow.implement import boards
from flow.implement.sources import Sources, write_sources
from flow.shell import layout, processor

BOARD = boards.load("pynq-z2")
WIDTH, DEPTH = 18, 1024

# A pipeline with a memory: out = words[in[9:0]] + in[33:16], one beat in, one out.
CORE = f"""
module rom #(parameter int unsigned WIDTH = {WIDTH}, parameter int unsigned DEPTH = {DEPTH},
             parameter INIT_FILE = "words.mem") (
    input logic aclk, input logic enable,
    input logic [$clog2(DEPTH)-1:0] addr, output logic [WIDTH-1:0] data);
  (* rom_style = "block" *) logic [WIDTH-1:0] words [DEPTH];
  initial $readmemh(INIT_FILE, words);
  always_ff @(posedge aclk) if (enable) data <= words[addr];
endmodule

module unit (
    input logic aclk, input logic enable,
    input logic [9:0] addr, output logic [17:0] data);
  rom #({WIDTH}, {DEPTH}, "words.mem") u_weights (aclk, enable, addr, data);
endmodule

module top (
    input logic aclk, input logic aresetn,
    input logic [39:0] s_axis_tdata, input logic s_axis_tvalid, output logic s_axis_tready,
    output logic [23:0] m_axis_tdata, output logic m_axis_tvalid, input logic m_axis_tready);
  logic step, valid_q;
  logic [17:0] word, other_q;
  assign step = !m_axis_tvalid || m_axis_tready;
  assign s_axis_tready = step;
  unit first (aclk, step, s_axis_tdata[9:0], word);
  always_ff @(posedge aclk) begin
    if (step) begin
      other_q <= s_axis_tdata[33:16];
      m_axis_tdata <= {{5'd0, 19'(word) + 19'(other_q)}};
    end
    if (!aresetn) {{valid_q, m_axis_tvalid}} <= 2'b00;
    else if (step) {{valid_q, m_axis_tvalid}} <= {{s_axis_tvalid, valid_q}};
  end
endmodule
"""


def taps() -> tuple[SimpleNamespace, ...]:
    source = SimpleNamespace(bits=40, parallel=1, beats=1, signed=False)
    return source, SimpleNamespace(bits=24, parallel=1, beats=1, signed=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folder with design.fasm of the core above in the board's shell, and its sources."""
    folder = tmp_path_factory.mktemp("bitstream")
    core = folder / "core"
    core.mkdir()
    (core / "core.sv").write_text(CORE)
    words = np.random.default_rng(5).integers(0, 1 << WIDTH, DEPTH)
    (core / "words.mem").write_text("".join(f"{word:05x}\n" for word in words))
    design = SimpleNamespace(
        folder=core,
        files=("core.sv",),
        in_bits=40,
        out_bits=24,
        memories=(SimpleNamespace(file="words.mem"),),
        taps=taps(),
    )
    sources = write_sources(design, BOARD, folder / "sources")
    values = " ".join(f"-chparam {name} {value}" for name, value in sources.parameters.items())
    synthesis = (
        f"read_verilog -sv {' '.join(sources.files)}; hierarchy -top {sources.top} {values}; "
        "synth_xilinx -flatten -abc9 -nodsp -nosrl -nolutram -arch xc7; write_json netlist.json"
    )
    tools.run("yosys", "-q", "-p", synthesis, cwd=sources.folder, log=folder / "yosys.log")
    tools.run(
        "nextpnr-himbaechel-xilinx",
        *("--device", BOARD.part, "--json", "sources/netlist.json"),
        *("-o", f"xdc={BOARD.constraints}", "-o", "fasm=design.fasm", "--freq", "100"),
        cwd=folder,
        log=folder / "nextpnr.log",
    )
    return folder


def attempt(
    folder: Path, text: str, memory: np.ndarray, timing: dict[str, int] | None = None
) -> netlist_sim.NetlistRun:
    """Simulate a script on the RTL and on the netlist of folder/design.fasm."""
    sources, work = Sources.load(folder / "sources"), folder / "proof"
    work.mkdir(exist_ok=True)
    (work / "words.mem").write_text((sources.folder / "words.mem").read_text())
    processor.write_memory(work / "memory.hex", memory)
    extracted = netlist.extract(folder / "design.fasm", BOARD.part, work / "netlist.v")
    return netlist_sim.simulate_netlist(
        extracted, sources.paths, sources.parameters, text, work, timing
    )


@pytest.mark.slow
def test_a_bitstream_equals_its_rtl_and_a_wrong_one_does_not(built):
    words = np.array([int(w, 16) for w in (built / "sources/words.mem").read_text().split()])
    images = np.random.default_rng(3).integers(0, 1 << 40, (40, 1))
    expected = words[images & 1023] + (images >> 16 & 0x3FFFF)
    plan = Plan(*layout.of_design(SimpleNamespace(taps=taps())), images, expected)
    build = Sources.load(built / "sources").build_hash
    cycles = []
    for timing in (None, TIMING):  # as fast as can be, then with delays on every channel
        run = attempt(built, plan.script.text, plan.memory, timing)
        plan.check(plan.script.replies(run.replies), build)
        cycles.append(run.cycles)
    assert cycles[1] > cycles[0] > 40

    # Other results than those that must come.
    plan.expected[7] += 1
    with pytest.raises(MismatchError, match=r"image 7: .* 1 of 39 images differ"):
        plan.check(plan.script.replies(run.replies), build)

    # Without its script's answers a run is no proof.
    endless = processor.Script()
    endless.wait("shell.ID", 1, 1, tries=3)
    with pytest.raises(MismatchError, match="did not end: fault: a poll ran out of tries"):
        attempt(built, endless.text, plan.memory)

    # The LUT of a carry chain's first bit, inverted: the signal and the cycle are named.
    right = (built / "design.fasm").read_text()
    place = re.escape(re.search(r"^(\S+)\.CARRY4\.ACY0$", right, re.M)[1])
    init = re.search(rf"^{place}\.ALUT\.INIT\[63:0\] = 64'b([01]+)$", right, re.M)
    inverse = init[1].translate(str.maketrans("01", "10"))
    (built / "design.fasm").write_text(right.replace(init[0], init[0].replace(init[1], inverse)))
    try:
        with pytest.raises(MismatchError, match=r"cycle \d+: \w+ is \w+ in the netlist") as error:
            attempt(built, plan.script.text, plan.memory)
        assert re.fullmatch(r"cycle \d+: \w+", error.value.where)
    finally:
        (built / "design.fasm").write_text(right)
