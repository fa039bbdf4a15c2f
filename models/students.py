"""Binary students: weights and activations of one bit, in the topology of FINN's TFC, SFC, LFC.

    x -> 2x - 1 -> sign -> [fc0 -> norm0 -> sign0] -> ... -> fcN -> scalar norm -> logits

Every weight and activation is -1 or +1 with scale 1, sign(0) = +1, so that the exported network
is integers and thresholds: batch norm and sign together are one threshold a neuron, the scalar norm
cannot change which logit is largest. Gradients pass the signs straight through where the input
is within [-1, 1] (Hubara et al. 2016); the latent float weights are clipped to that range.
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
from brevitas.nn import QuantIdentity, QuantLinear
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import Tensor, nn

from models.data import DATASETS
from models.presets import Preset


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


class ScalarNorm(nn.Module):
    """Batch norm with one mean and variance for the whole tensor; the tail of FINN's networks.

    Its scale stays positive (`BinaryMLP.clip`), so that it never changes which logit is largest
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


class BinaryMLP(nn.Module):
    """Reads images (N, C, H, W) in [0, 1], gives logits (N, classes).

    The parts of `layers` are named as in the drawing above: `sign_in`, `fc0`, `norm0`, `sign0`,
    ..., `fc<last>`, `norm`.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], classes: int):
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["sign_in"] = QuantIdentity(act_quant=BipolarActivation)
        for i, size in enumerate((*hidden, classes)):
            linear = QuantLinear(inputs, size, bias=False, weight_quant=BipolarWeight)
            nn.init.uniform_(linear.weight, -1, 1)
            parts[f"fc{i}"] = linear
            if i < len(hidden):
                parts[f"norm{i}"] = nn.BatchNorm1d(size)
                parts[f"sign{i}"] = QuantIdentity(act_quant=BipolarActivation)
            inputs = size
        parts["norm"] = ScalarNorm()
        self.layers = nn.Sequential(parts)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(2.0 * images.flatten(1) - 1.0)

    @torch.no_grad()
    def clip(self) -> None:
        """After each step: latent weights back to [-1, 1], the scalar norm's scale positive."""
        for part in self.layers:
            if isinstance(part, QuantLinear):
                part.weight.clamp_(-1, 1)
            elif isinstance(part, ScalarNorm):
                part.weight.clamp_(min=1e-3)


def build(preset: Preset) -> BinaryMLP:
    """The student of a preset, with fresh weights."""
    data = DATASETS[preset.data.name]
    return BinaryMLP(prod(data.shape), preset.student.hidden, data.classes)
