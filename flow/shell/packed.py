"""Images with one bit a pixel in memory: the first threshold moves from the circuit to the driver.

A network on 8-bit pixels that first compares each with one threshold, the same for all, needs one
bit a pixel. The driver compares while it packs (hw/driver), and the circuit begins behind it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flow.errors import UserError
from flow.graph import Graph, Threshold


def split(graph: Graph) -> tuple[int | None, Graph]:
    """The threshold that pixels must reach to become 1, and the graph that reads these bits.

    None where the graph reads bits already. `UserError` where it does not begin with one threshold.
    """
    first, source = graph.layers[0], graph.streams[graph.input]
    if source.dtype == "BINARY":
        return None, graph
    if not isinstance(first, Threshold) or len(set(first.thresholds.flat)) != 1:
        raise UserError(
            f"layer {first.name}: images with one bit a pixel need a network that first compares "
            "all pixels with one threshold; leave out `packed`"
        )
    streams = {name: s for name, s in graph.streams.items() if name != graph.input}
    behind = replace(graph, layers=graph.layers[1:], streams=streams, input=first.target)
    return int(first.thresholds.flat[0]), behind.check()


def bits(images: np.ndarray, threshold: int | None) -> np.ndarray:
    """What the driver's packing leaves of images: uint8 of 0 and 1."""
    return images if threshold is None else (images >= threshold).astype(np.uint8)
