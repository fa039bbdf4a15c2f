"""Teachers that are trained before their students, once for each seed, and asked ever after.

A teacher depends on its own options alone (`Preset.teacher_options`), so that all runs of a study
share it. Its answers to the training images do not change: they are computed once for each
variant of the images, and kept on the device and in the teachers' folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import checkpoint, parallel
from models.augment import DROPOUT, ORDER, Changes, generator
from models.feed import EVALUATION_BATCH, Feed, evaluate, percent
from models.loop import Muon, Rated, adam, progress, schedule, settle, stop_if
from models.presets import Preset, Teacher, digest
from models.teachers import Teachers


class Answers:
    """What the frozen teachers of a preset say; with `variants`, kept in the teachers' folder."""

    def __init__(self, preset: Preset, feed: Feed, folder: Path):
        self.feed, self.folder = feed, folder
        held = preset.training.held_back
        self.names = [
            f"{s}-{preset.teacher_fingerprint(s)}" + (f"-{held}" if held else "")
            for s in feed.seeds
        ]
        self.teacher = trained(preset, feed, folder)
        self.variants = preset.augmentation.variants
        self.by_variant: dict[int, Tensor] = {}

    def to_variant(self, variant: int, changes: Changes) -> Tensor:
        """Logits (S, count, classes) for every training image of a variant."""
        if variant not in self.by_variant:
            if len(self.by_variant) >= max(1, self.variants):
                self.by_variant.clear()
            files = [self.folder / f"{name}.answers-{variant}.pt" for name in self.names]
            known = self.variants and all(file.is_file() for file in files)
            parallel.barrier()  # all have looked, before the first is written
            if known:
                bodies = [checkpoint.load(*pair) for pair in zip(files, self.names, strict=True)]
                answers = torch.stack([body["answers"] for body in bodies]).to(self.feed.device)
            else:
                answers = self._asked(changes)
                for i, file in enumerate(files) if self.variants and parallel.is_first() else ():
                    checkpoint.save(file, self.names[i], {"answers": answers[i].cpu().clone()})
            self.by_variant[variant] = answers
        return self.by_variant[variant]

    @torch.no_grad()
    def _asked(self, changes: Changes) -> Tensor:
        """The teachers' logits for all images so changed; each process asks for a part of them."""
        feed, seeds = self.feed, len(self.feed.seeds)
        answers = torch.zeros(seeds, feed.count, self.teacher.classes, device=feed.device)
        every = torch.arange(feed.count, device=feed.device)
        for rows in parallel.share(every.split(EVALUATION_BATCH)):
            part = rows.expand(seeds, -1)
            images = changes.apply(feed.images(part), part)
            answers[:, rows] = self.teacher(feed.side_by_side(images))
        return parallel.summed(answers)

    def test(self) -> tuple[Tensor, Tensor]:
        """Logits (S, N, classes) and labels (S, N) of the test images."""
        return evaluate(self.teacher, self.feed, test=True)


def trained(preset: Preset, feed: Feed, folder: Path) -> Teachers:
    """The teachers of all seeds, in evaluation mode: those in `folder`, the others trained.

    Each is kept as `<seed>-<fingerprint>.pt`; an interrupted training goes on where it was. The
    images they hold back are the data set's own number, whatever their students' feed does.
    """
    names = {seed: f"{seed}-{preset.teacher_fingerprint(seed)}" for seed in feed.seeds}
    missing = tuple(s for s in feed.seeds if not (folder / f"{names[s]}.pt").is_file())
    parallel.barrier()  # all have looked, before the first is written
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        theirs = replace(preset, training=replace(preset.training, held_back=0))
        same = missing == feed.seeds and theirs == preset
        own = feed if same else Feed(theirs, missing)
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
    options, shards = preset.teacher, preset.teacher_shards
    teachers = Teachers(preset, feed.seeds).to(feed.device)
    optimisers = _optimisers(teachers, options)
    fingerprint = "-".join(preset.teacher_fingerprint(seed) for seed in feed.seeds)
    saved, done = folder / f"{digest(fingerprint)}.checkpoint.pt", 0
    if saved.is_file():
        state = checkpoint.load(saved, fingerprint)
        teachers.load_state_dict(state["teachers"])
        for (optimiser, _), kept in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        done = state["epochs"]
    parallel.barrier()
    images = len(feed.seeds) * feed.count
    with progress(options.epochs * images, done * images) as bar:
        for epoch in range(done + 1, options.epochs + 1):
            _one_epoch(preset, feed, teachers, optimisers, epoch, shards)
            bar.update(images)
            score = sum(percent(*evaluate(teachers, feed))) / len(feed.seeds)
            bar.set_postfix_str(
                f"teacher, epoch {epoch}/{options.epochs}, validation {score:.2f} %"
            )
            if parallel.is_first():
                state = {
                    "epochs": epoch,
                    "teachers": teachers.state_dict(),
                    "optimisers": [optimiser.state_dict() for optimiser, _ in optimisers],
                }
                checkpoint.save(saved, fingerprint, state)
    parallel.barrier()
    if parallel.is_first():
        saved.unlink(missing_ok=True)
    return teachers


def _optimisers(teachers: Teachers, options: Teacher) -> Rated:
    """Each optimiser with its learning rate at the top of the schedule."""
    if not options.muon_rate:
        optimiser = adam(teachers.parameters(), options.learning_rate, options.weight_decay)
        return [(optimiser, options.learning_rate)]
    inner = [cast(nn.Parameter, part.weight) for part in teachers.convolutions]
    others = [p for p in teachers.parameters() if all(p is not weight for weight in inner)]
    return [
        (adam(others, options.learning_rate, 0.0), options.learning_rate),
        (Muon(inner, options.muon_rate, options.weight_decay), options.muon_rate),
    ]


def _one_epoch(
    preset: Preset,
    feed: Feed,
    teachers: Teachers,
    optimisers: Rated,
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
    batch = preset.teacher_batch
    steps = feed.count // batch
    failed = torch.zeros((), dtype=torch.int64, device=feed.device)
    for index in range(steps):
        place = (epoch - 1) * steps + index
        rate = schedule(place, preset.teacher.epochs * steps, steps)
        for optimiser, top in optimisers:
            optimiser.param_groups[0]["lr"] = rate * top
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
        for optimiser, _ in optimisers:
            optimiser.step()
        settle(teachers)
        failed = torch.where((failed == 0) & ~torch.isfinite(total), index + 1, failed)
    stop_if(failed, epoch, feed.seeds)
