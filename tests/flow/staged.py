"""A small random network, as the stages leave it for the board, without any synthesis."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hw"))
sys.path.insert(0, str(Path(__file__).parents[1] / "board"))

# isort: split
from graphs import mlp
from hanbit_board import Description
from small_network import bit
from test_driver_model import Shell, install

from flow import reference
from flow.implement import boards
from flow.implement.sources import write_sources
from flow.rtl.codegen import generate
from flow.shell import description, hwh, registers
from flow.stages import Work
from models.presets import Hardware

COUNT, INTERVAL, CLOCK = 40, 288, 100.0
RUN = 12345  # what the model always counts
REPORT: dict[str, Any] = {
    "preset": "net",
    "board": "pynq-z2",
    "area": {"stage": "routed", "lut": 1234, "ff": 2345, "bram36": 1.5, "dsp": 0},
}


def small_work(root: Path) -> Work:
    """What a run up to the bitstream leaves; three of four test images are classified right."""
    work = Work("net", root, boards.load("pynq-z2"), 0, Hardware())
    graph = mlp(7)
    export, lower, bitstream = (root / x for x in ("02-export", "03-lower", "06-bitstream-pynq-z2"))
    for folder in (export, lower, bitstream):
        folder.mkdir(parents=True)
    graph.save(lower)
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 1, 4, 6), np.uint8)
    results = reference.labels(graph, images)
    labels = np.where(np.arange(COUNT) % 4, results, (results + 1) % 6)
    np.savez(export / "images.npz", images=images, labels=labels)
    design = generate(graph, root / "04-rtl")
    sources = write_sources(design, work.board, bitstream / "sources")
    body = description.describe(
        design,
        (4, 6),
        list("abcdef"),
        graph.arrange(images[:7]),
        results[:7, None],
        name="net",
        build_hash=sources.build_hash,
        clock_mhz=CLOCK,
        interval=INTERVAL,
    )
    (bitstream / "design.bit").write_bytes(bit())
    (bitstream / "design.bin").write_bytes(b"the same for Linux")
    (bitstream / "design.hwh").write_text(hwh.hwh(registers.load(), "net", CLOCK))
    (bitstream / "design.json").write_text(json.dumps(body))
    return work


def build(work: Work) -> str:
    """The hash of the design as text."""
    return json.loads((work.root / "06-bitstream-pynq-z2" / "design.json").read_text())["build"]


class Counting(Shell):
    """The driver's register model, with counters as a batch of so many images would leave them."""

    def read(self, address: int) -> int:
        value = super().read(address)
        if value == RUN and self.batches:
            return 90 + INTERVAL * self.batches[-1] + len(self.batches) % 7
        return value


def small_board(monkeypatch: pytest.MonkeyPatch, work: Work, name: str = "Pynq-Z2") -> Counting:
    """`import pynq` gives a model of the board that computes this network. name: the device's."""
    graph = work.graph
    found = Description.beside(work.root / "06-bitstream-pynq-z2" / "design.bit")

    def golden(rows: np.ndarray) -> np.ndarray:
        pixels = rows.reshape(len(rows), found.images.beats, -1)[:, :, : found.images.elements]
        return reference.labels(graph, pixels.reshape(len(rows), -1))[:, None]

    shell = Counting(found.images, found.results, golden, found.build)
    install(monkeypatch, shell)

    class Device:
        active_device = type("Found", (), {"name": name})()

    monkeypatch.setattr(sys.modules["pynq"], "Device", Device, raising=False)
    return shell
