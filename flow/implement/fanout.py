"""Copies of cells that drive many others, so that no wire has to reach across the whole design.

A word of a folded layer is read by hundreds of LUTs, from the same few address registers, and one
enable moves thousands of flip-flops. Neither Yosys nor nextpnr copies such drivers, and the wire
then takes longer than the logic (25 ns for 784 sinks, by nextpnr's own wire delays). `split` gives
every LUT or flip-flop of the mapped netlist at most `LIMIT` loads: it copies the cell and shares
the sinks out, those that will lie near each other to the same copy. Nothing else changes, so each
copy holds the same value in every cycle.

Before that `absorb` takes busy LUTs of registers into the LUTs that read them: what many readers
have in common saves nothing there, and costs a level of LUTs and a long wire. `absorb_words` does
so with the bits of memories of a few words (hw/rtl/rom_few.sv), several of which a LUT reads.
The proof of the finished bitstream against the RTL covers all of these passes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from copy import deepcopy
from math import ceil
from typing import Any, NamedTuple

from flow.implement.netlist_check import FLIP_FLOPS

COPY = "$copy"  # in the names of copies, before a number
LIMIT = 12  # loads a driver
DEPTH = 4  # unnamed cells in a row whose place is guessed
ROUNDS = 12  # copies load the drivers in front of them, which may then need copies too
LUTS = {f"LUT{n}" for n in range(1, 7)}
COPIED = FLIP_FLOPS | {"INV"} | LUTS
# Up to eight flip-flops share these pins of a slice, where they have enable and reset in common. An
# enable of 24 fills three slices; with 48 the wires are 10 % shorter, and their enables too slow;
# with 12 the placer does not end on 25 000 flip-flops, of too many enables for their slices.
SHARED_PINS = {"CE": 0.5, "R": 0.5, "S": 0.5, "CLR": 0.5, "PRE": 0.5}
SHARED_LUTS = {f"LUT{n}" for n in range(2, 6)}  # the reader has an input of its own
WIDEST = 6  # inputs of a LUT
ADDRESS = 3  # bits of the address of a few words
WHOLE = {"WEA", "WEBWE"}
"""Pins of a block RAM that one driver serves: a word is written whole, and told by that."""


class Sink(NamedTuple):
    cell: str
    port: str
    bit: int
    load: float


class Place(NamedTuple):
    unit: str
    along: float  # 0 .. 1
    numbers: tuple[int, ...] = ()  # of the rows, levels and nodes in its name


def split(module: dict[str, Any], keep: Collection[str] = (), limit: float = LIMIT) -> int:
    """Copy drivers in a Yosys JSON module, in place; return how many cells were added.

    keep: names of nets whose drivers stay alone (a board may time them apart).
    """
    kept = {bit for name in keep for bit in module["netnames"][name]["bits"]}
    places = _places(module)
    added = 0
    for _ in range(ROUNDS):
        sinks, drivers = _sinks(module), _drivers(module)
        new = 0
        for bit, driver in drivers.items():
            loads = sinks.get(bit, [])
            count = ceil(sum(sink.load for sink in loads) / limit)
            if count > 1 and bit not in kept:
                loads.sort(key=lambda sink: places[sink.cell])
                new += _copy(module, places, driver, bit, _shares(loads, count))
        added += new
        if not new:
            break
    module.pop("last_bit", None)
    return added


def absorb(module: dict[str, Any], keep: Collection[str] = (), limit: float = LIMIT) -> int:
    """Take LUTs with more than `limit` loads into the LUTs that read them, in place, where these
    have inputs enough and the LUT reads nothing but flip-flops; return how many LUTs are gone.

    keep: names of nets that get no more loads (a board may time them apart).
    """
    cells = module["cells"]
    kept = {bit for name in keep for bit in module["netnames"][name]["bits"]}
    sinks, drivers = _sinks(module), _drivers(module)
    registers = {bit for bit, name in drivers.items() if cells[name]["type"] in FLIP_FLOPS} - kept
    gone = 0
    for bit, name in drivers.items():
        shared, loads = cells[name], sinks.get(bit, [])
        if shared["type"] not in SHARED_LUTS or bit in kept or sum(x.load for x in loads) <= limit:
            continue
        if set(_inputs(shared)) <= registers:
            taken = [_take_in(cells[sink.cell], {bit: shared}) for sink in loads]
            if all(taken):
                del cells[name]
                gone += 1
    return gone


def absorb_words(module: dict[str, Any], keep: Collection[str] = ()) -> int:
    """Take LUTs of the same registers, ADDRESS at most, into the LUTs that read one or several of
    them, in place, where there are inputs enough; return how many LUTs are gone.

    keep: names of nets that get no more loads (a board may time them apart).
    """
    cells = module["cells"]
    kept = {bit for name in keep for bit in module["netnames"][name]["bits"]}
    kept |= {bit for port in module.get("ports", {}).values() for bit in port["bits"]}
    drivers = _drivers(module)
    registers = {bit for bit, name in drivers.items() if cells[name]["type"] in FLIP_FLOPS} - kept
    inverted = {
        bit: _inverter(cells[name])
        for bit, name in drivers.items()
        if cells[name]["type"] == "INV" and cells[name]["connections"]["I"][0] in registers
    }
    words: dict[int, dict[str, Any]] = {}  # bits of a word: LUTs by net
    for bit, name in drivers.items():
        lut = cells[name]
        if lut["type"] not in LUTS or bit in kept or len(_wires(lut)) > ADDRESS:
            continue
        if _wires(lut) <= registers | inverted.keys():
            _take_in(lut, {net: inverted[net] for net in _wires(lut) & inverted.keys()})
            words[bit] = lut
    for cell in cells.values():
        if cell["type"] not in LUTS:
            continue
        read = {bit: words[bit] for bit in _wires(cell) & words.keys()}
        if read and len(set().union(*map(_wires, read.values()))) <= ADDRESS:
            _take_in(cell, read)
    sinks = _sinks(module)  # what nothing reads any more, or ever did
    left = [drivers[bit] for bit in words if bit not in sinks]
    for name in left:
        del cells[name]
    return len(left)


def _inverter(cell: dict[str, Any]) -> dict[str, Any]:
    """An INV as a LUT."""
    wires = {"I0": cell["connections"]["I"], "O": cell["connections"]["O"]}
    return {"type": "LUT1", "parameters": {"INIT": "01"}, "connections": wires}


def _wires(lut: dict[str, Any]) -> set[int]:
    """Nets that a LUT reads, constants left out."""
    return {net for net in _inputs(lut) if isinstance(net, int)}


def _inputs(lut: dict[str, Any]) -> list[Any]:
    """Nets at I0, I1, ... of a LUT."""
    return [lut["connections"][f"I{i}"][0] for i in range(int(lut["type"][3:]))]


def _take_in(reader: dict[str, Any], shared: dict[int, dict[str, Any]]) -> bool:
    """Let a LUT compute by itself what it reads of the LUTs `shared`, by the nets they drive; False
    where it is none or has no room."""
    if reader["type"] not in LUTS:
        return False
    read = [*_inputs(reader), *(net for lut in shared.values() for net in _inputs(lut))]
    inputs = [net for net in dict.fromkeys(read) if isinstance(net, int) and net not in shared]
    if not 0 < len(inputs) <= WIDEST:
        return False
    table = ""
    for row in range(2 ** len(inputs)):
        values = {net: row >> i & 1 for i, net in enumerate(inputs)}
        values |= {bit: _value(lut, values) for bit, lut in shared.items()}
        table = f"{_value(reader, values)}{table}"
    output = reader["connections"]["O"]
    reader["type"] = f"LUT{len(inputs)}"
    reader["parameters"]["INIT"] = table
    reader["connections"] = {f"I{i}": [net] for i, net in enumerate(inputs)} | {"O": output}
    reader["port_directions"] = {f"I{i}": "input" for i in range(len(inputs))} | {"O": "output"}
    return True


def _value(lut: dict[str, Any], values: dict[Any, int]) -> int:
    """Output of a LUT for the values of nets; constants are the strings "0" and "1"."""
    row = sum(values.get(net, net == "1") << i for i, net in enumerate(_inputs(lut)))
    return int(lut["parameters"]["INIT"][-1 - row])


def join(module: dict[str, Any]) -> None:
    """Undo `split`, in place: every sink reads the first driver again, and the copies are gone."""
    cells, nets = module["cells"], module["netnames"]
    outputs = {name: bit for bit, name in _drivers(module).items()}
    first = {outputs[name]: outputs[name.split(COPY)[0]] for name in outputs if COPY in name}
    for name in [name for name in cells if COPY in name]:
        del cells[name]
    for name in [name for name, net in nets.items() if first.keys() & set(net["bits"])]:
        del nets[name]
    for cell in cells.values():
        for bits in cell["connections"].values():
            bits[:] = [first.get(bit, bit) for bit in bits]


def _sinks(module: dict[str, Any]) -> dict[int, list[Sink]]:
    """All input pins of cells, by net."""
    found: dict[int, list[Sink]] = defaultdict(list)
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                load = SHARED_PINS.get(port, 1.0) if cell["type"] in FLIP_FLOPS else 1.0
                for index, bit in enumerate(bits):
                    if isinstance(bit, int):
                        found[bit].append(Sink(name, port, index, load))
    return found


def _drivers(module: dict[str, Any]) -> dict[int, str]:
    """Nets that a cell drives that may be copied: bit -> cell."""
    return {
        cell["connections"][port][0]: name
        for name, cell in module["cells"].items()
        if cell["type"] in COPIED
        for port, direction in cell["port_directions"].items()
        if direction == "output" and cell["connections"].get(port)
    }


def _places(module: dict[str, Any]) -> dict[str, Place]:
    """A guess where each cell will lie: its unit, and how far along the unit's vectors it is.

    Column 300 of 784 and its weight are placed side by side, though they have other names. A cell
    without a name lies where the first of its sinks does.
    """
    by_bit: dict[int, tuple[int, str, float, tuple[int, ...]]] = {}
    for name, net in module["netnames"].items():
        if net.get("hide_name") or name.startswith("$"):
            continue
        for index, bit in enumerate(net["bits"]):
            unit, along = ".".join(name.split(".")[:2]), index / len(net["bits"])
            found = (name.count("."), unit, along, tuple(map(int, re.findall(r"\[(\d+)\]", name))))
            if isinstance(bit, int) and (bit not in by_bit or found < by_bit[bit]):
                by_bit[bit] = found
    sinks = _sinks(module)
    outputs = {
        name: [
            bit
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for bit in bits
        ]
        for name, cell in module["cells"].items()
    }
    places = {
        name: Place(*by_bit[bits[0]][1:])
        for name, bits in outputs.items()
        if bits and bits[0] in by_bit
    }
    for _ in range(DEPTH):
        for name in [name for name in outputs if name not in places]:
            readers = (sink.cell for bit in outputs[name] for sink in sinks.get(bit, []))
            if near := next((places[cell] for cell in readers if cell in places), None):
                places[name] = near
    return {name: places.get(name, Place(name, 0)) for name in module["cells"]}


def _shares(sinks: list[Sink], count: int) -> list[list[Sink]]:
    """The sinks in at most `count` runs of about equal load; what is WHOLE stays together."""
    total, passed = sum(sink.load for sink in sinks), 0.0
    runs: list[list[Sink]] = [[] for _ in range(count)]
    last: tuple[str, str] | None = None
    chosen = 0
    for sink in sinks:
        if sink.port not in WHOLE or (sink.cell, sink.port) != last:
            chosen = min(count - 1, int(passed * count / total))
        last = (sink.cell, sink.port)
        runs[chosen].append(sink)
        passed += sink.load
    return [run for run in runs if run]


def _copy(
    module: dict[str, Any],
    places: dict[str, Place],
    driver: str,
    bit: int,
    shares: list[list[Sink]],
) -> int:
    """Give each share after the first a copy of the driver; return how many were made."""
    cells, nets = module["cells"], module["netnames"]
    original = cells[driver]
    (output,) = (p for p, d in original["port_directions"].items() if d == "output")
    known = next(
        (
            (name, net["bits"].index(bit))
            for name, net in nets.items()
            if bit in net["bits"] and not net.get("hide_name")
        ),
        None,
    )
    for sinks in shares[1:]:
        serial = sum(1 for name in cells if name.startswith(f"{driver}{COPY}")) + 1
        fresh = _fresh(module)
        copy = deepcopy(original)
        copy["connections"][output] = [fresh]
        cells[f"{driver}{COPY}{serial}"] = copy
        places[f"{driver}{COPY}{serial}"] = places[sinks[0].cell]
        if known:  # so that the copy is still told as part of its layer
            nets[f"{known[0]}_{known[1]}_copy{serial}"] = {"hide_name": 0, "bits": [fresh]}
        for sink in sinks:
            cells[sink.cell]["connections"][sink.port][sink.bit] = fresh
    return len(shares) - 1


def _fresh(module: dict[str, Any]) -> int:
    """A net number that nothing uses."""
    last = module.get("last_bit")
    if last is None:
        last = max(
            (b for net in module["netnames"].values() for b in net["bits"] if isinstance(b, int)),
            default=1,
        )
    module["last_bit"] = last + 1
    return last + 1
