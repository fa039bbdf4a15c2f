"""What nextpnr placed: cells on sites, read from the JSON netlist that it writes after routing.

Two things about that netlist need care.

- After routing, nextpnr renames the inputs of LUTs to the physical pins that the router chose,
  and gives both halves of a shared LUT all inputs of both. Only the pins with an `X_ORIG_PORT_*`
  attribute are inputs of the cell itself; its value names them ("I0", or "I0 I2" where one wire
  serves two inputs). `logical_netlist` turns this back, for the timing analysis.
- Where one physical pin serves several inputs, nextpnr may write their names run together
  ("I1I3 ") and then configures another function, silently. `check_pins` refuses such a result.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LUT_PINS = tuple(f"A{n}" for n in range(1, 7))
_ORIGIN = "X_ORIG_PORT_"
_BEL = re.compile(r"X(\d+)Y(\d+)/(?:(\w+)\.)?(\w+)")
_LUT_BEL = re.compile(r"(X\d+Y\d+/SLICE_X\dY\d\.[A-D])([56])LUT")
_INPUTS = re.compile(r"I\d(?: I\d)*")
# A wire of the router: from physical pin `pin` of a LUT to the input `input` of the LUT inside.
_SWAP = re.compile(
    r"(?P<lut>X\d+Y\d+/SLICE_X\dY\d\.[A-D])(?P<input>[1-6]);"
    r"X\d+Y\d+/SLICE_X\dY\d\.[A-D][1-6]/CLB\w+_[A-D](?P<pin>[1-6]);"
)


class PlacementFault(Exception):
    """nextpnr's result is not what it was asked for; another seed may do better."""


@dataclass(frozen=True)
class PlacedCell:
    """A cell on its place: `x`, `y` are the tile's column and row in the device's grid, (0, 0)
    the top left corner. `site` is the physical LUT of a LUT cell, else the bel; `upper` tells the
    half with output O6 of a LUT from the one with O5."""

    name: str
    type: str
    x: int
    y: int
    site: str
    upper: bool = True


def read_netlist(path: Path) -> dict[str, Any]:
    """nextpnr's JSON netlist."""
    return json.loads(path.read_text())


def module(netlist: dict[str, Any]) -> dict[str, Any]:
    """The one module in it."""
    return netlist["modules"]["top"]


def cells(netlist: dict[str, Any]) -> list[PlacedCell]:
    """All cells that lie somewhere, constants and pads without logic left out."""
    found = []
    for name, cell in module(netlist)["cells"].items():
        bel = cell["attributes"].get("NEXTPNR_BEL", "")
        match = _BEL.match(bel)
        if not match or cell["type"].startswith("PSEUDO"):
            continue
        lut = _LUT_BEL.fullmatch(bel)
        site = lut[1] if lut else bel
        upper = not lut or lut[2] == "6"
        found.append(PlacedCell(name, cell["type"], int(match[1]), int(match[2]), site, upper))
    return found


def area(placed: list[PlacedCell]) -> dict[str, float]:
    """Physical LUTs, flip-flops, block RAMs (of 36 kbit; half a one counts 0.5) and DSPs in use.

    Two small LUTs in one physical LUT count once, as in the vendor's reports.
    """
    count: dict[str, int] = defaultdict(int)
    for cell in placed:
        count[cell.type] += 1
    return {
        "lut": len({cell.site for cell in placed if cell.type == "SLICE_LUTX"}),
        "ff": count["SLICE_FFX"],
        "bram36": count["RAMB36E1_RAMB36E1"] + 0.5 * count["RAMB18E1_RAMB18E1"],
        "dsp": count["DSP48E1_DSP48E1"],
    }


def check_pins(netlist: dict[str, Any]) -> None:
    """Raise PlacementFault at a LUT whose inputs nextpnr wrote so that it misread them itself."""
    for name, cell in module(netlist)["cells"].items():
        if cell["type"] != "SLICE_LUTX":
            continue
        for pin in LUT_PINS:
            inputs = cell["attributes"].get(_ORIGIN + pin)
            if inputs is not None and not _INPUTS.fullmatch(inputs):
                raise PlacementFault(f"{name}: nextpnr lost which inputs pin {pin} serves")


def logical_netlist(netlist: dict[str, Any]) -> None:
    """Give the inputs of LUTs, in place, the names they had while the router worked.

    Inputs of the other half of a shared LUT are removed, and with them paths that do not exist.
    """
    luts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell in module(netlist)["cells"].values():
        if cell["type"] == "SLICE_LUTX":
            match = _LUT_BEL.fullmatch(cell["attributes"]["NEXTPNR_BEL"])
            assert match, cell["attributes"]["NEXTPNR_BEL"]
            luts[match[1]].append(cell)
    inputs: dict[int, dict[str, tuple[list[int], str]]] = defaultdict(dict)
    for net in module(netlist)["netnames"].values():
        for swap in _SWAP.finditer(net["attributes"].get("ROUTING", "")):
            pin = f"A{swap['pin']}"
            for cell in luts[swap["lut"]]:
                origin = cell["attributes"].get(_ORIGIN + pin)
                if origin and cell["connections"].get(pin) == net["bits"]:
                    inputs[id(cell)][f"A{swap['input']}"] = (net["bits"], origin)
    for half in luts.values():
        for cell in half:
            for pin in LUT_PINS:
                cell["connections"].pop(pin, None)
                cell["port_directions"].pop(pin, None)
                cell["attributes"].pop(_ORIGIN + pin, None)
            for pin, (bits, origin) in inputs[id(cell)].items():
                cell["connections"][pin] = bits
                cell["port_directions"][pin] = "input"
                cell["attributes"][_ORIGIN + pin] = origin
