"""Images to the words of memory that the accelerator reads, and what it writes to results.

Images follow each other in whole words of 64 bits. A beat of `elements` takes a slot of
elements * memory_bits bits, rounded up to a power of two, beyond 64 to a multiple of 64; slots fill
a word from its least significant bits. Results follow each other without a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from .errors import ImagesError

CHUNK = 2**18  # bits padded at a time, so that they stay in the cache


@dataclass(frozen=True)
class Images:
    """`beats` of `elements`, each `memory_bits` wide in memory and `bits` in the core.

    threshold: pixels of 8 bits that reach it become 1, the others 0; only where memory_bits is 1.
    Without it, and with memory_bits 1, all that is not 0 becomes 1.
    """

    shape: tuple[int, ...]
    elements: int
    bits: int
    memory_bits: int
    beats: int
    signed: bool = False
    threshold: int | None = None

    @property
    def size(self) -> int:
        """Elements an image."""
        return prod(self.shape)

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
    def bytes(self) -> int:
        """Bytes of memory an image takes."""
        return 8 * self.words

    @property
    def value_bits(self) -> int:
        """Bits of an element as the user has it."""
        return 8 if self.threshold is not None else self.bits

    @property
    def dtype(self) -> np.dtype:
        wide = next(bits for bits in (8, 16, 32, 64) if bits >= self.value_bits)
        return np.dtype(f"<{'i' if self.signed else 'u'}{wide // 8}")

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest value of an element and the first too high."""
        return -(self.signed << (self.value_bits - 1)), 1 << (self.value_bits - self.signed)

    def fold(self, images: np.ndarray) -> np.ndarray:
        """Images of any shape of as many elements -> (n, beats, elements), checked."""
        images = np.asarray(images)
        if images.ndim < 2 or prod(images.shape[1:]) != self.size:
            raise ImagesError(f"images of shape {images.shape}; needed: (n, *{self.shape})")
        if images.dtype.kind not in "iub":
            raise ImagesError(f"images of type {images.dtype}; needed: integers as {self.dtype}")
        low, high = self.limits
        whole = images.dtype == self.dtype and self.value_bits == 8 * self.dtype.itemsize
        if images.size and images.dtype.kind != "b" and not whole:
            least, most = int(images.min()), int(images.max())
            if least < low or most >= high:
                raise ImagesError(f"images hold {least} .. {most}; legal: {low} .. {high - 1}")
        images = images.astype(self.dtype, copy=False)
        return images.reshape(len(images), self.beats, self.elements)

    def pack(self, images: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Folded images -> (n, bytes), in `out` where given."""
        count = len(images)
        if out is None:
            out = np.empty((count, self.bytes), np.uint8)
        whole = self.memory_bits in (8, 16, 32, 64)
        used, unit = self.elements * self.memory_bits, 8 if whole else 1
        if whole and self.slot == used and self.beats * self.slot % 64 == 0:
            out[...] = _bytes(images, self.memory_bits).reshape(count, -1)
            return out
        chunk = min(max(1, CHUNK // (64 * self.words)), max(1, count))
        padded = np.zeros((chunk, 64 * self.words // unit), np.uint8)
        slots = padded[:, : self.beats * self.slot // unit]
        target = slots.reshape(chunk, self.beats, -1)[:, :, : used // unit]
        for start in range(0, count, chunk):
            some = images[start : start + chunk]
            place = target[: len(some)]
            if whole:
                place[...] = _bytes(some, self.memory_bits)
                out[start : start + chunk] = padded[: len(some)]
                continue
            if self.memory_bits > 1:
                shifted = some.astype(np.int64)[..., None] >> np.arange(self.memory_bits)
                place[...] = (shifted & 1).reshape(place.shape)
            elif self.threshold is None:
                np.not_equal(some, 0, out=place.view(np.bool_))
            else:
                np.greater_equal(some, self.threshold, out=place.view(np.bool_))
            bits = np.packbits(padded[: len(some)].reshape(-1), bitorder="little")
            out[start : start + chunk] = bits.reshape(len(some), -1)
        return out


def _bytes(images: np.ndarray, bits: int) -> np.ndarray:
    """(n, beats, elements) -> (n, beats, bytes of a beat)."""
    return np.ascontiguousarray(images.astype(f"<u{bits // 8}", copy=False)).view(np.uint8)


@dataclass(frozen=True)
class Results:
    """`beats` of `elements`, each `memory_bits` wide in memory. kind: "labels" or "scores"."""

    kind: str
    elements: int
    bits: int
    memory_bits: int
    signed: bool
    beats: int

    @property
    def count(self) -> int:
        """Results an image."""
        return self.elements * self.beats

    @property
    def bytes(self) -> int:
        """Bytes of results an image."""
        return self.count * self.memory_bits // 8

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.memory_bits // 8}")

    def unpack(self, memory: np.ndarray, images: int) -> np.ndarray:
        """Bytes as written -> (n, results) of a memory of their own."""
        used = np.asarray(memory).view(np.uint8).reshape(-1)[: images * self.bytes].copy()
        return used.view(self.dtype).reshape(images, self.count)

    def unfold(self, results: np.ndarray) -> np.ndarray:
        """(n, results) as `execute` returns them: labels (n,), scores (n, results)."""
        return results[:, 0] if self.kind == "labels" and self.count == 1 else results
