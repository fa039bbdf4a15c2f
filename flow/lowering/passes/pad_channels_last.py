"""Move padding behind the transposition of its image."""

from __future__ import annotations

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_shapes import InferShapes


class PadChannelsLast(Transformation):
    """Pad -> Transpose becomes Transpose -> Pad, as FINN's passes for images need it.

    They absorb a Transpose into the quantiser in front of it, and know no Pad.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        changed = False
        for pad in model.get_nodes_by_op_type("Pad"):
            (after,) = model.find_consumers(pad.output[0])
            if after.op_type != "Transpose":
                continue
            perm = list(after.attribute[0].ints)
            pads = model.get_initializer(pad.input[1]).reshape(2, -1)[:, perm]
            sides, between = model.make_new_valueinfo_name(), pad.output[0]
            model.set_initializer(sides, pads.reshape(-1).astype(np.int64))
            after.input[0], pad.output[0] = pad.input[0], after.output[0]
            after.output[0] = pad.input[0] = between
            pad.input[1] = sides
            shape = model.get_tensor_shape(after.input[0])
            model.set_tensor_shape(between, [shape[i] for i in perm])
            model.graph.node.remove(pad)
            model.graph.node.insert(list(model.graph.node).index(after) + 1, pad)
            changed = True
        return (model.transform(InferShapes()) if changed else model), False
