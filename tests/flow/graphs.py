"""Small random graphs for the tests of folding, code generation and simulation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from flow.graph import (
    Depthwise,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Stream,
    Threshold,
    divisors,
    windows_shape,
)


def mlp(
    seed: int,
    sizes: tuple[int, ...] = (24, 12, 8, 6),
    in_dtype: str = "UINT8",
    uniform: bool = True,
    label: bool = True,
) -> Graph:
    """A chain like a binary MLP's, not folded: threshold, then layers of `sizes`, then a label.

    in_dtype: of the input image; BINARY has no threshold before the first layer.
    uniform: the input's thresholds are the same for every channel.
    """
    rng = np.random.default_rng(seed)
    streams = {"image": Stream("image", (sizes[0],), in_dtype)}
    layers: list[Layer] = []
    source = "image"

    def add(layer: Layer, dtype: str, size: int) -> str:
        layers.append(layer)
        streams[layer.target] = Stream(layer.target, (size,), dtype)
        return layer.target

    if in_dtype != "BINARY":
        low, high = int(streams["image"].type.min()), int(streams["image"].type.max())
        rows = rng.integers(low, high + 2, (1 if uniform else sizes[0], 1))
        thresholds = np.broadcast_to(rows, (sizes[0], 1)).astype(np.int64)
        source = add(Threshold("quantise", source, "bits", thresholds), "BINARY", sizes[0])
    for index, (MW, MH) in enumerate(pairwise(sizes)):
        weights = rng.integers(0, 2, (MH, MW), dtype=np.uint8)
        accumulator = f"UINT{MW.bit_length()}"
        name = f"fc{index}"
        source = add(MatrixVector(name, source, name, weights), accumulator, MH)
        if index < len(sizes) - 2:
            spread = max(1, MW // 4)
            thresholds = rng.integers(MW // 2 - spread, MW // 2 + spread + 1, (MH, 1))
            act = f"{name}_act"
            source = add(Threshold(act, source, act, thresholds.astype(np.int64)), "BINARY", MH)
    if label:
        add(LabelSelect("label", source, "label", sizes[-1]), f"UINT{sizes[-1].bit_length()}", 1)
    return Graph(f"mlp{seed}", tuple(layers), streams, "image", layers[-1].target).check()


def randomly_folded(graph: Graph, seed: int) -> Graph:
    """Any legal folding, block RAM included."""
    rng = np.random.default_rng(seed)
    folding: dict[str, dict] = {}
    for layer in graph:
        if isinstance(layer, MatrixVector):
            folding[layer.name] = {
                "PE": int(rng.choice(divisors(layer.MH))),
                "SIMD": int(rng.choice(divisors(layer.MW))),
                "ram_style": str(rng.choice(["lut", "block"])),
            }
        elif isinstance(layer, (Threshold, MaxPool)):
            channels = graph.streams[layer.source].channels
            folding[layer.name] = {"PE": int(rng.choice(divisors(channels)))}
        elif isinstance(layer, Depthwise):
            folding[layer.name] = {
                "PE": int(rng.choice(divisors(layer.channels))),
                "SIMD": int(rng.choice(divisors(layer.places))),
            }
        elif isinstance(layer, Padding):
            channels = graph.streams[layer.source].channels
            folding[layer.name] = {"SIMD": int(rng.choice(divisors(channels)))}
        elif isinstance(layer, SlidingWindow):
            source = graph.streams[layer.source]
            whole = windows_shape(source.shape, layer)[-1]
            folding[layer.name] = {
                "SIMD": int(rng.choice(divisors(source.channels))),
                "parallel_window": int(rng.choice([0, whole])),
            }
        elif isinstance(layer, LabelSelect):
            folding[layer.name] = {"PE": int(rng.choice(divisors(layer.classes)))}
    return graph.with_folding(folding)


def images(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Random images (count, *input shape) over the whole range of the input's type."""
    stream = graph.streams[graph.input]
    rng = np.random.default_rng(seed)
    low, high = int(stream.type.min()), int(stream.type.max())
    return rng.integers(low, high + 1, (count, *stream.shape)).astype(np.int32)


def levels(seed: int, channels: int = 6, count: int = 3, dtype: str = "INT5") -> Graph:
    """One multi-threshold layer of several levels on signed input."""
    rng = np.random.default_rng(seed)
    source = Stream("image", (channels,), dtype)
    low, high = int(source.type.min()), int(source.type.max())
    thresholds = np.sort(rng.integers(low - 2, high + 3, (channels, count)), axis=1)
    target = Stream("out", (channels,), f"UINT{count.bit_length()}")
    layer = Threshold("count", "image", "out", thresholds.astype(np.int64))
    return Graph(f"levels{seed}", (layer,), {"image": source, "out": target}, "image", "out")
