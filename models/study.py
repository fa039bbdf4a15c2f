"""What each part of distillation adds: arms x paired seeds, compared on equal terms.

    python -m models.study --preset tfc-mnist --arms standard --seeds 6 --epochs 40

Every arm (`models.arms`) trains all seeds in one batch, in a folder of its own whose name holds
the digest of all its options, so a study that was stopped goes on where it was and nothing is ever
overwritten. After each arm `report.json` and `study.md` are written anew from what is finished,
at the end the pictures. Choices (the epoch of a run, the tuned temperature) rest on validation
images; the test images are looked at once a run.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flow import tools
from flow.errors import UserError
from flow.paths import BUILD
from flow.pipeline import clear_faults, locked, say, write_atomically
from models import (
    arms,
    checkpoint,
    data,
    parallel,
    preset_rules,
    presets,
    study_figures,
    study_report,
    workers,
)
from models.arms import Arm
from models.presets import Preset
from models.workers import Engine, Task, Work


@dataclass(frozen=True)
class Study:
    """`arms`: by name, each after the one it follows; `folder`: where all of it is kept."""

    preset: Preset
    arms: dict[str, Arm]
    seeds: tuple[int, ...]
    folder: Path
    command: str = ""

    def task(self, name: str, followed: Task | None) -> Task:
        """What has to be trained for an arm; `followed`: the finished one whose T it plays back."""
        variant = self.arms[name].variant(self.preset, recorded(followed) if followed else ())
        preset_rules.check(f"arm {name}", variant)
        folder = self.folder / "runs" / f"{name}-{variant.fingerprint(*self.seeds)}"
        teachers = self.folder / "teachers"
        return Task(name, variant, self.seeds, folder, teachers, integer=name in arms.MAIN)


def recorded(task: Task) -> tuple[float, ...]:
    """The temperature of a finished run, epoch by epoch, as the mean over its seeds."""
    history = json.loads((task.folder / "report.json").read_text())["history"]
    return tuple(round(float(np.mean(row["temperature"])), 6) for row in history)


def run(study: Study, engine: Engine, work: Work = workers.work) -> dict[str, Any]:
    """Train all arms that are not trained yet; write and return the report.

    An arm that fails (its loss is not finite, say) is reported and ends no other.
    """
    data.load(study.preset.data.name, study.seeds[0])  # a missing file ends the study, not each arm
    finished: dict[str, Task] = {}
    failed: dict[str, str] = {}
    report: dict[str, Any] = {}
    for task, error in _results(study, engine, work, finished):
        if error:
            failed[task.name] = error
        else:
            finished[task.name] = task
        if error and parallel.is_first():
            say(f"{task.name}: failed: {error}")
        elif parallel.is_first():
            report = _write(study, finished, failed)
            _say_done(report, task.name, len(study.arms))
    if not parallel.is_first():
        return {}
    for name, arm in study.arms.items():
        if arm.follows in failed:
            failed[name] = f"follows {arm.follows}, which failed"
    report = _write(study, finished, failed)
    if finished:
        study_figures.draw(report, study.folder)
    if adaptive := finished.get(arms.ADAPTIVE):
        run_of = json.loads((adaptive.folder / "report.json").read_text())
        study_figures.one_run(run_of, study.seeds[0], study.folder / "adaptation.png")
    return report


def _results(
    study: Study, engine: Engine, work: Work, finished: dict[str, Task]
) -> Iterator[tuple[Task, str | None]]:
    """Each arm's task as it ends, with the line that says why if it failed.

    An arm starts once the one it follows is among `finished`, which the caller fills. The first
    with frozen teachers trains them for all others, which wait for it.
    """
    waiting = list(study.arms)
    running: dict[Future[str | None], Task] = {}
    taught = False
    while True:
        for name in list(waiting):
            follows, frozen = study.arms[name].follows, study.arms[name].frozen
            teaching = not taught and any(study.arms[t.name].frozen for t in running.values())
            if (follows and follows not in finished) or (frozen and teaching):
                continue
            if len(running) < engine.slots:
                waiting.remove(name)
                task = study.task(name, finished[follows] if follows else None)
                if parallel.is_first():
                    say(f"{name}: running")
                running[engine.submit(work, task)] = task
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            try:
                error = future.result()
            except BrokenExecutor as fault:
                raise UserError(
                    "a process of the study was killed, perhaps for memory; the same command with "
                    "fewer JOBS goes on from here"
                ) from fault
            taught = taught or (error is None and study.arms[task.name].frozen)
            yield task, error


def _write(study: Study, finished: dict[str, Task], failed: dict[str, str]) -> dict[str, Any]:
    report = study_report.report(study.preset, study.seeds, study.arms, finished, study.command)
    report["failed"] = failed
    report["open"] = [name for name in study.arms if name not in (*finished, *failed)]
    checkpoint.write_json(study.folder / "report.json", report)
    write_atomically(study.folder / "study.md", study_report.page(report))
    return report


def _say_done(report: dict[str, Any], name: str, total: int) -> None:
    arm, cost = report["arms"][name], report["cost"][name]
    say(
        f"{name}: {np.mean(arm['accuracy']):.2f} % (validation {np.mean(arm['validation']):.2f} %)"
        f" in {cost['seconds']:.0f} s; {len(report['arms'])} of {total} arms"
    )


def shortened(preset: Preset, epochs: int) -> Preset:
    """The preset with so many epochs: float weights for the same share, a warm-up that fits.

    Its restarts are those before the end.
    """
    whole = preset.training
    floats = whole.float_weight_epochs * epochs // whole.epochs
    restarts = tuple(restart for restart in whole.restarts if floats < restart < epochs)
    short = replace(whole, epochs=epochs, float_weight_epochs=floats, restarts=restarts)
    warmup = min(whole.warmup_epochs, *(len(stage) - 1 for stage in short.stages))
    return replace(preset, training=replace(short, warmup_epochs=warmup))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m models.study", description="Compare arms.")
    add = found.add_argument
    add("--preset", default="mlp-digits", help=", ".join(presets.names()))
    add("--arms", default="standard", help="names with commas between; or main, standard, all")
    add("--seeds", type=_count, default=6, help="how many: 0, 1, ... (default 6)")
    add("--epochs", type=_count, help="of each run (default: the preset's)")
    add("--jobs", type=_count, default=2, help="arms side by side on this machine (default 2)")
    add("--ray", action="store_true", help="run the arms on a Ray cluster")
    add("--out", type=Path, help="folder (default: build/<preset>/study)")
    return found


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    tools.stop_all_on_signals()
    warnings.filterwarnings("ignore", message="fast_hadamard_transform")  # brevitas, on import
    try:
        return _main(parser().parse_args(given), given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("error: interrupted; the same command goes on from here", file=sys.stderr)
    return 2


def _main(options: argparse.Namespace, given: list[str]) -> int:
    preset = presets.load(options.preset)
    if options.epochs:
        preset = preset_rules.check(f"--epochs {options.epochs}", shortened(preset, options.epochs))
    chosen = arms.select(preset, [name.strip() for name in options.arms.split(",")])
    folder = options.out or BUILD / preset.name / "study"
    parallel.start()
    world = parallel.world()
    start = ["torchrun", "--nproc-per-node", str(world)] if world > 1 else ["python"]
    command = shlex.join([*start, "-m", "models.study", *given])
    study = Study(preset, chosen, tuple(range(options.seeds)), folder.absolute(), command)
    if options.ray and world > 1:
        raise UserError("--ray shares out arms, torchrun one training: take one of them")
    lock = locked(folder) if parallel.is_first() else nullcontext()
    jobs = min(options.jobs, len(chosen)) if world == 1 else 1
    with (
        clear_faults(),
        lock,
        workers.cluster() if options.ray else workers.processes(jobs) as engine,
    ):
        report = run(study, engine)
    if parallel.is_first():
        print(report["conclusion"])
        print(folder / "study.md")
        return 2 if report["failed"] else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
