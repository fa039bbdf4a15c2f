"""`make bench`: what a binary lane costs, and what other foldings of a network would cost.

Writes `lane_cost.json` and `.md` (synthesised) and `folding.json` and `.md` (estimated) into one
folder. The network is one whose weights are kept in models/zoo, so nothing is trained.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from flow.errors import UserError
from flow.graph import Graph
from flow.pipeline import say, write_atomically
from flow.readme import ZOO
from flow.rtl import folding, lane_cost

TARGETS = (16, 32, 64, 128, 256, 512, 1024, 4096, 16384)  # cycles an image


def bench(preset: str, out: Path) -> None:
    """Measure and print both tables, and write them into `out`."""
    kept = ZOO / preset
    if not (kept / "graph.json").is_file():
        there = ", ".join(sorted(p.parent.name for p in ZOO.glob("*/graph.json")))
        raise UserError(f"no weights of {preset!r} in models/zoo; there are {there or 'none'}")
    out.mkdir(parents=True, exist_ok=True)
    rows = folding.sweep(Graph.load(kept), list(TARGETS))
    found = [
        {
            "target_cycles": target,
            "stage": "estimated, the core without its shell",
            "interval_cycles": estimated.interval,
            "latency_cycles": estimated.latency,
            "lut": round(estimated.area.lut),
            "ff": round(estimated.area.ff),
            "bram36": estimated.area.bram36,
            "folding": graph.folding,
        }
        for target, graph, estimated in rows
    ]
    _write(out / "folding", found, folding.sweep_table(rows) + "\n")
    say("synthesis of single lanes and units; some minutes")
    with tempfile.TemporaryDirectory(prefix="lane-cost-") as folder:
        costs = lane_cost.bench(Path(folder), lane_cost.SIZES)
    _write(out / "lane_cost", costs, lane_cost.table(costs))


def _write(path: Path, body: object, table: str) -> None:
    write_atomically(path.with_suffix(".json"), json.dumps(body, indent=1) + "\n")
    write_atomically(path.with_suffix(".md"), table)
    print(table)
