"""FIFOs of branches: how deep they must be, and a refusal before synthesis of those that are not.

A fork hands on a beat when both branches have taken the one before. Where one branch waits for
more of the stream than the other, a convolution for the lines of its first window say, the sum
behind both takes nothing meanwhile, and what the other branch brings has to be kept: in the FIFO in
front of the sum. If it is too short the fork waits for the sum, the sum for the slow branch, and
that for the fork.

`needed` follows every element from the fork to the sum and notes how many beats must have left the
fork before it can arrive. At a sum, the most beats that have arrived from one side while their
partners have not are what that side's FIFO must hold. This counts no register on the way, so it is
a few beats more than the least that works; whatever the timing, it is enough.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np

from flow.errors import UserError
from flow.graph import (
    AddStreams,
    Depthwise,
    Graph,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Threshold,
    windows_shape,
)
from flow.rtl.supported import MEMORY_WORDS

PIPELINE = 16  # cycles from the entry of a unit to its exit, about, when nothing waits
SLACK = 4  # beats more than the timing asks for

Times = dict[str, np.ndarray]  # stream -> for each element how many beats have left the fork


def needed(graph: Graph) -> dict[str, tuple[int, int]]:
    """For each sum the beats that the FIFOs at its two sources must hold; 0: no FIFO needed."""
    found = {}
    for layer in graph:
        if isinstance(layer, AddStreams):
            most = np.zeros(2, int)
            for fork in _forks(graph, layer):
                times = _times(graph, fork, layer)
                most = np.maximum(most, _waiting(layer, *(times[s] for s in layer.sources)))
            found[layer.name] = (int(most[0]), int(most[1]))
    return found


def sized(graph: Graph) -> Graph:
    """The graph with a depth for every FIFO that was left open: needed, and enough for full speed.

    Full speed takes more, since a branch is also late by the cycles that its units work.
    """
    depths = needed(graph)
    layers = tuple(
        replace(layer, fifo=_chosen(graph, layer, depths[layer.name]))
        if isinstance(layer, AddStreams) and not layer.fifo
        else layer
        for layer in graph
    )
    return replace(graph, layers=layers).check()


def refuse(graph: Graph) -> None:
    """`UserError` at the first fork that would stop the design, or a FIFO that cannot be built."""
    for name, depths in needed(graph).items():
        layer = graph.layer(name)
        assert isinstance(layer, AddStreams)
        for source, depth in zip(layer.sources, depths, strict=True):
            there = layer.depth(source)
            if there < depth:
                fork = " and ".join(_forks(graph, layer))
                raise UserError(
                    f"layer {name}: the branches that fork at {fork} would block each other: the "
                    f"FIFO at {source} has {there} beats of {layer.PE} elements, {depth} are "
                    f"needed; give {name} a fifo of {list(map(_legal, depths))} or leave it out"
                )
            if there > MEMORY_WORDS:
                raise UserError(
                    f"layer {name}: the FIFO at {source} has {there} beats of {layer.PE} elements, "
                    f"the memory has {MEMORY_WORDS} words; choose a larger PE"
                )


def _legal(depth: int) -> int:
    """A depth that can be built: none, or two and more."""
    return max(2, depth) if depth else 0


def _chosen(graph: Graph, layer: AddStreams, depths: tuple[int, int]) -> tuple[int, int]:
    beats = graph.streams[layer.source].size // layer.PE
    interval = max(x.cycles(graph) for x in graph)
    found = []
    for source, depth in zip(layer.sources, depths, strict=True):
        other = next(s for s in layer.sources if s != source)
        late = _delay(graph, other, layer) * beats / interval
        found.append(_legal(ceil(depth + late) + SLACK if late or depth else 0))
    return found[0], found[1]


def _delay(graph: Graph, stream: str, add: AddStreams) -> float:
    """Cycles that the units between the fork and `stream` work on an element, about."""
    forks = _forks(graph, add)
    total = 0.0
    while stream not in forks:
        layer = next((x for x in graph if x.target == stream), None)
        if layer is None:
            break
        total += PIPELINE + layer.cycles(graph) / graph.streams[layer.target].pixels
        stream = layer.source
    return total


def _forks(graph: Graph, add: AddStreams) -> list[str]:
    """The streams with several readers from which both sources of a sum come."""
    ways = [_ancestors(graph, source) for source in add.sources]
    common = [s for s in ways[0] if s in ways[1]]
    return [s for s in graph.streams if s in common and len(graph.readers(s)) > 1]


def _ancestors(graph: Graph, stream: str) -> set[str]:
    """The streams that a stream is made of, itself included."""
    found, waiting = set(), [stream]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for layer in graph:
            if layer.target == name:
                waiting += [s for s in layer.sources if s not in found]
    return found


def _times(graph: Graph, fork: str, add: AddStreams) -> Times:
    """When the elements of all streams behind the fork are there, up to the sources of a sum.

    What does not come from the fork is there from the start.
    """
    written = next((x.out_parallel for x in graph if x.target == fork), 0)
    parallel = written or graph.readers(fork)[0].in_parallel
    times = {fork: np.arange(graph.streams[fork].size) // parallel + 1}
    for layer in graph:
        if layer is add:
            break
        if layer.target == fork or not any(s in times for s in layer.sources):
            continue
        parts = [_beats(times[s], layer.in_parallel) for s in layer.sources if s in times]
        arriving = np.max(parts, axis=0)
        leaving = _behind(graph, layer, arriving)
        times[layer.target] = np.maximum.accumulate(leaving.reshape(-1))
    for source in add.sources:
        times.setdefault(source, np.zeros(graph.streams[source].size, int))
    return times


def _beats(times: np.ndarray, parallel: int) -> np.ndarray:
    """An element is there with the last one of its beat."""
    return np.repeat(times.reshape(-1, parallel)[:, -1], parallel)


def _behind(graph: Graph, layer: Layer, times: np.ndarray) -> np.ndarray:
    """When a layer's elements can leave; `times`: when those of its source have arrived."""
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    if isinstance(layer, Threshold | AddStreams):
        return times
    if isinstance(layer, MatrixVector | Depthwise):
        last = times.reshape(source.pixels, -1)[:, -1]
        return np.repeat(last, target.size // source.pixels)
    if isinstance(layer, SlidingWindow):
        image = times.reshape(source.shape)[..., -1]  # a pixel with its last channel
        rows, across, size = windows_shape(source.shape, layer)
        first = layer.kernel - 1
        ends = image[first :: layer.stride, first :: layer.stride][:rows, :across]
        return np.repeat(ends.reshape(-1), size)
    if isinstance(layer, MaxPool):
        image, size = times.reshape(source.shape), layer.size
        rows, across = (n // size * size for n in source.shape[:2])
        return image[size - 1 : rows : size, size - 1 : across : size]
    if isinstance(layer, Padding):
        border = [(layer.size, layer.size)] * 2 + [(0, 0)]
        return np.pad(times.reshape(source.shape), border)
    return np.full(target.size, times[-1])  # of everything


def _waiting(add: AddStreams, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The most beats that have come from each side while their partners have not: (2,)."""
    sides = [times.reshape(-1, add.PE)[:, -1] for times in (a, b)]
    both = np.maximum(*sides)
    return np.array(
        [
            max(0, int((np.searchsorted(x, x, "right") - np.searchsorted(both, x, "right")).max()))
            for x in sides
        ]
    )
