"""Read a QONNX file, ours or anybody's, refuse what cannot be built, and run it as it is.

    given file -> `load` -> cleaned file, batch 1 -> `golden`, `labels`: what it computes, by qonnx
                                                  -> `read` -> Source, where lowering starts

Accepted is a chain of convolutions and matrix products with one-bit operands, the first input of up
to 8 bits; see `SUPPORTED` in `flow/lowering/refusals.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.general import RemoveStaticGraphInputs, SortGraph
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

from flow.errors import UserError
from flow.lowering import branch_check
from flow.lowering.branched import Reading
from flow.lowering.chain import Chain
from flow.lowering.encoding import tables, windows_of
from flow.lowering.golden import PIXELS, Golden, layer_name
from flow.lowering.onnx_run import dynamic_tensors, run
from flow.lowering.passes.complete_convolutions import CompleteConvolutions
from flow.lowering.passes.flatten_images import FlattenImages
from flow.lowering.passes.flatten_input import FlattenInput
from flow.lowering.passes.fold_shapes import FoldShapes
from flow.lowering.passes.separate_padding import SeparatePadding
from flow.lowering.passes.to_tensor import PIXEL_MAX, SCALINGS
from flow.lowering.refusals import (
    SHAPING,
    SUPPORTED,
    refuse_bit_widths,
    refuse_operators,
    refuse_unwritten,
)
from flow.lowering.topology import is_branched, tail_end
from flow.lowering.traces import Traces

BATCH = 1000  # images at a time through qonnx, at most
ELEMENTS = 2**26  # of all tensors of a batch

# computed away before the graph is lowered, when they work on shapes
ON_SHAPES = ("Shape", "Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Constant")
KEPT = ["Quant", "BipolarQuant"]  # quantisers of weights, not to be folded away


@dataclass(frozen=True, eq=False)
class Source:
    """A QONNX file that has been read and found to be a chain of what is supported.

    `file`: the cleaned file, batch 1. `model`: the same with an input (1, F) that nothing reshapes,
    or (1, C, H, W) where it starts with a convolution. `reads_pixels`: whether the input is
    0..255, or else 0..1 in float.
    """

    name: str
    file: ModelWrapper
    model: ModelWrapper
    reads_pixels: bool

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image in the file, without the batch."""
        return tuple(self.file.get_tensor_shape(self.file.graph.input[0].name)[1:])

    @property
    def branched(self) -> bool:
        """Whether the network is more than a chain: it is then lowered by `Reading`."""
        return is_branched(self.file)

    @property
    def reading(self) -> Reading:
        """The graph of a network that branches, and what its tensors are."""
        return Reading(self.file, self.pixels, self.name)

    @property
    def inputs(self) -> int:
        return prod(self.input_shape)

    @property
    def elements(self) -> int:
        """Numbers in all tensors that one image makes, when the file is run."""
        shapes = [self.file.get_tensor_shape(name) for name in dynamic_tensors(self.file)]
        return sum(prod(shape) for shape in shapes if shape)

    @property
    def pixels(self) -> np.ndarray:
        """The numbers that stand for pixel values 0..255 at the model's input: float32 (256,)."""
        values = PIXELS.astype(np.float32)
        return values if self.reads_pixels else values / np.float32(PIXEL_MAX)

    def arranged(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (N, C, H, W) as `model` is to be compared on them.

        That is (N, H, W, C) where it reads images, and else (N, F) in the order given; `UserError`
        if they have another size.
        """
        if images.dtype != np.uint8:
            raise UserError(f"images must be uint8, not {images.dtype}")
        if images.ndim < 2 or prod(images.shape[1:]) != self.inputs:
            raise UserError(
                f"{self.name}: reads {self.inputs} values an image {self.input_shape}, "
                f"the images have shape {images.shape[1:]}"
            )
        shape = self.model.get_tensor_shape(self.model.graph.input[0].name)[1:]
        arranged = images.reshape(len(images), *shape)
        return arranged.transpose(0, 2, 3, 1) if len(shape) == 3 else arranged


def load(given: Path, model: Path) -> tuple[int, ...]:
    """Read a QONNX file, write it cleaned to `model`; return the shape of one image.

    `UserError`, in one line, for a file that is no QONNX or holds what cannot be built; then
    nothing is written.
    """
    source = read(given)
    part = model.with_name(model.name + ".part")
    part.write_bytes(source.file.model.SerializeToString(deterministic=True))
    part.replace(model)
    return source.input_shape


def golden(model: Path, images: np.ndarray) -> Golden | Traces:
    """What the file, run by qonnx, computes layer by layer for uint8 images (N, ...)."""
    source = read(model)
    if source.branched:
        source.arranged(images[:1])  # of the right size
        shaped = images.reshape(len(images), *source.input_shape)
        return branch_check.traces(source.reading, source.pixels[shaped], shaped)
    arranged = source.arranged(images)
    chain = Chain.of(source.model)
    values, encodings, tail = tables(chain, None, source.pixels)
    inputs = chain.input_of(source.pixels[arranged])
    tensors = run(source.model, {source.model.graph.input[0].name: inputs}, len(inputs))
    windows = windows_of(chain, encodings)
    activations, accumulators = [], []
    for i, (product, encoding) in enumerate(zip(chain.products, encodings, strict=True)):
        read_in = encoding.activations(product.source_values(tensors))
        activations.append(read_in.astype(np.uint8))
        sums = windows[i].sums(activations[-1], encoding.bits, encoding.top)
        accumulators.append(sums.astype(np.int32))
    scores = logits(model, images)
    return Golden(
        arranged,
        tuple(e.bits for e in encodings),
        tuple(activations),
        tuple(accumulators),
        scores,
        scores.argmax(1),
        tuple(e.activations(x).astype(np.uint8) for e, x in zip(encodings, values, strict=True)),
        tail,
        windows,
        encodings[0].top,
    ).check()


def labels(model: Path, images: np.ndarray, seconds: float | None = None) -> np.ndarray:
    """Labels int64 (M,) of uint8 images (N, ...), by running the file with qonnx.

    M is N, or fewer where the `seconds` are over first: whole batches, at least one.
    """
    return logits(model, images, seconds).argmax(1)


def logits(model: Path, images: np.ndarray, seconds: float | None = None) -> np.ndarray:
    """As `labels`: float32 (M, classes). Of a file that ends in TopK, what TopK reads."""
    source = read(model)
    end = tail_end(source.file)
    entry = source.file.graph.input[0]
    source.arranged(images[:1])  # of the right size
    inputs = source.pixels[images].reshape(len(images), *source.input_shape)
    inputs = inputs.astype(helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type))
    scores: list[np.ndarray] = []
    start = time.monotonic()
    rows = max(1, min(BATCH, ELEMENTS // source.elements))
    for i in range(0, len(inputs), rows):
        if scores and seconds is not None and time.monotonic() - start > seconds:
            break
        batch = inputs[i : i + rows]
        scores.append(run(source.file, {entry.name: batch}, len(batch))[end])
    return np.concatenate(scores)


def read(path: Path) -> Source:
    """Read and check a QONNX file; `UserError` as `load` says."""
    proto = _parse(path)
    try:
        return _checked(ModelWrapper(proto), path)
    except UserError as fault:
        raise UserError(_line(fault)) from fault  # names in a file may hold anything
    except Exception as fault:  # whatever qonnx and onnxruntime meet in a damaged file
        raise UserError(
            f"{path.name}: damaged, or not as qonnx writes it ({type(fault).__name__}: "
            f"{_line(fault)[:200]})"
        ) from fault


def _checked(model: ModelWrapper, path: Path) -> Source:
    model = _static(model, path.name)
    refuse_unwritten(model)
    refuse_operators(model, (*SUPPORTED, *ON_SHAPES))
    model = model.transform(InferShapes()).transform(FoldConstants(exclude_op_types=KEPT))
    model = cleanup_model(model.transform(FoldShapes()).transform(CompleteConvolutions()))
    refuse_operators(model, SUPPORTED)
    model = model.transform(SeparatePadding()).transform(InferShapes())
    refuse_bit_widths(model)
    if is_branched(model):
        source = Source(path.name, model, model, _reads_pixels(model, _first_nodes(model)))
        assert source.reading  # refuses what cannot be built
        return source
    chain = Chain.of(model)
    if not chain.products:
        raise UserError(f"{path.name}: holds no matrix product; not a network")
    if chain.windows[-1].is_conv:
        name = layer_name(chain.windows, len(chain.windows) - 1)
        raise UserError(
            f"{name} (node {chain.products[-1].node.name}): the last product must be fully "
            "connected; end the network with a flattening and a linear layer"
        )
    plain = FlattenImages() if chain.windows[0].is_conv else FlattenInput()
    plain_model = model.transform(plain).transform(InferShapes())
    source = Source(path.name, model, plain_model, _reads_pixels(model, chain.segments[0]))
    if source.reads_pixels:
        entry = plain_model.graph.input[0].name
        plain_model.set_tensor_datatype(entry, DataType["UINT8"])
    tables(Chain.of(plain_model), None, source.pixels)  # refuses operands of too many bits
    return source


def _parse(path: Path) -> ModelProto:
    """The protobuf message of an ONNX file that has nodes."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        model = onnx.load(str(path))
    except FileNotFoundError as fault:
        raise UserError(
            f"{path}: its weights are in a second file that is missing: {_line(fault)[:200]}"
        ) from fault
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as fault:
        raise UserError(f"{path}: not an ONNX file, or cut short ({_line(fault)[:200]})") from fault
    if not model.graph.node or not model.graph.output:
        raise UserError(f"{path}: holds no graph; not an ONNX file, or cut short")
    return model


def _static(model: ModelWrapper, name: str) -> ModelWrapper:
    """Give the only input batch 1; parameters are no inputs; tensors in order, no old shapes."""
    model = model.transform(RemoveStaticGraphInputs())
    inputs = [x.name for x in model.graph.input]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise UserError(
            f"{name}: has {len(inputs)} inputs and {len(model.graph.output)} outputs, "
            "supported is one of each"
        )
    batch, *shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] or [0]
    if not shape or not all(shape):
        raise UserError(
            f"{name}: the input's shape {(batch, *shape)} is open; export with a fixed image size"
        )
    model.set_tensor_shape(inputs[0], [1, *shape])
    while model.graph.value_info:
        model.graph.value_info.pop()
    output = model.graph.output[0].type.tensor_type.shape
    if output.dim:
        output.dim[0].dim_value = 1
    for node in model.get_nodes_by_op_type("Reshape"):
        target = model.get_initializer(node.input[1])
        if target is not None and batch > 1 and target[0] == batch:
            model.set_initializer(node.input[1], np.array([1, *target[1:]], np.int64))
    return model.transform(SortGraph())


def _first_nodes(model: ModelWrapper) -> Iterator[NodeProto]:
    """The nodes behind the input, one after the other, as long as one alone reads each tensor."""
    tensor = model.graph.input[0].name
    while len(readers := model.find_consumers(tensor) or []) == 1:
        yield readers[0]
        tensor = readers[0].output[0]


def _reads_pixels(model: ModelWrapper, nodes: Iterable[NodeProto]) -> bool:
    """Whether the file's input is 0..255: typed so, or divided by 255 first."""
    tensor = model.graph.input[0].name
    integer = model.graph.input[0].type.tensor_type.elem_type in (TensorProto.UINT8,)
    if integer or model.get_tensor_datatype(tensor) == DataType["UINT8"]:
        return True
    for node in nodes:
        if node.op_type in SHAPING:
            continue
        constant = model.get_initializer(node.input[1]) if len(node.input) > 1 else None
        expected = SCALINGS.get(node.op_type)
        return bool(
            expected and constant is not None and np.allclose(constant, expected, rtol=1e-4, atol=0)
        )
    return False


def _line(fault: Exception) -> str:
    """An exception's text in one line."""
    return " ".join(str(fault).split()) or type(fault).__name__
