"""Which layers there is RTL for."""

from __future__ import annotations

from flow.errors import UserError
from flow.graph import Graph, LabelSelect, MatrixVector, Threshold


def refuse(graph: Graph) -> None:
    """`UserError` naming the first layer that can be lowered and run, but not built yet."""
    for layer in graph:
        source = graph.streams[layer.source]
        numbers = isinstance(layer, MatrixVector) and source.dtype != "BINARY"
        if numbers or not isinstance(layer, (Threshold, MatrixVector, LabelSelect)):
            what = f"{layer.kind} on {source.dtype}" if numbers else layer.kind
            raise UserError(
                f"layer {layer.name} ({what}): there is no hardware for it yet; "
                "`hanbit lower` and its report are as far as this network goes"
            )
