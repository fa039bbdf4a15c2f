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
from math import isqrt
from pathlib import Path
from typing import Any

from onnx import NodeProto, helper
from qonnx.custom_op.registry import add_op_to_domain, getCustomOp
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
    Depthwise,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Threshold,
    windows_shape,
)

VERSION = "1.6.1"
DOMAIN = "finn.custom_op.fpgadataflow"

SLIDER = "ConvolutionInputGenerator"

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
        add_op_to_domain(DOMAIN, import_module("flow.lowering.finn_ops").XnorVVAU)
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


def lower_convolutions(padding: Transformation) -> list[Pass]:
    """Convolutions become windows and products, images channels last, the graph's input too.

    `padding` is to bring a Pad behind the Transpose that follows it.
    """
    absorb, reorder = "streamline.absorb", "streamline.reorder"
    passes = [
        MakeInputChannelsLast(),
        transformation(absorb, "AbsorbTransposeIntoMultiThreshold"),
        transformation(reorder, "MakeMaxPoolNHWC"),
        transformation(absorb, "AbsorbConsecutiveTransposes"),
    ]
    first = LowerConvsToMatMul()
    return [
        (type(first).__name__, [first, InferShapes(), padding]),
        *((type(p).__name__, [p, InferShapes()]) for p in passes),
    ]


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


def to_xnor(*others: Transformation) -> list[Pass]:
    """`others` are to do the same to what FINN does not know: depthwise products, padding."""
    convert = ConvertBipolarMatMulToXnorPopcount()
    return [("ConvertBipolarMatMulToXnorPopcount", [convert, *others])]


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
    elif isinstance(layer, Padding):
        kind = "FMPadding"
        common = {"ImgDim": source.shape[:2], "Padding": [layer.size] * 4, "SIMD": layer.SIMD}
        common |= {"NumChannels": source.channels, "inputDataType": source.dtype}
    elif isinstance(layer, Depthwise):
        kind = "XnorVVAU"
        common = {"PE": layer.PE, "SIMD": layer.SIMD, "Channels": layer.channels}
        common |= {"Dim": target.shape[:2], "Kernel": [isqrt(layer.places)] * 2}
        common |= {"inputDataType": "BINARY", "weightDataType": "BIPOLAR"}
        common |= {"outputDataType": target.dtype, "noActivation": 1}
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
