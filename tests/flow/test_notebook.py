"""The board's notebook: its cells against the register model of the driver, and how it is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from staged import COUNT, INTERVAL, REPORT, build, small_board, small_work

from flow import deploy, notebook, runs
from flow.errors import UserError
from flow.paths import BOARDS, ROOT

NOTEBOOK = BOARDS / "pynq-z2" / "accuracy_and_latency.ipynb"
PICTURES = 7


def cells() -> list[str]:
    body = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in body["cells"] if cell["cell_type"] == "code"]


def execute(monkeypatch, folder: Path) -> list[plt.Figure]:
    """Run all cells in a folder; return the figures in the order shown."""
    plt.switch_backend("agg")
    figures: list[plt.Figure] = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    monkeypatch.chdir(folder)
    space: dict[str, object] = {}
    with plt.rc_context():
        for number, cell in enumerate(cells()):
            exec(compile(cell, f"cell {number}", "exec"), space)
            if "SINGLES" in cell and number == 0:
                space |= {"SINGLES": 60, "REPEATS": 2, "CYCLES": 100_000}
    plt.close("all")
    return figures


@pytest.fixture
def work(tmp_path):
    return small_work(tmp_path / "build" / "net")


@pytest.fixture
def folder(tmp_path, work):
    """What lies on the board."""
    notebook._stage(tmp_path / "there", deploy.contents(work, REPORT))
    return tmp_path / "there"


@pytest.mark.parametrize("device", ["board", "simulated board"])
def test_every_cell_runs_and_every_figure_names_the_device(work, folder, monkeypatch, device):
    name = {"board": "Pynq-Z2"}.get(device, "Pynq-Z2 (simulated)")
    small_board(monkeypatch, work, name)
    figures = execute(monkeypatch, folder)
    assert len(figures) == PICTURES
    assert all([text.get_text() for text in figure.texts] == [device] for figure in figures)
    body = json.loads((folder / "notebook.json").read_text())
    assert body["device"] == device
    assert (body["images"], body["mismatches"], body["accuracy"]) == (COUNT, 0, 75.0)
    assert (body["build"], body["clock_mhz"]) == (build(work), 100.0)
    best = body["throughput"]["batches"][-1]
    cycles = 90 + INTERVAL * best["images"]
    assert 1e8 * best["images"] / best["images_per_s"] == pytest.approx(cycles, abs=7)
    assert 3.78 <= body["latency"]["batch_us"]["median"] <= 3.84
    assert body["throughput"]["ceilings_images_per_s"]["clock / interval"] == 1e8 / INTERVAL
    assert body["resources"]["lut"] == 1234
    # the host's times are the board's, or not there at all
    assert ("execute_us" in body["latency"]) == (device == "board")
    assert ("with_packing_images_per_s" in best) == (device == "board")
    assert body["baseline"]["processor"] == (
        "Arm cores" if device == "board" else "simulation host"
    )


def test_a_wrong_result_stops_it(work, folder, monkeypatch):
    shell = small_board(monkeypatch, work)
    golden = shell.golden
    shell.golden = lambda rows: (golden(rows) + (rows[:, :1] > 250)) % 6
    with pytest.raises(AssertionError, match="first mismatch"):
        execute(monkeypatch, folder)
    assert not (folder / "notebook.json").exists()


def test_it_ships_without_outputs():
    body = json.loads(NOTEBOOK.read_text())
    code = [cell for cell in body["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


# --- how it is run: a program in place of pynq's Python -----------------------------------------

FIGURES = {
    "device": "simulated board",
    "images": 3,
    "mismatches": 0,
    "accuracy": 66.0,
    "latency": {"batch_us": {"median": 1.5}},
    "throughput": {"best_images_per_s": 4e6},
    "baseline": {"processor": "simulation host", "images_per_s": 1e5},
}
SUCCEEDS = (
    f"echo '{json.dumps(FIGURES)}' > $folder/notebook.json; echo done >> $3; "
    """ls $folder > $(dirname $folder)/seen; echo '{"error": null}'"""
)
FAILS = """echo half >> $3; echo '{"error": "cell 9: AssertionError: no"}'"""


@pytest.fixture
def python(tmp_path, work, monkeypatch):
    """Write the program; the pipeline counts as run and the simulated board as made."""
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    monkeypatch.setattr(runs, "preset_work", lambda *_: work)
    monkeypatch.setattr(runs, "run", lambda *_: REPORT)
    monkeypatch.setattr(notebook, "prepare", lambda _, folder: folder)
    monkeypatch.setattr(notebook, "PYTHON", tmp_path / "python")

    def write(line: str) -> None:
        text = "#!/bin/sh\n[ $1 = -m ] && [ $2 = flow.headless ] || exit 9\nfolder=$(dirname $3)\n"
        notebook.PYTHON.write_text(text + line + "\n")
        notebook.PYTHON.chmod(0o755)

    return write


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock", "seen"}


def test_what_a_run_leaves(python, work, capsys):
    target = work.root / "pynq-z2"
    python(FAILS)
    with pytest.raises(UserError, match=r"cell 9: AssertionError: no; .*failed\.ipynb"):
        notebook.notebook("net", "pynq-z2")
    assert names(target) == {notebook.FAILED}
    assert (target / notebook.FAILED).read_text() == NOTEBOOK.read_text() + "half\n"
    python(SUCCEEDS)
    assert notebook.notebook("net", "pynq-z2", images=5) == FIGURES
    assert names(target) == {notebook.NOTEBOOK, notebook.FIGURES}
    assert json.loads((target / notebook.FIGURES).read_text()) == FIGURES
    assert set(deploy.BITSTREAM_FILES) < set((target / "seen").read_text().split())
    out, err = capsys.readouterr()
    assert f"5 of {COUNT} test images" in err and "0 of 3" in out
    python(FAILS)  # what a good run has left stays
    with pytest.raises(UserError):
        notebook.notebook("net", "pynq-z2")
    assert names(target) == {notebook.NOTEBOOK, notebook.FIGURES, notebook.FAILED}


def test_a_program_that_ends_without_a_word(python, work):
    python("exit 3")
    with pytest.raises(UserError, match="status 3"):
        notebook.notebook("net", "pynq-z2")


def test_interrupted_it_leaves_nothing(python, work, monkeypatch):
    python("echo $$ > $folder/../pid; exec sleep 600")
    started: list[subprocess.Popen] = []

    def interrupted(self, *_, **__):
        started.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        notebook.notebook("net", "pynq-z2")
    assert started[0].returncode is not None
    assert names(work.root / "pynq-z2") <= {"pid"}


def test_how_many_images(python, work, monkeypatch, capsys):
    python(SUCCEEDS)
    monkeypatch.setattr(notebook, "ALL_UP_TO", COUNT - 1)
    monkeypatch.setattr(notebook, "OF_MORE", 11)
    for images, count in ((None, 11), (7, 7), (COUNT + 1, COUNT)):
        notebook.notebook("net", "pynq-z2", images=images)
        assert f"notebook: {count} of {COUNT}" in capsys.readouterr().err


def test_refused(python, tmp_path):
    with pytest.raises(UserError, match="no board 'zybo'"):
        notebook.notebook("net", "zybo")
    with pytest.raises(UserError, match="make setup"):
        notebook.notebook("net", "pynq-z2")


@pytest.mark.slow  # Verilator takes a minute
@pytest.mark.skipif(not notebook.PYTHON.is_file(), reason="no environment with pynq")
def test_on_the_simulated_board(tmp_path, work, monkeypatch):
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    monkeypatch.setattr(runs, "preset_work", lambda *_: work)
    monkeypatch.setattr(runs, "run", lambda *_: REPORT)
    found = notebook.notebook("net", "pynq-z2")
    assert found["device"] == "simulated board"
    assert (found["images"], found["mismatches"], found["accuracy"]) == (COUNT, 0, 75.0)
    assert found["build"] == build(work)
    largest = found["counters"][-1]
    assert largest["images"] == 3000
    assert INTERVAL <= largest["run"] / 3000 < INTERVAL + 0.2
    body = json.loads((work.root / "pynq-z2" / notebook.NOTEBOOK).read_text())
    outputs = [output for cell in body["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == PICTURES
    # the same files without the simulated board's own program: one line says what is wrong
    (work.root / "08-simulated-pynq-z2" / "model" / "board").write_text("exit 1")
    monkeypatch.setattr(notebook, "prepare", lambda _, folder: folder)
    with pytest.raises(UserError, match="cell "):
        notebook.notebook("net", "pynq-z2")


# --- flow.headless, in pynq's environment --------------------------------------------------------


@pytest.mark.skipif(not notebook.PYTHON.is_file(), reason="no environment with pynq")
def test_headless(tmp_path):
    """The code before the notebook leaves no trace; an error is one line, outputs are kept."""
    code = [
        {"cell_type": "code", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
        for s in ("x + 1", "1 / 0", "x + 2")
    ]
    path = tmp_path / "some.ipynb"
    body = {"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    path.write_text(json.dumps(body))
    call = "import sys; from pathlib import Path; from flow.headless import execute; "
    call += "print(execute(Path(sys.argv[1]), 'x = 5'))"
    done = subprocess.run(
        [notebook.PYTHON, "-c", call, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "cell 2: ZeroDivisionError: division by zero"
    cells = json.loads(path.read_text())["cells"]
    assert [cell["execution_count"] for cell in cells] == [1, 2, None]
    assert cells[0]["outputs"][0]["data"]["text/plain"] in ("6", ["6"])
    assert cells[0]["outputs"][0]["execution_count"] == 1
    assert cells[1]["outputs"][0]["ename"] == "ZeroDivisionError"
