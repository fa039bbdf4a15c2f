"""Prove a finished bitstream: block RAM contents, and the netlist rebuilt from it beside the RTL.

`check_memories` compares every block RAM in the .bit with the memory files it was made from.
`replay` rebuilds the netlist from the FASM, plays the same register accesses on it and on the RTL,
and compares every output to the processing system in every cycle; what both answer must be the
labels of the integer reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flow import bram, netlist, netlist_sim
from flow.boards import Board
from flow.codegen import Design
from flow.errors import MismatchError

CORE = "core"  # the instance of `top` in every shell
REGISTERS = 0x43C0_0000  # hw/rtl/shell_registers.sv holds the table
STATUS, DATA_IN, RESULT = (REGISTERS + offset for offset in (0x0C, 0x10, 0x14))
READY, VALID = 1, 2  # bits of STATUS: DATA_IN takes a word, RESULT holds one
FIXED, WORD, ALL_BYTES, TRIES = 0, 2, 15, 0x400
LONGEST_BURST = 16  # words, AXI3


def check_memories(design: Design, board: Board, implemented: Path, seed: int) -> bram.BramCheck:
    """Compare the block RAMs of the .bit with the design's memory files.

    implemented: what flow.bitstream.build wrote; seed: of the run of nextpnr that was kept.
    Raises MismatchError that names layer and word.
    """
    roms = []
    for memory in design.memories:
        unit = design.layer_unit(memory.layer)
        # flow/graph.py's arrays are named like the instances of `rom` in hw/rtl.
        block = "" if memory.array == "weights" or memory.depth == 1 else "gen_read_ahead."
        rom = f"{CORE}.{unit.name}.{block}u_{memory.array}"
        file = implemented / "sources" / memory.file
        roms.append(bram.Rom(f"layer {memory.layer}, {memory.array}", file, rom))
    return bram.check_bram(
        implemented / "design.bit",
        board.part,
        implemented / f"seed-{seed}" / "routed.json",
        implemented / "sources" / "netlist.json",
        roms,
    )


def replay(
    design: Design,
    board: Board,
    implemented: Path,
    beats: np.ndarray,
    labels: np.ndarray,
    build: int,
    folder: Path,
) -> dict[str, Any]:
    """Play images on the netlist of the bitstream and on the RTL; both must answer `labels`.

    beats: the images as bytes (N, in_beats, in_bits / 8), as a program on the board would push
    them. implemented: what flow.bitstream.build wrote; build: the hash it was given. Returns
    report figures; raises MismatchError at the first cycle, signal or label that differs.
    """
    extracted = netlist.extract(implemented / "design.fasm", board.part, folder / "netlist.v")
    names = [*design.files, *(path.name for path in board.sources)]
    for memory in design.memories:
        (folder / memory.file).write_bytes((implemented / "sources" / memory.file).read_bytes())
    run = netlist_sim.simulate_netlist(
        extracted,
        [implemented / "sources" / name for name in names],
        {"IN_BITS": design.in_bits, "OUT_BITS": design.out_bits, "BUILD": build},
        "\n".join(script(beats)) + "\n",
        folder,
    )
    answers = [line.split() for line in run.replies if line.startswith("r ")]
    found = np.array([int(words[2], 16) for words in answers])
    if not np.array_equal(found, labels):
        image = int(np.argmax(found != labels)) if len(found) == len(labels) else len(found)
        raise MismatchError(
            f"the bitstream's netlist and the RTL agree, but image {image} is not labelled "
            "as by the integer reference",
            f"image {image}",
        )
    return {
        "images": len(labels),
        "cycles": run.cycles,
        "mismatches": 0,
        "cells": dict(sorted(extracted.cells.items())),
    }


def script(beats: np.ndarray) -> list[str]:
    """Commands of hw/sim/ps7_model.sv that push images beat by beat and read each result."""
    lines = []
    for image in beats:
        for beat in image:
            lines.append(f"p {STATUS:x} {READY:x} {READY:x} {TRIES:x}")
            padded = bytes(beat) + bytes(-len(beat) % 4)
            words = [f"{word:x}" for word in np.frombuffer(padded, "<u4")]
            for at in range(0, len(words), LONGEST_BURST):
                part = words[at : at + LONGEST_BURST]
                head = f"w {DATA_IN:x} {FIXED:x} {WORD:x} {ALL_BYTES:x} {len(part):x}"
                lines.append(f"{head} {' '.join(part)}")
        lines.append(f"p {STATUS:x} {VALID:x} {VALID:x} {TRIES:x}")
        lines.append(f"r {RESULT:x} {FIXED:x} {WORD:x} 1")
    return lines
