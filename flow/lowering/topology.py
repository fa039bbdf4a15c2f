"""Whether a network branches, and where it ends."""

from __future__ import annotations

from qonnx.core.modelwrapper import ModelWrapper

from flow.lowering.onnx_run import dynamic_tensors

AVERAGES = ("GlobalAveragePool", "ReduceMean", "ReduceSum")


def is_branched(model: ModelWrapper) -> bool:
    """Whether a network is more than a chain: forks, joins, or sums over its pixels."""
    dynamic = dynamic_tensors(model)
    return any(len(model.find_consumers(tensor) or []) > 1 for tensor in dynamic) or any(
        len(dynamic.intersection(node.input)) > 1
        or (node.op_type in AVERAGES and dynamic.intersection(node.input))
        for node in model.graph.node
    )


def tail_end(model: ModelWrapper) -> str:
    """The tensor of scores: what TopK reads, or else the output."""
    last = model.find_producer(model.graph.output[0].name)
    return (
        last.input[0] if last is not None and last.op_type == "TopK" else model.graph.output[0].name
    )
