"""The assembler sets the bits the database lists, and refuses what it does not know."""

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow.bits import fasm, xray
from flow.bits.decode import decode
from flow.bits.fasm import FasmError

PART = "xc7z020clg400-1"

SMALL = """
# A slice, routing, a block RAM, a clock: real lines of nextpnr.
CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[63:0] = 64'b1111000011110000111100001111000011111111111111110000000000000000
CLBLM_R_X71Y99.SLICEM_X0.AFF.ZRST
CLBLM_R_X71Y99.SLICEM_X0.AFFMUX.XOR
CLBLM_R_X71Y99.SLICEM_X0.NOCLKINV
CLBLM_R_X71Y99.CLBLM_M_D6.CLBLM_IMUX43

INT_R_X71Y99.IMUX43.VCC_WIRE
INT_L_X0Y0.BYP_ALT0.EE2END0 # routed
BRAM_L_X6Y0.RAMB18_Y1.INIT_0A[255:0] = 256'h80000000000000000000000000000000000000000000000000000000deadbeef
BRAM_L_X6Y0.RAMB18_Y1.IN_USE
BRAM_L_X6Y0.RAMB18_Y1.READ_WIDTH_A_18
HCLK_R_X5Y26.ENABLE_BUFFER.HCLK_CK_BUFHCLK3
"""  # noqa: E501


@pytest.fixture
def assemble(tmp_path):
    def run(text: str) -> fasm.Placed:
        path = tmp_path / "design.fasm"
        path.write_text(text)
        return fasm.read(path, PART)

    return run


@cache
def tilegrid() -> dict:
    return json.loads((xray.database_root() / "zynq7/xc7z020/tilegrid.json").read_text())


@cache
def lines(name: str) -> dict[str, list[str]]:
    text = (xray.database_root() / "zynq7" / name).read_text()
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def segbits(tile: str, feature: str, bus: str = "CLB_IO_CLK") -> set[tuple[int, int, int]]:
    """(frame, word, bit) of a feature's ones, read from the database's text without bits.xray."""
    grid = tilegrid()[tile]
    suffix = ".block_ram" if bus == "BLOCK_RAM" else ""
    words = lines(f"segbits_{grid['type'].lower()}{suffix}.db")[f"{grid['type']}.{feature}"]
    base, offset = int(grid["bits"][bus]["baseaddr"], 16), grid["bits"][bus]["offset"]
    pairs = [tuple(map(int, word.split("_"))) for word in words if word[0] != "!"]
    return {(base + frame, offset + bit // 32, bit % 32) for frame, bit in pairs}


def ones(placed: fasm.Placed) -> set[tuple[int, int, int]]:
    """The same of a whole design."""
    return {
        (int(placed.database.frames[p // xray.FRAME_BITS]), *divmod(int(p) % xray.FRAME_BITS, 32))
        for p in placed.ones
    }


def test_bits_are_those_of_the_database(assemble):
    expected = set()
    clb, ram = "CLBLM_R_X71Y99", "BRAM_L_X6Y0"
    init = 0b1111000011110000111100001111000011111111111111110000000000000000
    for i in range(64):
        if init >> i & 1:
            expected |= segbits(clb, f"SLICEM_X0.ALUT.INIT[{i:02d}]")
    for name in ("SLICEM_X0.AFF.ZRST", "SLICEM_X0.AFFMUX.XOR"):
        expected |= segbits(clb, name)
    expected |= segbits("INT_L_X0Y0", "BYP_ALT0.EE2END0")
    for i in range(256):
        if (1 << 255 | 0xDEADBEEF) >> i & 1:
            expected |= segbits(ram, f"RAMB18_Y1.INIT_0A[{i:03d}]", "BLOCK_RAM")
    for name in ("RAMB18_Y1.IN_USE", "RAMB18_Y1.READ_WIDTH_A_18"):
        expected |= segbits(ram, name)
    expected |= segbits("HCLK_R_X5Y26", "ENABLE_BUFFER.HCLK_CK_BUFHCLK3")
    for i in (1, 2, 3):  # the part's own
        expected |= segbits("CFG_CENTER_MID_X123Y84", f"ALWAYS_ON_PROP{i}")
    assert ones(assemble(SMALL)) == expected


def test_frames_file(assemble, tmp_path):
    placed = fasm.assemble(_write(tmp_path, SMALL), PART, tmp_path / "design.frames")
    rows = {}
    for line in (tmp_path / "design.frames").read_text().splitlines():
        address, words = line.split()
        rows[int(address, 16)] = [int(word, 16) for word in words.split(",")]
    assert all(len(words) == 101 for words in rows.values())
    found = {
        (address, w, b)
        for address, words in rows.items()
        for w, word in enumerate(words)
        for b in range(32)
        if word >> b & 1
    }
    assert found == ones(placed)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


def test_half_tiles_use_the_bits_of_whole_ones(assemble):
    """The single I/O tiles at the ends of a bank: offset and name come from the alias."""
    common = ones(assemble(""))
    for half, site, word in (
        ("RIOB33_SING_X73Y0", "IOB_Y0", 0),
        ("RIOB33_SING_X73Y49", "IOB_Y1", 99),
    ):
        alone = ones(assemble(f"{half}.{site}.IBUFDISABLE.I\n")) - common
        whole = ones(assemble(f"RIOB33_X73Y1.{site}.IBUFDISABLE.I\n")) - common
        # A whole tile has words 2 to 5: Y1 the first two, Y0 the others.
        shift = word - (2 if site == "IOB_Y1" else 4)
        assert alone == {(frame, w + shift, b) for frame, w, b in whole}


def test_the_missing_half_of_a_half_tile_is_unknown(assemble):
    """The name is in the database, but its bits would be those of another tile."""
    with pytest.raises(FasmError, match=r"LIOB33_SING_X0Y0.IOB_Y1.IBUFDISABLE.I is unknown"):
        assemble("LIOB33_SING_X0Y0.IOB_Y1.IBUFDISABLE.I\n")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("CLBLM_R_X71Y99.SLICEM_X0.NOSUCH", "CLBLM_R_X71Y99.SLICEM_X0.NOSUCH"),
        ("CLBLM_R_X999Y99.SLICEM_X0.AFF.ZRST", "CLBLM_R_X999Y99.SLICEM_X0.AFF.ZRST"),
        ("CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[64]", "SLICEM_X0.ALUT.INIT"),
        ("CLBLM_R_X71Y99.SLICEM_X0.ALUT.NOSUCH[63:0] = 64'b0", "SLICEM_X0.ALUT.NOSUCH"),
        ("INT_L_X0Y0.BYP_ALT0.NOSUCH", "INT_L_X0Y0.BYP_ALT0.NOSUCH"),
    ],
)
def test_unknown_features_are_named(assemble, line, named):
    with pytest.raises(FasmError, match=r"design\.fasm:2: .*unknown") as error:
        assemble(f"\n{line}\n")
    assert named in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        "CLBLM_R_X71Y99",
        "CLBLM_R_X71Y99.SLICEM_X0 AFF",
        "CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[63:0] = 64'b2",
        "CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[3:0] = 5'b10000",
        "CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[0:63] = 64'b1",
        "?",
    ],
)
def test_what_is_no_fasm_is_named_by_line(assemble, line):
    with pytest.raises(FasmError, match=r"design\.fasm:3:"):
        assemble(f"# comment\n\n{line}\n")


def test_conflicts_are_named(assemble):
    """Two settings of one multiplexer; two sources of one wire; one vector with two values."""
    slice_ = "CLBLM_R_X71Y99.SLICEM_X0"
    with pytest.raises(FasmError, match="conflict") as error:
        assemble(f"{slice_}.AFFMUX.XOR\n{slice_}.AFFMUX.O6\n")
    assert f"{slice_}.AFFMUX.XOR" in str(error.value) and f"{slice_}.AFFMUX.O6" in str(error.value)
    # These two share no bit that one of them wants to be 0: only the wire tells.
    with pytest.raises(FasmError, match="drive the same wire") as error:
        assemble("INT_L_X0Y0.BYP_ALT0.FAN_BOUNCE2\nINT_L_X0Y0.BYP_ALT0.LOGIC_OUTS_L0\n")
    assert "FAN_BOUNCE2" in str(error.value) and "LOGIC_OUTS_L0" in str(error.value)
    with pytest.raises(FasmError, match=r"another value"):
        assemble(f"{slice_}.ALUT.INIT[63:0] = 64'b1\n{slice_}.ALUT.INIT[63:0] = 64'b11\n")
    assemble(f"{slice_}.ALUT.INIT[63:0] = 64'b1\n{slice_}.ALUT.INIT[63:0] = 64'b1\n")


def test_number_formats_agree(assemble):
    lut = "CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT"
    forms = [
        f"{lut}[7:0] = 8'b10100101",
        f"{lut}[7:0] = 8'hA5",
        f"{lut}[7:0] = 8'h_a_5",
        f"{lut}[7:0] = 165",
        f"{lut}[7:4] = 4'hA\n{lut}[3:0] = 4'd5",
        f"{lut}[7]\n{lut}[5] = 1\n{lut}[2] = 1'b1\n{lut}[0]\n{lut}[1] = 0",
    ]
    bits = [assemble(form).ones.tolist() for form in forms]
    assert all(b == bits[0] for b in bits) and len(bits[0]) == 4 + 3


def test_unknown_part():
    with pytest.raises(fasm.UserError, match="xc7z099"):
        xray.Database("xc7z099clg400-1")


# Tiles of types that differ in bus, width and aliasing.
_TILES = ["CLBLM_R_X71Y99", "CLBLL_L_X18Y0", "INT_L_X0Y0", "BRAM_L_X6Y0", "BRAM_R_X17Y0",
          "LIOB33_SING_X0Y0", "RIOI3_X73Y1", "CLK_HROW_TOP_R_X87Y78", "HCLK_L_X4Y26"]  # fmt: skip


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(_TILES), st.integers(0, 10**9)), min_size=1, max_size=20))
def test_decoding_gives_back_what_was_assembled(assemble, choices):
    """Any set of features without a conflict comes back from its bits alone."""
    database = xray.load(PART)
    text, wanted = "", set()
    for tile, choice in choices:
        table = database.table_of(database.tiles[tile])
        usable = np.flatnonzero(table.one_count > 0)
        name = f"{tile}.{table.names[usable[choice % len(usable)]]}"
        try:
            assemble(f"{text}{name}\n")
        except FasmError:
            continue  # in conflict with one that is already there
        text += f"{name}\n"
        wanted.add(name)
    placed = assemble(text)
    found = {
        f"{tiles[t].name}.{table.names[f]}"
        for table, tiles, tile, feature in decode(placed.image, database).found
        for t, f in zip(tile, feature, strict=True)
    }
    assert wanted <= found
    # What else shows is made of the same bits: nothing is left without an explanation.
    assert len(decode(placed.image, database).unexplained) == 0


def _write(folder, text):
    path = folder / "design.fasm"
    path.write_text(text)
    return path
