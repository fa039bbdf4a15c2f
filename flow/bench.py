"""`make bench`: what lanes, foldings and the shell cost, how fast simulation and training are.

Each part has a folder in `build/bench` and is measured once, until its code changes; what is there
goes into `report.json` and `report.md`, which say of every figure whether it is estimated,
synthesised, routed, of an RTL simulation, of the integer network or timed on the CPU that ran the
bench. `hanbit bench --only lanes,shell` (make bench ONLY=lanes,shell) measures these parts alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow import report, versions
from flow.errors import UserError
from flow.graph import Graph
from flow.lowering import export, lower
from flow.pipeline import STAMP, Pipeline, Stage, say, write_atomically
from flow.rtl import estimate_check, folding, lane_cost, speed, speeds
from flow.shell import bench as shell_bench
from models import bench as training
from models import presets, zoo
from models.data import DATASETS

TARGETS = (16, 32, 64, 128, 256, 512, 1024, 4096, 16384)  # cycles an image
IMAGES = 16  # on which the lowering is checked
FAST = "tfc-mnist-fast"  # packed images, folded for throughput; compared with the one it is made of
LARGEST = "cnv-cifar10"  # whose simulation is timed


@dataclass(frozen=True)
class Part:
    """One part of the bench: `run(preset, folder)` measures, `table(found)` is it in Markdown.

    sources: globs of the code whose change makes the figures stale.
    """

    name: str
    title: str
    run: Callable[[str, Path], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    sources: tuple[str, ...]


def bench(preset: str, out: Path, only: str | None = None) -> dict[str, Any]:
    """Measure the parts that are not up to date, all or those named in `only` (by commas)."""
    parts = chosen(only)
    out.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts, 1):
        say(f"{part.name} ({number} of {len(parts)}): {part.title}")
        line = _pipeline(part, preset, out)
        line.run_to(part.name)
        print(part.table(line.stamp(part.name)["sections"][part.name]))
        write(preset, out)
    print(f"report: {out / 'report.md'}, {out / 'report.json'}")
    return write(preset, out)


def chosen(only: str | None) -> list[Part]:
    """The parts named, separated by commas, in the order of the bench; all if none is."""
    if not only:
        return list(PARTS)
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    names = [part.name for part in PARTS]
    for name in wanted:
        if name not in names:
            raise UserError(f"no part {name!r} of the bench; there are {', '.join(names)}")
    return [part for part in PARTS if part.name in wanted]


def write(preset: str, out: Path) -> dict[str, Any]:
    """Write `report.json` and `report.md` of all parts measured so far; the former's body.

    A part whose code has changed since stays, and is said to be of earlier code.
    """
    body: dict[str, Any] = {"schema": 1, "preset": preset, "tools": versions.installed()}
    lines = ["# Bench", ""]
    for part in PARTS:
        line = _pipeline(part, preset, out)
        lines += [f"## {part.title[0].upper()}{part.title[1:]}", ""]
        if not (line.folder(part.name) / STAMP).is_file():
            lines += [f"Not measured: make bench ONLY={part.name}", ""]
            continue
        stamp = line.stamp(part.name)
        found = stamp["sections"][part.name]
        stale = "" if line.done(part.name) else ", of earlier code"
        body[part.name] = found | {"seconds_measuring": stamp["seconds"], "stale": bool(stale)}
        lines += [part.table(found), f"At commit {found['commit'][:19]}{stale}.", ""]
    write_atomically(out / "report.json", json.dumps(body, indent=1) + "\n")
    write_atomically(out / "report.md", "\n".join(lines))
    return body


def _pipeline(part: Part, preset: str, out: Path) -> Pipeline:
    """The part alone: none rests on another."""
    stage = Stage(
        part.name,
        part.name,
        lambda work, folder: {part.name: part.run(work, folder) | {"commit": report.commit()}},
        lambda work: work,
        part.sources,
        resumable=True,
    )
    return Pipeline((stage,), preset, out)


def kept_graph(preset: str) -> Graph:
    """The graph of the zoo's student, lowered on random images: no data set is needed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return lowered(preset, Path(folder))[0]


def lowered(preset: str, folder: Path) -> tuple[Graph, Path]:
    """The same, and the QONNX file, in `folder`."""
    wanted = presets.load(preset)
    student, shape = zoo.load(wanted), DATASETS[wanted.data.name].shape
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), np.uint8)
    model = folder / "model.onnx"
    export.export(student, shape, model)
    golden = lower.golden_of(student, images, model)
    return lower.lower(model, golden, folder / "finn.log").graph, model


# --- the parts ----------------------------------------------------------------------------------


def _foldings(preset: str, folder: Path) -> dict[str, Any]:
    rows = [
        {
            "target_cycles": target,
            "interval_cycles": estimated.interval,
            "latency_cycles": estimated.latency,
            "lut": round(estimated.area.lut),
            "ff": round(estimated.area.ff),
            "bram36": estimated.area.bram36,
            "folding": graph.folding,
        }
        for target, graph, estimated in folding.sweep(kept_graph(preset), list(TARGETS))
    ]
    return {"stage": "estimated, the core without its shell", "preset": preset, "rows": rows}


def _foldings_table(found: dict[str, Any]) -> str:
    lines = ["| target | interval | latency | LUT | FF | BRAM36 | PE x SIMD |", "|---" * 7 + "|"]
    for row in found["rows"]:
        shapes = [f"{x['PE']}x{x['SIMD']}" for x in row["folding"].values() if "SIMD" in x]
        lines.append(
            f"| {row['target_cycles']} | {row['interval_cycles']} | {row['latency_cycles']} | "
            f"{row['lut']} | {row['ff']} | {row['bram36']:g} | {', '.join(shapes)} |"
        )
    return "\n".join([*lines, "", f"{found['preset']}, {found['stage']}."]) + "\n"


def _shell(preset: str, folder: Path) -> dict[str, Any]:
    fast = presets.load(FAST)
    plain = presets.load(fast.name).hardware
    given = speed.held_out(fast.data.name)
    return shell_bench.bench(kept_graph(FAST), fast.hardware, plain, folder, given)


def _simulation(preset: str, folder: Path) -> dict[str, Any]:
    graph, model = lowered(LARGEST, folder)
    wanted = presets.load(LARGEST)
    given = speed.held_out(wanted.data.name)
    return speed.bench(LARGEST, graph, model, wanted.hardware, given, folder)


def _speeds(preset: str, folder: Path) -> dict[str, Any]:
    given = speed.held_out(presets.load(LARGEST).data.name)[0]
    return speeds.bench(LARGEST, kept_graph(LARGEST), given, folder)


def _training(preset: str, folder: Path) -> dict[str, Any]:
    return training.measure(preset if preset in training.NETWORKS else "tfc-mnist")


NETWORK = ("flow/lowering/*.py", "models/zoo/*/weights.npz", "models/presets/*.toml")
RTL = ("flow/rtl/*.py", "hw/rtl/*.sv", "hw/yosys/*", "flow/implement/synthesis.py")

PARTS = (
    Part(
        "foldings",
        "foldings of a network: cycles and area, estimated",
        _foldings,
        _foldings_table,
        ("flow/rtl/*.py", *NETWORK),
    ),
    Part(
        "lanes",
        "LUTs of a binary lane, synthesised and routed",
        lambda preset, folder: lane_cost.bench(folder),
        lane_cost.table,
        (
            *("flow/rtl/lane_cost.py", "flow/implement/synthesis.py", "hw/yosys/*"),
            *(f"hw/rtl/{name}.sv" for name in lane_cost.SOURCES),
        ),
    ),
    Part(
        "estimates",
        "estimates beside synthesis, layer by layer, and beside what was routed",
        lambda preset, folder: estimate_check.bench(folder),
        estimate_check.table,
        (*RTL, "models/zoo/*/report.json", "build/*/*/report.json"),
    ),
    Part(
        "shell",
        f"memory port and a batch of {FAST} through the shell, its area, the driver's packing",
        _shell,
        shell_bench.table,
        (*RTL, *NETWORK, "flow/shell/*", "hw/boards/pynq-z2/*", "hw/sim/*", "hw/driver/**/*.py"),
    ),
    Part(
        "speeds",
        f"{LARGEST} folded for several speeds: simulated in RTL, synthesised, beside FINN's",
        _speeds,
        speeds.table,
        (*RTL, *NETWORK),
    ),
    Part(
        "simulation",
        f"speed of simulation: {LARGEST} in RTL, in the integer reference, in qonnx",
        _simulation,
        speed.table,
        (*RTL, *NETWORK, "flow/reference.py", "hw/sim/harness.cpp"),
    ),
    Part(
        "training",
        "speed of training, against Brevitas' own trainer in the same run",
        _training,
        training.table,
        ("models/*.py", "models/kernels/*", *NETWORK),
    ),
)
