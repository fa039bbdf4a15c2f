"""Give the popcounts the data type that holds them, and no more."""

from __future__ import annotations

from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes


def popcount_type(columns: int) -> str:
    """The smallest unsigned type for 0..columns."""
    return f"UINT{columns.bit_length()}"


class SetPopcountWidth(Transformation):
    """Accumulator and output of a binary MVAU become UINT of bit_length(MW) bits.

    Stands for FINN's MinimizeAccumulatorWidth, which takes the range of the bipolar product: for
    MW = 784 it gives INT10, up to 511, to a popcount of up to 784.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in model.get_nodes_by_op_type("MVAU"):
            layer = getCustomOp(node)
            if not layer.get_nodeattr("binaryXnorMode"):
                continue
            name = popcount_type(layer.get_nodeattr("MW"))
            layer.set_nodeattr("accDataType", name)
            layer.set_nodeattr("outputDataType", name)
            model.set_tensor_datatype(node.output[0], DataType[name])
        return model.transform(InferDataTypes()), False
