"""What the trained network computes: the values every later stage is compared with.

A network is seen as the chain

    pixels -> activations[0] -> weights[0] -> accumulators[0] -> activations[1] -> ... -> logits

in which an activation or weight bit of 0 stands for -1, of 1 for +1, and an accumulator is the dot
product of such +-1 values; the first activation may be a number of 8 bits instead. A product is a
convolution, of all channels or of each for itself (depthwise), or fully connected; bits may be
pooled in front of it, and a convolution's input may have a border. Besides the values for some
images it holds each activation function as a table over everything that can arrive, so that
equality can be shown for all inputs, not for the tested images alone.

Images are channels-last here, (N, H, W, C), whatever the network's own order is; the columns of a
convolution's weights are in the order ky, kx, c, those of a fully connected product behind an image
in the order y, x, c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flow.errors import MismatchError

PIXELS = np.arange(256)  # every value of a pixel


class Window(NamedTuple):
    """What a product reads: of an image pooled in squares of `pool`, windows of `kernel`.

    `kernel` is 0 for a fully connected product, which reads everything at once. The pooled image
    has a border of `pad` pixels; `fill` is the bit or number in it. Of a `depthwise` product each
    row of weights reads its own channel alone.
    """

    kernel: int = 0
    stride: int = 1
    pool: int = 1
    pad: int = 0
    fill: int = 0
    depthwise: bool = False

    @property
    def is_conv(self) -> bool:
        return self.kernel > 0

    def pooled(self, bits: np.ndarray) -> np.ndarray:
        """(N, H, W, C) -> (N, H // pool, W // pool, C): the largest of each square."""
        if self.pool == 1:
            return bits
        blocks = np.lib.stride_tricks.sliding_window_view(bits, (self.pool, self.pool), (1, 2))
        return blocks[:, :: self.pool, :: self.pool].max((-1, -2))

    def columns_of(self, values: np.ndarray) -> np.ndarray:
        """(N, ...) -> (N, ..., MW): the values as the rows of weights meet them."""
        if not self.is_conv:
            return values.reshape(len(values), -1)
        shape = (self.kernel, self.kernel)
        windows = np.lib.stride_tricks.sliding_window_view(values, shape, (1, 2))
        windows = windows[:, :: self.stride, :: self.stride].transpose(0, 1, 2, 4, 5, 3)
        return windows.reshape(*windows.shape[:3], prod(windows.shape[3:]))

    def sums(self, numbers: np.ndarray, weights: np.ndarray, top: int) -> np.ndarray:
        """(N, ...) -> (N, ..., MH): accumulators of bits (top 1) or of numbers of 0 to `top`."""
        if self.pad:
            border = [(0, 0), *[(self.pad, self.pad)] * 2, (0, 0)]
            numbers = np.pad(numbers, border, constant_values=self.fill)
        columns = self.columns_of(bipolar(numbers) if top == 1 else numbers.astype(np.float32))
        signs = bipolar(weights)
        if not self.depthwise:
            return columns @ signs.T
        return np.einsum(
            "...kc,ck->...c", columns.reshape(*columns.shape[:3], -1, len(signs)), signs
        )


@dataclass(frozen=True, eq=False)
class Golden:
    """Values of a network of L matrix products; N images, product i is MH_i x MW_i.

    `tables[0][v, c]` is the first activation where channel c of a pixel has value v, 0 or 1, or 0
    to `top` = 255; `tables[i][d, c]` for i > 0 is bit c of activation i where accumulator c of
    product i-1 is `domain(i - 1)[d]`, before pooling. `tail[d, c]` is in the same way the logit
    of class c. `activations` are what arrives at a product, behind the pooling.
    """

    images: np.ndarray  # uint8 (N, MW_0) or (N, H, W, C)
    weights: tuple[np.ndarray, ...]  # L of uint8 (MH_i, MW_i)
    activations: tuple[np.ndarray, ...]  # L of uint8 (N, MW_i) or (N, H, W, C)
    accumulators: tuple[np.ndarray, ...]  # L of int32 (N, MH_i) or (N, H', W', MH_i)
    logits: np.ndarray  # float32 (N, classes)
    labels: np.ndarray  # int64 (N,)
    tables: tuple[np.ndarray, ...]  # L of uint8 (256 or len(domain), channels)
    tail: np.ndarray  # float32 (len(domain(L - 1)), classes)
    windows: tuple[Window, ...]  # L
    top: int = 1  # largest value of the first activation

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int) -> Golden:
        """The same with the first `count` images alone."""
        return replace(
            self,
            images=self.images[:count],
            activations=tuple(x[:count] for x in self.activations),
            accumulators=tuple(x[:count] for x in self.accumulators),
            logits=self.logits[:count],
            labels=self.labels[:count],
        )

    def domain(self, i: int) -> np.ndarray:
        """Every accumulator of product i."""
        return domain_of(self.weights[i].shape[1], self.top if i == 0 else 1)

    @property
    def values(self) -> int:
        """Elements that are computed for one image, the windows of convolutions included."""
        sums = sum(x[0].size for x in self.accumulators)
        return sums + sum(
            w.shape[1] * x[0].size // len(w)
            for w, x in zip(self.weights, self.accumulators, strict=True)
        )

    def check(self) -> Golden:
        """Compare the parts with each other; `MismatchError` names the first that disagrees.

        The activations of the images must be what the tables say, the accumulators the products
        of activations and weights, the labels the largest logits. Returns the golden values.
        """
        rows = self.images.astype(np.int64)
        for i, weights in enumerate(self.weights):
            name, window = layer_name(self.windows, i), self.windows[i]
            bits = window.pooled(self.tables[i][rows, np.arange(self.tables[i].shape[1])])
            if not window.is_conv:
                bits = bits.reshape(len(bits), -1)
            if not np.array_equal(bits, self.activations[i]):
                place = first_difference(bits, self.activations[i])
                raise MismatchError(
                    f"trained network, {activation_name(self.windows, i)}: its activation "
                    f"function, evaluated on every value, differs from its run at {place}",
                    activation_name(self.windows, i),
                )
            sums = window.sums(bits, weights, self.top if i == 0 else 1)
            if not np.array_equal(sums, self.accumulators[i]):
                place = first_difference(sums, self.accumulators[i])
                raise MismatchError(
                    f"trained network, {name}: accumulators are not the product of its "
                    f"activations and weights at {place}",
                    name,
                )
            domain = self.domain(i)
            step = domain[1] - domain[0]
            rows = (self.accumulators[i].astype(np.int64) - domain[0]) // step
        if not np.array_equal(self.logits.argmax(1), self.labels):
            raise MismatchError("trained network: labels are not the largest logits", "label")
        return self

    def save(self, path: Path) -> None:
        """Write one compressed npz file."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ALONE}
        arrays |= {"windows": np.array(self.windows), "top": np.array(self.top)}
        for name in LISTS:
            for i, array in enumerate(getattr(self, name)):
                arrays[f"{name}.{i}"] = array
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read what `save` wrote."""
        with np.load(path) as file:
            rows = file["windows"].tolist()
            windows = tuple(Window(*row[:-1])._replace(depthwise=bool(row[-1])) for row in rows)
            lists: dict[str, Any] = {
                name: tuple(file[f"{name}.{i}"] for i in range(len(windows))) for name in LISTS
            }
            alone = {name: file[name] for name in ALONE}
            return cls(**lists, **alone, windows=windows, top=int(file["top"]))


ALONE = ("images", "logits", "labels", "tail")
LISTS = ("weights", "activations", "accumulators", "tables")


def domain_of(columns: int, top: int) -> np.ndarray:
    """Every sum of `columns` terms, ascending: of -1 and +1, or of -top, ..., top."""
    if top == 1:
        return 2 * np.arange(columns + 1) - columns
    return np.arange(-top * columns, top * columns + 1)


def bipolar(bits: np.ndarray) -> np.ndarray:
    """Bits 0 and 1 as float32 -1 and +1; sums of up to 2**24 of them are exact."""
    return bits.astype(np.float32) * 2 - 1


def layer_name(windows: Sequence[Window], i: int) -> str:
    """Name of matrix product i, the same in every stage."""
    return f"{'conv' if windows[i].is_conv else 'fc'}{i}"


def activation_name(windows: Sequence[Window], i: int) -> str:
    """Name of the quantiser in front of matrix product i."""
    return "in0" if i == 0 else f"{layer_name(windows, i - 1)}_act"


def first_difference(actual: np.ndarray, expected: np.ndarray) -> str:
    """Words for the first place where two (N, C) or (N, H, W, C) arrays differ, and how many do."""
    if actual.shape != expected.shape:
        return f"shape {actual.shape} instead of {expected.shape}"
    places = np.argwhere(actual != expected)
    place = tuple(places[0])
    names = ("image", "channel") if len(place) == 2 else ("image", "row", "column", "channel")
    return (
        f"{' '.join(f'{n} {x}' for n, x in zip(names, place, strict=True))}: {actual[place]} "
        f"instead of {expected[place]} ({len(places)} of {actual.size} values differ)"
    )
