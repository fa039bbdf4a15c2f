"""Random chains of convolutions, pools and a dense layer, as graphs: small, quick to simulate."""

from __future__ import annotations

from math import prod

import numpy as np
from graphs import randomly_folded

from flow.errors import UserError
from flow.graph import (
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    SlidingWindow,
    Stream,
    Threshold,
    windows_shape,
)
from flow.rtl.folding import fold

TARGETS = (64, 96, 128, 192, 288, 384, 512)


def folded_chain(seed: int) -> Graph:
    """Balanced for some interval, or folded anyhow where none of the intervals can be met."""
    graph, rng = chain(seed), np.random.default_rng([seed, 1])
    if seed % 4 < 3:
        for target in rng.permutation(TARGETS):
            try:
                return fold(graph, int(target))
            except UserError:
                pass
    return randomly_folded(graph, seed)


def chain(seed: int) -> Graph:
    """One to three convolutions of random kernel, stride and pooling; bits or bytes in."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    shape, dtype = _image(rng), str(rng.choice(["BINARY", "UINT8"]))
    streams = {"image": Stream("image", shape, dtype)}

    def add(layer: Layer, shape: tuple[int, ...], dtype: str) -> str:
        layers.append(layer)
        streams[layer.target] = Stream(layer.target, shape, dtype)
        return layer.target

    source, depth = "image", int(rng.integers(1, 4))
    for number in range(depth):
        kernel = min(int(rng.integers(1, 5)), *shape[:2])
        stride = int(rng.choice([1, 1, 1, 2, 3]))
        if kernel > 1 or stride > 1:
            name = f"conv{number}_window"
            window = SlidingWindow(name, source, name, kernel, stride)
            shape = windows_shape(shape, window)
            source = add(window, shape, dtype)
        rows, columns = int(rng.choice([2, 3, 4, 6, 8, 12])), shape[-1]
        weights = rng.integers(0, 2, (rows, columns), dtype=np.uint8)
        kind = "INT16" if dtype != "BINARY" else f"UINT{columns.bit_length()}"
        shape = (*shape[:2], rows)
        name = f"conv{number}"
        source = add(MatrixVector(name, source, name, weights), shape, kind)
        levels = rng.integers(0, columns + 1, (rows, 1)) * (1 if dtype == "BINARY" else 9)
        size = min(int(rng.choice([1, 1, 2, 3])), *shape[:2])
        last, name, dtype = number == depth - 1, f"act{number}", "BINARY"
        flat = (prod(shape),) if last and size == 1 else shape
        source = add(Threshold(name, source, name, levels), flat, dtype)
        if size > 1:
            shape = (shape[0] // size, shape[1] // size, rows)
            name = f"pool{number}"
            flat = (prod(shape),) if last else shape
            source = add(MaxPool(name, source, name, size), flat, dtype)
    columns, classes = prod(shape), int(rng.choice([2, 4, 6]))
    weights = rng.integers(0, 2, (classes, columns), dtype=np.uint8)
    sums = f"UINT{columns.bit_length()}"
    source = add(MatrixVector("fc", source, "fc", weights), (classes,), sums)
    bits = (classes - 1).bit_length()
    add(LabelSelect("label", source, "label", classes), (1,), f"UINT{bits}")
    return Graph(f"chain{seed}", tuple(layers), streams, "image", "label").check()


def _image(rng: np.random.Generator) -> tuple[int, int, int]:
    height, width = (int(n) for n in rng.integers(5, 13, 2))
    return height, width, int(rng.integers(1, 5))
