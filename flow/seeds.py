"""`hanbit train --seeds N`: several seeds of a preset trained together, each lowered and measured.

    build/<preset>/seeds/01-train       all students
    build/<preset>/seeds/seed-<k>/      a run of one of them, up to the integer network
    build/<preset>/seeds/report.json    accuracy of each, mean and standard deviation, the chosen

The chosen seed is the best on its validation images; the test images have no say.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from flow import report, runs
from flow.implement import boards
from flow.paths import shown
from flow.pipeline import write_atomically
from flow.stages import Work
from flow.training import TRAIN_SEEDS, Batch
from models import presets

SCHEMA = 1
MEASURES = ("validation", "float", "integer")


def train_seeds(preset: str, board: str, count: int | None, made: Path | None) -> None:
    """Train seeds 0 .. count - 1, lower every student, write the report and print a table.

    With `made` nothing is trained: the students are those that `models.train` left there.
    """
    chosen, device = presets.load(preset), boards.load(board)
    root = runs.BUILD / preset / "seeds"
    if made:
        batch = Batch.brought(chosen, root, made)
    else:
        batch = Batch(chosen, tuple(range(count or 1)), root)
    batch.line.run_to(TRAIN_SEEDS.name)
    reports = []
    for seed in batch.seeds:
        work = Work(
            name=preset,
            root=batch.root / f"seed-{seed}",
            board=device,
            seed=seed,
            hardware=chosen.hardware,
            preset=chosen,
            batch=batch.root,
        )
        reports.append(runs.run(work, "lower", work.root))
    rows = [row(one) for one in reports]
    body = {
        "schema": SCHEMA,
        "preset": preset,
        "commit": report.commit(),
        "seeds": list(batch.seeds),
        "per_seed": rows,
        "chosen": batch.chosen,
        "chosen_by": "validation accuracy",
        "images": reports[0]["accuracy"]["images"],
    } | {measure: spread([r[measure] for r in rows]) for measure in MEASURES}
    path = batch.root / "report.json"
    write_atomically(path, json.dumps(body, indent=1) + "\n")
    print(table(body))
    print(f"report: {shown(path)}")


def row(body: dict[str, Any]) -> dict[str, Any]:
    """One seed's figures, in percent, from the report of its run."""
    accuracy, training = body["accuracy"], body["training"]
    return {
        "seed": body["seed"],
        "validation": training["accuracy"]["validation"],
        "float": accuracy["float"],
        "integer": accuracy["integer"],
        "best_epoch": training["best_epoch"],
        "weights": training["weights"],
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation; that of one value is None."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "sd": deviation}


def shown_spread(found: dict[str, float | None]) -> str:
    """A mean and its standard deviation as text, in percent."""
    if found["sd"] is None:
        return f"{found['mean']:.2f}"
    return f"{found['mean']:.2f} ± {found['sd']:.2f}"


def table(body: dict[str, Any]) -> str:
    """The seeds' accuracies as plain text for the end of the command."""
    lines = [f"{'seed':>5}" + "".join(f"{m:>15}" for m in MEASURES)]
    for r in body["per_seed"]:
        mark = "  chosen" if r["seed"] == body["chosen"] else ""
        lines.append(f"{r['seed']:>5}" + "".join(f"{r[m]:>15.2f}" for m in MEASURES) + mark)
    lines.append(f"{'mean':>5}" + "".join(f"{shown_spread(body[m]):>15}" for m in MEASURES))
    return "\n".join(lines)
