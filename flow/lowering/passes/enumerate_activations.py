"""Replace every activation by the thresholds found by trying all values that can arrive."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes

from flow.errors import UserError
from flow.lowering.chain import Chain, Encoding, tables
from flow.lowering.golden import Golden, activation_name


class EnumerateActivations(Transformation):
    """Batch norm, scales and quantiser between two products become one threshold a channel.

    FINN derives thresholds by dividing float parameters, which can be off by one where a batch
    norm's zero lies at an accumulator, and is not defined for a scale of zero. Here the threshold
    is where the network's own function, tried on every value, steps from -1 to +1. It is placed
    half way between two values that can arrive, so that no later rounding moves it across one.
    Where the function steps down instead (negative scale), the row of weights in front of it is
    negated. The pixels' scaling is a part of the first activation and goes the same way.

    Expects a chain of MatMul with bipolar initialisers. The levels that stood for -1 and +1 stay
    what they were.
    """

    def __init__(self, golden: Golden):
        super().__init__()
        self.golden = golden

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        _, encodings, _ = tables(Chain.of(model), None)
        levels = [np.array([e.low, e.high]) for e in encodings]
        for i, table in enumerate(self.golden.tables):
            rising, steps = _steps(table, activation_name(i))
            thresholds = steps - 0.5
            chain = Chain.of(model)
            if i == 0:
                if not rising.all():
                    raise UserError(
                        "in0: the input quantiser falls as pixels get brighter at channel "
                        f"{np.argmin(rising)}; negate the first layer's weights instead"
                    )
            else:
                _negate_rows(model, chain.products[i - 1].node.input[1], ~rising)
                before = Encoding.of(Chain.of(model), i - 1, levels[i - 1], None)
                thresholds = before.values(2 * thresholds - before.columns)
            _replace(model, chain, i, thresholds, levels[i])
        return model.transform(InferShapes()).transform(InferDataTypes()), False


def _steps(table: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """For each column of a (D, C) table of bits: does it rise, and its first 1 when read upwards.

    A falling column is read downwards, as it is after its accumulator's sign is changed. A
    constant one has its step before the first value or after the last: 0 or D.
    """
    change = np.diff(table.astype(np.int8), axis=0)
    rising = np.all(change >= 0, axis=0)
    falling = np.all(change <= 0, axis=0)
    if not (rising | falling).all():
        raise UserError(
            f"{name}: channel {np.argmin(rising | falling)} changes between -1 and +1 more than "
            "once; only activations with one threshold are supported"
        )
    return rising, len(table) - table.sum(0, dtype=np.int64)


def _negate_rows(model: ModelWrapper, weights: str, rows: np.ndarray) -> None:
    """Change the sign of rows of the network's weights, which are columns of the MatMul's."""
    array = model.get_initializer(weights).copy()
    array[:, rows] *= -1
    model.set_initializer(weights, array)


def _replace(
    model: ModelWrapper, chain: Chain, i: int, thresholds: np.ndarray, levels: np.ndarray
) -> None:
    """Put MultiThreshold (-1/+1), and a Mul and Add to the given levels, in place of segment i."""
    graph = model.graph
    start = chain.products[i - 1].target if i else graph.input[0].name
    end = chain.products[i].source
    shape = model.get_tensor_shape(end)
    for node in chain.segments[i]:
        graph.node.remove(node)
    place = list(graph.node).index(chain.products[i].node)

    def tensor(value: np.ndarray) -> str:
        name = model.make_new_valueinfo_name()
        model.set_initializer(name, np.asarray(value, np.float32))
        return name

    def insert(op: str, source: str, parameter: str, last: bool, **attributes) -> str:
        nonlocal place
        target = end if last else model.make_new_valueinfo_name()
        if not last:
            info = helper.make_tensor_value_info(target, TensorProto.FLOAT, shape)
            graph.value_info.append(info)
        graph.node.insert(place, helper.make_node(op, [source, parameter], [target], **attributes))
        place += 1
        return target

    middle, half = levels.mean(), (levels[1] - levels[0]) / 2
    bits = insert(
        "MultiThreshold",
        start,
        tensor(thresholds[:, None]),
        last=(middle == 0 and half == 1),
        domain="qonnx.custom_op.general",
        out_dtype="BIPOLAR",
        out_scale=2.0,
        out_bias=-1.0,
    )
    model.set_tensor_datatype(bits, DataType["BIPOLAR"])
    if half != 1:
        bits = insert("Mul", bits, tensor(half), last=(middle == 0))
    if middle != 0:
        insert("Add", bits, tensor(middle), last=True)
