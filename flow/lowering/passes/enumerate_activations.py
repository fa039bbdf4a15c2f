"""Replace every activation by the thresholds found by trying all values that can arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

from flow.errors import UserError
from flow.lowering.chain import Chain
from flow.lowering.encoding import Encoding, tables
from flow.lowering.golden import PIXELS, Golden, activation_name


class EnumerateActivations(Transformation):
    """Batch norm, scales and quantiser between two products become one threshold a channel.

    FINN derives thresholds by dividing float parameters, which can be off by one where a batch
    norm's zero lies at an accumulator, and is not defined for a scale of zero. Here the threshold
    is where the network's own function, tried on every value, steps from -1 to +1. It is placed
    half way between two values that can arrive, so that no later rounding moves it across one.
    Where the function steps down instead (negative scale), the row of weights in front of it is
    negated. The pixels' scaling is a part of the first activation and goes the same way; an input
    of 8 bits becomes the pixels as they are, or as many thresholds as there are steps.

    Expects a chain of Conv and MatMul with bipolar initialisers, channels first. Behind it are
    MultiThreshold, then MaxPool and Flatten where the segment has them. In front of the last
    product the levels that stood for -1 and +1 stay what they were, since the logits depend on
    them; elsewhere they are -1 and +1, or 0 to 255.
    """

    def __init__(self, golden: Golden):
        super().__init__()
        self.golden = golden

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        _, encodings, _ = tables(Chain.of(model), None)
        last = len(encodings) - 1
        thresholds = input_thresholds(self.golden)
        for i, table in enumerate(self.golden.tables):
            levels = levels_of(encodings[i], kept=i == last)
            if i > 0:
                name = activation_name(self.golden.windows, i)
                rising, steps = _steps(table, 1, name)
                _negate_rows(model, Chain.of(model).products[i - 1].node, ~rising)
                domain = self.golden.domain(i - 1)
                sums = domain[0] + (domain[1] - domain[0]) * (steps - 0.5)
                read_in = levels_of(encodings[i - 1], kept=False)
                before = Encoding.of(Chain.of(model), i - 1, read_in, None)
                thresholds = before.values(sums.T).T
            write_segment(model, Chain.of(model), i, thresholds, levels, encodings[i].fill)
        return model.transform(InferShapes()).transform(InferDataTypes()), False


def input_thresholds(golden: Golden) -> np.ndarray | None:
    """Thresholds (C, top) on pixels for the first activation; None where it is the pixels."""
    table = golden.tables[0]
    if golden.top > 1 and (table == PIXELS[:, None]).all():
        return None
    rising, steps = _steps(table, golden.top, "in0")
    if not rising.all():
        raise UserError(
            "in0: the input quantiser falls as pixels get brighter at channel "
            f"{np.argmin(rising)}; negate the first layer's weights instead"
        )
    return steps - 0.5


def levels_of(encoding: Encoding, kept: bool) -> np.ndarray:
    """The values that an activation takes, ascending: its own, or -1 and +1, or 0 to 255."""
    low, high = (-1.0, 1.0) if encoding.top == 1 else (0.0, float(encoding.top))
    if kept:
        low, high = encoding.low, encoding.high
    return np.linspace(low, high, encoding.top + 1)


def _steps(table: np.ndarray, top: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """For each column of a (D, C) table of 0 to top: does it rise; where it reaches 1 to top.

    The latter (C, top) are indices of rows, the table being read upwards. A falling column is read
    downwards, as it is after its accumulator's sign is changed. A constant one has its step before
    the first value or after the last: 0 or D.
    """
    change = np.diff(table.astype(np.int16), axis=0)
    rising = np.all(change >= 0, axis=0)
    falling = np.all(change <= 0, axis=0)
    if not (rising | falling).all():
        what = "between -1 and +1 more than once" if top == 1 else "up and down"
        raise UserError(
            f"{name}: channel {np.argmin(rising | falling)} changes {what}; only activations with "
            "thresholds that are passed once are supported"
        )
    return rising, np.stack([(table < level).sum(0) for level in range(1, top + 1)], axis=1)


def _negate_rows(model: ModelWrapper, product: NodeProto, rows: np.ndarray) -> None:
    """Change the sign of rows of the network's weights, which are columns of a MatMul's."""
    array = model.get_initializer(product.input[1]).copy()
    if product.op_type == "Conv":
        array[rows] *= -1
    else:
        array[:, rows] *= -1
    model.set_initializer(product.input[1], array)


def write_segment(
    model: ModelWrapper,
    chain: Chain,
    i: int,
    thresholds: np.ndarray | None,
    levels: np.ndarray,
    fill: int,
) -> None:
    """Write segment i anew: MultiThreshold, MaxPool, Flatten, Mul and Add, where there is a need.

    `thresholds` (C, top), None to leave the pixels as they are; `levels`, one more than there are
    thresholds, are the values that the product is to read, `levels[fill]` that of a border.
    """
    graph, product = model.graph, chain.products[i]
    start, end = chain.segment_start(i), chain.segment_end(i)
    pool = chain.windows[i].pool
    shape = list(model.get_tensor_shape(start))
    goal = list(model.get_tensor_shape(end))
    for node in chain.segments[i]:
        graph.node.remove(node)
    nodes: list[NodeProto] = []

    def tensor(value: np.ndarray) -> str:
        name = model.make_new_valueinfo_name()
        model.set_initializer(name, np.asarray(value, np.float32))
        return name

    def append(op: str, shape: list[int], *parameters: str, **attributes: Any) -> None:
        source = nodes[-1].output[0] if nodes else start
        target = model.make_new_valueinfo_name()
        info = helper.make_tensor_value_info(target, TensorProto.FLOAT, shape)
        graph.value_info.append(info)
        nodes.append(helper.make_node(op, [source, *parameters], [target], **attributes))

    top = len(levels) - 1
    middle, half = (levels[0] + levels[-1]) / 2, (levels[-1] - levels[0]) / 2
    if top > 1:
        middle, half = levels[0], (levels[-1] - levels[0]) / top
    if thresholds is not None:
        kind = ("BIPOLAR", 2.0, -1.0) if top == 1 else (f"UINT{top.bit_length()}", 1.0, 0.0)
        append(
            "MultiThreshold",
            shape,
            tensor(thresholds),
            domain="qonnx.custom_op.general",
            **dict(zip(("out_dtype", "out_scale", "out_bias"), kind, strict=True)),
        )
        model.set_tensor_datatype(nodes[-1].output[0], DataType[kind[0]])
    if pool > 1:
        shape = [*shape[:2], shape[2] // pool, shape[3] // pool]
        append("MaxPool", shape, kernel_shape=[pool] * 2, strides=[pool] * 2, pads=[0] * 4)
    if len(shape) == 4 and len(goal) == 2:
        append("Flatten", goal, axis=1)
    if half != 1:
        append("Mul", goal, tensor(half))
    if middle != 0:
        append("Add", goal, tensor(middle))
    reader = product.pad or product.node
    place = list(graph.node).index(reader)
    for node in reversed(nodes):
        graph.node.insert(place, node)
    reader.input[0] = nodes[-1].output[0] if nodes else start
    if product.pad is not None:
        del product.pad.input[2:]
        product.pad.input.append(tensor(levels[fill]))
