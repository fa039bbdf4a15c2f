"""Write out what convolutions and pooling leave to ONNX' defaults."""

from __future__ import annotations

from typing import Any

from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from flow.lowering.product import attribute


class CompleteConvolutions(Transformation):
    """Conv and MaxPool get the attributes kernel_shape, strides, pads, dilations and group.

    The chain and FINN read these; a kernel's shape may be left to its weights, the rest to defaults
    (a pool's stride too is 1). `auto_pad` that pads nothing goes.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.graph.node:
            if node.op_type not in ("Conv", "MaxPool"):
                continue
            defaults: dict[str, Any] = {
                "strides": [1, 1],
                "pads": [0, 0, 0, 0],
                "dilations": [1, 1],
            }
            if node.op_type == "Conv":
                shape = model.get_tensor_shape(node.input[1]) or []
                defaults |= {"kernel_shape": shape[2:], "group": 1}
            for name, value in defaults.items():
                if attribute(node, name, None) is None:
                    node.attribute.append(helper.make_attribute(name, value))
            for entry in list(node.attribute):
                if entry.name == "auto_pad" and entry.s in (b"NOTSET", b"VALID"):
                    node.attribute.remove(entry)
        return model, False
