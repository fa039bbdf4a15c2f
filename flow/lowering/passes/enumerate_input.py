"""Replace an input quantiser of 8 bits by thresholds found by trying every pixel value."""

from __future__ import annotations

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

from flow.lowering.chain import Chain
from flow.lowering.encoding import tables
from flow.lowering.golden import Golden
from flow.lowering.passes.enumerate_activations import input_thresholds, levels_of, write_segment


class EnumerateInput(Transformation):
    """Pixels -> scale -> Quant becomes MultiThreshold, Mul, Add, the product reading the same.

    FINN makes thresholds of a Quant that rounds halves up where the Quant rounds them to even, so
    that a pixel that lies between two steps can move by one.
    """

    def __init__(self, golden: Golden):
        super().__init__()
        self.golden = golden

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        chain = Chain.of(model)
        _, encodings, _ = tables(chain, None)
        levels = levels_of(encodings[0], kept=True)
        write_segment(model, chain, 0, input_thresholds(self.golden), levels, encodings[0].fill)
        return model.transform(InferShapes()).transform(InferDataTypes()), False
