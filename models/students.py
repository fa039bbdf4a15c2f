"""Binary students as Brevitas networks: what is exported, and what every later stage must equal.

    binary input:  x -> 2x - 1     -> sign_in   -> ...
    8-bit input:   x -> 255x - 128 -> pixels_in -> ...

    ... -> [[pad0] -> conv0 [+ shortcut] -> norm0 -> sign0 -> [pool0]] -> ... -> flatten
        -> [fc<i> -> norm<i> -> sign<i>] -> ... -> fc<last> -> norm -> logits

Products are counted through: `conv0` .. `conv5`, `fc6` .. `fc8` for FINN's CNV, `fc0` .. `fc3` for
its TFC, SFC and LFC. Every weight and activation is -1 or +1 with scale 1, sign(0) = +1, so that
the exported network is integers and thresholds: batch norm and sign together are one threshold a
channel, the scalar norm cannot change which logit is largest. An 8-bit input enters as the integer
p - 128 of the pixel p; a border is of the least value, -1 or -128. Training runs on
`models.ensemble`, which computes the same.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from math import prod

import torch
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import Tensor, nn

from flow.errors import UserError
from models.data import DATASETS
from models.presets import Preset, Student


class _Bipolar(ExtendedInjector):
    """Brevitas options that weights and activations share: one bit, constant scale 1."""

    quant_type = QuantType.BINARY
    bit_width = 1
    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    float_to_int_impl_type = FloatToIntImplType.ROUND
    zero_point_impl = ZeroZeroPoint
    scaling_per_output_channel = False
    scaling_const = 1.0
    narrow_range = True
    signed = True


class BipolarWeight(_Bipolar, WeightQuantSolver):
    """Weights of -1 and +1."""


class BipolarActivation(_Bipolar, ActQuantSolver):
    """Activations of -1 and +1; the gradient is zero outside [-1, 1]."""

    min_val = -1.0
    max_val = 1.0


class PixelValue(ActQuantSolver):
    """The integers -128 .. 127, as they are."""

    quant_type = QuantType.INT
    bit_width = 8
    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    float_to_int_impl_type = FloatToIntImplType.ROUND
    zero_point_impl = ZeroZeroPoint
    scaling_per_output_channel = False
    scaling_const = 1.0
    narrow_range = False
    signed = True
    min_val = -128.0
    max_val = 127.0


@dataclass(frozen=True)
class Convolution:
    """One of a student's convolutions; `pool`: a 2 x 2 max-pool follows.

    `shortcut`: the sums in front of the quantiser that it reads are added to its own.
    """

    inputs: int
    outputs: int
    kernel: int
    padding: int
    depthwise: bool
    pool: bool
    shortcut: bool = False

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.outputs, 1 if self.depthwise else self.inputs, self.kernel, self.kernel


def convolutions(channels: int, options: Student) -> list[Convolution]:
    """A student's convolutions in order, for images of so many channels."""
    found: list[Convolution] = []
    kernel, padding = options.kernel, options.padding if options.kernel > 1 else 0
    for block, sizes in enumerate(options.convolutions):
        for i, size in enumerate(sizes):
            pool = i + 1 == len(sizes) and block + 1 < len(options.convolutions)
            if options.separable and found:
                found.append(Convolution(channels, channels, kernel, padding, True, False))
                found.append(Convolution(channels, size, 1, 0, False, pool))
            else:
                found.append(Convolution(channels, size, kernel, padding, False, pool))
            channels = size
    first = 2 if options.input == "pixels" else 1  # sums of pixels have another unit
    return [
        replace(conv, shortcut=options.shortcuts and i >= first and _keeps(conv, found[i - 1]))
        for i, conv in enumerate(found)
    ]


def _keeps(conv: Convolution, before: Convolution) -> bool:
    """Whether what a convolution gives has the size and the channels of what it was made of."""
    same = conv.inputs == conv.outputs and conv.kernel == 2 * conv.padding + 1
    return same and not before.pool


def least(options: Student, first: bool) -> float:
    """The least value of a map, which a border has; `first`: of the network's input."""
    return -128.0 if first and options.input == "pixels" else -1.0


class ScalarNorm(nn.Module):
    """Batch norm with one mean and variance for the whole tensor; the tail of FINN's networks.

    Its scale stays positive while training, so that it never changes which logit is largest
    and the hardware can leave it out. Per-class batch norm could not be left out.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, eps: float = 1e-4, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("running_mean", torch.zeros(1))
        self.register_buffer("running_var", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(), x.var(unbiased=False)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(x.var(unbiased=True), self.momentum)
        return (x - mean) / (var + self.eps).sqrt() * self.weight + self.bias


class GlobalSum(nn.Module):
    """(N, C, H, W) -> (N, C): each channel's sum over the pixels, over a power of two.

    That is their mean where H * W is one; another divisor would be rounded in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3)) / 2 ** (x.shape[2] * x.shape[3] - 1).bit_length()


class BinaryNetwork(nn.Module):
    """Reads images (N, C, H, W) in [0, 1], gives logits (N, classes).

    `layers` has the parts named as in the drawing above.
    """

    def __init__(self, shape: tuple[int, int, int], options: Student, classes: int):
        super().__init__()
        self.scale, self.offset = (255.0, 128.0) if options.input == "pixels" else (2.0, 1.0)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if options.input == "pixels":
            parts["pixels_in"] = QuantIdentity(act_quant=PixelValue)
        else:
            parts["sign_in"] = QuantIdentity(act_quant=BipolarActivation)
        layers = convolutions(shape[0], options)
        for i, conv in enumerate(layers):
            if conv.padding:
                parts[f"pad{i}"] = nn.ConstantPad2d(conv.padding, least(options, i == 0))
            parts[f"conv{i}"] = QuantConv2d(
                conv.inputs,
                conv.outputs,
                conv.kernel,
                groups=conv.inputs if conv.depthwise else 1,
                bias=False,
                weight_quant=BipolarWeight,
            )
            parts[f"norm{i}"] = nn.BatchNorm2d(conv.outputs)
            parts[f"sign{i}"] = QuantIdentity(act_quant=BipolarActivation)
            if conv.pool:
                parts[f"pool{i}"] = nn.MaxPool2d(2)
        parts["flatten"] = GlobalSum() if options.average else nn.Flatten()
        self.shortcuts = {f"conv{i}" for i, conv in enumerate(layers) if conv.shortcut}
        i = len(layers)
        inputs = prod(feature_shape(shape, options))
        for size in options.hidden:
            parts[f"fc{i}"] = QuantLinear(inputs, size, bias=False, weight_quant=BipolarWeight)
            parts[f"norm{i}"] = nn.BatchNorm1d(size)
            parts[f"sign{i}"] = QuantIdentity(act_quant=BipolarActivation)
            inputs, i = size, i + 1
        parts[f"fc{i}"] = QuantLinear(inputs, classes, bias=False, weight_quant=BipolarWeight)
        parts["norm"] = ScalarNorm()
        self.layers = nn.Sequential(parts)
        for part in parts.values():
            if isinstance(part, QuantConv2d | QuantLinear):
                nn.init.uniform_(part.weight, -1, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.scale * images - self.offset
        if not self.shortcuts:
            return self.layers(x)
        sums = x
        for name, part in self.layers.named_children():
            x = part(x) + sums if name in self.shortcuts else part(x)
            if name.startswith("conv"):
                sums = x
        return x


def feature_shape(shape: tuple[int, int, int], options: Student) -> tuple[int, int, int]:
    """(C, H, W) of what the fully connected layers read; `UserError` if nothing is left of it."""
    channels, height, width = shape
    block = 0
    for conv in (layers := convolutions(channels, options)):
        channels, lost = conv.outputs, conv.kernel - 1 - 2 * conv.padding
        height, width = height - lost, width - lost
        if conv.pool:
            height, width = height // 2, width // 2
        if min(height, width) < 1 and (conv.pool or conv is layers[-1]):
            raise UserError(
                f"[student] convolutions: block {block} leaves a map of {height} x {width} pixels "
                f"of an image of {shape[1]} x {shape[2]}; take fewer convolutions"
            )
        block += conv.pool
    return (channels, 1, 1) if options.average else (channels, height, width)


def build(preset: Preset) -> BinaryNetwork:
    """The student of a preset, with fresh weights."""
    data = DATASETS[preset.data.name]
    return BinaryNetwork(data.shape, preset.student, data.classes)
