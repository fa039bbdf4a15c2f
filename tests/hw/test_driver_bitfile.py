"""What the driver says of a .bit that was not loaded."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hw" / "driver"))

# isort: split
from hanbit_board.bitfile import flaw

SYNC = bytes.fromhex("aa995566")
PAYLOAD = b"\xff" * 32 + SYNC + bytes(range(200)) * 4


def bit(part: str = "xc7z020clg400-1", payload: bytes = PAYLOAD, cut: int = 0) -> bytes:
    def field(letter: bytes, text: str) -> bytes:
        return letter + (len(text) + 1).to_bytes(2, "big") + text.encode() + b"\0"

    texts = zip(b"abcd", ("design;made", part, "2026/01/02", "03:04:05"), strict=True)
    fields = b"".join(field(bytes([letter]), text) for letter, text in texts)
    start = bytes.fromhex("00090ff00ff00ff00ff0000001")
    whole = start + fields + b"e" + len(payload).to_bytes(4, "big") + payload
    return whole[: len(whole) - cut]


@pytest.mark.parametrize("part", ["xc7z020clg400-1", "7z020clg400"])
def test_a_whole_file_has_no_flaw(part, tmp_path):
    (tmp_path / "a.bit").write_bytes(bit(part))
    assert flaw(tmp_path / "a.bit") is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (bit("7z010clg400"), "it is for 7z010clg400, not for 7z020clg400"),
        (bit(cut=40), "796 bytes of configuration, its header says 836"),
        (bit(payload=PAYLOAD.replace(SYNC, b"....")), "no sync word"),
        (bit(payload=b"." + PAYLOAD), "no sync word"),
        (bit(cut=len(PAYLOAD) + 5), "no .bit file"),
        (b"", "no .bit file"),
        (b"#!/bin/sh\necho", "no .bit file"),
        (bytes(100), "no .bit file"),
    ],
)
def test_a_flaw_is_named(body, said, tmp_path):
    (tmp_path / "a.bit").write_bytes(body)
    assert said in (flaw(tmp_path / "a.bit") or "")
