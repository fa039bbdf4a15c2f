"""RTL -> bitstream: synthesis, place and route, frames, read-back, and the figures of all that.

`build` takes the folder that flow.rtl.codegen wrote and puts the board's shell around its module
`top`. What it leaves in its own folder:

    sources/         what sources.py writes, and netlist.json, the mapped netlist
    seed-<n>/        nextpnr's logs, report and result for each seed that was tried
    design.fasm      every configuration feature
    design.bit       the bitstream, and design.bin, what of it is loaded into the device
    placement.json   where each cell lies and which layer it serves
    floorplan.png    a picture of that
    paths.json       the worst path, step by step
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from flow.bits import bitfile, fasm, readback
from flow.errors import UserError
from flow.implement import area, floorplan, place_route, placed, sources, timing
from flow.implement.boards import Board
from flow.implement.sources import Sources, write_sources
from flow.implement.synthesis import Netlist, synthesise
from flow.pipeline import say, write_atomically

FREE_BYTES = 200_000_000
"""Room that must be left on the disk: the intermediate files of one design."""


class Unit(Protocol):
    """An instance in the core's top module and the layer of the graph it serves."""

    @property
    def name(self) -> str: ...
    @property
    def layer(self) -> str: ...


class Design(sources.Design, Protocol):
    """What is needed of flow.rtl.codegen.Design."""

    @property
    def units(self) -> tuple[Any, ...]: ...


def build(
    design: Design,
    board: Board,
    folder: Path,
    clock_mhz: float = 100.0,
    seeds: Sequence[int] | None = None,
    limit: float | None = None,
    packed: bool = False,
) -> dict[str, Any]:
    """Build the bitstream of a design in `folder`; return report sections.

    packed: one bit of memory an input element. clock_mhz: the clock to be met by nextpnr's own
    figure, else UserError. The clock that is shipped is the fastest the board can make that is
    neither faster than this nor than the guarded figure. limit: seconds for each run of place and
    route.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder)
    wanted = board.clock_at_most(clock_mhz)
    written = write_sources(design, board, folder / "sources", packed)
    netlist = synthesise_sources(written, board.slow)
    check_fits(netlist.area, board, "synthesised")
    say("  " + _area_line("synthesised", netlist.area))
    routed = place_route.place_and_route(netlist, board, wanted, folder, seeds, limit)
    cells = placed.cells(routed.netlist)
    owner = area.owners(cells, routed.netlist, netlist.cells, netlist.names)
    layer_of = {unit.name: unit.layer for unit in design.units}
    layers = area.by_layer(cells, owner, layer_of)
    used = placed.area(cells)
    say("  " + _area_line("routed", used))
    back = write_bitstream(routed.fasm, board, folder)
    _write_placement(folder, board, cells, owner, layer_of)
    clock = board.clock_at_most(min(wanted, routed.path.guarded_mhz))
    write_atomically(folder / "paths.json", json.dumps(_paths(routed), indent=1) + "\n")
    say(f"  clock {clock:g} MHz, bitstream read back: {back.features} features")
    return {
        "area": {
            "stage": "routed",
            **used,
            "synthesised": netlist.area,
            **area.parts(layers),
            "layers": layers,
        },
        "timing": {
            "clock_mhz": clock,
            "requested_mhz": clock_mhz,
            "fmax_mhz": round(routed.fmax_mhz, 2),
            "fmax_loaded_mhz": round(routed.path.fmax_mhz, 2),
            "fmax_guarded_mhz": round(routed.path.guarded_mhz, 2),
            "guard_ns": timing.GUARD_NS,
            "source": "nextpnr's estimate",
            "worst_path": timing.describe(routed.path),
        },
        "bitstream": {
            "path": "design.bit",
            "bytes": (folder / "design.bit").stat().st_size,
            "hash": f"{written.build_hash:08x}",
            "readback": {
                "features": back.features,
                "missing": len(back.missing),
                "extra": len(back.extra),
            },
        },
        "pnr_seed": routed.seed,
    }


def synthesise_sources(written: Sources, slow: Sequence[str] = ()) -> Netlist:
    """Map shell and core in the folder where they were written; slow: as for `synthesise`."""
    say("  synthesis")
    log = written.folder / "yosys.log"
    files = list(written.files)
    return synthesise(files, written.top, written.parameters, written.folder, log, slow)


def check_fits(used: dict[str, float], board: Board, stage: str) -> None:
    """Raise UserError if a design takes more of something than the device has."""
    for kind, count in used.items():
        if count > board.resources[kind]:
            raise UserError(
                f"the design takes {count:g} {kind} ({stage}), and {board.name} has "
                f"{board.resources[kind]}; fold the layers more, or move weights elsewhere"
            )


def check_room(folder: Path) -> None:
    """Raise OSError, as a full disk does, if too little room is left to work in."""
    if shutil.disk_usage(folder).free < FREE_BYTES:
        raise OSError(errno.ENOSPC, "less than 200 MB left", str(folder))


def write_bitstream(fasm_path: Path, board: Board, folder: Path) -> readback.ReadBack:
    """Assemble design.bit and .bin from a FASM file and compare what the first holds with it."""
    target = folder / "design.fasm"
    shutil.copyfile(fasm_path, target)
    frames = folder / "design.frames"
    fasm.assemble(target, board.part, frames)
    bit = fasm.write_bit(frames, board.part, folder / "design.bit")
    frames.unlink()
    bitfile.write_bin(bit, folder / "design.bin")
    return readback.read_back(bit, target, board.part).check()


def _write_placement(
    folder: Path,
    board: Board,
    cells: list[placed.PlacedCell],
    owner: dict[str, str],
    layer_of: dict[str, str],
) -> None:
    places = [
        {"type": c.type, "x": c.x, "y": c.y, "layer": layer_of.get(owner[c.name], owner[c.name])}
        for c in cells
    ]
    write_atomically(folder / "placement.json", json.dumps(places) + "\n")
    floorplan.draw(places, board.part, folder / "floorplan.png")


def _paths(routed: place_route.Routed) -> dict[str, Any]:
    return {
        "seed": routed.seed,
        "nextpnr": routed.reported_path,
        "loaded": {"delay_ns": routed.path.delay_ns, "steps": timing.listing(routed.path)},
    }


def _area_line(stage: str, used: dict[str, float]) -> str:
    return f"{stage}: {used['lut']:g} LUT, {used['ff']:g} FF, {used['bram36']:g} block RAM"
