"""A whole board design and the netlist of its FASM, in lockstep on accesses over GP0."""

import random
import re
from pathlib import Path

import pytest

from flow import tools
from flow.bits import netlist, netlist_sim
from flow.errors import MismatchError
from flow.implement import boards

BOARD = boards.load("pynq-z2")
IN_BITS, OUT_BITS, BUILD = 40, 24, 0x1234_5678
BASE = 0x43C0_0000
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


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folder with design.fasm of the core above in the board's shell, and its sources."""
    folder = tmp_path_factory.mktemp("bitstream")
    sources = folder / "sources"
    sources.mkdir()
    (sources / "core.sv").write_text(CORE)
    rng = random.Random(5)
    words = [f"{rng.getrandbits(WIDTH):05x}" for _ in range(DEPTH)]
    (sources / "words.mem").write_text("\n".join(words) + "\n")
    for path in BOARD.sources:
        (sources / path.name).write_text(path.read_text())
    files = ["core.sv", *(path.name for path in BOARD.sources)]
    parameters = {"IN_BITS": IN_BITS, "OUT_BITS": OUT_BITS, "BUILD": BUILD}
    values = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    synthesis = (
        f"read_verilog -sv {' '.join(files)}; hierarchy -top {BOARD.top} {values}; "
        "synth_xilinx -flatten -abc9 -nodsp -nosrl -nolutram -arch xc7; write_json netlist.json"
    )
    tools.run("yosys", "-q", "-p", synthesis, cwd=sources, log=folder / "yosys.log")
    tools.run(
        "nextpnr-himbaechel-xilinx",
        *("--device", BOARD.part, "--json", "sources/netlist.json"),
        *("-o", f"xdc={BOARD.constraints}", "-o", "fasm=design.fasm", "--freq", "100"),
        cwd=folder,
        log=folder / "nextpnr.log",
    )
    return folder


def attempt(folder: Path, script: str, gap: int = 0) -> netlist_sim.NetlistRun:
    """Simulate a script on the RTL and on the netlist of folder/design.fasm."""
    sources = folder / "sources"
    work = folder / "proof"
    work.mkdir(exist_ok=True)
    (work / "words.mem").write_text((sources / "words.mem").read_text())
    extracted = netlist.extract(folder / "design.fasm", BOARD.part, work / "netlist.v")
    rtl = [sources / "core.sv", *(sources / path.name for path in BOARD.sources)]
    parameters = {"IN_BITS": IN_BITS, "OUT_BITS": OUT_BITS, "BUILD": BUILD}
    return netlist_sim.simulate_netlist(extracted, rtl, parameters, script, work, gap=gap)


def access(images: list[int]) -> str:
    """Read ID and BUILD, push each input in two words and read its result; read CYCLES."""
    lines = [f"r {BASE:x} 1 2 1", f"r {BASE + 4:x} 1 2 1"]
    for image in images:
        lines.append(f"p {BASE + 0x0C:x} 1 1 100")
        lines.append(f"w {BASE + 0x10:x} 0 2 f 2 {image & 0xFFFFFFFF:x} {image >> 32:x}")
        lines.append(f"p {BASE + 0x0C:x} 2 2 100")
        lines.append(f"r {BASE + 0x14:x} 1 2 1")
    lines.append(f"r {BASE + 0x18:x} 1 2 1")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_a_bitstream_equals_its_rtl_and_a_wrong_one_does_not(built):
    words = [int(w, 16) for w in (built / "sources/words.mem").read_text().split()]
    rng = random.Random(3)
    images = [rng.getrandbits(IN_BITS) for _ in range(40)]
    expected = [words[i & 1023] + (i >> 16 & 0x3FFFF) for i in images]
    cycles = []
    for gap in (0, 6):  # as fast as can be, then with random delays on every channel
        run = attempt(built, access(images), gap)
        answers = [int(reply.split()[2], 16) for reply in run.replies if reply.startswith("r ")]
        assert answers[:-1] == [0x686E6231, BUILD, *expected]
        assert 0 < answers[-1] < run.cycles
        cycles.append(run.cycles)
    assert cycles[1] > cycles[0] > 40 * 10

    # Without its script's answers a run is no proof.
    with pytest.raises(MismatchError, match="did not end: fault: a poll ran out of tries"):
        attempt(built, f"p {BASE:x} 1 0 3\n")

    # The LUT of a carry chain's first bit, inverted: the signal and the cycle are named.
    right = (built / "design.fasm").read_text()
    place = re.escape(re.search(r"^(\S+)\.CARRY4\.ACY0$", right, re.M)[1])
    init = re.search(rf"^{place}\.ALUT\.INIT\[63:0\] = 64'b([01]+)$", right, re.M)
    inverse = init[1].translate(str.maketrans("01", "10"))
    (built / "design.fasm").write_text(right.replace(init[0], init[0].replace(init[1], inverse)))
    try:
        with pytest.raises(MismatchError, match=r"cycle \d+: \w+ is \w+ in the netlist") as error:
            attempt(built, access(images))
        assert re.fullmatch(r"cycle \d+: \w+", error.value.where)
    finally:
        (built / "design.fasm").write_text(right)
