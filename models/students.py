"""Binary students as Brevitas networks: what is exported, and what every later stage must equal.

    binary input:  x -> 2x - 1     -> sign_in   -> ...
    8-bit input:   x -> 255x - 128 -> pixels_in -> ...

    ... -> [conv0 -> norm0 -> sign0 -> [pool0]] -> ... -> flatten
        -> [fc<i> -> norm<i> -> sign<i>] -> ... -> fc<last> -> norm -> logits

Products are counted through: `conv0` .. `conv5`, `fc6` .. `fc8` for FINN's CNV, `fc0` .. `fc3` for
its TFC, SFC and LFC. Every weight and activation is -1 or +1 with scale 1, sign(0) = +1, so that
the exported network is integers and thresholds: batch norm and sign together are one threshold a
channel, the scalar norm cannot change which logit is largest. An 8-bit input enters as the integer
p - 128 of the pixel p. Training runs on `models.ensemble`, which computes the same.
"""

from __future__ import annotations

from collections import OrderedDict
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
        channels, i = shape[0], 0
        for block, sizes in enumerate(options.convolutions):
            for size in sizes:
                parts[f"conv{i}"] = QuantConv2d(
                    channels, size, options.kernel, bias=False, weight_quant=BipolarWeight
                )
                parts[f"norm{i}"] = nn.BatchNorm2d(size)
                parts[f"sign{i}"] = QuantIdentity(act_quant=BipolarActivation)
                channels, i = size, i + 1
            if block + 1 < len(options.convolutions):
                parts[f"pool{i - 1}"] = nn.MaxPool2d(2)
        parts["flatten"] = nn.Flatten()
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
        return self.layers(self.scale * images - self.offset)


def feature_shape(shape: tuple[int, int, int], options: Student) -> tuple[int, int, int]:
    """(C, H, W) of what the fully connected layers read; `UserError` if nothing is left of it."""
    channels, height, width = shape
    for block, sizes in enumerate(options.convolutions):
        for size in sizes:
            channels = size
            height, width = height - options.kernel + 1, width - options.kernel + 1
        if block + 1 < len(options.convolutions):
            height, width = height // 2, width // 2
        if min(height, width) < 1:
            raise UserError(
                f"[student] convolutions: block {block} leaves a map of {height} x {width} pixels "
                f"of an image of {shape[1]} x {shape[2]}; take fewer convolutions"
            )
    return channels, height, width


def build(preset: Preset) -> BinaryNetwork:
    """The student of a preset, with fresh weights."""
    data = DATASETS[preset.data.name]
    return BinaryNetwork(data.shape, preset.student, data.classes)
