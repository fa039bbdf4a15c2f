"""Lowering of networks that branch: students of ours, files by hand, what is refused and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from convolutions import images, student
from networks import Builder
from onnx import ModelProto
from torch import nn

from flow import reference
from flow.errors import MismatchError, UserError
from flow.graph import Graph
from flow.lowering import branch_check, export, foreign, lower, traces
from flow.lowering.branched import Reading
from flow.lowering.golden import Golden
from flow.lowering.traces import Traces

SHAPE = (1, 8, 8)
RESIDUAL = {"convolutions": ((4,), (6, 6, 6)), "padding": 1, "shortcuts": True, "hidden": (5,)}
STUDENTS = {
    "8 bits, sums over the pixels": RESIDUAL | {"input": "pixels", "average": True},
    "1 bit, flattened": RESIDUAL,
    "depthwise separable": RESIDUAL | {"separable": True, "average": True},
}


def rising(network: nn.Module) -> nn.Module:
    """Batch norms beside shortcuts have positive scales, as they do after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.abs_()
    return network


@pytest.mark.parametrize("options", STUDENTS.values(), ids=STUDENTS.keys())
def test_students(options, tmp_path):
    network = rising(student(SHAPE, **options))
    assert network.shortcuts
    file, few = tmp_path / "net.onnx", images(8, SHAPE)
    export.export(network, SHAPE, file)
    golden = lower.golden_of(network, few, file)
    assert isinstance(golden, Traces)
    golden.save(tmp_path / "golden.npz")
    lowered = lower.lower(file, lower.load_golden(tmp_path / "golden.npz"))
    assert lowered.graph.branches and lowered.passes[0]["mismatches"] == 0
    many = images(200, SHAPE, seed=1)
    labels = reference.labels(lowered.graph, many)
    assert np.array_equal(labels, export.predict(network, many))
    assert np.array_equal(labels, foreign.labels(file, many))
    assert len(np.unique(labels)) > 1
    lower.lower(file, foreign.golden(file, few))  # the file alone says the same


def test_a_chain_is_no_network_that_branches(tmp_path):
    network = student((1, 3, 4), hidden=(5,))
    file, few = tmp_path / "net.onnx", images(4, (1, 3, 4))
    export.export(network, (1, 3, 4), file)
    lower.golden_of(network, few, file).save(tmp_path / "golden.npz")
    assert isinstance(lower.load_golden(tmp_path / "golden.npz"), Golden)


class Block:
    """Files of one block: bits of 4 x 4 pixels in two channels, products side by side."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.b = Builder()
        scaled = self.b.node("Mul", "image", self.b.constant(2.0))
        self.bits = self.sign(self.b.node("Sub", scaled, self.b.constant(1.0)))

    def sign(self, tensor: str, scale: float = 1.0) -> str:
        return self.b.node("BipolarQuant", tensor, self.b.constant([scale]))

    def conv(self, tensor: str, rows: int = 3, columns: int = 2, scale: float = 1.0) -> str:
        weights = self.b.constant(self.rng.uniform(-1, 1, (rows, columns, 1, 1)))
        weights = self.b.node("BipolarQuant", weights, self.b.constant([scale]))
        return self.b.node("Conv", tensor, weights, kernel_shape=[1, 1])

    def norm(self, tensor: str, scales: list[float], shift: float = 0.3) -> str:
        size = len(scales)
        values = scales, np.full(size, shift), np.zeros(size), np.full(size, 4.0)
        parameters = [self.b.constant(x) for x in values]
        return self.b.node("BatchNormalization", tensor, *parameters, epsilon=1e-5)

    def dense(self, tensor: str, columns: int) -> str:
        weights = self.b.constant(self.rng.uniform(-1, 1, (4, columns)))
        weights = self.b.node("BipolarQuant", weights, self.b.constant([1.0]))
        return self.b.node("Gemm", tensor, weights, transB=1)

    def flat(self, tensor: str) -> str:
        return self.b.node("Flatten", tensor, axis=1)

    def model(self, output: str) -> ModelProto:
        return self.b.model((1, 2, 4, 4), output, (1, 4))


def two_products(join: str = "Add", second: float = 1.0) -> ModelProto:
    x = Block()
    tensor = x.b.node(join, x.conv(x.bits), x.conv(x.bits, scale=second))
    return x.model(x.dense(x.flat(x.sign(tensor)), 48))


def shortcut_of_bits() -> ModelProto:
    x = Block()
    bits = x.sign(x.conv(x.bits, 3))
    tensor = x.b.node("Add", x.conv(bits, 3, 3), bits)
    return x.model(x.dense(x.flat(x.sign(x.norm(tensor, [1.0, 0.5, 2.0]))), 48))


def falling_behind_a_sum() -> ModelProto:
    """No other way than to turn the weights that read the bits."""
    x = Block()
    tensor = x.b.node("Add", x.conv(x.bits), x.conv(x.bits))
    bits = x.sign(x.norm(tensor, [1.0, -0.5, -2.0]))
    tensor = x.b.node("Add", x.conv(bits, 3, 3), tensor)
    return x.model(x.dense(x.flat(x.sign(tensor)), 48))


def average(op: str = "GlobalAveragePool", of: str = "bits", sign: bool = True) -> ModelProto:
    x = Block()
    tensor = x.b.node("Add", x.conv(x.bits), x.conv(x.bits))
    tensor = x.sign(tensor) if of == "bits" else tensor
    attributes = {} if op == "GlobalAveragePool" else {"axes": [2, 3], "keepdims": 0}
    tensor = x.b.node(op, tensor, **attributes)
    tensor = x.flat(tensor) if op == "GlobalAveragePool" else tensor
    return x.model(x.dense(x.sign(x.norm(tensor, [1.0, -0.5, 2.0], 0.1)) if sign else tensor, 3))


FILES = {
    "two products": two_products(),
    "shortcut of bits": shortcut_of_bits(),
    "falling behind a sum": falling_behind_a_sum(),
    "mean of bits, as numbers": average(sign=False),
    "mean of bits, quantised": average(),
    "mean of sums": average("ReduceMean", "sums"),
}


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("model", FILES.values(), ids=FILES.keys())
def test_files(model, tmp_path):
    path = saved(model, tmp_path)
    lowered = lower.lower(path, foreign.golden(path, images(6, (2, 4, 4))))
    many = images(200, (2, 4, 4), seed=2)
    labels = reference.labels(lowered.graph, many)
    assert np.array_equal(labels, foreign.labels(path, many))


def joined(change: str) -> ModelProto:
    x = Block()
    a, b = x.conv(x.bits), x.conv(x.bits)
    if change == "norm":
        b = x.norm(b, [1.0, 2.0, 1.0])
    elif change == "channels":
        b = x.conv(x.bits, 1)
    elif change == "negative":
        a, b = (x.b.node("Mul", t, x.b.constant(-1.0)) for t in (a, b))
    elif change == "quantiser":
        b = x.b.node("Clip", b, x.b.constant(-1.5), x.b.constant(1.0))
    elif change == "same":
        b = x.norm(a, [2.0, 2.0, 2.0])
    return x.model(x.dense(x.flat(x.sign(x.b.node("Add", a, b))), 48))


def pooled() -> ModelProto:
    x = Block()
    tensor = x.b.node("Add", x.conv(x.bits), x.conv(x.bits))
    bits = x.sign(x.norm(tensor, [1.0, -1.0, 1.0]))
    tensor = x.b.node("MaxPool", bits, kernel_shape=[2, 2], strides=[2, 2])
    return x.model(x.dense(x.flat(tensor), 12))


REFUSED = {
    "scales": (two_products(second=0.5), "adds values of different steps (2 of conv0 and 1 of"),
    "join": (two_products("Mul"), "supported is Add of two different tensors"),
    "norm on the shortcut": (joined("norm"), "with nothing between but scales"),
    "broadcast": (joined("channels"), "adds tensors of different shapes"),
    "negative": (joined("negative"), "keep the scales in front of a sum positive"),
    "bent": (joined("quantiser"), "do not rise in equal steps"),
    "twice the same": (joined("same"), "adds two functions of conv0"),
    "pool of falling bits": (pooled(), "a positive batch norm scale behind a sum"),
}


@pytest.mark.parametrize("model, reason", REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(model, reason, tmp_path):
    with pytest.raises(UserError) as refused:
        foreign.read(saved(model, tmp_path))
    line = str(refused.value)
    assert reason in line and line.startswith("node ") and "\n" not in line


def test_a_mean_that_float_rounds_is_refused(tmp_path):
    """Sums over nine pixels as numbers: their ninths are rounded, and ties of logits with them."""
    x = Block()
    bits = x.sign(x.b.node("Add", x.conv(x.bits), x.conv(x.bits)))
    tensor = x.flat(x.b.node("GlobalAveragePool", bits))
    model = x.b.model((1, 2, 3, 3), x.dense(tensor, 3), (1, 4))
    with pytest.raises(UserError, match="in steps finer than"):
        foreign.read(saved(model, tmp_path))


def _graph(folder: Path) -> tuple[Reading, np.ndarray, np.ndarray, Traces]:
    path = saved(falling_behind_a_sum(), folder)
    source, few = foreign.read(path), images(6, (2, 4, 4))
    reading, golden = source.reading, foreign.golden(path, few)
    assert isinstance(golden, Traces)
    return reading, source.pixels[few], reading.graph.arrange(few), golden


def broken(graph: Graph, name: str, array: str) -> Graph:
    layer = graph.layer(name)
    values = getattr(layer, array).copy()
    if array == "weights":
        values[0, 0] = 1 - values[0, 0]
    else:
        values += 1  # one channel's sums may never lie at its threshold
    layers = tuple(type(x)(**{**vars(x), array: values}) if x.name == name else x for x in graph)
    return Graph(graph.name, layers, graph.streams, graph.input, graph.output)


@pytest.mark.parametrize("name, array", [("conv2", "weights"), ("add0_act", "thresholds")])
def test_comparison_sees_a_wrong_number(name, array, tmp_path):
    reading, inputs, arranged, golden = _graph(tmp_path)
    assert branch_check.compare(reading, inputs, arranged, golden) > 0
    reading.graph = broken(reading.graph, name, array)
    with pytest.raises(MismatchError, match="the graph's"):
        branch_check.compare(reading, inputs, arranged, golden)


def test_comparison_sees_another_network(tmp_path):
    reading, inputs, arranged, golden = _graph(tmp_path)
    outputs = tuple(x + (i == 1) for i, x in enumerate(golden.outputs))
    other = Traces(golden.images, golden.weights, outputs, golden.logits)
    with pytest.raises(MismatchError, match="gives other numbers than the network"):
        branch_check.compare(reading, inputs, arranged, other)
    other = Traces(golden.images, golden.weights, golden.outputs, np.roll(golden.logits, 1, 1))
    with pytest.raises(MismatchError, match="another label"):
        branch_check.compare(reading, inputs, arranged, other)


def test_torch_students_of_any_make(tmp_path):
    """The trace of a student that is run twice with one product is refused."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = student((1, 3, 4), hidden=(5,))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) + self.inner(x)

    with pytest.raises(UserError, match="each of its products once"):
        traces.of_student(Twice(), images(2, (1, 3, 4)))
