"""The ordered stages of a run: each is saved, none runs twice, an interrupted one resumes.

A stage reads the folders of the stages before it and writes one folder of its own. It works in
`<folder>.part`, which takes its final name when the stage is done, so that a folder with its final
name is always whole. `stage.json` in it holds the stage's fingerprint: the options, the source
files and the stages it rests on. A stage whose fingerprint still holds is not run again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flow.errors import UserError
from flow.paths import ROOT

STAMP = "stage.json"


@dataclass(frozen=True)
class Stage:
    """One step of the way. `run(work, folder)` writes into `folder` and returns report sections.

    `options(work)` are the values the result depends on beside the stages before it; `sources` are
    globs, relative to the repository, of the code it depends on. A `resumable` stage finds in
    `folder` what an interrupted run of the same fingerprint left there. `check(work, folder)` is
    called in every run, up to date or not: a `UserError` where the result, whose making does not
    depend on that, does not serve this work.
    """

    name: str
    folder: str
    run: Callable[[Any, Path], dict[str, Any]]
    options: Callable[[Any], Any]
    sources: tuple[str, ...]
    resumable: bool = False
    check: Callable[[Any, Path], None] = lambda work, folder: None


class Pipeline:
    """Stages in order over one output folder; `work` is handed to every stage.

    Example: `Pipeline(stages, work, Path("build/mlp-digits")).run_to("simulate")`.
    """

    def __init__(self, stages: tuple[Stage, ...], work: Any, root: Path):
        self.stages, self.work, self.root = stages, work, root

    def folder(self, name: str) -> Path:
        """The finished folder of a stage."""
        return self.root / self._stage(name).folder

    def stamp(self, name: str) -> dict[str, Any]:
        """What a finished stage left: its fingerprint, report sections and seconds."""
        return json.loads((self.folder(name) / STAMP).read_text())

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of every stage: its options and sources, and all stages before it."""
        prints, before = {}, ""
        for stage in self.stages:
            before = _digest([before, stage.name, stage.options(self.work), _sources(stage)])
            prints[stage.name] = before
        return prints

    def done(self, name: str) -> bool:
        """Whether the folder of the stage rests on what is asked for now."""
        stamp = self.folder(name) / STAMP
        if not stamp.is_file():
            return False
        return self.stamp(name).get("fingerprint") == self.fingerprints[name]

    def run_to(self, last: str) -> None:
        """Run every stage up to and including `last` that is not done yet."""
        position = [s.name for s in self.stages].index(self._stage(last).name)
        with locked(self.root), clear_faults():
            for stage in self.stages[: position + 1]:
                self._run(stage)

    def _run(self, stage: Stage) -> None:
        if self.done(stage.name):
            stage.check(self.work, self.folder(stage.name))
            say(f"{stage.folder}: up to date")
            return
        say(f"{stage.folder}: running")
        fingerprint = self.fingerprints[stage.name]
        final = self.root / stage.folder
        part = final.with_name(final.name + ".part")
        claim = part / "fingerprint"
        if not (stage.resumable and claim.is_file() and claim.read_text() == fingerprint):
            shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, exist_ok=True)
        claim.write_text(fingerprint)
        start = time.monotonic()
        try:
            sections = stage.run(self.work, part)
            stage.check(self.work, part)
        except BaseException:
            if not stage.resumable:
                shutil.rmtree(part, ignore_errors=True)
            raise
        seconds = round(time.monotonic() - start, 1)
        stamp = {"fingerprint": fingerprint, "seconds": seconds, "sections": sections}
        (part / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        claim.unlink()
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        say(f"{stage.folder}: done in {seconds:.1f} s")

    def _stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UserError(f"no stage {name!r}; there are {', '.join(s.name for s in self.stages)}")


def say(line: str) -> None:
    """One line of progress, at once."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def clear_faults() -> Iterator[None]:
    """Turn faults of the machine that a user can mend into one line each."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk is full{where}; free some space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS):
            raise UserError(f"no permission to write{where}; choose another folder") from error
        raise


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One run at a time in one output folder; the lock ends with the process."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{root}: not a folder; choose another one for the output") from error
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another run is at work in {root}; wait for it to end") from error
        yield


def _sources(stage: Stage) -> list[str]:
    found = {path for glob in stage.sources for path in ROOT.glob(glob)}
    files = sorted(path for path in found if path.is_file())
    return [str(p.relative_to(ROOT)) + hashlib.sha256(p.read_bytes()).hexdigest() for p in files]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write `text` to `path` so that a reader never sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(text.encode() if isinstance(text, str) else text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
