"""A .bit file shows what was placed; anything else in it is found and named."""

import numpy as np
import pytest

from flow import tools
from flow.bits import fasm, readback
from flow.bits.decode import decode, read_bit
from flow.bits.xray import FRAME_BITS
from flow.errors import MismatchError

PART = "xc7z020clg400-1"
SLICE = "CLBLM_R_X71Y99.SLICEM_X0"

SMALL = f"""
{SLICE}.ALUT.INIT[63:0] = 64'h0123456789abcdef
{SLICE}.AFF.ZRST
{SLICE}.AFFMUX.XOR
{SLICE}.NOCLKINV
INT_L_X0Y0.BYP_ALT0.EE2END0
BRAM_L_X6Y0.RAMB18_Y1.INIT_0A[255:0] = 256'h8000000000000000deadbeef
BRAM_L_X6Y0.RAMB18_Y1.IN_USE
RIOB33_X73Y87.IOB_Y0.LVCMOS33_LVTTL.DRIVE.I12_I8
RIOB33_X73Y87.IOB_Y0.PULLTYPE.NONE
"""


@pytest.fixture
def placed(tmp_path):
    path = tmp_path / "design.fasm"
    path.write_text(SMALL)
    return fasm.read(path, PART)


def build(folder, text: str):
    """The .bit file of a FASM text."""
    path = folder / "built.fasm"
    path.write_text(text)
    fasm.assemble(path, PART, folder / "built.frames")
    return fasm.write_bit(folder / "built.frames", PART, folder / "built.bit")


def test_bit_file_round_trip(tmp_path, placed):
    bit = build(tmp_path, SMALL)
    result = readback.read_back(bit, tmp_path / "design.fasm", PART)
    assert (result.missing, result.extra) == ([], [])
    # LUT 32, RAM 25 ones and in use, slice 2, switch 1, pad 2, the part's own 3
    ones = (0x0123456789ABCDEF).bit_count() + (0x8000000000000000DEADBEEF).bit_count()
    assert result.features == ones + 1 + 2 + 1 + 2 + 3
    assert result.bits == len(placed.ones)
    assert result.check() is result


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("9abcdef", "9abcdee", f"{SLICE}.ALUT.INIT[0]"),
        ("64'h0", "64'h8", f"{SLICE}.ALUT.INIT[63]"),
        (f"{SLICE}.AFF.ZRST\n", "", f"{SLICE}.AFF.ZRST"),
        ("EE2END0", "LOGIC_OUTS_L0", "INT_L_X0Y0.BYP_ALT0."),
        ("deadbeef", "deadbeee", "BRAM_L_X6Y0.RAMB18_Y1.INIT_0A[0]"),
        ("I12_I8", "I4", "RIOB33_X73Y87.IOB_Y0."),
    ],
)
def test_a_changed_fasm_is_named(tmp_path, placed, old, new, named):
    """One LUT bit, one flip-flop, one switch, one memory bit, one pad's drive: each is found."""
    assert SMALL.count(old) == 1
    image = read_bit(build(tmp_path, SMALL.replace(old, new)), PART)
    result = readback.compare(image, placed)
    differences = result.missing + result.extra
    assert any(name.startswith(named) for name in differences), differences
    with pytest.raises(MismatchError) as error:
        result.check()
    assert error.value.where in differences


def test_each_flipped_bit_is_found(placed):
    """Flip any one bit of the device: set bits, bits beside them, bits far away."""
    database = placed.database
    rng = np.random.default_rng(7)
    near = rng.choice(placed.ones, 12, replace=False)
    beside = near[:6] + rng.choice([-1, 1, 32, FRAME_BITS], 6)
    far = rng.integers(0, len(placed.image), 6)
    for position in np.concatenate([near, beside, far]).tolist():
        image = placed.image.copy()
        image[position] ^= 1
        result = readback.compare(image, placed)
        place = database.position_name(position)
        assert place in (result.missing if placed.image[position] else result.extra)


def test_flipped_bits_in_the_file_name_the_feature(tmp_path, placed):
    """Change the frames after assembly, so that the .bit file itself is wrong."""
    table = placed.database.table_of(placed.database.tiles["CLBLM_R_X71Y99"])
    feature = int(table.vectors["SLICEM_X0.BLUT.INIT"][17])
    base = placed.database.tiles["CLBLM_R_X71Y99"].base[0]
    image = placed.image.copy()
    image[base + table.ones_of(feature)] ^= 1
    fasm.write_frames(image, placed.database, tmp_path / "wrong.frames")
    bit = fasm.write_bit(tmp_path / "wrong.frames", PART, tmp_path / "wrong.bit")
    result = readback.read_back(bit, tmp_path / "design.fasm", PART)
    assert result.missing == []
    assert result.extra[0] == f"{SLICE}.BLUT.INIT[17]"


def test_weaker_setting_within_a_stronger_one_is_no_extra(tmp_path):
    """A5FFMUX.IN_B is one bit of DOUTMUX.MC31; alone it is a feature of its own."""
    for text in (f"{SLICE}.DOUTMUX.MC31\n", f"{SLICE}.A5FFMUX.IN_B\n"):
        path = tmp_path / "design.fasm"
        path.write_text(text)
        placed = fasm.read(path, PART)
        result = readback.compare(placed.image, placed)
        assert (result.missing, result.extra) == ([], [])
    inner = placed
    path.write_text(f"{SLICE}.DOUTMUX.MC31\n")
    outer = fasm.read(path, PART)
    assert f"{SLICE}.DOUTMUX.MC31" in readback.compare(outer.image, inner).extra
    assert f"{SLICE}.DOUTMUX.MC31" in readback.compare(inner.image, outer).missing


def test_empty_bitstream(placed):
    result = readback.compare(np.zeros_like(placed.image), placed)
    assert result.features == 0 and result.extra == []
    assert len(result.missing) > 60
    assert len(decode(np.zeros_like(placed.image), placed.database).unexplained) == 0


def test_not_a_bitstream(tmp_path):
    (tmp_path / "text.bit").write_text("no bitstream")
    with pytest.raises((tools.ToolError, fasm.UserError), match=r"text\.bit|bitread"):
        read_bit(tmp_path / "text.bit", PART)
