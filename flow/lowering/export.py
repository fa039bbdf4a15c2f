"""Student -> QONNX file, and what the student computes, layer by layer, from torch.

The student is any module that maps float images (N, C, H, W) in [0, 1] to logits (N, classes)
through a chain of brevitas `QuantConv2d` and `QuantLinear` layers with one-bit weights and
activations (the first of up to 8 bits), `MaxPool2d` and `ConstantPad2d`; it is watched from
outside, through hooks, so that nothing here depends on how it is put together.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantConv2d, QuantLinear
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model
from torch import Tensor, nn

from flow.errors import UserError
from flow.lowering.encoding import border_number, operand, whole_steps
from flow.lowering.golden import PIXELS, Golden, Window, bipolar, domain_of

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
    weights = [_weights(layer) for layer in layers]
    seen = _until(student, layers[0].module, scale_images(_constant_images(images.shape[1:])))
    first = _Operand.of(_values_of_channels(layers[0].inner(seen), layers[0].name), layers[0].name)
    layers = [
        replace(layer, window=layer.window._replace(fill=coding.border(layer)))
        for layer, coding in zip(layers, [first, *[BITS] * len(layers)], strict=False)
    ]

    inputs: dict[str, np.ndarray] = {}
    outputs: dict[str, np.ndarray] = {}

    def note(layer: _Layer) -> Callable:
        def hook(_: nn.Module, args: tuple, output: Any) -> None:
            inputs[layer.name] = layer.channels_last(layer.inner(value_of(args[0])))
            outputs[layer.name] = _channels_last(value_of(output))

        return hook

    with hooks(layer.module.register_forward_hook(note(layer)) for layer in layers):
        logits = student(scale_images(images)).numpy()

    activations, accumulators, tables = [], [], [first.table]
    for i, (layer, bits) in enumerate(zip(layers, weights, strict=True)):
        coding = first if i == 0 else BITS
        activations.append(coding.numbers(inputs[layer.name], layer.name))
        accumulators.append(coding.sums(outputs[layer.name], bits, layer.name))
        domain = domain_of(bits.shape[1], coding.top)
        after = layers[i + 1] if i + 1 < len(layers) else None
        table = _replay(student, layer, after, coding.outputs(domain, bits), images.shape[1:])
        if after is not None:
            values = _values_of_channels(after.inner(table), after.name)
            tables.append(BITS.numbers(values, after.name))
    return Golden(
        images.transpose(0, 2, 3, 1)
        if layers[0].window.is_conv
        else images.reshape(len(images), -1),
        tuple(weights),
        tuple(activations),
        tuple(accumulators),
        logits,
        logits.argmax(1),
        tuple(tables),
        table.numpy(),
        tuple(layer.window for layer in layers),
        first.top,
    ).check()


@dataclass(frozen=True, eq=False)
class _Layer:
    """A matrix product of the student; `shape` is (C, H, W) of what it reads, pooled, if known.

    `pad`: the module in front of it that puts the border of `window` around an image, if not its
    own option does that.
    """

    name: str
    module: QuantConv2d | QuantLinear
    window: Window
    shape: tuple[int, ...]
    pad: nn.ConstantPad2d | None = None

    def inner(self, values: Tensor) -> Tensor:
        """What arrives, (N, C, H, W) or (N, C), without the border that `pad` made."""
        if self.pad is None:
            return values
        size = self.window.pad
        found = values[:, :, size:-size, size:-size]
        if not torch.equal(self.pad(found), values):
            raise UserError(f"the border in front of {self.name} is changed on its way there")
        return found

    def channels_last(self, values: Tensor) -> np.ndarray:
        """What it reads, or its weights: (N, C, H, W) -> (N, H, W, C), (N, CHW) -> (N, HWC)."""
        if not self.window.is_conv and len(self.shape) == 3:
            return _channels_last(values.reshape(-1, *self.shape)).reshape(len(values), -1)
        return _channels_last(values)


@dataclass(frozen=True, eq=False)
class _Operand:
    """How a product's inputs stand for numbers u: `zero` + `step` * x, x = u, or 2u - 1 for bits.

    `table` (256, C) is u for each pixel value, of the first product alone.
    """

    zero: float
    step: float
    top: int
    table: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, name: str) -> _Operand:
        levels = np.unique(values)
        if len(levels) <= 2:
            return cls(0.0, 1.0, 1, BITS.numbers(values, name))
        low, high, top = operand(levels, f"activations in front of {name}", first=True)
        found = cls(low, (high - low) / top, top, values)
        return replace(found, table=found.numbers(values, name))

    def numbers(self, values: np.ndarray, name: str) -> np.ndarray:
        """What the values stand for, uint8 of the same shape."""
        if self.top == 1:
            return _bits(values, f"activations in front of {name}")
        found = whole_steps(values, self.zero, self.step)
        if (found > self.top).any():
            raise UserError(f"activations in front of {name} take values that no pixel alone gives")
        return found.astype(np.uint8)

    def border(self, layer: _Layer) -> int:
        """What the border around a layer's images stands for; 0 where there is none."""
        value = layer.pad.value if layer.pad is not None else 0.0
        low, high = (-1.0, 1.0) if self.top == 1 else (self.zero, self.zero + self.step * self.top)
        border = layer.window.pad, float(value)
        return border_number(border, low, high, self.top, f"layer {layer.name}")

    def sums(self, outputs: np.ndarray, weights: np.ndarray, name: str) -> np.ndarray:
        """The accumulators that a layer's outputs (..., MH) stand for: int32."""
        sums = (outputs.astype(np.float64) - self._offset(weights)) / self.step
        whole = np.rint(sums)
        if not np.array_equal(whole, sums) or np.abs(whole).max() > self.top * weights.shape[1]:
            raise UserError(
                f"layer {name}: its outputs are not sums of +-1; hanbit needs one-bit weights "
                "and activations of scale 1 and no bias"
            )
        return whole.astype(np.int32)

    def outputs(self, accumulators: np.ndarray, weights: np.ndarray) -> Tensor:
        """The layer's outputs (D, MH) where every row's accumulator is each of these (D,)."""
        values = accumulators[:, None] * self.step + self._offset(weights)
        return torch.from_numpy(values.astype(np.float32))

    def _offset(self, weights: np.ndarray) -> np.ndarray:
        return self.zero * bipolar(weights).sum(1, dtype=np.float64)


BITS = _Operand(0.0, 1.0, 1, np.zeros((0, 0), np.uint8))


class _Stop(Exception):
    """Ends a forward run once the wanted tensor has been seen."""


def _layers_in_order(student: nn.Module, image: Tensor) -> list[_Layer]:
    """The student's matrix products in the order in which they run, with the pooling in front."""
    order: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    kinds = (QuantConv2d, QuantLinear, nn.MaxPool2d, nn.ConstantPad2d)
    named = [(n, m) for n, m in student.named_modules() if isinstance(m, kinds)]

    def note(name: str) -> Callable:
        def hook(module: nn.Module, _: tuple, output: Any) -> None:
            order.append((name, module, tuple(value_of(output).shape[1:])))

        return hook

    with hooks(module.register_forward_hook(note(name)) for name, module in named):
        student(image)
    layers: list[_Layer] = []
    pool, pad = 1, None
    shape: tuple[int, ...] = ()
    for name, module, written in order:
        if pad is not None and not isinstance(module, QuantConv2d):
            raise UserError(f"layer {name}: its input is padded; only that of a convolution may be")
        if isinstance(module, nn.MaxPool2d):
            pool *= _pool_size(name, module)
        elif isinstance(module, nn.ConstantPad2d):
            pad = module
            continue
        else:
            layers.append(_Layer(name, module, _window(name, module, pool, pad), shape, pad))
            pool, pad = 1, None
        shape = written
    if not layers or len(order) != len({name for name, *_ in order}):
        raise UserError("the student must run one or more QuantLinear layers, each of them once")
    if layers[-1].window.is_conv:
        raise UserError(f"layer {layers[-1].name}: the last product must be fully connected")
    return layers


def _window(
    name: str, module: nn.Module, pool: int, border: nn.ConstantPad2d | None = None
) -> Window:
    """What a layer reads; `UserError` for what is not a square convolution.

    `border` is the module that pads its input, if there is one.
    """
    if not isinstance(module, QuantConv2d):
        return Window(pool=pool)
    (height, width), (down, across) = module.kernel_size, module.stride
    pads = {*_pair(module.padding), *(border.padding if border is not None else ())}
    if border is not None:
        pads -= {0} if set(_pair(module.padding)) == {0} and min(border.padding) > 0 else set()
    if len(pads) != 1 or not all(isinstance(size, int) and size >= 0 for size in pads):
        raise UserError(
            f"layer {name}: padding {module.padding}{f' behind {border}' if border else ''}; "
            "supported is one border of the same size on all sides"
        )
    if set(_pair(module.dilation)) != {1}:
        raise UserError(f"layer {name}: dilation is not supported")
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    if module.groups != 1 and not depthwise:
        raise UserError(
            f"layer {name}: {module.groups} groups are not supported; supported are one group and, "
            "for a depthwise convolution, as many as there are channels in and out"
        )
    if height != width or down != across:
        raise UserError(
            f"layer {name}: kernel {height} x {width} with stride {down} x {across}, only squares "
            "are supported"
        )
    return Window(height, down, pool, pads.pop(), depthwise=depthwise)


def _pool_size(name: str, module: nn.MaxPool2d) -> int:
    """Size of the squares that are pooled; `UserError` where they overlap or are padded."""
    sizes = {*_pair(module.kernel_size), *_pair(module.stride)}
    plain = set(_pair(module.padding)) == {0} and set(_pair(module.dilation)) == {1}
    if len(sizes) != 1 or not plain or module.ceil_mode:
        raise UserError(f"layer {name}: only pooling of whole squares side by side is supported")
    return sizes.pop()


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _weights(layer: _Layer) -> np.ndarray:
    """Bits (MH, MW), the columns as `golden` has them."""
    values = value_of(layer.module.quant_weight()).detach()
    rows = layer.channels_last(values).reshape(len(values), -1)
    return _bits(rows, f"weights of {layer.name}")


def _channels_last(values: Tensor) -> np.ndarray:
    return (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).numpy()


def _constant_images(shape: tuple[int, ...]) -> np.ndarray:
    """For each pixel value an image (C, H, W) of that value alone."""
    values = PIXELS.astype(np.uint8).reshape(-1, *([1] * len(shape)))
    return np.broadcast_to(values, (len(PIXELS), *shape))


def _values_of_channels(values: Tensor, name: str) -> np.ndarray:
    """(D, C, H, W) -> (D, C): what every pixel of an image holds; (D, C) as it is."""
    array = values.numpy()
    if array.ndim == 4:
        if (array != array[:, :, :1, :1]).any():
            raise UserError(f"what arrives at {name} treats the pixels of an image differently")
        array = array[:, :, 0, 0]
    return array


def _replay(
    student: nn.Module, layer: _Layer, after: _Layer | None, outputs: Tensor, shape: tuple[int, ...]
) -> Tensor:
    """What arrives at the product `after`, or at the end, where `layer` gives `outputs` (D, MH).

    Behind a convolution as images that pooling makes one pixel of.
    """
    if layer.window.is_conv and after is not None:
        size = after.window.pool
        outputs = outputs[:, :, None, None].expand(-1, -1, size, size)
    dummy = torch.zeros(1, *shape)
    with hooks([layer.module.register_forward_hook(lambda *_: outputs)]):
        if after is not None:
            return _until(student, after.module, dummy)
        return student(dummy)


def _until(student: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """Run the student up to `layer` and return what arrives there."""
    seen: list[Tensor] = []

    def stop(_: nn.Module, args: tuple) -> None:
        seen.append(value_of(args[0]))
        raise _Stop

    with hooks([layer.register_forward_pre_hook(stop)]):
        try:
            student(images)
        except _Stop:
            return seen[0]
    raise AssertionError("the layer did not run")


def value_of(tensor: Any) -> Tensor:
    """The plain tensor, where brevitas may hand over its own type."""
    return tensor if isinstance(tensor, Tensor) else tensor.value


def _bits(values: np.ndarray, what: str) -> np.ndarray:
    """-1 and +1 as uint8 0 and 1."""
    if not np.isin(values, (-1.0, 1.0)).all():
        raise UserError(f"{what} are not -1 and +1; hanbit needs one bit of scale 1")
    return (values > 0).astype(np.uint8)


@contextmanager
def hooks(handles: Any) -> Iterator[None]:
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
