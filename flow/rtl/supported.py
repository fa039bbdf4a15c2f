"""Which layers there is RTL for, and with which parameters."""

from __future__ import annotations

from flow.errors import UserError
from flow.graph import (
    AddStreams,
    Depthwise,
    GlobalAccPool,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Stream,
    Threshold,
    windows_shape,
)

BUILT: tuple[type[Layer], ...] = (
    *(Threshold, MatrixVector, SlidingWindow, MaxPool, LabelSelect, Padding, Depthwise),
    *(AddStreams, GlobalAccPool),
)
MEMORY_WORDS = 2048  # of ram.sv: deeper blocks are narrower than those that are proven


def refuse(graph: Graph) -> None:
    """`UserError` naming the first layer that can be lowered and run, but not built."""
    for layer in graph:
        source = graph.streams[layer.source]
        if reason := _refusal(layer, source):
            raise UserError(
                f"layer {layer.name} ({layer.kind} on {source.dtype}): no hardware for {reason}; "
                "`hanbit lower` and its report are as far as this network goes"
            )


def _refusal(layer: Layer, source: Stream) -> str | None:
    """What of a layer there is no RTL for, and what there is instead."""
    if isinstance(layer, MaxPool):
        if source.dtype != "BINARY":
            return f"pooling of {source.dtype}, only of BINARY"
        if layer.size < 2:
            return f"squares of {layer.size} pixel, only of 2 and more"
    elif type(layer) not in BUILT:
        return f"this kind, only for {', '.join(kind.kind for kind in BUILT)}"
    return None


def refuse_folding(graph: Graph) -> None:
    """`UserError` naming the first layer whose folding there is no RTL for."""
    for layer in graph:
        if not isinstance(layer, SlidingWindow):
            continue
        words = line_words(layer, graph.streams[layer.source])
        if words > MEMORY_WORDS:
            raise UserError(
                f"layer {layer.name}: SIMD={layer.SIMD} makes {words} words of the lines that it "
                f"keeps, the memory has {MEMORY_WORDS}; choose a larger SIMD"
            )


def line_words(layer: SlidingWindow, source: Stream) -> int:
    """Words in the line buffer: of the lines of a row of windows, and of the next."""
    height, width, channels = source.shape
    rows, _, _ = windows_shape((height, width, channels), layer)
    last = height - (rows - 1) * layer.stride
    lines = layer.kernel + max(layer.stride, last)
    return lines * width * (channels // layer.SIMD)
