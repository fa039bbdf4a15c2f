"""The same network in NumPy on the processor: what the accelerator's speed is compared with.

Reads what `flow.graph.Graph.save` writes: `graph.json` (layers and streams) and `graph.npz`
(weights and thresholds). Every value is an integer; a binary one is 0 or 1 and stands for -1, +1.
Products are float32, which holds every sum below 2**24.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DescriptionError

SCHEMA = 1
BATCH, ELEMENTS = 1000, 2**20  # images at a time, elements of the largest stream of so many

Step = Callable[[np.ndarray], np.ndarray]


class Network:
    """Layers, one function each, from (n, ...) to (n, ...)."""

    def __init__(self, steps: list[tuple[Step, tuple[int, ...]]], shape: tuple[int, ...]) -> None:
        self._steps, self._shape = steps, shape
        largest = max(prod(target) for _, target in steps)
        self._batch = max(1, min(BATCH, ELEMENTS // largest))

    @classmethod
    def load(cls, folder: str | Path) -> Network:
        """Read the network of a folder."""
        try:
            body = json.loads((Path(folder) / "graph.json").read_text())
            with np.load(Path(folder) / "graph.npz") as arrays:
                return cls._parse(body, dict(arrays))
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise DescriptionError(f"{folder}: {type(error).__name__}: {error}") from error

    @classmethod
    def _parse(cls, body: dict[str, Any], arrays: dict[str, np.ndarray]) -> Network:
        if body["schema"] != SCHEMA:
            raise ValueError(f"schema {body['schema']}; this driver reads {SCHEMA}")
        streams = {stream["name"]: stream for stream in body["streams"]}
        steps, at = [], body["input"]
        for layer in body["layers"]:
            if layer["source"] != at:
                raise ValueError(f"{layer['name']} reads {layer['source']}: not a chain")
            binary = streams[at]["dtype"] == "BINARY"
            at = layer["target"]
            steps.append((_STEPS[layer["kind"]](layer, arrays, binary), streams[at]["shape"]))
        if at != body["output"]:
            raise ValueError(f"ends with {at}, not with {body['output']}")
        return cls(steps, streams[body["input"]]["shape"])

    def execute(self, images: np.ndarray) -> np.ndarray:
        """(n, ...) integers -> results (n, results) as the accelerator's; a label is one result."""
        batch = self._batch
        parts = [self._some(images[i : i + batch]) for i in range(0, len(images), batch)]
        return np.concatenate(parts)

    def _some(self, images: np.ndarray) -> np.ndarray:
        values = images.reshape(len(images), *self._shape)
        for step, shape in self._steps:
            values = step(values).reshape(len(images), *shape)
        return values.reshape(len(images), -1).astype(np.int64)


def _threshold(layer: dict[str, Any], arrays: dict[str, np.ndarray], binary: bool) -> Step:
    """How many of its channel's thresholds an element reaches."""
    levels = arrays[f"{layer['name']}.thresholds"].T
    if len(levels) == 1:
        return lambda values: values >= levels[0]
    return lambda values: sum((values >= level).astype(np.int32) for level in levels)


def _matrix_vector(layer: dict[str, Any], arrays: dict[str, np.ndarray], binary: bool) -> Step:
    """Sums of values with the weights' signs; of bits, in how many places both are equal."""
    weights = arrays[f"{layer['name']}.weights"]
    signs = np.ascontiguousarray(2 * weights.T.astype(np.float32) - 1)
    # x == w is x (2w - 1) + (1 - w)
    zeros = (1 - weights.astype(np.float32)).sum(1) if binary else np.float32(0)
    return lambda values: values.astype(np.float32) @ signs + zeros


def _sliding_window(layer: dict[str, Any], arrays: dict[str, np.ndarray], binary: bool) -> Step:
    """Windows of an image (H, W, C), each in the order row, column, channel."""
    kernel, stride = layer["kernel"], layer["stride"]

    def step(values: np.ndarray) -> np.ndarray:
        height, width = ((size - kernel) // stride + 1 for size in values.shape[1:3])
        parts = [
            values[:, y : y + stride * (height - 1) + 1 : stride, x:][:, :, ::stride][:, :, :width]
            for y in range(kernel)
            for x in range(kernel)
        ]
        return np.concatenate(parts, axis=-1)

    return step


def _max_pool(layer: dict[str, Any], arrays: dict[str, np.ndarray], binary: bool) -> Step:
    """The largest of each channel in squares; what fills no square is left out."""
    size = layer["size"]

    def step(values: np.ndarray) -> np.ndarray:
        count, height, width, channels = values.shape
        height, width = height // size, width // size
        squares = values[:, : height * size, : width * size]
        return squares.reshape(count, height, size, width, size, channels).max(axis=(2, 4))

    return step


def _label_select(layer: dict[str, Any], arrays: dict[str, np.ndarray], binary: bool) -> Step:
    """The lowest index of a largest score."""
    return lambda scores: scores.argmax(-1)


_STEPS: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray], bool], Step]] = {
    "threshold": _threshold,
    "mvu_bin": _matrix_vector,
    "sliding_window": _sliding_window,
    "max_pool": _max_pool,
    "label_select": _label_select,
}
