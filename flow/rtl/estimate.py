"""Cycles, latency, LUTs and block RAMs of a folded graph, predicted without running a tool.

`estimate` counts cycles exactly (flow/rtl/cycles.py). `forecast` is what a search goes by, among
thousands of foldings: the interval of the slowest layer, which `Layer.cycles` has exactly, as if
FIFOs held every burst, and a latency that follows the first and the last beat of an image through
the layers. Area is that of flow/rtl/area.py, layer by layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Any

import numpy as np

from flow.graph import (
    Depthwise,
    GlobalAccPool,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    windows_shape,
)
from flow.rtl.area import (
    few_words,
    fifo_uses_block_ram,
    fork_area,
    glue_area,
    late_weights,
    layer_area,
    number_places,
    result_places,
)
from flow.rtl.cycles import count
from flow.rtl.glue import Fifo, Width, glue, joint_cycles, producer
from flow.rtl.trees import Area, adder_tree, compressor_tree

LONG = 50_000  # cycles an image; beyond, counting takes minutes and the forecast has to do


@dataclass(frozen=True)
class Span:
    """When a stream's beats of the first image can be taken: cycles of the first and the last.

    Numbers, or arrays of them for many foldings at a time.
    """

    first: Any
    last: Any


@dataclass(frozen=True)
class Estimate:
    """A whole graph. `interval` and `latency` are cycles, defined as in flow/rtl/simulate.py."""

    interval: float
    latency: int
    area: Area
    layers: dict[str, Area]  # each with the converters and the FIFO in front of it


def estimate(graph: Graph) -> Estimate:
    """Predict a folded graph, with exact cycles where an image takes less than LONG.

    FIFOs of branches are as deep as its sums say. Raises UserError where the design would stop.
    """
    found = forecast(graph)
    if found.interval >= LONG:
        return found
    exact = count(graph)
    return replace(found, interval=exact.interval, latency=exact.latency)


def forecast(graph: Graph) -> Estimate:
    """Predict a folded graph as flow/rtl/search.py does."""
    areas: dict[str, Area] = {}
    parallel = {graph.input: graph.readers(graph.input)[0].in_parallel}
    beats = graph.streams[graph.input].size // parallel[graph.input]
    spans = {graph.input: Span(0, beats - 1)}
    interval = beats
    for layer in graph:
        area = layer_area(graph, layer) + fork_area(len(graph.readers(layer.target)))
        arriving = []
        for name in layer.sources:
            source, before = graph.streams[name], producer(graph, layer, name)
            span = spans[name]
            for part in glue(parallel[name], layer, before, layer.depth(name)):
                area += glue_area(part, source.bits)
                span = after_glue(part, span, source.size)
                if isinstance(part, Width):
                    interval = max(interval, source.size // min(part.before, part.after))
            arriving.append(span)
            interval = max(interval, joint_cycles(graph, layer, before))
        areas[layer.name] = area
        span = Span(max(s.first for s in arriving), max(s.last for s in arriving))
        spans[layer.target] = after_layer(graph, layer, span)
        parallel[layer.target] = layer.out_parallel
    total = sum(areas.values(), Area())
    return Estimate(interval, ceil(spans[graph.output].last) + 1, total, areas)


def after_glue(part: Width | Fifo, span: Span, size: int) -> Span:
    """The beats behind a converter or FIFO; `size` elements an image."""
    if isinstance(part, Fifo):
        delay = 2 if fifo_uses_block_ram(part, 1) else 1
        return Span(span.first + delay, span.last + delay)
    if part.after > part.before:
        ratio, beats = part.after // part.before, size // part.before
        pace = (span.last - span.first) / max(1, beats - 1)
        return Span(span.first + (ratio - 1) * pace + 1, span.last + 1)
    ratio, beats = part.before // part.after, size // part.after
    return Span(span.first + 1, np.maximum(span.last + ratio, span.first + beats))


def after_layer(graph: Graph, layer: Layer, span: Span) -> Span:
    """The beats a layer writes when its input comes as `span`."""
    source = graph.streams[layer.source]
    if isinstance(layer, MatrixVector):
        return _after_matrix_vector(graph, layer, span)
    if isinstance(layer, SlidingWindow):
        return _after_window(graph, layer, span)
    if isinstance(layer, Depthwise):
        return _after_depthwise(graph, layer, span)
    if isinstance(layer, Padding):
        # The border above begins with the first beat, the one below follows the last.
        beats = layer.cycles(graph)
        below = layer.size * (source.shape[1] + 2 * layer.size + 1)
        last = span.last + below * (source.channels // layer.SIMD)
        return Span(span.first + 1, np.maximum(last, span.first + beats - 1) + 1)
    if isinstance(layer, MaxPool):
        # The first square is whole when its last pixel comes; rows beyond the last are left out.
        height, width, _ = source.shape
        length = (span.last - span.first) / max(1, source.pixels - 1)
        rows, columns = height // layer.size * layer.size, width // layer.size * layer.size
        first = span.first + (layer.size - 1) * (width + 1) * length
        return Span(first + 1, span.first + ((rows - 1) * width + columns - 1) * length + 1)
    if isinstance(layer, GlobalAccPool):
        return Span(span.last - source.channels // layer.PE + 2, span.last + 1)
    if isinstance(layer, LabelSelect):
        delay = (ceil(log2(layer.PE)) if layer.PE > 1 else 0) + 1
        return Span(span.last + delay, span.last + delay)
    return Span(span.first + 1, span.last + 1)


def _after_matrix_vector(graph: Graph, layer: MatrixVector, span: Span) -> Span:
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
    if source.dtype == "BINARY":
        delay = 1 + popcount_latency(layer.SIMD, few_words(layer)) + late_weights(layer)
        delay += int(result_places(layer, target.bits) > 0)
    else:
        delay = 1 + adder_tree(layer.SIMD, source.bits)[1]
        delay += 2 * int(number_places(layer, target.bits) > 0)
    delay += int(SF > 1)
    pixels = source.pixels
    pace = (span.last - span.first) / max(1, pixels * SF - 1)
    row = np.maximum(SF - 1, (SF - 1) * pace)
    last = np.maximum(span.last, span.first + pixels * NF * SF - 1 - (NF - 1) * SF)
    return Span(span.first + row + delay, last + (NF - 1) * SF + delay)


def _after_depthwise(graph: Graph, layer: Depthwise, span: Span) -> Span:
    pixels = graph.streams[layer.source].pixels
    folds, groups = layer.channels // layer.PE, layer.places // layer.SIMD
    delay = 1 + popcount_latency(layer.SIMD, folds * groups == 1) + int(groups > 1)
    steps = pixels * folds * groups
    if layer.SIMD > 1:
        last = np.maximum(span.last + folds * groups - 1, span.first + steps - 1)
        return Span(span.first + groups - 1 + delay, last + delay)
    pace = np.maximum(1, (span.last - span.first) / max(1, steps - 1))
    last = np.maximum(span.last, span.first + steps - 1)
    return Span(span.first + (groups - 1) * folds * pace + delay, last + delay)


def _after_window(graph: Graph, layer: SlidingWindow, span: Span) -> Span:
    """Reading begins when the first window (in parallel: its first column) is there.

    It ends with the last window (column), or goes on at its own pace where that is slower.
    """
    source = graph.streams[layer.source]
    height, width, channels = source.shape
    folds = channels // layer.SIMD
    pace = (span.last - span.first) / max(1, height * width * folds - 1)
    lines, run = (layer.kernel - 1) * width * folds, layer.kernel * folds
    start = folds if layer.parallel_window else run
    begin = span.first + (lines + start - 1) * pace + 1
    group = layer.kernel * start  # words of a window (column), read one after the other
    if layer.parallel_window:
        # The last column of the first window comes with the pixels, or later by reading.
        whole = np.maximum(layer.kernel * group, (layer.kernel - 1) * folds * pace + group)
        first, delay = begin + whole, 2
    else:
        first, delay = begin, 1
    rows, across, _ = windows_shape((height, width, channels), layer)
    groups = (across - 1) * layer.stride + layer.kernel if layer.parallel_window else across
    last = np.maximum(span.last + 1 + group, begin + rows * groups * group)
    return Span(first + delay, last + delay)


def popcount_latency(lanes: int, absorb: bool = False) -> int:
    """Cycles of popcount.sv; absorb: its first level takes in weights of a few words."""
    return compressor_tree(lanes, absorb)[1]
