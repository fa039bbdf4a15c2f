"""`hanbit fold`: choose a folding by what is wanted, and show what else there is.

Prints the folding chosen and the Pareto front of images a second against LUTs, and writes
`folding.json` (as `hanbit compile --folding` reads it), `fold.json`, `fold.md` and `front.png`.
Everything is estimated, of the core without its shell, and no tool is run; except that depths of
FIFOs, where they are asked for, come from simulation.
"""

from __future__ import annotations

import io
import json
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from flow import figures
from flow.errors import UserError
from flow.graph import Graph, folding_of
from flow.paths import BUILD
from flow.pipeline import say, write_atomically
from flow.rtl import devices, fifos
from flow.rtl.estimate import Estimate, estimate
from flow.rtl.folding import LUT_LIMIT, cycles_in, cycles_of, fold, sweep

STAGE = "estimated, the core without its shell"
POINTS = 12  # of the front, about
STEP = 0.72  # from one interval of the front to the next

Row = tuple[int, Graph, Estimate]


def explore(
    preset: str,
    target_fps: float | None = None,
    target_latency: float | None = None,
    max_lut: int | None = None,
    max_bram: float | None = None,
    device: str = "xc7z020",
    clock_mhz: float = 100.0,
    lowered: Path | None = None,
    out: Path | None = None,
    size_fifos: bool = False,
) -> dict[str, Any]:
    """Fold a preset's network and write the files; returns what fold.json holds.

    target_fps: images a second at least. target_latency: microseconds at most. max_lut, max_bram:
    at most; the device's where None. With no target_fps the fastest within these is chosen, at most
    LUT_LIMIT LUTs unless more are asked for. lowered: folder of a lowered graph, in place of the
    zoo's weights. size_fifos: by simulating the folding chosen (flow/rtl/fifos.py). Raises
    UserError where nothing does what is asked.
    """
    offered = devices.resources(device)
    graph = _graph(preset, lowered)
    luts = min(max_lut or offered["lut"], offered["lut"])
    blocks = min(offered["bram36"] if max_bram is None else max_bram, offered["bram36"])
    latency = cycles_in(target_latency, clock_mhz)
    chosen = fold(
        graph,
        None if target_fps is None else cycles_of(target_fps, clock_mhz),
        latency=latency,
        max_lut=luts if target_fps or max_lut else min(luts, LUT_LIMIT),
        max_bram36=blocks,
    )
    out = out or BUILD / preset / "fold"
    out.mkdir(parents=True, exist_ok=True)
    sized = None
    if size_fifos:
        sized = fifos.size(chosen, out / "fifos")
        chosen = sized.graph
    found = estimate(chosen)
    say(f"  folded; the front at other intervals, {POINTS} of them")
    rows = _front(graph, ceil(found.interval), luts, blocks)
    body = {
        "schema": 1,
        "stage": STAGE,
        "network": preset,
        "device": device,
        "clock_mhz": clock_mhz,
        "bounds": {"lut": luts, "bram36": blocks, "latency_cycles": latency},
        "chosen": _entry(chosen, found, clock_mhz) | {"layers": _layers(chosen, found)},
        "front": [_entry(g, e, clock_mhz) for _, g, e in rows],
    }
    text = _text(body)
    if sized:
        body |= {"fifos": sized.report()}
        text += "\n" + fifos.table(sized.report())
    write_atomically(out / "folding.json", json.dumps(chosen.folding, indent=1) + "\n")
    write_atomically(out / "fold.json", json.dumps(body, indent=1) + "\n")
    write_atomically(out / "fold.md", text)
    write_atomically(out / "front.png", _picture(body))
    print(text)
    print(f"files: {out}/folding.json, fold.json, fold.md, front.png")
    return body


def _graph(preset: str, lowered: Path | None) -> Graph:
    """The network to fold: given, or lowered before, or made of the weights in the zoo."""
    folder = lowered or BUILD / preset / "03-lower"
    if (folder / "graph.json").is_file():
        return Graph.load(folder)
    if lowered:
        raise UserError(f"{lowered}: no graph.json; give a folder that `hanbit lower` wrote")
    from flow.bench import kept_graph

    say("  lowering the zoo's network")
    return kept_graph(preset)


def _front(graph: Graph, interval: int, luts: float, blocks: float) -> list[Row]:
    """Foldings around an interval that no other of them beats in both speed and LUTs."""
    targets = {max(1, round(interval * STEP**n)) for n in range(-POINTS // 2, POINTS // 2)}
    rows = sweep(graph, sorted(targets), max_lut=luts, max_bram36=blocks)
    kept: list[Row] = []
    for row in reversed(rows):  # the slowest first
        if not kept or row[2].interval < kept[-1][2].interval:
            kept = [k for k in kept if k[2].area.lut < row[2].area.lut] + [row]
    return kept


def _entry(graph: Graph, found: Estimate, clock_mhz: float) -> dict[str, Any]:
    return {
        "interval_cycles": found.interval,
        "images_per_second": round(clock_mhz * 1e6 / found.interval, 1),
        "latency_cycles": found.latency,
        "latency_us": round(found.latency / clock_mhz, 2),
        "lut": round(found.area.lut),
        "ff": round(found.area.ff),
        "bram36": found.area.bram36,
        "folding": graph.folding,
    }


def _layers(graph: Graph, found: Estimate) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "folding": folding_of(layer),
            "cycles": layer.cycles(graph),
            "lut": round(found.layers[layer.name].lut),
            "ff": round(found.layers[layer.name].ff),
            "bram36": found.layers[layer.name].bram36,
        }
        for layer in graph
    ]


def _text(body: dict[str, Any]) -> str:
    """The report in Markdown."""
    lines = [
        f"{body['network']} on {body['device']} at {body['clock_mhz']:g} MHz ({body['stage']})",
        "",
        "| layer | folding | cycles | LUT | FF | BRAM36 |",
        "|---|---|---|---|---|---|",
    ]
    chosen = body["chosen"]
    for row in chosen["layers"]:
        shown = {key: value for key, value in row["folding"].items() if value is not None}
        folding = ", ".join(f"{key} {value}" for key, value in shown.items())
        lines.append(
            f"| {row['name']} | {folding} | {row['cycles']} | {row['lut']} | {row['ff']} | "
            f"{row['bram36']:g} |"
        )
    lines += [
        f"| all | | {chosen['interval_cycles']} | {chosen['lut']} | {chosen['ff']} | "
        f"{chosen['bram36']:g} |",
        "",
        "| images/s | interval | latency, us | LUT | FF | BRAM36 |",
        "|---|---|---|---|---|---|",
    ]
    for row in [chosen, *body["front"]]:
        mark = " (chosen)" if row is chosen else ""
        lines.append(
            f"| {row['images_per_second']:.0f}{mark} | {row['interval_cycles']} | "
            f"{row['latency_us']:g} | {row['lut']} | {row['ff']} | {row['bram36']:g} |"
        )
    return "\n".join(lines) + "\n"


def _picture(body: dict[str, Any]) -> bytes:
    """The front: images a second against LUTs, each point with its block RAMs and its latency."""
    figure = Figure(figsize=(7.6, 4.4))
    axes = figure.subplots()
    speed = [row["images_per_second"] for row in body["front"]]
    luts = [row["lut"] for row in body["front"]]
    axes.plot(luts, speed, "o-", color=figures.BLUE, markersize=4)
    for row in body["front"]:
        note = f"{row['bram36']:g} BRAM, {row['latency_us'] / 1000:.2g} ms"
        at = (row["lut"], row["images_per_second"])
        axes.annotate(note, at, (6, -10), textcoords="offset points", fontsize=7)
    chosen = body["chosen"]
    axes.plot(chosen["lut"], chosen["images_per_second"], "D", color=figures.AMBER, label="chosen")
    axes.set_xlabel(f"LUTs, {body['stage']}")
    axes.set_ylabel(f"images a second at {body['clock_mhz']:g} MHz")
    axes.set_yscale("log")
    axes.set_title(f"{body['network']} on {body['device']}", loc="left")
    axes.legend(frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150, bbox_inches="tight")
    return out.getvalue()
