"""Temperatures that look at neither network: fixed, or a curve over the steps of training.

They are the controls of the adaptive forms. All seeds see the same T; the distance is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from random import Random

from models.losses import Softness
from models.temperature.interface import Observation, Temperature, require


class Fixed(Temperature):
    """T = `value`. Hinton, Vinyals, Dean 2015, arXiv 1503.02531."""

    def __init__(self, value: float = 4.0, seeds: Sequence[int] = ()):
        super().__init__(seeds)
        require(value > 0, "value must be > 0")
        self.value = value

    def forward(self, seen: Observation) -> Softness:
        return self.everywhere(self.value, seen)


class CosineDown(Temperature):
    """Soft to hard: T = minimum + (maximum - minimum) (1 + cos(pi step / steps)) / 2."""

    def __init__(self, minimum: float = 1.0, maximum: float = 8.0, seeds: Sequence[int] = ()):
        super().__init__(seeds)
        require(0 < minimum <= maximum, "needs 0 < minimum <= maximum")
        self.minimum, self.maximum = minimum, maximum

    def forward(self, seen: Observation) -> Softness:
        fallen = (1 - cos(pi * seen.step / seen.steps)) / 2
        return self.everywhere(self.maximum - (self.maximum - self.minimum) * fallen, seen)


class CosineUp(CosineDown):
    """Hard to soft: T = minimum + (maximum - minimum) (1 - cos(pi step / steps)) / 2."""

    def forward(self, seen: Observation) -> Softness:
        risen = (1 - cos(pi * seen.step / seen.steps)) / 2
        return self.everywhere(self.minimum + (self.maximum - self.minimum) * risen, seen)


class Replay(Temperature):
    """T of a curve that another run wrote down, whatever the networks do now.

    `curve`: mean T of each of K equal parts of that training, such as its epochs. Part k of K
    stands at the middle of its steps, T between two middles is on the straight line from one to the
    other, and before the first and after the last it stays. If an adaptive run and its replay tie,
    following the entropies adds nothing to the shape of the curve.
    """

    def __init__(self, curve: Sequence[float], seeds: Sequence[int] = ()):
        super().__init__(seeds)
        require(all(value > 0 for value in curve), "each value of curve must be > 0")
        self.curve = tuple(float(value) for value in curve)

    def forward(self, seen: Observation) -> Softness:
        last = len(self.curve) - 1
        place = (seen.step + 0.5) / seen.steps * len(self.curve) - 0.5
        place = min(max(place, 0.0), float(last))
        left = int(place)
        right = min(left + 1, last)
        slope = self.curve[right] - self.curve[left]
        return self.everywhere(self.curve[left] + (place - left) * slope, seen)


class Shuffled(Temperature):
    """The values of a recorded curve in random order, each for its equal part of training.

    `curve`: as in `Replay`; `seed`: of the order, which is the same for all networks. A control:
    the same temperatures, at the wrong times.
    """

    def __init__(self, curve: Sequence[float], seed: int = 0, seeds: Sequence[int] = ()):
        super().__init__(seeds)
        require(all(value > 0 for value in curve), "each value of curve must be > 0")
        self.curve = tuple(Random(seed).sample([float(value) for value in curve], len(curve)))

    def forward(self, seen: Observation) -> Softness:
        return self.everywhere(self.curve[seen.step * len(self.curve) // seen.steps], seen)
