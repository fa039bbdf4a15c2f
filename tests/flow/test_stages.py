"""What a stage of a run rests on: the board's files and size only where they matter."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from graphs import mlp

from flow import runs, stages
from flow.errors import UserError
from flow.implement import boards
from flow.paths import ROOT
from flow.pipeline import Pipeline, Stage
from flow.rtl.folding import fold

ON_CHIP = ("lower", "generate", "simulate")
# What each stage runs, and what cannot change its result.
RUNS = {
    "lower": "flow.lowering.lower flow.lowering.foreign flow.reference",
    "generate": "flow.rtl.codegen flow.rtl.folding flow.rtl.estimate flow.shell.packed",
    "simulate": "flow.rtl.simulate flow.shell.packed",
    "bitstream": "flow.implement.bitstream flow.bits.bram flow.shell.description flow.shell.hwh",
    "prove": "flow.bits.prove",
}
HARMLESS = {f"flow/{name}.py" for name in ("errors", "paths", "pipeline", "tools")}


def line(board: str) -> Pipeline:
    return stages.pipeline(runs.preset_work("mlp-digits", board, None, train=True))


def files(stage: Stage) -> set[str]:
    found = {path for glob in stage.sources for path in ROOT.glob(glob)}
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.mark.parametrize("name", RUNS)
def test_a_stage_is_stale_when_anything_that_it_runs_has_changed(name):
    code = (
        f"import importlib, sys; list(map(importlib.import_module, {RUNS[name].split()})); "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('flow.')))"
    )
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    imported = {str(Path(file).relative_to(ROOT)) for file in out.stdout.split()}
    assert len(imported) > 5
    covered = set(HARMLESS)
    for stage in line("pynq-z2").stages:
        covered |= files(stage)
        if stage.name == name:
            break
    assert {file for file in imported if not file.endswith("__init__.py")} <= covered


def test_the_circuit_is_the_same_whichever_the_board():
    pynq, alveo = line("pynq-z2").fingerprints, line("alveo-u250").fingerprints
    assert [pynq[s] for s in ON_CHIP] == [alveo[s] for s in ON_CHIP]
    assert pynq["bitstream"] != alveo["bitstream"]


@pytest.mark.parametrize("board", boards.names())
def test_a_bitstream_rests_on_its_own_boards_files_alone(board):
    (first,) = (s for s in line(board).stages if s.folder.startswith("06"))
    rests_on = files(first)
    own = set(boards.load(board).files)
    assert f"hw/boards/{board}/board.toml" in own and own <= rests_on
    shared = {"hw/boards/alveo"} if board.startswith("alveo") else set()
    folders = {f.rsplit("/", 1)[0] for f in rests_on if f.startswith("hw/boards/")}
    assert folders == {f"hw/boards/{board}"} | shared


def test_a_circuit_is_refused_on_a_board_too_small_for_it(tmp_path):
    fold(mlp(7), 16).save(tmp_path)
    work = runs.preset_work("mlp-digits", "pynq-z2", None, train=True)
    (generate,) = (s for s in stages.pipeline(work).stages if s.name == "generate")
    generate.check(work, tmp_path)
    small = replace(work.board, resources=dict.fromkeys(work.board.resources, 10))
    with pytest.raises(UserError, match="lut are needed, pynq-z2 has 10"):
        generate.check(replace(work, board=small), tmp_path)
