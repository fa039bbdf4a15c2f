"""The report's pictures, each drawn from the report's own numbers and returned as SVG text."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, SOFT = "#1d2733", "#8a97a6"
BLUE, GREEN, AMBER, GREY = "#2f6fdb", "#2c9c6a", "#d98e04", "#d6dce4"

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "hanbit",  # the same numbers give the same bytes
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": SOFT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": SOFT,
        "ytick.color": INK,
    }
)


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element that can stand in a page."""
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _rows(count: int, width: float = 7.6) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, 0.7 + 0.42 * count))
    return figure, figure.subplots()


def accuracy(section: dict[str, Any]) -> str:
    """Bars of the accuracy at each stage, percent; the axis starts where the bars can be told."""
    names = [n for n in ("float", "qonnx", "integer") if n in section]
    values = [section[n] for n in names]
    figure, axes = _rows(len(names))
    axes.barh(names[::-1], values[::-1], color=[GREEN, BLUE, SOFT][-len(names) :], height=0.6)
    for row, value in enumerate(values[::-1]):
        axes.text(value, row, f" {value:.2f} %", va="center")
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"accuracy on {section['images']} test images, percent")
    return svg(figure)


def cycles(layers: list[dict[str, Any]]) -> str:
    """Cycles an image in each layer: measured, where it was, beside what was expected."""
    figure, axes = _rows(len(layers))
    names = [layer["name"] for layer in layers]
    rows = range(len(layers))
    axes.barh([r - 0.19 for r in rows], [x["expected"] for x in layers], 0.36, color=GREY)
    measured = [(row + 0.19, x["cycles"]) for row, x in enumerate(layers) if "cycles" in x]
    axes.barh([row for row, _ in measured], [n for _, n in measured], 0.36, color=BLUE)
    for row, number in measured:
        axes.text(number, row, f" {number}", va="center", fontsize=8)
    axes.set_yticks(list(rows), names)
    axes.invert_yaxis()
    axes.set_xlabel("clock cycles an image")
    axes.legend(["expected", "measured in RTL simulation"], frameon=False, loc="best", fontsize=8)
    return svg(figure)


def area(section: dict[str, Any], device: dict[str, int]) -> str:
    """LUT, flip-flops and block RAM as a share of the device; under them the LUTs of each layer."""
    kinds = [(k, section[k], device[k]) for k in ("lut", "ff", "bram36", "dsp") if k in section]
    figure, axes = _rows(len(kinds))
    for row, (kind, used, total) in enumerate(kinds):
        axes.barh(row, 100, 0.55, color="#eef1f5")
        axes.barh(row, 100 * used / total, 0.55, color=BLUE)
        axes.text(101, row, f"{used:g} of {total}  ({100 * used / total:.1f} %)", va="center")
        axes.text(-1, row, kind.upper(), va="center", ha="right")
    axes.set_xlim(0, 135)
    axes.set_axis_off()
    axes.invert_yaxis()
    return svg(figure)


def layer_area(layers: list[dict[str, Any]]) -> str:
    """LUTs, and block RAMs in words, of each layer."""
    figure, axes = _rows(len(layers))
    axes.barh([x["name"] for x in layers], [x["lut"] for x in layers], 0.6, color=BLUE)
    for row, layer in enumerate(layers):
        ram = f"  + {layer['bram36']:g} BRAM36" if layer.get("bram36") else ""
        axes.text(layer["lut"], row, f" {layer['lut']}{ram}", va="center", fontsize=8)
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_xlabel("LUTs")
    return svg(figure)


def timing(section: dict[str, Any]) -> str:
    """The clock that is shipped below the estimates it has to stay under, MHz."""
    rows = [
        (label, section[key], colour)
        for label, key, colour in (
            ("clock on the board", "clock_mhz", GREEN),
            ("guarded estimate", "fmax_guarded_mhz", AMBER),
            (section.get("source", "nextpnr's estimate"), "fmax_mhz", GREY),
        )
        if key in section
    ]
    figure, axes = _rows(len(rows))
    for row, (_, value, colour) in enumerate(rows):
        axes.barh(row, value, 0.6, color=colour)
        axes.text(value, row, f" {value:.1f}", va="center")
    axes.set_yticks(range(len(rows)), [r[0] for r in rows])
    axes.invert_yaxis()
    axes.set_xlabel("MHz")
    return svg(figure)
