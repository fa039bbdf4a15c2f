"""The only module that touches FINN (finn-plus): its settings, its passes, its hardware layers.

FINN's passes are no declared interface: everything here was tried with the version in `VERSION`
and is refused with another. A pass is `(name, [transformations])`; `upkeep` follows each of them.
Passes that were found to be wrong on binary graphs are not here; what stands in their place is in
`flow/passes`, and `tests/flow/test_finn_adapter.py` shows what is wrong with them.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.batchnorm_to_affine import BatchNormToAffine
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.general import (
    ConvertDivToMul,
    ConvertSubToAdd,
    GiveReadableTensorNames,
    GiveUniqueNodeNames,
    RemoveStaticGraphInputs,
    SortGraph,
)
from qonnx.transformation.infer_data_layouts import InferDataLayouts
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.insert_topk import InsertTopK
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul
from qonnx.transformation.make_input_chanlast import MakeInputChannelsLast
from qonnx.transformation.remove import RemoveIdentityOps

from flow.errors import UserError
from flow.graph import (
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    SlidingWindow,
    Stream,
    Threshold,
    windows_shape,
)
from flow.lowering.chain import SLIDERS, STRIDES, Chain, square
from flow.lowering.golden import activation_name, layer_name
from flow.lowering.onnx_run import run

VERSION = "1.6.1"
DOMAIN = "finn.custom_op.fpgadataflow"

SLIDER = "ConvolutionInputGenerator"
BUILDABLE = ("Thresholding", "MVAU", "LabelSelect", SLIDER, "Pool")

Pass = tuple[str, list[Transformation]]


@cache
def _prepare() -> None:
    """Check the version and give FINN the settings that it wants before its first import."""
    found = importlib.metadata.version("finn-plus")
    if found != VERSION:
        raise UserError(f"finn-plus {found} is installed, needed is {VERSION}; run `make setup`")
    held = os.environ.get("FINN_BUILD_DIR")
    os.environ["FINN_BUILD_DIR"] = str(Path(tempfile.gettempdir()) / "finn-build")
    try:
        import_module("finn.util.settings").initialize_dummy_settings()
    finally:
        if held is None:
            del os.environ["FINN_BUILD_DIR"]
        else:
            os.environ["FINN_BUILD_DIR"] = held


def transformation(module: str, name: str) -> Transformation:
    """An instance of one of FINN's transformations, `module` below `finn.transformation`."""
    _prepare()
    return getattr(import_module(f"finn.transformation.{module}"), name)()


def upkeep() -> list[Transformation]:
    """What FINN runs after each pass: names, data types, layouts."""
    return [
        RemoveIdentityOps(),
        GiveUniqueNodeNames(),
        GiveReadableTensorNames(),
        InferDataTypes(),
        InferDataLayouts(),
    ]


def to_finn_dialect() -> list[Pass]:
    """Quantiser nodes become MultiThreshold nodes and constant weights; Gemm becomes MatMul."""
    convert = transformation("qonnx.convert_qonnx_to_finn", "ConvertQONNXtoFINN")
    tidy = [InferShapes(), FoldConstants(), SortGraph(), RemoveStaticGraphInputs()]
    return [("ConvertQONNXtoFINN", [convert, *tidy])]


def insert_topk() -> list[Pass]:
    return [("InsertTopK", [InsertTopK(k=1), InferShapes()])]


def lower_convolutions() -> list[Pass]:
    """Convolutions become windows and products, images channels last, the graph's input too."""
    absorb, reorder = "streamline.absorb", "streamline.reorder"
    passes = [
        LowerConvsToMatMul(),
        MakeInputChannelsLast(),
        transformation(absorb, "AbsorbTransposeIntoMultiThreshold"),
        transformation(reorder, "MakeMaxPoolNHWC"),
        transformation(absorb, "AbsorbConsecutiveTransposes"),
    ]
    return [(type(p).__name__, [p, InferShapes()]) for p in passes]


def streamline(when: str = "") -> list[Pass]:
    """FINN's Streamline, one pass at a time, without those for convolutions.

    `when` is added to the names, since the list is run twice.
    """
    absorb, reorder, collapse = (
        "streamline.absorb",
        "streamline.reorder",
        "streamline.collapse_repeated",
    )
    again = transformation(reorder, "MoveAddPastMul")
    passes = [
        ConvertSubToAdd(),
        ConvertDivToMul(),
        BatchNormToAffine(),
        transformation(absorb, "AbsorbScalarBiasIntoMultiThreshold"),
        transformation(reorder, "MoveScalarLinearPastInvariants"),
        transformation(reorder, "MoveAddPastMul"),
        transformation(reorder, "MoveScalarAddPastMatMul"),
        transformation(reorder, "MoveScalarMulPastMatMul"),
        again,
        transformation(collapse, "CollapseRepeatedAdd"),
        transformation(collapse, "CollapseRepeatedMul"),
        transformation(absorb, "AbsorbAddIntoMultiThreshold"),
        transformation(absorb, "FactorOutMulSignMagnitude"),
        transformation(absorb, "AbsorbMulIntoMultiThreshold"),
        transformation(absorb, "Absorb1BitMulIntoMatMul"),
    ]
    return [(type(p).__name__ + (" again" if p is again else "") + when, [p]) for p in passes]


def to_xnor() -> list[Pass]:
    return [("ConvertBipolarMatMulToXnorPopcount", [ConvertBipolarMatMulToXnorPopcount()])]


def absorb_tail() -> list[Pass]:
    name = "AbsorbScalarMulAddIntoTopK"
    return [(name, [transformation("streamline.absorb", name)])]


def to_hardware(convolutions: bool = False, numbers: bool = False) -> list[Pass]:
    """Nodes become FINN's hardware layers.

    `convolutions`: there are some; `numbers`: the first product reads more than bits.
    """
    module = "fpgadataflow.convert_to_hw"
    names = {"InferThresholdingLayer": "thresholding"}
    if convolutions:  # pooling first, since it leaves windows behind
        names |= {"InferPool": "pool", "InferConvInpGen": "conv_inp_gen"}
    names |= {"InferBinaryMatrixVectorActivation": "binary_matrix_vector_activation"}
    if numbers:
        file = "quantized_matrix_vector_activation"
        names |= {"InferQuantizedMatrixVectorActivation": file}
    names |= {"InferLabelSelectLayer": "label_select"}
    passes = [(n, [transformation(f"{module}.{file}", n)]) for n, file in names.items()]
    if convolutions:
        name = "RemoveCNVtoFCFlatten"
        passes.append((name, [transformation("move_reshape", name)]))
    return passes


def round_thresholds() -> list[Pass]:
    name = "RoundAndClipThresholds"
    return [(name, [transformation("streamline.round_thresholds", name)])]


def minimize_weights() -> list[Pass]:
    name = "MinimizeWeightBitWidth"
    return [(name, [transformation("fpgadataflow.minimize_weight_bit_width", name)])]


@contextmanager
def chatter(log: Path | None) -> Iterator[None]:
    """Send FINN's messages and Python's warnings to a file, or nowhere."""
    handler = logging.FileHandler(log) if log else logging.NullHandler()
    loggers = [logging.getLogger(n) for n in ("finn_logger", "py.warnings")]
    before = [(x.propagate, x.handlers[:]) for x in loggers]
    for x in loggers:
        x.propagate, x.handlers = False, [handler]
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default" if log else "ignore")
            yield
    finally:
        logging.captureWarnings(False)
        for x, (propagate, handlers) in zip(loggers, before, strict=True):
            x.propagate, x.handlers = propagate, handlers
        handler.close()


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


def expected_cycles(graph: Graph) -> dict[str, int]:
    """FINN's expectation (`get_exp_cycles`) of the cycles a layer is busy with one image."""
    _prepare()
    return {layer.name: int(getCustomOp(_node(layer, graph)).get_exp_cycles()) for layer in graph}


def _node(layer: Layer, graph: Graph) -> NodeProto:
    """A layer of our graph as one of FINN's nodes, folding included."""
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    common: dict[str, Any] = {"numInputVectors": [1, *source.shape[:-1]], "PE": layer.out_parallel}
    common |= {"inputDataType": source.dtype}
    domain = DOMAIN
    if isinstance(layer, Threshold):
        kind = "Thresholding"
        common |= {"NumChannels": layer.channels, "numSteps": layer.levels}
        common |= {"weightDataType": "INT32", "outputDataType": target.dtype}
    elif isinstance(layer, MatrixVector):
        kind = "MVAU"
        xnor = source.dtype == "BINARY"
        common |= {"MH": layer.MH, "MW": layer.MW, "SIMD": layer.SIMD, "binaryXnorMode": int(xnor)}
        common |= {"weightDataType": "BINARY" if xnor else "BIPOLAR"}
        common |= {"outputDataType": target.dtype}
    elif isinstance(layer, SlidingWindow):
        kind, domain = f"{SLIDER}_rtl", f"{DOMAIN}.rtl"
        height, width, channels = source.shape
        common = {"SIMD": layer.SIMD, "IFMChannels": channels, "IFMDim": [height, width]}
        common |= {"ConvKernelDim": [layer.kernel] * 2, "Stride": [layer.stride] * 2}
        common |= {"OFMDim": list(windows_shape(source.shape, layer)[:2]), "Dilation": [1, 1]}
        common |= {"inputDataType": source.dtype, "outputDataType": target.dtype}
    elif isinstance(layer, MaxPool):
        kind = "Pool"
        sizes = [size // layer.size for size in source.shape[:2]]
        common = {"Channels": source.channels, "PE": layer.PE, "OutImgDims": sizes}
        common |= {"KernelSize": [layer.size] * 2, "Function": "MaxPool"}
        common |= {"InputDataType": source.dtype, "OutputDataType": target.dtype}
    elif isinstance(layer, LabelSelect):
        kind = "LabelSelect"
        common |= {"Labels": layer.classes, "K": 1, "PE": layer.PE}
    else:
        raise AssertionError(f"{layer.name}: FINN has no layer for {type(layer).__name__}")
    return helper.make_node(
        kind,
        [layer.source],
        [layer.target],
        domain=domain,
        backend="fpgadataflow",
        **common,
    )


def _shape(model: ModelWrapper, tensor: str) -> tuple[int, ...]:
    return tuple(model.get_tensor_shape(tensor)[1:])


def _integers(array: np.ndarray, node: str) -> np.ndarray:
    whole = np.rint(array).astype(np.int64)
    if not np.array_equal(whole, array):
        raise UserError(f"node {node}: parameters are not integers")
    return whole
