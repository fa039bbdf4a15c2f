"""A PYNQ-Z2 without a PYNQ-Z2: the whole programmable logic, simulated, under unmodified pynq.

    prepare(bitstream, folder)    in .venv: make the board of a bitstream's folder (a minute)
    activate(folder, ...)         in pynq's environment (PYTHON): make it the board that pynq finds

A program in pynq's environment finds this package with the repository in PYTHONPATH.
`python -m flow.board` has commands.

build.py makes the folder, device.py is pynq's Device; model.py speaks with the program that
hw/sim/board is compiled to; buffers.py has memory and cache, processor.py the Zynq's own registers,
faults.py what is injected and what the user then sees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flow.paths import TOOLS

PYTHON = TOOLS / "pynq" / "bin" / "python"


def prepare(bitstream: str | Path, folder: str | Path) -> Path:
    """See flow.board.build.prepare."""
    from flow.board import build  # needs what is in .venv only

    return build.prepare(Path(bitstream), Path(folder))


def activate(*folders: str | Path) -> Any:
    """The SimulatedDevice of these folders, from now on `pynq.Device.active_device`."""
    from flow.board.device import SimulatedDevice  # needs pynq

    return SimulatedDevice(*folders).activate()
