"""`make notebook`: the board's notebook, executed on the simulated board.

Builds what is missing up to the bitstream, puts everything that lies on a board into one folder
and executes the notebook there, unchanged, in the environment of pynq. Into
`build/<preset>/<board>/` go `accuracy_and_latency.ipynb` with its outputs and `notebook.json` with
its figures; of a run that failed `accuracy_and_latency.failed.ipynb`, for reading.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from flow import runs
from flow.board import PYTHON, prepare
from flow.deploy import NOTEBOOK, check_board, contents
from flow.errors import UserError
from flow.paths import ROOT, shown
from flow.pipeline import locked, say
from flow.stages import Work, pipeline

ALL_UP_TO, OF_MORE = 2000, 1000  # test images: all, or so many of more
FIGURES = "notebook.json"
FAILED = NOTEBOOK.replace(".ipynb", ".failed.ipynb")
SIMULATED = "08-simulated"  # and the board's name: its programmable logic as a library
GRACE = 10.0  # seconds for the kernel to end before it is killed


def notebook(
    preset: str,
    board: str,
    images: int | None = None,
    seed: int | None = None,
    train: bool = False,
) -> dict[str, Any]:
    """Execute the notebook for a preset; return the content of notebook.json.

    images: the first so many test images; by default all, of more than 2000 the first 1000.
    """
    check_board(board)
    if not PYTHON.is_file():
        raise UserError(f"{shown(PYTHON)}: no environment with pynq; run `make setup`")
    work = runs.preset_work(preset, board, seed, train)
    target = runs.BUILD / preset / board
    report = runs.run(work, "bitstream", target)
    there = len(work.test_set()[0])
    count = min(images or (there if there <= ALL_UP_TO else OF_MORE), there)
    part = target / "notebook.part"
    with locked(target):
        try:
            _stage(part, contents(work, report, count))
            simulated = _simulated_board(work)
            say(f"notebook: {count} of {there} test images on the simulated board")
            error = _execute(part / NOTEBOOK, simulated)
            if error:
                (part / NOTEBOOK).replace(target / FAILED)
                kept = shown(target / FAILED)
                raise UserError(f"notebook: {error}; with its outputs: {kept}")
            found = json.loads((part / FIGURES).read_text())
            for name in (NOTEBOOK, FIGURES):
                (part / name).replace(target / name)
            (target / FAILED).unlink(missing_ok=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    print(f"{preset} on {board} ({found['device']})")
    print(summary(found))
    print(f"notebook: {shown(target / NOTEBOOK)}")
    return found


def summary(found: dict[str, Any]) -> str:
    """The figures of notebook.json that a reader looks for first, as a table."""
    latency, baseline = found["latency"], found["baseline"]
    rows = {
        "mismatches": f"{found['mismatches']} of {found['images']}",
        "accuracy": f"{found['accuracy']:.2f} %",
        "latency of one image (cycles / clock)": f"median {latency['batch_us']['median']:.2f} µs",
        "images/s (cycles / clock)": f"{found['throughput']['best_images_per_s']:,.0f}",
        f"images/s, NumPy on the {baseline['processor']}": f"{baseline['images_per_s']:,.0f}",
    }
    width = max(map(len, rows))
    return "\n".join(f"  {label:<{width}}  {value}" for label, value in rows.items())


def _stage(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _simulated_board(work: Work) -> Path:
    """The folder of the simulated board for this bitstream, made where it is missing or old."""
    folder = work.root / f"{SIMULATED}-{work.board.name}"
    return prepare(pipeline(work).folder("bitstream"), folder)


def _execute(path: Path, simulated: Path) -> str | None:
    """Execute a notebook where it lies; None, or what went wrong in one line."""
    command = [str(PYTHON), "-m", "flow.headless", str(path.resolve()), str(simulated.resolve())]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out = process.communicate()[0]
    except BaseException:  # Ctrl-C included: the kernel must not outlive us
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    try:
        return json.loads(out.splitlines()[-1])["error"]
    except (IndexError, KeyError, ValueError):
        command_line = f"{PYTHON.name} -m flow.headless"
        return f"{command_line} ended with status {process.returncode}, see the lines above"
