"""What a temperature controller sees, and what every controller is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from flow.errors import UserError
from models.losses import Softness, normalised_entropy


@dataclass(frozen=True)
class Observation:
    """What a controller may look at in one step.

    `teacher`, `student`: logits (..., N, classes) of the whole batch, without gradient; `labels`:
    (..., N). The leading axes are seeds that train side by side. `step` of `steps` counts from 0.
    """

    teacher: Tensor
    student: Tensor
    labels: Tensor
    step: int
    steps: int

    def __post_init__(self) -> None:
        if self.teacher.requires_grad or self.student.requires_grad:
            raise ValueError("a temperature controller must not see gradients: detach the logits")

    @cached_property
    def teacher_entropy(self) -> Tensor:
        """Normalised entropy of each sample at T = 1, (..., N)."""
        return normalised_entropy(self.teacher)

    @cached_property
    def student_entropy(self) -> Tensor:
        """Normalised entropy of each sample at T = 1, (..., N)."""
        return normalised_entropy(self.student)


class Temperature(nn.Module):
    """Base of the controllers: called once a training step with an `Observation`.

    `seeds`: leading shape of the logits, () for one network; every seed has a state of its own.
    All state is in buffers and parameters of that shape, so `state_dict` is what an interrupted run
    needs to go on with the same numbers; nothing leaves the device in a step. Controllers reckon
    in double precision and round at the end: T of a seed is the same, bit for bit, whatever other
    seeds stand beside it.

    `distance`, of shape `seeds`: the controller's own measure of how far apart the networks are,
    in [0, 1], for the curves and for a strength that follows it; 0 where the form knows none.
    """

    distance: Tensor

    def __init__(self, seeds: Sequence[int] = ()):
        super().__init__()
        self.seeds = tuple(seeds)
        self.register_buffer("distance", torch.zeros(self.seeds))

    def forward(self, seen: Observation) -> Softness:
        """Temperatures of this step, one for each network, of shape (..., 1 or N, 1)."""
        raise NotImplementedError

    def state(self, name: str, start: float) -> None:
        """Give the controller a double of each seed, kept in `state_dict`."""
        self.register_buffer(name, torch.full(self.seeds, start, dtype=torch.float64))

    def everywhere(self, value: float, seen: Observation) -> Softness:
        """The same T for each seed, sample and network."""
        logits = seen.teacher
        shape = (*self.seeds, 1, 1)
        return one(torch.full(shape, value, dtype=logits.dtype, device=logits.device))


def one(temperature: Tensor) -> Softness:
    """The same temperatures for teacher and student."""
    return Softness(temperature, temperature)


def require(holds: bool, rule: str) -> None:
    """`UserError` with the rule that an option of a controller breaks."""
    if not holds:
        raise UserError(rule)
