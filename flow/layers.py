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
    def sources(self) -> tuple[str, ...]:
        """Every stream it reads."""
        return (self.source,)

    def depth(self, source: str) -> int:
        """Beats of the FIFO that is asked for in front of one of its sources; 0 for none."""
        return 0

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
    "auto" to let the code generator choose. `fifo`: beats of the FIFO in front, where folding wants
    one (flow/rtl/glue.py); None for a vector. FINN: MVAU, on BINARY input with binaryXnorMode.
    """

    weights: np.ndarray
    PE: int = 1
    SIMD: int = 1
    ram_style: str = "auto"
    fifo: int | None = None

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
        minus = self.MW - plus
        low, high = int(source.type.min()), int(source.type.max())
        return int((plus * low - minus * high).min()), int((plus * high - minus * low).max())

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        self._divides("PE", self.PE, "MH", self.MH)
        self._divides("SIMD", self.SIMD, "MW", self.MW)
        if source.channels != self.MW:
            raise UserError(
                f"layer {self.name}: reads {source.channels} x {source.dtype}, "
                f"needs {self.MW} x BINARY, UINT or INT"
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
        if self.fifo is not None and (not isinstance(self.fifo, int) or self.fifo < 2):
            raise UserError(f"layer {self.name}: fifo={self.fifo!r} must be beats, at least 2")


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
    names = ("PE", "SIMD", "parallel_window", "ram_style", "fifo")
    return {f.name: getattr(layer, f.name) for f in fields(layer) if f.name in names}


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
