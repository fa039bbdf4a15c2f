"""What of a QONNX file cannot be built: operators, shapes and bit widths, refused by name."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from flow.errors import UserError
from flow.lowering.onnx_run import dynamic_tensors
from flow.lowering.product import attribute
from flow.lowering.topology import AVERAGES

QUANTISERS = ("BipolarQuant", "Quant", "MultiThreshold", "Sign")
ELEMENTWISE = ("Mul", "Add", "Sub", "Div", "Neg", "Clip", "BatchNormalization")
SHAPING = ("Reshape", "Flatten", "Identity", "Dropout", "Cast")
LAYERS = ("Conv", "Pad", "MaxPool", "MatMul", "Gemm", "TopK")
SUPPORTED = (*LAYERS, *AVERAGES, *QUANTISERS, *ELEMENTWISE, *SHAPING)
PADDING = ("Conv", "MaxPool", "AveragePool")


def refuse_unwritten(model: ModelWrapper) -> None:
    """`UserError` at the first node that reads what nothing writes."""
    written = {x.name for x in model.graph.input} | {x.name for x in model.graph.initializer}
    for node in model.graph.node:
        for name in filter(None, node.input):
            if name not in written:
                raise UserError(
                    f"node {node.name or node.op_type} reads tensor {name}, which nothing writes"
                )
        written.update(node.output)


def refuse_operators(model: ModelWrapper, supported: tuple[str, ...]) -> None:
    """`UserError` at the first node on the input's way that is not supported."""
    dynamic = dynamic_tensors(model)
    for node in model.graph.node:
        if not dynamic.intersection(node.input):
            continue
        if node.op_type in PADDING and _pads(node) and _is_binary(model, node.input[0]):
            raise UserError(
                f"node {node.name or node.output[0]} ({node.op_type}) pads binary data with "
                "zeros, and zero is neither -1 nor +1; train with padding of -1, or none"
            )
        if node.op_type in ("Conv", "MaxPool"):
            _refuse_shape(model, node)
        if node.op_type not in supported:
            raise UserError(
                f"operator {node.op_type} (node {node.name or node.output[0]}) is not supported; "
                f"supported are {', '.join(sorted(SUPPORTED))}"
            )


def _refuse_shape(model: ModelWrapper, node: NodeProto) -> None:
    """`UserError` for a convolution or max-pool that is more than windows side by side."""
    name = f"node {node.name or node.output[0]} ({node.op_type})"
    kernel, strides = (list(attribute(node, key, [1, 1])) for key in ("kernel_shape", "strides"))
    if len(kernel) != 2 or len({*kernel}) != 1 or len({*strides}) != 1:
        raise UserError(
            f"{name}: kernel {kernel} with stride {strides}, only squares are supported"
        )
    if node.op_type == "MaxPool" and _pads(node):
        raise UserError(f"{name} pads its input; supported is pooling without padding")
    if attribute(node, "auto_pad", b"").startswith(b"SAME"):
        raise UserError(f"{name}: auto_pad is not supported; write the pixels of padding as pads")
    if any(x != 1 for x in attribute(node, "dilations", [])):
        raise UserError(f"{name}: dilation is not supported")
    groups = attribute(node, "group", 1)
    if groups != 1 and _weight_shape(model, node)[:2] != (groups, 1):
        raise UserError(
            f"{name}: {groups} groups are not supported; supported are one group and, for a "
            "depthwise convolution, as many as there are channels in and out"
        )
    if node.op_type == "MaxPool" and (kernel != strides or attribute(node, "ceil_mode", 0)):
        raise UserError(f"{name}: only pooling of whole squares side by side is supported")


def _weight_shape(model: ModelWrapper, node: NodeProto) -> tuple[int, ...]:
    """Of a Conv, through the quantiser in front of its weights."""
    name = node.input[1]
    while (quantiser := model.find_producer(name)) is not None:
        name = quantiser.input[0]
    return tuple(model.get_tensor_shape(name) or ())


def _pads(node: NodeProto) -> bool:
    pads = any(attribute(node, "pads", []))
    return pads or attribute(node, "auto_pad", b"").startswith(b"SAME")


def _is_binary(model: ModelWrapper, tensor: str) -> bool:
    """Whether a quantiser of one bit wrote the tensor, possibly reshaped or pooled since."""
    node = model.find_producer(tensor)
    while node is not None and node.op_type in (*SHAPING, "Transpose", "MaxPool"):
        node = model.find_producer(node.input[0])
    if node is None or node.op_type not in QUANTISERS:
        return False
    if node.op_type == "Quant":
        return bool(np.all(model.get_initializer(node.input[3]) == 1))
    thresholds = model.get_initializer(node.input[1]) if node.op_type == "MultiThreshold" else None
    return thresholds is None or thresholds.shape[1] == 1


def refuse_bit_widths(model: ModelWrapper) -> None:
    """`UserError` at the first quantiser of more than one bit; of the input eight are allowed."""
    dynamic = dynamic_tensors(model)
    inner = _behind_a_product(model)
    for node in model.graph.node:
        of_input = node.input[0] in dynamic and node.input[0] not in inner
        if node.op_type == "Quant":
            bits = model.get_initializer(node.input[3])
            if bits is None or float(bits) not in ((1, 8) if of_input else (1,)):
                what = "activations" if node.input[0] in dynamic else "weights"
                raise UserError(
                    f"node {node.name} (Quant) makes {what} of {bits} bits, "
                    "supported is one bit (-1 and +1), and eight for the input"
                )
        if node.op_type == "MultiThreshold":
            thresholds = model.get_initializer(node.input[1])
            if thresholds is None or thresholds.shape[1] not in ((1, 255) if of_input else (1,)):
                raise UserError(
                    f"node {node.name} (MultiThreshold) makes activations of more than one bit, "
                    "supported is one bit"
                )


def _behind_a_product(model: ModelWrapper) -> set[str]:
    """Names of the tensors that depend on what a product writes."""
    names: set[str] = set()
    dynamic = dynamic_tensors(model)
    for node in model.graph.node:
        product = node.op_type in ("Conv", "MatMul", "Gemm") and dynamic.intersection(node.input)
        if product or names.intersection(node.input):
            names.update(node.output)
    return names
