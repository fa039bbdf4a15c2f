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
from qonnx.transformation.remove import RemoveIdentityOps

from flow.errors import UserError
from flow.graph import Graph, LabelSelect, Layer, MatrixVector, Stream, Threshold
from flow.lowering.golden import activation_name, layer_name
from flow.lowering.onnx_run import run

VERSION = "1.6.1"
DOMAIN = "finn.custom_op.fpgadataflow"

BUILDABLE = ("Thresholding", "MVAU", "LabelSelect")

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


def to_hardware() -> list[Pass]:
    """Nodes become FINN's hardware layers."""
    module = "fpgadataflow.convert_to_hw"
    names = {
        "InferThresholdingLayer": "thresholding",
        "InferBinaryMatrixVectorActivation": "binary_matrix_vector_activation",
        "InferLabelSelectLayer": "label_select",
    }
    return [(n, [transformation(f"{module}.{file}", n)]) for n, file in names.items()]


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
    inputs = model.graph.input[0].name
    streams = [Stream("image", _shape(model, inputs), model.get_tensor_datatype(inputs).name)]
    layers: list[Layer] = []
    products = 0
    for node in model.graph.node:
        if node.op_type not in BUILDABLE:
            raise UserError(
                f"node {node.name} ({node.op_type}) is left where only {', '.join(BUILDABLE)} can "
                "be built in hardware"
            )
        attributes = getCustomOp(node)
        if node.op_type == "Thresholding":
            layer_title = activation_name(products)
            thresholds = _integers(model.get_initializer(node.input[1]), node.name)
            channels = attributes.get_nodeattr("NumChannels")
            thresholds = np.broadcast_to(thresholds, (channels, thresholds.shape[1])).copy()
            layer: Layer = Threshold(layer_title, streams[-1].name, layer_title, thresholds)
        elif node.op_type == "MVAU":
            layer_title = layer_name(products)
            products += 1
            kinds = {attributes.get_nodeattr(f"{x}DataType") for x in ("input", "weight")}
            if kinds != {"BINARY"} or not attributes.get_nodeattr("noActivation"):
                raise UserError(f"{layer_title}: FINN typed it {kinds}, needed is BINARY alone")
            weights = _integers(model.get_initializer(node.input[1]), node.name).T
            layer = MatrixVector(
                layer_title, streams[-1].name, layer_title, weights.astype(np.uint8)
            )
        else:
            layer_title = "label"
            classes = attributes.get_nodeattr("Labels")
            layer = LabelSelect(layer_title, streams[-1].name, layer_title, classes)
        layers.append(layer)
        dtype = model.get_tensor_datatype(node.output[0]).name
        if isinstance(layer, LabelSelect):  # FINN rounds up to bytes
            dtype = f"UINT{max(1, (layer.classes - 1).bit_length())}"
        streams.append(Stream(layer_title, _shape(model, node.output[0]), dtype))
    return Graph(
        name, tuple(layers), {s.name: s for s in streams}, streams[0].name, streams[-1].name
    ).check()


def execute(model: ModelWrapper, images: np.ndarray) -> dict[str, np.ndarray]:
    """FINN's own NumPy semantics of its hardware layers, on uint8 images (N, F).

    Returns {name as in `to_graph`: (N, ...)}: the golden model of `flow.reference`.
    """
    tensors = run(model, {model.graph.input[0].name: images.astype(np.float32)}, len(images))
    names = [model.graph.input[0].name, *(node.output[0] for node in model.graph.node)]
    titles = to_graph(model, "finn").streams
    return {title: tensors[name] for title, name in zip(titles, names, strict=True)}


def expected_cycles(graph: Graph) -> dict[str, int]:
    """FINN's expectation (`get_exp_cycles`) of the cycles a layer is busy with one image."""
    _prepare()
    return {layer.name: int(getCustomOp(_node(layer, graph)).get_exp_cycles()) for layer in graph}


def _node(layer: Layer, graph: Graph) -> NodeProto:
    """A layer of our graph as one of FINN's nodes, folding included."""
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    common: dict[str, Any] = {"numInputVectors": [1, *source.shape[:-1]], "PE": layer.out_parallel}
    if isinstance(layer, Threshold):
        kind = "Thresholding"
        common |= {"NumChannels": layer.channels, "numSteps": layer.levels}
        common |= {"weightDataType": "INT32", "outputDataType": target.dtype}
    elif isinstance(layer, MatrixVector):
        kind = "MVAU"
        common |= {"MH": layer.MH, "MW": layer.MW, "SIMD": layer.SIMD, "binaryXnorMode": 1}
        common |= {"weightDataType": "BINARY", "outputDataType": target.dtype}
    elif isinstance(layer, LabelSelect):
        kind = "LabelSelect"
        common |= {"Labels": layer.classes, "K": 1, "PE": layer.PE}
    else:
        raise AssertionError(f"{layer.name}: FINN has no layer for {type(layer).__name__}")
    return helper.make_node(
        kind,
        [layer.source],
        [layer.target],
        domain=DOMAIN,
        backend="fpgadataflow",
        inputDataType=source.dtype,
        **common,
    )


def _shape(model: ModelWrapper, tensor: str) -> tuple[int, ...]:
    return tuple(model.get_tensor_shape(tensor)[1:])


def _integers(array: np.ndarray, node: str) -> np.ndarray:
    whole = np.rint(array).astype(np.int64)
    if not np.array_equal(whole, array):
        raise UserError(f"node {node}: parameters are not integers")
    return whole
