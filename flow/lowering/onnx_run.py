"""Run an ONNX graph with qonnx on a batch of rows, whole or in part.

qonnx builds an onnxruntime session a node, so that a run costs about the same for one row as for
hundreds: everything is run in batches. Graphs here have batch 1 in their shapes; `with_batch` gives
a copy with another batch. qonnx' own rounding of annotated tensors is left out, since it would
repair wrong values before they are compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node
from qonnx.custom_op.registry import getCustomOp
from qonnx.util.basic import get_preferred_qonnx_opset

SINGLE = ("Im2Col", "ConvolutionInputGenerator", "XnorVVAU")  # qonnx mixes the images of a batch up
Tensors = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


def dynamic_tensors(model: ModelWrapper) -> set[str]:
    """Names of the tensors that depend on the graph's input. Nodes must be in order."""
    names = {model.graph.input[0].name}
    for node in model.graph.node:
        if names.intersection(node.input):
            names.update(filter(None, node.output))
    return names


def with_batch(model: ModelWrapper, rows: int, shapes: Shapes | None = None) -> ModelWrapper:
    """A copy whose dynamic tensors have `rows` rows, or, if given, those in `shapes` that shape."""
    copy = ModelWrapper(model.model, make_deepcopy=True)
    if shapes is None:
        found = {name: copy.get_tensor_shape(name) for name in dynamic_tensors(copy)}
        shapes = {name: (rows, *shape[1:]) for name, shape in found.items() if shape is not None}
    for name, shape in shapes.items():
        copy.set_tensor_shape(name, shape)
    for node in copy.graph.node:
        if node.op_type == "Reshape" and node.output[0] in shapes:
            copy.set_initializer(node.input[1], np.array(shapes[node.output[0]], np.int64))
        if any(x.name == "numInputVectors" for x in node.attribute):
            vectors = getCustomOp(node).get_nodeattr("numInputVectors")
            getCustomOp(node).set_nodeattr("numInputVectors", [rows, *vectors[1:]])
    return copy


def run(
    model: ModelWrapper,
    feeds: Tensors,
    rows: int,
    nodes: Iterable[NodeProto] | None = None,
    shapes: Shapes | None = None,
    copies: Iterable[NodeProto] = (),
) -> Tensors:
    """Run the nodes, all of them by default, on a batch of `rows`; return every tensor.

    `feeds` are the tensors that the nodes read and do not write. `nodes` must be in order. Tensors
    in `shapes` have that shape instead of the graph's; `copies` hand on what they read.
    """
    names = [node.output[0] for node in (model.graph.node if nodes is None else nodes)]
    copied = {node.output[0] for node in copies}
    batched = with_batch(model, rows, shapes)
    context = batched.make_empty_exec_context() | feeds
    opsets = batched.get_opset_imports()
    wanted = set(names)
    for node in batched.graph.node:
        if node.output[0] in copied:
            context[node.output[0]] = context[node.input[0]]
        elif node.output[0] in wanted:
            opset = opsets.get(node.domain, get_preferred_qonnx_opset())
            one_by_one = node.op_type in SINGLE
            (_execute_each if one_by_one else execute_node)(node, context, batched.graph, opset)
    return context


def _execute_each(node: NodeProto, context: Tensors, graph: GraphProto, opset: int) -> None:
    """Run a node image by image."""
    source, target = node.input[0], node.output[0]
    parts = []
    for i in range(len(context[source])):
        one = {source: context[source][i : i + 1], target: context[target][:1]}
        execute_node(node, one, graph, opset)
        parts.append(one[target])
    context[target] = np.concatenate(parts)
