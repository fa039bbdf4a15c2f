"""Compute what a graph derives from the shape of a tensor, now that shapes are known."""

from __future__ import annotations

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.infer_shapes import InferShapes


class FoldShapes(Transformation):
    """Shape nodes become constants, as in x.view(x.shape[0], -1) exported with an open batch."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for node in list(model.graph.node):
            shape = model.get_tensor_shape(node.input[0]) if node.op_type == "Shape" else None
            if shape is None or 0 in shape:
                continue
            bounds = {a.name: a.i for a in node.attribute}
            part = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
            model.graph.node.remove(node)
            model.set_initializer(node.output[0], np.array(part, np.int64))
            changed = True
        if changed:
            keep = ["Quant", "BipolarQuant"]
            model = model.transform(FoldConstants(exclude_op_types=keep)).transform(InferShapes())
        return model, changed
