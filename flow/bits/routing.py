"""Follow the routing of a placed design backwards, from FASM and the device's wires alone.

A wire belongs to one tile; `tileconn.json` says which wires of neighbouring tiles are one piece of
metal. All wires of such a piece are a node here. A node is driven by at most one thing:

1. a placed routing switch (a feature `destination.source`) whose destination is in the node;
2. else the output pin of a site;
3. else a connection that is always there (`always` in ppips_*.db, or one without a set bit);
4. else the wire's own default (`default`: inputs that nothing drives read 1).

nextpnr's netlist is not consulted, so that a wrong switch shows as a wrong netlist.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flow.bits.fasm import Placed
from flow.bits.xray import ALWAYS, BITS, DEFAULT, NOTHING, Database, Tile
from flow.errors import UserError

Wire = tuple[int, str]
"""Number of the tile, name of the wire."""


class RoutingError(UserError):
    """The routing makes no sense: two drivers of one node, a loop of switches."""


@dataclass(frozen=True)
class Pin:
    """A pin of a site: its tile, the site's index in the tile type's list, and the pin's name."""

    tile: Tile
    site: int
    pin: str


ONE, ZERO = "1", "0"
Source = Pin | str | None
"""What drives a node: a site's output pin, a constant ONE or ZERO, or nothing."""

_CONSTANTS = {"VCC_WIRE": ONE, "GND_WIRE": ZERO}
_SLICE_OUTPUTS = frozenset(
    {"COUT"} | {f"{letter}{end}" for letter in "ABCD" for end in ("", "MUX", "Q")}
)
# Output pins of the site types that are modelled. The database does not give directions.
_OUTPUTS = {
    "SLICEL": _SLICE_OUTPUTS.__contains__,
    "SLICEM": _SLICE_OUTPUTS.__contains__,
    "BUFGCTRL": {"O"}.__contains__,
    "BUFHCE": {"O"}.__contains__,
    "OLOGICE3": {"OQ"}.__contains__,
    "FIFO18E1": lambda pin: pin.startswith("DO"),
    "RAMB18E1": lambda pin: pin.startswith("DO"),
    "RAMBFIFO36E1": lambda pin: pin.startswith("DO"),
}


class Routing:
    """The routing of one placed design."""

    def __init__(self, placed: Placed):
        self.database: Database = placed.database
        self.by_number = list(self.database.tiles.values())
        self.switches: dict[Wire, str] = {}
        for group in placed.groups:
            table = group.table
            routes = np.flatnonzero(table.destination[group.feature] != NOTHING)
            for t, f in zip(
                group.tile[routes].tolist(), group.feature[routes].tolist(), strict=True
            ):
                if table.kind[f] != DEFAULT:
                    destination, _, source = table.names[f].partition(".")
                    self.switches[group.tiles[t].number, destination] = source
        self._nodes: dict[Wire, list[Wire]] = {}
        self._sources: dict[int, Source] = {}

    @cached_property
    def _joints(self) -> dict[tuple[str, str], list[tuple[int, int, str, str]]]:
        """For a tile type's wire: (dx, dy, type, wire) of the wires it is one with."""
        joints = defaultdict(list)
        for entry in json.loads((self.database.fabric / "tileconn.json").read_text()):
            dx, dy = entry["grid_deltas"]
            one, two = entry["tile_types"]
            for wire, other in entry["wire_pairs"]:
                joints[one, wire].append((dx, dy, two, other))
                joints[two, other].append((-dx, -dy, one, wire))
        return dict(joints)

    def node(self, wire: Wire) -> list[Wire]:
        """All wires that are one with this wire."""
        found = self._nodes.get(wire)
        if found is None:
            found = [wire]
            seen = {wire}
            at, joints = self.database.at, self._joints
            for number, name in found:
                tile = self.by_number[number]
                for dx, dy, type_, other in joints.get((tile.type, name), ()):
                    neighbour = at.get((tile.x + dx, tile.y + dy))
                    if neighbour is not None and neighbour.type == type_:
                        new = (neighbour.number, other)
                        if new not in seen:
                            seen.add(new)
                            found.append(new)
            for member in found:
                self._nodes[member] = found
        return found

    def source(self, wire: Wire) -> Source:
        """The site pin or constant that drives a wire; None when nothing does."""
        node = self.node(wire)
        path: list[int] = []
        result: Source = None
        while True:
            key = id(node)  # nodes live as long as this object, in _nodes
            if key in self._sources:
                result = self._sources[key]
                break
            if key in path:
                raise RoutingError(f"the routing at {self._name(node[0])} is a loop")
            path.append(key)
            before = self._driver(node)
            if not isinstance(before, tuple):
                result = before
                break
            node = self.node(before)
        for key in path:
            self._sources[key] = result
        return result

    def _driver(self, node: list[Wire]) -> Wire | Source:
        """The wire before a node's switch, or the source when there is no switch."""
        placed = [wire for wire in node if wire in self.switches]
        if len(placed) > 1:
            raise RoutingError(
                "two switches drive one wire: "
                + " and ".join(f"{self._name(w)}.{self.switches[w]}" for w in placed[:2])
            )
        if placed:
            return placed[0][0], self.switches[placed[0]]
        for number, name in node:
            if name in _CONSTANTS:
                return _CONSTANTS[name]
            tile = self.by_number[number]
            pin = self.output_pins(tile.type).get(name)
            if pin is not None:
                return Pin(tile, *pin)
        fixed = []
        for number, name in node:
            tile = self.by_number[number]
            fixed += [(number, source) for source in self._fixed(tile).get(name, ())]
        driven = [wire for wire in fixed if self._drives(wire)]
        if len(driven) > 1:
            names = ", ".join(self._name(wire) for wire in driven)
            raise RoutingError(f"fixed connections from {names} meet in one wire")
        if driven:
            return driven[0]
        return ONE if any(self._defaults_to_one(wire) for wire in node) else None

    def _drives(self, wire: Wire) -> bool:
        return self.source(wire) is not None

    def _name(self, wire: Wire) -> str:
        return f"{self.by_number[wire[0]].name}.{wire[1]}"

    @cached_property
    def _type_cache(self) -> dict[tuple[str, str], dict]:
        return {}

    def output_pins(self, tile_type: str) -> dict[str, tuple[int, str]]:
        """Wire -> (site, pin) for the outputs of a tile type's sites."""
        found = self._type_cache.get(("outputs", tile_type))
        if found is None:
            found = {}
            for index, site in enumerate(self.database.layout(tile_type)["sites"]):
                is_output = _OUTPUTS.get(site["type"])
                for pin, entry in site["site_pins"].items():
                    if entry is None:
                        continue
                    if site["type"] == "PS7":  # outputs are the pins that no wire leads to
                        if entry["wire"] not in self._led_to(tile_type):
                            found[entry["wire"]] = (index, pin)
                    elif is_output is not None and is_output(pin):
                        found[entry["wire"]] = (index, pin)
            self._type_cache["outputs", tile_type] = found
        return found

    def _led_to(self, tile_type: str) -> set[str]:
        """Wires of a tile type that some switch or connection inside the tile drives."""
        found = self._type_cache.get(("led", tile_type))
        if found is None:
            table = self.database.table(tile_type)
            found = {name.partition(".")[0]: True for name in table.names}
            self._type_cache["led", tile_type] = found
        return set(found)

    def _fixed(self, tile: Tile) -> dict[str, list[str]]:
        """Destination -> sources of connections that are there without a placed switch."""
        key = ("fixed", f"{tile.type}/{tile.bits_type}")
        found = self._type_cache.get(key)
        if found is None:
            found = defaultdict(list)
            table = self.database.table_of(tile)
            for i in np.flatnonzero(table.destination != NOTHING).tolist():
                free = table.kind[i] == BITS and table.one_count[i] == 0
                if table.kind[i] == ALWAYS or free:
                    destination, _, source = table.names[i].partition(".")
                    found[destination].append(source)
            self._type_cache[key] = found
        return found

    def _defaults_to_one(self, wire: Wire) -> bool:
        table = self.database.table_of(self.by_number[wire[0]])
        i = table.scalars.get(f"{wire[1]}.VCC_WIRE", NOTHING)
        return i != NOTHING and table.kind[i] == DEFAULT
