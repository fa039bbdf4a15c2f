"""Estimates beside synthesis and beside what was routed: `make bench ONLY=estimates`.

Each case is a graph of one layer, as a convolutional or dense network has it, with random weights:
its code is generated and synthesised with the flow's own options, and the area compared with what
flow/rtl/area.py says. Whole networks are compared after routing, by the reports of their runs: each
says what was estimated before its synthesis, what its core took of the device, and the cycles
estimated and simulated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flow import versions
from flow.graph import Graph, Layer, MatrixVector, MaxPool, SlidingWindow, Stream, Threshold
from flow.implement.synthesis import synthesise
from flow.paths import ROOT
from flow.pipeline import say, write_atomically
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate

STAGES = "estimated and synthesised, one layer alone; whole cores estimated and routed"
REPORTS = ("models/zoo/*/report.json", "build/*/*/report.json")  # of runs, perhaps routed ones


def cases(seed: int = 0) -> dict[str, Graph]:
    """Layers as CNV has them, some folded further to be quick."""
    rng = np.random.default_rng(seed)

    def alone(layer: Layer, source: Stream, target: Stream) -> Graph:
        streams = {s.name: s for s in (source, target)}
        return Graph("alone", (layer,), streams, "in", "out").check()

    def matrix(MW: int, MH: int, PE: int, SIMD: int, style: str, dtype: str = "BINARY") -> Graph:
        weights = rng.integers(0, 2, (MH, MW), dtype=np.uint8)
        layer = MatrixVector("unit", "in", "out", weights, PE, SIMD, style)
        out = f"UINT{MW.bit_length()}" if dtype == "BINARY" else "INT14"
        return alone(layer, Stream("in", (MW,), dtype), Stream("out", (MH,), out))

    def window(side: int, channels: int, SIMD: int, parallel: bool, dtype: str = "BINARY") -> Graph:
        size = 9 * channels
        layer = SlidingWindow("unit", "in", "out", 3, 1, SIMD, size if parallel else 0)
        out = Stream("out", (side - 2, side - 2, size), dtype)
        return alone(layer, Stream("in", (side, side, channels), dtype), out)

    def pool(side: int, channels: int, PE: int) -> Graph:
        out = Stream("out", (side // 2, side // 2, channels), "BINARY")
        source = Stream("in", (side, side, channels), "BINARY")
        return alone(MaxPool("unit", "in", "out", 2, PE), source, out)

    def threshold(channels: int, PE: int, bits: int) -> Graph:
        middle, spread = 1 << bits - 1, (1 << bits) // 6
        rows = rng.integers(middle - spread, middle + spread, (channels, 1))
        source = Stream("in", (channels,), f"UINT{bits}")
        layer = Threshold("unit", "in", "out", rows, PE)
        return alone(layer, source, Stream("out", (channels,), "BINARY"))

    return {
        "8-bit input, 27 x 64, PE 4, SIMD 27": matrix(27, 64, 4, 27, "lut", "UINT8"),
        "576 x 64, PE 8, SIMD 64, LUTs": matrix(576, 64, 8, 64, "lut"),
        "576 x 16, PE 2, SIMD 576, eight words": matrix(576, 16, 2, 576, "lut"),
        "576 x 128, PE 8, SIMD 24, block RAM": matrix(576, 128, 8, 24, "block"),
        "1152 x 128, PE 2, SIMD 384, block RAM": matrix(1152, 128, 2, 384, "block"),
        "2304 x 256, PE 8, SIMD 36, block RAM": matrix(2304, 256, 8, 36, "block"),
        "256 x 512, PE 1, SIMD 64, block RAM": matrix(256, 512, 1, 64, "block"),
        "window of 32 x 32 x 3, 8 bits, parallel": window(32, 3, 3, True, "UINT8"),
        "window of 30 x 30 x 64, SIMD 64": window(30, 64, 64, False),
        "window of 12 x 12 x 128, SIMD 32, parallel": window(12, 128, 32, True),
        "pool of 28 x 28 x 64, PE 16": pool(28, 64, 16),
        "thresholds of 64 channels, PE 16, 10 bits": threshold(64, 16, 10),
        "thresholds of 64 channels, PE 64, 10 bits": threshold(64, 64, 10),
    }


def check(name: str, graph: Graph, folder: Path) -> dict[str, Any]:
    """One row: estimated and synthesised area of `graph`, worked out in `folder`.

    What is found in `folder` of the same estimate is not synthesised again.
    """
    guess = estimate(graph).area
    row: dict[str, Any] = {
        "case": name,
        "estimated": {"lut": round(guess.lut), "ff": round(guess.ff), "bram36": guess.bram36},
    }
    kept = folder / "row.json"
    if kept.is_file() and (found := json.loads(kept.read_text())).items() >= row.items():
        return found
    say(f"  {name}")
    design = generate(graph, folder)
    made = synthesise(list(design.files), design.top, {}, folder, folder / "yosys.log").area
    row["synthesised"] = {key: made[key] for key in ("lut", "ff", "bram36")}
    row["lut_error_percent"] = _error(guess.lut, made["lut"])
    write_atomically(kept, json.dumps(row) + "\n")
    return row


def routed(root: Path = ROOT) -> list[dict[str, Any]]:
    """A row for each report below `root` of a network that was placed and routed."""
    rows = []
    for path in sorted(path for pattern in REPORTS for path in root.glob(pattern)):
        report = json.loads(path.read_text())
        core, guess = report.get("area", {}).get("core"), report.get("estimate")
        if not core or not guess or report["area"]["stage"] != "routed":
            continue
        rows.append(
            {
                "case": report["preset"],
                "report": str(path.relative_to(root)),
                "commit": report["commit"],
                "estimated": {key: guess[key] for key in ("lut", "ff", "bram36")},
                "routed": core,
                "lut_error_percent": _error(guess["lut"], core["lut"]),
                "estimated_interval_cycles": guess["interval_cycles"],
                "interval_cycles": report["rtl"]["interval_cycles"],
            }
        )
    return rows


def _error(guess: float, made: float) -> float:
    return round(100 * (guess / made - 1), 1)


def bench(folder: Path, graphs: dict[str, Graph] | None = None) -> dict[str, Any]:
    """All cases, or those given, and their sum, working in `folder`."""
    named: Iterable[tuple[str, Graph]] = (graphs or cases()).items()
    rows = [check(name, graph, folder / f"{i}") for i, (name, graph) in enumerate(named)]
    total: dict[str, Any] = {"case": "all"}
    for stage in ("estimated", "synthesised"):
        total[stage] = {
            key: sum(row[stage][key] for row in rows) for key in ("lut", "ff", "bram36")
        }
    total["lut_error_percent"] = _error(total["estimated"]["lut"], total["synthesised"]["lut"])
    return {
        "stage": STAGES,
        "tools": versions.installed(),
        "rows": [*rows, total],
        "routed": routed(),
    }


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    lines = [
        "| layer | LUT, estimated | synthesised | error | FF | BRAM36 |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        guess, made = row["estimated"], row["synthesised"]
        lines.append(
            f"| {row['case']} | {guess['lut']} | {made['lut']} | {row['lut_error_percent']:+g} % | "
            f"{guess['ff']} / {made['ff']} | {guess['bram36']:g} / {made['bram36']:g} |"
        )
    lines += [
        "",
        "| network | LUT of the core, estimated | routed | error | FF | BRAM36 | cycles an image, "
        "estimated / simulated | report |",
        "|---" * 8 + "|",
    ]
    for row in result["routed"]:
        guess, made = row["estimated"], row["routed"]
        lines.append(
            f"| {row['case']} | {guess['lut']} | {made['lut']} | {row['lut_error_percent']:+g} % | "
            f"{guess['ff']} / {made['ff']} | {guess['bram36']:g} / {made['bram36']:g} | "
            f"{row['estimated_interval_cycles']} / {row['interval_cycles']} | "
            f"{row['report']}, {row['commit'][:7]} |"
        )
    return "\n".join(lines) + "\n"
