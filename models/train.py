"""Online distillation: a float teacher and a binary student learn together, side by side.

    python -m models.train --preset mlp-digits --seed 0 --out build/mlp-digits/01-train

Both networks see the same batch. The teacher learns from the labels; the student from the labels
and from the teacher's outputs, softened by a temperature that is chosen anew in every step
(`models.temperature`). The student of the best validation accuracy is kept, and the test images are
looked at once, at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from flow.errors import UserError
from models import checkpoint, curves, data, losses, presets, students, teachers, temperature
from models.presets import Preset

EVALUATION_BATCH = 1000


class Run:
    """Everything that changes while training, so that it can be saved and taken up again."""

    def __init__(self, preset: Preset, seed: int, device: torch.device):
        torch.manual_seed(seed)
        options = preset.training
        self.student = students.build(preset).to(device)
        self.teacher = teachers.build(preset).to(device)
        self.student_optimiser = torch.optim.Adam(
            self.student.parameters(), lr=options.learning_rate, fused=True
        )
        self.teacher_optimiser = torch.optim.AdamW(
            self.teacher.parameters(),
            lr=options.teacher_learning_rate,
            weight_decay=options.teacher_weight_decay,
            fused=True,
        )
        self.temperature = temperature.build(preset.distillation.temperature)
        self.order = torch.Generator().manual_seed(seed)  # of the images, its own stream
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"epoch": 0, "validation": -1.0, "student": {}}
        self.seconds = 0.0

    def close_epoch(self, row: dict[str, Any], seconds: float) -> None:
        """Add an epoch to the history; remember the student if none before was better."""
        self.history.append(row)
        self.seconds += seconds
        if row["student_validation"] > self.best["validation"]:
            state = {k: v.clone() for k, v in self.student.state_dict().items()}
            best = {"epoch": row["epoch"], "validation": row["student_validation"]}
            self.best = best | {"student": state}

    @property
    def _parts(self) -> dict[str, Any]:
        return {
            "student": self.student,
            "teacher": self.teacher,
            "student_optimiser": self.student_optimiser,
            "teacher_optimiser": self.teacher_optimiser,
            "temperature": self.temperature,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "random": random_state(),
            "order": self.order.get_state(),
            "history": self.history,
            "best": self.best,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        restore_random_state(state["random"])
        self.order.set_state(state["order"])
        self.history, self.best = state["history"], state["best"]
        self.seconds = state["seconds"]


def train(preset: Preset, seed: int, folder: Path, resume: bool = True) -> dict[str, Any]:
    """Train the preset's student; return the report that is also written.

    Writes `student.pt`, `report.json` and `curves.png` to `folder`, and after each epoch
    `checkpoint.pt`, from which an interrupted run goes on with the numbers it would have had.
    A finished folder is not trained again. `resume=False` starts anew in any case. `UserError` on
    bad data, a checkpoint of another preset or seed, or a loss that is not finite.
    """
    fingerprint = preset.fingerprint(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if resume and (report := finished(folder, fingerprint)):
        return report
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    splits = data.load(preset.data.name, seed)
    training, validation = (on_device(s, device) for s in (splits.train, splits.validation))
    saved = folder / "checkpoint.pt"
    with threads(preset.training.threads):
        run = Run(preset, seed, device)
        if resume and saved.is_file():
            run.load_state_dict(checkpoint.load(saved, fingerprint))
        epochs, size = preset.training.epochs, len(splits.train)
        with progress(epochs * size, len(run.history) * size) as bar:
            for epoch in range(len(run.history) + 1, epochs + 1):
                start = time.monotonic()
                row = one_epoch(preset, run, epoch, training, bar)
                row["student_validation"] = accuracy(run.student, *validation)
                row["teacher_validation"] = accuracy(run.teacher, *validation)
                run.close_epoch(row, time.monotonic() - start)
                checkpoint.save(saved, fingerprint, run.state_dict())
                bar.set_postfix_str(
                    f"epoch {epoch}/{epochs}, validation {row['student_validation']:.2f} % "
                    f"(best {run.best['validation']:.2f}), T {row['temperature']:.2f}",
                    refresh=False,
                )
        run.student.load_state_dict(run.best["student"])
        test = on_device(splits.test, device)  # the one look at the test images
        report = {
            "schema": 1,
            "preset": preset.name,
            "seed": seed,
            "fingerprint": fingerprint,
            "device": device.type,
            "threads": torch.get_num_threads(),
            "images": {k: len(getattr(splits, k)) for k in ("train", "validation", "test")},
            "accuracy": {
                "validation": run.best["validation"],
                "test": accuracy(run.student, *test),
                "teacher_test": accuracy(run.teacher, *test),
            },
            "epochs": epochs,
            "best_epoch": run.best["epoch"],
            "seconds": round(run.seconds, 1),
            "history": run.history,
        }
    state = {k: v.cpu() for k, v in run.student.state_dict().items()}
    checkpoint.save(folder / "student.pt", fingerprint, {"preset": preset.name, "student": state})
    curves.draw(run.history, f"{preset.name}, seed {seed}", folder / "curves.png")
    checkpoint.write_json(folder / "report.json", report)  # last: its presence says all is there
    saved.unlink(missing_ok=True)
    return report


def one_epoch(
    preset: Preset, run: Run, epoch: int, training: tuple[Tensor, Tensor], bar: tqdm
) -> dict[str, Any]:
    """Show both networks every training image once (a last, smaller batch is left out).

    Returns the epoch's row of the history: means over the epoch's steps.
    """
    options, distillation = preset.training, preset.distillation
    images, labels = training
    size = min(options.batch_size, len(labels))
    per_epoch = len(labels) // size
    steps = options.epochs * per_epoch
    order = torch.randperm(len(labels), generator=run.order).to(labels.device)
    run.student.train()
    run.teacher.train()
    sums: dict[str, float] = {}
    for index in range(per_epoch):
        step = (epoch - 1) * per_epoch + index
        rate = schedule(step, steps, options.warmup_epochs * per_epoch)
        run.student_optimiser.param_groups[0]["lr"] = rate * options.learning_rate
        run.teacher_optimiser.param_groups[0]["lr"] = rate * options.teacher_learning_rate
        rows = order[index * size : (index + 1) * size]
        batch, target = as_input(images[rows]), labels[rows]

        taught, learnt = run.teacher(batch), run.student(batch)
        seen = temperature.Observation(taught.detach(), learnt.detach(), step, steps)
        softness = run.temperature(seen)
        teacher_loss = losses.teacher_loss(taught, target)
        student_loss = losses.student_loss(
            student=learnt,
            teacher=taught.detach(),
            labels=target,
            temperature=softness,
            alpha=distillation.alpha,
            beta=distillation.beta,
        )
        if not torch.isfinite(student_loss + teacher_loss):
            raise UserError(
                f"the loss is not finite in epoch {epoch}, step {index + 1}; the checkpoint of "
                f"epoch {epoch - 1} is kept; lower the learning rates in [training]"
            )
        run.student_optimiser.zero_grad()
        run.teacher_optimiser.zero_grad()
        (student_loss + teacher_loss).backward()  # two graphs that share no weight
        run.student_optimiser.step()
        run.teacher_optimiser.step()
        run.student.clip()

        seen_now = {
            "student_loss": student_loss.item(),
            "teacher_loss": teacher_loss.item(),
            "student_train": 100 * (learnt.argmax(1) == target).float().mean().item(),
            "teacher_entropy": seen.teacher_entropy.mean().item(),
            "student_entropy": seen.student_entropy.mean().item(),
            "distance": run.temperature.distance,
            "temperature": float(torch.as_tensor(softness).mean()),
        }
        for key, value in seen_now.items():
            sums[key] = sums.get(key, 0.0) + value
        bar.update(size)
    bar.update(len(labels) - per_epoch * size)
    return {"epoch": epoch} | {key: value / per_epoch for key, value in sums.items()}


def schedule(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: rises linearly over `warmup` steps, falls as a half cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is the label's, in percent; of equals the first."""
    network.eval()
    batches = zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True)
    right = sum(int((network(as_input(x)).argmax(1) == y).sum()) for x, y in batches)
    return 100 * right / len(labels)


def as_input(images: Tensor) -> Tensor:
    """uint8 pixels (N, C, H, W) as the networks take them: float in [0, 1]."""
    return images.float() / 255


def on_device(images: data.Images, device: torch.device) -> tuple[Tensor, Tensor]:
    """All images, still uint8, and labels, kept on the device for the whole run."""
    return torch.from_numpy(images.images).to(device), torch.from_numpy(images.labels).to(device)


def load_student(folder: Path, preset: Preset) -> students.BinaryMLP:
    """The trained student in `folder`, in evaluation mode; `UserError` if another preset's."""
    path = folder / "student.pt"
    state = checkpoint.load(path)
    if state.get("preset") != preset.name:
        raise UserError(f"{path}: of preset {state.get('preset')!r}, not {preset.name!r}")
    student = students.build(preset)
    try:
        student.load_state_dict(state["student"])
    except RuntimeError as error:
        raise UserError(
            f"{path}: does not fit the [student] of preset {preset.name!r}; train it again"
        ) from error
    return student.eval()


def finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The report in `folder`, if it is of this preset, these options and this seed."""
    try:
        report = json.loads((folder / "report.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    whole = (folder / "student.pt").is_file() and (folder / "curves.png").is_file()
    return report if whole and report.get("fingerprint") == fingerprint else None


def random_state() -> dict[str, Any]:
    """State of torch's own generators (dropout draws from them)."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` CPU threads within; 0 leaves its choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def progress(total: int, initial: int) -> tqdm:
    """A bar that counts images; in a log file one line every half minute."""
    interval = 0.2 if sys.stderr.isatty() else 30
    return tqdm(total=total, initial=initial, unit="im", unit_scale=True, mininterval=interval)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the binary student of a preset.")
    parser.add_argument("--preset", default="mlp-digits", help=f"{', '.join(presets.names())}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--anew", action="store_true", help="do not resume, start from nothing")
    arguments = parser.parse_args()
    try:
        preset = presets.load(arguments.preset)
        report = train(preset, arguments.seed, arguments.out, resume=not arguments.anew)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shown = ", ".join(f"{name} {value:.2f} %" for name, value in report["accuracy"].items())
    print(f"{preset.name}, seed {arguments.seed}: {shown}, {report['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
