"""Where the trainings of a study run: in this process, in several, or on a Ray cluster.

Every engine has `slots`, the tasks that it should be given at a time, and `submit(work, task)`,
which returns a future: None once the task is done, or the line that says what the user can mend.
A task keeps all it makes in its folder, so whatever is stopped is taken up there again.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from torch import distributed

from flow.errors import UserError
from models import checkpoint, parallel
from models.presets import Preset


@dataclass(frozen=True)
class Task:
    """One arm: its preset and seeds are trained in `folder` as one batch.

    `teachers`: where frozen ones are kept for all arms. `integer`: afterwards every student is
    exported, lowered and run as integers.
    """

    name: str
    preset: Preset
    seeds: tuple[int, ...]
    folder: Path
    teachers: Path
    integer: bool = False


Work = Callable[[Task], None]


def work(task: Task) -> None:
    """Train what is not trained yet; leave `integer.json` ({seed: percent}) where wanted."""
    from models import train  # here: torch takes seconds, and some processes never need it

    train.train(task.preset, task.seeds, task.folder, teachers=task.teachers)
    if not (task.integer and parallel.is_first()):
        return
    path = task.folder / "integer.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    for seed in task.seeds:
        if str(seed) not in known:
            known[str(seed)] = integer_accuracy(task.preset, seed, task.folder)
            checkpoint.write_json(path, known)


def integer_accuracy(preset: Preset, seed: int, folder: Path) -> float:
    """Percent of the test images that the exported student labels right, reckoned in integers."""
    from flow import reference
    from flow.lowering import export, lower
    from flow.stages import LOWERING_IMAGES
    from models import data, train

    student = train.load_student(folder, preset, seed)
    test = data.load(preset.data.name, seed).test
    with tempfile.TemporaryDirectory(prefix="study-") as scratch:
        model = Path(scratch) / "model.onnx"
        export.export(student, test.images.shape[1:], model)
        golden = export.golden(student, test.images[:LOWERING_IMAGES])
        graph = lower.lower(model, golden, Path(scratch) / "finn.log").graph
    return 100 * float(np.mean(reference.labels(graph, test.images) == test.labels))


def attempt(work: Work, task: Task) -> str | None:
    """Do the task; what the user can mend comes back as its line, and ends no other task."""
    try:
        work(task)
    except UserError as error:
        return str(error)
    return None


class Engine(Protocol):
    slots: int

    def submit(self, work: Work, task: Task) -> Future[str | None]: ...


class Here:
    """One task after the other, in this process and those that `torchrun` started with it."""

    slots = 1

    def submit(self, work: Work, task: Task) -> Future[str | None]:
        outcomes = [attempt(work, task)]
        if parallel.world() > 1:  # all must know if one has failed: they go on together
            everyone: list[str | None] = [None] * parallel.world()
            distributed.all_gather_object(everyone, outcomes[0])
            outcomes = everyone
        future: Future[str | None] = Future()
        future.set_result(next(filter(None, outcomes), None))
        return future


class Processes:
    """`slots` tasks side by side on this machine, each in a process of its own."""

    def __init__(self, slots: int, pool: ProcessPoolExecutor):
        self.slots, self._pool = slots, pool

    def submit(self, work: Work, task: Task) -> Future[str | None]:
        return self._pool.submit(_attempt_apart, work, task)


@contextmanager
def processes(count: int) -> Iterator[Engine]:
    """An engine of `count` processes; one means this process."""
    if count == 1:
        yield Here()
        return
    context = multiprocessing.get_context("spawn")  # a forked torch does not start its threads
    each = max(1, len(os.sched_getaffinity(0)) // count)
    pool = ProcessPoolExecutor(count, context, initializer=_settle, initargs=(each,))
    try:
        yield Processes(count, pool)
    except BaseException:
        for child in multiprocessing.active_children():  # stopped: nobody waits for their results
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _settle(processors: int) -> None:
    """At the start of a worker: it has its share of the processors (for `models.bitwise`).

    It ends with the process that started it, however that ends.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(processors))
    parent = multiprocessing.parent_process()
    assert parent

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _attempt_apart(work: Work, task: Task) -> str | None:
    """As `attempt`, in a process that does nothing else: it speaks to `log.txt` of the task."""
    task.folder.mkdir(parents=True, exist_ok=True)
    with (task.folder / "log.txt").open("a") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
        return attempt(work, task)


class Cluster:
    """Tasks on a Ray cluster. What a task leaves comes back through Ray: no shared disk is needed.

    A machine must have the repository, set up, and the data at the same places as this one.
    """

    slots = 1_000_000  # Ray itself lets wait what has no place yet

    def __init__(self, ray: Any):
        self._ray = ray
        self._gpus = 1 if ray.cluster_resources().get("GPU") else 0

    def submit(self, work: Work, task: Task) -> Future[str | None]:
        remote = self._ray.remote(_attempt_away)
        cpus = max(1, task.preset.training.threads)
        options = {"num_cpus": cpus, "num_gpus": self._gpus, "name": task.name}
        away = remote.options(**options).remote(work, task).future()
        here: Future[str | None] = Future()
        away.add_done_callback(lambda done: _take_home(done, task.folder, here))
        return here


@contextmanager
def cluster() -> Iterator[Engine]:
    """The Ray cluster of RAY_ADDRESS or of this machine; where there is none, one is started."""
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed; run `make setup`, or leave RAY=1 out") from error
    _find(os.environ.get("RAY_ADDRESS", ""))
    passed = {key: os.environ[key] for key in ("DATA_DIR",) if key in os.environ}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": passed},
    )
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _find(address: str) -> None:
    """`UserError` at once where nobody listens; Ray itself would try again for minutes."""
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.hostname and place.port:
        try:
            socket.create_connection((place.hostname, place.port), timeout=10).close()
        except OSError as error:
            raise UserError(
                f"no Ray cluster at RAY_ADDRESS={address} ({error}); start one there with "
                "`ray start --head`, or unset RAY_ADDRESS"
            ) from error


def _attempt_away(work: Work, task: Task) -> tuple[str | None, dict[str, bytes]]:
    """As above, with all files of the task's folder by their names in it."""
    error = _attempt_apart(work, task)
    found = (path for path in sorted(task.folder.rglob("*")) if path.is_file())
    return error, {str(path.relative_to(task.folder)): path.read_bytes() for path in found}


def _take_home(away: Future, folder: Path, here: Future[str | None]) -> None:
    """Write a task's files where they are not, and hand its outcome on."""
    try:
        error, files = away.result()
        for name, body in files.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != body:
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{path.name}.part")
                part.write_bytes(body)
                part.replace(path)
        here.set_result(error)
    except BaseException as error:  # into the future: this runs in a thread of Ray's
        here.set_exception(error)
