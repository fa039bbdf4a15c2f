"""The integer reference against the definitions, written out in Python's own integers.

`test_finn_adapter.py` compares it with FINN's NumPy semantics, `test_lower.py` with the network.
"""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import conv_graph
from hypothesis import given, settings
from hypothesis import strategies as st

from flow import reference
from flow.errors import UserError
from flow.graph import (
    Graph,
    LabelSelect,
    MatrixVector,
    MaxPool,
    SlidingWindow,
    Stream,
    Threshold,
    windows_shape,
)


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


# Convolutional layers, against loops over pixels.


def windows_by_hand(image: np.ndarray, kernel: int, stride: int) -> list:
    """(H, W, C) -> H' x W' lists, from the definition of SlidingWindow."""
    height, width, channels = image.shape
    return [
        [
            [
                int(image[y + ky, x + kx, c])
                for ky in range(kernel)
                for kx in range(kernel)
                for c in range(channels)
            ]
            for x in range(0, width - kernel + 1, stride)
        ]
        for y in range(0, height - kernel + 1, stride)
    ]


def pooled_by_hand(image: np.ndarray, size: int) -> list:
    height, width, channels = image.shape
    return [
        [
            [
                max(int(image[y * size + i, x * size + j, c])
                    for i in range(size) for j in range(size))
                for c in range(channels)
            ]
            for x in range(width // size)
        ]
        for y in range(height // size)
    ]  # fmt: skip


def dot_by_hand(values: list, row: list, dtype: str) -> int:
    if dtype == "BINARY":
        return sum(x == w for x, w in zip(values, row, strict=True))
    return sum(x if w else -x for x, w in zip(values, row, strict=True))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 4),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dtype=st.sampled_from(["BINARY", "UINT8"]),
)
def test_convolutional_layers(seed, height, width, channels, kernel, stride, dtype):
    kernel = min(kernel, height, width)
    rng = np.random.default_rng(seed)
    source = Stream("image", (height, width, channels), dtype)
    images = rng.integers(0, source.type.max() + 1, (3, *source.shape)).astype(np.uint8)
    window = SlidingWindow("window", "image", "windows", kernel, stride)
    shape = windows_shape(source.shape, window)
    weights = rng.integers(0, 2, (2, shape[2]), dtype=np.uint8)
    product = MatrixVector("conv", "windows", "sums", weights)
    pool = MaxPool("pool", "image", "pooled", kernel)
    low, high = product.range(source)
    streams = [
        source,
        Stream("windows", shape, dtype),
        Stream("sums", (*shape[:2], 2), f"INT{1 + max(high, -low).bit_length()}"),
        Stream("pooled", (height // kernel, width // kernel, channels), dtype),
    ]
    names = {s.name: s for s in streams}
    graph = Graph("net", (window, product, pool), names, "image", "sums").check()
    found = reference.execute(graph, images)
    for i, image in enumerate(images):
        windows = windows_by_hand(image, kernel, stride)
        assert found["windows"][i].tolist() == windows
        assert found["pooled"][i].tolist() == pooled_by_hand(image, kernel)
        sums = [
            [[dot_by_hand(x, row, dtype) for row in weights.tolist()] for x in line]
            for line in windows
        ]
        assert found["sums"][i].tolist() == sums
        assert np.min(sums) >= low and np.max(sums) <= high


def test_labels_of_images_with_channels_first(monkeypatch):
    """Data sets hold (N, C, H, W); also where all three sizes are equal."""
    for shape in [(7, 6, 3), (6, 6, 6)]:
        graph = conv_graph(1, shape)
        last = np.random.default_rng(0).integers(0, 256, (9, *shape), dtype=np.uint8)
        expected = reference.execute(graph, last)["label"][:, 0]
        assert len(set(expected)) > 1
        first = last.transpose(0, 3, 1, 2)
        assert np.array_equal(reference.labels(graph, first), expected)
        monkeypatch.setattr(reference, "ELEMENTS", 1)  # one image at a time
        assert np.array_equal(reference.labels(graph, first), expected)


def test_images_of_another_size_are_refused():
    with pytest.raises(UserError, match=r"reads \(7, 6, 3\), the images are \(7, 6, 3\)"):
        reference.labels(conv_graph(1), np.zeros((2, 7, 6, 3), np.uint8))


def test_sums_that_float32_does_not_hold():
    wide = 2**16 + 1000
    layers = (MatrixVector("fc0", "image", "fc0", np.ones((1, wide), np.uint8)),)
    streams = {"image": Stream("image", (wide,), "UINT8"), "fc0": Stream("fc0", (1,), "INT32")}
    graph = Graph("net", layers, streams, "image", "fc0").check()
    with pytest.raises(OverflowError, match="fc0"):
        reference.execute(graph, np.zeros((1, wide), np.uint8))
