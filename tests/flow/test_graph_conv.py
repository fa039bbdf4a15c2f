"""The graph's convolutional layers: what is refused, what is saved, what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from convolutions import conv_graph, separable_graph
from graphs import images

from flow import reference
from flow.errors import UserError
from flow.graph import Graph, MaxPool, SlidingWindow, Stream
from flow.lowering import finn_adapter
from flow.rtl import codegen, supported

SAVED = [
    conv_graph(0).with_folding({"conv0_window": {"SIMD": 3}, "pool0": {"PE": 5}}),
    separable_graph(0).with_folding({"conv0_pad": {"SIMD": 2}, "conv0": {"PE": 4, "SIMD": 3}}),
]


@pytest.mark.parametrize("graph", SAVED)
def test_save_and_load(graph, tmp_path):
    graph.save(tmp_path)
    other = Graph.load(tmp_path)
    assert other.streams == graph.streams and other.folding == graph.folding
    assert repr(other) == repr(graph)
    for a, b in zip(graph, other, strict=True):
        assert type(a) is type(b)
        for name in vars(a):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("stride", [1, 2])
def test_cycles_are_finns(stride):
    graph = conv_graph(0, (10, 8, 6), stride=stride)
    folded = graph.with_folding({"conv0_window": {"SIMD": 2}, "conv0": {"SIMD": 9, "PE": 5}})
    expected = finn_adapter.expected_cycles(folded)
    # FINN adds the time until the first window; here windows and lines of the next image overlap.
    assert expected.pop("conv0_window") > folded.layer("conv0_window").cycles(folded)
    if stride == 2:  # FINN does not count the row that pooling leaves out
        assert expected.pop("pool0") == 2 * 1 * 5 * 4
        assert folded.layer("pool0").cycles(folded) == 4 * 3 * 5
    cycles = {layer.name: layer.cycles(folded) for layer in folded}
    assert {name: cycles[name] for name in expected} == expected


@pytest.mark.parametrize("SIMD", [1, 3, 9])
def test_cycles_of_borders_and_depthwise_products_are_finns(SIMD):
    graph = separable_graph(1, (9, 8, 4), stride=2)
    folded = graph.with_folding({"conv0_pad": {"SIMD": 2}, "conv0": {"PE": 2, "SIMD": SIMD}})
    expected = finn_adapter.expected_cycles(folded)
    for name in ("conv0_pad", "conv0"):
        assert folded.layer(name).cycles(folded) == expected[name]


def test_a_border_is_finns():
    """FINN's FMPadding, run by its NumPy semantics, which pads with zero."""
    graph = separable_graph(2, (5, 4, 3), pad=2)
    image = images(graph, 1).astype(np.float32)
    node = finn_adapter.getCustomOp(finn_adapter._node(graph.layer("conv0_pad"), graph))
    streams = reference.execute(graph, image)
    context = {"image": image, "conv0_pad": np.zeros((1, 9, 8, 3), np.float32)}
    node.execute_node(context, None)
    assert np.array_equal(context["conv0_pad"], streams["conv0_pad"])


def test_cycles_of_windows():
    graph = conv_graph(0, (10, 8, 6))
    window = graph.layer("conv0_window")
    assert window.cycles(graph) == 8 * 6 * 9 * 6  # read whole, a channel a cycle
    assert replace(window, SIMD=6).cycles(graph) == 8 * 6 * 9
    # In parallel a row of windows takes its columns, each of three pixels.
    assert replace(window, SIMD=6, parallel_window=54).cycles(graph) == 8 * 8 * 3
    sparse = conv_graph(0, (10, 8, 6), stride=3)  # more is written than is read
    assert replace(sparse.layer("conv0_window"), SIMD=6, parallel_window=54).cycles(sparse) == 80


CLASHES = {
    "SIMD": ({"conv0_window": {"SIMD": 2}}, r"conv0_window: SIMD=2 does not divide channels=3"),
    "PE": ({"pool0": {"PE": 2}}, r"pool0: PE=2 does not divide channels=5"),
    "window": ({"conv0_window": {"parallel_window": 9}}, "=9 is neither 0 nor the 27 elements"),
}


@pytest.mark.parametrize("folding, words", CLASHES.values(), ids=CLASHES.keys())
def test_folding_that_does_not_divide(folding, words):
    with pytest.raises(UserError, match=words):
        conv_graph(0).with_folding(folding)


CHANGES = {
    "kernel larger than the image": ("conv0_window", {"kernel": 7}, "squares of 7 pixels"),
    "no kernel": ("conv0_window", {"kernel": 0}, "squares of 0 pixels"),
    "no stride": ("conv0_window", {"stride": 0}, "stride=0"),
    "another stride": ("conv0_window", {"stride": 2}, r"writes \(3, 2, 27\) x UINT8"),
    "another pool": ("pool0", {"size": 3}, r"writes \(1, 1, 5\) x BINARY"),
    "a pool on a vector": ("pool0", {"source": "fc1"}, r"reads \(4,\), needs an image"),
}


@pytest.mark.parametrize("name, change, words", CHANGES.values(), ids=CHANGES.keys())
def test_layers_that_do_not_fit(name, change, words):
    graph = conv_graph(0)
    layers = list(graph)
    if "source" in change:  # behind what it reads
        layers.append(replace(graph.layer(name), target="label", **change))
    else:
        layers = [replace(x, **change) if x.name == name else x for x in layers]
    with pytest.raises(UserError, match=words):
        replace(graph, layers=tuple(layers)).check()


SEPARABLE = {
    "no border": ("conv0_pad", {"size": 0}, "size=0 must be at least 1"),
    "no bit": ("conv0_pad", {"value": 2}, "value=2 is not of BINARY"),
    "another border": ("conv0_pad", {"size": 2}, r"writes \(10, 9, 4\) x BINARY"),
    "half a pixel": ("conv0_pad", {"SIMD": 3}, "SIMD=3 does not divide channels=4"),
    "half the channels": ("conv0", {"PE": 3}, "PE=3 does not divide channels=4"),
    "half the places": ("conv0", {"SIMD": 2}, "SIMD=2 does not divide places=9"),
    "other windows": (
        "conv0", {"weights": np.ones((4, 4), np.uint8)}, "needs windows of 16 x BINARY"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name, change, words", SEPARABLE.values(), ids=SEPARABLE.keys())
def test_borders_and_depthwise_products_that_do_not_fit(name, change, words):
    graph = separable_graph(0)
    layers = tuple(replace(x, **change) if x.name == name else x for x in graph)
    with pytest.raises(UserError, match=words):
        replace(graph, layers=layers).check()


def test_a_stream_too_narrow_for_counts():
    graph = separable_graph(0)
    narrow = {**graph.streams, "conv0": replace(graph.streams["conv0"], dtype="UINT3")}
    with pytest.raises(UserError, match=r"conv0: UINT3 cannot hold a popcount of 0\.\.9"):
        replace(graph, streams=narrow).check()


def test_a_stream_too_narrow_for_sums():
    graph = conv_graph(0)
    high = graph.layer("conv0").range(graph.streams["image"])[1]
    narrow = {**graph.streams, "conv0": replace(graph.streams["conv0"], dtype="INT9")}
    with pytest.raises(UserError, match=rf"conv0: INT9 cannot hold a sum of -\d+\.\.{high}"):
        replace(graph, streams=narrow).check()


def pooling(size: int, dtype: str) -> Graph:
    pool = MaxPool("pool", "image", "out", size)
    streams = {
        "image": Stream("image", (4, 4, 3), dtype),
        "out": Stream("out", (4 // size, 4 // size, 3), dtype),
    }
    return Graph("net", (pool,), streams, "image", "out").check()


def test_pooling_that_there_is_no_rtl_for():
    for graph, words in ((pooling(2, "UINT3"), "pooling of UINT3, only of BINARY"),
                         (pooling(1, "BINARY"), "squares of 1 pixel")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            supported.refuse(graph)
    supported.refuse(pooling(2, "BINARY"))


def test_a_line_buffer_that_is_too_deep(tmp_path):
    graph = conv_graph(0, (90, 90, 4)).with_folding({"conv0_window": {"SIMD": 1}})
    with pytest.raises(UserError, match=r"conv0_window: SIMD=1 makes 2160 words.*larger SIMD"):
        codegen.generate(graph, tmp_path / "rtl")
    assert list(tmp_path.iterdir()) == []
    window = graph.layer("conv0_window")
    assert supported.line_words(replace(window, SIMD=2), graph.streams["image"]) == 1080


def test_finn_has_the_same_shapes():
    """FINN's own node for a window, asked for its output shape, with a stride."""
    graph = conv_graph(0, (9, 8, 2), stride=2)
    window = graph.layer("conv0_window")
    assert isinstance(window, SlidingWindow)
    node = finn_adapter.getCustomOp(finn_adapter._node(window, graph))
    assert tuple(node.get_normal_output_shape()[1:]) == graph.streams["conv0_window"].shape
