"""Interval and latency of a folded graph, exact, from the handshakes of its design alone.

No value decides when a beat moves. So the units of the design as machines that only count
(flow/rtl/machines.py) are stepped cycle by cycle, with input that is always there and output that
is always taken, as in a free run of flow/rtl/simulate.py. Once the state at the end of an image was
there before, everything repeats, and the interval holds for any number of images.

In a cycle units first say what they offer, then, from the output back, whether they take what is
offered to them; then all move at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from flow.errors import UserError
from flow.graph import Graph
from flow.rtl.codegen import outline
from flow.rtl.machines import Fork, Single, Sum, machine_of

LIMIT = 16  # images; where nothing repeats by then, a deep FIFO is still filling
CHECK = 1024  # cycles until it is looked whether anything still moves


@dataclass(frozen=True)
class Cycles:
    """As flow/rtl/simulate.py measures them."""

    interval: float  # between images, the mean over the period in which everything repeats
    latency: int


def count(graph: Graph) -> Cycles:
    """Cycles of a folded graph; `UserError` where its design comes to a stop."""
    taps, units = outline(graph)
    number = {tap.net: index for index, tap in enumerate(taps)}
    machines = [machine_of(graph, unit) for unit in units]
    wired = [
        (machine, [number[net] for net in unit.sources], [number[net] for net in unit.targets])
        for machine, unit in zip(machines, units, strict=True)
    ]
    plain = [(m, s[0], t[0]) for m, s, t in wired if isinstance(m, Single)]
    forks = [(m, s[0], t) for m, s, t in wired if isinstance(m, Fork)]
    sums = [(m, s, t[0]) for m, s, t in wired if isinstance(m, Sum)]
    valid, ready = [True] * len(taps), [True] * len(taps)
    ends: list[int] = []  # of images
    seen: dict[tuple, int] = {}  # state at the end of an image -> which
    last: tuple = ()
    now, beats, first = 0, 0, -1  # first: cycle in which a beat is taken
    while len(ends) < LIMIT:
        for machine, _, target in plain:
            valid[target] = machine.valid
        for joint, _, target in sums:
            valid[target] = joint.out.valid
        for fork, source, targets in forks:
            for place, target in enumerate(targets):
                valid[target] = valid[source] and not fork.taken[place]
        for any_machine, sources, targets in reversed(wired):
            any_machine.answer(valid, ready, sources, targets)
        for machine, source, target in plain:
            machine.step(valid[source], ready[source], ready[target])
        for joint, (one, other), target in sums:
            joint.out.step(valid[one] and valid[other], ready[one], ready[target])
        for fork, source, targets in forks:
            fork.step(valid[source], [ready[target] for target in targets])
        if first < 0 and ready[0]:
            first = now
        now += 1
        beats += valid[-1]
        if beats == taps[-1].beats:
            beats = 0
            ends.append(now)
            state = tuple(machine.state() for machine in machines)
            if state in seen:
                since = seen[state]
                return Cycles(_mean(now - ends[since], len(ends) - 1 - since), ends[0] - first)
            seen[state], last = len(ends) - 1, ()
        elif now % CHECK == 0:
            state = tuple(machine.state() for machine in machines)
            if state == last:
                raise UserError(f"graph {graph.name}: its design stops after {len(ends)} images")
            last = state
    half = LIMIT // 2
    return Cycles(_mean(ends[-1] - ends[half - 1], half), ends[0] - first)


def _mean(cycles: int, images: int) -> float:
    """An int where it is one."""
    return cycles // images if cycles % images == 0 else cycles / images
