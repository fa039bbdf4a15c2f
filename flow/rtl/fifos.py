"""Depths of the FIFOs between layers, from simulation.

`glue.py` gives a unit that works longer on a vector than it reads it a FIFO for all of it, which
is always enough. How many beats really wait depends on when they come, so `size` looks:

1. A few images through a design with FIFOs of twice that depth, free-running: the interval to keep.
2. The same images, each offered one interval after the one before. Offered earlier, as they are in
   a free run, images fill every FIFO in front of the slowest layer, whatever its depth; like this
   only what is needed is held. With one place more than was ever held, since a full FIFO takes
   nothing in the cycle in which a beat leaves it, this run would be the same, cycle for cycle.
3. The proof: the design with FIFOs of these depths, free-running, has the same interval.

Every run is compared with the integer reference like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import MismatchError
from flow.graph import Graph, MatrixVector
from flow.pipeline import say
from flow.rtl.codegen import Design, generate
from flow.rtl.simulate import simulate

STAGE = "RTL simulation of the core"
IMAGES = 12
LEAST = 2  # words of a FIFO


@dataclass(frozen=True)
class Sized:
    """`graph`: with the depths found. `rows`: one for each FIFO, beats and bits a beat."""

    graph: Graph
    rows: tuple[dict[str, Any], ...]
    interval: float  # cycles an image, before and after

    def report(self) -> dict[str, Any]:
        """As it goes into fold.json."""
        return {
            "stage": STAGE,
            "images": IMAGES,
            "interval_cycles": self.interval,
            "fifos": self.rows,
        }


def size(graph: Graph, folder: Path, seed: int = 0) -> Sized:
    """Size the FIFOs in front of the matrix-vector units of a folded graph, working in `folder`.

    Raises MismatchError where the depths found do not keep the interval.
    """
    before = {u.layer: u for u in _fifos(graph, generate(graph, folder / "formula"))}
    if not before:
        return Sized(graph, (), 0.0)
    deep = {name: {"fifo": 2 * int(unit.parameters["DEPTH"])} for name, unit in before.items()}
    generous = graph.with_folding(deep)
    images = _images(graph, seed)
    say("  simulation with deep FIFOs")
    design = generate(generous, folder / "deep")
    interval = simulate(design, generous, images).interval_cycles
    assert interval is not None
    paced = simulate(design, generous, images, pace=ceil(interval))
    rows = []
    for unit in _fifos(generous, design):
        held = paced.held[unit.name]
        vector = int(before[unit.layer].parameters["DEPTH"])
        depth = min(vector, max(LEAST, held + 1))
        bits = int(unit.parameters["WIDTH"])
        rows.append(
            {"layer": unit.layer, "bits": bits, "vector": vector, "held": held, "depth": depth}
        )
    found = graph.with_folding({row["layer"]: {"fifo": row["depth"]} for row in rows})
    say("  simulation with the depths found")
    after = simulate(generate(found, folder / "sized"), found, images).interval_cycles
    if after != interval:
        raise MismatchError(
            f"with FIFOs of {', '.join(str(row['depth']) for row in rows)} beats an image takes "
            f"{after} cycles, with deep ones {interval}",
            "FIFOs",
        )
    return Sized(found, tuple(rows), interval)


def _fifos(graph: Graph, design: Design) -> list[Any]:
    """The FIFOs of a design that stand in front of matrix-vector units."""
    return [
        unit
        for unit in design.units
        if unit.module == "axis_fifo" and isinstance(graph.layer(unit.layer), MatrixVector)
    ]


def _images(graph: Graph, seed: int) -> np.ndarray:
    """Random images (IMAGES, *input shape) over the range of the input."""
    stream = graph.streams[graph.input]
    low, high = int(stream.type.min()), int(stream.type.max())
    drawn = np.random.default_rng(seed).integers(low, high + 1, (IMAGES, *stream.shape))
    return drawn.astype(np.int32)


def table(report: dict[str, Any]) -> str:
    """The depths in Markdown."""
    lines = [
        "| FIFO in front of | bits a beat | a vector, beats | most held | depth |",
        "|---" * 5 + "|",
    ]
    lines += [
        f"| {r['layer']} | {r['bits']} | {r['vector']} | {r['held']} | {r['depth']} |"
        for r in report["fifos"]
    ]
    end = f"{report['interval_cycles']:g} cycles an image with these depths as with deep ones"
    return "\n".join([*lines, "", f"{end} ({report['stage']}, {report['images']} images)."]) + "\n"
