"""FINN's hardware layers, and ours in the same graph, read and run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from flow.errors import UserError
from flow.graph import (
    Depthwise,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Stream,
    Threshold,
)
from flow.lowering.chain import Chain
from flow.lowering.golden import activation_name, layer_name
from flow.lowering.onnx_run import run
from flow.lowering.product import LAST, SLIDERS, STRIDES, border_of, square

SLIDER = "ConvolutionInputGenerator"
BUILDABLE = ("Thresholding", "MVAU", "XnorVVAU", "LabelSelect", "Pad", SLIDER, "Pool")


def to_graph(model: ModelWrapper, name: str) -> Graph:
    """Read FINN's hardware layers into our own graph, PE = SIMD = 1."""
    return _read(model, name)[0]


def execute(model: ModelWrapper, images: np.ndarray) -> dict[str, np.ndarray]:
    """FINN's own NumPy semantics of its hardware layers, on uint8 images in the graph's order.

    Returns {name as in `to_graph`: (N, ...)}: the golden model of `flow.reference`.
    """
    tensors = run(model, {model.graph.input[0].name: images.astype(np.float32)}, len(images))
    graph, names = _read(model, "finn")
    return {
        title: tensors[name].reshape(len(images), *graph.streams[title].shape)
        for title, name in names.items()
    }


def _read(model: ModelWrapper, name: str) -> tuple[Graph, dict[str, str]]:
    """The graph, and for each of its streams the tensor of FINN's that it is."""
    for node in model.graph.node:
        if node.op_type not in BUILDABLE:
            raise UserError(
                f"node {node.name} ({node.op_type}) is left where only {', '.join(BUILDABLE)} can "
                "be built in hardware"
            )
    windows = Chain.of(model).windows
    inputs = model.graph.input[0].name
    names = {"image": inputs}
    streams = [Stream("image", _shape(model, inputs), model.get_tensor_datatype(inputs).name)]
    layers: list[Layer] = []
    products = 0
    for node, after in zip(model.graph.node, [*model.graph.node[1:], None], strict=True):
        if node.op_type == SLIDER and after is not None and after.op_type == "Pool":
            continue  # read with the pooling
        source = streams[-1].name
        layer: Layer
        if node.op_type == "Thresholding":
            layer = _threshold(model, node, activation_name(windows, products), source)
        elif node.op_type == SLIDER:
            title = f"{layer_name(windows, products)}_window"
            sizes = [square(node, x[SLIDER]) for x in (SLIDERS, STRIDES)]
            layer = SlidingWindow(title, source, title, *sizes)
        elif node.op_type == "Pool":
            title = f"pool{products - 1}" if products else "pool_in"
            layer = MaxPool(title, source, title, windows[products].pool)
        elif node.op_type == "Pad":
            title = f"{layer_name(windows, products)}_pad"
            layer = _padding(model, node, title, source)
        elif node.op_type == "XnorVVAU":
            title = layer_name(windows, products)
            layer = _depthwise(model, node, title, source)
            products += 1
        elif node.op_type == "MVAU":
            title = layer_name(windows, products)
            if not windows[products].is_conv:  # an image is read as a vector, in the same order
                streams[-1] = replace(streams[-1], shape=(streams[-1].size,))
            layer = _matrix_vector(model, node, title, source)
            products += 1
        else:
            classes = getCustomOp(node).get_nodeattr("Labels")
            layer = LabelSelect("label", source, "label", classes)
        layers.append(layer)
        dtype = model.get_tensor_datatype(node.output[0]).name
        if isinstance(layer, LabelSelect):  # FINN rounds up to bytes
            dtype = f"UINT{max(1, (layer.classes - 1).bit_length())}"
        streams.append(Stream(layer.target, _shape(model, node.output[0]), dtype))
        names[layer.target] = node.output[0]
    graph = Graph(
        name, tuple(layers), {s.name: s for s in streams}, streams[0].name, streams[-1].name
    )
    return graph.check(), names


def _threshold(model: ModelWrapper, node: NodeProto, title: str, source: str) -> Threshold:
    thresholds = _integers(model.get_initializer(node.input[1]), node.name)
    channels = getCustomOp(node).get_nodeattr("NumChannels")
    thresholds = np.broadcast_to(thresholds, (channels, thresholds.shape[1])).copy()
    return Threshold(title, source, title, thresholds)


def _padding(model: ModelWrapper, node: NodeProto, title: str, source: str) -> Padding:
    size, value = border_of(model, node, LAST)
    (number,) = _integers(np.array([value]), node.name)
    return Padding(title, source, title, size, int(number))


def _depthwise(model: ModelWrapper, node: NodeProto, title: str, source: str) -> Depthwise:
    """A VVAU that counts equal signs."""
    attributes = getCustomOp(node)
    kinds = [attributes.get_nodeattr(f"{x}DataType") for x in ("input", "weight")]
    weights = model.get_initializer(node.input[1])
    plain = attributes.get_nodeattr("noActivation")
    if not (kinds == ["BINARY", "BIPOLAR"] and plain and np.isin(weights, (-1, 1)).all()):
        raise UserError(f"{title}: FINN typed it {' x '.join(kinds)}, needed is BINARY x BIPOLAR")
    rows = (weights > 0).astype(np.uint8).reshape(len(weights), -1)
    return Depthwise(title, source, title, rows)


def _matrix_vector(model: ModelWrapper, node: NodeProto, title: str, source: str) -> MatrixVector:
    """An MVAU of one-bit weights; FINN may type those of -1 and +1 INT2."""
    attributes = getCustomOp(node)
    kinds = [attributes.get_nodeattr(f"{x}DataType") for x in ("input", "weight")]
    weights = _integers(model.get_initializer(node.input[1]), node.name).T
    xnor = attributes.get_nodeattr("binaryXnorMode")
    expected = (["BINARY"], ["BINARY"]) if xnor else (["UINT8"], ["BIPOLAR", "INT2"])
    typed = all(kind in known for kind, known in zip(kinds, expected, strict=True))
    levels, plain = (0, 1) if xnor else (-1, 1), attributes.get_nodeattr("noActivation")
    if not (typed and plain and np.isin(weights, levels).all()):
        raise UserError(
            f"{title}: FINN typed it {' x '.join(kinds)}, needed is BINARY or UINT8 x BIPOLAR"
        )
    return MatrixVector(title, source, title, (weights > 0).astype(np.uint8))


def _shape(model: ModelWrapper, tensor: str) -> tuple[int, ...]:
    return tuple(model.get_tensor_shape(tensor)[1:])


def _integers(array: np.ndarray, node: str) -> np.ndarray:
    whole = np.rint(array).astype(np.int64)
    if not np.array_equal(whole, array):
        raise UserError(f"node {node}: parameters are not integers")
    return whole
