"""A tensor of a network as a function of the integers on one stream of the circuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow.errors import UserError

FINE = 2**16  # steps and offsets are multiples of 1 / FINE where they must be exact


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor: `table[u - low, c]` in channel c where `stream` holds u. float64 (D, C).

    `flattened`: (C, H, W) of an image that is read as a vector with the channels first. `alone`:
    nothing else depends on the stream.
    """

    stream: str
    low: int
    table: np.ndarray
    flattened: tuple[int, int, int] | None = None
    alone: bool = True

    @property
    def domain(self) -> np.ndarray:
        return self.low + np.arange(len(self.table))

    def line(self, where: str, exact: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """(step, offset) of each channel with value = step * u + offset; `UserError` if it bends.

        exact: both are multiples of 1 / FINE, so that a float network adds them up without error.
        """
        domain = self.domain
        span = max(1, len(domain) - 1)
        step = (self.table[-1] - self.table[0]) / span
        offset = self.table[0] - step * domain[0]
        if exact:
            step, offset = (np.rint(x * FINE) / FINE for x in (step, offset))
        if not np.allclose(np.outer(domain, step) + offset, self.table, rtol=1e-6, atol=1e-6):
            raise UserError(
                f"{where}: reads values that do not rise in equal steps with the integers of "
                f"{self.stream}, or in steps finer than 1/{FINE}; supported are sums of products, "
                "of their shortcuts and of bits, with nothing between but scales that are the same "
                "for both"
            )
        return step, offset
