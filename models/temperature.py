"""The distillation temperature: controllers that soften the teacher's word, or let it stand.

A controller is asked once a training step for the temperature T of that step. It sees both
networks' logits, at T = 1 and without gradient, in an `Observation`. A new form is one class here
and one line in `FORMS`; the training loop and the losses do not change.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from flow.errors import UserError
from models.losses import normalised_entropy


@dataclass(frozen=True)
class Observation:
    """What a controller may look at in one step; `teacher`, `student`: logits (N, classes)."""

    teacher: Tensor
    student: Tensor
    step: int
    steps: int

    def __post_init__(self) -> None:
        if self.teacher.requires_grad or self.student.requires_grad:
            raise ValueError("a temperature controller must not see gradients: detach the logits")

    @cached_property
    def teacher_entropy(self) -> Tensor:
        """Normalised entropy of each sample, (N,)."""
        return normalised_entropy(self.teacher)

    @cached_property
    def student_entropy(self) -> Tensor:
        """Normalised entropy of each sample, (N,)."""
        return normalised_entropy(self.student)


class Temperature(ABC):
    """Base of the controllers.

    `distance` is the controller's own measure of how far apart the networks are, for the curves
    and for a strength that follows it; 0 where the form knows none.
    """

    distance: float = 0.0

    @abstractmethod
    def __call__(self, seen: Observation) -> float | Tensor:
        """T of this step: a number for the batch, or (N, 1), one for each sample."""

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted run needs to go on with the same numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        del state  # nothing to keep unless a form says so


class Fixed(Temperature):
    """T = `value`. Hinton, Vinyals, Dean 2015, arXiv 1503.02531."""

    def __init__(self, value: float = 4.0):
        _require(value > 0, "value must be > 0")
        self.value = value

    def __call__(self, seen: Observation) -> float:
        return self.value


class RelativeEntropy(Temperature):
    """T follows the relative distance between the two networks' output entropies.

    With H_t, H_s the batch means of the normalised entropies:

        r = min(H_t, H_s) / max(H_t, H_s)
        R <- momentum R + (1 - momentum) r,  R_0 = 1
        distance = 1 - R
        T = minimum + (maximum - minimum) (1 - distance)^gamma

    At the start both are near uniform, the distance is near 0 and T near `maximum`: soft labels.
    As the teacher grows sure of itself and the student stays behind, T falls: hard labels. The
    ratio falls also where both entropies, and so their difference, shrink to nothing. Working
    form after KR 10-2022-0126921 (its own formulas are not public).
    """

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        gamma: float = 2.0,
        momentum: float = 0.99,
    ):
        _require(0 < minimum <= maximum, "needs 0 < minimum <= maximum")
        _require(gamma > 0, "gamma must be > 0")
        _require(0 <= momentum < 1, "momentum must be in [0, 1)")
        self.minimum, self.maximum = minimum, maximum
        self.gamma, self.momentum = gamma, momentum
        self.ratio = 1.0

    def __call__(self, seen: Observation) -> float:
        return self.follow(seen.teacher_entropy.mean().item(), seen.student_entropy.mean().item())

    def follow(self, teacher_entropy: float, student_entropy: float) -> float:
        """One step of the formula above from the two batch means."""
        low, high = sorted((teacher_entropy, student_entropy))
        ratio = low / high if high > 0 else 1.0
        self.ratio = self.momentum * self.ratio + (1 - self.momentum) * ratio
        self.distance = 1 - self.ratio
        return self.minimum + (self.maximum - self.minimum) * self.ratio**self.gamma

    def state_dict(self) -> dict[str, Any]:
        return {"ratio": self.ratio, "distance": self.distance}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.ratio, self.distance = state["ratio"], state["distance"]


FORMS: dict[str, type[Temperature]] = {"relative": RelativeEntropy, "fixed": Fixed}


def build(options: Mapping[str, Any]) -> Temperature:
    """The controller of {"form": name, option: value, ...}; unknown names are `UserError`s."""
    arguments = dict(options)
    form = arguments.pop("form", None)
    if form not in FORMS:
        raise UserError(f"form {form!r} is unknown; known are {', '.join(FORMS)}")
    known = list(inspect.signature(FORMS[form]).parameters)
    for key, value in arguments.items():
        if key not in known:
            raise UserError(f"{key!r} is unknown to form {form}; known are {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{key} is {value!r}; it must be a number")
    return FORMS[form](**arguments)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise UserError(rule)
