"""`make bench`: lanes, foldings, the shell, training: what they cost and how fast they are.

Writes `folding.json` and `.md` (estimated), `lane_cost.json` and `.md` (synthesised),
`estimate_check.json` and `.md` (estimated and synthesised, layer by layer), `shell.json` and `.md`
(simulated and synthesised, of `FAST`), `report.json` and `training.md` (measured, against Brevitas'
trainer) into one folder. Lanes and foldings are those of a network whose weights are kept in
models/zoo.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from flow.graph import Graph
from flow.lowering import export, lower
from flow.pipeline import say, write_atomically
from flow.rtl import estimate_check, folding, lane_cost
from flow.shell import bench as shell_bench
from models import bench as training
from models import presets, zoo
from models.data import DATASETS

TARGETS = (16, 32, 64, 128, 256, 512, 1024, 4096, 16384)  # cycles an image
IMAGES = 16  # on which the lowering is checked
FAST = "tfc-mnist-fast"  # packed images, folded for throughput; compared with the one it is made of


def bench(preset: str, out: Path) -> None:
    """Measure and print all tables, and write them into `out`."""
    graph = kept_graph(preset)
    out.mkdir(parents=True, exist_ok=True)
    rows = folding.sweep(graph, list(TARGETS))
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
    say("estimates against synthesis, layer by layer; some minutes")
    with tempfile.TemporaryDirectory(prefix="estimate-check-") as folder:
        checked = estimate_check.bench(Path(folder))
    _write(out / "estimate_check", checked, estimate_check.table(checked))
    say("the shell: a batch in RTL simulation, synthesis; some minutes")
    with tempfile.TemporaryDirectory(prefix="shell-") as folder:
        fast, plain = presets.load(FAST).hardware, presets.load(presets.load(FAST).name).hardware
        figures = shell_bench.bench(kept_graph(FAST), fast, plain, Path(folder))
    _write(out / "shell", figures, shell_bench.table(figures))
    say("training speed; a few minutes")
    compared = preset if preset in training.NETWORKS else "tfc-mnist"
    training.write(out, training.bench(compared))


def kept_graph(preset: str) -> Graph:
    """The graph of the zoo's student, lowered on random images: no data set is needed."""
    chosen = presets.load(preset)
    student, shape = zoo.load(chosen), DATASETS[chosen.data.name].shape
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), np.uint8)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        model = Path(folder) / "model.onnx"
        export.export(student, shape, model)
        return lower.lower(model, export.golden(student, images), Path(folder) / "finn.log").graph


def _write(path: Path, body: object, table: str) -> None:
    write_atomically(path.with_suffix(".json"), json.dumps(body, indent=1) + "\n")
    write_atomically(path.with_suffix(".md"), table)
    print(table)
