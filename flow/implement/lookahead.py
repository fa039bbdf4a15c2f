"""A look ahead: place and route a synthetic network of CNV's size, and note what limits.

`python -m flow.implement.lookahead --out build/lookahead` builds a chain of binary layers whose
arrays take about the LUTs and block RAMs of FINN's CNV on the same chip (17 000 LUTs, 70 block RAMs
of 36 kbit, weights in block RAM, thresholds between the layers), with random weights, and runs
several seeds one after the other. `lookahead.json` gets, for every seed: seconds, memory, the
frequency by nextpnr, with loads and with the guard, and the worst paths. It is a bench, not a part
of the flow.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from flow import tools
from flow.graph import Graph, Layer, MatrixVector, Stream, Threshold
from flow.implement import area, boards, placed, timing
from flow.implement.bitstream import check_fits, synthesise_sources, write_sources
from flow.implement.place_route import run_seed
from flow.pipeline import say, write_atomically
from flow.rtl import codegen

CHANNELS = (576, 256, 1024, 512, 1024, 256, 512, 64)
FOLDING = ((32, 32), (32, 32), (32, 32), (32, 32), (16, 32), (8, 32), (4, 32))
"""(PE, SIMD) of each layer; a word of PE * SIMD weights is read every cycle."""


def network(seed: int = 0) -> Graph:
    """Binary layers of CHANNELS, folded, weights and thresholds random."""
    random = np.random.default_rng(seed)
    streams = [Stream("x0", (CHANNELS[0],), "BINARY")]
    layers: list[Layer] = []
    for index, ((MW, MH), (PE, SIMD)) in enumerate(
        zip(pairwise(CHANNELS), FOLDING, strict=True), 1
    ):
        counts = Stream(f"counts{index}", (MH,), f"UINT{MW.bit_length()}")
        signs = Stream(f"x{index}", (MH,), "BINARY")
        weights = random.integers(0, 2, (MH, MW)).astype(np.uint8)
        levels = random.integers(MW // 2 - MW // 8, MW // 2 + MW // 8, (MH, 1))
        layers += [
            MatrixVector(f"fc{index}", streams[-1].name, counts.name, weights, PE, SIMD, "block"),
            Threshold(f"sign{index}", counts.name, signs.name, levels, PE),
        ]
        streams += [counts, signs]
    names = {stream.name: stream for stream in streams}
    return Graph("lookahead", tuple(layers), names, "x0", streams[-1].name).check()


def look_ahead(folder: Path, seeds: list[int], limit: float, clock_mhz: float) -> dict[str, Any]:
    """Build and measure; the result is written after every seed."""
    board = boards.load("pynq-z2")
    graph = network()
    design = codegen.generate(graph, folder / "rtl")
    start = time.monotonic()
    netlist = synthesise_sources(write_sources(design, board, folder / "sources"), board.slow)
    check_fits(netlist.area, board, "synthesised")
    result: dict[str, Any] = {
        "cycles": {layer.name: layer.cycles(graph) for layer in graph},
        "synthesised": netlist.area,
        "synthesis_seconds": round(time.monotonic() - start, 1),
        "clock_mhz": clock_mhz,
        "limit_seconds": limit,
        "runs": [],
    }
    layer_of = {unit.name: unit.layer for unit in design.units}
    for seed in seeds:
        begin = time.monotonic()
        run: dict[str, Any] = {"seed": seed}
        try:
            routed = run_seed(netlist, board, clock_mhz, folder, seed, limit, Event())
        except tools.ToolTimeout:
            run["stalled"] = True
        else:
            cells = placed.cells(routed.netlist)
            owner = area.owners(cells, routed.netlist, netlist.cells, netlist.names)
            run |= {
                "routed": placed.area(cells),
                "layers": area.by_layer(cells, owner, layer_of),
                "fmax_mhz": round(routed.fmax_mhz, 2),
                "fmax_loaded_mhz": round(routed.path.fmax_mhz, 2),
                "fmax_guarded_mhz": round(routed.guarded.fmax_mhz, 2),
                "nextpnr_path": routed.reported_path,
                "loaded_path": timing.listing(routed.path),
                "guarded_path": timing.listing(routed.guarded),
            }
        run["seconds"] = round(time.monotonic() - begin, 1)
        run["router"] = router_progress(folder / f"seed-{seed}" / "nextpnr.log")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        result["peak_memory_mib"] = round(peak / 1024)
        result["runs"].append(run)
        write_atomically(folder / "lookahead.json", json.dumps(result, indent=1) + "\n")
        say(f"seed {seed}: {run['seconds']} s, {run.get('fmax_guarded_mhz', 'stalled')}")
    return result


def router_progress(log: Path) -> dict[str, Any]:
    """Iterations of the router and the wires still used twice after each."""
    overused = [int(n) for n in re.findall(r"overused=(\d+)", log.read_text(errors="replace"))]
    return {"iterations": len(overused), "overused": overused}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("build/lookahead"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--limit", type=float, default=1500.0, help="seconds for a seed")
    parser.add_argument("--clock", type=float, default=100.0, help="MHz")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    look_ahead(options.out.resolve(), options.seeds, options.limit, options.clock)


if __name__ == "__main__":
    main()
