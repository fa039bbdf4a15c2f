"""Runs: a preset, or somebody else's QONNX file, up to a stage, with a report of what is done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow import report, training
from flow.errors import UserError
from flow.graph import Graph
from flow.implement import boards
from flow.paths import BUILD, shown
from flow.stages import ModelFile, Work, pipeline
from flow.training import TRAIN
from models import presets
from models.presets import Hardware

PICTURES = {
    "Training: losses, accuracies, entropies, temperature": ("train", "curves.png"),
    "Floorplan": ("bitstream", "floorplan.png"),
}


def run_preset(
    stage: str,
    preset: str,
    board: str,
    seed: int | None,
    train: bool,
    toolchain: str | None = None,
) -> None:
    """Run a preset up to `stage` ("report": all of them) and write its report.

    `train`: do not use the zoo's weights; `hanbit train` never does. `toolchain`: instead of the
    board's own; the report then has a folder of its own.
    """
    work = preset_work(preset, board, seed, train or stage == TRAIN.name)
    chosen = boards.built_with(work.board, toolchain)
    other = f"-{chosen.toolchain}" if chosen != work.board else ""
    run(replace(work, board=chosen), stage, BUILD / preset / f"{board}{other}")


def preset_work(preset: str, board: str, seed: int | None, train: bool) -> Work:
    """What a run of a preset is about; `train`: without the zoo's weights."""
    chosen = presets.load(preset)
    work = Work(
        name=preset,
        root=BUILD / preset,
        board=boards.load(board),
        seed=seed or 0,
        hardware=chosen.hardware,
        preset=chosen,
        batch=BUILD / chosen.name / "seeds",
    )
    return training.choose(work, seed, anew=train)


def compile_file(
    model: Path,
    board: str,
    out: Path,
    data: Path | None,
    labels: Path | None,
    seed: int,
    target_cycles: int | None,
    folding: Path | None,
    clock_mhz: float,
    to: str,
    toolchain: str | None = None,
    target_fps: float | None = None,
    target_latency: float | None = None,
    max_lut: int | None = None,
    max_bram: float | None = None,
) -> None:
    """Take somebody else's QONNX file the same way; everything is written into `out`."""
    if labels and not data:
        raise UserError("--labels needs the images they belong to; give --data images.npy too")
    file = ModelFile(model, data, labels)
    file.digests()  # all files are there, before anything is written
    work = Work(
        name=model.stem,
        root=out,
        board=boards.built_with(boards.load(board), toolchain),
        seed=seed,
        hardware=Hardware(
            target_cycles=target_cycles,
            target_fps=target_fps,
            target_latency=target_latency,
            max_lut=max_lut,
            max_bram36=max_bram,
            clock_mhz=clock_mhz,
            folding=_read_folding(folding) if folding else {},
        ),
        file=file,
    )
    run(work, to, out)


def run(work: Work, stage: str, reports: Path) -> dict[str, Any]:
    """Run up to a stage, write the report of what is done, say where it is, and return it."""
    line = pipeline(work)
    last = line.stages[-1].name if stage == "report" else stage
    line.run_to(last)
    body = report.collect(line, work.name, work.board.name, work.seed)
    if "bitstream" in body:
        body["bitstream"]["path"] = shown(line.folder("bitstream") / body["bitstream"]["path"])
    graph = None
    for name in ("generate", "lower"):
        if graph is None and line.done(name):
            graph = Graph.load(line.folder(name))
    pictures = {
        title: line.folder(name) / file
        for title, (name, file) in PICTURES.items()
        if any(s.name == name for s in line.stages) and line.done(name)
    }
    report.write(body, reports, graph, pictures, work.board.resources)
    print(f"{work.name} on {work.board.name}, up to {last}")
    print(report.table(body))
    print(f"report: {shown(reports / 'report.html')}")
    return body


def _read_folding(path: Path) -> dict[str, dict[str, Any]]:
    """Folding from a JSON file {layer: {"PE": n, "SIMD": n, "ram_style": s}}."""
    try:
        body = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(body, dict) or not all(isinstance(v, dict) for v in body.values()):
        raise UserError(f'{path}: folding must look like {{"fc0": {{"PE": 4, "SIMD": 8}}}}')
    return body
