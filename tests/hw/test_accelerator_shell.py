"""The accelerator shell through its registers, and the files made of the register description."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import cocotb_bench
import pytest
from benches import HERE
from hanbit_board import register_map

from flow import tools
from flow.errors import UserError
from flow.implement import boards, synthesis
from flow.paths import ROOT, RTL, SIM
from flow.shell import generate, hwh, layout, registers
from flow.shell.layout import Input, Output

# Pixels of 8 bits and labels, as TFC has; and packed images, scores, 64 address bits.
PIXELS = layout.parameters(Input(16, 8, 8, 49), Output(1, 4, 8, False, 1), 128, 8)
PACKED = layout.parameters(Input(49, 1, 1, 16), Output(2, 10, 16, True, 5), 56, 24)

BENCH = [HERE / "memory_ports.svh", HERE / "shell_bench.sv"]


def build(folder, parameters):
    return cocotb_bench.build(folder, "shell_bench", parameters, BENCH)


def test_pixels_in_labels_out(tmp_path):
    program = build(tmp_path, PIXELS | {"ADDR_BITS": 32})
    figures = cocotb_bench.figures(program.run("bench_shell"))
    assert figures["port_fill"] >= 0.9
    assert figures["cycles_an_image"] <= 1.05 * figures["least_cycles_an_image"]


def test_packed_images_in_scores_out(tmp_path):
    program = build(tmp_path, PACKED | {"ADDR_BITS": 64})
    figures = cocotb_bench.figures(program.run("bench_shell", seed=2))
    assert figures["cycles_an_image"] <= 1.1 * figures["least_cycles_an_image"]


def test_the_top_of_the_pynq_z2(tmp_path):
    """The same through the pins of the PS7, as the simulated board has them."""
    given = ", ".join(f".{k}({v})" for k, v in (PIXELS | {"BUILD": "32'hC0FFEE11"}).items())
    macros = {"BOARD_TOP": "pynq_z2", "BOARD_PARAMETERS": given}
    text = "".join(f"`define {name} {value}\n" for name, value in macros.items())
    (tmp_path / "parameters.svh").write_text(text)
    zynq = [SIM / "zynq.sv", SIM / "board" / "board.sv", ROOT / "hw/boards/pynq-z2/pynq_z2.sv"]
    built = cocotb_bench.build(tmp_path, "board", {}, [*zynq, HERE / "pynq_core.sv"])
    program = replace(built, parameters=PIXELS | {"ADDR_BITS": 32})
    program.run("bench_shell", only="registers|every_access|batches$|errors|port")


def test_generated_files_are_up_to_date():
    for path, text in generate.files().items():
        assert path.read_text() == text, f"{path}: run `python -m flow.shell.generate`"


def test_driver_map_says_the_same_as_the_description():
    found = registers.load()
    for block in found.blocks:
        assert register_map.BLOCKS[block.name] == (block.offset, block.size)
        for register in block.registers:
            offset, fields = register_map.REGISTERS[block.name][register.name]
            assert offset == register.offset
            assert fields == (
                {} if register.whole else {f.name: (f.low, f.width) for f in register.fields}
            )


def test_hwh_has_every_block_and_the_clock():
    text = hwh.hwh(registers.load(), "top", 142.857142857)
    root = ET.fromstring(text.encode())
    ranges = {m.get("INSTANCE"): m for m in root.iter("MEMRANGE")}
    for name, (offset, size) in register_map.BLOCKS.items():
        assert int(ranges[name].get("BASEVALUE"), 16) == register_map.BASE + offset
        assert int(ranges[name].get("HIGHVALUE"), 16) == register_map.BASE + offset + size - 1
    modules = {m.get("INSTANCE"): m for m in root.iter("MODULE")}
    assert modules.keys() == {"ps7", *register_map.BLOCKS}
    names = [r.get("NAME") for r in modules["idma0"].iter("REGISTER")]
    assert names == list(register_map.REGISTERS["idma0"])
    clocks = {p.get("NAME"): p.get("VALUE") for p in modules["ps7"].iter("PARAMETER")}
    divisors = [int(clocks[f"PCW_FCLK0_PERIPHERAL_DIVISOR{n}"]) for n in (0, 1)]
    assert divisors[0] * divisors[1] == 7
    with pytest.raises(UserError, match="FCLK0"):
        hwh.divisors(777.7)


def test_finns_offsets_are_kept():
    for block in ("idma0", "odma0"):
        offsets = {name: entry[0] for name, entry in register_map.REGISTERS[block].items()}
        assert offsets == {"CONTROL": 0, "ADDRESS_LOW": 0x10, "ADDRESS_HIGH": 0x14, "BATCH": 0x1C}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("offset = 0x04\n", "offset = 0x05\n", "shell.BUILD: offset must be a multiple of 4"),
        ("offset = 0x04\n", "offset = 0x00\n", "shell: offsets must rise"),
        ('bits = "15:0"', 'bits = "16:0"', "shell.INPUT: fields must not overlap"),
        ("offset = 0x100\n", "offset = 0x080\n", "idma0: blocks must be in order"),
        ('bits = "1:0"\naccess = "rw"', 'bits = "1:0"\naccess = "rx"', "access must be one of"),
    ],
)
def test_mistakes_in_the_description_are_named(tmp_path, old, new, message):
    text = registers.DESCRIPTION.read_text()
    assert old in text
    path = tmp_path / "registers.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(message)):
        registers.load(path)


@pytest.mark.parametrize("parameters", [PIXELS, PACKED | {"ADDR_BITS": 64}, {}])
def test_the_shell_is_clean_for_verilator(tmp_path, parameters):
    given = [f"-G{key}={value}" for key, value in parameters.items()]
    tools.run(
        "verilator", "--lint-only", "-Wall", "--top-module", "accelerator_shell", *given,
        *sorted(RTL.glob("*.sv")), cwd=tmp_path, log=tmp_path / "lint.log",
    )  # fmt: skip


CORE = """
module top (
  input logic aclk, aresetn, s_axis_tvalid, m_axis_tready,
  input logic [127:0] s_axis_tdata,
  output logic s_axis_tready, m_axis_tvalid,
  output logic [7:0] m_axis_tdata
);
  logic [5:0] beat_q;
  logic full_q;
  assign {s_axis_tready, m_axis_tvalid} = {!full_q, full_q};
  always_ff @(posedge aclk) begin
    if (s_axis_tvalid && !full_q) begin
      m_axis_tdata <= m_axis_tdata ^ {4'd0, ^s_axis_tdata, s_axis_tdata[2:0]};
      beat_q <= beat_q == 6'd48 ? 6'd0 : beat_q + 6'd1;
      full_q <= beat_q == 6'd48;
    end
    if (m_axis_tready) full_q <= 1'b0;
    if (!aresetn) {beat_q, full_q} <= '0;
  end
endmodule
"""


@pytest.mark.slow
def test_the_shell_fits_and_its_border_is_flip_flops(tmp_path):
    """`synthesise` refuses signals of the PS7 that touch more than a flip-flop and one LUT."""
    sources = [*sorted(RTL.glob("*.sv")), ROOT / "hw/boards/pynq-z2/pynq_z2.sv"]
    for source in sources:
        (tmp_path / source.name).write_text(source.read_text())
    (tmp_path / "top.sv").write_text(CORE)
    files = [*(source.name for source in sources), "top.sv"]
    slow = boards.load("pynq-z2").slow
    netlist = synthesis.synthesise(
        files, "pynq_z2", dict(PIXELS), tmp_path, tmp_path / "synthesis.log", slow
    )
    print(netlist.area)
    assert netlist.area["lut"] <= 2500
    assert netlist.area["dsp"] == 0
