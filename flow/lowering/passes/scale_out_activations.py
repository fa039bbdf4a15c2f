"""Bipolar quantisers of -s and +s become quantisers of -1 and +1 and a scale behind them."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation

from flow.lowering.onnx_run import dynamic_tensors


class ScaleOutActivations(Transformation):
    """BipolarQuant(x, s), or a signed one-bit Quant, becomes BipolarQuant(x, 1) * s.

    FINN refuses to convert bipolar activations of another scale than 1.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph, dynamic = model.graph, dynamic_tensors(model)
        for node in list(graph.node):
            if node.input[0] not in dynamic or not _is_bipolar(model, node):
                continue
            scale = model.get_initializer(node.input[1])
            target, shape = node.output[0], model.get_tensor_shape(node.output[0])
            one, unit = model.make_new_valueinfo_name(), model.make_new_valueinfo_name()
            model.set_initializer(one, np.array([1], np.float32))
            place = list(graph.node).index(node)
            graph.node.remove(node)
            scaled = not (scale == 1).all()
            quantiser = helper.make_node(
                "BipolarQuant",
                [node.input[0], one],
                [unit if scaled else target],
                name=node.name,
                domain="qonnx.custom_op.general",
            )
            graph.node.insert(place, quantiser)
            if scaled:
                info = helper.make_tensor_value_info(unit, TensorProto.FLOAT, shape)
                graph.value_info.append(info)
                graph.node.insert(
                    place + 1, helper.make_node("Mul", [unit, node.input[1]], [target])
                )
        return model, False


def _is_bipolar(model: ModelWrapper, node: NodeProto) -> bool:
    if node.op_type == "Quant":
        one_bit = model.get_initializer(node.input[3]) == 1
        return bool(one_bit and getCustomOp(node).get_nodeattr("signed"))
    return node.op_type == "BipolarQuant"
