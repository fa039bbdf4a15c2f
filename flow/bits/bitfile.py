"""The .bit file: a header of fields, then the words that the device loads; and the .bin of them.

Header: two bytes of length and as many unknown ones, two bytes 0x0001, then fields: a letter, a
length and the content. "a" to "d" are text that ends with a zero (length two bytes): design, part,
date, time; "e" (length four bytes) is the payload. A .bin, as the FPGA manager of Linux takes it,
is the payload with the bytes of each 32-bit word turned round.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flow.errors import UserError

SYNC = bytes.fromhex("aa995566")
TEXTS = {"a": "design", "b": "part", "c": "date", "d": "time"}


@dataclass(frozen=True)
class BitFile:
    """Content of a .bit file; texts as its writer chose them."""

    design: str
    part: str
    date: str
    time: str
    payload: bytes


def read(path: Path) -> BitFile:
    """Take a .bit file apart; `UserError` if it is none, or is not whole."""

    def wrong(why: str) -> UserError:
        return UserError(f"{path}: not a whole .bit file: {why}")

    body = path.read_bytes()
    at = 2 + int.from_bytes(body[:2], "big")
    if body[at : at + 2] != b"\0\1":
        raise wrong("no header")
    at += 2
    texts: dict[str, str] = {}
    for letter, name in TEXTS.items():
        if body[at : at + 1] != letter.encode():
            raise wrong(f"field {letter}, the {name}, is missing")
        size = int.from_bytes(body[at + 1 : at + 3], "big")
        texts[name] = body[at + 3 : at + 3 + size].rstrip(b"\0").decode("ascii", "replace")
        at += 3 + size
    if body[at : at + 1] != b"e":
        raise wrong("field e, the payload, is missing")
    size, payload = int.from_bytes(body[at + 1 : at + 5], "big"), body[at + 5 :]
    if len(payload) != size or size % 4:
        raise wrong(f"{len(payload)} bytes of payload, {size} in the header")
    place = payload.find(SYNC)
    if place < 0 or place % 4:
        raise wrong("no sync word at the start of a word")
    return BitFile(**texts, payload=payload)


def write_bin(bit: Path, path: Path) -> None:
    """Write the .bin of a .bit file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(np.frombuffer(read(bit).payload, "<u4").byteswap().tobytes())
    part.replace(path)
