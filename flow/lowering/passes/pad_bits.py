"""Pad bits with a bit."""

from __future__ import annotations

import numpy as np
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation


class PadBits(Transformation):
    """Padding of a tensor that was turned from -1 and +1 to 0 and 1 takes the bit for its value.

    qonnx turns the tensor and leaves the padding as it is.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for pad in model.get_nodes_by_op_type("Pad"):
            is_binary = model.get_tensor_datatype(pad.input[0]) == DataType["BINARY"]
            value = model.get_initializer(pad.input[2])
            if is_binary and value is not None and value < 0:
                bit = model.make_new_valueinfo_name()
                model.set_initializer(bit, np.zeros((), np.float32))
                pad.input[2] = bit
        return model, False
