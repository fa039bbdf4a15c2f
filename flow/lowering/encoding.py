"""How the numbers in a graph follow from the integers of the bipolar network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow.errors import UserError
from flow.lowering.chain import Chain
from flow.lowering.golden import PIXELS, Window, activation_name, bipolar, domain_of, layer_name

TOP = 255  # largest value of a first activation of more than one bit
LIMIT = 2**28  # accumulators that are tried, over all rows


@dataclass(frozen=True, eq=False)
class Encoding:
    """How product i appears in a graph: target[r] = scale[r] * accumulator[r] + offset[r].

    `low` and `high` are the levels that stand for -1 and +1 in the source tensor or, where `top`
    is 255, for 0 and 255; `bits` are the weights as the graph has them, (MH, MW), `sign[r]` is -1
    where row r is the negative of the network's own; `fill` is what the value of a border stands
    for.
    """

    low: float
    high: float
    top: int
    bits: np.ndarray
    sign: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    fill: int = 0

    @property
    def columns(self) -> int:
        return self.bits.shape[1]

    @property
    def domain(self) -> np.ndarray:
        """Every accumulator."""
        return domain_of(self.columns, self.top)

    @classmethod
    def of(cls, chain: Chain, i: int, levels: np.ndarray, own: np.ndarray | None) -> Encoding:
        """Read product i; `levels` are the values its source takes, `own` the network's weights.

        `UserError` when operands are not of one bit, the first of not more than eight. Rows that
        are neither `own`'s nor their negatives get sign 0.
        """
        product = chain.products[i]
        name, title = product.node.name, layer_name(chain.windows, i)
        where = f"{activation_name(chain.windows, i)} (in front of node {name})"
        low, high, top = operand(levels, where, first=i == 0)
        fill = border_number(product.border, low, high, top, f"{title} (node {name})")
        if product.depthwise and top > 1:
            raise UserError(
                f"{title} (node {name}): a depthwise convolution of 8-bit numbers is not "
                "supported; supported is one of binary activations"
            )
        array = product.weights(chain.constants)
        bits = (array > 0).astype(np.uint8)
        if len(domain_of(bits.shape[1], top)) * len(bits) > LIMIT:
            raise UserError(
                f"{title} (node {name}): {bits.shape} weights on an input of 8 bits give more sums "
                f"than can be tried ({LIMIT}); use a binary input"
            )
        sign = np.ones(len(bits)) if own is None else _signs(bits, own)
        columns = bits.shape[1]
        if product.xnor:
            if not (np.isin(array, (0, 1)).all() and (low, high) == (0, 1)):
                raise UserError(f"{title} (node {name}): XNOR operands are not 0 and 1")
            half = np.full(len(bits), columns / 2)
            return cls(low, high, 1, bits, sign, sign / 2, half, fill)
        size = np.abs(array[:, :1])
        if not (size > 0).all() or not (np.abs(array) == size).all():
            raise UserError(
                f"{title} (node {name}): weights are not of one bit "
                f"({len(np.unique(array))} different values); train with binary weights"
            )
        if product.node.op_type == "XnorVVAU":  # counts equal signs
            half = np.full(len(bits), columns / 2)
            return cls(low, high, 1, bits, sign, sign / 2, half, fill)
        unit = size[:, 0].astype(np.float64) * product.factor
        zero, one = ((high + low) / 2, (high - low) / 2) if top == 1 else (low, (high - low) / top)
        offset = unit * zero * bipolar(bits).sum(1) + product.bias(chain.constants)
        return cls(low, high, top, bits, sign, unit * one * sign, offset, fill)

    def values(self, accumulators: np.ndarray) -> np.ndarray:
        """What the graph's tensor holds for accumulators (..., MH): float32."""
        return (accumulators * self.scale + self.offset).astype(np.float32)

    def accumulators(self, values: np.ndarray) -> np.ndarray:
        """The accumulators that the graph's tensor (..., MH) stands for; NaN where it is none."""
        exact = (values.astype(np.float64) - self.offset) / self.scale
        whole = np.rint(exact)
        slack = 0.0 if self.is_integer else 0.01
        return np.where(np.abs(exact - whole) <= slack, whole, np.nan)

    def activations(self, values: np.ndarray) -> np.ndarray:
        """The bits or numbers that the source tensor stands for; another one where it is none."""
        if self.top == 1:
            return np.where(values == self.high, 1, np.where(values == self.low, 0, 2))
        return whole_steps(values, self.low, (self.high - self.low) / self.top)

    @property
    def is_integer(self) -> bool:
        """Whether every value is a whole number of 256ths, which float32 holds exactly."""
        return bool(np.all(self.scale * 256 % 1 == 0) and np.all(self.offset * 256 % 1 == 0))


def tables(
    chain: Chain, own: tuple[np.ndarray, ...] | None, pixels: np.ndarray | None = None
) -> tuple[list[np.ndarray], list[Encoding], np.ndarray]:
    """Evaluate every segment on all that can arrive there.

    `pixels` are the numbers that stand for pixel values 0..255 at the graph's input, `own` the
    network's weights if known. Returns for each product the source tensor's values for each of its
    channels (D, C), its encoding, and then the scores (D, classes), in terms of the network's own
    accumulators.
    """
    entry = chain.model.graph.input[0].name
    channels = chain.model.get_tensor_shape(entry)[1 if chain.layouts[entry] == "NCHW" else -1]
    column = PIXELS.astype(np.float32) if pixels is None else pixels
    values = np.repeat(column[:, None], channels, axis=1)
    sources, encodings = [], []
    for i, product in enumerate(chain.products):
        sources.append(chain.evaluate(i, values))
        levels = np.unique(sources[-1])
        encodings.append(Encoding.of(chain, i, levels, own[i] if own else None))
        if product.columns != encodings[-1].columns:
            raise UserError(
                f"{layer_name(chain.windows, i)} (node {product.node.name}): its weights are for "
                f"{encodings[-1].columns} values, {product.shape[1:]} arrive"
            )
        values = encodings[-1].values(encodings[-1].domain[:, None])
    return sources, encodings, chain.evaluate(len(chain.products), values)


def windows_of(chain: Chain, encodings: list[Encoding]) -> tuple[Window, ...]:
    """What each product of a chain reads, the number in a border included."""
    pairs = zip(chain.windows, encodings, strict=True)
    return tuple(window._replace(fill=encoding.fill) for window, encoding in pairs)


def border_number(border: tuple[int, float], low: float, high: float, top: int, where: str) -> int:
    """What the value of a border stands for, 0 to `top`; `UserError` where it is none of these."""
    size, value = border
    step = (high - low) / top
    if size == 0:
        return 0
    number = int(whole_steps(np.array([value]), low, step)[0])
    if number > top:
        allowed = f"{low:g} and {high:g}" if top == 1 else f"{low:g} to {high:g} by {step:g}"
        raise UserError(
            f"{where}: pads its input with {value:g}, which takes the values {allowed}; pad with "
            "one of them (binary data with -1), or not at all"
        )
    return number


def operand(levels: np.ndarray, where: str, first: bool) -> tuple[float, float, int]:
    """(low, high, top) of a source that takes these values, ascending.

    Two levels stand for -1 and +1 (top 1); a constant one is taken for one of -v and +v. More
    levels, of the first source alone, are whole multiples of one step: 0 to 255 (top 255).
    """
    if len(levels) == 1:
        size = float(abs(levels[0])) or 1.0
        return (0.0, 1.0, 1) if levels[0] == 0 else (-size, size, 1)
    if len(levels) == 2:
        return float(levels[0]), float(levels[1]), 1
    if not first:
        raise UserError(
            f"{where}: activations take {len(levels)} different values, "
            "only those of one bit (two values) are supported"
        )
    low, step = float(levels[0]), float(np.diff(levels.astype(np.float64)).min())
    if (whole_steps(levels, low, step) > TOP).any():
        raise UserError(
            f"{where}: activations take {len(levels)} different values, supported are those of one "
            "bit (two values) and 0 to 255 steps of one size; give the input a quantiser of 8 bits "
            "whose scale is a power of two"
        )
    return low, low + step * TOP, TOP


def whole_steps(values: np.ndarray, low: float, step: float) -> np.ndarray:
    """(values - low) / step as integers; 256 where that is no integer from 0 to 255."""
    steps = (values.astype(np.float64) - low) / step
    return np.where((steps % 1 == 0) & (steps >= 0) & (steps <= TOP), steps, TOP + 1).astype(int)


def _signs(bits: np.ndarray, own: np.ndarray) -> np.ndarray:
    """+1 for a row equal to the network's own, -1 for its negative, 0 for neither."""
    if bits.shape != own.shape:
        return np.zeros(len(bits))
    same, opposite = (bits == own).all(1), (bits != own).all(1)
    return same.astype(float) - opposite
