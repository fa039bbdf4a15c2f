"""Boards: the facts in board.toml, and the clocks that a board can make."""

import pytest

from flow.errors import UserError
from flow.implement import boards
from flow.paths import BOARDS

PYNQ = boards.load("pynq-z2")


def test_pynq_z2():
    assert (PYNQ.part, PYNQ.top) == ("xc7z020clg400-1", "pynq_z2")
    assert PYNQ.resources == {"lut": 53200, "ff": 106400, "bram36": 140, "dsp": 220}
    assert [path.name for path in PYNQ.sources][-1] == "pynq_z2.sv"
    assert "pynq-z2" in boards.names()


@pytest.mark.parametrize(
    ("limit", "clock"),
    [
        (100.0, 100.0),
        (99.99, 1000 / 11),
        (134.2, 125.0),
        (1e4, 1000.0),
        (1000 / 67, 1000 / 68),  # 67 is prime and too large for one divisor
        (1000 / 3969, 1000 / 3969),
    ],
)
def test_fastest_clock_the_board_can_make(limit, clock):
    assert PYNQ.clock_at_most(limit) == pytest.approx(clock)


def test_too_slow_a_clock():
    with pytest.raises(UserError, match=r"pynq-z2: no clock of 0\.2 MHz or less"):
        PYNQ.clock_at_most(0.2)


def test_unknown_board_lists_the_known():
    with pytest.raises(UserError, match=r"no board 'zedboard'; there are: .*pynq-z2"):
        boards.load("zedboard")


def copy_of_pynq(folder, old, new):
    text = (BOARDS / "pynq-z2" / "board.toml").read_text()
    assert old in text
    (folder / "mine").mkdir()
    (folder / "mine" / "board.toml").write_text(text.replace(old, new))
    (folder / "mine" / "pynq_z2.xdc").touch()


def test_a_copy_loads(tmp_path):
    copy_of_pynq(tmp_path, "TUL", "My")
    assert boards.load("mine", tmp_path).title == "My PYNQ-Z2 (Zynq-7020)"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("top =", "tob =", "key 'top' is missing"),
        ("pll_mhz = 1000", "pll_mhz = 'fast'", "key 'pll_mhz' has the wrong type"),
        ("dsp = 220", "dsp = 220\nuram = 1", "uram"),
        ("max_divisor = 63", "max_divisor = 63\nspeed = 2", "unknown key 'speed'"),
        ("pynq_z2.xdc", "other.xdc", r"other\.xdc, which is not there"),
        ("MAXIGP0 = [52, ", "MAXIGP0 = [", "needs four numbers: x0, y0, x1, y1"),
        ("[clock]", "[clock", "board.toml"),
    ],
)
def test_a_broken_board_is_refused(tmp_path, old, new, message):
    copy_of_pynq(tmp_path, old, new)
    with pytest.raises(UserError, match=message):
        boards.load("mine", tmp_path)
