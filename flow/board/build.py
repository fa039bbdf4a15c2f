"""A bitstream folder -> the folder of a simulated board that holds this bitstream.

    board.json    what the bitstream is: part, hash of its payload
    model/        the sources, the Verilated program `board` and its memory files

Runs in `.venv`; what it leaves is used by flow.board.device in pynq's environment.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from flow import tools
from flow.bits import bitfile
from flow.errors import UserError
from flow.implement.sources import Sources
from flow.paths import SIM
from flow.pipeline import write_atomically

BOARD = SIM / "board"
BOARD_SOURCES = (SIM / "zynq.sv", BOARD / "board.sv", BOARD / "board.cpp")
INCLUDED = (BOARD / "hp0.hpp", BOARD / "rules.hpp")
MODEL, PROGRAM, FACTS = "model", "board", "board.json"

FLAGS = (
    *("--cc", "--exe", "--build", "-j", "2", "--Mdir", "obj", "-o", f"../{PROGRAM}"),
    *("--top-module", "board", "-O3", "--x-assign", "fast", "--x-initial", "fast"),
    *("-Wno-fatal", "-CFLAGS", "-std=c++17", "-MAKEFLAGS", "OPT_FAST=-O2"),
)


def prepare(bitstream: Path, folder: Path) -> Path:
    """Make the simulated board of a bitstream; returns `folder`.

    bitstream: a folder with `design.bit` and `sources/`, as the bitstream stage leaves it. About a
    minute; nothing where `folder` is right already. Raises UserError where something is missing,
    ToolError where Verilator fails.
    """
    bit = bitstream / "design.bit"
    if not bit.is_file():
        raise UserError(f"{bit}: missing; build the bitstream first")
    found = bitfile.read(bit)
    sources = Sources.load(bitstream / "sources")
    facts = {
        "part": found.part,
        "payload_sha256": hashlib.sha256(found.payload).hexdigest(),
        "digest": _digest(sources),
    }
    model, target = folder / MODEL, folder / FACTS
    before = json.loads(target.read_text()) if target.is_file() else {}
    if before.get("digest") == facts["digest"] and (model / PROGRAM).is_file():
        if before != facts:
            write_atomically(target, json.dumps(facts, indent=1) + "\n")
        return folder
    target.unlink(missing_ok=True)
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(sources.folder, model)
    parameters = ", ".join(f".{name}({value})" for name, value in sources.parameters.items())
    (model / "parameters.svh").write_text(
        f"`define BOARD_TOP {sources.top}\n`define BOARD_PARAMETERS {parameters}\n"
    )
    tools.run(
        "verilator", *FLAGS, *BOARD_SOURCES, *sources.files, cwd=model, log=model / "verilator.log"
    )
    shutil.rmtree(model / "obj")
    write_atomically(target, json.dumps(facts, indent=1) + "\n")
    return folder


def _digest(sources: Sources) -> str:
    """Of all that the program depends on."""
    digest = hashlib.sha256(repr((FLAGS, sources.top, sources.files, sources.parameters)).encode())
    for path in (*BOARD_SOURCES, *INCLUDED, *sorted(sources.folder.iterdir())):
        if path.suffix in (".sv", ".cpp", ".hpp", ".mem"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
