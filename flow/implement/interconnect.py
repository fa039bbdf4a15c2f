"""Delays of routed wires, from the resistances and capacitances that Project X-Ray measured.

nextpnr's own figures cannot be used for a finished design. While it routes and when it reports it
leaves out the loads of a wire's branches; loaded again, it knows the loads, but its data carry a
node's resistance where it looks for the capacitance, and the other way round (in himbaechel,
`NodeTiming` of chip.py writes res, cap, `NodeTimingPOD` of chipdb.h reads cap, res). A long line of
53 ohm and 247 fF then counts as 247 kohm and 53 fF: a branch off it looks 4 to 5 ns slower than it
is, and the line itself 0.2 ns faster. So nextpnr only says here how its wires run (`DUMP`), and
the delays are Elmore's, as Project X-Ray's `timing.py` has them; its own comparison finds most nets
within 1.5 % of Vivado's delays (minitests/timing). Every connection takes its own delay, and its
resistance times all the capacitance behind it, up to the next buffers; a wire its resistance times
that capacitance, less half its own. The figures are those of the slow corner in the X-Ray database
(`tile_type_*.json`: nanoseconds, ohm, femtofarad).

The inputs of LUTs have delays of their own (0 to 0.53 ns), those of the pins that the router chose;
nextpnr's data lack them. Inside a site nextpnr's 20 ps for a connection are kept.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from flow.bits import xray

DUMP = """\
with open("routes.txt", "w") as out:
    for _, net in ctx.nets:
        driver = net.driver.cell
        if driver is None or driver.type.startswith("PSEUDO"):
            continue
        print("N", driver.name, net.driver.port, sep="\\t", file=out)
        for wire, bound in net.wires:
            pip = bound.pip
            source = ctx.getPipSrcWire(pip) if pip else ""
            print("W", wire, pip or "", source, sep="\\t", file=out)
        for user in net.users:
            wire = ctx.getBelPinWire(user.cell.bel, user.port)
            print("U", user.cell.name, user.port, wire, sep="\\t", file=out)
"""
"""Python for nextpnr (`--run`) that writes how all nets run: their driver, N; their wires, W, each
with the connection that drives it and the wire that comes from; the pins they end at, U. Constants,
which have no delay that counts, are left out."""

SITE_PS = 20.0
"""A connection within a site."""

Pin = tuple[str, str]
"""Cell and port."""


@dataclass(frozen=True)
class Connection:
    """Into a wire: `delay` in ps, `resistance` in ohm, `load` in fF on the wire before it.

    Where not `buffered`, that wire's driver sees what lies behind, too.
    """

    delay: float
    resistance: float = 0.0
    load: float = 0.0
    buffered: bool = True


@dataclass
class Route:
    """A net: its first wire; for each other one the wire before it and the connection's name; the
    pins it ends at and their wires. A net between pins that lie on each other has no wires."""

    driver: Pin
    first: str = ""
    before: dict[str, tuple[str, str]] = field(default_factory=dict)
    users: list[tuple[Pin, str]] = field(default_factory=list)


def read_routes(path: Path) -> list[Route]:
    """What DUMP wrote."""
    routes: list[Route] = []
    with path.open() as file:
        for line in file:
            kind, first, second, *third = line.rstrip("\n").split("\t")
            if kind == "N":
                routes.append(Route((first, second)))
            elif kind == "U":
                routes[-1].users.append(((first, second), third[0]))
            elif second:
                routes[-1].before[first] = (third[0], second)
            else:
                routes[-1].first = first
    return routes


class Fabric:
    """Electrical figures of a part's wires and connections, by the names nextpnr gives them:
    X<column>Y<row>/<wire>, and X<column>Y<row>/<wire>/<wire before>."""

    def __init__(self, part: str):
        self.database = xray.load(part)
        self.types = {(tile.x, tile.y): tile.type for tile in self.database.tiles.values()}

    def connection(self, name: str) -> Connection:
        """The connection of this name."""
        place, wire, before = name.split("/")
        type_ = self.types.get(_place(place))
        if type_ is None:
            return Connection(SITE_PS)
        return self._connections(type_).get((wire, before)) or self._of_site(type_, wire, before)

    def _of_site(self, type_: str, wire: str, before: str) -> Connection:
        """Into, within or out of a site."""
        if "." in before:
            return Connection(SITE_PS, self._site_outputs(type_).get(wire, 0.0))
        return Connection(SITE_PS + self._site_inputs(type_).get(before, 0.0))

    def wire(self, name: str) -> tuple[float, float]:
        """Resistance in ohm and capacitance in fF of a wire with all its parts in other tiles."""
        place, wire = name.split("/")
        if "." in wire or _place(place) not in self.types:
            return 0.0, 0.0
        start = (*_place(place), wire)
        seen, queue = {start}, [start]
        resistance = capacitance = 0.0
        while queue:
            x, y, wire = queue.pop()
            type_ = self.types[x, y]
            figures = self._json(type_)["wires"].get(wire) or {}
            resistance += float(figures.get("res", 0))
            capacitance += float(figures.get("cap", 0))
            for dx, dy, other, there in self._neighbours(type_).get(wire, ()):
                part = (x + dx, y + dy, there)
                if self.types.get(part[:2]) == other and part not in seen:
                    seen.add(part)
                    queue.append(part)
        return resistance, capacitance

    @cache  # noqa: B019 - a Fabric lives as long as it is used
    def _json(self, type_: str) -> dict[str, Any]:
        path = self.database.folder / f"tile_type_{type_}.json"
        return json.loads(path.read_text()) if path.exists() else _NOTHING

    @cache  # noqa: B019
    def _connections(self, type_: str) -> dict[tuple[str, str], Connection]:
        """By the wire and the wire before it; two-way connections both ways."""
        found = {}
        for pip in self._json(type_)["pips"].values():
            ends = pip["dst_wire"], pip["src_wire"]
            figures = pip.get("src_to_dst") or {}
            delay = _slowest(figures)
            resistance = float(figures.get("res") or 0)
            if pip["is_pseudo"] == "1":  # through a site, a LUT for example
                delay += self._site_inputs(type_).get(pip["src_wire"], 0.0)
                resistance = self._site_outputs(type_).get(pip["dst_wire"], resistance)
            made = Connection(
                delay=delay,
                resistance=resistance,
                load=float(figures.get("in_cap") or 0),
                buffered=not int(pip.get("is_pass_transistor", 0)),
            )
            found[ends] = made
            if pip["is_directional"] == "0":
                found[ends[::-1]] = made
        return found

    @cache  # noqa: B019
    def _site_outputs(self, type_: str) -> dict[str, float]:
        """Resistance in ohm of what drives a wire that comes out of a site."""
        return {
            pin["wire"]: float(pin["res"])
            for site in self._json(type_)["sites"]
            for pin in site["site_pins"].values()
            if pin and pin.get("wire") and pin.get("res")
        }

    @cache  # noqa: B019
    def _site_inputs(self, type_: str) -> dict[str, float]:
        """Delay in ps of the pins at which wires enter a site: up to 531 at those of LUTs."""
        return {
            pin["wire"]: _slowest(pin)
            for site in self._json(type_)["sites"]
            for pin in site["site_pins"].values()
            if pin and pin.get("wire") and "cap" in pin
        }

    @cached_property
    def _joined(self) -> dict[str, dict[str, list[tuple[int, int, str, str]]]]:
        """For a tile type and a wire: where it goes on, (columns, rows, type, wire)."""
        joined: dict[str, dict[str, list[tuple[int, int, str, str]]]]
        joined = defaultdict(lambda: defaultdict(list))
        for entry in json.loads((self.database.fabric / "tileconn.json").read_text()):
            (a, b), (dx, dy) = entry["tile_types"], entry["grid_deltas"]
            for wire_a, wire_b in entry["wire_pairs"]:
                joined[a][wire_a].append((dx, dy, b, wire_b))
                joined[b][wire_b].append((-dx, -dy, a, wire_a))
        return joined

    def _neighbours(self, type_: str) -> dict[str, list[tuple[int, int, str, str]]]:
        return self._joined[type_]


_NOTHING: dict[str, Any] = {"wires": {}, "pips": {}, "sites": []}


def _slowest(figures: dict[str, Any]) -> float:
    """ps, of [fastest, fast, slow, slowest] in ns."""
    return 1000 * max(map(float, figures.get("delay") or [0]))


def _place(text: str) -> tuple[int, int]:
    x, _, y = text[1:].partition("Y")
    return int(x), int(y)


def delays(route: Route, fabric: Fabric) -> dict[Pin, float]:
    """Delay in ps from the driver of a net to each pin it reaches."""
    if not route.first:
        return {pin: 0.0 for pin, _ in route.users}
    connections = {wire: fabric.connection(name) for wire, (_, name) in route.before.items()}
    order = _from_the_driver(route)
    figures = {wire: fabric.wire(wire) for wire in order}
    charge = {wire: capacitance for wire, (_, capacitance) in figures.items()}  # up to buffers
    for wire in reversed(order[1:]):
        into = connections[wire]
        charge[route.before[wire][0]] += into.load + (0 if into.buffered else charge[wire])
    arrival = {route.first: 0.0}
    for wire in order[1:]:
        into = connections[wire]
        resistance, own = figures[wire]
        lag = into.resistance * charge[wire] + resistance * (charge[wire] - own / 2)  # ohm * fF
        arrival[wire] = arrival[route.before[wire][0]] + into.delay + lag / 1000
    return {pin: arrival[wire] for pin, wire in route.users if wire in arrival}


def _from_the_driver(route: Route) -> list[str]:
    """All wires of a net, each after the one that drives it."""
    behind: dict[str, list[str]] = defaultdict(list)
    for wire, (before, _) in route.before.items():
        behind[before].append(wire)
    order = [route.first]
    for wire in order:
        order += behind.get(wire, [])
    return order
