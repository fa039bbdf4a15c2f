"""Prove a finished bitstream: block RAM contents, and the extracted netlist against the RTL.

The .bit file has been read back by then (flow.implement.bitstream): it holds what the FASM says.
What is left to show is that the FASM is the design. Test images go through the whole programmable
logic twice, as RTL and as the netlist extracted from the FASM, over the registers the processor
uses; every signal that reaches the processing system must agree in every cycle, and every result
must be the expected.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flow.bits import netlist
from flow.bits.bram import Rom, check_bram
from flow.bits.netlist_sim import simulate_netlist
from flow.errors import MismatchError


class Stream(Protocol):
    """What is needed of flow.rtl.codegen.Tap: elements of `bits` bits, `parallel` a beat."""

    @property
    def bits(self) -> int: ...
    @property
    def parallel(self) -> int: ...
    @property
    def beats(self) -> int: ...


class Design(Protocol):
    """What is needed of flow.rtl.codegen.Design."""

    @property
    def in_bits(self) -> int: ...
    @property
    def out_bits(self) -> int: ...
    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def taps(self) -> tuple[Any, ...]: ...
    @property
    def memories(self) -> tuple[Any, ...]: ...
    def layer_unit(self, layer: str) -> Any: ...


# Registers of hw/rtl/shell_registers.sv at their address on M_AXI_GP0.
_BASE = 0x43C0_0000
_ID, _STATUS, _DATA_IN, _RESULT = _BASE, _BASE + 0x0C, _BASE + 0x10, _BASE + 0x14
_TAKES, _HOLDS = 1, 2  # bits of STATUS
_TRIES = 10_000  # polls before an image counts as lost
_BURST = 16  # words; the most that AXI3 allows


def prove(
    design: Design,
    board: Any,
    folder: Path,
    placed: Path,
    build_hash: int,
    images: np.ndarray,
    expected: np.ndarray,
    work: Path | None = None,
) -> dict[str, Any]:
    """Prove the bitstream in a folder of implement.bitstream; the report section, or MismatchError.

    folder: holds design.bit, design.fasm and sources/. placed: nextpnr's netlist after routing.
    build_hash: the design's, which the shell shows. images: (N, elements of an image) or any shape
    that flattens to it; expected: (N, elements of an output), the results wanted. work: where the
    netlist and its simulation go, folder/proof if None.
    """
    sources = folder / "sources"
    contents = check_bram(
        folder / "design.bit", board.part, placed, sources / "netlist.json", roms(design, sources)
    )
    work = work or folder / "proof"
    work.mkdir(parents=True, exist_ok=True)
    extracted = netlist.extract(folder / "design.fasm", board.part, work / "netlist.v")
    for memory in design.memories:
        shutil.copyfile(sources / memory.file, work / memory.file)
    inputs = words(images, design.taps[0], design.in_bits)
    outputs = words(expected, design.taps[-1], design.out_bits)
    rtl = [sources / name for name in design.files] + [
        sources / path.name for path in board.sources
    ]
    run = simulate_netlist(
        extracted,
        rtl,
        {"IN_BITS": design.in_bits, "OUT_BITS": design.out_bits, "BUILD": build_hash},
        script(inputs, outputs.shape[1:]),
        work,
    )
    check_replies(run.replies, outputs)
    return {
        "images": len(images),
        "cycles": run.cycles,
        "cells": dict(extracted.cells),
        "block_ram_bits": contents.bits,
        "block_ram_memories": contents.memories,
    }


def roms(design: Design, sources: Path) -> list[Rom]:
    """The memory files of a design and the instances of `rom` that read them."""
    found = []
    for memory in design.memories:
        # hw/rtl/threshold.sv: folded thresholds are read ahead, in a block of that name
        ahead = "gen_read_ahead." if memory.array == "thresholds" and memory.depth > 1 else ""
        instance = f"core.{design.layer_unit(memory.layer).name}.{ahead}u_{memory.array}"
        label = f"layer {memory.layer}, {memory.array}"
        found.append(Rom(label, sources / memory.file, instance))
    return found


def words(tensor: np.ndarray, stream: Stream, width: int) -> np.ndarray:
    """Elements as the shell's registers take them: uint32 (N, beats, words of a beat).

    Element 0 of a beat is in the lowest bits; a beat is padded to `width` bits, then to words.
    """
    count = stream.beats * stream.parallel
    elements = tensor.reshape(len(tensor), -1).astype("<i8")
    padded = np.zeros((len(tensor), count), "<i8")
    padded[:, : elements.shape[1]] = elements
    as_bytes = padded.reshape(-1, 1).view(np.uint8)
    bits = np.unpackbits(as_bytes, axis=1, bitorder="little")[:, : stream.bits]
    beats = bits.reshape(len(tensor), stream.beats, stream.parallel * stream.bits)
    total = -(-width // 32) * 32
    room = np.zeros((*beats.shape[:2], total), np.uint8)
    room[..., : beats.shape[2]] = beats
    return np.packbits(room, axis=2, bitorder="little").view("<u4")


def script(inputs: np.ndarray, result: Sequence[int]) -> str:
    """Commands for hw/sim/ps7_model.sv: push each image, wait for its result, read it.

    inputs: (N, beats, words); result: beats and words of a result.
    """
    lines = [f"r {_ID:x} 1 2 1"]
    beats, size = result
    for image in inputs:
        for beat in image:
            lines.append(f"p {_STATUS:x} {_TAKES:x} {_TAKES:x} {_TRIES:x}")
            for start in range(0, len(beat), _BURST):
                part = beat[start : start + _BURST]
                data = " ".join(f"{word:x}" for word in part)
                lines.append(f"w {_DATA_IN:x} 0 2 f {len(part):x} {data}")
        for _ in range(beats):
            lines.append(f"p {_STATUS:x} {_HOLDS:x} {_HOLDS:x} {_TRIES:x}")
            lines += [f"r {_RESULT:x} 1 2 1"] * size
    return "\n".join(lines) + "\n"


def check_replies(replies: Sequence[str], outputs: np.ndarray) -> None:
    """Compare what was read with the expected results, (N, beats, words)."""
    read = [int(reply.split()[2], 16) for reply in replies if reply.startswith("r ")]
    if read[0] != 0x686E_6231:
        raise MismatchError(f"the shell's ID reads {read[0]:08x}", "ID")
    results = np.array(read[1:], np.uint32).reshape(outputs.shape)
    wrong = np.flatnonzero((results != outputs).any(axis=(1, 2)))
    if len(wrong):
        first = int(wrong[0])
        raise MismatchError(
            f"image {first}: the bitstream's result is {results[first].ravel()[0]:x}, expected "
            f"{outputs[first].ravel()[0]:x}; {len(wrong)} of {len(results)} images differ",
            f"image {first}",
        )
