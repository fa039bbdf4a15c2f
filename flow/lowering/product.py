"""A matrix product in an ONNX graph, at any stage of lowering.

A product may be written as Conv, Gemm, MatMul, XnorPopcountMatMul, MVAU or XnorVVAU, behind nodes
that make a border and windows or not, on images with the channels first or last, and its operands
as -1/+1, 0/1 or any two levels; `Product` reads all of them as `flow.lowering.golden` orders them,
and `Encoding` (`flow/lowering/encoding.py`) says how the numbers in the graph follow from the
integer accumulators of the bipolar network.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from flow.errors import UserError
from flow.lowering.onnx_run import Tensors

PRODUCTS = ("Conv", "Gemm", "MatMul", "XnorPopcountMatMul", "MVAU", "XnorVVAU")
SLIDERS = {"Im2Col": "kernel_size", "ConvolutionInputGenerator": "ConvKernelDim"}
STRIDES = {"Im2Col": "stride", "ConvolutionInputGenerator": "Stride"}

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]  # permutations of a Transpose
FIRST, LAST, VECTOR = "NCHW", "NHWC", "NC"


@dataclass(frozen=True, eq=False)
class Product:
    """One matrix product; its weights are a tensor that does not depend on the input.

    `slider` is the node that forms the windows it reads, `pad` the one that puts a border of
    `border` (pixels, value) around the image, if there is one. `shape` is that of its source
    tensor; `flattened` is (C, H, W) where that is an image flattened with channels first.
    """

    node: NodeProto
    slider: NodeProto | None
    pad: NodeProto | None
    border: tuple[int, float]
    shape: tuple[int, ...]
    flattened: tuple[int, int, int] | None
    target_shape: tuple[int, ...]

    @property
    def source(self) -> str:
        return (self.pad or self.slider or self.node).input[0]

    @property
    def target(self) -> str:
        return self.node.output[0]

    @property
    def xnor(self) -> bool:
        if self.node.op_type == "MVAU":
            return bool(getCustomOp(self.node).get_nodeattr("binaryXnorMode"))
        return self.node.op_type == "XnorPopcountMatMul"

    @property
    def depthwise(self) -> bool:
        """Whether each row of weights reads its own channel alone."""
        return self.node.op_type == "XnorVVAU" or attribute(self.node, "group", 1) > 1

    @property
    def kernel(self) -> tuple[int, int]:
        """(kernel, stride); kernel 0 for a fully connected product."""
        if self.slider is not None:
            op = self.slider.op_type
            return square(self.slider, SLIDERS[op]), square(self.slider, STRIDES[op])
        if self.node.op_type == "Conv":
            return square(self.node, "kernel_shape"), square(self.node, "strides")
        return (1 if len(self.target_shape) == 4 else 0), 1

    @property
    def columns(self) -> int:
        """Values that meet a row of weights, by the shape of the source."""
        channels = self.shape[1] if self.node.op_type == "Conv" else self.shape[-1]
        kernel, _ = self.kernel
        channels = 1 if self.depthwise else channels
        return kernel**2 * channels if kernel else prod(self.shape[1:])

    def weights(self, tensors: Tensors) -> np.ndarray:
        """Its weights (MH, MW), the columns in the order of `golden`."""
        array = tensors[self.node.input[1]]
        if self.node.op_type in ("Conv", "XnorVVAU"):
            return array.transpose(0, 2, 3, 1).reshape(len(array), -1)
        array = array if attribute(self.node, "transB", 0) else array.T
        return self._channels_last(array)

    def source_values(self, tensors: Tensors) -> np.ndarray:
        """What arrives: (N, MW), or (N, H, W, C) for a convolution."""
        values = tensors[self.source]
        if self.node.op_type == "Conv":
            return values.transpose(TO_LAST)
        return values if self.kernel[0] else self._channels_last(values.reshape(len(values), -1))

    def target_values(self, tensors: Tensors) -> np.ndarray:
        """What leaves: (N, MH), or (N, H', W', MH) for a convolution."""
        values = tensors[self.target]
        return values.transpose(TO_LAST) if self.node.op_type == "Conv" else values

    def _channels_last(self, rows: np.ndarray) -> np.ndarray:
        """(N, CHW) -> (N, HWC) where the source is flattened with channels first."""
        if self.flattened is None or rows.shape[1] != prod(self.flattened):
            return rows
        return rows.reshape(-1, *self.flattened).transpose(TO_LAST).reshape(rows.shape)

    def bias(self, tensors: Tensors) -> np.ndarray | float:
        """What it adds to each row of the product, a scalar or (MH,)."""
        if self.node.op_type not in ("Gemm", "Conv") or len(self.node.input) < 3:
            return 0.0
        return tensors[self.node.input[2]] * attribute(self.node, "beta", 1.0)

    @property
    def factor(self) -> float:
        return attribute(self.node, "alpha", 1.0) if self.node.op_type == "Gemm" else 1.0


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def square(node: NodeProto, name: str) -> int:
    """An attribute of two equal numbers, such as a kernel's shape; 1 where it is left out."""
    height, width = attribute(node, name, (1, 1))
    if height != width:
        raise UserError(
            f"node {node.name} ({node.op_type}): {name} is {height} x {width}, only squares are "
            "supported"
        )
    return int(height)


def border_of(model: ModelWrapper, node: NodeProto, layout: str) -> tuple[int, float]:
    """Pixels and value of a Pad; `UserError` unless all sides of an image get the same border."""
    where = f"node {node.name} (Pad)"
    given = [model.get_initializer(name) if name else None for name in node.input[1:]]
    pads, value = (*given, None, None)[:2]
    if len(node.input) < 3 or not node.input[2]:
        value = np.zeros(1)
    constant = attribute(node, "mode", b"constant") == b"constant"
    if pads is None or value is None or len(given) > 2 or not constant:
        raise UserError(
            f"{where}: supported is padding by a constant, with pads and value as in opset 11 to 17"
        )
    sides = {FIRST: [2, 3, 6, 7], LAST: [1, 2, 5, 6]}.get(layout, [])
    amounts = {int(pads[i]) for i in sides}
    others = [int(n) for i, n in enumerate(pads) if i not in sides]
    if len(pads) != 8 or any(others) or len(amounts) != 1 or min(amounts) < 0:
        raise UserError(
            f"{where}: pads {[int(n) for n in pads]}; supported is the same border on all sides of "
            "an image"
        )
    return amounts.pop(), float(np.reshape(value, -1)[0])
