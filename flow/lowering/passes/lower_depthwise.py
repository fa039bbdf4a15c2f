"""Turn depthwise convolutions into windows and FINN's vector-vector products."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

from flow.lowering.passes.popcount_width import popcount_type
from flow.lowering.product import attribute, square


class LowerDepthwiseConvs(Transformation):
    """A bipolar Conv of as many groups as channels becomes Transpose, Im2Col, XnorVVAU, Transpose.

    qonnx makes a matrix of it that is zero outside its channel, and then takes that zero for a
    weight of one bit. The vector-vector product counts the places p in which input and weights
    agree, so that 2p - K is the sum; see `flow/lowering/finn_ops.py`.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for node in model.get_nodes_by_op_type("Conv"):
            if attribute(node, "group", 1) > 1:
                _lower(model, node)
                changed = True
        if changed:
            model = model.transform(InferShapes()).transform(InferDataTypes())
        return model, False


class DepthwiseToXnor(Transformation):
    """What a depthwise product reads becomes 0 and 1, as in front of an XnorPopcountMatMul."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.get_nodes_by_op_type("XnorVVAU"):
            quantiser = model.find_upstream(node.input[0], lambda n: n.op_type == "MultiThreshold")
            for name, value in BITS.items():
                getCustomOp(quantiser[-1]).set_nodeattr(name, value)
        return model.transform(InferDataTypes()), False


BITS = {"out_dtype": "BINARY", "out_scale": 1.0, "out_bias": 0.0}  # of a MultiThreshold


def _lower(model: ModelWrapper, conv: NodeProto) -> None:
    graph = model.graph
    kernel, stride = square(conv, "kernel_shape"), square(conv, "strides")
    _, channels, height, width = model.get_tensor_shape(conv.input[0])
    _, _, rows, columns = model.get_tensor_shape(conv.output[0])
    places = kernel**2
    nodes: list[NodeProto] = []

    def tensor(value: float) -> str:
        name = model.make_new_valueinfo_name()
        model.set_initializer(name, np.array(value, np.float32))
        return name

    def append(op: str, shape: list[int], *parameters: str, **attributes: Any) -> None:
        source = nodes[-1].output[0] if nodes else conv.input[0]
        target = model.make_new_valueinfo_name()
        graph.value_info.append(helper.make_tensor_value_info(target, TensorProto.FLOAT, shape))
        nodes.append(helper.make_node(op, [source, *parameters], [target], **attributes))

    append("Transpose", [1, height, width, channels], perm=[0, 2, 3, 1])
    if (kernel, stride) != (1, 1):
        append(
            "Im2Col",
            [1, rows, columns, places * channels],
            domain="qonnx.custom_op.general",
            stride=[stride] * 2,
            kernel_size=[kernel] * 2,
            input_shape=f"(1,{height},{width},{channels})",
            depthwise=1,
        )
    append(
        "XnorVVAU",
        [1, rows, columns, channels],
        conv.input[1],
        domain="finn.custom_op.fpgadataflow",
        backend="fpgadataflow",
        PE=channels,
        Dim=[rows, columns],
        Channels=channels,
        Kernel=[kernel] * 2,
        inputDataType="BIPOLAR",
        weightDataType="BIPOLAR",
        outputDataType=popcount_type(places),
        accDataType=popcount_type(places),
        noActivation=1,
        name=conv.name,
    )
    append("Mul", [1, rows, columns, channels], tensor(2))
    append("Add", [1, rows, columns, channels], tensor(-places))
    append("Transpose", [1, channels, rows, columns], perm=[0, 3, 1, 2])
    nodes[-1].output[0] = conv.output[0]
    place = list(graph.node).index(conv)
    graph.node.remove(conv)
    for node in reversed(nodes):
        graph.node.insert(place, node)
