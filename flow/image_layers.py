"""The layers of a dataflow graph that work on images: borders, windows, pooling, channels alone.

As in flow/layers.py every class says what its layer computes, in which order, and how it folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flow.errors import UserError
from flow.layers import Layer, Stream

if TYPE_CHECKING:
    from flow.graph import Graph


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


@dataclass(frozen=True, eq=False)
class Padding(Layer):
    """A border of `size` pixels on each side of an image, every element of it `value`.

    `value` is as it lies on the stream: 0 of BINARY stands for -1. (H, W, C) ->
    (H + 2 size, W + 2 size, C). Folding: `SIMD` channels a cycle, SIMD | C. FINN: FMPadding, which
    has no value.
    """

    size: int
    value: int = 0
    SIMD: int = 1

    kind: ClassVar[str] = "padding"

    @property
    def in_parallel(self) -> int:
        return self.SIMD

    @property
    def out_parallel(self) -> int:
        return self.SIMD

    def cycles(self, graph: Graph) -> int:
        return graph.streams[self.target].size // self.SIMD

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        _is_image(self, source, 1)
        self._divides("SIMD", self.SIMD, "channels", source.channels)
        if self.size < 1:
            raise UserError(f"layer {self.name}: size={self.size} must be at least 1")
        if not source.type.allowed(self.value):
            raise UserError(f"layer {self.name}: value={self.value} is not of {source.dtype}")
        height, width, channels = source.shape
        shape = (height + 2 * self.size, width + 2 * self.size, channels)
        _writes(self, shape, source, target)


@dataclass(frozen=True, eq=False)
class Depthwise(Layer):
    """Binary depthwise product: each channel of a window with a row of weights of its own.

    `weights`: uint8 (C, K) of 0 and 1, which stand for -1 and +1; the columns are the places of a
    window, ky before kx. Reads windows of K*C bits as `SlidingWindow` writes them:
    out[c] = number of places k with in[k, c] == weights[c, k], UINT wide enough for [0, K].
    Folding: `PE` channels and `SIMD` places a cycle, PE | C, SIMD | K. With SIMD = 1 it reads PE
    elements a beat, with more a window a beat. FINN: VVAU.
    """

    weights: np.ndarray
    PE: int = 1
    SIMD: int = 1

    kind: ClassVar[str] = "vvu_bin"
    arrays: ClassVar[tuple[str, ...]] = ("weights",)

    @property
    def channels(self) -> int:
        return self.weights.shape[0]

    @property
    def places(self) -> int:
        return self.weights.shape[1]

    @property
    def in_parallel(self) -> int:
        return self.weights.size if self.SIMD > 1 else self.PE

    @property
    def out_parallel(self) -> int:
        return self.PE

    def cycles(self, graph: Graph) -> int:
        pixels = graph.streams[self.source].pixels
        return pixels * (self.channels // self.PE) * (self.places // self.SIMD)

    def check(self, graph: Graph) -> None:
        source, target = graph.streams[self.source], graph.streams[self.target]
        self._divides("PE", self.PE, "channels", self.channels)
        self._divides("SIMD", self.SIMD, "places", self.places)
        if source.dtype != "BINARY" or source.channels != self.weights.size:
            raise UserError(
                f"layer {self.name}: reads {source.channels} x {source.dtype}, needs windows of "
                f"{self.weights.size} x BINARY"
            )
        if target.type.min() > 0 or target.type.max() < self.places:
            raise UserError(
                f"layer {self.name}: {target.dtype} cannot hold a popcount of 0..{self.places}"
            )


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
