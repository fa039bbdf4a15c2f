"""How images and results lie in memory, and the parameters of accelerator_shell.sv that say so.

The rules stand in hw/rtl/unpack.sv and pack.sv; these functions are their counterpart for programs
and the reference for the tests. An image is a row of elements in the order of the core's stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from flow.errors import UserError


class Streams(Protocol):
    """What is needed of flow.rtl.codegen.Design: its streams, input first, output last."""

    @property
    def taps(self) -> tuple[Any, ...]: ...


@dataclass(frozen=True)
class Input:
    """Images: `beats` of `elements`, each `memory_bits` wide in memory, `bits` in the core."""

    elements: int
    bits: int
    memory_bits: int
    beats: int

    @property
    def slot(self) -> int:
        """Bits of memory a beat takes."""
        used = self.elements * self.memory_bits
        return 1 << (used - 1).bit_length() if used <= 64 else -(-used // 64) * 64

    @property
    def words(self) -> int:
        """Words of 64 bits an image takes."""
        return -(-self.beats * self.slot // 64)

    @property
    def plain(self) -> bool:
        """Whether an array of bytes, one an element, is already as it must lie in memory."""
        dense = self.slot == self.elements * self.memory_bits
        return self.memory_bits == 8 and dense and self.beats * self.slot % 64 == 0

    def pack(self, images: np.ndarray) -> np.ndarray:
        """(n, beats * elements) of integers -> (n, 8 * words) of bytes.

        With one bit of memory for an element of several bits: 0 is 0, all else is all ones.
        """
        count = len(images)
        if self.plain:
            return np.ascontiguousarray(images.reshape(count, -1)).astype(np.uint8, copy=False)
        beats = images.reshape(count, self.beats, self.elements)
        if self.memory_bits == 1:
            bits = (beats != 0).astype(np.uint8)
        else:
            places = np.arange(self.memory_bits)
            bits = (beats.astype(np.int64)[..., None] >> places & 1).astype(np.uint8)
            bits = bits.reshape(count, self.beats, -1)
        slots = np.zeros((count, self.beats, self.slot), np.uint8)
        slots[:, :, : bits.shape[2]] = bits
        row = np.zeros((count, 64 * self.words), np.uint8)
        row[:, : self.beats * self.slot] = slots.reshape(count, -1)
        return np.packbits(row, axis=1, bitorder="little")


@dataclass(frozen=True)
class Output:
    """Results: `beats` of `elements` of `bits`, in memory `memory_bits` wide without a gap."""

    elements: int
    bits: int
    memory_bits: int
    signed: bool
    beats: int

    @property
    def results(self) -> int:
        """Results an image."""
        return self.elements * self.beats

    @property
    def bytes(self) -> int:
        """Bytes of results an image."""
        return self.results * self.memory_bits // 8

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.memory_bits // 8}")

    def unpack(self, memory: np.ndarray, images: int) -> np.ndarray:
        """Bytes as written -> (images, results)."""
        used = np.ascontiguousarray(memory.view(np.uint8).ravel()[: images * self.bytes])
        return used.view(self.dtype).reshape(images, self.results)


def of_design(design: Streams, packed: bool = False) -> tuple[Input, Output]:
    """The layout for a generated core. packed: one bit of memory an input element."""
    first, last = design.taps[0], design.taps[-1]
    memory_bits = 1 if packed else first.bits
    wide = next((bits for bits in (8, 16, 32, 64) if bits >= last.bits), None)
    if wide is None:
        raise UserError(f"results of {last.bits} bits: the shell writes up to 64")
    return (
        Input(first.parallel, first.bits, memory_bits, first.beats),
        Output(last.parallel, last.bits, wide, last.signed, last.beats),
    )


def parameters(source: Input, target: Output, in_bits: int, out_bits: int) -> dict[str, int]:
    """Parameters of accelerator_shell.sv. in_bits, out_bits: widths of the core's streams."""
    return {
        "IN_ELEMENTS": source.elements,
        "IN_ELEMENT_BITS": source.bits,
        "IN_MEMORY_BITS": source.memory_bits,
        "IN_BEATS": source.beats,
        "IN_BITS": in_bits,
        "OUT_ELEMENTS": target.elements,
        "OUT_ELEMENT_BITS": target.bits,
        "OUT_MEMORY_BITS": target.memory_bits,
        "OUT_SIGNED": int(target.signed),
        "OUT_BEATS": target.beats,
        "OUT_BITS": out_bits,
    }
