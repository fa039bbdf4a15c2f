"""Convolutional networks for the tests: brevitas students, QONNX files, and graphs.

As in `networks.py` every parameter is random from a seed, negative batch norm scales included.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx
import torch
from networks import Builder
from onnx import ModelProto
from torch import nn

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
    windows_shape,
)
from models.presets import Student
from models.students import BinaryNetwork


def student(shape: tuple[int, int, int], classes: int = 5, seed: int = 0, **options) -> nn.Module:
    """The project's own student, with batch norms as after training, negative scales too."""
    torch.manual_seed(seed)
    network = BinaryNetwork(shape, Student(**options), classes)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.copy_(torch.randn_like(module.weight) + 0.4)
                module.bias.copy_(torch.randn_like(module.bias) * 0.3)
        for _ in range(20):
            network.train()(torch.rand(32, *shape))
    return network.eval()


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@dataclass(frozen=True)
class ConvNetwork:
    """How a QONNX file of a small convolutional network is written."""

    image: tuple[int, int, int] = (2, 7, 8)
    channels: tuple[int, ...] = (5, 6)  # a convolution each
    kernels: tuple[int, ...] = (3, 2)
    strides: tuple[int, ...] = (1, 1)
    pools: tuple[int, ...] = (2, 1)  # behind each
    pads: tuple[int, ...] = ()  # pixels of border in front of each
    pad_value: float | None = None  # of a Pad node; None: pads of the Conv
    sides: tuple[int, ...] = (1, 1, 1, 1)  # times the border
    groups: tuple[int, ...] = ()  # of each
    classes: int = 4
    seed: int = 0
    input: str = "pixels"  # binary, signed (scale 2**-7 of 2x-1), affine in no pixel; steps
    weight_scale: float = 1.0
    activation_scale: float = 1.0
    bias: bool = False
    defaults: bool = False  # leave attributes out
    flatten: str = "Flatten"  # Reshape
    batch: int | str = 1
    pool_first: bool = False  # before the quantiser
    position_scale: bool = False  # a scale for each position

    def build(self) -> ModelProto:
        rng = np.random.default_rng(self.seed)
        b = Builder()
        tensor, shape = self._input(b), self.image
        pads, groups = self.pads or (0,) * len(self.pools), self.groups or (1,) * len(self.pools)
        for size, kernel, stride, pool, pad, group in zip(
            self.channels, self.kernels, self.strides, self.pools, pads, groups, strict=True
        ):
            tensor, pads_left = self._pad(b, tensor, pad)
            channels = shape[0] // group
            tensor = self._conv(b, rng, tensor, channels, size, kernel, stride, pads_left, group)
            shape = (size, *((n + 2 * pad - kernel) // stride + 1 for n in shape[1:]))
            if self.position_scale:
                tensor = b.node("Mul", tensor, b.constant(rng.uniform(0.5, 2, (1, *shape))))
            tensor = self._norm(b, rng, tensor, size)
            pooling = {"kernel_shape": [pool] * 2, "strides": [pool] * 2}
            if pool > 1 and self.pool_first:
                tensor = b.node("MaxPool", tensor, **pooling)
            tensor = self._sign(b, tensor)
            if pool > 1 and not self.pool_first:
                tensor = b.node("MaxPool", tensor, **pooling)
            shape = (size, *(n // pool for n in shape[1:]))
        if self.flatten == "Reshape":
            tensor = b.node("Reshape", tensor, b.constant([-1, prod(shape)], np.int64))
        else:
            tensor = b.node("Flatten", tensor, axis=1)
        weights = b.constant(rng.uniform(-1, 1, (self.classes, prod(shape))))
        weights = b.node("BipolarQuant", weights, b.constant([1.0]))
        tensor = b.node("Gemm", tensor, weights, transB=1)
        tensor = b.node("Mul", tensor, b.constant(0.3))
        return b.model((self.batch, *self.image), tensor, (self.batch, self.classes))

    def save(self, path: Path) -> Path:
        onnx.save(self.build(), str(path))
        return path

    def images(self, count: int, seed: int = 1) -> np.ndarray:
        return images(count, self.image, seed)

    def _input(self, b: Builder) -> str:
        scale, shift, step = {
            "pixels": (255.0, 128.0, 1.0),
            "binary": (2.0, 1.0, 1.0),
            "signed": (2.0, 1.0, 2.0**-7),
            "steps": (5.0, 2.5, 1.0),
            "inexact": (2.0, 1.0, 0.0123),
        }[self.input]
        tensor = b.node("Mul", "image", b.constant(scale))
        tensor = b.node("Sub", tensor, b.constant(shift))
        if self.input == "binary":
            return b.node("BipolarQuant", tensor, b.constant([1.0]))
        return b.node(
            "Quant", tensor, b.constant(step), b.constant(0.0), b.constant(8.0),
            signed=1, narrow=0, rounding_mode="ROUND",
        )  # fmt: skip

    def _pad(self, b: Builder, tensor: str, pad: int) -> tuple[str, int]:
        """The padded tensor and the pads that are left to the convolution."""
        if pad == 0 or self.pad_value is None:
            return tensor, pad
        top, left, bottom, right = (pad * n for n in self.sides)
        sides = b.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
        return b.node("Pad", tensor, sides, b.constant(self.pad_value)), 0

    def _conv(
        self, b: Builder, rng: np.random.Generator, tensor: str, channels: int, size: int,
        kernel: int, stride: int, pad: int, group: int,
    ) -> str:  # fmt: skip
        weights = b.constant(rng.uniform(-1, 1, (size, channels, kernel, kernel)))
        inputs = [tensor, b.node("BipolarQuant", weights, b.constant([self.weight_scale]))]
        if self.bias:
            inputs.append(b.constant(rng.integers(-3, 4, size)))
        attributes = {} if self.defaults else {"kernel_shape": [kernel] * 2, "pads": [pad] * 4}
        if group > 1:
            attributes["group"] = group
        if stride > 1 or not self.defaults:
            attributes["strides"] = [stride] * 2
        return b.node("Conv", *inputs, **attributes)

    def _norm(self, b: Builder, rng: np.random.Generator, tensor: str, size: int) -> str:
        scale = rng.uniform(0.5, 1.5, size) * rng.choice([-1, 1], size)
        shift, mean = rng.normal(0, 0.3, size), rng.normal(0, 2, size)
        parameters = [b.constant(x) for x in (scale, shift, mean, np.full(size, 9.0))]
        return b.node("BatchNormalization", tensor, *parameters, epsilon=1e-5)

    def _sign(self, b: Builder, tensor: str) -> str:
        return b.node("BipolarQuant", tensor, b.constant([self.activation_scale]))


def conv_graph(
    seed: int, shape: tuple[int, int, int] = (7, 6, 3), dtype: str = "UINT8", stride: int = 1
) -> Graph:
    """Window, product, threshold, pool, product of everything, label: shape (H, W, C)."""
    rng = np.random.default_rng(seed)
    streams = {"image": Stream("image", shape, dtype)}
    layers: list[Layer] = []

    def add(layer: Layer, shape: tuple[int, ...], dtype: str) -> str:
        layers.append(layer)
        streams[layer.target] = Stream(layer.target, shape, dtype)
        return layer.target

    window = SlidingWindow("conv0_window", "image", "conv0_window", 3, stride)
    height, width, columns = windows_shape(shape, window)
    add(window, (height, width, columns), dtype)
    weights = rng.integers(0, 2, (5, columns), dtype=np.uint8)
    kind = "INT16" if dtype != "BINARY" else f"UINT{columns.bit_length()}"
    source = add(MatrixVector("conv0", "conv0_window", "conv0", weights), (height, width, 5), kind)
    middle = columns // 2 if dtype == "BINARY" else 0
    thresholds = rng.integers(middle - 2, middle + 3, (5, 1)) * (1 if dtype == "BINARY" else 99)
    source = add(
        Threshold("conv0_act", source, "conv0_act", thresholds), (height, width, 5), "BINARY"
    )
    size = (height // 2) * (width // 2) * 5
    source = add(MaxPool("pool0", source, "pool0", 2), (size,), "BINARY")
    weights = rng.integers(0, 2, (4, size), dtype=np.uint8)
    source = add(MatrixVector("fc1", source, "fc1", weights), (4,), f"UINT{size.bit_length()}")
    add(LabelSelect("label", source, "label", 4), (1,), "UINT2")
    return Graph("net", tuple(layers), streams, "image", "label").check()


def separable_graph(
    seed: int,
    shape: tuple[int, int, int] = (6, 5, 4),
    dtype: str = "BINARY",
    kernel: int = 3,
    stride: int = 1,
    pad: int = 1,
    value: int = 0,
    rows: int = 6,
) -> Graph:
    """Border, window, depthwise product, threshold, 1 x 1 product, threshold, product, label."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    streams = {"image": Stream("image", shape, dtype)}
    layers: list[Layer] = []

    def add(layer: Layer, shape: tuple[int, ...], dtype: str) -> str:
        layers.append(layer)
        streams[layer.target] = Stream(layer.target, shape, dtype)
        return layer.target

    def threshold(name: str, source: str, shape: tuple[int, ...], terms: int) -> str:
        middle = terms // 2
        levels = rng.integers(middle - 1, middle + 3, (shape[-1] if len(shape) == 3 else rows, 1))
        return add(Threshold(name, source, name, levels), shape, "BINARY")

    source = "image"
    if dtype != "BINARY":
        levels = rng.integers(50, 200, (channels, 1))
        source = add(Threshold("in0", source, "in0", levels), shape, "BINARY")
    padded = (height + 2 * pad, width + 2 * pad, channels)
    if pad:
        source = add(Padding("conv0_pad", source, "conv0_pad", pad, value), padded, "BINARY")
    window = SlidingWindow("conv0_window", source, "conv0_window", kernel, stride)
    windows = windows_shape(padded, window)
    source = add(window, windows, "BINARY")
    places = kernel**2
    weights = rng.integers(0, 2, (channels, places), dtype=np.uint8)
    middle = (*windows[:2], channels)
    kind = f"UINT{places.bit_length()}"
    source = add(Depthwise("conv0", source, "conv0", weights), middle, kind)
    source = threshold("conv0_act", source, middle, places)
    weights = rng.integers(0, 2, (rows, channels), dtype=np.uint8)
    middle = (*windows[:2], rows)
    kind = f"UINT{channels.bit_length()}"
    source = add(MatrixVector("conv1", source, "conv1", weights), middle, kind)
    size = prod(middle)
    source = threshold("conv1_act", source, (size,), channels)
    weights = rng.integers(0, 2, (4, size), dtype=np.uint8)
    source = add(MatrixVector("fc2", source, "fc2", weights), (4,), f"UINT{size.bit_length()}")
    add(LabelSelect("label", source, "label", 4), (1,), "UINT2")
    return Graph("net", tuple(layers), streams, "image", "label").check()
