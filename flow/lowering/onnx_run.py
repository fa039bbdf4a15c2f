"""Run an ONNX graph with qonnx on a batch of rows, whole or in part.

qonnx builds an onnxruntime session a node, so that a run costs about the same for one row as for
hundreds: everything is run in batches. Graphs here have batch 1 in their shapes; `with_batch` gives
a copy with another batch. qonnx' own rounding of annotated tensors is left out, since it would
repair wrong values before they are compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node
from qonnx.custom_op.registry import getCustomOp
from qonnx.util.basic import get_preferred_qonnx_opset

Tensors = dict[str, np.ndarray]


def dynamic_tensors(model: ModelWrapper) -> set[str]:
    """Names of the tensors that depend on the graph's input. Nodes must be in order."""
    names = {model.graph.input[0].name}
    for node in model.graph.node:
        if names.intersection(node.input):
            names.update(filter(None, node.output))
    return names


def with_batch(model: ModelWrapper, rows: int) -> ModelWrapper:
    """A copy whose dynamic tensors have `rows` rows."""
    copy = ModelWrapper(model.model, make_deepcopy=True)
    dynamic = dynamic_tensors(copy)
    for name in dynamic:
        shape = copy.get_tensor_shape(name)
        if shape is not None:
            copy.set_tensor_shape(name, [rows, *shape[1:]])
    for node in copy.graph.node:
        if node.op_type == "Reshape" and node.input[0] in dynamic:
            target = copy.get_initializer(node.input[1])
            copy.set_initializer(node.input[1], np.array([rows, *target[1:]], np.int64))
        if any(x.name == "numInputVectors" for x in node.attribute):
            getCustomOp(node).set_nodeattr("numInputVectors", [rows])
    return copy


def run(
    model: ModelWrapper, feeds: Tensors, rows: int, nodes: Iterable[NodeProto] | None = None
) -> Tensors:
    """Run the nodes, all of them by default, on a batch of `rows`; return every tensor.

    `feeds` are the tensors that the nodes read and do not write. `nodes` must be in order.
    """
    names = [node.output[0] for node in (model.graph.node if nodes is None else nodes)]
    batched = with_batch(model, rows)
    context = batched.make_empty_exec_context() | feeds
    opsets = batched.get_opset_imports()
    wanted = set(names)
    for node in batched.graph.node:
        if node.output[0] in wanted:
            opset = opsets.get(node.domain, get_preferred_qonnx_opset())
            execute_node(node, context, batched.graph, opset)
    return context
