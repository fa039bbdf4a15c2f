"""The accelerator as a kernel on an Alveo card: what Vitis and the host need, and running Vitis.

`stage` leaves in its folder

    sources/        the RTL, memory files and parameters, and the kernel's top in Verilog
    kernel.xml      ports and arguments
    package.tcl     packages the kernel into hanbit.xo, in Vivado
    link.cfg        for v++: the kernel's clock, number and memory
    build.sh        both, for `hw` or `hw_emu`
    host.py         runs the kernel by pyxrt; with kernel_map.py, hanbit_board/ and, from the flow,
                    hanbit.json, which says how images and results lie in memory

`build` runs build.sh and reads the reports. Only Vitis can say whether it takes all this.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from flow.errors import UserError
from flow.implement import sources
from flow.implement.boards import Board
from flow.implement.sources import Sources, write_sources
from flow.paths import ROOT
from flow.pipeline import say, write_atomically
from flow.vendor import kernel, packaging, reports, vivado
from flow.vendor.run import need, run

SCRIPT = "build.sh"
DRIVER = ROOT / "hw" / "driver" / "hanbit_board"
HOST = kernel.FOLDER / "host.py"


def stage(design: sources.Design, board: Board, folder: Path, packed: bool = False) -> Sources:
    """Write everything that Vitis and the host need into `folder`."""
    described = kernel.load()
    written = write_sources(design, board, folder / "sources", packed)
    top = packaging.write_top(written, described.name, ap_ctrl=True, bits=64)
    package = packaging.tcl(board, written, top, ap_ctrl=True)
    write_atomically(folder / vivado.PACKAGE, package)
    write_atomically(folder / "kernel.xml", kernel.xml(described))
    write_atomically(folder / "link.cfg", link_cfg(board))
    write_atomically(folder / SCRIPT, build_sh(board, described.name))
    (folder / SCRIPT).chmod(0o755)
    for path in (HOST, kernel.MAP):
        shutil.copyfile(path, folder / path.name)
    package_of_driver = folder / DRIVER.name
    package_of_driver.mkdir(exist_ok=True)
    for path in sorted(DRIVER.glob("*.py")):
        shutil.copyfile(path, package_of_driver / path.name)
    return written


def link_cfg(board: Board) -> str:
    """The board's link.cfg with the platform and the clock before its sections."""
    return (
        f"platform={board.platform}\nkernel_frequency={board.kernel_mhz:g}\n"
        f"save-temps=1\n\n{board.constraints.read_text()}"
    )


def build_sh(board: Board, name: str) -> str:
    """RTL to .xclbin; its first argument is `hw` or `hw_emu`, its second the output folder."""
    return f"""#!/bin/sh
# {board.title}: packages the kernel and links it. Usage: ./{SCRIPT} [hw|hw_emu] [OUTPUT_FOLDER]
set -eu
cd "$(dirname "$0")"
target=${{1:-hw}}
out=${{2:-out}}
mkdir -p "$out"
vivado -mode batch -nojournal -log "$out/package.log" -source {vivado.PACKAGE}
v++ --link --target "$target" --config link.cfg --temp_dir "$out/temp" \\
  --report_dir "$out/reports" --log_dir "$out/logs" {name}.xo --output "$out/{name}.xclbin"
"""


def build(staged: Path, board: Board, folder: Path) -> dict[str, Any]:
    """Run Vitis on what `stage` wrote; results into `folder`; return report sections.

    A UserError of one line where the tools are not there or fail.
    """
    need(("v++", "vivado"), staged, f"./{SCRIPT}")
    folder = folder.resolve()
    say("  Vitis: packaging and linking the kernel (hours)")
    run([f"./{SCRIPT}", "hw", str(folder)], staged, folder / "vitis.out")
    return sections(Sources.load(staged / "sources"), board, folder)


def sections(written: Sources, board: Board, folder: Path) -> dict[str, Any]:
    """Report sections from the files that build.sh left in `folder`.

    A UserError where the clock asked for was not met: Vitis then lowers it by itself.
    """
    name = kernel.load().name
    utilisation = _one(folder, "*kernel_util_routed.rpt")
    summary = _one(folder, "*timing_summary*routed*.rpt")
    found = vivado.timing(summary, board.kernel_mhz)
    del found["fmax_mhz"]  # the worst slack may be that of another clock of the platform
    xclbin = folder / f"{name}.xclbin"
    if not xclbin.is_file():
        raise UserError(f"{xclbin}: missing; v++ wrote none (see {folder / 'vitis.out'})")
    version = reports.tool_version(utilisation.read_text(errors="replace"))
    return {
        "tools": {"vitis": version},
        "area": {
            "stage": "routed",
            **reports.kernel_utilisation(utilisation, f"{name}_1"),
            "layers": [],
        },
        "timing": found | {"requested_mhz": board.kernel_mhz, "clock_mhz": board.kernel_mhz},
        "bitstream": {
            "path": xclbin.name,
            "bytes": xclbin.stat().st_size,
            "hash": f"{written.build_hash:08x}",
        },
    }


def _one(folder: Path, pattern: str) -> Path:
    """The report of that name, wherever the version of Vitis puts it below its folder."""
    paths = sorted(folder.rglob(pattern), key=lambda path: (len(path.parts), path))
    if not paths:
        raise UserError(f"{folder}: no {pattern} below it; was the link for hardware?")
    return paths[0]
