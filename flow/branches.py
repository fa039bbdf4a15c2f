"""Layers of networks that branch: the sum of two streams, and the sum over all pixels.

A fork is no layer: a stream that several layers read is one (FINN: DuplicateStreams).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flow.errors import UserError
from flow.layers import Layer, Stream

if TYPE_CHECKING:
    from flow.graph import Graph


@dataclass(frozen=True, eq=False)
class AddStreams(Layer):
    """Integer sum of two streams: out[y, x, c] = source[y, x, c] + shortcut[y, x, c].

    Popcounts and bits are added as they are: where each stands for 2x - n, their sum stands for
    twice the sum less both n, and the thresholds behind take that up. Folding: `PE` channels a
    cycle, PE | C. `fifo`: beats of the FIFOs in front of source and shortcut, which a fork needs
    where one branch waits longer than the other (flow/rtl/deadlock.py); 0 for none, () to let the
    code generator choose. FINN: AddStreams.
    """

    shortcut: str
    PE: int = 1
    fifo: tuple[int, ...] = ()

    kind: ClassVar[str] = "add_streams"

    def __post_init__(self) -> None:
        if isinstance(self.fifo, list):  # of a JSON file
            object.__setattr__(self, "fifo", tuple(self.fifo))

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source, self.shortcut)

    @property
    def in_parallel(self) -> int:
        return self.PE

    @property
    def out_parallel(self) -> int:
        return self.PE

    def depth(self, source: str) -> int:
        """Beats of the FIFO in front of one of its sources; 0 for none, or none chosen yet."""
        return self.fifo[self.sources.index(source)] if self.fifo else 0

    def cycles(self, graph: Graph) -> int:
        return graph.streams[self.source].size // self.PE

    def check(self, graph: Graph) -> None:
        a, b = (graph.streams[name] for name in self.sources)
        target = graph.streams[self.target]
        if a.name == b.name:
            raise UserError(f"layer {self.name}: adds stream {a.name} to itself")
        if a.shape != b.shape:
            raise UserError(
                f"layer {self.name}: adds {a.name} of shape {a.shape} and {b.name} of shape "
                f"{b.shape}; both branches must keep the same height, width and channels"
            )
        self._divides("PE", self.PE, "channels", a.channels)
        low, high = self.range(a, b)
        if target.shape != a.shape or target.type.min() > low or target.type.max() < high:
            raise UserError(
                f"layer {self.name}: {target.shape} x {target.dtype} cannot hold {a.shape} sums "
                f"of {low}..{high}"
            )
        depths = self.fifo if isinstance(self.fifo, tuple) else (None,)
        whole = all(isinstance(n, int) and (n == 0 or n >= 2) for n in depths)
        if len(depths) not in (0, 2) or not whole:
            raise UserError(
                f"layer {self.name}: fifo={self.fifo!r} must be two depths in beats, for "
                f"{a.name} and {b.name}, each 0 or at least 2"
            )

    @staticmethod
    def range(a: Stream, b: Stream) -> tuple[int, int]:
        """The least and the largest sum."""
        return (
            int(a.type.min()) + int(b.type.min()),
            int(a.type.max()) + int(b.type.max()),
        )


@dataclass(frozen=True, eq=False)
class GlobalAccPool(Layer):
    """Sum of each channel over all pixels: (H, W, C) -> (C,), a global average but for the scale.

    `bipolar`: bits count as -1 and +1, as a product that reads the sums as numbers needs it. The
    scale goes into the thresholds behind, or nowhere where a product reads the sums. Folding: `PE`
    channels a cycle, PE | C. FINN: GlobalAccPool.
    """

    PE: int = 1
    bipolar: bool = False

    kind: ClassVar[str] = "acc_pool"

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
        if len(source.shape) != 3:
            raise UserError(f"layer {self.name}: reads {source.shape}, needs an image (H, W, C)")
        self._divides("PE", self.PE, "channels", source.channels)
        low, high = self.range(source)
        if target.shape != (source.channels,):
            raise UserError(f"layer {self.name}: writes ({source.channels},), not {target.shape}")
        if target.type.min() > low or target.type.max() < high:
            raise UserError(f"layer {self.name}: {target.dtype} cannot hold sums of {low}..{high}")
        if self.bipolar and source.dtype != "BINARY":
            raise UserError(f"layer {self.name}: bipolar, but reads {source.dtype}, not BINARY")

    def range(self, source: Stream) -> tuple[int, int]:
        """The least and the largest sum over the pixels."""
        least = -1 if self.bipolar else int(source.type.min())
        return source.pixels * least, source.pixels * int(source.type.max())


def integer_type(low: int, high: int) -> str:
    """The smallest type of numbers from low to high."""
    if low >= 0:
        return f"UINT{max(1, high.bit_length())}"
    return f"INT{1 + max(high, -low - 1).bit_length()}"
