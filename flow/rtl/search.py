"""Exact search for the cheapest foldings of a chain of layers.

`front` goes through the chain once and keeps, for each width of the stream behind the layer
reached, every way there that no other beats in both LUTs and block RAMs, with latency at a price
in LUTs (dynamic programming). So converters between unlike neighbours count as what they cost, and
no combination of foldings within the interval is left out: what is kept is the Pareto front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flow.graph import Graph, Layer, SlidingWindow
from flow.rtl.area import glue_area, layer_area
from flow.rtl.estimate import Span, after_glue, after_layer
from flow.rtl.glue import Width, glue, joint_cycles, producer
from flow.rtl.trees import Area

HALVES = 2  # block RAMs are counted in halves of 36 kbit


@dataclass(frozen=True)
class Point:
    """One way to fold the whole chain: `layers` with their folding, and its area and latency."""

    lut: float
    bram36: float
    latency: float
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class _Ways:
    """Ways to the end of a layer, as columns of equal length."""

    lut: np.ndarray
    halves: np.ndarray  # of block RAMs
    first: np.ndarray  # cycle of the first beat of an image behind the layer
    last: np.ndarray
    choice: np.ndarray  # index of the layer's folding
    before: np.ndarray  # index of the group in front, ...
    way: np.ndarray  # ... and which of its ways

    def __getitem__(self, index: np.ndarray) -> _Ways:
        return _Ways(*(column[index] for column in vars(self).values()))


@dataclass(frozen=True)
class _Group:
    """Ways that look the same to the next layer: the width it reads, and where that matters
    the layer in front of it.
    """

    width: int
    layer: Layer | None
    ways: _Ways


def front(
    graph: Graph,
    choices: Sequence[Sequence[Layer]],
    interval: int,
    price: float = 0.0,
    max_bram36: float = np.inf,
) -> list[Point]:
    """The Pareto front of LUTs and block RAMs, ascending in LUTs; empty where nothing fits.

    choices: for each layer of the chain, its foldings, all fast enough. interval: cycles that a
    converter between them may take. price: LUTs for a cycle of latency, added when ways are
    compared. max_bram36: ways with more block RAMs are left out.
    """
    most = HALVES * max_bram36
    steps: list[list[_Group]] = []
    for options in choices:
        found: dict[tuple[int, int], list[_Ways]] = {}
        for index, option in enumerate(options):
            area = layer_area(graph, option)
            apart = index if _told_apart(option) else -1
            for number, group in enumerate(_before(graph, steps, option)):
                after = _extend(graph, group, number, option, index, area, interval)
                if after is not None:
                    found.setdefault((option.out_parallel, apart), []).append(after)
        groups = [
            _Group(width, options[apart] if apart >= 0 else None, _prune(_join(ways), price, most))
            for (width, apart), ways in sorted(found.items())
        ]
        steps.append([group for group in groups if len(group.ways.lut)])
        if not steps[-1]:
            return []
    points = [
        Point(
            float(group.ways.lut[i]),
            float(group.ways.halves[i]) / HALVES,
            float(group.ways.last[i]) + 1,
            _trace(choices, steps, number, i),
        )
        for number, group in enumerate(steps[-1])
        for i in range(len(group.ways.lut))
    ]
    return _pareto(points, price)


def _told_apart(layer: Layer) -> bool:
    """Whether the next layer's cycles depend on more of this one than the width it writes."""
    return isinstance(layer, SlidingWindow) and layer.parallel_window > 0


def _before(graph: Graph, steps: list[list[_Group]], option: Layer) -> list[_Group]:
    """The ways in front of a layer; the input comes in beats as the layer wants it."""
    if steps:
        return steps[-1]
    beats = graph.streams[graph.input].size // option.in_parallel
    none = np.zeros(1)
    ways = _Ways(none, none, none, none + beats - 1, *[none.astype(int)] * 3)
    return [_Group(option.in_parallel, None, ways)]


def _extend(
    graph: Graph, group: _Group, number: int, layer: Layer, index: int, area: Area, interval: int
) -> _Ways | None:
    """All ways of a group with one more layer; None where that is slower than the interval."""
    source = graph.streams[layer.source]
    before = group.layer or producer(graph, layer)
    # A layer alone may be slower, where that was asked for.
    if joint_cycles(graph, layer, group.layer) > max(interval, layer.cycles(graph)):
        return None
    ways = group.ways
    span = Span(ways.first, ways.last)
    for part in glue(group.width, layer, before):
        if isinstance(part, Width) and source.size // min(part.before, part.after) > interval:
            return None
        area += glue_area(part, source.bits)
        span = after_glue(part, span, source.size)
    span = after_layer(graph, layer, span)
    same = np.ones(len(ways.lut), int)
    return _Ways(
        ways.lut + area.lut,
        ways.halves + HALVES * area.bram36,
        span.first + 0.0 * ways.lut,
        span.last + 0.0 * ways.lut,
        index * same,
        number * same,
        np.arange(len(same)),
    )


def _join(parts: list[_Ways]) -> _Ways:
    return _Ways(*(np.concatenate(c) for c in zip(*(vars(p).values() for p in parts), strict=True)))


def _prune(ways: _Ways, price: float, most: float) -> _Ways:
    """Those that no other beats, the cheapest in LUTs last."""
    cost = ways.lut + price * ways.last
    order = np.lexsort((cost, ways.halves))
    cost = cost[order]
    best = np.minimum.accumulate(np.concatenate(([np.inf], cost[:-1])))
    keep = (cost < best) & (ways.halves[order] <= most)
    return ways[order[keep]]


def _trace(
    choices: Sequence[Sequence[Layer]], steps: list[list[_Group]], number: int, way: int
) -> tuple[Layer, ...]:
    """The foldings that a way is made of."""
    layers = []
    for options, groups in zip(reversed(choices), reversed(steps), strict=True):
        ways = groups[number].ways
        layers.append(options[int(ways.choice[way])])
        number, way = int(ways.before[way]), int(ways.way[way])
    return tuple(reversed(layers))


def _pareto(points: list[Point], price: float) -> list[Point]:
    """Points that no other beats, ascending in LUTs and the price of latency."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.lut + price * p.latency, p.bram36)):
        if not kept or point.bram36 < kept[-1].bram36:
            kept.append(point)
    return kept
