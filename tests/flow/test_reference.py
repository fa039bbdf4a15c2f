"""The integer reference against the definitions, written out in Python's own integers.

`test_finn_adapter.py` compares it with FINN's NumPy semantics, `test_lower.py` with the network.
"""

from __future__ import annotations

import numpy as np
import pytest

from flow import reference
from flow.graph import Graph, LabelSelect, MatrixVector, Stream, Threshold


def random_graph(seed: int, shape: tuple[int, ...] = (11,), levels: int = 1) -> Graph:
    """Threshold, product, threshold, product, label over pixels of `shape`."""
    rng = np.random.default_rng(seed)
    channels, rows, classes = shape[-1], 7, 5
    pixels = shape[:-1]
    first = np.sort(rng.integers(0, 257, (channels, 1)), axis=1)
    second = np.sort(rng.integers(0, channels + 2, (rows, levels)), axis=1)
    layers = [
        Threshold("in0", "image", "in0", first),
        MatrixVector("fc0", "in0", "fc0", rng.integers(0, 2, (rows, channels), dtype=np.uint8)),
        Threshold("fc0_act", "fc0", "fc0_act", second),
    ]
    streams = [
        Stream("image", shape, "UINT8"),
        Stream("in0", shape, "BINARY"),
        Stream("fc0", (*pixels, rows), f"UINT{channels.bit_length()}"),
        Stream("fc0_act", (*pixels, rows), "BINARY" if levels == 1 else "UINT3"),
    ]
    if levels == 1 and not pixels:
        weights = rng.integers(0, 2, (classes, rows), dtype=np.uint8)
        layers += [
            MatrixVector("fc1", "fc0_act", "fc1", weights),
            LabelSelect("label", "fc1", "label", classes),
        ]
        streams += [Stream("fc1", (classes,), "UINT3"), Stream("label", (1,), "UINT3")]
    names = {s.name: s for s in streams}
    return Graph("net", tuple(layers), names, "image", streams[-1].name).check()


def by_hand(graph: Graph, pixels: list[int]) -> dict[str, list[int]]:
    """One pixel's channels through the graph, in plain integers."""
    streams = {graph.input: [int(x) for x in pixels]}
    for layer in graph:
        source = streams[layer.source]
        if isinstance(layer, Threshold):
            rows = layer.thresholds.tolist()
            target = [sum(x >= t for t in row) for x, row in zip(source, rows, strict=True)]
        elif isinstance(layer, MatrixVector):
            rows = layer.weights.tolist()
            target = [sum(x == w for x, w in zip(source, row, strict=True)) for row in rows]
        else:
            target = [source.index(max(source))]
        streams[layer.target] = target
    return streams


@pytest.mark.parametrize("seed", range(5))
def test_vectors(seed):
    graph = random_graph(seed)
    images = np.random.default_rng(seed).integers(0, 256, (30, 11), dtype=np.uint8)
    streams = reference.execute(graph, images)
    for i, image in enumerate(images):
        for name, values in by_hand(graph, image).items():
            assert streams[name][i].tolist() == values, name


def test_pixels_and_several_levels():
    graph = random_graph(1, shape=(2, 3, 4), levels=6)
    images = np.random.default_rng(1).integers(0, 256, (10, 2, 3, 4), dtype=np.uint8)
    streams = reference.execute(graph, images)
    assert streams["fc0_act"].shape == (10, 2, 3, 7) and streams["fc0_act"].max() > 1
    for place in np.ndindex(10, 2, 3):
        for name, values in by_hand(graph, images[place]).items():
            assert streams[name][place].tolist() == values, name


def test_labels_are_the_last_stream_in_batches(monkeypatch):
    monkeypatch.setattr(reference, "BATCH", 7)
    graph = random_graph(2)
    images = np.random.default_rng(2).integers(0, 256, (30, 11), dtype=np.uint8)
    expected = reference.execute(graph, images)["label"][:, 0]
    labels = reference.labels(graph, images)
    assert labels.dtype == np.int64 and np.array_equal(labels, expected)
    assert reference.labels(graph, images[:0]).shape == (0,)


def test_images_in_another_shape_of_the_same_order():
    graph = random_graph(3, shape=(12,))
    images = np.random.default_rng(3).integers(0, 256, (9, 1, 3, 4), dtype=np.uint8)
    flat = reference.labels(graph, images.reshape(9, -1))
    assert np.array_equal(reference.labels(graph, images), flat)


def test_largest_popcount_of_a_wide_layer():
    """float32 sums are exact far beyond the widest layer."""
    wide = 4096
    layers = (MatrixVector("fc0", "bits", "fc0", np.ones((2, wide), np.uint8)),)
    streams = {"bits": Stream("bits", (wide,), "BINARY"), "fc0": Stream("fc0", (2,), "UINT13")}
    graph = Graph("net", layers, streams, "bits", "fc0").check()
    ones = reference.execute(graph, np.ones((1, wide), np.uint8))["fc0"]
    assert ones.tolist() == [[wide, wide]]
    assert reference.execute(graph, np.zeros((1, wide), np.uint8))["fc0"].max() == 0
