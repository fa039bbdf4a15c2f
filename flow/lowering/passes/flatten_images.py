"""Write every flattening behind a convolution the same way, and take copies out."""

from __future__ import annotations

from onnx import NodeProto, TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from flow.errors import UserError
from flow.lowering.passes.flatten_input import DROPPED, bypass, reader


class FlattenImages(Transformation):
    """(1, C, H, W) -> Reshape -> (1, CHW) becomes Flatten; Reshape to the same shape goes.

    So do copies of a tensor (Identity, Dropout, Cast to float). The input becomes float.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        tensor = graph.input[0].name
        while (node := reader(model, tensor)) is not None:
            target = node.output[1] if node.op_type == "TopK" else node.output[0]
            if node.op_type in DROPPED:
                before, after = (model.get_tensor_shape(x) for x in (tensor, target))
                if before == after:
                    bypass(model, node, tensor)
                    continue
                if len(before) != 4 or len(after) != 2 or before[0] != after[0]:
                    raise UserError(
                        f"node {node.name} ({node.op_type}) makes {tuple(after)} of "
                        f"{tuple(before)}; supported is flattening to (batch, features)"
                    )
                _flatten(model, node)
            tensor = target
        graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
        return model, False


def _flatten(model: ModelWrapper, node: NodeProto) -> None:
    place = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    flatten = helper.make_node("Flatten", [node.input[0]], node.output, name=node.name, axis=1)
    model.graph.node.insert(place, flatten)
