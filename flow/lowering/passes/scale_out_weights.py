"""Weights of -t and +t become bipolar weights and a scale behind the product."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from flow.lowering.chain import Chain


class ScaleOutWeights(Transformation):
    """A product by weights of one size a row becomes one by -1 and +1, BIPOLAR, and a Mul behind.

    x @ (t * w) becomes (x @ w) * t, likewise for Conv. FINN does this for weights behind a
    quantiser node; this is for those written as numbers.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        for product in Chain.of(model).products:
            node = product.node
            weights = model.get_initializer(node.input[1])
            if weights is None or node.op_type not in ("MatMul", "Conv"):
                raise AssertionError(f"node {node.name} ({node.op_type}): weights are not constant")
            # one number a row: (1, MH), or (1, MH, 1, 1) for a convolution with channels first
            conv = node.op_type == "Conv"
            size = np.abs(weights[:, 0, 0, 0].reshape(1, -1, 1, 1) if conv else weights[:1])
            signs = np.where(weights > 0, 1, -1).astype(np.float32)
            model.set_initializer(node.input[1], signs)
            model.set_tensor_datatype(node.input[1], DataType["BIPOLAR"])
            if (size == 1).all():
                continue
            target, scaled, scale = (
                node.output[0],
                model.make_new_valueinfo_name(),
                f"{node.name}_scale",
            )
            shape = model.get_tensor_shape(target)
            graph.value_info.append(helper.make_tensor_value_info(scaled, TensorProto.FLOAT, shape))
            node.output[0] = scaled
            model.set_initializer(scale, size if np.ptp(size) else size.reshape(-1)[0].reshape(()))
            place = list(graph.node).index(node) + 1
            graph.node.insert(place, helper.make_node("Mul", [scaled, scale], [target]))
        return model, False
