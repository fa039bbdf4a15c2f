"""A hardware layer of FINN's as binary graphs need it; imported once FINN has its settings."""

from __future__ import annotations

from typing import Any

from finn.custom_op.fpgadataflow.vectorvectoractivation import VVAU
from qonnx.core.datatype import BaseDataType, DataType
from qonnx.core.modelwrapper import ModelWrapper


class XnorVVAU(VVAU):
    """FINN's depthwise product of weights of -1 and +1, on bits as on -1 and +1.

    It counts the places in which both agree. FINN's own counts only where its input is typed
    BIPOLAR, while FINN's Thresholding makes nothing but BINARY; and MinimizeWeightBitWidth types
    its weights INT2, after which it no longer counts.
    """

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """The semantics of VVAU on -1 and +1."""
        name, kind = self.onnx_node.input[0], self.get_nodeattr("inputDataType")
        values = context[name]
        self.set_nodeattr("inputDataType", "BIPOLAR")
        context[name] = 2 * values - 1 if kind == "BINARY" else values
        super().execute_node(context, graph)
        self.set_nodeattr("inputDataType", kind)
        context[name] = values

    def minimize_weight_bit_width(
        self, model: ModelWrapper, datatype_only: bool = False
    ) -> BaseDataType:
        """Weights stay of one bit."""
        return DataType["BIPOLAR"]
