"""Prepend the scaling of pixels, so that the graph reads what the hardware reads: uint8."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

PIXEL_MAX = 255.0
SCALINGS = {"Div": PIXEL_MAX, "Mul": 1 / PIXEL_MAX}  # how a graph may do this itself


class PrependToTensor(Transformation):
    """input -> f(x) becomes pixels -> x = pixels / 255 -> f(x); the new input is UINT8.

    The division is float32 and rounded once, as `flow.lowering.export.scale_images` does it.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        scaled = graph.input[0].name
        shape = model.get_tensor_shape(scaled)
        pixels, maximum = model.make_new_valueinfo_name(), "pixel_max"
        graph.value_info.append(helper.make_tensor_value_info(scaled, TensorProto.FLOAT, shape))
        graph.input.remove(graph.input[0])
        graph.input.insert(0, helper.make_tensor_value_info(pixels, TensorProto.FLOAT, shape))
        model.set_initializer(maximum, np.array(PIXEL_MAX, np.float32))
        graph.node.insert(0, helper.make_node("Div", [pixels, maximum], [scaled], name="ToTensor"))
        model.set_tensor_datatype(pixels, DataType["UINT8"])
        return model, False
