"""Move the flattening of images out of the graph: its input becomes (1, F)."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from flow.errors import UserError

DROPPED = ("Reshape", "Flatten", "Identity", "Dropout", "Cast")
ELEMENTWISE = ("Mul", "Add", "Sub", "Div")
ANY_SHAPE = ("BipolarQuant", "Quant", "MultiThreshold", "Neg", "Clip", "Sign")


class FlattenInput(Transformation):
    """(1, C, H, W) -> ... -> Reshape (1, CHW) -> ... becomes (1, CHW) -> ...

    What stands in front of the Reshape must work element by element; its constants are flattened
    with it. Copies of a tensor (Identity, Dropout, Cast to float) are taken out everywhere.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        tensor = graph.input[0].name
        shape = model.get_tensor_shape(tensor)
        before = shape  # what the tensor's shape was in the graph as it was read
        while (node := reader(model, tensor)) is not None:
            after = model.get_tensor_shape(node.output[0])
            if node.op_type in DROPPED:
                if after[0] != before[0] or (len(after) != 2 and after != before):
                    raise UserError(
                        f"node {node.name} ({node.op_type}) makes {tuple(after)} of "
                        f"{tuple(before)}; supported is flattening to (batch, features)"
                    )
                bypass(model, node, tensor)
                before = after
                continue
            if len(before) != 2:
                _flatten_constants(model, node, tensor, before)
            before = after
            tensor = node.output[1] if node.op_type == "TopK" else node.output[0]
        graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
        model.set_tensor_shape(graph.input[0].name, [1, prod(shape)])
        while graph.value_info:
            graph.value_info.pop()
        return model, False


def reader(model: ModelWrapper, tensor: str):
    readers = model.find_consumers(tensor)
    return readers[0] if readers else None


def bypass(model: ModelWrapper, node, tensor: str) -> None:
    """Take a node out; what read its output reads `tensor`."""
    target = node.output[0]
    if target == model.graph.output[0].name:
        producer = model.find_producer(tensor)
        if producer is None:
            raise UserError("the graph copies its input to its output")
        producer.output[list(producer.output).index(tensor)] = target
    else:
        for reader in model.find_consumers(target):
            reader.input[list(reader.input).index(target)] = tensor
    model.graph.node.remove(node)


def _flatten_constants(model: ModelWrapper, node, tensor: str, shape: list[int]) -> None:
    """Give an element-wise node on (1, C, H, W) the constants it needs on (1, CHW)."""
    if node.op_type in ANY_SHAPE:
        parameters = [x for x in node.input if x and x != tensor]
        if all(np.size(model.get_initializer(x)) == 1 for x in parameters):
            return
    if node.op_type in ELEMENTWISE:
        for i, name in enumerate(node.input):
            array = model.get_initializer(name)
            if name == tensor or array is None or array.size == 1:
                continue
            flat = model.make_new_valueinfo_name()
            model.set_initializer(flat, np.broadcast_to(array, shape).reshape(1, -1).copy())
            node.input[i] = flat
        return
    raise UserError(
        f"node {node.name} ({node.op_type}) works on images of shape {tuple(shape[1:])}; supported "
        "in front of the flattening are element-wise operators and quantisers alone"
    )
