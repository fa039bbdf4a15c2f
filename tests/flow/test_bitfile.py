"""The .bit file taken apart, and the .bin made of it."""

import pytest

from flow.bits import bitfile
from flow.errors import UserError

WORDS = b"\xff" * 8 + bytes.fromhex("aa9955662000000012345678")


def text(letter: str, content: str) -> bytes:
    body = content.encode() + b"\0"
    return letter.encode() + len(body).to_bytes(2, "big") + body


def bit(payload: bytes = WORDS) -> bytes:
    head = b"\0\x09" + bytes(range(9)) + b"\0\1"
    head += text("a", "design;UserID=0") + text("b", "xc7z020clg400-1")
    head += text("c", "2026/11/23") + text("d", "01:02:03")
    return head + b"e" + len(payload).to_bytes(4, "big") + payload


def test_header_and_payload(tmp_path):
    path = tmp_path / "design.bit"
    path.write_bytes(bit())
    found = bitfile.read(path)
    assert found == bitfile.BitFile(
        "design;UserID=0", "xc7z020clg400-1", "2026/11/23", "01:02:03", WORDS
    )
    bitfile.write_bin(path, tmp_path / "design.bin")
    turned = (tmp_path / "design.bin").read_bytes()
    assert turned[8:] == bytes.fromhex("665599aa0000002078563412")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["design.bin", "design.bit"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no header"),
        (bit()[:-1], "19 bytes of payload, 20 in the header"),
        (bit(WORDS + b"\0"), "21 bytes of payload"),
        (bit(WORDS[:8]), "no sync word"),
        (bit(WORDS[1:] + b"\0"), "no sync word"),
        (bit().replace(b"b\0\x10xc7", b"x\0\x10xc7"), "field b, the part, is missing"),
    ],
)
def test_what_is_no_bit_file_is_refused(tmp_path, body, says):
    path = tmp_path / "design.bit"
    path.write_bytes(body)
    with pytest.raises(UserError, match=says):
        bitfile.write_bin(path, tmp_path / "design.bin")
    assert not (tmp_path / "design.bin").exists()
