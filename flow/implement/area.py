"""Which part of the design each placed cell belongs to, and what each part takes of the device.

Synthesis flattens the design and logic optimisation drops most names, but flip-flops, block RAMs
and carry chains still drive nets with hierarchical names. A cell is told by such a name where it
has one; any other belongs where most of the cells go that it drives, or else where most of the
cells are that drive it. Every cell gets exactly one owner, so the parts add up to the whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from flow.implement import pairs
from flow.implement.placed import PlacedCell, module

SHELL = "shell"
JOINTS = "joints"
"""Logic of the core that belongs to no unit of its top module."""

# Last parts of names that a net has at the module that reads it, not at the one that drives it.
_READ = ("s_axis_", "aclk", "aresetn")


def unit_of(name: str, core: str = "core") -> str:
    """The part that the RTL's name of a net tells of: a unit of the core, or the shell."""
    parts = name.split(".")
    if parts[0] != core:
        return SHELL
    return parts[1] if len(parts) > 2 else JOINTS


def net_owners(names: Mapping[str, Any]) -> dict[int, str]:
    """Owner of each net of a Yosys netlist that has a telling name; the deepest such name counts.

    Names at the reading end of a stream count only where there is no other.
    """
    best: dict[int, tuple[tuple[bool, int], str]] = {}
    for name, net in names.items():
        if net.get("hide_name") or name.startswith("$"):
            continue
        unit = unit_of(name)
        local = name.rpartition(".")[2]
        rank = (not local.startswith(_READ), name.count("."))
        for bit in net["bits"]:
            if isinstance(bit, int) and (bit not in best or rank > best[bit][0]):
                best[bit] = (rank, unit)
    return {bit: unit for bit, (_, unit) in best.items()}


def owners(
    placed: list[PlacedCell],
    netlist: dict[str, Any],
    mapped_cells: Mapping[str, Any],
    mapped_names: Mapping[str, Any],
) -> dict[str, str]:
    """Owner of every placed cell. `netlist` is nextpnr's, `mapped_*` are Yosys' before it."""
    by_net = net_owners(mapped_names)
    owner: dict[str, str] = {}
    for name, cell in mapped_cells.items():
        votes = Counter(
            by_net[bit]
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for bit in bits
            if bit in by_net
        )
        if votes:
            owner[name] = _first(votes)
    names = {cell.name for cell in placed}
    found = {name: owner[base] for name in names if (base := _base(name)) in owner}
    drives, driven = _neighbours(netlist, names)
    for neighbours in (drives, driven, drives, driven):
        _spread(found, neighbours, names)
    return {name: found.get(name, SHELL) for name in names}


def _base(name: str) -> str:
    """The mapped cell that a packed carry chain, pad, buffer or half of a LUT was made from."""
    for mark in ("$split$", "$PACKED", "$intcell$", pairs.LOWER):
        name = name.split(mark)[0]
    return name


def _neighbours(
    netlist: dict[str, Any], names: set[str]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    source: dict[int, str] = {}
    sinks: dict[int, list[str]] = defaultdict(list)
    for name, cell in module(netlist)["cells"].items():
        if name not in names:
            continue
        for port, bits in cell["connections"].items():
            for bit in bits:
                if cell["port_directions"][port] == "output":
                    source[bit] = name
                else:
                    sinks[bit].append(name)
    drives: dict[str, list[str]] = defaultdict(list)
    driven: dict[str, list[str]] = defaultdict(list)
    for bit, name in source.items():
        for sink in sinks.get(bit, ()):
            drives[name].append(sink)
            driven[sink].append(name)
    return drives, driven


def _spread(found: dict[str, str], neighbours: dict[str, list[str]], names: set[str]) -> None:
    """Give cells without an owner that of most of their neighbours, until nothing changes."""
    waiting = sorted(names - found.keys())
    while True:
        new = {}
        for name in waiting:
            votes = Counter(found[n] for n in neighbours.get(name, ()) if n in found)
            if votes:
                new[name] = _first(votes)
        if not new:
            return
        found.update(new)
        waiting = [name for name in waiting if name not in new]


def _first(votes: Counter) -> str:
    """The most frequent; of equally frequent ones the first by name."""
    return min(votes, key=lambda unit: (-votes[unit], unit))


def by_layer(
    placed: list[PlacedCell], owner: Mapping[str, str], layer_of: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Area of every part: [{"name", "lut", "ff", "bram36"}], layers first, in the given order.

    layer_of: the layer that each unit of the core serves; other parts keep their names. A
    physical LUT shared by two parts counts for the one in its upper half (the O6 output).
    """
    order = [*dict.fromkeys(layer_of.values()), JOINTS, SHELL]
    table: dict[str, dict[str, Any]] = {
        name: {"name": name, "lut": 0, "ff": 0, "bram36": 0.0} for name in order
    }
    luts: dict[str, str] = {}
    for cell in sorted(placed, key=lambda c: c.name):
        part = owner[cell.name]
        part = layer_of.get(part, part)
        row = table.setdefault(part, {"name": part, "lut": 0, "ff": 0, "bram36": 0.0})
        if cell.type == "SLICE_LUTX":
            if cell.upper or cell.site not in luts:
                luts[cell.site] = part
        elif cell.type == "SLICE_FFX":
            row["ff"] += 1
        elif cell.type.startswith("RAMB36"):
            row["bram36"] += 1
        elif cell.type.startswith("RAMB18"):
            row["bram36"] += 0.5
    for part in luts.values():
        table[part]["lut"] += 1
    return [row for row in table.values() if row["name"] != JOINTS or any(_figures(row))]


def parts(layers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Area of the shell, and of the core: all rows of `by_layer` but the shell's."""
    shell = next(row for row in layers if row["name"] == SHELL)
    kinds = ("lut", "ff", "bram36")
    return {
        "shell": {kind: shell[kind] for kind in kinds},
        "core": {kind: sum(row[kind] for row in layers if row is not shell) for kind in kinds},
    }


def _figures(row: dict[str, Any]) -> list[float]:
    return [row["lut"], row["ff"], row["bram36"]]
