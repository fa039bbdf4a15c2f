"""The pictures of a study, from its report, and of one run, from that run's report.

    python -m models.study_figures build/tfc-mnist/study/report.json
    python -m models.study_figures .../runs/relative-<digest>/report.json --seed 0 --out one.png

The first draws all but `adaptation.png` anew; the second is how that one is made.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flow.errors import UserError
from models import curves
from models.study_report import CURVES, pictures

BLUE, AMBER, GREY = "#2f6fdb", "#d98e04", "#8a97a6"
LABELS = ("temperature T", "teacher's entropy", "student's entropy", "distance")


def draw(report: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures of a study, but that of one run, into its folder."""
    accuracy(report, folder / "accuracy.png")
    if "differences.png" in pictures(report):
        differences(report, folder / "differences.png")
    calibration(report, folder / "calibration.png")
    all_curves(report, folder / "curves.png")
    cost(report, folder / "cost.png")


def differences(report: Mapping[str, Any], path: Path) -> None:
    """Each arm minus the tuned fixed T: a dot a seed, the mean and its interval."""
    rows = [row for row in report["comparisons"] if row["group"] == "arms"]
    figure, axis = _lanes(len(rows))
    for lane, row in enumerate(rows):
        values = row["differences"]
        axis.plot(values, [lane + 0.18] * len(values), "o", color=GREY, markersize=3.5)
        low, high = row["interval"] or (row["mean"], row["mean"])
        axis.plot([low, high], [lane - 0.12] * 2, color=BLUE, linewidth=2)
        axis.plot(row["mean"], lane - 0.12, "D", color=BLUE, markersize=5)
    axis.axvline(0, color="0.3", linewidth=0.8)
    _name(axis, [row["a"] for row in rows])
    axis.set_xlabel(
        f"test accuracy over {rows[0]['b']}, points: seeds (dots), mean with 95 % interval"
    )
    curves.save(figure, path)


def accuracy(report: Mapping[str, Any], path: Path) -> None:
    """Test accuracy of every run, the mean as a bar; crosses where it was reckoned in integers."""
    figure, axis = _lanes(len(report["arms"]))
    for lane, arm in enumerate(report["arms"].values()):
        values = arm["accuracy"]
        spread = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else [0]
        axis.plot(values, lane + np.asarray(spread), "o", color=BLUE, markersize=4)
        axis.plot([np.mean(values)] * 2, [lane - 0.35, lane + 0.35], color=AMBER, linewidth=2)
        if arm["integer"]:
            axis.plot(arm["integer"], lane + np.asarray(spread), "x", color="k", markersize=4)
    _name(axis, list(report["arms"]))
    axis.set_xlabel("test accuracy, %: seeds (dots), integer network (crosses), mean (bar)")
    curves.save(figure, path)


def calibration(report: Mapping[str, Any], path: Path) -> None:
    """ECE and NLL, as trained and after temperature scaling; means over seeds."""
    names = list(report["calibration"])
    figure = Figure(figsize=(11, _height(len(names))), layout="constrained")
    for axis, key, label, unit in zip(
        figure.subplots(1, 2, sharey=True),
        ("ece", "nll"),
        ("expected calibration error, %", "negative log likelihood, nats"),
        (100, 1),
        strict=True,
    ):
        for offset, suffix, colour, title in (
            (-0.19, "", GREY, "as trained"),
            (0.19, "_scaled", BLUE, "temperature scaled on validation"),
        ):
            means = [unit * np.mean(report["calibration"][n][key + suffix]) for n in names]
            axis.barh(np.arange(len(names)) + offset, means, 0.36, color=colour, label=title)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3, axis="x")
        _name(axis, names)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=8)
    curves.save(figure, path)


def all_curves(report: Mapping[str, Any], path: Path) -> None:
    """T where it moves, both entropies, and the distance, over the epochs; means over seeds."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    drawn: dict[str, Any] = {}
    for axis, key, label in zip(figure.subplots(2, 2).flat, CURVES, LABELS, strict=True):
        for i, (name, arm) in enumerate(report["arms"].items()):
            found = arm["curves"][key]
            if found and not (key == "temperature" and min(found) == max(found)):
                style = {"color": colours[i % 20], "linestyle": ("-", "--")[i // 20 % 2]}
                (line,) = axis.plot(range(1, len(found) + 1), found, linewidth=1.3, **style)
                drawn.setdefault(name, line)
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    if drawn:
        figure.legend(drawn.values(), drawn, loc="outside right upper", fontsize=8)
    curves.save(figure, path)


def cost(report: Mapping[str, Any], path: Path) -> None:
    """Seconds of training for a seed."""
    names = list(report["cost"])
    figure, axis = _lanes(len(names))
    seconds = [report["cost"][name]["seconds_a_seed"] for name in names]
    axis.barh(range(len(names)), seconds, 0.6, color=BLUE)
    _name(axis, names)
    axis.set_xlabel("seconds of training a seed (all seeds of an arm in one batch)")
    curves.save(figure, path)


def one_run(run: Mapping[str, Any], seed: int, path: Path) -> None:
    """Both entropies, their distance and T of one seed of a run, from the run's report."""
    if seed not in run["seeds"]:
        raise UserError(f"no seed {seed} in that run; there are {run['seeds']}")
    place = run["seeds"].index(seed)
    rows = [
        {k: [v[place]] if isinstance(v, list) else v for k, v in row.items()}
        for row in run["history"]
    ]
    mode = run["options"]["distillation"]["mode"]
    curves.draw_adaptation(rows, f"{run['preset']}, {mode} teacher, seed {seed}", path)


def _height(lanes: int) -> float:
    return 1.2 + 0.3 * lanes


def _lanes(count: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, _height(count)), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3, axis="x")
    return figure, axis


def _name(axis: Axes, names: list[str]) -> None:
    """Names of the lanes, the first on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the pictures of a study, or of one run.")
    parser.add_argument("report", type=Path, help="report.json of a study or of a run")
    parser.add_argument("--seed", type=int, help="of a run; default its first")
    parser.add_argument("--out", type=Path, help="PNG of a run; default beside the report")
    options = parser.parse_args()
    try:
        report = json.loads(options.report.read_text())
    except (OSError, ValueError) as error:
        print(f"error: {options.report}: {error}", file=sys.stderr)
        return 2
    try:
        if "arms" in report:
            draw(report, options.report.parent)
        else:
            seed = report["seeds"][0] if options.seed is None else options.seed
            one_run(report, seed, options.out or options.report.with_name("adaptation.png"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
