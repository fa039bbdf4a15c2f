"""Cycles, latency, LUTs and block RAMs of a folded graph, predicted without running a tool."""

from __future__ import annotations

from flow.glue import Fifo
from flow.graph import MatrixVector

BLOCK_RAM_DEPTH = 256  # words from which weights go to block RAM when nobody chose


def uses_block_ram(layer: MatrixVector) -> bool:
    """Where the weights of a layer live: as chosen, or for "auto" by the depth of the memory."""
    if layer.ram_style == "auto":
        depth = layer.weights.size // (layer.PE * layer.SIMD)
        return depth > BLOCK_RAM_DEPTH
    return layer.ram_style == "block"


def fifo_uses_block_ram(fifo: Fifo, bits: int) -> bool:
    """Whether a FIFO of elements of `bits` is large enough for a block RAM."""
    return fifo.depth >= 64 and fifo.depth * fifo.parallel * bits >= 4096
