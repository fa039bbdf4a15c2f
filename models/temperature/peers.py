"""Temperatures of published rivals of the entropy-adaptive one."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn

from models.losses import Softness
from models.temperature.interface import Observation, Temperature, one, require


class Ctkd(Temperature):
    """Curriculum temperature: T is learned, against the student.

        T = minimum + span sigmoid(theta),  theta_0 = 1
        gradient of theta: lambda dL/dtheta, lambda = -(1 - cos(pi min(1, progress / share))) / 2

    lambda goes from 0 to -1 over the first `share` of training and stays: the optimiser of the
    student moves theta up the loss, and the task grows harder. L is the student's loss, through T
    on both sides of the KL and through its factor T^2. theta: a parameter, one of each seed, to be
    given to the optimiser. Global form of Li et al., AAAI 2023, arXiv 2211.16231, and its code
    (there lambda takes 10 epochs of 240, `share` = 0.042).
    """

    def __init__(
        self,
        minimum: float = 1.0,
        span: float = 20.0,
        share: float = 0.1,
        seeds: Sequence[int] = (),
    ):
        super().__init__(seeds)
        require(minimum > 0, "minimum must be > 0")
        require(span >= 0, "span must be >= 0")
        require(0 < share <= 1, "share must be in (0, 1]")
        self.minimum, self.span, self.share = minimum, span, share
        self.theta = nn.Parameter(torch.ones(self.seeds))

    def forward(self, seen: Observation) -> Softness:
        progress = min(1.0, seen.step / (self.share * seen.steps))
        theta = _Scaled.apply(self.theta, -(1 - cos(pi * progress)) / 2)
        temperature = self.minimum + self.span * torch.sigmoid(theta.double())
        return one(temperature[..., None, None].to(seen.teacher.dtype))


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a number; a negative one reverses it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * gradients[0], None


class Dtkd(Temperature):
    """Dynamic temperatures: of each sample and network, from how large its logits are.

        T_t,i = 2 tau m_t,i / (m_t,i + m_s,i),  T_s,i = 2 tau m_s,i / (m_t,i + m_s,i)

    m: the largest logit of a sample, `tau` the reference temperature: the surer network is softened
    more, until both are equally sharp. The loss has the factor T_t,i T_s,i. m below `floor`, where
    the ratio loses its sense, counts as `floor`; the temperatures carry no gradient. Wei and Bai,
    arXiv 2404.12711, whose full loss adds plain KL at T = tau.
    """

    def __init__(self, tau: float = 4.0, floor: float = 0.1, seeds: Sequence[int] = ()):
        super().__init__(seeds)
        require(tau > 0, "tau must be > 0")
        require(floor > 0, "floor must be > 0")
        self.tau, self.floor = tau, floor

    def forward(self, seen: Observation) -> Softness:
        teacher = seen.teacher.amax(dim=-1, keepdim=True).clamp(min=self.floor)
        student = seen.student.amax(dim=-1, keepdim=True).clamp(min=self.floor)
        both = teacher + student
        return Softness(2 * self.tau * teacher / both, 2 * self.tau * student / both)
