"""A binary network's ONNX graph, at any stage of lowering, seen as a chain of matrix products.

    input -> segment 0 -> product 0 -> segment 1 -> product 1 -> ... -> tail -> output

A product may be written as Gemm, MatMul, XnorPopcountMatMul or FINN's MVAU, and its operands as
-1/+1, 0/1 or any two levels; `Encoding` says how the numbers in the graph follow from the integer
accumulators of the bipolar network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper

from flow.errors import UserError
from flow.lowering.golden import PIXELS, activation_name, bipolar, layer_name
from flow.lowering.onnx_run import Tensors, dynamic_tensors, run

XNOR = ("XnorPopcountMatMul", "MVAU")
PRODUCTS = ("Gemm", "MatMul", *XNOR)


@dataclass(frozen=True, eq=False)
class Product:
    """One matrix product; its weights are a tensor that does not depend on the input."""

    node: NodeProto

    @property
    def source(self) -> str:
        return self.node.input[0]

    @property
    def target(self) -> str:
        return self.node.output[0]

    @property
    def xnor(self) -> bool:
        return self.node.op_type in XNOR

    def weights(self, tensors: Tensors) -> np.ndarray:
        """Its weights as the graph has them, (MH, MW)."""
        array = tensors[self.node.input[1]]
        return array if _attribute(self.node, "transB", 0) else array.T

    def bias(self, tensors: Tensors) -> np.ndarray | float:
        """What it adds to each row of the product, a scalar or (MH,)."""
        if self.node.op_type != "Gemm" or len(self.node.input) < 3:
            return 0.0
        return tensors[self.node.input[2]] * _attribute(self.node, "beta", 1.0)

    @property
    def factor(self) -> float:
        return _attribute(self.node, "alpha", 1.0) if self.node.op_type == "Gemm" else 1.0


@dataclass(frozen=True, eq=False)
class Chain:
    """`segments[i]` are the nodes in front of `products[i]`; the last one is the tail."""

    model: ModelWrapper
    products: list[Product]
    segments: list[list[NodeProto]]

    @classmethod
    def of(cls, model: ModelWrapper) -> Chain:
        """Walk from the input to the output; `UserError` where the way forks or joins."""
        dynamic = dynamic_tensors(model)
        products: list[Product] = []
        segments: list[list[NodeProto]] = [[]]
        tensor = model.graph.input[0].name
        while tensor != model.graph.output[0].name:
            node = _next_node(model, tensor, dynamic)
            if node.op_type in PRODUCTS:
                products.append(Product(node))
                segments.append([])
            else:
                segments[-1].append(node)
            tensor = node.output[1] if node.op_type == "TopK" else node.output[0]
        return cls(model, products, segments)

    @cached_property
    def constants(self) -> Tensors:
        """Every tensor that does not depend on the input."""
        dynamic = dynamic_tensors(self.model)
        nodes = [n for n in self.model.graph.node if n.output[0] not in dynamic]
        tensors = run(self.model, {}, 1, nodes)
        return {name: array for name, array in tensors.items() if name not in dynamic}

    def segment_end(self, i: int) -> str:
        """The tensor that segment i writes: the input of product i, or the output."""
        if i < len(self.products):
            return self.products[i].source
        return self.tail_end

    @property
    def tail_end(self) -> str:
        """The tensor of scores: what TopK reads, or else the output."""
        last = self.segments[-1][-1] if self.segments[-1] else None
        if last is not None and last.op_type in ("TopK", "LabelSelect"):
            return last.input[0]
        return self.model.graph.output[0].name

    def evaluate(self, i: int, values: np.ndarray) -> np.ndarray:
        """Run segment i on its input tensor `values` (D, C) and return what it writes, (D, C')."""
        start = self.products[i - 1].target if i else self.model.graph.input[0].name
        nodes = [n for n in self.segments[i] if n.op_type not in ("TopK", "LabelSelect")]
        if not nodes:
            return values
        feeds = self.constants | {start: values}
        return run(self.model, feeds, len(values), nodes)[self.segment_end(i)]

    def labels_of(self, tensors: Tensors) -> np.ndarray | None:
        """The labels, when the graph selects them itself."""
        last = self.segments[-1][-1] if self.segments[-1] else None
        if last is None or last.op_type not in ("TopK", "LabelSelect"):
            return None
        return tensors[self.model.graph.output[0].name].reshape(-1).astype(np.int64)

    def node_in_front(self, i: int) -> str:
        """Name of the last node of segment i, for messages."""
        return self.segments[i][-1].name if self.segments[i] else "the input"


@dataclass(frozen=True, eq=False)
class Encoding:
    """How product i appears in a graph: target[r] = scale[r] * accumulator[r] + offset[r].

    `low` and `high` are the levels that stand for -1 and +1 in the source tensor; `bits` are the
    weights as the graph has them, (MH, MW), `sign[r]` is -1 where row r is the negative of the
    network's own.
    """

    low: float
    high: float
    bits: np.ndarray
    sign: np.ndarray
    scale: np.ndarray
    offset: np.ndarray

    @property
    def columns(self) -> int:
        return self.bits.shape[1]

    @classmethod
    def of(cls, chain: Chain, i: int, levels: np.ndarray, own: np.ndarray | None) -> Encoding:
        """Read product i; `levels` are the values its source takes, `own` the network's weights.

        `UserError` when operands are not of one bit. Rows that are neither `own`'s nor their
        negatives get sign 0.
        """
        product = chain.products[i]
        name = product.node.name
        low, high = _two_levels(levels, f"{activation_name(i)} (in front of node {name})")
        array = product.weights(chain.constants)
        bits = (array > 0).astype(np.uint8)
        sign = np.ones(len(bits)) if own is None else _signs(bits, own)
        columns = bits.shape[1]
        if product.xnor:
            if not (np.isin(array, (0, 1)).all() and (low, high) == (0, 1)):
                raise UserError(f"{layer_name(i)} (node {name}): XNOR operands are not 0 and 1")
            return cls(low, high, bits, sign, sign / 2, np.full(len(bits), columns / 2))
        size = np.abs(array[:, :1])
        if not (size > 0).all() or not (np.abs(array) == size).all():
            raise UserError(
                f"{layer_name(i)} (node {name}): weights are not of one bit "
                f"({len(np.unique(array))} different values); train with binary weights"
            )
        unit = size[:, 0].astype(np.float64) * product.factor
        middle, half = (high + low) / 2, (high - low) / 2
        offset = unit * middle * bipolar(bits).sum(1) + product.bias(chain.constants)
        return cls(low, high, bits, sign, unit * half * sign, offset)

    def values(self, accumulators: np.ndarray) -> np.ndarray:
        """What the graph's tensor holds for accumulators (N, MH): float32."""
        return (accumulators * self.scale + self.offset).astype(np.float32)

    def accumulators(self, values: np.ndarray) -> np.ndarray:
        """The accumulators that the graph's tensor (N, MH) stands for; NaN where it is none."""
        exact = (values.astype(np.float64) - self.offset) / self.scale
        whole = np.rint(exact)
        slack = 0.0 if self.is_integer else 0.01
        return np.where(np.abs(exact - whole) <= slack, whole, np.nan)

    def activations(self, values: np.ndarray) -> np.ndarray:
        """The bits that the source tensor stands for; 2 where it is neither level."""
        return np.where(values == self.high, 1, np.where(values == self.low, 0, 2))

    @property
    def is_integer(self) -> bool:
        """Whether every value is a whole or half number, which float32 holds exactly."""
        return bool(np.all(self.scale * 2 % 1 == 0) and np.all(self.offset * 2 % 1 == 0))


def domain_of(columns: int) -> np.ndarray:
    """Every accumulator of a product of `columns` terms, ascending: -columns, ..., +columns."""
    return 2 * np.arange(columns + 1) - columns


def tables(
    chain: Chain, own: tuple[np.ndarray, ...] | None, pixels: np.ndarray | None = None
) -> tuple[list[np.ndarray], list[Encoding], np.ndarray]:
    """Evaluate every segment on all that can arrive there.

    `pixels` are the numbers that stand for pixel values 0..255 at the graph's input, `own` the
    network's weights if known. Returns for each product the source tensor's values (D, MW), its
    encoding, and then the scores (MW + 1, classes), in terms of the network's own accumulators.
    """
    inputs = chain.model.get_tensor_shape(chain.model.graph.input[0].name)[-1]
    column = PIXELS.astype(np.float32) if pixels is None else pixels
    values = np.repeat(column[:, None], inputs, axis=1)
    sources, encodings = [], []
    for i in range(len(chain.products)):
        sources.append(chain.evaluate(i, values))
        levels = np.unique(sources[-1])
        encodings.append(Encoding.of(chain, i, levels, own[i] if own else None))
        if sources[-1].shape[1:] != (encodings[-1].columns,):
            raise UserError(
                f"{layer_name(i)} (node {chain.products[i].node.name}): its weights are for "
                f"{encodings[-1].columns} values, {sources[-1].shape[1:]} arrive"
            )
        values = encodings[-1].values(domain_of(encodings[-1].columns)[:, None])
    return sources, encodings, chain.evaluate(len(chain.products), values)


def _next_node(model: ModelWrapper, tensor: str, dynamic: set[str]) -> NodeProto:
    """The only node that reads `tensor`."""
    readers = model.find_consumers(tensor) or []
    if len(readers) != 1:
        names = " and ".join(f"{n.op_type} {n.name}" for n in readers) or "nothing"
        raise UserError(
            f"tensor {tensor} is read by {names}; a network must be one chain, "
            "branches and residual connections are not supported"
        )
    node = readers[0]
    if len(dynamic.intersection(node.input)) > 1:
        raise UserError(
            f"node {node.name} ({node.op_type}) joins two branches; "
            "a network must be one chain, residual connections are not supported"
        )
    return node


def _attribute(node: NodeProto, name: str, default: float) -> float:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default


def _two_levels(levels: np.ndarray, where: str) -> tuple[float, float]:
    """The two values of a binary tensor; a constant one is taken for one of -v and +v."""
    if len(levels) == 1:
        size = float(abs(levels[0])) or 1.0
        return (0.0, 1.0) if levels[0] == 0 else (-size, size)
    if len(levels) != 2:
        raise UserError(
            f"{where}: activations take {len(levels)} different values, "
            "only those of one bit (two values) are supported"
        )
    return float(levels[0]), float(levels[1])


def _signs(bits: np.ndarray, own: np.ndarray) -> np.ndarray:
    """+1 for a row equal to the network's own, -1 for its negative, 0 for neither."""
    if bits.shape != own.shape:
        return np.zeros(len(bits))
    same, opposite = (bits == own).all(1), (bits != own).all(1)
    return same.astype(float) - opposite
