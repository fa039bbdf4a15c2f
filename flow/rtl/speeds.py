"""One network folded for several speeds: simulated in RTL, synthesised: `make bench ONLY=speeds`.

Each folding is the cheapest for so many images a second on the device, the fastest one bounded in
its latency, too. Its core, without a shell, is simulated on a few images, free-running and with
stalls, every stream compared; that gives the interval and the latency. Then it is synthesised. Each
folding is kept when it is done, so that a run that was stopped goes on with the next. Beside them
stands the estimated front of all foldings, and FINN's published core for the same network and chip.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from flow import figures
from flow.graph import Graph
from flow.implement.synthesis import synthesise
from flow.pipeline import say, write_atomically
from flow.rtl import devices
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate
from flow.rtl.folding import cycles_of, fold, sweep
from flow.rtl.simulate import simulate

# Images a second, the LUTs that they may take, and the cycles that one image may take.
SPEEDS = (
    (3300, 8000, None),
    (6600, 12_000, None),
    (10_000, 17_000, None),
    (20_000, 53_200, 14_000),
)
CLOCK_MHZ = 100.0
DEVICE = "xc7z020"
IMAGES = 12  # simulated, each way
ESTIMATED = (1500, 2500, 3300, 5000, 6600, 8000, 10_000, 14_000, 20_000)  # of the front
STAGE = "interval and latency: RTL simulation of the core; area: synthesised, the core alone"

# CNV-W1A1 on the XC7Z020 at 100 MHz by FINN 0.10 and Vivado 2022.2, out of context, simulated.
FINN = {"images_per_second": 3329, "latency_us": 1015, "lut": 21_886}


def bench(name: str, graph: Graph, images: np.ndarray, folder: Path) -> dict[str, Any]:
    """A row for each of `SPEEDS`, worked out in `folder`, and the picture `front.png` there.

    images: uint8 (N, C, H, W), of which the first IMAGES are simulated.
    """
    chip = devices.resources(DEVICE)
    rows = []
    for fps, luts, latency in SPEEDS:
        cycles, ram = cycles_of(fps, CLOCK_MHZ), chip["bram36"]
        circuit = fold(graph, cycles, latency=latency, max_lut=luts, max_bram36=ram)
        rows.append(_row(circuit, images[:IMAGES], fps, folder / f"{fps}"))
    targets = [cycles_of(fps, CLOCK_MHZ) for fps in ESTIMATED]
    found = {
        "stage": STAGE,
        "network": name,
        "device": DEVICE,
        "clock_mhz": CLOCK_MHZ,
        "rows": rows,
        "front": [
            {"images_per_second": CLOCK_MHZ * 1e6 / e.interval, "lut": round(e.area.lut)}
            for _, _, e in sweep(graph, targets, max_lut=chip["lut"], max_bram36=chip["bram36"])
        ],
        "finn": FINN,
    }
    write_atomically(folder / "front.png", picture(found))
    return found


def _row(circuit: Graph, images: np.ndarray, fps: int, folder: Path) -> dict[str, Any]:
    """One folding; what is kept in `folder` of the same code is not worked out again."""
    guess = estimate(circuit)
    design = generate(circuit, folder)
    row: dict[str, Any] = {
        "wanted_images_per_second": fps,
        "folding": circuit.folding,
        "estimated": {
            **{key: round(getattr(guess.area, key), 1) for key in ("lut", "ff", "bram36")},
            **{"interval_cycles": guess.interval, "latency_cycles": guess.latency},
        },
        "images": len(images),
    }
    kept = folder / "row.json"
    if kept.is_file() and (found := json.loads(kept.read_text())).items() >= row.items():
        return found
    say(f"  {fps} images/s: RTL")
    pixels = circuit.arrange(images)
    free = simulate(design, circuit, pixels)
    simulate(design, circuit, pixels, stall_seed=1)
    assert free.interval_cycles and free.latency_cycles  # of several images
    say(f"  {fps} images/s: synthesis")
    made = synthesise(list(design.files), design.top, {}, folder, folder / "yosys.log").area
    row |= {
        "mismatches": 0,  # one would have ended the run
        "interval_cycles": free.interval_cycles,
        "latency_cycles": free.latency_cycles,
        "images_per_second": round(CLOCK_MHZ * 1e6 / free.interval_cycles, 1),
        "latency_us": round(free.latency_cycles / CLOCK_MHZ, 2),
        "synthesised": {key: made[key] for key in ("lut", "ff", "bram36", "dsp")},
    }
    write_atomically(kept, json.dumps(row) + "\n")
    return row


def table(found: dict[str, Any]) -> str:
    """The rows in Markdown."""
    lines = [
        "| images/s | interval, cycles (estimated) | latency | LUT (estimated) | FF | BRAM36 | "
        "LUT x FINN's |",
        "|---" * 7 + "|",
    ]
    for row in found["rows"]:
        made, guess = row["synthesised"], row["estimated"]
        # FINN's LUTs for as many images a second, were its core copied.
        alike = found["finn"]["lut"] * row["images_per_second"] / found["finn"]["images_per_second"]
        lines.append(
            f"| {row['images_per_second']:.0f} | {row['interval_cycles']} "
            f"({guess['interval_cycles']}) | {row['latency_us'] / 1000:.3f} ms | {made['lut']} "
            f"({guess['lut']:.0f}) | {made['ff']} | {made['bram36']:g} | "
            f"{made['lut'] / alike:.2f} |"
        )
    finn = found["finn"]
    lines += [
        f"| {finn['images_per_second']} | FINN, published | {finn['latency_us'] / 1000:.3f} ms | "
        f"{finn['lut']} | | | 1 |",
        "",
        f"{found['network']} on {found['device']} at {found['clock_mhz']:g} MHz; {found['stage']}; "
        f"{found['rows'][0]['images']} images bit-exact in every stream, free-running and stalled. "
        "Last column: LUTs of an image a second, FINN's core being 1.",
    ]
    return "\n".join(lines) + "\n"


def picture(found: dict[str, Any]) -> bytes:
    """Images a second against LUTs: the estimated front, what was synthesised, FINN's core."""
    figure = Figure(figsize=(7.6, 4.4))
    axes = figure.subplots()
    front = found["front"]
    axes.plot(
        [row["lut"] for row in front],
        [row["images_per_second"] for row in front],
        ".-",
        color=figures.SOFT,
        label="cheapest by LUT and block RAM, estimated",
    )
    rows = found["rows"]
    luts = [row["synthesised"]["lut"] for row in rows]
    axes.plot(
        luts, [r["images_per_second"] for r in rows], "o", color=figures.BLUE, label="synthesised"
    )
    for lut, row in zip(luts, rows, strict=True):
        note = f"{row['latency_us'] / 1000:.3f} ms\n{row['synthesised']['bram36']:g} BRAM"
        at = (lut, row["images_per_second"])
        axes.annotate(note, at, (-7, 6), textcoords="offset points", fontsize=8, ha="right")
    finn = found["finn"]
    axes.plot(
        finn["lut"], finn["images_per_second"], "D", color=figures.AMBER, label="FINN, published"
    )
    at = (finn["lut"], finn["images_per_second"])
    axes.annotate(
        f"{finn['latency_us'] / 1000:.3f} ms", at, (8, -4), textcoords="offset points", fontsize=8
    )
    axes.set_xlabel(f"LUTs of the core on {found['device']}")
    axes.set_ylabel(f"images a second at {found['clock_mhz']:g} MHz")
    axes.set_yscale("log")
    axes.set_ylim(bottom=1000)
    axes.set_xlim(left=0)
    axes.set_title(f"{found['network']}: speed and area (RTL, synthesised)", loc="left")
    axes.legend(frameon=False, loc="lower right")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=150, bbox_inches="tight")
    return out.getvalue()
