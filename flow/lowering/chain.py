"""A binary network's ONNX graph, at any stage of lowering, seen as a chain of matrix products.

    input -> segment 0 -> product 0 -> segment 1 -> product 1 -> ... -> tail -> output

`flow/lowering/product.py` reads each product, however it is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from flow.errors import UserError
from flow.lowering.golden import Window
from flow.lowering.onnx_run import Tensors, dynamic_tensors, run
from flow.lowering.product import (
    FIRST,
    LAST,
    PRODUCTS,
    SLIDERS,
    TO_FIRST,
    TO_LAST,
    VECTOR,
    Product,
    attribute,
    border_of,
    square,
)

POOLS = {"MaxPool": "kernel_shape", "MaxPoolNHWC": "kernel_shape", "Pool": "KernelSize"}
FLATTENING = ("Reshape", "Flatten")
ENDINGS = ("TopK", "LabelSelect")


@dataclass(frozen=True, eq=False)
class Chain:
    """`segments[i]` are the nodes in front of `products[i]`; the last one is the tail.

    `layouts` says for each tensor on the way where its channels are.
    """

    model: ModelWrapper
    products: list[Product]
    segments: list[list[NodeProto]]
    layouts: dict[str, str]

    @classmethod
    def of(cls, model: ModelWrapper) -> Chain:
        """Walk from the input to the output; `UserError` where the way forks or joins."""
        nodes = _way(model)
        tensor = model.graph.input[0].name
        layout = _layout_of_input(nodes) if _rank(model, tensor) == 4 else VECTOR
        layouts, flattened = {tensor: layout}, None
        products: list[Product] = []
        segments: list[list[NodeProto]] = [[]]
        slider: NodeProto | None = None
        pad: NodeProto | None = None
        border = (0, 0.0)
        for node, after in zip(nodes, [*nodes[1:], None], strict=True):
            if node.op_type in PRODUCTS:
                source, target = (pad or slider or node).input[0], node.output[0]
                shapes = _shape(model, source), flattened, _shape(model, target)
                products.append(Product(node, slider, pad, border, *shapes))
                segments.append([])
                slider, flattened, pad, border = None, None, None, (0, 0.0)
                layout = VECTOR if _rank(model, target) == 2 else layout
            elif node.op_type in SLIDERS and after is not None and after.op_type in PRODUCTS:
                slider = node
            elif node.op_type == "Pad":
                if after is None or after.op_type not in (*SLIDERS, *PRODUCTS):
                    raise UserError(
                        f"node {node.name} (Pad) pads what no convolution reads; supported is "
                        "padding directly in front of a convolution"
                    )
                pad, border = node, border_of(model, node, layout)
            else:
                segments[-1].append(node)
                if node.op_type == "Transpose":
                    layout = _transposed(node, layout)
                elif node.op_type in FLATTENING and layout in (FIRST, LAST):
                    channels_first = layout == FIRST and _rank(model, node.input[0]) == 4
                    flattened = _shape(model, node.input[0])[1:] if channels_first else None
                    layout = VECTOR
            layouts[_output(node)] = layout
        return cls(model, products, segments, layouts)

    @cached_property
    def constants(self) -> Tensors:
        """Every tensor that does not depend on the input."""
        dynamic = dynamic_tensors(self.model)
        nodes = [n for n in self.model.graph.node if n.output[0] not in dynamic]
        tensors = run(self.model, {}, 1, nodes)
        return {name: array for name, array in tensors.items() if name not in dynamic}

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """What each product reads, but for the number in a border, which is for an `Encoding`.

        `UserError` for kernels and pools that are not square.
        """
        return tuple(
            Window(*p.kernel, self.pool(i)[1], p.border[0], depthwise=p.depthwise)
            for i, p in enumerate(self.products)
        )

    def pool(self, i: int) -> tuple[NodeProto | None, int]:
        """The max-pool in segment i and its size, or None and 1."""
        pools = [n for n in self.segments[i] if n.op_type in POOLS]
        if len(pools) > 1:
            raise UserError(f"nodes {pools[0].name} and {pools[1].name} pool one after the other")
        return (pools[0], square(pools[0], POOLS[pools[0].op_type])) if pools else (None, 1)

    def segment_start(self, i: int) -> str:
        """The tensor that segment i reads: what product i-1 writes, or the input."""
        return self.products[i - 1].target if i else self.model.graph.input[0].name

    def segment_end(self, i: int) -> str:
        """The tensor that segment i writes: the input of product i, or the output."""
        if i < len(self.products):
            return self.products[i].source
        return self.tail_end

    @property
    def tail_end(self) -> str:
        """The tensor of scores: what TopK reads, or else the output."""
        last = self.segments[-1][-1] if self.segments[-1] else None
        if last is not None and last.op_type in ENDINGS:
            return last.input[0]
        return self.model.graph.output[0].name

    def input_of(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W, C) or (N, F) as the graph's input has them."""
        first = self.layouts[self.model.graph.input[0].name] == FIRST
        return images.transpose(TO_FIRST) if first and images.ndim == 4 else images

    def evaluate(self, i: int, values: np.ndarray) -> np.ndarray:
        """Run segment i on values (D, C) of its input's channels; return what it writes, (D, C).

        It is run on images of one pixel, on which pooling does nothing. `UserError` unless the
        segment treats all pixels alike, pools two-valued tensors, and keeps their order.
        """
        start = self.segment_start(i)
        nodes = [n for n in self.segments[i] if n.op_type not in ENDINGS]
        if not nodes:
            return values
        shapes = {
            name: _pixel(self.layouts[name], values.shape)
            for name in (start, *(_output(n) for n in nodes))
        }
        pool, _ = self.pool(i)
        pooling = [n for n in nodes if n.op_type in (*POOLS, *SLIDERS)]
        for node in nodes:
            self._refuse_positions(node, shapes)
        feeds = self.constants | {start: values.reshape(shapes[start])}
        tensors = run(self.model, feeds, len(values), nodes, shapes, pooling)
        result = tensors[self.segment_end(i)].reshape(values.shape)
        if pool is not None:
            _refuse_pool(pool, tensors[pool.input[0]].reshape(values.shape), result)
        return result

    def _refuse_positions(self, node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> None:
        """`UserError` where a node's numbers are not one a channel (of a vector: one an element).

        What a convolution writes has to be treated alike at every pixel.
        """
        name = next(x for x in node.input if x in shapes)
        shape, channels = shapes[name], max(shapes[name][1:])
        for constant in (x for x in node.input if x and x != name):
            array = self.constants.get(constant)
            if array is None or node.op_type in FLATTENING or node.op_type == "Clip":
                continue
            if node.op_type in ("BatchNormalization", "MultiThreshold", "Thresholding"):
                fits = array.shape[0] in (1, channels)
            else:
                fits = _broadcast(array.shape, shape) == shape
            if not fits:
                raise UserError(
                    f"node {node.name} ({node.op_type}) has parameters of shape {array.shape} for "
                    f"{channels} channels; supported is one number a channel"
                )

    def labels_of(self, tensors: Tensors) -> np.ndarray | None:
        """The labels, when the graph selects them itself."""
        last = self.segments[-1][-1] if self.segments[-1] else None
        if last is None or last.op_type not in ENDINGS:
            return None
        return tensors[self.model.graph.output[0].name].reshape(-1).astype(np.int64)

    def node_in_front(self, i: int) -> str:
        """Name of the last node of segment i, for messages."""
        return self.segments[i][-1].name if self.segments[i] else "the input"


def _way(model: ModelWrapper) -> list[NodeProto]:
    """The nodes between input and output, in order."""
    dynamic = dynamic_tensors(model)
    nodes: list[NodeProto] = []
    tensor = model.graph.input[0].name
    while tensor != model.graph.output[0].name:
        nodes.append(_next_node(model, tensor, dynamic))
        tensor = _output(nodes[-1])
    return nodes


def _output(node: NodeProto) -> str:
    return node.output[1] if node.op_type == "TopK" else node.output[0]


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


def _shape(model: ModelWrapper, tensor: str) -> Any:
    return tuple(model.get_tensor_shape(tensor) or ())


def _rank(model: ModelWrapper, tensor: str) -> int:
    return len(_shape(model, tensor))


def _layout_of_input(nodes: Iterable[NodeProto]) -> str:
    """Channels first, unless the first node that needs them last says otherwise."""
    swapped = False
    for node in nodes:
        if node.op_type == "Transpose":
            swapped = not swapped
        elif node.op_type in (*SLIDERS, *POOLS, *PRODUCTS):
            last = node.op_type not in ("Conv", "MaxPool", "Gemm")
            return LAST if last != swapped else FIRST
        elif node.op_type in FLATTENING:
            break
    return FIRST


def _transposed(node: NodeProto, layout: str) -> str:
    perm = list(attribute(node, "perm", []))
    if (layout, perm) == (FIRST, TO_LAST):
        return LAST
    if (layout, perm) == (LAST, TO_FIRST):
        return FIRST
    raise UserError(f"node {node.name} (Transpose) permutes {layout} by {perm}; not supported")


def _pixel(layout: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of `D` images of one pixel and C channels, `shape` being (D, C)."""
    rows, channels = shape
    return {
        FIRST: (rows, channels, 1, 1),
        LAST: (rows, 1, 1, channels),
        VECTOR: (rows, channels),
    }[layout]


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


def _refuse_pool(pool: NodeProto, before: np.ndarray, after: np.ndarray) -> None:
    """`UserError` unless what is pooled is of one bit, and the largest is the +1 behind it too.

    Then pooling is the OR of the bits, for whatever arrives.
    """
    levels = np.unique(before)
    if len(levels) > 2:
        raise UserError(
            f"node {pool.name} ({pool.op_type}) pools {len(levels)} different values, supported "
            "are those of one bit (two values); put the quantiser in front of the pooling"
        )
    if len(levels) == 2 and after[before == levels[0]].max() >= after[before == levels[1]].min():
        raise UserError(
            f"node {pool.name} ({pool.op_type}) takes the largest of what is negated behind it; "
            "give the scale between pooling and product a positive sign"
        )
