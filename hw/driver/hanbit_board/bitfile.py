"""Why a .bit file cannot be loaded, as far as its header tells."""

from __future__ import annotations

from pathlib import Path

PART = "7z020clg400"  # of the PYNQ-Z2
SYNC = bytes.fromhex("aa995566")


def flaw(path: Path) -> str | None:
    """What is wrong with a .bit file, in words; None where nothing is, as seen from outside."""
    body = path.read_bytes()
    at = 4 + int.from_bytes(body[:2], "big")  # past the first field and a constant
    part = None
    while at < len(body):
        letter, wide = body[at : at + 1], 4 if body[at : at + 1] == b"e" else 2
        start = at + 1 + wide
        size = int.from_bytes(body[at + 1 : start], "big")
        if letter == b"b":
            part = body[start : start + size].rstrip(b"\0").decode("ascii", "replace")
        if letter == b"e":
            if part is None or PART not in part:
                return f"it is for {part}, not for {PART}"
            if len(body) - start != size:
                return f"it has {len(body) - start} bytes of configuration, its header says {size}"
            place = body.find(SYNC, start) - start
            return None if place >= 0 and place % 4 == 0 else "it has no sync word"
        if letter not in b"abcd":
            break
        at = start + size
    return "it is no .bit file"
