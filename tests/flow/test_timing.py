"""Timing: the SDF that nextpnr writes, the worst of all paths, and the guard for the clock."""

import json

import pytest

from flow.implement import timing
from flow.implement.timing import Delays, TimingError, read_sdf, worst_path

SDF = r"""
(DELAYFILE
  (TIMESCALE 1ps)
  (CELL
    (CELLTYPE "top")
    (INSTANCE )
    (DELAY
      (ABSOLUTE
        (INTERCONNECT core.a\[0\]/Q lut\$1/A1 (300:400:500) (300:400:600))
        (INTERCONNECT core.a\[0\]/Q core.b/CE (100:100:4000) (100:100:4000))
        (INTERCONNECT lut\$1/O6 core.b/D (700:700:700) (700:700:700))
      )
    )
  )
  (CELL
    (CELLTYPE "SLICE_LUTX")
    (INSTANCE lut\$1)
    (DELAY
      (ABSOLUTE
        (IOPATH A1 O6 (120:120:125) (120:120:125))
      )
    )
    )
  (CELL
    (CELLTYPE "SLICE_FFX")
    (INSTANCE core.a\[0\])
    (DELAY
      (ABSOLUTE
        (IOPATH CK Q (300:325:350) (300:325:350))
      )
    )
    (TIMINGCHECK
      (SETUPHOLD (posedge D) (posedge CK) (100:100:100) (200:200:200))
    )
    )
  (CELL
    (CELLTYPE "SLICE_FFX")
    (INSTANCE core.b)
    (DELAY
      (ABSOLUTE
        (IOPATH CK Q (300:325:350) (300:325:350))
      )
    )
    (TIMINGCHECK
      (SETUPHOLD (posedge D) (posedge CK) (100:100:100) (200:200:200))
      (SETUPHOLD (negedge D) (posedge CK) (100:100:130) (200:200:200))
    )
    )
)
"""


def test_read_sdf(tmp_path):
    (tmp_path / "d.sdf").write_text(SDF)
    delays = read_sdf(tmp_path / "d.sdf")
    assert delays.wires[0] == (("core.a[0]", "Q"), ("lut$1", "A1"), 600.0)
    assert delays.arcs["lut$1"] == [("A1", "O6", 125.0)]
    assert delays.setups["core.b"] == {"D": 130.0}
    assert delays.clocks["core.b"] == {"CK"}
    path = worst_path(delays)
    assert path.delay_ns == pytest.approx(0.35 + 0.6 + 0.125 + 0.7 + 0.13)
    assert (path.start, path.end, path.levels) == ("core.a[0]", "core.b", 1)
    assert [(s.cell, s.wire_ns) for s in path.steps] == [("core.a[0]", 0.6), ("lut$1", 0.7)]
    assert path.fmax_mhz == pytest.approx(1000 / path.delay_ns)


def chain(delays: Delays, name: str, luts: list[float], wire: float, end: str = "end") -> None:
    """Add a path from flip-flop `name` through LUTs of these delays to flip-flop `end`."""
    for flip_flop in (name, end):
        delays.types[flip_flop] = "SLICE_FFX"
        delays.arcs[flip_flop] = [("CK", "Q", 350.0)]
        delays.clocks[flip_flop] = {"CK"}
    delays.setups.setdefault(end, {})[f"D_{name}"] = 100.0
    at = (name, "Q")
    for index, delay in enumerate(luts):
        lut = f"{name}_lut{index}"
        delays.types[lut] = "SLICE_LUTX"
        delays.arcs[lut] = [("A1", "O6", delay)]
        delays.wires.append((at, (lut, "A1"), wire))
        at = (lut, "O6")
    delays.wires.append((at, (end, f"D_{name}"), wire))


def test_the_slowest_path_is_found_and_the_clock_has_a_guard():
    delays = Delays()
    chain(delays, "far", [125.0], wire=2000.0)  # long wires, one LUT
    chain(delays, "deep", [625.0] * 5, wire=300.0)  # short wires, five LUTs
    path = worst_path(delays)
    assert (path.start, path.levels) == ("deep", 5)
    assert path.delay_ns == pytest.approx(0.35 + 5 * 0.625 + 6 * 0.3 + 0.1)
    assert path.guarded_mhz == pytest.approx(1000 / (path.delay_ns + timing.GUARD_NS))
    assert sum(s.logic_ns + s.wire_ns for s in path.steps) + path.setup_ns == pytest.approx(
        path.delay_ns
    )


def test_the_latest_of_several_inputs_counts():
    delays = Delays()
    chain(delays, "a", [100.0], wire=500.0)
    delays.wires.append((("late", "Q"), ("a_lut0", "A2"), 900.0))
    delays.arcs["a_lut0"].append(("A2", "O6", 80.0))
    delays.types["late"], delays.arcs["late"] = "SLICE_FFX", [("CK", "Q", 350.0)]
    delays.clocks["late"] = {"CK"}
    path = worst_path(delays)
    assert path.start == "late"
    assert path.delay_ns == pytest.approx(0.35 + 0.9 + 0.08 + 0.5 + 0.1)


def test_pins_that_nothing_clocked_drives_are_left_out():
    delays = Delays()
    chain(delays, "a", [100.0], wire=500.0)
    delays.wires.append((("constant", "Y"), ("a_lut0", "A6"), 9000.0))
    delays.arcs["a_lut0"].append(("A6", "O6", 9000.0))
    delays.types["constant"] = "PSEUDO_VCC"
    assert worst_path(delays).start == "a"


def test_a_loop_is_named():
    delays = Delays()
    chain(delays, "a", [100.0, 100.0], wire=500.0)
    delays.wires.append((("a_lut1", "O6"), ("a_lut0", "A2"), 100.0))
    delays.arcs["a_lut0"].append(("A2", "O6", 80.0))
    with pytest.raises(TimingError, match=r"combinational loop through (a_lut\d|end)"):
        worst_path(delays)


def test_nothing_to_time():
    with pytest.raises(TimingError, match="no path"):
        worst_path(Delays())


def test_paths_get_names_and_listings():
    delays = Delays()
    chain(delays, "a", [100.0], wire=500.0)
    path = worst_path(delays).named({"a": "core.fc1.sum_q[3]", "end": "core.fc1.out_q"})
    assert timing.describe(path) == (
        "core.fc1.sum_q[3] -> core.fc1.out_q, 1.55 ns over 1 LUTs and 2 wires"
    )
    assert json.loads(json.dumps(timing.listing(path))) == [
        {"cell": "core.fc1.sum_q[3]", "type": "SLICE_FFX", "logic_ns": 0.35, "wire_ns": 0.5},
        {"cell": "a_lut0", "type": "SLICE_LUTX", "logic_ns": 0.1, "wire_ns": 0.5},
    ]


def test_slow_cells_are_timed_apart():
    delays = Delays()
    chain(delays, "reset", [125.0], wire=9000.0)
    chain(delays, "data", [125.0], wire=1000.0)
    assert worst_path(delays).start == "reset"
    assert worst_path(delays, slow={"reset"}).start == "data"
    assert worst_path(delays, slow={"reset"}, only_slow=True).start == "reset"


def test_the_ps7_is_a_clocked_cell_but_for_its_clocks():
    delays = Delays(
        wires=[
            (("a", "Q"), ("ps7", "SAXIHP0WDATA5"), 6000.0),
            (("ps7", "MAXIGP0WVALID"), ("b", "D"), 5000.0),
            (("ps7", "FCLKRESETN0"), ("b", "R"), 9000.0),
        ],
        arcs={"a": [("CK", "Q", 350.0)]},
        setups={"b": {"D": 100.0, "R": 100.0}},
        clocks={"a": {"CK"}, "b": {"CK"}},
        types={"a": "SLICE_FFX", "b": "SLICE_FFX", "ps7": "PS7_PS7"},
    )
    path = worst_path(delays)
    assert (path.start, path.end) == ("a", "ps7")
    assert path.delay_ns == pytest.approx(0.35 + 6.0 + timing.PS7_NS)
    delays.wires[0] = (*delays.wires[0][:2], 4000.0)
    path = worst_path(delays)
    assert (path.start, path.end) == ("ps7", "b")
    assert path.delay_ns == pytest.approx(timing.PS7_NS + 5.0 + 0.1)
