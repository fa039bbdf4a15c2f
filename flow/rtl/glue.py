"""What stands between two layers whose streams do not fit: width converters and FIFOs.

One rule for the code generator, the estimates and the choice of folding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flow.graph import Graph, Layer, MatrixVector


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


def glue(parallel: int, layer: Layer) -> list[Width | Fifo]:
    """What a stream of `parallel` elements a beat passes on its way into a layer.

    Where no integer ratio joins the two widths, a converter goes up to their least common
    multiple (which divides the channels, as both widths do) and another down again. A layer that
    reads a vector in several beats and then works on it for longer than it reads gets a FIFO for
    one vector, so that the layer before it does not stand still meanwhile.
    """
    found: list[Width | Fifo] = []
    wanted = layer.in_parallel
    common = math.lcm(parallel, wanted)
    if parallel != common:
        found.append(Width(parallel, common))
    if common != wanted:
        found.append(Width(common, wanted))
    if isinstance(layer, MatrixVector) and layer.MW > layer.SIMD and layer.MH > layer.PE:
        found.append(Fifo(wanted, layer.MW // layer.SIMD))
    return found


def source_parallel(graph: Graph, layer: Layer) -> int:
    """Elements a beat on the stream that a layer reads, as its producer writes it."""
    for other in graph:
        if other.target == layer.source:
            return other.out_parallel
    return layer.in_parallel  # the graph's input comes as its first layer wants it
