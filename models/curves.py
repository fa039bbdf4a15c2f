"""Pictures of a training run, from the history in its report.

`history` is one dictionary an epoch; each of its measures is a list of one value a seed, or None
where there is nothing to measure. Thin lines are seeds, the thick one is their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

History = Sequence[dict[str, Any]]

PANELS = (
    ("loss", ("student_loss", "teacher_loss")),
    ("accuracy, %", ("student_train", "student_validation", "teacher_validation")),
    ("normalised entropy", ("teacher_entropy", "student_entropy", "distance")),
    ("temperature", ("temperature",)),
)
STYLES = {
    "student_loss": ("student", "C0", "-"),
    "teacher_loss": ("teacher", "C1", "-"),
    "student_train": ("student, training", "C0", ":"),
    "student_validation": ("student, validation", "C0", "-"),
    "teacher_validation": ("teacher, validation", "C1", "-"),
    "teacher_entropy": ("teacher", "C1", "-"),
    "student_entropy": ("student", "C0", "-"),
    "distance": ("distance", "C2", "--"),
    "temperature": ("temperature", "C3", "-"),
}
OF_DISTILLATION = ("teacher_entropy", "distance", "temperature")


def values(history: History, key: str) -> np.ndarray | None:
    """A measure as (epochs, seeds), or None where the run did not have it.

    Without distillation (alpha = 0 throughout) there is no teacher to look at; a measure that is 0
    from beginning to end (the loss of a frozen teacher, the distance of a fixed T) was not taken.
    """
    if key in OF_DISTILLATION and not any(np.any(row["alpha"]) for row in history):
        return None
    if any(row[key] is None for row in history):
        return None
    found = np.array([row[key] for row in history], float)
    return found if found.any() else None


def panel(axis: Axes, history: History, label: str, keys: Sequence[str]) -> None:
    """The measures `keys` over the epochs, on one axis."""
    epochs = [row["epoch"] for row in history]
    for key in keys:
        found = values(history, key)
        if found is None:
            continue
        name, colour, line = STYLES[key]
        if found.shape[1] > 1:
            axis.plot(epochs, found, line, color=colour, linewidth=0.6, alpha=0.35)
        axis.plot(epochs, found.mean(1), line, color=colour, label=name)
    axis.set(xlabel="epoch", ylabel=label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend()


def draw(history: History, title: str, path: Path) -> None:
    """Write losses, accuracies, both entropies, their distance and the temperature as a PNG."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(title)
    for axis, (label, keys) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        panel(axis, history, label, keys)
    save(figure, path)


def draw_adaptation(history: History, title: str, path: Path) -> None:
    """Write how the temperature went from soft to hard, and the entropies it followed, as a PNG."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subplots(2, 1, sharex=True)
    panel(upper, history, *PANELS[2])
    panel(lower, history, "temperature T", ("temperature",))
    upper.set(xlabel="", ylim=(0, None))
    lower.set(ylim=(0.5, None))
    for height, text, side in ((1, "soft\nlabels", "top"), (0, "hard\nlabels", "bottom")):
        lower.text(1.01, height, text, va=side, color="0.4", transform=lower.transAxes)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG; a reader never sees half of it."""
    part = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(part, format="png", dpi=100)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
