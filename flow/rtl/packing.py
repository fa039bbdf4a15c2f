"""Bit order, written once: elements to words, weights and thresholds to memory words, words to hex.

Everything is little-endian: element 0 of a word in its least significant bits, bit 0 of an element
first. In NumPy a word is a row of bits (uint8, least significant first), so that words of any width
are one array; `write_mem` turns rows into the hex lines that `$readmemh` reads.

The stimulus of the simulation (hw/sim) does not use this module: it packs raw elements in C++, so
that a fault in either bit order shows up as a mismatch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.errors import UserError

Array = np.ndarray


def pack(values: Array, bits: int) -> Array:
    """Elements (..., n), in two's complement if negative -> words (..., n * bits) of bits."""
    values = np.asarray(values, dtype=np.int64)
    shifts = np.arange(bits, dtype=np.int64)
    return ((values[..., None] >> shifts) & 1).astype(np.uint8).reshape(*values.shape[:-1], -1)


def unpack(words: Array, bits: int, signed: bool = False) -> Array:
    """Words (..., n * bits) of bits -> elements (..., n), the inverse of `pack`."""
    elements = words.reshape(*words.shape[:-1], -1, bits).astype(np.int64)
    weights = np.int64(1) << np.arange(bits, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return elements @ weights


def beats(tensor: Array, parallel: int, bits: int) -> Array:
    """Images (N, ..., C) -> (N, beats, parallel * bits), in the order of flow/graph.py."""
    return pack(tensor.reshape(len(tensor), -1, parallel), bits)


def matrix_words(weights: Array, PE: int, SIMD: int) -> Array:
    """Weights (MH, MW) of 0 and 1 -> memory (NF * SF, PE * SIMD) of a matrix-vector unit.

    The word at address nf * SF + sf holds in bit pe * SIMD + simd the weight
    (nf * PE + pe, sf * SIMD + simd).
    """
    MH, MW = weights.shape
    folded = weights.reshape(MH // PE, PE, MW // SIMD, SIMD)
    return folded.transpose(0, 2, 1, 3).reshape(-1, PE * SIMD).astype(np.uint8)


def matrix_from_words(words: Array, MH: int, MW: int, PE: int, SIMD: int) -> Array:
    """The inverse of `matrix_words`: memory (NF * SF, PE * SIMD) -> weights (MH, MW)."""
    folded = words.reshape(MH // PE, MW // SIMD, PE, SIMD)
    return folded.transpose(0, 2, 1, 3).reshape(MH, MW)


def depthwise_words(weights: Array, PE: int, SIMD: int) -> Array:
    """Weights (C, K) of 0 and 1 -> memory (C / PE * K / SIMD, PE * SIMD) of a depthwise unit.

    A word holds in bit pe * SIMD + simd the weight (f * PE + pe, k * SIMD + simd). Its address is
    f * (K / SIMD) + k where windows come in whole, k * (C / PE) + f where SIMD is 1.
    """
    C, K = weights.shape
    folded = weights.reshape(C // PE, PE, K // SIMD, SIMD)
    order = (0, 2, 1, 3) if SIMD > 1 else (2, 0, 1, 3)
    return folded.transpose(order).reshape(-1, PE * SIMD).astype(np.uint8)


def threshold_words(thresholds: Array, PE: int, in_bits: int, signed: bool) -> Array:
    """Thresholds (C, levels) -> memory (C / PE, PE * levels * (in_bits + 1)) of a threshold layer.

    The word at address f holds in element pe * levels + level the threshold
    (f * PE + pe, level), clipped to `threshold_range` and in one bit more than the input so that
    "never" can be said.
    """
    clipped = np.clip(thresholds, *threshold_range(in_bits, signed))
    return pack(clipped.reshape(len(thresholds) // PE, -1), in_bits + 1)


def thresholds_from_words(words: Array, levels: int, in_bits: int, signed: bool) -> Array:
    """The inverse of `threshold_words`, but for the clipping: -> thresholds (C, levels)."""
    return unpack(words, in_bits + 1, signed).reshape(-1, levels)


def threshold_range(in_bits: int, signed: bool) -> tuple[int, int]:
    """The thresholds that can tell inputs apart: from "always" to "never"."""
    if signed:
        return -(1 << (in_bits - 1)), 1 << (in_bits - 1)
    return 0, 1 << in_bits


def hex_lines(words: Array) -> list[str]:
    """Words (n, width) of bits -> one hex number a word, most significant digit first."""
    digits = -(-words.shape[1] // 4)
    padded = np.zeros((len(words), digits * 4), dtype=np.uint8)
    padded[:, : words.shape[1]] = words
    nibbles = padded.reshape(len(words), digits, 4) @ np.array([1, 2, 4, 8], dtype=np.uint8)
    characters = np.array(list("0123456789abcdef"))[nibbles[:, ::-1]]
    return ["".join(row) for row in characters]


def from_hex(lines: list[str], width: int) -> Array:
    """The inverse of `hex_lines`; a digit beyond `width` bits that is not 0 is a ValueError."""
    rows = np.zeros((len(lines), width), dtype=np.uint8)
    for row, line in zip(rows, lines, strict=True):
        value = int(line, 16)
        if value >> width:
            raise ValueError(f"{line} does not fit into {width} bits")
        data = np.frombuffer(value.to_bytes(-(-width // 8), "little"), dtype=np.uint8)
        row[:] = np.unpackbits(data, bitorder="little")[:width]
    return rows


def mem_text(words: Array) -> str:
    """The text of a memory file: one hex word a line, from address 0 up."""
    return "\n".join(hex_lines(words)) + "\n"


def read_mem(path: Path, depth: int, width: int) -> Array:
    """Memory (depth, width) of bits from a `$readmemh` file written by `mem_text`."""
    lines = path.read_text().split()
    if len(lines) != depth:
        raise UserError(f"{path}: {len(lines)} words, {depth} expected; generate the RTL again")
    try:
        return from_hex(lines, width)
    except ValueError as error:
        raise UserError(f"{path}: not a memory file of {width} bits: {error}") from error
