"""The layers of a dataflow graph and the streams between them; see flow/graph.py.

Every class says what its layer computes, in which order of elements, how it folds, how many
cycles it takes and what it refuses. It holds numbers and arrays only; RTL, reference and estimates
are written from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from qonnx.core.datatype import BaseDataType
from qonnx.core.datatype import DataType as QonnxDataType

from flow.errors import UserError

if TYPE_CHECKING:
    from flow.graph import Graph


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

    @property
    def uniform(self) -> bool:
        """Whether every channel has the same thresholds, so that one word serves them all."""
        return bool((self.thresholds == self.thresholds[0]).all())

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
    Folding: `SIMD` channels a cycle, SIMD | C. `parallel_window` is 0, or the kernel*kernel*C
    elements of a window to write it in one beat. FINN: ConvolutionInputGenerator.
    """

    kernel: int
    stride: int = 1
    SIMD: int = 1
    parallel_window: int = 0

    kind: ClassVar[str] = "sliding_window"

    @property
    def in_parallel(self) -> int:
        return self.SIMD

    @property
    def out_parallel(self) -> int:
        return self.parallel_window or self.SIMD

    def cycles(self, graph: Graph) -> int:
        """The larger of what is written to and read from the lines, which go on side by side.

        A window is read whole, or in parallel column by column: the next one needs `stride`.
        """
        height, width, channels = graph.streams[self.source].shape
        rows, across, _ = windows_shape((height, width, channels), self)
        columns = across * self.kernel
        if self.parallel_window:
            columns = (across - 1) * self.stride + self.kernel
        pixels = max(height * width, rows * columns * self.kernel)
        return pixels * (channels // self.SIMD)

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        _is_image(self, source, self.kernel)
        self._divides("SIMD", self.SIMD, "channels", source.channels)
        if self.stride < 1:
            raise UserError(f"layer {self.name}: stride={self.stride} must be at least 1")
        shape = windows_shape(source.shape, self)
        if self.parallel_window not in (0, shape[-1]):
            raise UserError(
                f"layer {self.name}: parallel_window={self.parallel_window} is neither 0 nor the "
                f"{shape[-1]} elements of a window"
            )
        _writes(self, shape, source, target)


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


def folding_of(layer: Layer) -> dict[str, Any]:
    """The knobs of one layer that trade area for time, with their present values."""
    names = ("PE", "SIMD", "parallel_window", "ram_style")
    return {f.name: getattr(layer, f.name) for f in fields(layer) if f.name in names}


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
