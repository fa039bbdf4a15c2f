"""What stands between two layers whose streams do not fit: width converters and FIFOs.

One rule for the code generator, the estimates and the choice of folding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flow.graph import Graph, Layer, MatrixVector, SlidingWindow


@dataclass(frozen=True)
class Width:
    """Converter from `before` to `after` elements a beat; one is a multiple of the other."""

    before: int
    after: int


@dataclass(frozen=True)
class Fifo:
    """FIFO of `depth` beats of `parallel` elements."""

    parallel: int
    depth: int


def glue(
    parallel: int, layer: Layer, before: Layer | None = None, depth: int = 0
) -> list[Width | Fifo]:
    """What a stream of `parallel` elements a beat passes from layer `before` into a layer.

    Where no integer ratio joins the two widths, a converter goes up to their least common
    multiple (which divides the channels, as both widths do) and another down again. A layer that
    reads a vector in several beats and then works on it for longer than it reads gets a FIFO for
    one vector, or as deep as its `fifo` says, so that the layer before it does not stand still
    meanwhile. A sliding window that
    writes a vector as fast as it is read may, since it goes on filling its lines. `depth`: beats of
    a FIFO that the layer has in front of this source besides (`Layer.depth`).
    """
    found: list[Width | Fifo] = []
    wanted = layer.in_parallel
    common = math.lcm(parallel, wanted)
    if parallel != common:
        found.append(Width(parallel, common))
    if common != wanted:
        found.append(Width(common, wanted))
    folded = isinstance(layer, MatrixVector) and layer.MW > layer.SIMD and layer.MH > layer.PE
    if folded and not (isinstance(before, SlidingWindow) and parallel >= wanted):
        assert isinstance(layer, MatrixVector)
        found.append(Fifo(wanted, layer.fifo or layer.MW // layer.SIMD))
    if depth:
        found.append(Fifo(wanted, depth))
    return found


def joint_cycles(graph: Graph, layer: Layer, before: Layer | None) -> int:
    """Cycles an image occupies a layer together with the sliding window that feeds it.

    A parallel window keeps one window ready while the layer works on another. In a row each takes
    the longer of the two, but the first is read in whole, which may be longer than the layer works.
    A layer with a ring has a third window between the two once the ring is full.
    """
    cycles = layer.cycles(graph)
    if not (isinstance(before, SlidingWindow) and before.parallel_window):
        return cycles
    _, _, channels = graph.streams[before.source].shape
    rows, across, _ = graph.streams[before.target].shape
    work = cycles // (rows * across)
    column = before.kernel * channels // before.SIMD
    first, next_one = before.kernel * column, before.stride * column
    if isinstance(layer, MatrixVector) and layer.SIMD < layer.MW and layer.PE < layer.MH:
        first -= work - layer.MW // layer.SIMD
    return rows * (max(work, first) + (across - 1) * max(work, next_one))


def producer(graph: Graph, layer: Layer, source: str = "") -> Layer | None:
    """The layer that writes what a layer reads, its first source by default; None for the input."""
    return next((other for other in graph if other.target == (source or layer.source)), None)
