"""The sign, its gradient estimators, and what may stand between latent weights and their sign.

The forward pass is the same for all of them: +1 where x >= 0, else -1. They differ in what stands
for the derivative, which is zero almost everywhere. None of it is left in the trained network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Gradient = Callable[[Tensor, Tensor, float], Tensor]  # (gradient above, x, progress) -> below


def straight(gradient: Tensor, x: Tensor, progress: float) -> Tensor:
    """Derivative 1 everywhere: for latent weights that are clipped after each step."""
    return gradient


def clipped(gradient: Tensor, x: Tensor, progress: float) -> Tensor:
    """Derivative 1 where |x| < 1, else 0: the straight-through estimator. Hubara et al. 2016."""
    return torch.ops.aten.hardtanh_backward(gradient, x, -1.0, 1.0)


def polynomial(gradient: Tensor, x: Tensor, progress: float) -> Tensor:
    """2 - 2|x| where |x| <= 1, else 0. Bi-Real Net, Liu et al., ECCV 2018."""
    return x.abs().mul_(-2).add_(2).clamp_(min=0).mul_(gradient)


def ede(gradient: Tensor, x: Tensor, progress: float) -> Tensor:
    """k t (1 - tanh(t x)^2), t = 10^(2 progress - 1), k = max(1 / t, 1): it sharpens with time.

    The error decay estimator of IR-Net, Qin et al., CVPR 2020.
    """
    t = 10 ** (2 * progress - 1)
    return (1 - torch.tanh(t * x).square()).mul_(max(1.0, t)).mul_(gradient)


def reste(gradient: Tensor, x: Tensor, progress: float) -> Tensor:
    """(1 / o) |x|^((1 - o) / o) where |x| <= 1.5, o rising from 1 to 3; at most that of |x| = 0.1.

    The rectified straight-through estimator, Wu et al., ICCV 2023: the derivative of the power
    function sign(x) |x|^(1 / o), which nears the sign as o grows.
    """
    power = 1 + 2 * progress
    slope = x.abs().clamp_(min=0.1).pow_((1 - power) / power).div_(power)
    return slope.mul_(x.abs() <= 1.5).mul_(gradient)


ESTIMATORS: dict[str, Gradient] = {
    "straight": straight,
    "clipped": clipped,
    "polynomial": polynomial,
    "ede": ede,
    "reste": reste,
}

SHARPENING = ("ede", "reste")  # those that look at the progress


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, estimator: Gradient, progress: float) -> Tensor:  # type: ignore[override]
        ctx.estimator, ctx.progress = estimator, progress
        ctx.save_for_backward(x)
        return x.sign().add_(0.5).sign_()  # several times faster than a comparison and a choice

    @staticmethod
    def backward(ctx, *gradients: Tensor):  # type: ignore[override]
        return ctx.estimator(gradients[0], ctx.saved_tensors[0], ctx.progress), None, None


def sign(x: Tensor, estimator: str = "clipped", progress: float = 0.0) -> Tensor:
    """+1 where x >= 0, else -1, with the gradient of an estimator; `progress` runs from 0 to 1."""
    return _Sign.apply(x, ESTIMATORS[estimator], progress)


class _LearnedClip(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, bound: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, bound)
        return torch.minimum(torch.maximum(x, -bound), bound)

    @staticmethod
    def backward(ctx, *gradients: Tensor):  # type: ignore[override]
        (gradient,) = gradients
        x, bound = ctx.saved_tensors
        outside = x.abs() > bound
        to_bound = (gradient * x.sign() * outside).sum(tuple(range(1, x.dim())), keepdim=True)
        return gradient * ~outside, to_bound


def learned_clip(x: Tensor, bound: Tensor) -> Tensor:
    """Latent weights x (S, ...) clipped to -bound .. bound, with a gradient to bound (S, 1, ...).

    Parameterised weight clipping after Kang, Ryu, Han 2023 (IEEE Access 11:8057), with the
    gradient of a clip: 1 to x inside, sign(x) to the bound outside.
    """
    return _LearnedClip.apply(x, bound)


def plain(weight: Tensor) -> Tensor:
    """The latent weights as they are."""
    return weight


def centred(weight: Tensor) -> Tensor:
    """Latent weights (S, out, ...) less each output channel's mean."""
    return weight - weight.mean(tuple(range(2, weight.dim())), keepdim=True)


def standardised(weight: Tensor) -> Tensor:
    """Centred, and of standard deviation 1 in each output channel. IR-Net, Qin et al. 2020."""
    middle = centred(weight)
    dims = tuple(range(2, weight.dim()))
    return middle / (middle.square().mean(dims, keepdim=True) + 1e-8).sqrt()


WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": plain,
    "centred": centred,
    "standardised": standardised,
}
