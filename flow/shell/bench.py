"""Figures of the shell for `make bench`: how fast it feeds a core, what it costs, what a host adds.

- The memory port and a batch, in RTL simulation of the whole programmable logic with the latency
  and the refreshes of `board_sim.DRAM`, by the shell's own counters. All labels are compared.
- LUTs, synthesised: a network with the shell, and its core alone.
- The driver's packing, timed on the CPU that runs this, and what it leaves of the rate of a batch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from flow import reference, stages
from flow.errors import MismatchError
from flow.graph import Graph
from flow.implement import boards
from flow.implement.bitstream import synthesise_sources
from flow.implement.sources import write_sources
from flow.implement.synthesis import synthesise
from flow.paths import ROOT
from flow.pipeline import say, write_atomically
from flow.rtl import codegen, estimate
from flow.shell import layout, packed
from flow.shell.board_sim import DRAM, compile_board, play
from flow.shell.processor import DROP, MEMORY, THROUGH, Script
from models.presets import Hardware

BATCH = 10_000  # images
PORT_WORDS = 4000  # read without the core
REPEATS = 15  # of packing

Drawn = tuple[np.ndarray, str]


def rate(
    graph: Graph, hardware: Hardware, folder: Path, images: int = BATCH, given: Drawn | None = None
) -> dict[str, Any]:
    """A batch through a network on the PYNQ-Z2, and the port without the core.

    given: images (N, C, H, W) and their name; so many random ones by default.
    """
    circuit = stages.circuit(graph, hardware)
    threshold = packed.split(graph)[0] if hardware.packed else None
    design = codegen.generate(circuit, folder / "core")
    board = boards.load("pynq-z2")
    program = compile_board(write_sources(design, board, folder / "board", packed=hardware.packed))
    source, target = layout.of_design(design, hardware.packed)
    if given:
        drawn, name = graph.arrange(given[0]), given[1]
    else:
        shape = (images, *graph.streams[graph.input].shape)
        drawn, name = np.random.default_rng(0).integers(0, 256, shape, np.uint8), "random"
    images = len(drawn)
    pixels = packed.bits(drawn, threshold).reshape(images, -1)
    memory = source.pack(pixels)
    results = MEMORY + -(-memory.size // 4096) * 4096
    alone = max(1, PORT_WORDS // source.words)
    script = Script()
    script.wait("shell.STATUS", 0xFFFF_FFFF, 0)
    script.write("shell.MODE", DROP)
    script.start("idma0", MEMORY, alone)
    script.wait("shell.STATUS", 0xFFFF_FFFF, 0)
    script.counters()
    script.write("shell.MODE", THROUGH)
    script.batch(MEMORY, results, images)
    script.memory(results, images * target.bytes)
    replies = play(program, script, memory, DRAM)
    port = replies.counters()["RUN"]
    counters = replies.batch()
    found = target.unpack(replies.memory(results), images)
    if (wrong := np.flatnonzero(found[:, 0] != _labels(graph, drawn))).size:
        raise MismatchError(
            f"image {wrong[0]}: another label than the model's ({len(wrong)} of {images} differ)",
            "bench",
        )
    words, interval = alone * source.words, estimate.estimate(circuit).interval
    clock = hardware.clock_mhz
    return {
        "stage": "RTL simulation of the whole programmable logic",
        "images": images,
        "which": name,
        "mismatches": 0,
        "memory": DRAM,
        "clock_mhz": clock,
        "words_an_image": source.words,
        "port_words": words,
        "port_cycles": port,
        "port_fill": round(words / port, 4),
        "core_interval_cycles": interval,
        "batch_cycles": counters["RUN"],
        "batch_interval_cycles": round(counters["RUN"] / images, 3),
        "beyond_core_percent": round(100 * (counters["RUN"] / images / interval - 1), 3),
        "images_a_second": round(clock * 1e6 * images / counters["RUN"]),
        "stall_in_cycles": counters["STALL_IN"],
        "stall_out_cycles": counters["STALL_OUT"],
    }


def _labels(graph: Graph, drawn: np.ndarray) -> np.ndarray:
    parts = [drawn[i : i + 1000] for i in range(0, len(drawn), 1000)]
    return np.concatenate(
        [reference.execute(graph, part)[graph.output].reshape(-1) for part in parts]
    )


def cost(graph: Graph, hardware: Hardware, folder: Path) -> dict[str, Any]:
    """LUTs of a network with the PYNQ-Z2's shell, and of its core alone; the shell is the rest."""
    design = codegen.generate(stages.circuit(graph, hardware), folder / "core")
    board = boards.load("pynq-z2")
    whole = synthesise_sources(
        write_sources(design, board, folder / "board", packed=hardware.packed), board.slow
    )
    core = synthesise(
        list(design.files), design.top, {}, design.folder, folder / "yosys.log", board.slow[:1]
    )
    return {
        "stage": "synthesised",
        "whole": whole.area,
        "core": core.area,
        "shell": {kind: whole.area[kind] - core.area[kind] for kind in whole.area},
    }


def packing(description: dict[str, Any], images: int = BATCH) -> dict[str, Any]:
    """Milliseconds in which the driver packs images with random pixels, median and best.

    description: `images` of the .json beside a bitstream.
    """
    sys.path.insert(0, str(ROOT / "hw" / "driver"))
    try:
        from hanbit_board.layout import Images
    finally:
        sys.path.pop(0)
    target = Images(**description)
    pixels = np.random.default_rng(0).integers(0, 256, (images, *target.shape), np.uint8)
    out = np.empty((images, target.bytes), np.uint8)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        target.pack(target.fold(pixels), out)
        times.append(1000 * (time.perf_counter() - start))
    return {
        "stage": "measured on the CPU that ran the bench",
        "images": images,
        "median_ms": round(median(times), 3),
        "best_ms": round(min(times), 3),
    }


def bench(
    graph: Graph, fast: Hardware, plain: Hardware, folder: Path, given: Drawn | None = None
) -> dict[str, Any]:
    """All figures of one network, packed and folded for throughput (`fast`), and as its preset has
    it (`plain`). What `folder` has of them from before is kept."""
    threshold, circuit = packed.split(graph)[0], stages.circuit(graph, fast)
    elements = circuit.layers[0].in_parallel
    shape = graph.streams[graph.input].shape
    beats = int(np.prod(shape)) // elements
    images = {"shape": shape, "elements": elements, "beats": beats, "threshold": threshold}
    found = {
        "rate": _kept(folder / "rate", lambda at: rate(graph, fast, at, given=given)),
        "cost": _kept(folder / "cost", lambda at: cost(graph, plain, at)),
        "packing": packing(images | {"bits": 1, "memory_bits": 1}),
    }
    return found | {"end_to_end": end_to_end(found["rate"], found["packing"])}


def _kept(folder: Path, measure: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What was measured in a folder, now or before."""
    file = folder / "found.json"
    if not file.is_file():
        say(f"  {folder.name}; some minutes")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(measure(folder), indent=1) + "\n")
    return json.loads(file.read_text())


def end_to_end(batch: dict[str, Any], pack: dict[str, Any]) -> dict[str, Any]:
    """A batch whose images are packed first, one after the other."""
    seconds = batch["batch_cycles"] / (batch["clock_mhz"] * 1e6)
    packing_seconds = pack["median_ms"] / 1000 * batch["images"] / pack["images"]
    return {
        "stage": "RTL simulation of the batch, and packing on the CPU that ran the bench",
        "batch_ms": round(1000 * seconds, 3),
        "packing_ms": round(1000 * packing_seconds, 3),
        "images_a_second": round(batch["images"] / (seconds + packing_seconds)),
    }


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    r, c, p, e = (found[key] for key in ("rate", "cost", "packing", "end_to_end"))
    memory = ", ".join(f"{key} {value}" for key, value in r["memory"].items())
    rows = [
        ("HP port while reading", f"{100 * r['port_fill']:.1f} % of 8 bytes a cycle", r["stage"]),
        (
            f"batch of {r['images']}",
            f"{r['batch_interval_cycles']} cycles an image, {r['beyond_core_percent']} % more than "
            f"the core's {r['core_interval_cycles']}: {r['images_a_second'] / 1e6:.2f} M images/s "
            f"at {r['clock_mhz']:g} MHz",
            r["stage"],
        ),
        ("shell", f"{c['shell']['lut']} LUT, {c['shell']['dsp']} DSP", c["stage"]),
        ("network with shell", f"{c['whole']['lut']} LUT", c["stage"]),
        (f"packing {p['images']} images", f"{p['median_ms']} ms, best {p['best_ms']}", p["stage"]),
        (
            "batch with packing before it",
            f"{e['packing_ms']} + {e['batch_ms']} ms: {e['images_a_second'] / 1e6:.2f} M images/s",
            e["stage"],
        ),
    ]
    lines = ["| figure | value | how |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {how} |" for name, value, how in rows]
    labels = f"{r['mismatches']} of {r['images']} labels differ from the model's ({r['which']})."
    return "\n".join([*lines, "", f"Memory in cycles: {memory}. {labels}"]) + "\n"
