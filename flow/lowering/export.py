"""Student -> QONNX file, and what the student computes, layer by layer, from torch.

The student is any module that maps float images (N, C, H, W) in [0, 1] to logits (N, classes)
through a chain of brevitas `QuantLinear` layers with one-bit weights and activations; it is watched
from outside, through hooks, so that nothing here depends on how it is put together.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantLinear
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model
from torch import Tensor, nn

from flow.errors import UserError
from flow.lowering.golden import PIXELS, Golden

BATCH = 1000  # images at a time through torch


def export(student: nn.Module, images_shape: tuple[int, ...], path: Path) -> None:
    """Write the student as a cleaned QONNX file for images (1, *images_shape) in [0, 1].

    The same student gives the same bytes. The file appears whole or not at all.
    """
    student.eval()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        raw, clean = Path(folder) / "raw.onnx", Path(folder) / "clean.onnx"
        with _quiet(), torch.no_grad():  # weights may go to a second file beside `raw`
            export_qonnx(student, torch.zeros(1, *images_shape), str(raw), verbose=False)
        model = cleanup_model(ModelWrapper(str(raw)))
        for node in model.graph.node:
            del node.metadata_props[:]  # stack traces with the paths of this machine
            node.doc_string = ""
        for info in (*model.graph.value_info, *model.graph.input, *model.graph.output):
            del info.metadata_props[:]
        del model.graph.metadata_props[:]
        clean.write_bytes(model.model.SerializeToString(deterministic=True))
        clean.replace(path)


def scale_images(images: np.ndarray) -> Tensor:
    """uint8 images as the network reads them: float32(x) / float32(255), rounded once."""
    return torch.from_numpy(images.astype(np.float32) / np.float32(255))


@torch.no_grad()
def predict(student: nn.Module, images: np.ndarray) -> np.ndarray:
    """Labels int64 (N,) of uint8 images (N, C, H, W); of equal logits the lowest index."""
    student.eval()
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    logits = [student(scale_images(part)).numpy() for part in parts]
    return np.concatenate(logits).argmax(1)


@torch.no_grad()
def golden(student: nn.Module, images: np.ndarray) -> Golden:
    """Run the student on uint8 images (N, C, H, W) and note everything later stages must equal.

    Activation functions are taken from the student itself: the output of a matrix product is
    replaced by every value it can have, and the input of the next one is read.
    """
    student.eval()
    layers = _layers_in_order(student, scale_images(images[:1]))
    weights = [_bits(layer.quant_weight(), f"weights of {name}") for name, layer in layers]

    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def note(name: str) -> Callable:
        def hook(_: nn.Module, args: tuple, output: Any) -> None:
            inputs[name], outputs[name] = _value(args[0]), _value(output)

        return hook

    with _hooks(layer.register_forward_hook(note(name)) for name, layer in layers):
        logits = student(scale_images(images)).numpy()

    activations, accumulators = [], []
    for (name, _), bits in zip(layers, weights, strict=True):
        activations.append(_bits(inputs[name], f"activations in front of {name}"))
        sums = outputs[name].numpy()
        whole = np.rint(sums).astype(np.int32)
        if not np.array_equal(whole, sums) or np.abs(whole).max(initial=0) > bits.shape[1]:
            raise UserError(
                f"layer {name}: its outputs are not sums of +-1; hanbit needs one-bit weights "
                "and activations of scale 1 and no bias"
            )
        accumulators.append(whole)

    tables = [_input_table(student, layers, images.shape[1:])]
    for i, bits in enumerate(weights):
        rows, columns = bits.shape
        sums = 2 * np.arange(columns + 1, dtype=np.float32) - columns
        domain = torch.from_numpy(np.repeat(sums[:, None], rows, axis=1))
        table = _replay(student, layers, i, domain, images.shape[1:])
        if i + 1 < len(layers):
            tables.append(_bits(table, f"activations in front of {layers[i + 1][0]}"))
    return Golden(
        images.reshape(len(images), -1),
        tuple(weights),
        tuple(activations),
        tuple(accumulators),
        logits,
        logits.argmax(1),
        tuple(tables),
        table.numpy(),
    ).check()


class _Stop(Exception):
    """Ends a forward run once the wanted tensor has been seen."""


def _layers_in_order(student: nn.Module, image: Tensor) -> list[tuple[str, QuantLinear]]:
    """The student's matrix products in the order in which they run."""
    order: list[tuple[str, QuantLinear]] = []
    named = [(n, m) for n, m in student.named_modules() if isinstance(m, QuantLinear)]
    with _hooks(
        module.register_forward_hook(lambda m, _a, _o, name=name: order.append((name, m)))
        for name, module in named
    ):
        student(image)
    if not order or len(order) != len({name for name, _ in order}):
        raise UserError("the student must run one or more QuantLinear layers, each of them once")
    return order


def _input_table(student: nn.Module, layers: list, shape: tuple[int, ...]) -> np.ndarray:
    """First activation for every pixel value: uint8 (256, MW)."""
    values = PIXELS.astype(np.uint8).reshape(-1, *([1] * len(shape)))
    images = np.broadcast_to(values, (len(PIXELS), *shape))
    seen = _until(student, layers[0][1], scale_images(images))
    return _bits(seen, f"activations in front of {layers[0][0]}")


def _replay(
    student: nn.Module, layers: list, i: int, domain: Tensor, shape: tuple[int, ...]
) -> Tensor:
    """What arrives at the next matrix product, or at the output, where product i gives `domain`."""
    dummy = torch.zeros(len(domain), *shape)
    with _hooks([layers[i][1].register_forward_hook(lambda *_: domain)]):
        if i + 1 < len(layers):
            return _until(student, layers[i + 1][1], dummy)
        return student(dummy)


def _until(student: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """Run the student up to `layer` and return what arrives there."""
    seen: list[Tensor] = []

    def stop(_: nn.Module, args: tuple) -> None:
        seen.append(_value(args[0]))
        raise _Stop

    with _hooks([layer.register_forward_pre_hook(stop)]):
        try:
            student(images)
        except _Stop:
            return seen[0]
    raise AssertionError("the layer did not run")


def _value(tensor: Any) -> Tensor:
    """The plain tensor, where brevitas may hand over its own type."""
    return tensor if isinstance(tensor, Tensor) else tensor.value


def _bits(tensor: Any, what: str) -> np.ndarray:
    """-1 and +1 as uint8 0 and 1."""
    values = _value(tensor).detach().numpy()
    if not np.isin(values, (-1.0, 1.0)).all():
        raise UserError(f"{what} are not -1 and +1; hanbit needs one bit of scale 1")
    return (values > 0).astype(np.uint8)


@contextmanager
def _hooks(handles: Any) -> Iterator[None]:
    """Keep forward hooks registered inside a `with` block."""
    held = list(handles)
    try:
        yield
    finally:
        for handle in held:
            handle.remove()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's hints about optional packages; errors are still raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
