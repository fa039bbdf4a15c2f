"""The picture of a training run, from the history in its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

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


def draw(history: list[dict[str, Any]], title: str, path: Path) -> None:
    """Write losses, accuracies, both entropies, their distance and the temperature as a PNG.

    `history`: one dictionary an epoch, with the keys of `STYLES`.
    """
    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    for axis, (label, keys) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for key in keys:
            name, colour, line = STYLES[key]
            axis.plot(epochs, [row[key] for row in history], line, color=colour, label=name)
        axis.set(xlabel="epoch", ylabel=label)
        axis.grid(alpha=0.3)
        axis.legend()
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", dpi=100)
    part.replace(path)
