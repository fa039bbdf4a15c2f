"""The same design through Vivado: what to give it, running it, and its figures as report sections.

`stage` leaves in its folder

    sources/        the RTL, memory files and parameters, as for the open flow
    build.tcl       synthesis to bitstream, with utilisation and timing reports
    <board>.xdc     the board's constraints
    ip/sources/     the same core and shell with AXI ports
    ip/package.tcl  packages them as an IP for a block design

`build` runs both scripts and reads the reports. Only Vivado can say whether it takes all this.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from flow.errors import UserError
from flow.implement import area, sources
from flow.implement.boards import Board
from flow.implement.sources import Sources, write_sources
from flow.implement.timing import SLOW_CYCLES
from flow.pipeline import say, write_atomically
from flow.vendor import packaging, reports
from flow.vendor.run import need, run

SCRIPT, PACKAGE = "build.tcl", "package.tcl"
COMMAND = f"vivado -mode batch -source {SCRIPT}"
IP_NAME = "hanbit"


class Design(sources.Design, Protocol):
    """What is needed of flow.rtl.codegen.Design."""

    @property
    def units(self) -> tuple[Any, ...]: ...


def stage(
    design: sources.Design, board: Board, folder: Path, clock_mhz: float, packed: bool = False
) -> Sources:
    """Write everything that Vivado needs into `folder`. packed: as for `write_sources`."""
    written = write_sources(design, board, folder / "sources", packed)
    shutil.copyfile(board.constraints, folder / board.constraints.name)
    script = build_tcl(written, board, board.clock_at_most(clock_mhz))
    write_atomically(folder / SCRIPT, script)
    package = packaging.as_kernel(board)
    inside = write_sources(design, package, folder / "ip" / "sources", packed)
    bits = packaging.address_bits(board)
    top = packaging.write_top(inside, IP_NAME, ap_ctrl=False, bits=bits)
    text = packaging.tcl(package, inside, top, ap_ctrl=False)
    write_atomically(folder / "ip" / PACKAGE, text)
    return written


def build_tcl(written: Sources, board: Board, clock_mhz: float) -> str:
    """The script from RTL to bitstream; its results go where its one argument says, or to `out`."""
    memories = sorted(path.name for path in written.folder.glob("*.mem"))
    generics = [
        f"{key}=32'h{value:08X}" if key == sources.HASH else f"{key}={value}"
        for key, value in written.parameters.items()
    ]
    lines = [
        f"# {board.title}: RTL to bitstream, without a project.",
        "set here [file dirname [file normalize [info script]]]",
        "set out [expr {$argc > 0 ? [lindex $argv 0] : [file join $here out]}]",
        "file mkdir $out",
        "cd [file join $here sources]",
        f"create_project -in_memory -part {board.part}",
        f"read_verilog -sv {packaging.tcl_list(list(written.files))}",
        f"read_mem {packaging.tcl_list(memories)}" if memories else "",
        f"read_xdc [file join $here {board.constraints.name}]",
        f"synth_design -top {written.top} -part {board.part} -flatten_hierarchy rebuilt \\",
        f"  -generic {packaging.tcl_list(generics, '    ')}",
        "",
        "# The clock comes from the processing system, which a script without its IP must tell.",
        f"create_clock -name fclk0 -period {1000 / clock_mhz:.3f} [get_pins {{ps7/FCLKCLK[0]}}]",
        f"# Nets that have {SLOW_CYCLES} cycles to settle. Where one is not found by its name, its",
        "# paths keep a single cycle, which is stricter.",
        f"foreach net {{{' '.join(board.slow)}}} {{",
        "  set drivers [get_cells -quiet -of_objects [get_pins -quiet -leaf \\",
        "    -of_objects [get_nets -quiet $net] -filter {DIRECTION == OUT}]]",
        "  if {[llength $drivers] > 0} {",
        f"    set_multicycle_path {SLOW_CYCLES} -setup -from $drivers",
        f"    set_multicycle_path {SLOW_CYCLES - 1} -hold -from $drivers",
        "  }",
        "}",
        "",
        "opt_design",
        "place_design",
        "phys_opt_design",
        "route_design",
        "report_utilization -file [file join $out utilization.rpt]",
        "report_utilization -hierarchical -file [file join $out hierarchy.rpt]",
        "report_timing_summary -delay_type min_max -max_paths 10 \\",
        "  -file [file join $out timing_summary.rpt]",
        "report_drc -file [file join $out drc.rpt]",
        "write_checkpoint -force [file join $out design.dcp]",
        "write_bitstream -force -bin_file [file join $out design.bit]",
        "",
    ]
    return "\n".join(lines)


def build(
    staged: Path, design: Design, board: Board, folder: Path, clock_mhz: float
) -> dict[str, Any]:
    """Run Vivado on what `stage` wrote; results into `folder`; return report sections.

    A UserError of one line where there is no Vivado, where it fails, or where the clock is not met.
    """
    need(("vivado",), staged, COMMAND)
    folder = folder.resolve()
    say("  Vivado: synthesis to bitstream")
    arguments = ["-mode", "batch", "-nojournal", "-log", str(folder / "vivado.log"), "-source"]
    run(["vivado", *arguments, SCRIPT, "-tclargs", str(folder)], staged, folder / "vivado.out")
    say("  Vivado: packaging the IP")
    arguments[4] = str(folder / "package.log")
    run(["vivado", *arguments, PACKAGE], staged / "ip", folder / "package.out")
    return sections(Sources.load(staged / "sources"), design.units, board, folder, clock_mhz)


def sections(
    written: Sources, units: Sequence[Any], board: Board, folder: Path, clock_mhz: float
) -> dict[str, Any]:
    """Report sections from the files that build.tcl left in `folder`."""
    wanted = board.clock_at_most(clock_mhz)
    used = reports.utilisation(folder / "utilization.rpt")
    instances = reports.hierarchy(folder / "hierarchy.rpt")
    found = timing(folder / "timing_summary.rpt", wanted)
    bit = folder / "design.bit"
    if not bit.is_file():
        raise UserError(f"{bit}: missing; Vivado wrote no bitstream (see {folder / 'vivado.out'})")
    version = reports.tool_version((folder / "utilization.rpt").read_text(errors="replace"))
    layers = reports.by_layer(instances, {unit.name: unit.layer for unit in units})
    return {
        "tools": {"vivado": version},
        "area": {"stage": "routed", **used, **area.parts(layers), "layers": layers},
        "timing": found | {"requested_mhz": clock_mhz, "clock_mhz": wanted},
        "bitstream": {
            "path": bit.name,
            "bytes": bit.stat().st_size,
            "hash": f"{written.build_hash:08x}",
        },
    }


def timing(path: Path, wanted_mhz: float) -> dict[str, Any]:
    """The section `timing` of a timing summary; UserError if the clock wanted is not met."""
    found = reports.timing_summary(path)
    period = 1000 / wanted_mhz
    if found.wns_ns < 0 or found.whs_ns < 0:
        kind, slack = ("set-up", found.wns_ns) if found.wns_ns < 0 else ("hold", found.whs_ns)
        raise UserError(
            f"{wanted_mhz:g} MHz is not met: worst {kind} slack {slack:g} ns, "
            f"{found.path or 'no path listed'} ({path}); ask for a slower clock"
        )
    return {
        "fmax_mhz": round(1000 / (period - found.wns_ns), 2),
        "worst_slack_ns": found.wns_ns,
        "source": "Vivado",
        "worst_path": found.path,
    }
