"""A cheap folding of a network that branches: one layer at a time, until no change pays.

The exact search (flow/rtl/search.py) goes along a chain. Here each layer in turn takes the folding
that is cheapest with the converters to its neighbours as they are. This ends in a folding that no
change of one layer improves; it need not be the cheapest of all. Latency counts as the cycles that
a layer works on a pixel, at the price asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, inf

from flow.graph import AddStreams, Graph, Layer
from flow.rtl import deadlock
from flow.rtl.area import glue_area, layer_area
from flow.rtl.estimate import forecast
from flow.rtl.glue import Fifo, Width, glue, joint_cycles
from flow.rtl.search import Point
from flow.rtl.trees import LUTS_A_BLOCK_RAM, Area

PASSES = 6  # through all layers, at most
TOO_SLOW = 1e9  # LUTs: of a joint slower than the interval, which another layer may yet mend
RATES = (LUTS_A_BLOCK_RAM, 4 * LUTS_A_BLOCK_RAM, 64 * LUTS_A_BLOCK_RAM)  # LUTs for a block RAM


def front(
    graph: Graph,
    choices: Sequence[Sequence[Layer]],
    interval: int,
    price: float = 0.0,
    max_bram36: float = inf,
) -> list[Point]:
    """As `flow.rtl.search.front`: a few foldings, with FIFOs; empty where none is fast enough."""
    found: dict[tuple[float, float], Point] = {}
    for rate in RATES:
        layers = _Descent(graph, choices, interval, price, rate).run()
        if layers is None:
            continue
        folded = deadlock.sized(replace(graph, layers=layers))
        guess = forecast(folded)
        if guess.area.bram36 <= max_bram36:
            point = Point(guess.area.lut, guess.area.bram36, guess.latency, folded.layers)
            found[point.lut, point.bram36] = point
    return sorted(found.values(), key=lambda p: p.lut)


class _Descent:
    """`layers[k]`: the folding of layer k so far."""

    def __init__(
        self,
        graph: Graph,
        choices: Sequence[Sequence[Layer]],
        interval: int,
        price: float,
        rate: float,
    ):
        self.graph, self.choices = graph, choices
        self.interval, self.price, self.rate = interval, price, rate
        self.waiting = deadlock.needed(graph)  # elements in FIFOs, about: PE is 1
        self.own = {c: self._own(c) for options in choices for c in options}
        self.layers = [min(options, key=lambda c: self.own[c]) for options in choices]
        places = {layer.target: k for k, layer in enumerate(graph)}
        self.before = [[places.get(s) for s in layer.sources] for layer in graph]
        self.behind = [
            [k for k, other in enumerate(graph) if layer.target in other.sources] for layer in graph
        ]

    def run(self) -> tuple[Layer, ...] | None:
        for _ in range(PASSES):
            earlier = list(self.layers)
            for k, options in enumerate(self.choices):
                self.layers[k] = min(options, key=lambda c: self._around(k, c))
            if earlier == self.layers:
                break
        slow = any(self._around(k, x) >= TOO_SLOW for k, x in enumerate(self.layers))
        return None if slow else tuple(self.layers)

    def _own(self, choice: Layer) -> float:
        pixels = self.graph.streams[choice.source].pixels
        latency = choice.cycles(self.graph) / pixels
        area = layer_area(self.graph, choice)
        if isinstance(choice, AddStreams):
            for name, elements in zip(choice.sources, self.waiting[choice.name], strict=True):
                fifo = Fifo(choice.PE, max(2, ceil(elements / choice.PE)))
                area += glue_area(fifo, self.graph.streams[name].bits)
        return self._price(area) + self.price * latency

    def _price(self, area: Area) -> float:
        return area.lut + self.rate * area.bram36

    def _around(self, k: int, choice: Layer) -> float:
        """What a folding of layer k costs with all that joins it to its neighbours."""
        cost = self.own[choice]
        for place in self.before[k]:
            if place is not None:
                cost += self._joint(self.layers[place], choice)
        for place in self.behind[k]:
            cost += self._joint(choice, self.layers[place])
        return cost

    def _joint(self, before: Layer, layer: Layer) -> float:
        stream = self.graph.streams[before.target]
        if joint_cycles(self.graph, layer, before) > max(self.interval, layer.cycles(self.graph)):
            return TOO_SLOW
        cost = 0.0
        for part in glue(before.out_parallel, layer, before):
            slow = isinstance(part, Width) and stream.size // min(part.before, part.after)
            if slow > self.interval:
                return TOO_SLOW
            cost += self._price(glue_area(part, stream.bits))
        return cost
