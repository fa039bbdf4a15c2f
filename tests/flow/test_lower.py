"""Lowering: every way of writing a binary MLP gives the same integers as the file itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network
from qonnx.transformation.base import Transformation

from flow import reference
from flow.errors import MismatchError
from flow.lowering import foreign
from flow.lowering import lower as lower_module
from flow.lowering.chain import Chain
from flow.lowering.lower import lower

VARIANTS = {
    "as exported": Network(),
    "MatMul": Network(gemm=False),
    "flat input": Network(flatten="none"),
    "Flatten": Network(flatten="Flatten"),
    "open batch": Network(batch="N"),
    "open batch, Flatten": Network(batch="N", flatten="Flatten"),
    "flattening computed from the shape": Network(batch="N", flatten="Shape"),
    "batch of five": Network(batch=5),
    "flattened after the input quantiser": Network(flatten_late=True, image=(2, 3, 4)),
    "a scale and shift a pixel": Network(input="per pixel"),
    "a scale and shift a pixel, flattened late": Network(input="per pixel", flatten_late=True),
    "divides by 255": Network(scaling="Div"),
    "multiplies by 1/255": Network(scaling="Mul", flatten_late=True),
    "reads uint8": Network(scaling="uint8"),
    "Mul and Add for batch norm": Network(norm="Mul/Add"),
    "no batch norm": Network(norm="none"),
    "positive scales alone": Network(negative=False),
    "Quant of one bit": Network(quantiser="Quant", weights="Quant"),
    "MultiThreshold": Network(quantiser="MultiThreshold"),
    "weights as numbers": Network(weights="constant", gemm=False),
    "weights as numbers, scaled": Network(weights="constant", gemm=False, weight_scale=0.25),
    "scaled weights": Network(weight_scale=0.125),
    "a scale a row": Network(weight_scale=0.5, scale_a_row=True),
    "scaled activations": Network(activation_scale=0.5),
    "negative tail": Network(tail="negative"),
    "no tail": Network(tail="none"),
    "tail of equal vectors": Network(tail="uniform"),
    "ends in TopK": Network(topk=True),
    "parameters are inputs": Network(parameters_are_inputs=True),
    "one hidden layer": Network(hidden=(7,)),
    "no hidden layer": Network(hidden=()),
    "one class": Network(classes=1),
    "widths of 2**n - 1 and 2**n": Network(image=(1, 3, 5), hidden=(16, 31)),
}

CHOICES = {
    "image": [(1, 4, 5), (3, 2, 2)],
    "hidden": [(12, 9), (8,), (5, 6, 7)],
    "seed": list(range(20)),
    "batch": [1, "N"],
    "flatten": ["Reshape", "Flatten", "Shape"],
    "flatten_late": [False, True],
    "scaling": ["none", "Div", "uint8"],
    "input": ["2x-1", "per pixel"],
    "norm": ["BatchNormalization", "Mul/Add", "none"],
    "quantiser": ["BipolarQuant", "Quant", "MultiThreshold"],
    "weights": ["BipolarQuant", "Quant"],
    "weight_scale": [1.0, 0.25],
    "gemm": [False, True],
    "tail": ["scalar", "negative", "none", "uniform"],
    "topk": [False, True],
}


@pytest.mark.parametrize("network", VARIANTS.values(), ids=VARIANTS.keys())
def test_variant(network, tmp_path):
    path = network.save(tmp_path / "net.onnx")
    golden = foreign.golden(path, network.images(40))
    lowered = lower(path, golden)
    images = network.images(500, seed=2)
    assert np.array_equal(reference.labels(lowered.graph, images), foreign.labels(path, images))
    assert all(p["mismatches"] == 0 and p["images"] == 40 for p in lowered.passes)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_variants_combined(data, tmp_path_factory):
    pick = {name: data.draw(st.sampled_from(values), name) for name, values in CHOICES.items()}
    network = Network(**pick)
    path = network.save(tmp_path_factory.mktemp("variant") / "net.onnx")
    lowered = lower(path, foreign.golden(path, network.images(20)))
    images = network.images(200, seed=2)
    assert np.array_equal(reference.labels(lowered.graph, images), foreign.labels(path, images))


def test_layers_streams_and_types(lowered):
    graph = lowered.graph
    kinds = [(x.name, x.kind, graph.streams[x.target].dtype) for x in graph]
    assert kinds == [
        ("in0", "threshold", "BINARY"),
        ("fc0", "mvu_bin", "UINT5"),  # popcounts of 0..20
        ("fc0_act", "threshold", "BINARY"),
        ("fc1", "mvu_bin", "UINT4"),  # 0..12
        ("fc1_act", "threshold", "BINARY"),
        ("fc2", "mvu_bin", "UINT4"),  # 0..9
        ("label", "label_select", "UINT2"),
    ]
    assert graph.streams[graph.input].dtype == "UINT8"
    assert graph.streams[graph.input].shape == (20,)
    assert all(x.in_parallel == x.out_parallel == 1 for x in graph)


def test_every_pass_is_recorded_once(lowered):
    names = [p["pass"] for p in lowered.passes]
    assert len(set(names)) == len(names)
    assert names[0] == "Import" and names[-1] == "MinimizeWeightBitWidth"
    for record in lowered.passes:
        assert record["images"] == 40 and record["values"] > 0 and record["mismatches"] == 0


def test_graph_equals_the_network_in_every_stream(network, golden, lowered):
    streams = reference.execute(lowered.graph, network.images(40))
    for i, bits in enumerate(golden.activations):
        name = "in0" if i == 0 else f"fc{i - 1}_act"
        assert np.array_equal(streams[name], bits)
    for i, sums in enumerate(golden.accumulators):
        columns = golden.weights[i].shape[1]
        popcounts = (sums + columns) // 2
        layer = lowered.graph.layer(f"fc{i}")
        negated = (layer.weights != golden.weights[i]).any(1)  # rows in front of a negative scale
        assert np.array_equal(streams[f"fc{i}"], np.where(negated, columns - popcounts, popcounts))


def test_thresholds_reach_no_further_than_the_popcounts(lowered):
    for layer in lowered.graph:
        if layer.kind == "threshold":
            top = 255 if layer.name == "in0" else lowered.graph.layer(layer.source).MW
            assert layer.thresholds.min() >= 0 and layer.thresholds.max() <= top + 1


def test_constant_channels_and_negative_scales_occur(golden, lowered):
    """The network of these tests does have the cases that thresholds are hard for."""
    table = golden.tables[1]
    assert any(set(column) == {0} for column in table.T)
    assert any(set(column) == {1} for column in table.T)
    assert any(np.diff(column.astype(int)).min() < 0 for column in table.T)
    thresholds = lowered.graph.layer("fc0_act").thresholds
    assert 0 in thresholds and 21 in thresholds


def test_ties_go_to_the_lowest_class(tmp_path):
    network = Network(hidden=(), classes=6, image=(1, 1, 3), tail="none")  # 4 values for 6 classes
    path = network.save(tmp_path / "net.onnx")
    images = network.images(200)
    scores = foreign.logits(path, images)
    ties = (scores == scores.max(1, keepdims=True)).sum(1) > 1
    assert ties.sum() > 50
    lowered = lower(path, foreign.golden(path, images))
    expected = [next(c for c in range(6) if row[c] == row.max()) for row in scores]
    assert list(reference.labels(lowered.graph, images)) == expected


class Sabotage(Transformation):
    """Runs once and changes one number, as a wrong pass would."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def apply(self, model):
        self.change(model)
        return model, False


def flip_weight(model, which):
    product = Chain.of(model).products[which].node
    weights = model.get_initializer(product.input[1]).copy()
    weights[3, 2] = 1 - weights[3, 2] if set(np.unique(weights)) <= {0, 1} else -weights[3, 2]
    model.set_initializer(product.input[1], weights)


def shift_threshold(model, which, channel, by):
    kinds = ("MultiThreshold", "Thresholding")
    node = [n for n in model.graph.node if n.op_type in kinds][which]
    thresholds = model.get_initializer(node.input[1]).copy()
    thresholds[channel] += by
    model.set_initializer(node.input[1], thresholds)


def scale_tail(model):
    for name in [n.input[1] for n in Chain.of(model).segments[-1] if n.op_type == "Mul"]:
        model.set_initializer(name, model.get_initializer(name) * 1.01)


def swap_rows(model):
    """What a wrong order of rows does: (MW, MH) read the other way round."""
    node = Chain.of(model).products[0].node
    weights = model.get_initializer(node.input[1]).copy()
    model.set_initializer(node.input[1], weights[:, ::-1].copy())


FAULTS = [
    ("ConvertQONNXtoFINN", lambda m: flip_weight(m, 0), "fc0", "row 2 column 3"),
    ("MoveAddPastMul", lambda m: flip_weight(m, 1), "fc1", "row 2 column 3"),
    ("ConvertBipolarMatMulToXnorPopcount", lambda m: flip_weight(m, 2), "fc2", "row 2 column 3"),
    ("MinimizeWeightBitWidth", lambda m: flip_weight(m, 1), "fc1", "row 2 column 3"),
    ("RoundAndClipThresholds", lambda m: shift_threshold(m, 0, 7, 1), "in0", "channel 7"),
    ("RoundAndClipThresholds", lambda m: shift_threshold(m, 1, 4, 1), "fc0_act", "channel 4"),
    ("InsertTopK", lambda m: shift_threshold(m, 2, 5, 2), "fc1_act", "channel 5"),
    ("ConvertDivToMul", scale_tail, "logits", "instead of"),
    ("InferThresholdingLayer", swap_rows, "fc0", "flipped"),
]


@pytest.mark.parametrize("place, change, layer, words", FAULTS)
def test_a_wrong_pass_is_named(place, change, layer, words, network, golden, tmp_path, monkeypatch):
    own = lower_module.passes

    def passes(*args):
        for name, transformations in own(*args):
            yield name, [*transformations, Sabotage(change)] if name == place else transformations

    monkeypatch.setattr(lower_module, "passes", passes)
    with pytest.raises(MismatchError) as caught:
        lower(network.save(tmp_path / "net.onnx"), golden)
    assert caught.value.where == f"{place}/{layer}"
    assert place in str(caught.value) and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_threshold_that_no_image_reaches_is_still_found(network, tmp_path, monkeypatch):
    """The images alone would not show it: one image, and a threshold moved by one step."""
    path = network.save(tmp_path / "net.onnx")
    golden = foreign.golden(path, network.images(1))
    pixel = int(golden.images[0, 7])
    by = 1 if pixel != lower(path, golden).graph.layer("in0").thresholds[7, 0] else -1
    own = lower_module.passes

    def passes(*args):
        for name, transformations in own(*args):
            if name == "RoundAndClipThresholds":
                transformations = [
                    *transformations,
                    Sabotage(lambda m: shift_threshold(m, 0, 7, by)),
                ]
            yield name, transformations

    monkeypatch.setattr(lower_module, "passes", passes)
    with pytest.raises(MismatchError, match=r"in0 .*channel 7 gives . instead of . for pixel"):
        lower(path, golden)


def test_golden_values_of_another_network_are_refused(network, golden, tmp_path):
    other = network.with_(seed=9).save(tmp_path / "other.onnx")
    with pytest.raises(MismatchError, match=r"pass Import: (in0|fc0) "):
        lower(other, golden)


def test_messages_go_to_the_log(network, golden, tmp_path, capfd):
    lower(network.save(tmp_path / "net.onnx"), golden, log=tmp_path / "finn.log")
    assert (tmp_path / "finn.log").exists()
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def network():
    return Network(seed=2)


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    return network.save(tmp_path_factory.mktemp("net") / "net.onnx")


@pytest.fixture(scope="module")
def golden(network, file):
    return foreign.golden(file, network.images(40))


@pytest.fixture(scope="module")
def lowered(file, golden):
    return lower(file, golden)
