"""A picture of a placed design: every logic tile in the colour of the layer it serves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flow.bits import xray

BACKGROUND = "#f4f6f8"
COLUMNS = {"CLB": "#e6eaef", "BRAM": "#cfe0d6", "DSP": "#eadfcf", "PSS": "#d5d9df"}
"""Colours of empty places, by the start of the tile's type."""
COLOURS = (
    "#2f6fdb", "#d98e04", "#2c9c6a", "#b5477f", "#7a5bd0", "#c2502e", "#1f9fb4", "#8a7a1c",
    "#5b7f2b", "#a03a3a", "#3b3f8f", "#d46a9f", "#6b4a2b", "#58b6a5",
)  # fmt: skip
SHELL_COLOUR = "#5d6875"
FULL = 8  # LUTs in a logic tile; half a tile of flip-flops looks half full


def draw(places: Sequence[dict[str, Any]], part: str, path: Path) -> None:
    """Draw cells, each {"type", "x", "y", "layer"}, on the device's grid of tiles.

    A tile's strength shows how many of its LUTs are used; block RAMs are outlined blocks.
    """
    tiles = xray.load(part).tiles.values()
    width, height = max(t.x for t in tiles) + 1, max(t.y for t in tiles) + 1
    picture = np.ones((height, width, 3)) * _rgb(BACKGROUND)
    for tile in tiles:
        for start, colour in COLUMNS.items():
            if tile.type.startswith(start):
                rows = 5 if start in ("BRAM", "DSP") else 1
                picture[max(0, tile.y - rows + 1) : tile.y + 1, tile.x] = _rgb(colour)
    layers = sorted({p["layer"] for p in places}, key=lambda name: (name == "shell", name))
    shown = [name for name in layers if _served(name, layers) == name]
    of_shown = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(shown)}
    of_shown["shell"] = SHELL_COLOUR
    colour_of = {name: of_shown[_served(name, layers)] for name in layers}
    logic: dict[tuple[int, int], Counter] = defaultdict(Counter)
    for place in places:
        key = (place["x"], place["y"])
        if place["type"] == "SLICE_LUTX":
            logic[key][place["layer"]] += 2
        elif place["type"] == "SLICE_FFX":
            logic[key][place["layer"]] += 1
        elif place["type"].startswith("RAMB"):
            picture[max(0, key[1] - 4) : key[1] + 1, key[0]] = _rgb(colour_of[place["layer"]])
    for (x, y), votes in logic.items():
        layer = min(votes, key=lambda name: (-votes[name], name))
        strength = 0.35 + 0.65 * min(1.0, sum(votes.values()) / (2 * FULL))
        picture[y, x] = strength * _rgb(colour_of[layer]) + (1 - strength) * _rgb(BACKGROUND)
    figure = Figure(figsize=(9.6, 8.4))
    axes = figure.subplots()
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles = [Patch(color=colour_of[name], label=name) for name in shown]
    handles.append(Patch(color=COLUMNS["BRAM"], label="block RAM column"))
    handles.append(Patch(color=COLUMNS["DSP"], label="DSP column (not used)"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)
    axes.set_title(f"{part}: where each layer lies", loc="left", fontsize=11)
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})


def _served(name: str, layers: Sequence[str]) -> str:
    """The layer whose colour a layer has: windows and thresholds have that of their product."""
    product = name.rpartition("_")[0]
    return product if product in layers else name


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
