"""Bit-exact integer model of the dataflow graph: the one truth after lowering.

Written from the definitions in `flow/graph.py` alone. Products use float32 BLAS, which is exact
for sums below 2**24.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

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

BATCH = 1000  # images at a time, at most
ELEMENTS = 2**22  # of the largest stream of a batch; both bound the memory of `labels`
EXACT = 2**24  # float32 holds every integer below


def execute(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every stream of the graph for uint8 images (N, *input shape): {stream: (N, *shape)}.

    Streams are int32; binary ones hold 0 and 1. `images` of another shape are accepted if they
    have as many elements, in the order of the graph's input.
    """
    streams = {name: values.astype(np.int32) for name, values in _streams(graph, images)}
    return {name: streams[name] for name in (graph.input, *(x.target for x in graph))}


def labels(graph: Graph, images: np.ndarray) -> np.ndarray:
    """The graph's labels for uint8 images as data sets hold them, (N, C, H, W): int64 (N,)."""
    largest = max(stream.size for stream in graph.streams.values())
    batch = max(1, min(BATCH, ELEMENTS // largest))
    pixels = graph.arrange(images)
    found = np.zeros(len(images), np.int64)
    for i in range(0, len(images), batch):
        for name, values in _streams(graph, pixels[i : i + batch]):
            if name == graph.output:
                found[i : i + batch] = values.reshape(-1)
    return found


def _streams(graph: Graph, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each stream in turn; one is held until its last reader has run."""
    last = {source: layer for layer in graph for source in layer.sources}
    held = {graph.input: images.reshape(len(images), *graph.streams[graph.input].shape)}
    yield graph.input, held[graph.input]
    for layer in graph:
        inputs = [held[source] for source in layer.sources]
        values = _COMPUTE[type(layer)](layer, *inputs, graph.streams[layer.source])
        for source in layer.sources:
            if last[source] is layer:
                del held[source]
        held[layer.target] = values.reshape(len(images), *graph.streams[layer.target].shape)
        yield layer.target, held[layer.target]


def _threshold(layer: Threshold, values: np.ndarray, _: Stream) -> np.ndarray:
    """(N, ..., C) -> how many of its channel's thresholds each element reaches."""
    counts = np.zeros(values.shape, np.uint8 if layer.levels < 256 else np.int32)
    for level in layer.thresholds.T:
        counts += values >= level
    return counts


def _matrix_vector(layer: MatrixVector, values: np.ndarray, source: Stream) -> np.ndarray:
    """(N, ..., MW) -> (N, ..., MH): sums of values, each with the sign of its weight.

    In how many places bits equal the row of weights: x == w is xw + (1 - x)(1 - w), which is
    x (2w - 1) + (1 - w), so that the sum is the same product and the number of zeros in the row.
    """
    if layer.MW * max(int(source.type.max()), -int(source.type.min())) >= EXACT:
        raise OverflowError(f"{layer.name}: float32 does not hold sums of {layer.MW} values")
    signs = layer.weights.astype(np.float32) * 2 - 1
    rows = values.reshape(-1, layer.MW).astype(np.float32)  # one product for all pixels
    sums = (rows @ signs.T).astype(np.int32)
    if source.dtype == "BINARY":
        sums += layer.MW - layer.weights.sum(1, dtype=np.int32)
    return sums.reshape(*values.shape[:-1], layer.MH)


def _sliding_window(layer: SlidingWindow, values: np.ndarray, source: Stream) -> np.ndarray:
    """(N, H, W, C) -> (N, H', W', k*k*C)."""
    height, width, _ = windows_shape(source.shape, layer)
    s = layer.stride
    steps = range(layer.kernel)
    parts = [
        values[:, ky : ky + s * (height - 1) + 1 : s, kx : kx + s * (width - 1) + 1 : s]
        for ky in steps
        for kx in steps
    ]
    return np.concatenate(parts, axis=-1)


def _padding(layer: Padding, values: np.ndarray, _: Stream) -> np.ndarray:
    """(N, H, W, C) -> (N, H + 2 size, W + 2 size, C)."""
    border = [(0, 0), *[(layer.size, layer.size)] * 2, (0, 0)]
    return np.pad(values, border, constant_values=layer.value)


def _depthwise(layer: Depthwise, values: np.ndarray, _: Stream) -> np.ndarray:
    """(N, H', W', K*C) -> (N, H', W', C): in how many places a channel equals its weights."""
    places = values.reshape(*values.shape[:-1], layer.places, layer.channels)
    return (places == layer.weights.T).sum(-2, dtype=np.int32)


def _max_pool(layer: MaxPool, values: np.ndarray, source: Stream) -> np.ndarray:
    """(N, H, W, C) -> (N, H // size, W // size, C)."""
    size = layer.size
    height, width, channels = source.shape
    squares = values[:, : height // size * size, : width // size * size]
    shape = (len(values), height // size, size, width // size, size, channels)
    return squares.reshape(shape).max(axis=(2, 4))


def _add_streams(_: AddStreams, a: np.ndarray, b: np.ndarray, __: Stream) -> np.ndarray:
    """(N, ..., C) twice -> (N, ..., C)."""
    return a.astype(np.int32) + b


def _acc_pool(layer: GlobalAccPool, values: np.ndarray, source: Stream) -> np.ndarray:
    """(N, H, W, C) -> (N, C)."""
    sums = values.sum((1, 2), dtype=np.int32)
    return 2 * sums - source.pixels if layer.bipolar else sums


def _label_select(layer: LabelSelect, scores: np.ndarray, _: Stream) -> np.ndarray:
    """(N, classes) -> (N, 1): the lowest index of a largest score."""
    return scores.argmax(-1).astype(np.int32)[..., None]


_COMPUTE: dict[type[Layer], Callable] = {
    Threshold: _threshold,
    MatrixVector: _matrix_vector,
    Padding: _padding,
    SlidingWindow: _sliding_window,
    Depthwise: _depthwise,
    MaxPool: _max_pool,
    AddStreams: _add_streams,
    GlobalAccPool: _acc_pool,
    LabelSelect: _label_select,
}
