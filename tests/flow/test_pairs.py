"""LUTs with two outputs: their halves, and where nextpnr puts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.implement import pairs, placed
from flow.rtl import lane_cost


def lut6_2(init: int, last: str = "1") -> dict:
    inputs = {f"I{n}": [2 + n] for n in range(5)} | {"I5": [last]}
    return {
        "type": "LUT6_2",
        "parameters": {"INIT": f"{init:064b}"},
        "attributes": {},
        "port_directions": dict.fromkeys(inputs, "input") | {"O5": "output", "O6": "output"},
        "connections": inputs | {"O5": [10], "O6": [11]},
    }


@given(st.integers(0, 2**64 - 1))
def test_halves_have_the_tables_of_the_outputs(init: int) -> None:
    module = {"cells": {"u": lut6_2(init), "other": {"type": "LUT5"}}}
    ((high, low),) = pairs.halve(module)
    assert set(module["cells"]) == {high, low, "other"} and high == "u"
    for name, net, shift in ((high, 11, 32), (low, 10, 0)):
        cell = module["cells"][name]
        assert cell["type"] == "LUT5"
        assert int(cell["parameters"]["INIT"], 2) == init >> shift & 0xFFFF_FFFF
        assert cell["connections"] == {f"I{n}": [2 + n] for n in range(5)} | {"O": [net]}
        assert cell["port_directions"].keys() == cell["connections"].keys()


def test_six_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="u: I5 of a LUT6_2 must be 1"):
        pairs.halve({"cells": {"u": lut6_2(1, last="0")}})


@pytest.mark.slow
def test_both_halves_lie_in_one_physical_lut(tmp_path: Path) -> None:
    lane_cost.route("popcount", 70, tmp_path)
    netlist = placed.read_netlist(tmp_path / "routed.json")
    placed.check_pins(netlist)
    cells = placed.cells(netlist)
    site = {cell.name: cell.site for cell in cells if cell.type == "SLICE_LUTX"}
    lower = [name for name in site if name.endswith(pairs.LOWER)]
    assert len(lower) == 20  # ten chains of seven lanes
    assert all(site[name] == site[name.removesuffix(pairs.LOWER)] for name in lower)
    halves = {cell.name: cell.upper for cell in cells}
    assert all(halves[name] != halves[name.removesuffix(pairs.LOWER)] for name in lower)
