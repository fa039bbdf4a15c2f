"""A small random network as the bitstream stage leaves it, its .bit a header and a few words."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

# isort: split
from graphs import mlp

from flow import reference
from flow.implement import boards
from flow.implement.sources import write_sources
from flow.rtl.codegen import generate
from flow.shell import description, hwh, registers

COUNT, TESTED, CLOCK = 30, 16, 100.0
IDCODE = bytes.fromhex("3001800103727093")


@dataclass(frozen=True)
class Small:
    """`bitstream`: the folder; the images and what the reference says of them."""

    bitstream: Path
    build: int
    images: np.ndarray
    results: np.ndarray


def bit(part: str = "xc7z020clg400-1", idcode: bytes = IDCODE, noise: int = 0) -> bytes:
    """A .bit with what a real one has in front, and little more."""

    def field(letter: str, text: str) -> bytes:
        body = text.encode() + b"\0"
        return letter.encode() + len(body).to_bytes(2, "big") + body

    sync = b"\xff" * 16 + bytes.fromhex("aa99556620000000")
    payload = sync + idcode + np.random.default_rng(noise).bytes(400)
    texts = field("a", "design") + field("b", part) + field("c", "2026/1/2") + field("d", "3:4:5")
    start = bytes.fromhex("00090ff00ff00ff00ff0000001")
    return start + texts + b"e" + len(payload).to_bytes(4, "big") + payload


def small(root: Path) -> Small:
    """Write it into `root`/bitstream."""
    graph, folder = mlp(7), root / "bitstream"
    design = generate(graph, root / "rtl")
    board = boards.load("pynq-z2")
    sources = write_sources(design, board, folder / "sources")
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 24), np.uint8)
    results = reference.labels(graph, images)[:, None]
    body = description.describe(
        design,
        (24,),
        list("abcdef"),
        images[:TESTED],
        results[:TESTED],
        name="small",
        build_hash=sources.build_hash,
        clock_mhz=CLOCK,
    )
    (folder / "design.bit").write_bytes(bit())
    description.write(body, folder / "design.bit")
    (folder / "design.hwh").write_text(hwh.hwh(registers.load(), "small", CLOCK))
    np.savez(root / "images.npz", images=images, results=results)
    return Small(folder, sources.build_hash, images, results)
