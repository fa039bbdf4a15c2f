"""The whole programmable logic in RTL simulation, the processor played by hw/sim/ps7_model.sv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flow import tools
from flow.implement.sources import Sources
from flow.paths import SIM
from flow.shell import processor
from flow.shell.processor import Replies, Script

DRAM = {"latency": 40, "refresh": 780}
"""What a PYNQ-Z2's memory does at 100 MHz, in cycles: latency of a read at the port, time from one
refresh to the next (7.8 us; hp_memory.sv has how long one takes)."""

MODELS = (SIM / "zynq.sv", SIM / "ps7_model.sv", SIM / "hp_memory.sv")


def compile_board(sources: Sources) -> Path:
    """Verilate a board's top in the folder of its sources; the program."""
    tools.run(
        "verilator",
        *("--binary", "--timing", "-j", "2", "--top-module", sources.top, "-O3"),
        *("--x-assign", "fast", "--x-initial", "fast", "-CFLAGS", "-O1", "-Wno-fatal"),
        *(f"-G{name}={value}" for name, value in sources.parameters.items()),
        *("--Mdir", "board", "-o", "board"),
        *MODELS,
        *sources.files,
        cwd=sources.folder,
        log=sources.folder / "verilator.log",
    )
    return (sources.folder / "board" / "board").resolve()


def play(
    program: Path, script: Script, memory: np.ndarray, timing: Mapping[str, int] | None = None
) -> Replies:
    """Run a script on `memory`, bytes from `processor.MEMORY` on. timing: plus arguments."""
    folder = program.parent.parent
    processor.write_memory(folder / "memory.hex", memory)
    (folder / "script.txt").write_text(script.text)
    tools.run(
        program,
        *("+script=script.txt", "+replies=replies.txt", "+memory=memory.hex"),
        *(f"+{name}={value}" for name, value in (timing or {}).items()),
        cwd=folder,
        log=folder / "run.log",
        timeout=3600,
    )
    return script.replies((folder / "replies.txt").read_text().splitlines())
