"""Teachers that are trained before their students, once for each seed, and asked ever after.

A teacher depends on its own options alone (`Preset.teacher_options`), so that all runs of a study
share it. Its answers to the training images do not change: they are computed once for each
variant of the images and kept on the device.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint, parallel
from models.augment import DROPOUT, ORDER, Changes, generator
from models.feed import EVALUATION_BATCH, Feed, evaluate, percent
from models.loop import adam, progress, schedule, settle, stop_if
from models.presets import Preset, digest
from models.teachers import Teachers


class Answers:
    """What the frozen teachers of a preset say."""

    def __init__(self, preset: Preset, feed: Feed, folder: Path):
        self.feed = feed
        self.teacher = trained(preset, feed, folder)
        self.kept = max(1, preset.augmentation.variants)
        self.by_variant: dict[int, Tensor] = {}

    @torch.no_grad()
    def to_variant(self, variant: int, changes: Changes) -> Tensor:
        """Logits (S, count, classes) for every training image of a variant."""
        if variant not in self.by_variant:
            if len(self.by_variant) >= self.kept:
                self.by_variant.clear()
            rows = torch.arange(self.feed.count, device=self.feed.device)
            parts = []
            for part in rows.expand(len(self.feed.seeds), -1).split(EVALUATION_BATCH, 1):
                images = changes.apply(self.feed.images(part), part)
                parts.append(self.teacher(self.feed.side_by_side(images)))
            self.by_variant[variant] = torch.cat(parts, 1)
        return self.by_variant[variant]

    def test(self) -> tuple[Tensor, Tensor]:
        """Logits (S, N, classes) and labels (S, N) of the test images."""
        return evaluate(self.teacher, self.feed, test=True)


def trained(preset: Preset, feed: Feed, folder: Path) -> Teachers:
    """The teachers of all seeds, in evaluation mode: those in `folder`, the others trained.

    Each is kept as `<seed>-<fingerprint>.pt`; an interrupted training goes on where it was.
    """
    names = {seed: f"{seed}-{preset.teacher_fingerprint(seed)}" for seed in feed.seeds}
    missing = tuple(s for s in feed.seeds if not (folder / f"{names[s]}.pt").is_file())
    parallel.barrier()  # all have looked, before the first is written
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        own = feed if missing == feed.seeds else Feed(preset, missing)
        teachers = _train(preset, own, folder)
        scores = percent(*evaluate(teachers, own))
        for i, seed in enumerate(missing) if parallel.is_first() else ():
            state = {k: v[i : i + 1].cpu().clone() for k, v in teachers.state_dict().items()}
            body = {"seed": seed, "validation": scores[i], "teacher": state}
            checkpoint.save(folder / f"{names[seed]}.pt", names[seed], body)
    parallel.barrier()
    bodies = [checkpoint.load(folder / f"{names[s]}.pt", names[s]) for s in feed.seeds]
    states = [body["teacher"] for body in bodies]
    teachers = Teachers(preset, feed.seeds)
    teachers.load_state_dict({k: torch.cat([s[k] for s in states]) for k in states[0]})
    return teachers.to(feed.device).eval()


def _train(preset: Preset, feed: Feed, folder: Path) -> Teachers:
    """Train the teachers of a feed's seeds on the labels."""
    options, shards = preset.teacher, preset.training.shards
    teachers = Teachers(preset, feed.seeds).to(feed.device)
    optimiser = adam(teachers, options.learning_rate, options.weight_decay)
    fingerprint = "-".join(preset.teacher_fingerprint(seed) for seed in feed.seeds)
    saved, done = folder / f"{digest(fingerprint)}.checkpoint.pt", 0
    if saved.is_file():
        state = checkpoint.load(saved, fingerprint)
        teachers.load_state_dict(state["teachers"])
        optimiser.load_state_dict(state["optimiser"])
        done = state["epochs"]
    parallel.barrier()
    images = len(feed.seeds) * feed.count
    with progress(options.epochs * images, done * images) as bar:
        for epoch in range(done + 1, options.epochs + 1):
            _one_epoch(preset, feed, teachers, optimiser, epoch, shards)
            bar.update(images)
            score = sum(percent(*evaluate(teachers, feed))) / len(feed.seeds)
            bar.set_postfix_str(
                f"teacher, epoch {epoch}/{options.epochs}, validation {score:.2f} %"
            )
            if parallel.is_first():
                state = {
                    "epochs": epoch,
                    "teachers": teachers.state_dict(),
                    "optimiser": optimiser.state_dict(),
                }
                checkpoint.save(saved, fingerprint, state)
    parallel.barrier()
    if parallel.is_first():
        saved.unlink(missing_ok=True)
    return teachers


def _one_epoch(
    preset: Preset,
    feed: Feed,
    teachers: Teachers,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    shards: int,
) -> None:
    """Show the teachers every training image once."""
    teachers.train()
    mine = parallel.own_shards(shards)
    changes = Changes.draw(preset.augmentation, feed.seeds, epoch, feed.count).to(feed.device)
    orders = [torch.randperm(feed.count, generator=generator(s, ORDER, epoch)) for s in feed.seeds]
    order = torch.stack(orders).to(feed.device)
    draw = {
        shard: [generator(s, DROPOUT, epoch, shard, device=feed.device) for s in feed.seeds]
        for shard in mine
    }
    batch = preset.training.batch_size
    failed = torch.zeros((), dtype=torch.int64, device=feed.device)
    for index in range(feed.steps):
        place = (epoch - 1) * feed.steps + index
        rate = schedule(place, preset.teacher.epochs * feed.steps, feed.steps)
        optimiser.param_groups[0]["lr"] = rate * preset.teacher.learning_rate
        optimiser.zero_grad()
        total = torch.zeros((), device=feed.device)
        for shard in mine:
            start = index * batch + shard * (batch // shards)
            rows = order[:, start : start + batch // shards]
            teachers.draw = draw[shard]
            logits = teachers(feed.side_by_side(changes.apply(feed.images(rows), rows)))
            loss = F.cross_entropy(logits.flatten(0, 1), feed.labels(rows).flatten())
            total = total + loss * len(feed.seeds) / shards
        total.backward()
        parallel.add_gradients(teachers.parameters())
        optimiser.step()
        settle(teachers)
        failed = torch.where((failed == 0) & ~torch.isfinite(total), index + 1, failed)
    stop_if(failed, epoch, feed.seeds)
