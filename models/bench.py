"""Speed of training: hanbit's and that of Brevitas' own trainer, on the same network in one run.

    python -m models.bench --preset tfc-mnist --out build/bench

Brevitas' `bnn_pynq` trains the same topology (TFC, SFC or LFC, 1W1A) with its unmodified loop:
`Trainer.train_model`, whose evaluation is left out. Both have the same images, batch size and
number of threads, and load images in the training process. Its networks have dropout in front of
each product, hanbit's students have not; it knows no distillation, so hanbit is timed without it,
and beside that with an online teacher. The contestants take turns; a ratio is of one turn.

Beside it a convolutional student, from labels alone, bit by bit (`models.bitwise`) and by torch.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from flow.errors import UserError
from models import bitwise, data, presets, train
from models.checkpoint import write_json
from models.data import DATASETS, Images
from models.feed import Feed, evaluate, threads
from models.presets import Preset
from models.run import Run

NETWORKS = {"tfc-mnist": "TFC_1W1A", "sfc-mnist": "SFC_1W1A", "lfc-mnist": "LFC_1W1A"}
IMAGES = 12800  # that each contestant is shown in a turn
TURNS = 5
SEEDS = tuple(range(6))
EPOCHS = 100  # of the estimate
THEIRS = "Brevitas bnn_pynq"
CONVOLUTIONAL = "cnv-cifar10"
BY_TORCH, BY_BITS = "torch, bfloat16", "bit by bit"


def measure(
    name: str = "tfc-mnist", images: int = IMAGES, turns: int = TURNS, count: int = 1
) -> dict[str, Any]:
    """Both comparisons; that of convolutions bit by bit only where the CPU trains."""
    report = bench(name, images, turns, count)
    return report if torch.cuda.is_available() else report | {"bits": bench_bits(turns, count)}


def bench(
    name: str = "tfc-mnist", images: int = IMAGES, turns: int = TURNS, count: int = 1
) -> dict[str, Any]:
    """Measure; the report, without its file. `count`: threads, on each side."""
    if name not in NETWORKS:
        raise UserError(f"no network of Brevitas is {name!r}; there are {', '.join(NETWORKS)}")
    preset = presets.load(name)
    preset = replace(preset, training=replace(preset.training, threads=count))
    with tempfile.TemporaryDirectory(prefix="bench-") as text, threads(count):
        folder = Path(text)
        rest, test, source = given("mnist", images + DATASETS["mnist"].validation)
        with kept("mnist", rest, test):
            write_torchvision(folder, rest, test)
            shown = images // preset.training.batch_size * preset.training.batch_size
            contestants = {THEIRS: theirs(NETWORKS[name], folder, preset, shown)}
            runs = {}
            for mode in ("none", "online"):
                for seeds in (SEEDS[:1], SEEDS):
                    run = ours(preset, mode, seeds, shown, folder)
                    runs[mode, len(seeds)] = run
                    label = f"hanbit, {len(seeds)} seed{'s' * (len(seeds) > 1)}, teacher: {mode}"
                    contestants[label] = epochs_of(run)
            for contestant in contestants.values():
                contestant()  # the first turn is not counted
            times = take_turns(contestants, turns)
            own = runs["online", 1]
            start = time.process_time()
            evaluate(own.student, own.feed)
            evaluated = time.process_time() - start
    seeds_of = dict(zip(contestants, (1, 1, len(SEEDS), 1, len(SEEDS)), strict=True))
    rows: list[dict[str, Any]] = [
        {
            "name": label,
            "images_per_second": spread([seeds_of[label] * shown / wall for wall, _ in found]),
            "images_per_cpu_second": spread([seeds_of[label] * shown / cpu for _, cpu in found]),
            "ratio": spread(ratios(times, label, seeds_of[label], 0)),
            "cpu_ratio": spread(ratios(times, label, seeds_of[label], 1)),
        }
        for label, found in times.items()
    ]
    whole = 60000 - DATASETS["mnist"].validation
    cpu = rows[3]["images_per_cpu_second"]["median"]
    return {
        "preset": name,
        "network": NETWORKS[name],
        "images": source,
        "images_in_a_turn": shown,
        "turns": turns,
        "batch_size": preset.training.batch_size,
        "threads": count,
        "device": str(own.feed.device),
        "torch": torch.__version__,
        "rows": rows,
        "estimated_cpu_seconds": {
            "what": f"{EPOCHS} epochs of {name}, one seed, online teacher, estimated from "
            f"{turns} times {shown} images and one validation",
            "seconds": round(EPOCHS * (whole / cpu + evaluated), 1),
        },
    }


def bench_bits(turns: int = TURNS, count: int = 1, images: int = 1000) -> dict[str, Any]:
    """The convolutional student's training, bit by bit and by torch; `count`: threads of both."""
    preset = presets.load(CONVOLUTIONAL)
    name, options = preset.data.name, replace(preset.training, threads=count)
    rest, test, source = given(name, images + DATASETS[name].validation)
    shown = images // options.batch_size * options.batch_size
    contestants = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as text,
        threads(count),
        bitwise.kernel_threads(count),
    ):
        with kept(name, rest, test):
            for label, bits in ((BY_TORCH, False), (BY_BITS, True)):
                wanted = replace(preset, training=replace(options, bitwise=bits))
                contestants[label] = epochs_of(ours(wanted, "none", SEEDS[:1], shown, Path(text)))
        for contestant in contestants.values():
            contestant()  # the first turn is not counted
        times = take_turns(contestants, turns)
    return {
        "preset": CONVOLUTIONAL,
        "images": source,
        "images_in_a_turn": shown,
        "turns": turns,
        "batch_size": options.batch_size,
        "threads": count,
        "torch": torch.__version__,
        "rows": [
            {
                "name": label,
                "images_per_second": spread([shown / wall for wall, _ in found]),
                "ratio": spread(ratios(times, label, 1, 0, BY_TORCH)),
            }
            for label, found in times.items()
        ],
    }


def take_turns(
    contestants: dict[str, Callable[[], None]], turns: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds on the clock and of the processor that each took in each turn."""
    times: dict[str, list[tuple[float, float]]] = {label: [] for label in contestants}
    for _ in range(turns):
        for label, contestant in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            contestant()
            times[label].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def ratios(
    times: dict[str, list[tuple[float, float]]],
    label: str,
    seeds: int,
    which: int,
    other: str = THEIRS,
) -> list[float]:
    """How many times as many images as the other, in each turn."""
    pairs = zip(times[other], times[label], strict=True)
    return [seeds * theirs[which] / own[which] for theirs, own in pairs]


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def ours(preset: Preset, mode: str, seeds: tuple[int, ...], images: int, folder: Path) -> Run:
    """A run whose epochs show `images` images."""
    wanted = replace(preset, distillation=replace(preset.distillation, mode=mode))
    feed = Feed(wanted, seeds)
    feed.count, feed.steps = images, images // wanted.training.batch_size
    return Run(wanted, feed, folder)


def epochs_of(run: Run) -> Callable[[], None]:
    """One epoch of a run each time it is called, all of them like the second."""
    silent = tqdm(disable=True)

    def epoch() -> None:
        train.one_epoch(run, 2, silent)
        if run.feed.device.type == "cuda":
            torch.cuda.synchronize()

    return epoch


def theirs(network: str, folder: Path, preset: Preset, images: int) -> Callable[[], None]:
    """Brevitas' trainer with its own defaults, for one epoch of `images` images each time."""
    define_operators()
    from brevitas_examples.bnn_pynq import bnn_pynq_train
    from brevitas_examples.bnn_pynq.trainer import Trainer
    from torch.utils.data import DataLoader, Subset

    options = bnn_pynq_train.parse_args(["--dry_run", "--num_workers", "0", "--network", network])
    options.datadir, options.epochs = str(folder), 1
    options.batch_size = preset.training.batch_size
    if torch.cuda.is_available():
        options.gpus = "0"
    trainer = Trainer(bnn_pynq_train.objdict(vars(options)))
    trainer.logger.log.setLevel(logging.WARNING)
    dataset = Subset(trainer.train_loader.dataset, range(images))
    trainer.train_loader = DataLoader(dataset, options.batch_size, shuffle=True, num_workers=0)
    trainer.eval_model = lambda epoch: 0.0
    return trainer.train_model


def define_operators() -> None:
    """Let torchvision be imported beside torch's CPU build.

    PyPI's wheel has its compiled operators for CUDA alone. Its data sets and transforms need none
    of them, but on import it names two that must exist.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
    except ImportError as error:
        raise UserError(
            "torchvision is missing, which Brevitas' trainer needs: make setup"
        ) from error


def given(name: str, needed: int) -> tuple[Images, Images, str]:
    """A data set, or, where there is none, random images of its shape; and which it is."""
    try:
        return *data.read(name), name
    except UserError as error:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (needed, *DATASETS[name].shape), np.uint8)
        drawn = Images(images, np.arange(needed) % DATASETS[name].classes)
        return drawn, drawn.take(np.arange(1000)), f"random, of the shape of {name} ({error})"


@contextmanager
def kept(name: str, rest: Images, test: Images) -> Iterator[None]:
    """Let all who read a data set within be given these images."""
    before = DATASETS[name]
    DATASETS[name] = replace(before, read=lambda: (rest, test))
    try:
        yield
    finally:
        DATASETS[name] = before


def write_torchvision(folder: Path, rest: Images, test: Images) -> None:
    """The four files where Brevitas' subclass of torchvision's MNIST looks for them."""
    raw = folder / "MirrorMNIST" / "raw"
    raw.mkdir(parents=True)
    arrays = (rest.images[:, 0], rest.labels, test.images[:, 0], test.labels)
    for name, array in zip(data.MNIST_SHA256, arrays, strict=True):
        (raw / name).write_bytes(data.idx(array.astype(np.uint8)))


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""

    def cell(key: str, value: dict[str, float]) -> str:
        digits = ",.0f" if key.startswith("images") else ".2f"
        median, low, high = (format(value[k], digits) for k in ("median", "low", "high"))
        return f"{median} ({low} to {high})"

    lines = [
        f"Training {report['network']}, images: {report['images']}, batches of "
        f"{report['batch_size']}, {report['threads']} thread(s), {report['device']}; median of "
        f"{report['turns']} turns of {report['images_in_a_turn']} images (smallest to largest); "
        "images of all seeds together",
        "",
        "| trainer | images/s | times Brevitas | images/s of CPU time | times Brevitas |",
        "|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        keys = ("images_per_second", "ratio", "images_per_cpu_second", "cpu_ratio")
        lines.append(f"| {row['name']} | {' | '.join(cell(key, row[key]) for key in keys)} |")
    estimate = report["estimated_cpu_seconds"]
    lines += ["", f"CPU time of {estimate['what']}: {estimate['seconds']:.0f} s"]
    bits = report.get("bits")
    if bits is None:
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"Training {bits['preset']} from labels alone, images: {bits['images']}, batches of "
        f"{bits['batch_size']}, {bits['threads']} thread(s) of a CPU; {bits['turns']} turns of "
        f"{bits['images_in_a_turn']} images",
        "",
        "| convolutions | images/s | times torch |",
        "|---|---|---|",
    ]
    for row in bits["rows"]:
        found = (cell(key, row[key]) for key in ("images_per_second", "ratio"))
        lines.append(f"| {row['name']} | {' | '.join(found)} |")
    return "\n".join(lines) + "\n"


def write(out: Path, report: dict[str, Any]) -> None:
    """`report.json`, in which other parts are left as they are, and `training.md`."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "report.json"
    others = json.loads(file.read_text()) if file.is_file() else {}
    write_json(file, others | {"training": report})
    (out / "training.md").write_text(table(report))
    print(table(report))


def main() -> int:
    parser = argparse.ArgumentParser(description="Training speed, against Brevitas' own trainer.")
    parser.add_argument("--preset", default="tfc-mnist", help=", ".join(NETWORKS))
    parser.add_argument("--images", type=int, default=IMAGES, help="of each turn")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    try:
        report = measure(arguments.preset, arguments.images, arguments.turns, arguments.threads)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write(arguments.out, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
