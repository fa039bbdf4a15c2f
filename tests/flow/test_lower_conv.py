"""Lowering convolutional networks: students of ours, of brevitas, and files in many writings."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from brevitas.nn import QuantConv2d
from brevitas_examples.bnn_pynq.models.CNV import CNV
from convolutions import ConvNetwork, images, student
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lower import Sabotage, shift_threshold
from torch import nn

from flow import reference
from flow.errors import MismatchError, UserError
from flow.graph import Graph
from flow.lowering import export, foreign, hardware
from flow.lowering import lower as lower_module
from flow.lowering.chain import Chain
from flow.lowering.golden import Golden
from flow.lowering.lower import lower

STUDENTS = {
    "8 bits, odd size, pool": ((2, 11, 9), {"input": "pixels", "convolutions": ((6,), (5,))}),
    "1 bit, two a block": ((1, 13, 12), {"convolutions": ((4, 5), (7,))}),
    "8 bits, no pool": ((3, 6, 7), {"input": "pixels", "convolutions": ((6, 4),)}),
    "1 bit, one pixel left": ((1, 5, 5), {"convolutions": ((6, 8),)}),
    "8 bits, fully connected": ((1, 3, 4), {"input": "pixels"}),
    "8 bits, borders, depthwise": (
        (2, 9, 8),
        {"input": "pixels", "convolutions": ((6, 5), (4,)), "padding": 1, "separable": True},
    ),
    "1 bit, wide borders, depthwise": (
        (1, 8, 7),
        {"convolutions": ((4, 6),), "kernel": 5, "padding": 2, "separable": True},
    ),
}


@pytest.mark.parametrize("shape, options", STUDENTS.values(), ids=STUDENTS.keys())
def test_students(shape, options, tmp_path):
    network = student(shape, hidden=(9,), **options)
    file, few = tmp_path / "net.onnx", images(12, shape)
    export.export(network, shape, file)
    golden = export.golden(network, few)
    equal_golden(golden, foreign.golden(file, few))
    lowered = lower(file, golden)
    many = images(300, shape, seed=1)
    labels = reference.labels(lowered.graph, many)
    assert np.array_equal(labels, export.predict(network, many))
    assert len(np.unique(labels)) > 1
    equal_finn(lowered, many[:5])
    assert all(p["mismatches"] == 0 and p["images"] == 12 for p in lowered.passes)


def equal_golden(ours: Golden, theirs: Golden) -> None:
    assert ours.windows == theirs.windows and ours.top == theirs.top
    for name in ("weights", "activations", "accumulators", "tables"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert np.array_equal(a, b), name


def equal_finn(lowered: lower_module.Lowered, some: np.ndarray) -> None:
    """Every stream of the reference is what FINN's NumPy semantics give."""
    pixels = lowered.graph.arrange(some)
    finn = hardware.execute(lowered.hardware, pixels)
    ours = reference.execute(lowered.graph, pixels)
    assert list(finn) == list(ours) == list(lowered.graph.streams)
    for name, values in ours.items():
        assert np.array_equal(finn[name], values), name


FILES = {
    "pixels less 128": ConvNetwork(),
    "one bit": ConvNetwork(input="binary"),
    "Q1.7 of 2x-1": ConvNetwork(input="signed"),
    "six values of eight bits": ConvNetwork(input="steps"),
    "bias": ConvNetwork(bias=True),
    "scaled weights": ConvNetwork(weight_scale=0.25),
    "scaled activations": ConvNetwork(activation_scale=0.5),
    "attributes left out": ConvNetwork(defaults=True),
    "Reshape, open batch": ConvNetwork(flatten="Reshape", batch="N"),
    "strides": ConvNetwork(image=(1, 9, 8), strides=(2, 1), pools=(1, 1)),
    "1 x 1 convolution": ConvNetwork(kernels=(1, 3), pools=(1, 2)),
    "1 x 1 with stride 2": ConvNetwork(kernels=(3, 1), strides=(1, 2), pools=(1, 1)),
    "pool that leaves a row out": ConvNetwork(image=(2, 9, 10), pools=(3, 1), kernels=(2, 2)),
    "as many channels as rows": ConvNetwork(image=(4, 4, 4), pools=(1, 1), kernels=(2, 2)),
    "pool in front of the last product": ConvNetwork(pools=(1, 2), kernels=(2, 2)),
    "borders": ConvNetwork(pads=(1, 2), pad_value=-1.0, input="binary", kernels=(3, 4)),
    "borders of +1": ConvNetwork(pads=(0, 1), pad_value=1.0),
    "borders of half": ConvNetwork(pads=(0, 1), pad_value=-0.5, activation_scale=0.5),
    "pads of zero on 8 bits": ConvNetwork(pads=(1, 0), pad_value=None),
    "depthwise": ConvNetwork(channels=(5, 5), groups=(1, 5), pads=(0, 1), pad_value=-1.0),
    "depthwise, strides": ConvNetwork(
        channels=(6, 6, 4),
        kernels=(3, 3, 1),
        strides=(1, 2, 1),
        pools=(1, 1, 1),
        groups=(1, 6, 1),
        pads=(0, 1, 0),
        pad_value=-1.0,
    ),
    "depthwise first, bias, pool": ConvNetwork(
        image=(4, 8, 8), channels=(4, 6), kernels=(3, 1), groups=(4, 1), input="binary", bias=True
    ),
    "depthwise of 1 x 1, scales": ConvNetwork(
        channels=(5, 5),
        kernels=(3, 1),
        groups=(1, 5),
        weight_scale=0.25,
        activation_scale=0.5,
        seed=1,
    ),
}


@pytest.mark.parametrize("network", FILES.values(), ids=FILES.keys())
def test_files(network, tmp_path):
    path = network.save(tmp_path / "net.onnx")
    lowered = lower(path, foreign.golden(path, network.images(10)))
    many = network.images(300, seed=2)
    assert np.array_equal(reference.labels(lowered.graph, many), foreign.labels(path, many))
    equal_finn(lowered, many[:5])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_files_combined(data, tmp_path_factory):
    def pick(values):
        return data.draw(st.sampled_from(values))

    network = ConvNetwork(
        image=pick([(1, 9, 9), (3, 8, 10), (2, 10, 7)]),
        channels=pick([(4, 6), (8, 3)]),
        kernels=pick([(3, 2), (2, 2), (1, 2), (3, 1)]),
        pools=pick([(2, 1), (1, 1), (2, 2), (1, 2), (3, 1)]),
        seed=data.draw(st.integers(0, 50)),
        input=pick(["pixels", "binary", "signed"]),
        activation_scale=pick([1.0, 0.5]),
        bias=pick([False, True]),
    )
    path = network.save(tmp_path_factory.mktemp("net") / "net.onnx")
    lowered = lower(path, foreign.golden(path, network.images(6)))
    many = network.images(200, seed=2)
    assert np.array_equal(reference.labels(lowered.graph, many), foreign.labels(path, many))


def test_layers_streams_and_types(lowered):
    graph = lowered.graph
    rows = [(x.name, x.kind, graph.streams[x.target].shape, graph.streams[x.target].dtype)
            for x in graph]  # fmt: skip
    assert rows == [
        ("conv0_window", "sliding_window", (5, 6, 18), "UINT8"),
        ("conv0", "mvu_bin", (5, 6, 5), "INT13"),
        ("conv0_act", "threshold", (5, 6, 5), "BINARY"),
        ("pool0", "max_pool", (2, 3, 5), "BINARY"),
        ("conv1_window", "sliding_window", (1, 2, 20), "BINARY"),
        ("conv1", "mvu_bin", (1, 2, 6), "UINT5"),
        ("conv1_act", "threshold", (12,), "BINARY"),
        ("fc2", "mvu_bin", (4,), "UINT4"),
        ("label", "label_select", (1,), "UINT2"),
    ]
    assert graph.streams[graph.input].shape == (7, 8, 2)
    assert graph.streams[graph.input].dtype == "UINT8"


def test_saved_graph_gives_the_same_labels(lowered, network, tmp_path):
    lowered.graph.save(tmp_path)
    some = network.images(50)
    expected = reference.labels(lowered.graph, some)
    assert np.array_equal(reference.labels(Graph.load(tmp_path), some), expected)


def test_saved_golden_values(golden, tmp_path):
    golden.save(tmp_path / "golden.npz")
    equal_golden(golden, Golden.load(tmp_path / "golden.npz").check())


def test_passes_of_convolutions_and_no_others(lowered):
    names = [p["pass"] for p in lowered.passes]
    assert len(set(names)) == len(names)
    for name in ("LowerConvsToMatMul", "InferConvInpGen", "InferPool", "RemoveCNVtoFCFlatten"):
        assert name in names


def test_images_are_fewer_where_a_network_is_large(golden, file, monkeypatch):
    monkeypatch.setattr(lower_module, "VALUES", 3 * golden.values)
    assert {p["images"] for p in lower(file, golden).passes} == {3}


def change_weight(model, which):
    """Negate one weight of a product, however it is written."""
    node = Chain.of(model).products[which].node
    weights = model.get_initializer(node.input[1]).copy()
    place = (2, 1, 1, 0) if weights.ndim == 4 else (3, 2)
    binary = set(np.unique(weights)) <= {0, 1}
    weights[place] = 1 - weights[place] if binary else -weights[place]
    model.set_initializer(node.input[1], weights)


def permute_columns(model, which):
    """What a wrong flattening does: columns in the order y, x, c read as c, y, x."""
    node = Chain.of(model).products[which].node
    weights = model.get_initializer(node.input[1])
    rows = weights.reshape(-1, 6, weights.shape[1]).transpose(1, 0, 2).reshape(weights.shape)
    model.set_initializer(node.input[1], rows.copy())


def permute_kernel(model, which):
    """Kernels turned round: kx, ky for ky, kx."""
    node = Chain.of(model).products[which].node
    weights = model.get_initializer(node.input[1])
    model.set_initializer(node.input[1], weights.transpose(0, 1, 3, 2).copy())


def shrink_pool(model):
    node = next(n for n in model.graph.node if n.op_type == "MaxPoolNHWC")
    next(a for a in node.attribute if a.name == "kernel_shape").ints[:] = [1, 1]


FAULTS = [
    ("ConvertQONNXtoFINN", lambda m: change_weight(m, 0), "conv0", "is flipped"),
    ("LowerConvsToMatMul", lambda m: change_weight(m, 1), "conv1", "is flipped"),
    ("InferConvInpGen", lambda m: change_weight(m, 2), "fc2", "row 2 column"),
    ("EnumerateActivations", lambda m: permute_kernel(m, 0), "conv0", "flipped"),
    ("RemoveCNVtoFCFlatten", lambda m: permute_columns(m, 2), "fc2", "flipped"),
    ("RoundAndClipThresholds", lambda m: shift_threshold(m, 0, 3, 1), "conv0_act", "channel 3"),
    ("InferPool", lambda m: shift_threshold(m, 1, 2, 1), "conv1_act", "channel 2"),
]


@pytest.mark.parametrize("place, change, layer, words", FAULTS)
def test_a_wrong_pass_is_named(place, change, layer, words, file, golden, monkeypatch):
    sabotage(monkeypatch, place, change)
    with pytest.raises(MismatchError) as caught:
        lower(file, golden)
    assert caught.value.where == f"{place}/{layer}"
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_pool_is_named(file, golden, monkeypatch):
    sabotage(monkeypatch, "MakeMaxPoolNHWC", shrink_pool)
    with pytest.raises(MismatchError, match=r"pass MakeMaxPoolNHWC: conv1 reads .*pool=1.*pool=2"):
        lower(file, golden)


def test_a_threshold_that_no_image_reaches_is_still_found(file, golden, monkeypatch):
    """One black image: accumulators are all 0; a threshold far from it is moved by one."""
    black = foreign.golden(file, np.zeros((1, 2, 7, 8), np.uint8))
    steps = np.abs((golden.tables[1] == 0).sum(0) - len(golden.tables[1]) // 2)
    channel = int(steps.argmax())
    assert steps[channel] > 50
    sabotage(monkeypatch, "RoundAndClipThresholds", lambda m: shift_threshold(m, 0, channel, 1))
    with pytest.raises(MismatchError, match=rf"conv0_act .*channel {channel} gives . instead of"):
        lower(file, black)


def sabotage(monkeypatch, place: str, change) -> None:
    own = lower_module.passes

    def passes(*args):
        for name, transformations in own(*args):
            yield name, [*transformations, Sabotage(change)] if name == place else transformations

    monkeypatch.setattr(lower_module, "passes", passes)


REFUSED = {
    "pool on more than one bit": (ConvNetwork(pool_first=True), "put the quantiser in front"),
    "a scale a position": (ConvNetwork(position_scale=True), "one number a channel"),
    "an input scale that is no power of two": (ConvNetwork(input="inexact"), "power of two"),
    "a border of zero": (ConvNetwork(pads=(0, 1), pad_value=0.0), "conv1 .*binary data with -1"),
    "a depthwise product of numbers": (
        ConvNetwork(channels=(2, 6), groups=(2, 1)),
        "conv0 .*depthwise .*binary activations",
    ),
    "unlike borders": (
        ConvNetwork(pads=(0, 1), pad_value=-1.0, sides=(1, 0, 1, 1)),
        "same border on all sides",
    ),
}


@pytest.mark.parametrize("network, words", REFUSED.values(), ids=REFUSED.keys())
def test_refused(network, words, tmp_path):
    with pytest.raises(UserError, match=words) as caught:
        foreign.load(network.save(tmp_path / "net.onnx"), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


ATTRIBUTES = {
    "pads": ("Conv", {"pads": [1, 1, 1, 1]}, "pads"),
    "group": ("Conv", {"group": 2}, "groups"),
    "dilations": ("Conv", {"dilations": [2, 2]}, "dilation"),
    "strides": ("Conv", {"strides": [1, 2]}, "squares"),
    "overlapping pool": ("MaxPool", {"strides": [1, 1]}, "side by side"),
    "rounded-up pool": ("MaxPool", {"ceil_mode": 1}, "side by side"),
}


@pytest.mark.parametrize("op, attributes, words", ATTRIBUTES.values(), ids=ATTRIBUTES.keys())
def test_refused_attributes(op, attributes, words, tmp_path):
    model = ConvNetwork().build()
    node = [n for n in model.graph.node if n.op_type == op][-1]
    kept = [a for a in node.attribute if a.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    for name, value in attributes.items():
        node.attribute.append(onnx.helper.make_attribute(name, value))
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(UserError, match=words) as caught:
        foreign.load(tmp_path / "net.onnx", tmp_path / "model.onnx")
    assert node.name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "size, change, words",
    [
        (9, {"padding": (1, 1)}, "pads its input with 0, .*binary data with -1"),
        (13, {"dilation": (2, 2)}, "dilation"),
    ],
)
def test_students_that_are_refused(size, change, words):
    """Sizes are such that a student for 11 x 11 pixels still runs."""
    network = student((1, 11, 11), hidden=(4,), convolutions=((3, 4),))
    module = [m for m in network.modules() if isinstance(m, QuantConv2d)][1]
    for name, value in change.items():
        setattr(module, name, value)
    with pytest.raises(UserError, match=words):
        export.golden(network, images(2, (1, size, size)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_cnv_of_brevitas(tmp_path):
    """Its 8-bit input skips one level: 255 thresholds in front of the first convolution."""
    torch.manual_seed(0)
    network = CNV(10, 1, 1, 8, 3)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.copy_(torch.randn_like(module.weight) + 0.4)
        for _ in range(4):
            network.train()(torch.rand(16, 3, 32, 32))
    few = images(3, (3, 32, 32))
    export.export(network.eval(), (3, 32, 32), tmp_path / "raw.onnx")
    assert foreign.load(tmp_path / "raw.onnx", tmp_path / "net.onnx") == (3, 32, 32)
    golden = foreign.golden(tmp_path / "net.onnx", few)
    equal_golden(export.golden(network, few), golden)
    lowered = lower(tmp_path / "net.onnx", golden)
    assert lowered.graph.layer("in0").thresholds.shape == (3, 255)
    many = images(40, (3, 32, 32), seed=1)
    assert np.array_equal(reference.labels(lowered.graph, many), export.predict(network, many))


@pytest.fixture(scope="module")
def network():
    return ConvNetwork()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    return network.save(tmp_path_factory.mktemp("net") / "net.onnx")


@pytest.fixture(scope="module")
def golden(network, file):
    return foreign.golden(file, network.images(12))


@pytest.fixture(scope="module")
def lowered(file, golden):
    return lower(file, golden)
