"""Write constants that are the same for every channel as scalars."""

from __future__ import annotations

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

ELEMENTWISE = ("Mul", "Add", "Sub", "Div")


class UniformToScalar(Transformation):
    """x * [a, a, a] becomes x * a, likewise for Add, Sub and Div.

    FINN moves and absorbs scalars, but leaves vectors of equal numbers where they are.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.graph.node:
            if node.op_type not in ELEMENTWISE:
                continue
            for i, name in enumerate(node.input):
                array = model.get_initializer(name)
                if array is None or array.size < 2 or np.ptp(array) != 0:
                    continue
                scalar = model.make_new_valueinfo_name()
                model.set_initializer(scalar, array.reshape(-1)[0].reshape(()))
                node.input[i] = scalar
        return model, False
