"""Estimates beside synthesis, module by module: `python -m flow.rtl.estimate_check --out FILE`.

Each case is a graph of one layer, as a convolutional or dense network has it, with random weights:
its code is generated and synthesised with the flow's own options, and the area compared with what
flow/rtl/area.py says. FILE gets JSON, FILE with the ending .md the table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flow import tools
from flow.graph import Graph, Layer, MatrixVector, MaxPool, SlidingWindow, Stream, Threshold
from flow.implement.synthesis import synthesise
from flow.pipeline import write_atomically
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate

STAGES = "estimated and synthesised, one layer alone"


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
    """One row: estimated and synthesised area of `graph`, worked out in `folder`."""
    design = generate(graph, folder)
    made = synthesise(list(design.files), design.top, {}, folder, folder / "yosys.log").area
    guess = estimate(graph).area
    return {
        "case": name,
        "estimated": {"lut": round(guess.lut), "ff": round(guess.ff), "bram36": guess.bram36},
        "synthesised": {key: made[key] for key in ("lut", "ff", "bram36")},
        "lut_error_percent": round(100 * (guess.lut / made["lut"] - 1), 1),
    }


def bench(folder: Path, graphs: dict[str, Graph] | None = None) -> dict[str, Any]:
    """All cases, or those given, and their sum, working in `folder`."""
    named: Iterable[tuple[str, Graph]] = (graphs or cases()).items()
    rows = [check(name, graph, folder / f"{i}") for i, (name, graph) in enumerate(named)]
    total: dict[str, Any] = {"case": "all"}
    for stage in ("estimated", "synthesised"):
        total[stage] = {
            key: sum(row[stage][key] for row in rows) for key in ("lut", "ff", "bram36")
        }
    ratio = total["estimated"]["lut"] / total["synthesised"]["lut"]
    total["lut_error_percent"] = round(100 * (ratio - 1), 1)
    return {"schema": 1, "stage": STAGES, "tools": tools.versions(), "rows": [*rows, total]}


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
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the table goes beside")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="estimate-check-") as folder:
        result = bench(Path(folder))
    write_atomically(options.out, json.dumps(result, indent=1) + "\n")
    write_atomically(options.out.with_suffix(".md"), table(result))
    print(table(result), end="")


if __name__ == "__main__":
    main()
