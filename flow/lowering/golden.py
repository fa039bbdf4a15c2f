"""What the trained network computes: the values every later stage is compared with.

A network is seen as the chain

    pixels -> activations[0] -> weights[0] -> accumulators[0] -> activations[1] -> ... -> logits

in which an activation or weight bit of 0 stands for -1, of 1 for +1, and an accumulator is the dot
product of such +-1 values. Besides the values for some images it holds each activation function as
a table over everything that can arrive, so that equality can be shown for all inputs, not for the
tested images alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import MismatchError

PIXELS = np.arange(256)  # every value of a pixel


@dataclass(frozen=True, eq=False)
class Golden:
    """Values of a network of L matrix products; N images, product i is MH_i x MW_i.

    `tables[0][v, c]` is bit c of the first activation where pixel c has value v; `tables[i][p, c]`
    for i > 0 is bit c of activation i where accumulator c of product i-1 is 2p - MW_(i-1), that
    is, where p of its MW_(i-1) terms are +1. `tail[p, c]` is in the same way the logit of class c.
    """

    images: np.ndarray  # uint8 (N, MW_0), the pixels in the network's order
    weights: tuple[np.ndarray, ...]  # L of uint8 (MH_i, MW_i)
    activations: tuple[np.ndarray, ...]  # L of uint8 (N, MW_i)
    accumulators: tuple[np.ndarray, ...]  # L of int32 (N, MH_i)
    logits: np.ndarray  # float32 (N, classes)
    labels: np.ndarray  # int64 (N,)
    tables: tuple[np.ndarray, ...]  # L of uint8 (256 or MW_(i-1) + 1, MW_i)
    tail: np.ndarray  # float32 (MW_(L-1) + 1, classes)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int) -> Golden:
        """The same with the first `count` images alone."""
        return Golden(
            self.images[:count],
            self.weights,
            tuple(x[:count] for x in self.activations),
            tuple(x[:count] for x in self.accumulators),
            self.logits[:count],
            self.labels[:count],
            self.tables,
            self.tail,
        )

    def check(self) -> Golden:
        """Compare the parts with each other; `MismatchError` names the first that disagrees.

        The activations of the images must be what the tables say, the accumulators the products
        of activations and weights, the labels the largest logits. Returns the golden values.
        """
        rows = self.images.astype(np.int64)
        for i, weights in enumerate(self.weights):
            name = layer_name(i)
            bits = self.tables[i][rows, np.arange(weights.shape[1])]
            if not np.array_equal(bits, self.activations[i]):
                place = first_difference(bits, self.activations[i])
                raise MismatchError(
                    f"trained network, {activation_name(i)}: its activation function, evaluated "
                    f"on every value, differs from its run at {place}",
                    activation_name(i),
                )
            sums = bipolar(bits) @ bipolar(weights).T
            if not np.array_equal(sums, self.accumulators[i]):
                place = first_difference(sums, self.accumulators[i])
                raise MismatchError(
                    f"trained network, {name}: accumulators are not the product of its "
                    f"activations and weights at {place}",
                    name,
                )
            rows = (self.accumulators[i].astype(np.int64) + weights.shape[1]) // 2
        if not np.array_equal(self.logits.argmax(1), self.labels):
            raise MismatchError("trained network: labels are not the largest logits", "label")
        return self

    def save(self, path: Path) -> None:
        """Write one compressed npz file."""
        alone = ("images", "logits", "labels", "tail")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in alone}
        for name in ("weights", "activations", "accumulators", "tables"):
            for i, array in enumerate(getattr(self, name)):
                arrays[f"{name}.{i}"] = array
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read what `save` wrote."""
        with np.load(path) as file:
            count = sum(name.startswith("weights.") for name in file.files)
            lists: dict[str, Any] = {
                name: tuple(file[f"{name}.{i}"] for i in range(count))
                for name in ("weights", "activations", "accumulators", "tables")
            }
            alone = {name: file[name] for name in ("images", "logits", "labels", "tail")}
        return cls(**lists, **alone)


def bipolar(bits: np.ndarray) -> np.ndarray:
    """Bits 0 and 1 as float32 -1 and +1; sums of up to 2**24 of them are exact."""
    return bits.astype(np.float32) * 2 - 1


def layer_name(i: int) -> str:
    """Name of matrix product i, the same in every stage."""
    return f"fc{i}"


def activation_name(i: int) -> str:
    """Name of the quantiser in front of matrix product i."""
    return "in0" if i == 0 else f"fc{i - 1}_act"


def first_difference(actual: np.ndarray, expected: np.ndarray) -> str:
    """Words for the first place where two (N, C) arrays differ, and how many places do."""
    places = np.argwhere(actual != expected)
    row, channel = places[0]
    return (
        f"image {row} channel {channel}: {actual[row, channel]} instead of "
        f"{expected[row, channel]} ({len(places)} of {actual.size} values differ)"
    )
