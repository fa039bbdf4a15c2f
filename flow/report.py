"""The report of a run: one JSON file with every figure, and a self-contained page made from it.

`report.json` (schema 1) holds only what has run: a stage that has not is absent. Accuracies are in
percent. `report.html` shows nothing that is not in `report.json`, the graph or the pictures that
the stages left.
"""

from __future__ import annotations

import base64
import json
import subprocess
from functools import reduce
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flow import figures, versions
from flow.graph import Graph, folding_of
from flow.paths import ROOT
from flow.pipeline import Pipeline, write_atomically

SCHEMA = 1


def collect(pipeline: Pipeline, preset: str, board: str, seed: int) -> dict[str, Any]:
    """Merge the sections of all stages that are done into one report."""
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "preset": preset,
        "board": board,
        "commit": commit(),
        "seed": seed,
        "tools": versions.installed(),
    }
    done = [s.name for s in pipeline.stages if pipeline.done(s.name)]
    stamps = {name: pipeline.stamp(name) for name in done}
    report = reduce(merge, (s["sections"] for s in stamps.values()), report)
    report["seconds"] = {name: stamp["seconds"] for name, stamp in stamps.items()}
    return report


def merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """`right` added to `left`; where both hold a mapping under one key, these are merged."""
    merged = dict(left)
    for key, value in right.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def commit() -> str:
    """The commit of the source tree, with `+changes` where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return "unknown (no git checkout)"
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


def write(
    report: dict[str, Any],
    folder: Path,
    graph: Graph | None,
    pictures: dict[str, Path],
    resources: dict[str, int],
) -> None:
    """Write `report.json` and `report.html` into `folder`.

    `pictures` are title -> PNG file; those that do not exist are left out. `resources` are what
    the device offers: lut, ff, bram36, dsp.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.json", json.dumps(report, indent=1) + "\n")
    write_atomically(folder / "report.html", page(report, graph, pictures, resources))


def page(
    report: dict[str, Any],
    graph: Graph | None,
    pictures: dict[str, Path],
    resources: dict[str, int],
) -> str:
    """The report as one HTML page without outside references."""
    drawn = {}
    if "accuracy" in report:
        drawn["accuracy"] = figures.accuracy(report["accuracy"])
    if "rtl" in report:
        drawn["cycles"] = figures.cycles(report["rtl"]["layers"])
    if "area" in report:
        drawn["area"] = figures.area(report["area"], resources)
        if report["area"]["layers"]:
            drawn["layer_area"] = figures.layer_area(report["area"]["layers"])
    if "timing" in report:
        drawn["timing"] = figures.timing(report["timing"])
    images = [
        {"title": title, "data": base64.b64encode(path.read_bytes()).decode()}
        for title, path in pictures.items()
        if path.is_file()
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
    )
    return environment.get_template("report.html").render(
        r=report,
        tiles=tiles(report),
        figures={name: Markup(text) for name, text in drawn.items()},
        graph=_chain(graph) if graph else [],
        pictures=images,
    )


def tiles(report: dict[str, Any]) -> list[dict[str, str]]:
    """The figures that a reader looks for first, as value and label."""
    found = []

    def tile(label: str, value: str) -> None:
        found.append({"label": label, "value": value})

    accuracy = report.get("accuracy", {})
    if "training" in report:
        here = report["training"]["source"] == "trained"
        tile("weights", f"{'trained here' if here else 'from the zoo'}, seed {report['seed']}")
    if "integer" in accuracy:
        tile("integer accuracy", f"{accuracy['integer']:.2f} %")
    if "rtl" in report:
        rtl = report["rtl"]
        wrong = rtl["mismatches"] + rtl["stalled_mismatches"]
        tile("RTL mismatches", f"{wrong} of {rtl['images'] + rtl['stalled_images']}")
        if "timing" in report:
            clock = report["timing"]["clock_mhz"]
            tile(
                f"images/s (RTL cycles at {clock:g} MHz)", _si(clock * 1e6 / rtl["interval_cycles"])
            )
            tile(
                f"latency (RTL cycles at {clock:g} MHz)", f"{rtl['latency_cycles'] / clock:.2f} µs"
            )
        else:
            tile("cycles an image", str(rtl["interval_cycles"]))
            tile("latency in cycles", str(rtl["latency_cycles"]))
    if "area" in report:
        area = report["area"]
        tile(f"LUT, {area['stage']}", f"{area['lut']:,}")
        if "shell" in area:
            label = f"LUT of core + shell, {area['stage']}"
            tile(label, f"{area['core']['lut']:,} + {area['shell']['lut']:,}")
        tile(f"block RAM (36 kbit), {area['stage']}", f"{area['bram36']:g}")
    if back := report.get("bitstream", {}).get("readback"):
        wrong = back["missing"] + back["extra"]
        tile(f"wrong of {back['features']:,} features read back from the .bit", str(wrong))
    return found


def table(report: dict[str, Any]) -> str:
    """The tiles as plain text for the end of a command."""
    rows = tiles(report)
    width = max((len(row["label"]) for row in rows), default=0)
    return "\n".join(f"  {row['label']:<{width}}  {row['value']}" for row in rows)


def _si(value: float) -> str:
    for limit, unit in ((1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.2f}{unit}"
    return f"{value:.0f}"


def _chain(graph: Graph) -> list[dict[str, str]]:
    """The graph as alternating edges and nodes for the page."""
    source = graph.streams[graph.input]
    parts = [{"edge": f"{' x '.join(map(str, source.shape))} {source.dtype}"}]
    for layer in graph:
        chosen = {k: v for k, v in folding_of(layer).items() if v not in ("auto", None)}
        fold = ", ".join(f"{k} {v}" for k, v in chosen.items())
        parts.append({"name": layer.name, "kind": layer.kind, "detail": fold})
        target = graph.streams[layer.target]
        parts.append({"edge": f"{' x '.join(map(str, target.shape))} {target.dtype}"})
    return parts
