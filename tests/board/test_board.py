"""The simulated board under unmodified pynq: its checks, the driver's calls, the fault table."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_network import bit, small

from flow.board import PYTHON, prepare
from flow.board.__main__ import PATH, in_pynq, main
from flow.errors import UserError
from flow.paths import TOOLS

HERE = Path(__file__).parent
OLDER = TOOLS / "pynq-3.0.1" / "bin" / "python"
NAMES = [
    function.name
    for function in ast.parse((HERE / "in_pynq.py").read_text()).body
    if isinstance(function, ast.FunctionDef) and function.decorator_list
]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def board(network):
    return prepare(network.bitstream, network.bitstream.parent / "board")


def run(python: Path, network, board) -> dict[str, str | None]:
    if not python.is_file():
        pytest.skip(f"{python.parts[-3]} is not installed: no Python for it was found")
    path = os.pathsep.join(map(str, PATH))
    done = subprocess.run(
        [str(python), str(HERE / "in_pynq.py"), str(network.bitstream), str(board)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(network, board):
    return run(PYTHON, network, board)


@pytest.fixture(scope="module")
def found_by_older(network, board):
    return run(OLDER, network, board)


@pytest.mark.parametrize("name", NAMES)
def test_with_pynq_3_1(name, found):
    assert found[name] is None, found[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_with_pynq_3_0_1(name, found_by_older):
    assert found_by_older[name] is None, found_by_older[name]


def test_every_call_of_the_driver(network, board, tmp_path, capfd):
    images = str(network.bitstream.parent / "images.npz")
    arguments = [str(network.bitstream), str(board), images, str(tmp_path)]
    assert main(["exercise", *arguments, "--count", "20"]) == 0
    found = json.loads((tmp_path / "exercise.json").read_text())
    assert found["device"] == "simulated board"
    assert found["validate"] == {"images": 20, "mismatches": 0, "first_mismatch": None}
    assert found["execute"] == found["execute_async"] == 0
    assert found["throughput_test"]["batch_size"] == 20
    assert json.loads(capfd.readouterr().out) == found


def test_the_fault_table(network, board, tmp_path):
    assert in_pynq("faults", network.bitstream, board, tmp_path) == 0
    found = json.loads((tmp_path / "faults.json").read_text())
    assert found["device"] == "simulated board"
    assert [row["fault"] for row in found["faults"] if not row["as_expected"]] == []
    assert len(found["faults"]) == 21
    lines = (tmp_path / "faults.md").read_text().splitlines()
    assert len(lines) == 23 and all(line.count("|") == 5 for line in lines)


def test_a_wrong_result_is_a_failure(network, board, tmp_path, capfd):
    wrong = network.results.copy()
    wrong[3] ^= 1
    np.savez(tmp_path / "images.npz", images=network.images, results=wrong)
    arguments = [str(network.bitstream), str(board), str(tmp_path / "images.npz"), str(tmp_path)]
    assert main(["exercise", *arguments]) == 1
    found = json.loads(capfd.readouterr().out)
    assert found["validate"]["mismatches"] == found["execute"] == found["execute_async"] == 1


def test_a_board_is_made_once(network, board):
    program = board / "model" / "board"
    before = program.stat().st_mtime_ns
    assert prepare(network.bitstream, board) == board
    assert program.stat().st_mtime_ns == before
    original = network.bitstream.joinpath("design.bit").read_bytes()
    facts = json.loads((board / "board.json").read_text())
    try:  # another payload of the same sources: the same model
        network.bitstream.joinpath("design.bit").write_bytes(bit(noise=1))
        prepare(network.bitstream, board)
        after = json.loads((board / "board.json").read_text())
        assert after["payload_sha256"] != facts["payload_sha256"]
        assert program.stat().st_mtime_ns == before
    finally:
        network.bitstream.joinpath("design.bit").write_bytes(original)
        prepare(network.bitstream, board)


@pytest.mark.parametrize("missing", ["design.bit", "sources/parameters.json"])
def test_what_is_missing_is_said_in_one_line(missing, network, tmp_path, capsys):
    folder = tmp_path / "bitstream"
    shutil.copytree(network.bitstream, folder)
    (folder / missing).unlink()
    assert main(["prepare", str(folder), str(tmp_path / "board")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and missing.split("/")[-1] in said and said.count("\n") == 1
    assert not (tmp_path / "board").exists()


def test_without_pynq_setup_is_named(tmp_path):
    with pytest.raises(UserError, match="make setup"):
        in_pynq("faults", python=tmp_path / "python")


def test_the_environment_of_pynq_has_nothing_of_ours():
    """What runs there must not need torch or FINN."""
    code = "import flow.board.device, flow.board.faults, sys; print(sorted(sys.modules))"
    done = subprocess.run(
        [str(PYTHON), "-c", code],
        env={"PYTHONPATH": os.pathsep.join(map(str, PATH))},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = ast.literal_eval(done.stdout)
    assert not {"torch", "qonnx", "finn", "brevitas"} & set(loaded)
    assert sys.version_info >= (3, 11)
