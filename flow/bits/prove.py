"""Prove a finished bitstream: block RAM contents, and the extracted netlist against the RTL.

The .bit file has been read back by then (flow.implement.bitstream): it holds what the FASM says.
What is left to show is that the FASM is the design. Test images go through the whole programmable
logic twice, as RTL and as the netlist extracted from the FASM: a processor's model starts batches
over the registers, its memory holds images and takes results. Every signal that reaches the
processing system must agree in every cycle, and every result in memory must be the expected.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from flow.bits import netlist
from flow.bits.bram import Rom, check_bram
from flow.bits.netlist_sim import simulate_netlist
from flow.errors import MismatchError
from flow.implement.sources import Sources
from flow.shell import layout, processor
from flow.shell.processor import COPY, DROP, MEMORY, THROUGH, Replies, Script

TIMING = {"latency": 30, "refresh": 390, "stall": 3, "gap": 2}
"""Delays of the model: cycles, cycles from one refresh to the next, 16ths, cycles."""


def prove(
    design: Any,
    board: Any,
    folder: Path,
    placed: Path,
    images: np.ndarray,
    expected: np.ndarray,
    work: Path | None = None,
    packed: bool = False,
) -> dict[str, Any]:
    """Prove the bitstream in a folder of implement.bitstream; the report section, or MismatchError.

    folder: holds design.bit, design.fasm and sources/. placed: nextpnr's netlist after routing.
    images: (N, ...), as the core reads them; expected: (N, ...), the results wanted. work: where
    netlist and simulation go, folder/proof if None. packed: as for `layout.of_design`.
    """
    sources = Sources.load(folder / "sources")
    mapped = sources.folder / "netlist.json"
    contents = check_bram(
        folder / "design.bit", board.part, placed, mapped, roms(design, sources.folder)
    )
    work = work or folder / "proof"
    work.mkdir(parents=True, exist_ok=True)
    extracted = netlist.extract(folder / "design.fasm", board.part, work / "netlist.v")
    for memory in design.memories:
        shutil.copyfile(sources.folder / memory.file, work / memory.file)
    plan = Plan(*layout.of_design(design, packed), images, expected)
    processor.write_memory(work / "memory.hex", plan.memory)
    run = simulate_netlist(
        extracted, sources.paths, sources.parameters, plan.script.text, work, TIMING
    )
    counters = plan.check(plan.script.replies(run.replies), sources.build_hash)
    return {
        "images": len(images),
        "cycles": run.cycles,
        "cells": dict(extracted.cells),
        "block_ram_bits": contents.bits,
        "block_ram_memories": contents.memories,
        "batch": {name.lower(): value for name, value in counters.items()},
    }


class Plan:
    """What the processor does in a proof, and what must come of it.

    It reads ID and BUILD, runs all images but one as a batch, lets the memory port copy and read
    without the core, is refused a start without images, resets, and runs the last image. Images
    begin 8 bytes before a border of 4 KiB, results of both batches at such places too.
    """

    def __init__(
        self,
        source: layout.Input,
        target: layout.Output,
        images: np.ndarray,
        expected: np.ndarray,
    ) -> None:
        self.target = target
        self.expected = np.reshape(expected, (len(expected), -1)).astype(target.dtype)
        content = source.pack(np.reshape(images, (len(images), -1)))
        most, size = max(len(images) - 1, 1), 8 * source.words
        self.batches = [(0, most), (most, len(images) - most)]
        first = _border(MEMORY)
        self.memory = np.zeros(first - MEMORY + content.size, np.uint8)
        self.memory[first - MEMORY :] = content.reshape(-1)
        self.copied = content[0]
        self.checksum = _checksum(content[0].view("<u4"))
        self.results = [_border(MEMORY + self.memory.size)]
        self.results.append(_border(self.results[0] + most * target.bytes))
        self.copies = _border(self.results[1] + target.bytes)
        self.copy_size = size // target.bytes * target.bytes
        if self.copies + size > MEMORY + processor.SIZE:
            raise ValueError(f"{len(images)} images are too many for the model's memory")
        self.script = script = Script()
        script.wait("shell.STATUS", 0xFFFF_FFFF, 0)
        script.read("shell.ID")
        script.read("shell.BUILD")
        self._batch(0, first)
        script.write("shell.MODE", DROP)
        script.start("idma0", first, 1)
        script.wait("idma0.CONTROL", 0b1110, 0b1110)
        script.read("shell.CHECKSUM")
        script.write("shell.MODE", COPY)
        script.start("odma0", self.copies, size // target.bytes)
        script.start("idma0", first, 1)
        script.wait("odma0.CONTROL", 0b1110, 0b1110)
        script.memory(self.copies, self.copy_size)
        script.write("shell.MODE", THROUGH)
        script.start("idma0", first, 0)
        script.wait("shell.STATUS", 0x10, 0x10)
        script.read("shell.ERROR")
        script.reset()
        if self.batches[1][1]:
            self._batch(1, first + most * size)

    def _batch(self, number: int, source: int) -> None:
        images = self.batches[number][1]
        self.script.batch(source, self.results[number], images)
        self.script.memory(self.results[number], images * self.target.bytes)

    def check(self, replies: Replies, build_hash: int) -> dict[str, int]:
        """Compare what was read with what must be; the counters of the first batch."""
        _same("ID", replies.take("shell.ID"), processor.ID)
        _same("BUILD", replies.take("shell.BUILD"), build_hash)
        counters = self._check_batch(replies, 0)
        _same("CHECKSUM", replies.take("shell.CHECKSUM"), self.checksum)
        copied = replies.memory(self.copies)[: self.copy_size]
        _same("the copy", copied.tobytes(), self.copied[: self.copy_size].tobytes())
        _same("ERROR of a start without images", replies.take("shell.ERROR"), 1 << 3)
        if self.batches[1][1]:
            self._check_batch(replies, 1)
        return counters

    def _check_batch(self, replies: Replies, number: int) -> dict[str, int]:
        first, images = self.batches[number]
        counters = replies.batch()
        found = self.target.unpack(replies.memory(self.results[number]), images)
        expected = self.expected[first : first + images]
        wrong = np.flatnonzero((found != expected).any(axis=1))
        if len(wrong):
            at = int(wrong[0])
            raise MismatchError(
                f"image {first + at}: the bitstream's result is {found[at].tolist()}, expected "
                f"{expected[at].tolist()}; {len(wrong)} of {images} images differ",
                f"image {first + at}",
            )
        return counters


def _border(address: int) -> int:
    """The next address from `address` on that is 8 bytes before a multiple of 4 KiB."""
    return (address + 8 + 4095) // 4096 * 4096 - 8


def _checksum(halves: np.ndarray) -> int:
    """The register CHECKSUM of words, given as their lower and upper halves in turn."""
    total = 0
    for low, high in halves.reshape(-1, 2).tolist():
        total = (total << 1 & 0xFFFF_FFFF | total >> 31) ^ high ^ low
    return total


def _same(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        shown = [f"{x:#x}" if isinstance(x, int) else x.hex() for x in (found, wanted)]
        raise MismatchError(f"{what} is {shown[0]}, must be {shown[1]}", what)


def roms(design: Any, sources: Path) -> list[Rom]:
    """The memory files of a design and the instances of `rom` that read them."""
    found = []
    for memory in design.memories:
        # hw/rtl/threshold.sv: folded thresholds are read ahead, in a block of that name
        ahead = "gen_read_ahead." if memory.array == "thresholds" and memory.depth > 1 else ""
        instance = f"core.{design.layer_unit(memory.layer).name}.{ahead}u_{memory.array}"
        label = f"layer {memory.layer}, {memory.array}"
        found.append(Rom(label, sources / memory.file, instance))
    return found
