"""Commands of the simulated board, in .venv: `python -m flow.board COMMAND`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from flow.board import PYTHON, prepare
from flow.errors import UserError
from flow.paths import ROOT

PATH = (ROOT, ROOT / "hw" / "driver")


def in_pynq(module: str, *arguments: str | Path, python: Path = PYTHON) -> int:
    """Run a module of this package in pynq's environment; its status."""
    if not python.is_file():
        raise UserError(f"{python}: no environment with pynq; run `make setup`")
    path = os.pathsep.join(str(folder) for folder in PATH)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore::UserWarning"}
    command = [str(python), "-m", f"flow.board.{module}", *map(str, arguments)]
    return subprocess.run(command, env=environment).returncode


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m flow.board", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("prepare", "make the simulated board of a bitstream"),
        ("faults", "inject faults, write faults.md and faults.json"),
        ("exercise", "every call of the driver, write exercise.json"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("bitstream", type=Path, help="folder of the bitstream stage")
        command.add_argument("board", type=Path, help="folder of the simulated board, made here")
        if name == "exercise":
            command.add_argument("images", type=Path, help=".npz: images, results, labels")
            command.add_argument("--count", type=int, default=0, help="the first so many of them")
        if name != "prepare":
            command.add_argument("out", type=Path, help="folder of the results")
    given = parser.parse_args(arguments)
    try:
        board = prepare(given.bitstream, given.board)
        if given.command == "prepare":
            print(f"simulated board: {board}")
            return 0
        if given.command == "faults":
            return in_pynq("faults", given.bitstream, board, given.out)
        count = str(given.count)
        return in_pynq("exercise", given.bitstream, board, given.images, given.out, count)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
