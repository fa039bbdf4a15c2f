"""Temperatures that follow the entropies of both networks' outputs.

Notation: H_t,i, H_s,i are the normalised entropies of one sample at T = 1, (..., N), H_t, H_s their
batch means, (...). `maximum` is the soft end of T, `minimum` the hard one.

The method is that of application KR 10-2022-0126921 and of Kang, Ryu, Han, IEEE Access 11:8057
(2023), whose own formulas are not public: the forms here are working definitions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.losses import Softness, normalised_entropy
from models.temperature.interface import Observation, Temperature, one, require


class Entropic(Temperature):
    """Base: T between its bounds from what the entropies of a batch, or of each sample, show.

    A form says what it reads of a batch (`batch`) and of a pair of entropies (`reading`), both in
    [0, 1], which T belongs to a reading (`level`: 1 is soft, 0 is hard), and how far apart the
    networks then are (`apart`):

        R = running mean of batch(H_t,i, H_s,i), each step weighted 1 - momentum
        T = minimum + (maximum - minimum) level(R)
        distance = apart(R)

    `first`: R_0 of the running mean; None starts it with the first batch. `per_sample`: T_i from
    reading(H_t,i, H_s,i) of each sample, (..., N, 1); R then moves the distance alone.
    """

    first: float | None = 1.0
    total: Tensor
    weight: Tensor

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        momentum: float = 0.99,
        per_sample: bool = False,
        seeds: Sequence[int] = (),
    ):
        super().__init__(seeds)
        require(0 < minimum <= maximum, "needs 0 < minimum <= maximum")
        require(0 <= momentum < 1, "momentum must be in [0, 1)")
        self.minimum, self.maximum = minimum, maximum
        self.momentum, self.per_sample = momentum, per_sample
        self.state("total", self.first or 0.0)
        self.state("weight", 0.0 if self.first is None else 1.0)

    def reading(self, teacher: Tensor, student: Tensor) -> Tensor:
        """What the form reads of two entropies of any shape, in [0, 1]."""
        raise NotImplementedError

    def batch(self, teacher: Tensor, student: Tensor) -> Tensor:
        """What the form reads of a batch of entropies (..., N): (...)."""
        return self.reading(teacher.mean(dim=-1), student.mean(dim=-1))

    def level(self, reading: Tensor) -> Tensor:
        """Where between hard, 0, and soft, 1, T stands for a reading."""
        raise NotImplementedError

    def apart(self, reading: Tensor) -> Tensor:
        """How far apart the networks are for a reading, in [0, 1]."""
        raise NotImplementedError

    def forward(self, seen: Observation) -> Softness:
        teacher, student = seen.teacher_entropy.double(), seen.student_entropy.double()
        temperature = self.follow(self.batch(teacher, student)).unsqueeze(-1)
        if self.per_sample:
            temperature = self.between(self.level(self.reading(teacher, student)))
        return one(temperature.unsqueeze(-1).to(seen.teacher.dtype))

    def follow(self, reading: Tensor) -> Tensor:
        """One step of the running mean from a batch's reading, (...); T that follows, (...)."""
        self.total = self.total + (1 - self.momentum) * (reading - self.total)
        self.weight = self.weight + (1 - self.momentum) * (1 - self.weight)
        mean = self.total / self.weight
        self.distance = self.apart(mean).float()
        return self.between(self.level(mean))

    def between(self, level: Tensor) -> Tensor:
        """T of a level: 0 is `minimum`, 1 is `maximum`."""
        return self.minimum + (self.maximum - self.minimum) * level


class Powered(Entropic):
    """Base of the forms whose level is reading^gamma."""

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        gamma: float = 2.0,
        momentum: float = 0.99,
        per_sample: bool = False,
        seeds: Sequence[int] = (),
    ):
        super().__init__(minimum, maximum, momentum, per_sample, seeds)
        require(gamma > 0, "gamma must be > 0")
        self.gamma = gamma

    def level(self, reading: Tensor) -> Tensor:
        return reading**self.gamma


class Relative(Powered):
    """T follows the relative distance between the entropies: the default form.

        r = min(H_t, H_s) / max(H_t, H_s),  R its running mean, R_0 = 1
        distance = 1 - R
        T = minimum + (maximum - minimum) (1 - distance)^gamma

    At the start both are near uniform, the distance is near 0 and T near `maximum`: soft labels.
    As the teacher grows sure of itself and the student stays behind, T falls: hard labels. The
    ratio falls also where both entropies, and so their difference, shrink to nothing.
    `per_sample`: T_i from r_i = min(H_t,i, H_s,i) / max(H_t,i, H_s,i).
    """

    def reading(self, teacher: Tensor, student: Tensor) -> Tensor:
        return ratio(teacher, student)

    def apart(self, reading: Tensor) -> Tensor:
        return 1 - reading


class ShuffledSamples(Relative):
    """The per-sample relative form with each sample's T given to its neighbour in the batch.

    T_i = T(r_i-1), T_0 that of the last sample: a batch is drawn in random order, so a turn by one
    is a random exchange. A control: the same temperatures in the same step, for the wrong samples.
    """

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        gamma: float = 2.0,
        momentum: float = 0.99,
        seeds: Sequence[int] = (),
    ):
        super().__init__(minimum, maximum, gamma, momentum, True, seeds)

    def forward(self, seen: Observation) -> Softness:
        return one(super().forward(seen).teacher.roll(1, dims=-2))


class Absolute(Entropic):
    """Base of the forms that follow the distance D = mean over samples of |H_t,i - H_s,i|.

    D is averaged over the steps from the first batch on, and is the distance. What it does depends
    on who converges: in an online run whose student can follow, D shrinks as training goes on.
    `per_sample`: T_i from D_i = |H_t,i - H_s,i|.
    """

    first = None

    def reading(self, teacher: Tensor, student: Tensor) -> Tensor:
        return (teacher - student).abs()

    def batch(self, teacher: Tensor, student: Tensor) -> Tensor:
        return self.reading(teacher, student).mean(dim=-1)

    def apart(self, reading: Tensor) -> Tensor:
        return reading


class AbsoluteExponential(Absolute):
    """T = minimum + (maximum - minimum) exp(-kappa D): soft while the entropies are alike.

    D as in `Absolute`. kappa = 4.6 puts T within a hundredth of its range from `minimum` at D = 1.
    """

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        kappa: float = 4.6,
        momentum: float = 0.99,
        per_sample: bool = False,
        seeds: Sequence[int] = (),
    ):
        super().__init__(minimum, maximum, momentum, per_sample, seeds)
        require(kappa > 0, "kappa must be > 0")
        self.kappa = kappa

    def level(self, reading: Tensor) -> Tensor:
        return torch.exp(-self.kappa * reading)


class AbsoluteLinear(Absolute):
    """T = minimum + (maximum - minimum) min(1, D / full): soft while the entropies differ.

    D as in `Absolute`. Meant for a frozen teacher: it is sure from the start, the student's entropy
    comes down to it, and so T falls from soft to hard.
    """

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        full: float = 0.5,
        momentum: float = 0.99,
        per_sample: bool = False,
        seeds: Sequence[int] = (),
    ):
        super().__init__(minimum, maximum, momentum, per_sample, seeds)
        require(full > 0, "full must be > 0")
        self.full = full

    def level(self, reading: Tensor) -> Tensor:
        return (reading / self.full).clamp(max=1.0)


class Alone(Powered):
    """Base of the ablations in which one entropy alone steers; they know no distance (0).

    H its running mean, H_0 = 1: T = minimum + (maximum - minimum) H^gamma.
    """

    def apart(self, reading: Tensor) -> Tensor:
        return torch.zeros_like(reading)


class TeacherOnly(Alone):
    """T = minimum + (maximum - minimum) H_t^gamma, from the teacher's entropy alone.

    What is left of `Relative` without the student. `per_sample`: T_i from H_t,i.
    """

    def reading(self, teacher: Tensor, student: Tensor) -> Tensor:
        return teacher


class StudentOnly(Alone):
    """T = minimum + (maximum - minimum) H_s^gamma, from the student's entropy alone.

    What is left of `Relative` without the teacher. `per_sample`: T_i from H_s,i.
    """

    def reading(self, teacher: Tensor, student: Tensor) -> Tensor:
        return student


class Matching(Temperature):
    """T moves until the softened teacher is as unsure as the student.

        T <- T exp(rate clip(log(H_s / H(p_t^T)), -1, 1)), kept in [minimum, maximum]

    H(p_t^T): batch mean of the normalised entropy of the teacher at the present T, which grows with
    T, so that T settles where H(p_t^T) = H_s: the teacher says no more than the student can follow.
    T_0 = `start`. distance = 1 - min(H_t, H_s) / max(H_t, H_s) of the batch, at T = 1. Our own.
    """

    temperature: Tensor

    def __init__(
        self,
        minimum: float = 1.0,
        maximum: float = 8.0,
        start: float = 4.0,
        rate: float = 0.05,
        seeds: Sequence[int] = (),
    ):
        super().__init__(seeds)
        require(0 < minimum <= maximum, "needs 0 < minimum <= maximum")
        require(minimum <= start <= maximum, "start must lie between minimum and maximum")
        require(rate > 0, "rate must be > 0")
        self.minimum, self.maximum, self.rate = minimum, maximum, rate
        self.state("temperature", start)

    def forward(self, seen: Observation) -> Softness:
        present = self.temperature[..., None, None].to(seen.teacher.dtype)
        softened = normalised_entropy(seen.teacher / present).double().mean(dim=-1)
        teacher = seen.teacher_entropy.double().mean(dim=-1)
        student = seen.student_entropy.double().mean(dim=-1)
        self.distance = (1 - ratio(teacher, student)).float()
        temperature = self.follow(softened, student)
        return one(temperature[..., None, None].to(seen.teacher.dtype))

    def follow(self, softened: Tensor, student: Tensor) -> Tensor:
        """One step from H(p_t^T) and H_s, (...); the new T, (...)."""
        least = 1e-12  # of an entropy, so that its logarithm is finite
        gap = student.clamp(min=least).log() - softened.clamp(min=least).log()
        moved = self.temperature * torch.exp(self.rate * gap.clamp(-1, 1))
        # rounded to single: vector and scalar logarithms may differ in the last bit of a double
        self.temperature = moved.clamp(self.minimum, self.maximum).float().double()
        return self.temperature


def ratio(one: Tensor, other: Tensor) -> Tensor:
    """min / max of two tensors that are >= 0; 1 where both are 0."""
    high = one.maximum(other)
    return (one.minimum(other) / high).where(high > 0, 1.0)
