"""The dataflow graph: layers joined by streams, the one source for everything after lowering.

The integer reference, the RTL, the estimates and the pictures are all derived from a `Graph`.
Every number in it is an integer. A binary activation or weight is stored as 0 or 1 and stands for
-1 or +1 (sign(0) = +1), so that an XNOR and a popcount compute a bipolar dot product.

Order of elements on a stream: images one after the other; in an image, pixels row by row; in a
pixel, channels from 0 up; `n` elements a beat, the lowest-numbered in the least significant bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from qonnx.core.datatype import BaseDataType
from qonnx.core.datatype import DataType as QonnxDataType

from flow.errors import UserError


@dataclass(frozen=True)
class Stream:
    """A tensor that flows from one layer to the next.

    `shape` leaves the batch out and has the channels last: (C,) or (H, W, C).
    `dtype` is the name of a qonnx data type: BINARY, UINT<n> or INT<n>.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def type(self) -> BaseDataType:
        return QonnxDataType[self.dtype]

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return self.type.bitwidth()

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def pixels(self) -> int:
        """Positions at which every channel has one element; 1 for a vector."""
        return prod(self.shape[:-1])

    @property
    def size(self) -> int:
        """Elements of one image."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Layer:
    """One node of the graph; `source` and `target` are names of streams.

    `in_parallel` and `out_parallel` are elements a beat on the two streams, `cycles(graph)` is the
    number of clock cycles one image occupies the layer when nothing stalls (FINN's
    `get_exp_cycles`).
    """

    name: str
    source: str
    target: str

    kind: ClassVar[str]
    arrays: ClassVar[tuple[str, ...]] = ()

    @property
    def in_parallel(self) -> int:
        raise NotImplementedError

    @property
    def out_parallel(self) -> int:
        raise NotImplementedError

    def cycles(self, graph: Graph) -> int:
        raise NotImplementedError

    def check(self, graph: Graph) -> None:
        """Raise `UserError`, naming the value and the rule, if shapes, types or folding clash."""
        raise NotImplementedError

    def _divides(self, what: str, parallel: int, size_name: str, size: int) -> None:
        if parallel < 1 or size % parallel:
            raise UserError(
                f"layer {self.name}: {what}={parallel} does not divide {size_name}={size}; "
                f"choose one of {', '.join(map(str, divisors(size)))}"
            )


@dataclass(frozen=True, eq=False)
class Threshold(Layer):
    """Multi-threshold: out[c] = number of i with in[c] >= thresholds[c, i].

    `thresholds`: int64 (C, levels), each row ascending; out is BINARY for one level, UINT<n>
    otherwise. Folding: `PE` channels a cycle, PE | C. FINN: Thresholding.
    """

    thresholds: np.ndarray
    PE: int = 1

    kind: ClassVar[str] = "threshold"
    arrays: ClassVar[tuple[str, ...]] = ("thresholds",)

    @property
    def in_parallel(self) -> int:
        return self.PE

    @property
    def out_parallel(self) -> int:
        return self.PE

    @property
    def channels(self) -> int:
        return self.thresholds.shape[0]

    @property
    def levels(self) -> int:
        return self.thresholds.shape[1]

    def cycles(self, graph: Graph) -> int:
        return graph.streams[self.source].pixels * self.channels // self.PE

    def check(self, graph: Graph) -> None:
        source = graph.streams[self.source]
        self._divides("PE", self.PE, "channels", self.channels)
        if source.channels != self.channels:
            raise UserError(
                f"layer {self.name}: {self.channels} rows of thresholds for a stream of "
                f"{source.channels} channels"
            )
        if (np.diff(self.thresholds, axis=1) < 0).any():
            raise UserError(f"layer {self.name}: thresholds of a channel must ascend")


@dataclass(frozen=True, eq=False)
class MatrixVector(Layer):
    """Binary matrix-vector unit: out[h] = number of w with in[w] == weights[h, w].

    `weights`: uint8 (MH, MW) of 0 and 1; in is BINARY of MW channels, out is UINT wide enough
    for the popcount range [0, MW]. Folding: `PE` rows and `SIMD` columns a cycle, PE | MH,
    SIMD | MW. In cycle nf * (MW/SIMD) + sf, PE p adds up row nf*PE + p over columns
    sf*SIMD .. sf*SIMD + SIMD-1. `ram_style` says where the weights live: "lut", "block", or
    "auto" to let the code generator choose. FINN: MVAU with binaryXnorMode.
    """

    weights: np.ndarray
    PE: int = 1
    SIMD: int = 1
    ram_style: str = "auto"

    kind: ClassVar[str] = "mvu_bin"
    arrays: ClassVar[tuple[str, ...]] = ("weights",)

    @property
    def MH(self) -> int:
        return self.weights.shape[0]

    @property
    def MW(self) -> int:
        return self.weights.shape[1]

    @property
    def in_parallel(self) -> int:
        return self.SIMD

    @property
    def out_parallel(self) -> int:
        return self.PE

    def cycles(self, graph: Graph) -> int:
        return graph.streams[self.source].pixels * (self.MH // self.PE) * (self.MW // self.SIMD)

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        self._divides("PE", self.PE, "MH", self.MH)
        self._divides("SIMD", self.SIMD, "MW", self.MW)
        if source.dtype != "BINARY" or source.channels != self.MW:
            raise UserError(
                f"layer {self.name}: reads {source.channels} x {source.dtype}, "
                f"needs {self.MW} x BINARY"
            )
        if target.type.min() > 0 or target.type.max() < self.MW:
            raise UserError(
                f"layer {self.name}: {target.dtype} cannot hold a popcount of 0..{self.MW}"
            )
        if self.ram_style not in ("auto", "lut", "block"):
            raise UserError(
                f"layer {self.name}: ram_style={self.ram_style!r} is not auto, lut or block"
            )


@dataclass(frozen=True, eq=False)
class LabelSelect(Layer):
    """Index of the largest of `classes` scores; of equal ones the lowest index.

    Folding: `PE` scores a cycle, PE | classes. FINN: LabelSelect with Labels = 1.
    """

    classes: int
    PE: int = 1

    kind: ClassVar[str] = "label_select"

    @property
    def in_parallel(self) -> int:
        return self.PE

    @property
    def out_parallel(self) -> int:
        return 1

    def cycles(self, graph: Graph) -> int:
        return self.classes // self.PE

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        self._divides("PE", self.PE, "classes", self.classes)
        if source.size != self.classes:
            raise UserError(
                f"layer {self.name}: {self.classes} classes but {source.size} scores arrive"
            )
        if target.type.max() < self.classes - 1:
            raise UserError(f"layer {self.name}: {target.dtype} cannot hold {self.classes - 1}")


KINDS: dict[str, type[Layer]] = {c.kind: c for c in (Threshold, MatrixVector, LabelSelect)}


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
            fold = " ".join(f"{k}={v}" for k, v in folding_of(layer).items())
            rows.append(
                f"  {layer.name:20} {layer.kind:14} {fold:18} -> {target.shape} {target.dtype}"
                f"  {layer.cycles(self)} cycles"
            )
        return "\n".join(rows)

    def check(self) -> Graph:
        """Raise `UserError` at the first stream or layer that does not fit; return the graph."""
        known = {self.input}
        for layer in self:
            if layer.source not in known:
                raise UserError(f"layer {layer.name}: reads {layer.source}, which nothing writes")
            layer.check(self)
            known.add(layer.target)
        if self.output not in known:
            raise UserError(f"graph {self.name}: nothing writes its output {self.output}")
        return self

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


def folding_of(layer: Layer) -> dict[str, Any]:
    """The knobs of one layer that trade area for time, with their present values."""
    names = ("PE", "SIMD", "ram_style")
    return {f.name: getattr(layer, f.name) for f in fields(layer) if f.name in names}


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
