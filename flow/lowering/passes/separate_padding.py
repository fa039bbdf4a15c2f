"""Take padding out of convolutions."""

from __future__ import annotations

import numpy as np
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from flow.lowering.product import attribute


class SeparatePadding(Transformation):
    """Conv with pads becomes Pad by zero and Conv without: padding has one place in every graph."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        for node in model.get_nodes_by_op_type("Conv"):
            pads = list(attribute(node, "pads", []))
            if not any(pads):
                continue
            half = len(pads) // 2
            sides = [0, 0, *pads[:half], 0, 0, *pads[half:]]
            border, padded = model.make_new_valueinfo_name(), f"{node.name}_padded"
            model.set_initializer(border, np.array(sides, np.int64))
            place = list(graph.node).index(node)
            pad = helper.make_node("Pad", [node.input[0], border], [padded], f"{node.name}_pad")
            graph.node.insert(place, pad)
            node.input[0] = padded
            next(a for a in node.attribute if a.name == "pads").ints[:] = [0] * len(pads)
        return model, False
