"""Give popcounts and sums the data type that holds them, and no more."""

from __future__ import annotations

import numpy as np
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes


def popcount_type(columns: int) -> str:
    """The smallest unsigned type for 0..columns."""
    return f"UINT{columns.bit_length()}"


def sum_type(weights: np.ndarray, top: int) -> str:
    """The smallest signed type for sums of 0..top with signs: `weights` (MW, MH) of -1 and +1."""
    high = top * int((weights > 0).sum(0).max())
    low = top * int((weights < 0).sum(0).max())
    return f"INT{1 + max(high, low - 1, 0).bit_length()}"


class SetPopcountWidth(Transformation):
    """Accumulator and output of a binary MVAU become UINT of bit_length(MW) bits.

    Stands for FINN's MinimizeAccumulatorWidth, which takes the range of the bipolar product: for
    MW = 784 it gives INT10, up to 511, to a popcount of up to 784. An MVAU of another input than
    bits gets the INT that holds what its weights can add up to.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.get_nodes_by_op_type("MVAU"):
            layer = getCustomOp(node)
            if layer.get_nodeattr("binaryXnorMode"):
                name = popcount_type(layer.get_nodeattr("MW"))
            else:
                top = int(DataType[layer.get_nodeattr("inputDataType")].max())
                name = sum_type(model.get_initializer(node.input[1]), top)
            layer.set_nodeattr("accDataType", name)
            layer.set_nodeattr("outputDataType", name)
            model.set_tensor_datatype(node.output[0], DataType[name])
        return model.transform(InferDataTypes()), False
