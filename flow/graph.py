"""The dataflow graph: layers joined by streams, the one source for everything after lowering.

The integer reference, the RTL, the estimates and the pictures are all derived from a `Graph`.
Every number in it is an integer. A binary activation or weight is stored as 0 or 1 and stands for
-1 or +1 (sign(0) = +1), so that an XNOR and a popcount compute a bipolar dot product.

Order of elements on a stream: images one after the other; in an image, pixels row by row; in a
pixel, channels from 0 up; `n` elements a beat, the lowest-numbered in the least significant bits.
So a vector (H*W*C,) and an image (H, W, C) are the same elements in the same order, and a layer may
write its image as a vector for a fully connected layer behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from flow.branches import AddStreams, GlobalAccPool
from flow.errors import UserError
from flow.image_layers import Depthwise, MaxPool, Padding, SlidingWindow, windows_shape
from flow.layers import (
    LabelSelect,
    Layer,
    MatrixVector,
    Stream,
    Threshold,
    divisors,
    folding_of,
)

__all__ = [
    "AddStreams",
    "Depthwise",
    "GlobalAccPool",
    "Graph",
    "LabelSelect",
    "Layer",
    "MatrixVector",
    "MaxPool",
    "Padding",
    "SlidingWindow",
    "Stream",
    "Threshold",
    "divisors",
    "folding_of",
    "windows_shape",
]

KINDS: dict[str, type[Layer]] = {
    c.kind: c
    for c in (
        *(Threshold, MatrixVector, Padding, SlidingWindow, MaxPool, Depthwise),
        *(AddStreams, GlobalAccPool, LabelSelect),
    )
}


@dataclass(frozen=True, eq=False)
class Graph:
    """Layers in topological order; `input` and `output` name the streams at the border."""

    name: str
    layers: tuple[Layer, ...]
    streams: dict[str, Stream]
    input: str
    output: str

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        rows = [f"Graph {self.name}: {self.streams[self.input].shape} -> {self.output}"]
        for layer in self:
            target = self.streams[layer.target]
            knobs = {k: v for k, v in folding_of(layer).items() if v is not None}
            fold = " ".join(f"{k}={v}" for k, v in knobs.items())
            rows.append(
                f"  {layer.name:20} {layer.kind:14} {fold:18} -> {target.shape} {target.dtype}"
                f"  {layer.cycles(self)} cycles"
            )
        return "\n".join(rows)

    def check(self) -> Graph:
        """Raise `UserError` at the first stream or layer that does not fit; return the graph."""
        known = {self.input}
        for layer in self:
            for source in layer.sources:
                if source not in known:
                    raise UserError(f"layer {layer.name}: reads {source}, which nothing writes")
            layer.check(self)
            known.add(layer.target)
        if self.output not in known:
            raise UserError(f"graph {self.name}: nothing writes its output {self.output}")
        return self

    def arrange(self, images: np.ndarray) -> np.ndarray:
        """Images (N, C, H, W), as data sets hold them, in the order of the input: (N, *shape).

        Flattened ones (N, F) are taken as they are where the graph reads a vector.
        """
        shape = self.streams[self.input].shape
        if len(shape) == 3 and images.shape[1:] == (shape[2], *shape[:2]):
            return images.transpose(0, 2, 3, 1)
        if len(shape) == 1 and images.ndim > 1 and prod(images.shape[1:]) == shape[0]:
            return images.reshape(len(images), *shape)
        raise UserError(f"graph {self.name}: reads {shape}, the images are {images.shape[1:]}")

    @property
    def branches(self) -> bool:
        """Whether it is more than a chain of layers."""
        return any(len(layer.sources) > 1 for layer in self)

    def readers(self, stream: str) -> list[Layer]:
        """The layers that read a stream; more than one: it forks."""
        return [layer for layer in self if stream in layer.sources]

    def layer(self, name: str) -> Layer:
        for layer in self:
            if layer.name == name:
                return layer
        raise UserError(
            f"no layer {name!r} in {self.name}; it has {', '.join(x.name for x in self)}"
        )

    def with_folding(self, folding: dict[str, dict[str, Any]]) -> Graph:
        """Return the graph with PE, SIMD and ram_style set: {layer: {"PE": 4, "SIMD": 8}}."""
        for name, values in folding.items():
            known = folding_of(self.layer(name))
            for key in values.keys() - known.keys():
                raise UserError(f"layer {name}: no folding option {key!r}; it has {list(known)}")
        layers = tuple(replace(x, **folding.get(x.name, {})) for x in self)
        return replace(self, layers=layers).check()

    @property
    def folding(self) -> dict[str, dict[str, Any]]:
        return {layer.name: folding_of(layer) for layer in self}

    def save(self, folder: Path) -> None:
        """Write `graph.json` (structure) and `graph.npz` (weights, thresholds) into `folder`."""
        nodes, arrays = [], {}
        for layer in self:
            node: dict[str, Any] = {"kind": layer.kind}
            for field in fields(layer):
                value = getattr(layer, field.name)
                if field.name in layer.arrays:
                    arrays[f"{layer.name}.{field.name}"] = value
                else:
                    node[field.name] = value
            nodes.append(node)
        body = {
            "schema": 1,
            "name": self.name,
            "input": self.input,
            "output": self.output,
            "streams": [asdict(s) for s in self.streams.values()],
            "layers": nodes,
        }
        (folder / "graph.json").write_text(json.dumps(body, indent=1) + "\n")
        np.savez_compressed(folder / "graph.npz", **arrays)

    @classmethod
    def load(cls, folder: Path) -> Graph:
        """Read what `save` wrote."""
        body = json.loads((folder / "graph.json").read_text())
        layers = []
        with np.load(folder / "graph.npz") as arrays:
            for node in body["layers"]:
                kind = KINDS[node.pop("kind")]
                node |= {key: arrays[f"{node['name']}.{key}"] for key in kind.arrays}
                layers.append(kind(**node))
        streams = [Stream(s["name"], tuple(s["shape"]), s["dtype"]) for s in body["streams"]]
        graph = cls(
            body["name"], tuple(layers), {s.name: s for s in streams}, body["input"], body["output"]
        )
        return graph.check()
