"""RTL -> bitstream: synthesis, place and route, frames, read-back, and the figures of all that.

`build` takes the folder that flow.rtl.codegen wrote and puts the board's shell around its module
`top`. What it leaves in its own folder:

    sources/         the RTL and memory files, and netlist.json, the mapped netlist
    seed-<n>/        nextpnr's logs, report and result for each seed that was tried
    design.fasm      every configuration feature
    design.bit       the bitstream
    placement.json   where each cell lies and which layer it serves
    floorplan.png    a picture of that
    paths.json       the worst path, step by step
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from flow.bits import fasm, readback
from flow.errors import UserError
from flow.implement import area, floorplan, place_route, placed, timing
from flow.implement.boards import Board
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


class Design(Protocol):
    """What is needed of flow.rtl.codegen.Design."""

    @property
    def folder(self) -> Path: ...
    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def in_bits(self) -> int: ...
    @property
    def out_bits(self) -> int: ...
    @property
    def memories(self) -> tuple[Any, ...]: ...
    @property
    def units(self) -> tuple[Any, ...]: ...


def build(
    design: Design,
    board: Board,
    folder: Path,
    clock_mhz: float = 100.0,
    seeds: Sequence[int] = place_route.SEEDS,
    limit: float | None = None,
) -> dict[str, Any]:
    """Build the bitstream of a design in `folder`; return report sections.

    clock_mhz: the clock to be met by nextpnr's own figure, else UserError. The clock that is
    shipped is the fastest the board can make that is neither faster than this nor than the
    guarded figure. limit: seconds for each run of place and route.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder)
    wanted = board.clock_at_most(clock_mhz)
    netlist, build_hash = synthesise_design(design, board, folder / "sources")
    check_fits(netlist.area, board, "synthesised")
    say("  " + _area_line("synthesised", netlist.area))
    routed = place_route.place_and_route(netlist, board, wanted, folder, seeds, limit)
    cells = placed.cells(routed.netlist)
    owner = area.owners(cells, routed.netlist, netlist.cells, netlist.names)
    layer_of = {unit.name: unit.layer for unit in design.units}
    used = placed.area(cells)
    say("  " + _area_line("routed", used))
    back = write_bitstream(routed.fasm, board, folder)
    _write_placement(folder, board, cells, owner, layer_of)
    clock = board.clock_at_most(min(wanted, routed.guarded.fmax_mhz))
    write_atomically(folder / "paths.json", json.dumps(_paths(routed), indent=1) + "\n")
    say(f"  clock {clock:g} MHz, bitstream read back: {back.features} features")
    return {
        "area": {
            "stage": "routed",
            **used,
            "synthesised": netlist.area,
            "layers": area.by_layer(cells, owner, layer_of),
        },
        "timing": {
            "clock_mhz": clock,
            "requested_mhz": clock_mhz,
            "fmax_mhz": round(routed.fmax_mhz, 2),
            "fmax_loaded_mhz": round(routed.path.fmax_mhz, 2),
            "fmax_guarded_mhz": round(routed.guarded.fmax_mhz, 2),
            "guard_ns": timing.GUARD_NS,
            "source": "nextpnr's estimate",
            "worst_path": timing.describe(routed.guarded),
        },
        "bitstream": {
            "path": "design.bit",
            "bytes": (folder / "design.bit").stat().st_size,
            "hash": f"{build_hash:08x}",
            "readback": {
                "features": back.features,
                "missing": len(back.missing),
                "extra": len(back.extra),
            },
        },
        "pnr_seed": routed.seed,
    }


def synthesise_design(design: Design, board: Board, folder: Path) -> tuple[Netlist, int]:
    """Put core and shell into one folder and map them; the netlist, and the design's hash.

    The hash covers every source and memory file, so it changes with each weight.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = [design.folder / name for name in design.files]
    memories = [design.folder / memory.file for memory in design.memories]
    digest = hashlib.sha256()
    for path in (*sources, *board.sources, *memories):
        content = path.read_bytes()
        (folder / path.name).write_bytes(content)
        digest.update(path.name.encode() + b"\0" + content)
    build_hash = int.from_bytes(digest.digest()[:4], "big")
    files = [path.name for path in (*sources, *board.sources)]
    say("  synthesis")
    parameters = {"IN_BITS": design.in_bits, "OUT_BITS": design.out_bits, "BUILD": build_hash}
    log = folder / "yosys.log"
    netlist = synthesise(files, board.top, parameters, folder, log, board.slow)
    return netlist, build_hash


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
    """Assemble design.bit from a FASM file and compare what it holds with the file."""
    target = folder / "design.fasm"
    shutil.copyfile(fasm_path, target)
    frames = folder / "design.frames"
    fasm.assemble(target, board.part, frames)
    bit = fasm.write_bit(frames, board.part, folder / "design.bit")
    frames.unlink()
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
        "guarded": {"delay_ns": routed.guarded.delay_ns, "steps": timing.listing(routed.guarded)},
    }


def _area_line(stage: str, used: dict[str, float]) -> str:
    return f"{stage}: {used['lut']:g} LUT, {used['ff']:g} FF, {used['bram36']:g} block RAM"
