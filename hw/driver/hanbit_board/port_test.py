"""The memory port without the network: what is read, by its checksum, and a copy, byte by byte."""

from __future__ import annotations

from typing import Any

import numpy as np

from .shell import COPY, DROP, MASK, Shell


def checksum(words: np.ndarray) -> int:
    """As the register CHECKSUM has it, of words of 64 bits.

    Word i of n is turned left by n-1-i places: the words of each place are summed first.
    """
    halves = np.ascontiguousarray(words).view("<u4").reshape(-1, 2)
    count = len(halves)
    padded = np.zeros((-(-count // 32), 32), np.uint32)  # zeros in front change nothing
    padded.reshape(-1)[padded.size - count :] = halves[:, 0] ^ halves[:, 1]
    total = 0
    for place, word in enumerate(np.bitwise_xor.reduce(padded, axis=0).tolist()):
        turn = 31 - place
        total ^= (word << turn | word >> (32 - turn)) & MASK
    return total


def port_test(
    shell: Shell, source: Any, target: Any, image_bytes: int, result_bytes: int, cycles: int
) -> dict[str, Any]:
    """Read `source`, a whole number of images, and copy it to `target`, as large.

    The copy is as many whole results of `result_bytes` as there is room for.
    """
    images = source.nbytes // image_bytes
    data = np.random.default_rng(0).integers(0, 256, source.nbytes, np.uint8)
    source[:] = data
    target[:] = 0
    source.flush()
    target.flush()
    read = shell.run({"idma0": (source.device_address, images)}, cycles, route=DROP)
    found, wanted = shell.read("shell", "CHECKSUM"), checksum(data.view("<u8"))
    results = min(target.nbytes // result_bytes, 2**20 - 1)
    starts = {
        "odma0": (target.device_address, results),
        "idma0": (source.device_address, images),
    }
    try:
        copy = shell.run(starts, cycles, route=COPY)
    finally:
        shell.reset()  # of what was read and is no whole result
    target.invalidate()
    copied = results * result_bytes
    return {
        "bytes": source.nbytes,
        "read_correct": found == wanted,
        "read[cycles]": read.run,
        "copied_bytes": copied,
        "wrong_bytes": int((np.asarray(target)[:copied] != data[:copied]).sum()),
        "copy[cycles]": copy.run,
    }
