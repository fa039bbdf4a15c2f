"""Two LUTs of the same five inputs in one physical LUT: what nextpnr does not do by itself.

hw/rtl/lut5_pair.sv asks for a LUT6_2, one physical LUT with two outputs. nextpnr's packer knows the
name and then finds no place for the second output. So `halve` makes two LUT5 of each LUT6_2 before
place and route, and two scripts lay them together: nextpnr places them apart, at most beside each
other, and once all cells lie somewhere, the second moves one half into the free half of the other's
physical LUT, where nextpnr's own check of the slice allows that, with the flip-flop behind it where
it must go along. What the bitstream then holds is proved like any other (flow/bits/prove.py); a
pair that finds no place together stays apart and counts as two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOWER = "$lower"
"""Ends the name of the half with output O5; the other half keeps the name of the LUT6_2."""
INPUTS = ("I0", "I1", "I2", "I3", "I4")


def halve(module: dict[str, Any]) -> list[tuple[str, str]]:
    """Replace, in place, every LUT6_2 of a Yosys JSON module by two LUT5; return their names.

    Raises ValueError where I5 is not 1: then O6 is a function of six inputs.
    """
    cells = module["cells"]
    found = [name for name, cell in cells.items() if cell["type"] == "LUT6_2"]
    for name in found:
        cell = cells[name]
        wires = cell["connections"]
        if wires["I5"] != ["1"]:
            raise ValueError(f"{name}: I5 of a LUT6_2 must be 1")
        table = int(cell["parameters"]["INIT"], 2)
        for half, output, init in ((name, "O6", table >> 32), (name + LOWER, "O5", table)):
            cells[half] = {
                **cell,
                "type": "LUT5",
                "parameters": {"INIT": f"{init & 0xFFFF_FFFF:032b}"},
                "port_directions": {**dict.fromkeys(INPUTS, "input"), "O": "output"},
                "connections": {**{pin: wires[pin] for pin in INPUTS}, "O": wires[output]},
            }
    return [(name, name + LOWER) for name in found]


def write(netlist: Path, folder: Path, first: str = "") -> tuple[str, list[str]]:
    """Write to `folder` the netlist with all LUT6_2 halved, and nextpnr's scripts.

    netlist: of Yosys, with one module. first: Python that is to run before cells are placed.
    Returns the name of the new netlist and nextpnr's options for the scripts.
    """
    body = json.loads(netlist.read_text())
    pairs = [pair for module in body["modules"].values() for pair in halve(module)]
    (folder / "halved.json").write_text(json.dumps(body))
    (folder / "before_place.py").write_text(f"PAIRS = {pairs!r}\n{_PREPARE}\n{first}")
    (folder / "before_route.py").write_text(f"PAIRS = {pairs!r}\n{_MERGE}")
    options = ["--pre-place", "before_place.py", "--pre-route", "before_route.py"]
    return "halved.json", options


_PREPARE = """
cells = {item.first: item.second for item in ctx.cells}
for name in (name for pair in PAIRS for name in pair):
    present = {port.first for port in cells[name].ports}
    for pin in ("A1", "A2", "A3", "A4", "A5", "A6"):
        if pin not in present:
            cells[name].addInput(pin)
    for pin in ("O5", "O6"):
        if pin not in present:
            cells[name].addOutput(pin)
"""

_MERGE = """
VCC = "$PACKER_VCC_NET"
PINS = ["A1", "A2", "A3", "A4", "A5", "A6"]
ORIGIN = "X_ORIG_PORT_"


def nets(cell):
    return {p.first: p.second.net for p in cell.ports if p.second.net is not None}


def inputs(cell):
    found = nets(cell)
    return {pin: found[pin].name for pin in PINS if pin in found and found[pin].name != VCC}


def origins(cell):
    return {a.first: a.second for a in cell.attrs if a.first.startswith(ORIGIN)}


def valid(*bels):
    return all(ctx.isBelLocationValid(bel, False) for bel in bels)


def shift(cell, bel):
    # Puts a cell elsewhere; its place is free, and may turn out not to be valid.
    ctx.unbindBel(cell.bel)
    ctx.bindBel(bel, cell, STRENGTH_WEAK)


def join(stay, go):
    # Moves LUT `go` beside LUT `stay`, into the half of its physical LUT that is free.
    lut = stay.bel[:-4]
    upper = stay.bel.endswith("5LUT")
    target, old = lut + ("6LUT" if upper else "5LUT"), go.bel
    if not ctx.checkBelAvail(target) or len(set(inputs(stay).values())) != 5:
        return False
    if sorted(inputs(stay).values()) != sorted(inputs(go).values()):
        return False
    shift(go, target)
    if valid(target, old) or (valid(target) and follow(go, lut, old)):
        rewire(stay, go, upper)
        return True
    shift(go, old)
    return False


def follow(go, lut, old):
    # A flip-flop that lay behind LUT `go` and whose input has no other way in goes along.
    outputs = nets(go)
    users = (outputs.get("O6") or outputs.get("O5")).users
    behind = [u.cell for u in users if u.cell.type == "SLICE_FFX" and u.port == "D"]
    behind = [cell for cell in behind if cell.bel.rpartition(".")[0] == old.rpartition(".")[0]]
    if len(behind) != 1:
        return False
    before = behind[0].bel
    for place in (lut + "FF", lut + "5FF"):
        if ctx.checkBelAvail(place):
            shift(behind[0], place)
            if valid(place, go.bel, old, before):
                return True
            shift(behind[0], before)
    return False


def rewire(stay, go, upper):
    # Both halves of a physical LUT share its inputs, pin by pin; O6 is right only where A6 is 1.
    attributes, wires = origins(go), nets(go)
    origin = {net: attributes[ORIGIN + pin] for pin, net in inputs(go).items()}
    for pin in PINS:
        if pin in wires:
            ctx.disconnectPort(go.name, pin)
        if ORIGIN + pin in attributes:
            go.unsetAttr(ORIGIN + pin)
    for pin, net in inputs(stay).items():
        ctx.connectPort(net, go.name, pin)
        go.setAttr(ORIGIN + pin, origin[net])
    now, before = ("O6", "O5") if upper else ("O5", "O6")
    if before in wires:
        net = wires[before].name
        ctx.disconnectPort(go.name, before)
        if now not in {port.first for port in go.ports}:
            go.addOutput(now)
        ctx.connectPort(net, go.name, now)
        go.unsetAttr(ORIGIN + before)
        go.setAttr(ORIGIN + now, "O")
    above = go if upper else stay
    if "A6" not in nets(above):
        if "A6" not in {port.first for port in above.ports}:
            above.addInput("A6")
        ctx.connectPort(VCC, above.name, "A6")


cells = {item.first: item.second for item in ctx.cells}
count = {"together": 0, "moved": 0, "apart": 0}
for high, low in PAIRS:
    first, second = cells[high], cells[low]
    if first.bel[:-4] == second.bel[:-4]:
        count["together"] += 1
    elif join(first, second) or join(second, first):
        count["moved"] += 1
    else:
        count["apart"] += 1
print("LUT pairs:", count)
"""
