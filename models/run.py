"""The state of a training run: networks, optimisers, history, the best students so far."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import frozen, start
from models import temperature as temperatures
from models.ensemble import Students, best_of
from models.feed import Feed, evaluate, percent
from models.loop import Rated, adam
from models.presets import Preset
from models.teachers import Teachers


class Run:
    """Everything that changes while training, so that it can be saved and taken up again."""

    def __init__(self, preset: Preset, feed: Feed, teachers: Path):
        options, device = preset.training, feed.device
        self.preset, self.feed = preset, feed
        self.student = Students(preset, feed.seeds).to(device)
        if options.start:
            start.begin(self.student, preset, feed)
        if options.compile:
            self.student.compile(dynamic=False)
        self.average = copy.deepcopy(self.student) if options.ema else self.student
        self.online = preset.distillation.mode == "online"
        self.teacher = Teachers(preset, feed.seeds).to(device) if self.online else None
        self.answers = None
        if preset.distillation.mode == "frozen":
            self.answers = frozen.Answers(preset, feed, teachers)
        self.controller = temperatures.build(
            preset.distillation.temperature,
            seeds=(len(feed.seeds),),
            steps=options.epochs * feed.steps,
        ).to(device)
        self.optimisers = self.new_optimisers()
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = copy.deepcopy(self.average.state_dict())
        self.best_validation = torch.full((len(feed.seeds),), -1.0, dtype=torch.float64)
        if options.start:  # epoch 0: better than it, or the same again
            shown = percent(*evaluate(self.average, feed))
            self.best_validation = torch.tensor(shown, dtype=torch.float64)
        self.best_epoch = torch.zeros(len(feed.seeds), dtype=torch.int64)
        self.seconds = 0.0

    def new_optimisers(self) -> Rated:
        """Each optimiser with its learning rate at the top of the schedule."""
        options, teacher = self.preset.training, self.preset.teacher
        decay = options.weight_decay
        found: Rated = [
            (adam(self.student.parameters(), options.learning_rate, decay), options.learning_rate)
        ]
        if self.teacher is not None:
            rate = teacher.learning_rate
            found.append((adam(self.teacher.parameters(), rate, teacher.weight_decay), rate))
        if list(self.controller.parameters()):
            found.append((adam(self.controller.parameters(), 0.05, 0.0), 0.05))
        return found

    def restart(self) -> None:
        """Keep of the students, averaged where they are, no more than the zoo would."""
        self.student.load_state_dict(self.average.state_dict())
        self.student.restart()
        if self.average is not self.student:
            self.average.load_state_dict(self.student.state_dict())

    def networks(self) -> list[nn.Module]:
        """What learns: student, online teacher, a temperature with parameters."""
        parts = [self.student, self.teacher, self.controller]
        return [part for part in parts if part is not None]

    def close_epoch(self, row: dict[str, Any], seconds: float) -> None:
        """Add an epoch to the history; remember the students that none before was better than."""
        self.history.append(row)
        self.seconds += seconds
        validation = torch.tensor(row["student_validation"], dtype=torch.float64)
        better = validation > self.best_validation
        self.best = best_of(better.to(self.feed.device), self.average.state_dict(), self.best)
        self.best_validation = torch.where(better, validation, self.best_validation)
        self.best_epoch = torch.where(better, row["epoch"], self.best_epoch)

    @property
    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"student": self.student, "controller": self.controller}
        if self.average is not self.student:
            parts["average"] = self.average
        if self.teacher is not None:
            parts["teacher"] = self.teacher
        return parts | {f"optimiser{i}": o for i, (o, _) in enumerate(self.optimisers)}

    def state_dict(self) -> dict[str, Any]:
        kept = ("history", "best", "best_validation", "best_epoch", "seconds")
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {"parts": parts} | {name: getattr(self, name) for name in kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        self.best = {k: v.to(self.feed.device) for k, v in state["best"].items()}
        for name in ("history", "best_validation", "best_epoch", "seconds"):
            setattr(self, name, state[name])
