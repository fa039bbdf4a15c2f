"""Timing of a placed and routed design, from the delays of all its wires and cells.

nextpnr reports one figure, and three things make it too good: it leaves out the load that a wire's
branches put on it; it takes every pin of a LUT for the fastest, and the slowest takes half a
nanosecond more; and it shows one path. So the finished design is loaded into nextpnr once more and
written out as SDF with every delay, the delays of the wires and of the pins they end at are
reckoned anew (interconnect.py), and this module goes over all paths between flip-flops and block
RAMs itself. A guard stands for what the clock does. None of this knows the chip's speed grade:
these are estimates, to be named so.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

GUARD_NS = 0.45
"""Added to every path for the clock: 0.3 ns of skew, below which the paths of one clock typically
stay (UG949, Reducing Clock Skew), and 0.15 ns of jitter, half of the 3 % of a period that Vivado's
constraints for the PS7 give FCLK at 100 MHz (`set_input_jitter clk_fpga_0 0.3`)."""

PS7_NS = 1.51
"""Taken for every pin of the PS7: from the clock to an output, and before the clock at an input.
Project X-Ray's PSS2.sdf has at most 1.507 and 1.038 for GP0 and HP0."""

SLOW_CYCLES = 8
"""Clock cycles for paths from nets that a board lists as slow."""

_CELL = re.compile(r'\(CELLTYPE "([^"]*)"\)')
_INSTANCE = re.compile(r"\(INSTANCE\s+(\S*?)\s*\)$")
_VALUE = r"\(([\d.:-]*)\)"
_WIRE = re.compile(rf"\(INTERCONNECT (\S+) (\S+) {_VALUE}(?: {_VALUE})?")
_ARC = re.compile(rf"\(IOPATH (\S+) (\S+) {_VALUE}(?: {_VALUE})?")
_CHECK = re.compile(rf"\(SETUPHOLD \(\w+ (\S+)\) \(\w+ (\S+)\) {_VALUE}")
_ESCAPE = re.compile(r"\\(.)")

Pin = tuple[str, str]
"""Cell and port."""


class TimingError(Exception):
    """The delays do not describe a design that can be timed: a loop, or nothing clocked."""


@dataclass
class Delays:
    """Delays in picoseconds, the slowest of each. The order is that of the file."""

    wires: list[tuple[Pin, Pin, float]] = field(default_factory=list)
    arcs: dict[str, list[tuple[str, str, float]]] = field(default_factory=dict)
    setups: dict[str, dict[str, float]] = field(default_factory=dict)
    clocks: dict[str, set[str]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One stretch of a path: a cell, entered and left at its ports, and the wire behind it."""

    cell: str
    type: str
    logic_ns: float
    wire_ns: float


@dataclass(frozen=True)
class TimingPath:
    """A path from one clocked cell to another; `delay_ns` includes the setup, not the guard."""

    delay_ns: float
    setup_ns: float
    levels: int
    start: str
    end: str
    steps: tuple[Step, ...]

    @property
    def fmax_mhz(self) -> float:
        return 1000.0 / self.delay_ns

    @property
    def guarded_mhz(self) -> float:
        return 1000.0 / (self.delay_ns + GUARD_NS)

    def named(self, labels: dict[str, str]) -> TimingPath:
        """The same path, its cells called by the nets they drive where these have names."""
        steps = tuple(replace(s, cell=labels.get(s.cell, s.cell)) for s in self.steps)
        start, end = (labels.get(cell, cell) for cell in (self.start, self.end))
        return replace(self, start=start, end=end, steps=steps)


def read_sdf(path: Path) -> Delays:
    """Parse the SDF that nextpnr writes: one construct a line."""
    delays = Delays()
    kind = cell = ""
    with path.open() as file:
        for line in file:
            line = line.strip()
            if match := _WIRE.match(line):
                source, sink = _pin(match[1]), _pin(match[2])
                delays.wires.append((source, sink, _slowest(match[3], match[4])))
            elif match := _ARC.match(line):
                arc = (match[1], match[2], _slowest(match[3], match[4]))
                delays.arcs.setdefault(cell, []).append(arc)
            elif match := _CHECK.match(line):
                setups = delays.setups.setdefault(cell, {})
                setups[match[1]] = max(setups.get(match[1], 0.0), _slowest(match[3]))
                delays.clocks.setdefault(cell, set()).add(match[2])
            elif match := _CELL.match(line):
                kind = match[1]
            elif match := _INSTANCE.match(line):
                cell = _ESCAPE.sub(r"\1", match[1])
                delays.types[cell] = kind
    return delays


def _pin(text: str) -> Pin:
    cell, _, port = _ESCAPE.sub(r"\1", text).rpartition("/")
    return cell, port


def _slowest(*values: str | None) -> float:
    """Largest of `minimum:typical:maximum` triples in picoseconds."""
    return max((float(v.split(":")[-1] or 0) for v in values if v), default=0.0)


def worst_path(delays: Delays, slow: Collection[str] = (), only_slow: bool = False) -> TimingPath:
    """The slowest of all paths between clocked cells.

    The PS7 is one of them, but for its clocks and resets. Paths from the cells `slow` are left
    out, or are the only ones with `only_slow`.
    """
    fan_in: dict[Pin, list[tuple[Pin, float]]] = defaultdict(list)
    fan_out: dict[Pin, list[Pin]] = defaultdict(list)
    starts: dict[Pin, float] = {}
    setups = {cell: dict(ports) for cell, ports in delays.setups.items()}
    for source, sink, delay in delays.wires:
        fan_in[sink].append((source, delay))
        fan_out[source].append(sink)
        if _is_ps7(delays, source) and not source[1].startswith("FCLK") and not only_slow:
            starts[source] = PS7_NS * 1000
        if _is_ps7(delays, sink):
            setups.setdefault(sink[0], {})[sink[1]] = PS7_NS * 1000
    for cell, arcs in delays.arcs.items():
        clocks = delays.clocks.get(cell, set())
        for entry, exit_, delay in arcs:
            if entry in clocks:
                if (cell in slow) != only_slow:
                    continue
                starts[(cell, exit_)] = max(starts.get((cell, exit_), 0.0), delay)
            else:
                fan_in[(cell, exit_)].append(((cell, entry), delay))
                fan_out[(cell, entry)].append((cell, exit_))
    arrival, before = _propagate(starts, fan_in, fan_out)
    ends = (
        (arrival[(cell, port)] + setup, cell, port, setup)
        for cell, ports in setups.items()
        for port, setup in ports.items()
        if (cell, port) in arrival
    )
    slowest = max(ends, key=lambda e: e[0], default=None)
    if slowest is None:
        raise TimingError("no path between clocked cells")
    total, cell, port, setup = slowest
    return _trace(delays, before, arrival, (cell, port), total, setup)


def _is_ps7(delays: Delays, pin: Pin) -> bool:
    return delays.types.get(pin[0], "").startswith("PS7")


def _propagate(
    starts: dict[Pin, float],
    fan_in: dict[Pin, list[tuple[Pin, float]]],
    fan_out: dict[Pin, list[Pin]],
) -> tuple[dict[Pin, float], dict[Pin, Pin]]:
    """Latest arrival at every pin that a clocked cell reaches, and the pin it came from."""
    reached = set(starts)
    queue = list(starts)
    while queue:
        for pin in fan_out.get(queue.pop(), ()):
            if pin not in reached:
                reached.add(pin)
                queue.append(pin)
    waiting = {pin: sum(p in reached for p, _ in fan_in.get(pin, ())) for pin in reached}
    ready = [pin for pin, count in waiting.items() if not count]
    arrival: dict[Pin, float] = {}
    before: dict[Pin, Pin] = {}
    while ready:
        pin = ready.pop()
        latest = starts.get(pin, float("-inf"))
        for source, delay in fan_in.get(pin, ()):
            if source in reached and arrival[source] + delay > latest:
                latest, before[pin] = arrival[source] + delay, source
        arrival[pin] = latest
        for sink in fan_out.get(pin, ()):
            waiting[sink] -= 1
            if not waiting[sink]:
                ready.append(sink)
    if len(arrival) < len(reached):
        stuck = next(pin for pin in reached if pin not in arrival)
        raise TimingError(f"combinational loop through {stuck[0]}")
    return arrival, before


def _trace(
    delays: Delays,
    before: dict[Pin, Pin],
    arrival: dict[Pin, float],
    end: Pin,
    total: float,
    setup: float,
) -> TimingPath:
    pins = [end]
    while pins[-1] in before:
        pins.append(before[pins[-1]])
    pins.reverse()  # out of the first cell, into and out of each further one, into the last
    steps: list[Step] = []
    for out, sink in zip(pins[0:-1:2], pins[1::2], strict=True):
        index = len(steps) * 2
        entered = arrival[pins[index - 1]] if index else 0.0
        logic, wire = arrival[out] - entered, arrival[sink] - arrival[out]
        steps.append(Step(out[0], delays.types[out[0]], logic / 1000, wire / 1000))
    return TimingPath(
        delay_ns=total / 1000,
        setup_ns=setup / 1000,
        levels=sum("LUT" in step.type for step in steps),
        start=pins[0][0],
        end=end[0],
        steps=tuple(steps),
    )


def describe(path: TimingPath) -> str:
    """One line that names a path."""
    return (
        f"{path.start} -> {path.end}, {path.delay_ns:.2f} ns over {path.levels} LUTs "
        f"and {len(path.steps)} wires"
    )


def listing(path: TimingPath) -> list[dict[str, Any]]:
    """The path step by step, for the report, in nanoseconds."""
    return [
        {
            "cell": step.cell,
            "type": step.type,
            "logic_ns": round(step.logic_ns, 3),
            "wire_ns": round(step.wire_ns, 3),
        }
        for step in path.steps
    ]
