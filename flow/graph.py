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
    """Binary matrix-vector unit, at every pixel of its input.

    `weights`: uint8 (MH, MW) of 0 and 1, which stand for -1 and +1. On BINARY input of MW channels
    out[h] = number of w with in[w] == weights[h, w], UINT wide enough for [0, MW]; on UINT<n> input
    out[h] = sum of in[w] where weights[h, w] is 1, less the sum where it is 0, INT wide enough for
    that row's extremes. Folding: `PE` rows and `SIMD` columns a cycle, PE | MH,
    SIMD | MW. In cycle nf * (MW/SIMD) + sf, PE p adds up row nf*PE + p over columns
    sf*SIMD .. sf*SIMD + SIMD-1. `ram_style` says where the weights live: "lut", "block", or
    "auto" to let the code generator choose. FINN: MVAU, on BINARY input with binaryXnorMode.
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

    def range(self, source: Stream) -> tuple[int, int]:
        """The least and the largest number that can leave, over all rows."""
        if source.dtype == "BINARY":
            return 0, self.MW
        plus = self.weights.sum(1, dtype=np.int64)
        top = int(source.type.max())
        return -top * int((self.MW - plus).max()), top * int(plus.max())

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        self._divides("PE", self.PE, "MH", self.MH)
        self._divides("SIMD", self.SIMD, "MW", self.MW)
        if source.type.min() != 0 or source.channels != self.MW:
            raise UserError(
                f"layer {self.name}: reads {source.channels} x {source.dtype}, "
                f"needs {self.MW} x BINARY or UINT"
            )
        low, high = self.range(source)
        if target.type.min() > low or target.type.max() < high:
            what = "a popcount" if source.dtype == "BINARY" else "a sum"
            raise UserError(
                f"layer {self.name}: {target.dtype} cannot hold {what} of {low}..{high}"
            )
        if self.ram_style not in ("auto", "lut", "block"):
            raise UserError(
                f"layer {self.name}: ram_style={self.ram_style!r} is not auto, lut or block"
            )


@dataclass(frozen=True, eq=False)
class SlidingWindow(Layer):
    """Every window of an image, as a convolution without padding reads them.

    out[y, x] = the elements in[y*stride + ky, x*stride + kx, c], in the order ky, kx, c:
    (H, W, C) -> (H', W', kernel*kernel*C) with H' = (H - kernel) // stride + 1.
    Folding: `SIMD` channels a cycle, SIMD | C. FINN: ConvolutionInputGenerator.
    """

    kernel: int
    stride: int = 1
    SIMD: int = 1

    kind: ClassVar[str] = "sliding_window"

    @property
    def in_parallel(self) -> int:
        return self.SIMD

    @property
    def out_parallel(self) -> int:
        return self.SIMD

    def cycles(self, graph: Graph) -> int:
        """What is buffered before the first window, then a row of windows or of pixels a time."""
        _, width, channels = graph.streams[self.source].shape
        out_height, out_width, _ = windows_shape(graph.streams[self.source].shape, self)
        first = (self.kernel - 1) * (width + 1) + 1
        row = max(out_width * self.kernel**2, self.stride * width)
        return (first + out_height * row) * (channels // self.SIMD)

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        _is_image(self, source, self.kernel)
        self._divides("SIMD", self.SIMD, "channels", source.channels)
        if self.stride < 1:
            raise UserError(f"layer {self.name}: stride={self.stride} must be at least 1")
        _writes(self, windows_shape(source.shape, self), source, target)


@dataclass(frozen=True, eq=False)
class MaxPool(Layer):
    """The largest element of each channel in squares of `size` x `size` pixels; of bits, their OR.

    (H, W, C) -> (H // size, W // size, C); rows and columns that fill no square are left out.
    Folding: `PE` channels a cycle, PE | C. FINN: ConvolutionInputGenerator (depthwise) and Pool.
    """

    size: int
    PE: int = 1

    kind: ClassVar[str] = "max_pool"

    @property
    def in_parallel(self) -> int:
        return self.PE

    @property
    def out_parallel(self) -> int:
        return self.PE

    def cycles(self, graph: Graph) -> int:
        return graph.streams[self.source].size // self.PE

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        _is_image(self, source, self.size)
        self._divides("PE", self.PE, "channels", source.channels)
        height, width, channels = source.shape
        _writes(self, (height // self.size, width // self.size, channels), source, target)


def windows_shape(image: tuple[int, ...], layer: SlidingWindow) -> tuple[int, int, int]:
    """(H', W', kernel*kernel*C) for an image (H, W, C)."""
    height, width, channels = image
    k, s = layer.kernel, layer.stride
    return (height - k) // s + 1, (width - k) // s + 1, k * k * channels


def _is_image(layer: Layer, source: Stream, size: int) -> None:
    if len(source.shape) != 3:
        raise UserError(f"layer {layer.name}: reads {source.shape}, needs an image (H, W, C)")
    if not 1 <= size <= min(source.shape[:2]):
        raise UserError(f"layer {layer.name}: squares of {size} pixels on {source.shape}")


def _writes(layer: Layer, shape: tuple[int, ...], source: Stream, target: Stream) -> None:
    """`target` must have this shape, or be the same as a vector, and the source's type."""
    if target.shape not in (shape, (prod(shape),)) or target.dtype != source.dtype:
        raise UserError(
            f"layer {layer.name}: writes {shape} x {source.dtype}, "
            f"its stream is {target.shape} x {target.dtype}"
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


KINDS: dict[str, type[Layer]] = {
    c.kind: c for c in (Threshold, MatrixVector, SlidingWindow, MaxPool, LabelSelect)
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
