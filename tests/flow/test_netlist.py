"""The netlist taken from FASM does what the RTL does, and a changed FASM does not.

A small design is mapped, placed and routed once; netlists of it, and of changed copies of its FASM,
run beside the RTL in Icarus Verilog.
"""

import random
import re
from pathlib import Path

import pytest

from flow import tools
from flow.bits import bram, fasm, netlist, netlist_sim, readback, routing, xray
from flow.bits.features import NetlistError
from flow.errors import MismatchError, UserError
from flow.paths import BOARDS, SIM

PART = "xc7z020clg400-1"
HERE = Path(__file__).parent / "netlist"
YOSYS = (
    "read_verilog -sv design.sv; "
    "synth_xilinx -flatten -abc9 -nodsp -nosrl -nolutram -arch xc7 -top top; write_json mapped.json"
)
CONSTANT = {"rom72": (1 << 5, 1 << 70)}  # bits that are 1, and 0, in every word
ROMS = {"rom18": (18, 1024), "rom36": (36, 512), "rom72": (72, 512), "deep36": (36, 1024)}


@pytest.fixture(scope="module")
def design(tmp_path_factory) -> Path:
    """Folder with design.fasm, mapped.json, placed.json, design.bit and the memory files."""
    folder = tmp_path_factory.mktemp("design")
    for name in ("design.sv", "bench.sv"):
        (folder / name).write_text((HERE / name).read_text())
    for name, (width, depth) in ROMS.items():
        rng = random.Random(name)
        one, zero = CONSTANT.get(name, (0, 0))
        numbers = [(rng.getrandbits(width) | one) & ~zero for _ in range(depth)]
        words = [f"{number:0{(width + 3) // 4}x}" for number in numbers]
        (folder / f"{name}.mem").write_text("\n".join(words) + "\n")
    tools.run("yosys", "-q", "-p", YOSYS, cwd=folder, log=folder / "yosys.log")
    tools.run(
        "nextpnr-himbaechel-xilinx",
        *("--device", PART, "--json", "mapped.json", "--write", "placed.json"),
        *("-o", f"xdc={BOARDS / 'pynq-z2' / 'pynq_z2.xdc'}", "-o", "fasm=design.fasm"),
        *("--freq", "100", "--seed", "3"),
        cwd=folder,
        log=folder / "nextpnr.log",
    )
    fasm.assemble(folder / "design.fasm", PART, folder / "design.frames")
    fasm.write_bit(folder / "design.frames", PART, folder / "design.bit")
    return folder


@pytest.fixture
def changed(design, tmp_path):
    """Write a changed copy of the FASM: each pattern is replaced once, and must be there."""

    def change(*replacements: tuple[str, str], add: str = "") -> Path:
        text = (design / "design.fasm").read_text()
        for pattern, new in replacements:
            text, count = re.subn(pattern, new, text, count=1, flags=re.M)
            assert count == 1, pattern
        path = tmp_path / "changed.fasm"
        path.write_text(f"{text}\n{add}\n")
        return path

    return change


def differing(design: Path, fasm_path: Path, folder: Path) -> tuple[int, netlist.Netlist]:
    """Simulate RTL and netlist; in how many cycles their outputs differ."""
    extracted = netlist.extract(fasm_path, PART, folder / "netlist.v")
    models = sorted((SIM / "xc7").glob("*.sv"))
    tools.run(
        "iverilog",
        *("-g2012", "-s", "bench", "-o", folder / "bench.vvp"),
        *("bench.sv", "design.sv", extracted.path, *models),
        cwd=design,
        log=folder / "iverilog.log",
    )
    tools.run("vvp", folder / "bench.vvp", cwd=design, log=folder / "vvp.log")
    text = (folder / "vvp.log").read_text()
    assert "unknown" not in text
    return int(re.search(r"(\d+) differ", text)[1]), extracted


def test_netlist_equals_rtl(design, tmp_path):
    """LUTs, carry, wide multiplexers, all kinds of flip-flops, block RAM read and written."""
    count, extracted = differing(design, design / "design.fasm", tmp_path)
    assert count == 0
    assert set(extracted.cells) == {"lut", "ff", "carry", "mux", "ramb18", "bufg"}
    assert extracted.cells["mux"] == 3 and extracted.cells["bufg"] == 1
    # Two memories of half a block RAM and two that are written; two of a whole one, two written.
    assert extracted.cells["ramb18"] == 4 * 1 + 4 * 2
    assert extracted.pads == ["M14", "N16", "P14", "R14"]
    assert extracted.ps7_used == {"FCLKCLK"}


def used_lut(design: Path) -> tuple[str, str]:
    """A LUT whose contents are no constant, and its contents."""
    text = (design / "design.fasm").read_text()
    for match in re.finditer(r"^(\S+LUT\.INIT)\[63:0\] = 64'b([01]{64})$", text, re.M):
        if 16 <= match[2].count("1") <= 48:
            return match[1], match[2]
    raise AssertionError("no LUT")


def test_one_lut_bit_is_found_by_read_back_and_by_simulation(design, changed, tmp_path):
    """All bits of one LUT inverted, then one: read-back names tile, LUT and bit."""
    lut, init = used_lut(design)
    inverse = init.translate(str.maketrans("01", "10"))
    count, _ = differing(design, changed((init, inverse)), tmp_path)
    assert count > 0
    one = changed((f"({re.escape(lut)}.*'b[01]{{63}}){init[-1]}", rf"\g<1>{inverse[-1]}"))
    result = readback.read_back(design / "design.bit", one, PART)
    assert (result.missing + result.extra)[0] == f"{lut}[0]"
    with pytest.raises(MismatchError, match=re.escape(f"{lut}[0]")):
        result.check()


def test_a_wrong_switch_is_found(design, changed, tmp_path):
    """Any LUT input of the counter's carry chain, fed from another wire of the tile."""
    text = (design / "design.fasm").read_text()
    place = re.search(r"^(CLB\w+)\.SLICE\w+\.CARRY4\.ACY0", text, re.M)[1]
    tile = place.replace("CLBLM", "INT").replace("CLBLL", "INT")
    switch = re.search(rf"^{tile}\.(IMUX(?:_L)?\d+)\.((?!VCC|GND|GFAN)\w+)$", text, re.M)
    wrong = changed((f"^{re.escape(switch[0])}$", f"{tile}.{switch[1]}.VCC_WIRE"))
    try:
        count, _ = differing(design, wrong, tmp_path)
        assert count > 0
    finally:
        result = readback.read_back(design / "design.bit", wrong, PART)
    assert f"{tile}.{switch[1]}.{switch[2]}" in result.extra


def test_flip_flop_settings_matter(design, changed, tmp_path):
    """The initial value of the counter's bits is in the FASM; without it the RTL differs."""
    text = (design / "design.fasm").read_text()
    carries = re.findall(r"^(CLB\w+\.SLICE\w+)\.CARRY4\.ACY0", text, re.M)
    flags = (re.search(rf"^{re.escape(c)}\.[A-D]FF\.ZINI$", text, re.M) for c in carries)
    flag = next(found[0] for found in flags if found)
    count, _ = differing(design, changed((f"^{re.escape(flag)}$", "")), tmp_path)
    assert count > 0


@pytest.mark.parametrize(
    ("replace", "add", "named"),
    [
        ((), "CLBLM_R_X71Y20.SLICEM_X0.ALUT.RAM", r"CLBLM_R_X71Y20\.SLICEM_X0\.ALUT\.RAM"),
        ((), "CLBLM_R_X71Y20.SLICEM_X0.BLUT.SRL", r"SLICEM_X0\.BLUT\.SRL"),
        ((), "CLBLM_R_X71Y20.SLICEM_X0.LATCH", r"SLICEM_X0\.LATCH"),
        ((), "DSP_L_X14Y0.DSP48.DSP_0.MASK[0]", r"DSP_L_X14Y0\.DSP48\.DSP_0\.MASK"),
        ((), "BRAM_L_X6Y0.RAMB18_Y0.DOA_REG", r"BRAM_L_X6Y0\.RAMB18_Y0\.DOA_REG"),
        (((r"^(HCLK_R_X\d+Y\d+)\.ENABLE_BUFFER.*$", ""),), "", r"ENABLE_BUFFER.* is not set"),
        (((r"^(RIOI3\w*)\.OLOGIC_Y0\.OQUSED$", ""),), "", r"OLOGIC_Y0: .*not switched through"),
        (((r"^(.*BUFGCTRL_X0Y\d+)\.ZINV_S0$", ""),), "", r"not a plain BUFG"),
    ],
)
def test_what_cannot_be_modelled_is_refused(changed, tmp_path, replace, add, named):
    with pytest.raises(NetlistError, match=named):
        netlist.extract(changed(*replace, add=add), PART, tmp_path / "netlist.v")
    assert not (tmp_path / "netlist.v").exists()


def test_two_drivers_of_a_wire_in_different_tiles(design, changed, tmp_path):
    """A long wire driven a second time, from the tile at its other end."""
    text = (design / "design.fasm").read_text()
    placed = fasm.read(design / "design.fasm", PART)
    routes = routing.Routing(placed)
    database = xray.load(PART)
    for match in re.finditer(r"^(INT_[LR]_X\d+Y\d+)\.(\w+)\.\w+$", text, re.M):
        for number, wire in routes.node((database.tiles[match[1]].number, match[2])):
            tile = routes.by_number[number]
            table = database.table_of(tile)
            other = [n for n in table.names if n.startswith(f"{wire}.") and "VCC" not in n]
            if tile.name != match[1] and other:
                path = changed(add=f"{tile.name}.{other[0]}")
                with pytest.raises(routing.RoutingError, match="two switches drive one wire"):
                    netlist.extract(path, PART, tmp_path / "netlist.v")
                return
    raise AssertionError("no wire with two possible drivers")


# --- block RAM contents ---------------------------------------------------------------------------


def check(design: Path, bit: str = "design.bit", roms=tuple(ROMS)) -> bram.BramCheck:
    listed = [bram.Rom(f"memory {name}", design / f"{name}.mem", f"u_{name}") for name in roms]
    return readback.check_bram(
        design / bit, PART, design / "placed.json", design / "mapped.json", listed
    )


def test_block_ram_contents_equal_netlist_and_files(design):
    result = check(design)
    assert (result.cells, result.memories, result.in_luts) == (8, 4, 0)
    sizes = sum(width * depth for width, depth in ROMS.values()) - 2 * 512  # CONSTANT
    assert result.bits == sizes + 4 * 18 * 1024 + 4 * 36 * 1024


@pytest.mark.parametrize(
    ("name", "word", "bit"),
    [("rom18", 1023, 17), ("rom36", 0, 35), ("rom72", 300, 71), ("deep36", 513, 8)],
)
def test_a_flipped_weight_is_named(design, name, word, bit):
    """One bit of a memory file after the bitstream was made: file, word and bit are named."""
    path = design / f"{name}.mem"
    right = path.read_text()
    words = right.split()
    words[word] = f"{int(words[word], 16) ^ 1 << bit:0{len(words[word])}x}"
    path.write_text("\n".join(words))
    try:
        with pytest.raises(MismatchError, match="in the bitstream, at BRAM") as error:
            check(design)
        assert error.value.where == f"memory {name}, word {word}, bit {bit}"
    finally:
        path.write_text(right)


@pytest.mark.parametrize(("bit", "always"), [(5, 1), (70, 0)])
def test_a_flipped_weight_without_a_memory_is_named(design, tmp_path, bit, always):
    words = (design / "rom72.mem").read_text().split()
    words[300] = f"{int(words[300], 16) ^ 1 << bit:018x}"
    (tmp_path / "rom72.mem").write_text("\n".join(words))
    listed = [bram.Rom("memory", tmp_path / "rom72.mem", "u_rom72")]
    with pytest.raises(MismatchError, match=f"rom72.mem, always {always} in the netlist") as error:
        readback.check_bram(
            design / "design.bit", PART, design / "placed.json", design / "mapped.json", listed
        )
    assert error.value.where == f"memory, word 300, bit {bit}"


def test_a_flipped_block_ram_bit_is_named(design, changed):
    """One bit of the FASM's contents: the cell and the bit are named."""
    text = (design / "design.fasm").read_text()
    row = re.search(r"^(BRAM\S+INIT_1C)\[255:0\] = 256'b([01]*)$", text, re.M)
    flipped = row[2][:-1] + ("1" if row[2][-1] == "0" else "0")
    path = changed((row[2], flipped))
    fasm.assemble(path, PART, design / "wrong.frames")
    fasm.write_bit(design / "wrong.frames", PART, design / "wrong.bit")
    with pytest.raises(MismatchError, match=r"block RAM u_\w+\.words") as error:
        check(design, "wrong.bit")
    assert error.value.where == f"{row[1]}[0]"


def test_memory_that_cannot_be_found(design):
    with pytest.raises(UserError, match=r"no net u_rom18\.words\.addr"):
        listed = [bram.Rom("x", design / "rom18.mem", "u_rom18.words")]
        readback.check_bram(
            design / "design.bit", PART, design / "placed.json", design / "mapped.json", listed
        )
    # A memory that Yosys put into LUTs has no block RAM: counted as such, not as compared.
    listed = [bram.Rom("x", design / "rom18.mem", "u_nowhere")]
    result = readback.check_bram(
        design / "design.bit", PART, design / "placed.json", design / "mapped.json", listed
    )
    assert (result.memories, result.in_luts) == (0, 1)


def test_ports_of_another_design_are_refused(design, tmp_path):
    """The board's bench drives only what the shell uses; here a pin that it does not know."""
    extracted = netlist.extract(design / "design.fasm", PART, tmp_path / "netlist.v")
    wrong = netlist.Netlist(
        extracted.path, extracted.cells, extracted.ps7_inputs, frozenset({"SAXIHP1RDATA"}), []
    )
    with pytest.raises(MismatchError, match="reads PS7 pin SAXIHP1RDATA"):
        netlist_sim.simulate_netlist(wrong, [], {}, "", tmp_path / "run")
