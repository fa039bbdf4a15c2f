"""The stages of the pipeline that take a design through Vivado or Vitis.

    06-vivado-<board>, 06-vitis-<board>     all that the tool needs: complete without it
    07-vivado-<board>, 07-vitis-<board>     its bitstream, reports and logs

Where the tool is not on PATH the second ends in a UserError that says what to run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flow.implement.boards import Board
from flow.pipeline import Stage
from flow.vendor import alveo, kernel, packaging, vivado

Describe = Callable[[Any, Any, dict[str, Any], Path], None]
"""Writes what goes with a bitstream: (work, design, report sections, its path)."""

SOURCES = (
    *("flow/vendor/*.py", "flow/implement/sources.py", "flow/shell/*"),
    *("hw/boards/alveo/*.*", "hw/driver/hanbit_board/*.py"),
)  # and the board's own files


def stages(board: Board, describe: Describe) -> tuple[Stage, Stage]:
    """The two stages for a board that is to be built with `board.toolchain`."""
    part = f"{board.toolchain}-{board.name}"
    staged = f"06-{part}"

    def project(work: Any, folder: Path) -> dict[str, Any]:
        _, design = work.rtl()
        packed = work.hardware.packed
        if board.toolchain == "vivado":
            vivado.stage(design, board, folder, work.hardware.clock_mhz, packed)
            return {}
        written = alveo.stage(design, board, folder, packed)
        asked = {
            "timing": {"clock_mhz": board.kernel_mhz},
            "bitstream": {"hash": f"{written.build_hash:08x}"},
        }
        describe(work, design, asked, folder / f"{kernel.load().name}.xclbin")
        return {}

    def bitstream(work: Any, folder: Path) -> dict[str, Any]:
        if board.toolchain == "vitis":
            return alveo.build(work.root / staged, board, folder)
        _, design = work.rtl()
        clock = work.hardware.clock_mhz
        built = vivado.build(work.root / staged, design, board, folder, clock)
        describe(work, design, built, folder / built["bitstream"]["path"])
        return built

    def options(work: Any) -> list[Any]:
        return [board.name, board.toolchain, work.hardware.clock_mhz]

    sources = (*SOURCES, *board.files, *packaging.as_kernel(board).files)

    return (
        Stage("project", staged, project, options, sources),
        # Resumable only so that the tool's logs are there after a failure.
        Stage("bitstream", f"07-{part}", bitstream, options, ("flow/vendor/*.py",), resumable=True),
    )
