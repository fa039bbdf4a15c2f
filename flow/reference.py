"""Bit-exact integer model of the dataflow graph: the one truth after lowering.

Written from the definitions in `flow/graph.py` alone. Products use float32 BLAS, which is exact
for popcounts below 2**24.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flow.graph import Graph, LabelSelect, Layer, MatrixVector, Threshold

BATCH = 1000  # images at a time; bounds the memory of `labels`


def execute(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every stream of the graph for uint8 images (N, *input shape): {stream: (N, *shape)}.

    Streams are int32; binary ones hold 0 and 1. `images` of another shape are accepted if they
    have as many elements, in the order of the graph's input.
    """
    shape = graph.streams[graph.input].shape
    streams = {graph.input: images.reshape(len(images), *shape).astype(np.int32)}
    for layer in graph:
        values = _COMPUTE[type(layer)](layer, streams[layer.source])
        streams[layer.target] = values.reshape(len(images), *graph.streams[layer.target].shape)
    return streams


def labels(graph: Graph, images: np.ndarray) -> np.ndarray:
    """The graph's labels for uint8 images: int64 (N,)."""
    parts = [
        execute(graph, images[i : i + BATCH])[graph.output].reshape(-1)
        for i in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)


def _threshold(layer: Threshold, values: np.ndarray) -> np.ndarray:
    """(N, ..., C) -> how many of its channel's thresholds each element reaches."""
    counts = np.zeros(values.shape, np.int32)
    for level in layer.thresholds.T:
        counts += values >= level
    return counts


def _matrix_vector(layer: MatrixVector, bits: np.ndarray) -> np.ndarray:
    """(N, ..., MW) bits -> (N, ..., MH): in how many places they equal the row of weights.

    x == w for bits is 1 - x - w + 2xw, so that the sum over a row is one product and two sums.
    """
    weights = layer.weights.astype(np.float32)
    both = bits.astype(np.float32) @ weights.T
    ones = bits.sum(-1, keepdims=True) + layer.weights.sum(1, dtype=np.int32)
    return layer.MW - ones + 2 * both.astype(np.int32)


def _label_select(layer: LabelSelect, scores: np.ndarray) -> np.ndarray:
    """(N, classes) -> (N, 1): the lowest index of a largest score."""
    return scores.argmax(-1).astype(np.int32)[..., None]


_COMPUTE: dict[type[Layer], Callable] = {
    Threshold: _threshold,
    MatrixVector: _matrix_vector,
    LabelSelect: _label_select,
}
