"""Random networks that branch: residual blocks, sums of two convolutions, average pools."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from graphs import images, randomly_folded

from flow import reference
from flow.branches import AddStreams, GlobalAccPool, integer_type
from flow.graph import (
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    Padding,
    SlidingWindow,
    Stream,
    Threshold,
    divisors,
    windows_shape,
)
from flow.rtl import deadlock


class Build:
    """Layers one after the other, or side by side; every method returns what it writes."""

    def __init__(self, seed: int, shape: tuple[int, ...], dtype: str):
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.streams = {"image": Stream("image", shape, dtype)}

    def add(self, layer: Layer, shape: tuple[int, ...], dtype: str) -> str:
        self.layers.append(layer)
        self.streams[layer.target] = Stream(layer.target, shape, dtype)
        return layer.target

    def sign(self, name: str, source: str) -> str:
        """Thresholds near the middle of what random images bring."""
        stream = self.streams[source]
        so_far = Graph("part", tuple(self.layers), self.streams, "image", source)
        values = reference.execute(so_far, images(so_far, 20))[source].reshape(-1, stream.channels)
        shares = self.rng.uniform(0.3, 0.7, stream.channels)
        rows = [[round(np.quantile(v, q))] for v, q in zip(values.T, shares, strict=True)]
        layer = Threshold(name, source, name, np.array(rows, np.int64))
        return self.add(layer, stream.shape, "BINARY")

    def pad(self, name: str, source: str, size: int) -> str:
        height, width, channels = self.streams[source].shape
        shape = (height + 2 * size, width + 2 * size, channels)
        return self.add(Padding(name, source, name, size), shape, self.streams[source].dtype)

    def conv(self, name: str, source: str, channels: int, kernel: int = 1) -> str:
        """A product at every pixel, of the windows around it, padded to keep the image's size."""
        if kernel > 1:
            source = self.pad(f"{name}_pad", source, kernel // 2)
            stream = self.streams[source]
            window = SlidingWindow(f"{name}_window", source, f"{name}_window", kernel)
            source = self.add(window, windows_shape(stream.shape, window), stream.dtype)
        return self.product(name, source, channels)

    def product(self, name: str, source: str, rows: int) -> str:
        stream = self.streams[source]
        weights = self.rng.integers(0, 2, (rows, stream.channels), dtype=np.uint8)
        layer = MatrixVector(name, source, name, weights)
        return self.add(layer, (*stream.shape[:-1], rows), integer_type(*layer.range(stream)))

    def sum(self, name: str, a: str, b: str) -> str:
        low, high = AddStreams.range(self.streams[a], self.streams[b])
        layer = AddStreams(name, a, name, b)
        return self.add(layer, self.streams[a].shape, integer_type(low, high))

    def average(self, name: str, source: str, bipolar: bool = False) -> str:
        stream = self.streams[source]
        layer = GlobalAccPool(name, source, name, bipolar=bipolar)
        return self.add(layer, (stream.channels,), integer_type(*layer.range(stream)))

    def flatten(self, source: str) -> str:
        stream = self.streams[source]
        self.streams[source] = replace(stream, shape=(prod(stream.shape),))
        return source

    def graph(self, name: str, source: str, classes: int = 4) -> Graph:
        source = self.product("fc", source, classes)
        dtype = f"UINT{max(1, (classes - 1).bit_length())}"
        self.add(LabelSelect("label", source, "label", classes), (1,), dtype)
        return Graph(name, tuple(self.layers), self.streams, "image", "label").check()


def residual(
    seed: int,
    shape: tuple[int, int, int] = (6, 5, 4),
    channels: int = 6,
    kernels: tuple[int, ...] = (3, 1),
    tail: str = "sums",
    dtype: str = "BINARY",
) -> Graph:
    """A stem, a block y + conv(sign(y)) for each kernel, and a dense layer.

    tail: "sums" (of bits over the pixels, read as numbers), "bipolar" (the same, of -1 and +1),
    "average" (of integers, then signs) or "flatten".
    """
    b = Build(seed, shape, dtype)
    y = b.conv("stem", "image", channels, 3)
    if dtype != "BINARY":
        y = b.conv("conv", b.sign("stem_act", y), channels, 1)
    for i, kernel in enumerate(kernels):
        y = b.sum(f"add{i}", b.conv(f"conv{i}", b.sign(f"act{i}", y), channels, kernel), y)
    if tail == "average":
        return b.graph(f"residual{seed}", b.sign("last", b.average("pool", y)))
    y = b.sign("last", y)
    y = b.flatten(y) if tail == "flatten" else b.average("pool", y, tail == "bipolar")
    return b.graph(f"residual{seed}", y)


def two_convolutions(seed: int, shape: tuple[int, int, int] = (5, 6, 4)) -> Graph:
    """A block whose two branches are convolutions of its bits, and a shortcut of bits around it."""
    b = Build(seed, shape, "BINARY")
    x = b.sign("act", b.conv("stem", "image", 5, 3))
    inner = b.sum("inner", b.conv("a", x, 5, 1), b.conv("b", x, 5, 3))
    y = b.sum("outer", b.conv("c", b.sign("inner_act", inner), 5, 3), x)
    return b.graph(f"two{seed}", b.average("pool", b.sign("last", y)))


def folded(graph: Graph, seed: int) -> Graph:
    """Any legal folding, with FIFOs that are deep enough."""
    rng = np.random.default_rng(seed)
    values = {}
    for layer in graph:
        channels = divisors(graph.streams[layer.source].channels)
        if isinstance(layer, AddStreams | GlobalAccPool):
            values[layer.name] = {"PE": int(rng.choice(channels))}
        elif isinstance(layer, Padding):
            values[layer.name] = {"SIMD": int(rng.choice(channels))}
    return deadlock.sized(randomly_folded(graph, seed).with_folding(values))
