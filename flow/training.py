"""The first stage of a preset's run: its trained student, made here or taken from the zoo.

    01-train    the student of one seed, trained, or picked from several trained together
    01-zoo      nothing: the student is the one kept in models/zoo

Several seeds are trained together in `build/<preset>/seeds/01-train` (`flow.seeds`). What is
trained of a seed depends on the others only in the rounding of sums, so that a seed found there is
not trained again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.errors import UserError
from flow.paths import ROOT
from flow.pipeline import Pipeline, Stage, say
from models import train, zoo
from models.presets import Preset
from models.students import BinaryNetwork

if TYPE_CHECKING:
    from flow.stages import Work

# What a trained student depends on: all that `models.train` imports or compiles.
SOURCES = (
    *(f"models/{name}.py" for name in ("augment", "binary", "bitwise", "calibration")),
    *(f"models/{name}.py" for name in ("checkpoint", "curves", "data", "ensemble", "feed")),
    *(f"models/{name}.py" for name in ("frozen", "gate", "loop")),
    *(f"models/{name}.py" for name in ("losses", "parallel", "presets", "results", "run")),
    *(f"models/{name}.py" for name in ("start", "students", "teachers", "train", "zoo")),
    "models/temperature/*.py",
    "models/kernels/*",
)


@dataclass(frozen=True)
class Batch:
    """Seeds of one preset, trained together below `root`.

    `made`: a folder where `python -m models.train` has trained them, on another machine perhaps.
    """

    preset: Preset
    seeds: tuple[int, ...]
    root: Path
    made: Path | None = None

    @property
    def line(self) -> Pipeline:
        return Pipeline((TRAIN_SEEDS,), self, self.root)

    @property
    def folder(self) -> Path:
        return self.line.folder(TRAIN_SEEDS.name)

    @property
    def chosen(self) -> int:
        """The seed of the best validation accuracy; of equal ones the lowest."""
        found = self.result["per_seed"]
        return min(found, key=lambda s: (-s["accuracy"]["validation"], s["seed"]))["seed"]

    @property
    def result(self) -> dict[str, Any]:
        """What the finished training reports."""
        return self.line.stamp(TRAIN_SEEDS.name)["sections"]["training"]

    @classmethod
    def brought(cls, preset: Preset, root: Path, made: Path) -> Batch:
        """The seeds trained in the folder `made`; `UserError` if they are not this preset's."""
        report = made / "report.json"
        try:
            seeds = tuple(json.loads(report.read_text())["seeds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{report}: not the report of a finished training") from error
        if not train.finished(made, preset.fingerprint(*seeds), seeds):
            raise UserError(
                f"{made}: not a whole training of {preset.name} with the options it has now"
            )
        return cls(preset, seeds, root, made)

    @classmethod
    def find(cls, preset: Preset, root: Path) -> Batch | None:
        """The seeds trained in `root`, if it was with the preset's options of now."""
        anything = cls(preset, (), root)
        if not anything.folder.is_dir():
            return None
        batch = cls(preset, tuple(anything.result["seeds"]), root)
        return batch if batch.line.done(TRAIN_SEEDS.name) else None


def choose(work: Work, seed: int | None, anew: bool) -> Work:
    """The run with its seed and, where the zoo's weights are to be used, the zoo's entry.

    `anew`: train, or use what was trained here, whatever the zoo keeps. Else what was trained here
    comes first, then the zoo if it has the seed asked for (None: any), then training.
    """
    assert work.preset and work.batch
    if anew:
        return replace(work, seed=seed or 0)
    batch, single = Batch.find(work.preset, work.batch), _trained_alone(work)
    if batch and seed in (None, *batch.seeds):
        if seed is None:
            say(f"seed {batch.chosen}: the best on validation images of {len(batch.seeds)} trained")
        return replace(work, seed=batch.chosen if seed is None else seed)
    if single is not None and seed in (None, single):
        return replace(work, seed=single)
    entry = zoo.find(work.preset.name)
    if entry is None or seed not in (None, entry.seed):
        return replace(work, seed=seed or 0)
    if changed(entry, work.preset):
        say(
            f"{_place(entry)}: trained with other options than the preset has now; used all the "
            "same (--train trains)"
        )
    return replace(work, seed=entry.seed, entry=entry)


def changed(entry: zoo.Entry, preset: Preset) -> bool:
    """Whether the preset's training options are not those of the weights kept."""
    return entry.training.get("fingerprint") != preset.fingerprint(entry.seed)


def _place(entry: zoo.Entry) -> str:
    """Where an entry is, relative to the repository."""
    path = entry.folder / zoo.WEIGHTS
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def student(work: Work) -> BinaryNetwork:
    """The student of a run whose first stage is done."""
    assert work.preset
    if work.entry:
        return work.entry.student(work.preset)
    return train.load_student(work.root / TRAIN.folder, work.preset, work.seed)


def _trained_alone(work: Work) -> int | None:
    """The seed whose training in this run's folder is done and up to date."""
    line = Pipeline((TRAIN,), work, work.root)
    if not line.folder(TRAIN.name).is_dir():
        return None
    seed = line.stamp(TRAIN.name)["sections"]["training"].get("seed")
    there = Pipeline((TRAIN,), replace(work, seed=seed), work.root)
    return seed if seed is not None and there.done(TRAIN.name) else None


def _train(work: Work, folder: Path) -> dict[str, Any]:
    assert work.preset and work.batch
    batch = Batch.find(work.preset, work.batch)
    if batch and work.seed in batch.seeds:
        say(f"  seed {work.seed}: trained already, in {batch.folder}")
        result = batch.result
        name = f"seed-{work.seed}"
        shutil.copytree(batch.folder / name, folder / name, dirs_exist_ok=True)
        shutil.copyfile(batch.folder / "curves.png", folder / "curves.png")
    else:
        result = train.train(work.preset, [work.seed], folder, teachers=_teachers(work.batch))
    own = next(s for s in result["per_seed"] if s["seed"] == work.seed)
    trained = train.load_student(folder, work.preset, work.seed)
    return {
        "training": {
            "source": "trained",
            "seed": work.seed,
            "seeds_together": len(result["seeds"]),
            "fingerprint": work.preset.fingerprint(work.seed),
            "weights": zoo.digest(zoo.pack(trained)),
            "images": result["images"],
            "start": work.preset.training.start,
            "epochs": result["epochs"],
            "best_epoch": own["best_epoch"],
            "seconds": result["seconds"],
            "device": result["device"],
            "accuracy": own["accuracy"],
        }
    }


def _train_seeds(batch: Batch, folder: Path) -> dict[str, Any]:
    if batch.made:
        without = shutil.ignore_patterns("teachers", "checkpoint.pt", "stage.json")
        shutil.copytree(batch.made, folder, dirs_exist_ok=True, ignore=without)
    result = train.train(batch.preset, batch.seeds, folder, teachers=_teachers(batch.root))
    keys = ("seeds", "images", "epochs", "seconds", "device", "per_seed")
    return {"training": {key: result[key] for key in keys}}


def _take(work: Work, folder: Path) -> dict[str, Any]:
    assert work.preset and work.entry
    taken = zoo.digest(zoo.pack(work.entry.student(work.preset)))
    return {
        "training": {
            "source": "zoo",
            "path": _place(work.entry),
            "weights": taken,
            "options_changed": changed(work.entry, work.preset),
            "kept": work.entry.training,
        }
    }


def _teachers(seeds: Path) -> Path:
    """Where the frozen teachers of a preset are kept, for all its runs."""
    return seeds.parent / "teachers"


TRAIN = Stage(
    "train",
    "01-train",
    _train,
    lambda work: [work.preset.name, work.preset.fingerprint(work.seed)],
    SOURCES,
    resumable=True,
)
TRAIN_SEEDS = Stage(
    "train",
    "01-train",
    _train_seeds,
    lambda batch: [batch.preset.name, batch.preset.fingerprint(*batch.seeds)],
    SOURCES,
    resumable=True,
)
ZOO = Stage(
    "zoo",
    "01-zoo",
    _take,
    lambda work: [
        *(work.preset.name, work.entry.weights, work.entry.training),
        changed(work.entry, work.preset),
    ],
    ("models/zoo.py", "models/students.py"),
)
