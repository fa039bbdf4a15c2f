"""Distillation: binary students learn from labels and from float teachers, S seeds at once.

    python -m models.train --preset mlp-digits --seeds 0 --out build/mlp-digits/01-train

Online, a student's teacher learns beside it, on the same images; frozen, it was trained before
(`models.frozen`). The student learns from the labels and from the teacher's outputs, softened by a
temperature that is chosen anew in every step (`models.temperature`). Of each seed the student of
the best validation accuracy is kept, and the test images are looked at once, at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from flow.errors import UserError
from models import checkpoint, gate, losses, parallel, presets, results, students
from models import temperature as temperatures
from models.augment import DROPOUT, ORDER, ROUNDING, Changes, generator
from models.ensemble import Students
from models.feed import Feed, evaluate, percent, threads
from models.loop import keep_freed_memory, progress, schedule, settle, stop_if
from models.presets import Preset
from models.run import Run

MEASURES = (
    "student_loss",
    "teacher_loss",
    "student_train",
    "teacher_entropy",
    "student_entropy",
    "distance",
    "temperature",
    "alpha",
    "teacher_learns",
)


def train(
    preset: Preset,
    seeds: Sequence[int],
    folder: Path,
    resume: bool = True,
    teachers: Path | None = None,
) -> dict[str, Any]:
    """Train a preset's students, one a seed; return the report that is also written.

    Writes `seed-<k>/student.pt`, `outputs.npz`, `report.json` and `curves.png` to `folder`, and
    after each epoch `checkpoint.pt`, from which an interrupted run goes on with the numbers it
    would have had. A finished folder is not trained again. `resume=False` starts anew in any case.
    Frozen teachers are kept in the folder `teachers` (default: within `folder`), where other runs
    may find them. `UserError` on bad data, a checkpoint of another preset or seed, or a loss that
    is not finite.
    """
    parallel.start()
    parallel.own_shards(preset.training.shards)  # an error now, not when the teachers are trained
    keep_freed_memory()
    fingerprint = preset.fingerprint(*seeds)
    folder.mkdir(parents=True, exist_ok=True)
    if resume and (report := finished(folder, fingerprint, seeds)):
        return report
    saved = folder / "checkpoint.pt"
    with threads(preset.training.threads):
        feed = Feed(preset, seeds)
        run = Run(preset, feed, teachers or folder / "teachers")
        if resume and saved.is_file():
            run.load_state_dict(checkpoint.load(saved, fingerprint))
        parallel.barrier()  # all have read it, before it is written again
        epochs, images = preset.training.epochs, len(seeds) * feed.count
        with progress(epochs * images, len(run.history) * images) as bar:
            for epoch in range(len(run.history) + 1, epochs + 1):
                start = time.monotonic()
                row = one_epoch(run, epoch, bar)
                row["student_validation"] = percent(*evaluate(run.average, feed))
                row["teacher_validation"] = (
                    percent(*evaluate(run.teacher, feed)) if run.teacher else None
                )
                run.close_epoch(row, time.monotonic() - start)
                if parallel.is_first():
                    checkpoint.save(saved, fingerprint, run.state_dict())
                _show(bar, run, epoch, epochs)
        report = results.finish(run, fingerprint, folder)
    saved.unlink(missing_ok=True)
    parallel.barrier()
    return report


def one_epoch(run: Run, epoch: int, bar: tqdm) -> dict[str, Any]:
    """Show the networks every training image once (a last, smaller batch is left out).

    Returns the epoch's row of the history: means over the epoch's steps, lists of one a seed.
    """
    feed, options = run.feed, run.preset.training
    variant, mine = _variant(run.preset, epoch), parallel.own_shards(options.shards)
    changes = Changes.draw(run.preset.augmentation, feed.seeds, variant, feed.count)
    changes = changes.to(feed.device)
    answers = run.answers.to_variant(variant, changes) if run.answers else None
    orders = [torch.randperm(feed.count, generator=generator(s, ORDER, epoch)) for s in feed.seeds]
    order = torch.stack(orders).to(feed.device)
    (stage,) = (stage for stage in options.stages if epoch in stage)
    first = stage[0]
    restarted = first - 1 in options.restarts
    goes_on = restarted or (first == 1 and options.start != "")
    run.student.binarise = epoch > options.float_weight_epochs
    if epoch == first > 1:
        if restarted:
            run.restart()
        run.optimisers = run.new_optimisers()  # moments of other weights are of no use
    for network in run.networks():
        network.train()
    dropout = {
        shard: [generator(s, DROPOUT, epoch, shard, device=feed.device) for s in feed.seeds]
        for shard in mine
    }
    sums: dict[int, Tensor] = {}
    failed = torch.zeros((), dtype=torch.int64, device=feed.device)
    for index in range(feed.steps):
        step = (epoch - 1) * feed.steps + index
        place = ((epoch - first) * feed.steps + index, len(stage) * feed.steps)
        rate = schedule(*place, options.warmup_epochs * feed.steps)
        rate *= options.restart_rate if goes_on else 1
        for optimiser, top in run.optimisers:
            optimiser.param_groups[0]["lr"] = rate * top
        run.student.progress = run.average.progress = place[0] / place[1]
        rows = order[:, index * options.batch_size : (index + 1) * options.batch_size]
        measured = one_step(run, rows, changes, answers, step, mine, dropout)
        for shard, values in measured.items():
            sums[shard] = sums.get(shard, 0) + values
        loss = torch.stack([values[0] + values[1] for values in measured.values()])
        failed = torch.where((failed == 0) & ~torch.isfinite(loss).all(), index + 1, failed)
        if index % 100 == 99 or index + 1 == feed.steps:
            stop_if(failed, epoch, feed.seeds)
        bar.update(len(feed.seeds) * options.batch_size)
    bar.update(len(feed.seeds) * (feed.count - feed.steps * options.batch_size))
    if options.ema:
        recalibrate(run, order, changes)
    means = parallel.joined([sums[s][None] for s in mine], 0).sum(0) / feed.steps
    rows_of = {name: values.tolist() for name, values in zip(MEASURES, means, strict=True)}
    return {"epoch": epoch} | rows_of


def one_step(
    run: Run,
    rows: Tensor,
    changes: Changes,
    answers: Tensor | None,
    step: int,
    mine: range,
    dropout: dict[int, list[torch.Generator]],
) -> dict[int, Tensor]:
    """One step of all that learns, on the images `rows` (S, N) of the training set.

    Returns for each of this process's shards its part of the `MEASURES`, (measures, S).
    """
    feed, options, wanted = run.feed, run.preset.training, run.preset.distillation
    size = rows.shape[1] // options.shards
    weights = run.student.weights()
    leaves = [weight.detach().requires_grad_() for weight in weights]
    parts = {shard: rows[:, shard * size : (shard + 1) * size] for shard in mine}
    taught, learnt = {}, {}
    for shard, part in parts.items():
        images = feed.side_by_side(changes.apply(feed.images(part), part))
        if run.teacher is not None:
            run.teacher.draw = dropout[shard]
            taught[shard] = run.teacher(images)
        elif answers is not None:
            taught[shard] = answers.gather(1, part[..., None].expand(-1, -1, answers.shape[-1]))
        run.student.rounding = [generator(s, ROUNDING, step, shard) for s in feed.seeds]
        learnt[shard] = run.student(images, leaves)
        taught.setdefault(shard, torch.zeros_like(learnt[shard]))

    labels = feed.labels(rows)
    seen = temperatures.Observation(
        parallel.joined([taught[s].detach() for s in mine], 1),
        parallel.joined([learnt[s].detach() for s in mine], 1),
        labels,
        step,
        options.epochs * feed.steps,
    )
    found = run.controller(seen)
    softness = temperatures.Softness(*(t.detach().requires_grad_(t.requires_grad) for t in found))
    distance = run.controller.distance
    alpha: float | Tensor = 0.0
    if wanted.mode != "none":
        alpha = losses.alpha_of(distance, wanted.alpha, wanted.alpha_minimum)
    learns = torch.ones_like(distance)
    if wanted.gate and run.teacher is not None:
        learns = gate.teacher_learns(seen.teacher, seen.student, labels)

    total, measured = torch.zeros((), device=feed.device), {}
    right = (seen.student.argmax(-1) == labels).float()
    for shard in mine:
        span = slice(shard * size, (shard + 1) * size)
        # copies, so that a learned temperature's gradients are summed within each shard first
        soft = temperatures.Softness(*(t.clone() for t in softness.shard(shard, options.shards)))
        student_loss = losses.student_loss(
            student=learnt[shard],
            teacher=taught[shard].detach(),
            labels=labels[:, span],
            softness=soft,
            alpha=alpha,
            beta=wanted.beta,
            loss=wanted.loss,
            dkd_beta=wanted.dkd_beta,
            standardise=wanted.standardise,
            scale_by_t2=wanted.scale_by_t2,
        )
        teacher_loss = torch.zeros_like(student_loss)
        if run.teacher is not None:
            teacher_loss = learns * losses.teacher_loss(
                teacher=taught[shard],
                labels=labels[:, span],
                student=learnt[shard].detach(),
                softness=soft,
                strength=wanted.teacher_strength,
            )
        total = total + (student_loss + teacher_loss).sum() / options.shards
        values = (
            student_loss.detach(),
            teacher_loss.detach(),
            100 * right[:, span].mean(1),
            seen.teacher_entropy[:, span].mean(1),
            seen.student_entropy[:, span].mean(1),
            distance.float(),
            softness.teacher.detach().expand(*rows.shape, 1)[:, span, 0].mean(1),
            torch.as_tensor(alpha).float().expand_as(distance),
            learns,
        )
        measured[shard] = torch.stack(values) / options.shards
    for optimiser, _ in run.optimisers:
        optimiser.zero_grad()
    total.backward()
    others = [p for network in run.networks() for p in network.parameters() if p.grad is not None]
    shared = list(zip((*weights, *found), (*leaves, *softness), strict=True))
    shared = [(result, leaf) for result, leaf in shared if leaf.grad is not None]
    parallel.add_gradients([*(leaf for _, leaf in shared), *others])
    torch.autograd.backward([x for x, _ in shared], [leaf.grad for _, leaf in shared])
    pause = wanted.gate and run.teacher is not None
    with gate.held_back(run.optimisers[1][0], learns) if pause else nullcontext():
        for optimiser, _ in run.optimisers:
            optimiser.step()
    for network in run.networks():
        settle(network)
    run.student.constrain()
    if options.ema:
        _follow(run.average, run.student, options.ema)
    return measured


@torch.no_grad()
def recalibrate(run: Run, order: Tensor, changes: Changes) -> None:
    """Give the averaged students statistics of their own: the mean over some batches."""
    options, feed = run.preset.training, run.feed
    mine = parallel.own_shards(options.shards)
    run.average.binarise = run.student.binarise
    run.average.train()
    size = options.batch_size // options.shards
    for batch in range(min(options.recalibrate, feed.steps)):
        for shard in mine:
            start = batch * options.batch_size + shard * size
            part = order[:, start : start + size]
            run.average(feed.side_by_side(changes.apply(feed.images(part), part)))
        settle(run.average, 1 / (batch + 1))


@torch.no_grad()
def _follow(average: Students, student: Students, decay: float) -> None:
    """average <- decay average + (1 - decay) student, of all parameters."""
    torch._foreach_lerp_(list(average.parameters()), list(student.parameters()), 1 - decay)


def _variant(preset: Preset, epoch: int) -> int:
    """Which variant of the images an epoch shows."""
    options = preset.augmentation
    if not (options.shift or options.rotate or options.flip):
        return 0
    return epoch % options.variants if options.variants else epoch


def _show(bar: tqdm, run: Run, epoch: int, epochs: int) -> None:
    row = run.history[-1]
    bar.set_postfix_str(
        f"epoch {epoch}/{epochs}, validation {np.mean(row['student_validation']):.2f} % "
        f"(best {run.best_validation.mean():.2f}), T {np.mean(row['temperature']):.2f}",
        refresh=False,
    )


def load_student(folder: Path, preset: Preset, seed: int) -> students.BinaryNetwork:
    """The trained student of a seed, in evaluation mode; `UserError` if another preset's."""
    path = folder / f"seed-{seed}" / "student.pt"
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


def finished(folder: Path, fingerprint: str, seeds: Sequence[int]) -> dict[str, Any] | None:
    """The report in `folder`, if it is of this preset, these options and these seeds."""
    try:
        report = json.loads((folder / "report.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    files = [f"seed-{seed}/student.pt" for seed in seeds] + ["outputs.npz", "curves.png"]
    whole = all((folder / file).is_file() for file in files)
    return report if whole and report.get("fingerprint") == fingerprint else None


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the binary students of a preset.")
    parser.add_argument("--preset", default="mlp-digits", help=f"{', '.join(presets.names())}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--anew", action="store_true", help="do not resume, start from nothing")
    arguments = parser.parse_args()
    try:
        preset = presets.load(arguments.preset)
        report = train(preset, arguments.seeds, arguments.out, resume=not arguments.anew)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for one in report["per_seed"] if parallel.is_first() else ():
        values = {k: v for k, v in one["accuracy"].items() if v is not None}
        shown = ", ".join(f"{name} {value:.2f} %" for name, value in values.items())
        print(f"{preset.name}, seed {one['seed']}: {shown}, {report['seconds']} s for all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
