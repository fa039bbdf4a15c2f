"""FINN's passes: what is wrong with those that are replaced, and what is taken from the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from convolutions import ConvNetwork
from networks import Builder, Network
from onnx import helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul

from flow import reference
from flow.errors import UserError
from flow.graph import Graph, MatrixVector, Stream, Threshold
from flow.lowering import finn_adapter, foreign, hardware
from flow.lowering.lower import lower
from flow.lowering.onnx_run import run, with_batch
from flow.lowering.passes.popcount_width import SetPopcountWidth


def graph_of(b: Builder, columns: int, output: str, rows: int) -> ModelWrapper:
    model = ModelWrapper(b.model((1, columns), output, (1, rows)))
    return model.transform(InferShapes()).transform(InferDataTypes())


# Why EnumerateActivations stands for FINN's way to thresholds.


ABSORB = [("streamline.absorb", f"Absorb{x}IntoMultiThreshold") for x in ("Add", "Mul")]
ROUND = ("streamline.round_thresholds", "RoundAndClipThresholds")


def after_finn(scale: float, bias: float, integers: np.ndarray, passes: list) -> tuple:
    """sign(scale * x + bias) on integers, as the network has it and after FINN's passes."""
    b = Builder()
    tensor = b.node("Add", b.node("Mul", "image", b.constant([[scale]])), b.constant([[bias]]))
    bits = b.node("MultiThreshold", tensor, b.constant([[0.0]]), out_dtype="BINARY")
    model = graph_of(b, 1, bits, 1)
    model.set_tensor_datatype("image", DataType["INT8"])
    values = integers.astype(np.float32)[:, None]
    before = run(model, {"image": values}, len(values))[bits]
    for module, name in passes:
        model = model.transform(finn_adapter.transformation(module, name))
    assert [n.op_type for n in model.graph.node] == ["MultiThreshold"]
    after = run(model, {"image": values}, len(values))[model.graph.output[0].name]
    return before[:, 0], after[:, 0], model.get_initializer(model.graph.node[0].input[1])


def test_finn_moves_a_threshold_that_lies_on_an_accumulator():
    """scale * 41 + bias is exactly 0 in float32, so sign gives +1; FINN's threshold is 42."""
    integers = np.arange(-128, 128)
    scale = next(
        s
        for s in np.float32(1) / np.arange(3, 99, dtype=np.float32)
        if np.float32(s * np.float32(41)) / s > 41
    )
    bias = float(-(scale * np.float32(41)))
    before, after, _ = after_finn(float(scale), bias, integers, [*ABSORB, ROUND])
    assert list(integers[before != after]) == [41]


def test_finn_divides_by_a_scale_of_zero():
    """0 * x + 0 is +1 for every x; FINN's threshold is 0/0.

    Its RoundAndClipThresholds, run on that, repeats for ever: NaN differs from NaN.
    """
    with np.errstate(all="ignore"):
        before, after, threshold = after_finn(0.0, 0.0, np.arange(-128, 128), ABSORB)
    assert before.all() and not after.any() and np.isnan(threshold).all()


def test_finn_takes_zero_for_a_sign():
    """A batch norm scale of 0 becomes a factor of 0 that is annotated as BIPOLAR."""
    b = Builder()
    model = graph_of(b, 2, b.node("Mul", "image", b.constant([[-2.0, 0.0]])), 2)
    name = "FactorOutMulSignMagnitude"
    model = model.transform(finn_adapter.transformation("streamline.absorb", name))
    sign = model.get_initializer(model.graph.node[0].input[1])
    annotated = model.get_tensor_datatype(model.graph.node[0].input[1])
    assert annotated == DataType["BIPOLAR"] and not annotated.allowed(sign).all()


# Why LowerDepthwiseConvs and XnorVVAU stand for qonnx' and FINN's way with depthwise products.


def depthwise(attributes: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """FINN's depthwise product of one place, two channels: (what it gives, how many are equal)."""
    node = helper.make_node(
        "VVAU", ["image", "w"], ["out"], domain=finn_adapter.DOMAIN, backend="fpgadataflow",
        PE=2, SIMD=1, Dim=[1, 1], Channels=2, Kernel=[1, 1], noActivation=1,
        outputDataType="UINT1", **attributes,
    )  # fmt: skip
    finn_adapter._prepare()
    weights = np.float32([1, -1]).reshape(2, 1, 1, 1)
    low = 0 if attributes["inputDataType"] == "BINARY" else -1
    image = np.full((1, 1, 1, 2), low, np.float32)
    context = {"image": image, "out": np.zeros((1, 1, 1, 2), np.float32)}
    b = Builder(nodes=[node], parameters=[numpy_helper.from_array(weights, "w")])
    model = b.model((1, 1, 1, 2), "out", (1, 1, 1, 2))
    finn_adapter.getCustomOp(node).execute_node(context, model.graph)
    return context["out"].reshape(-1), np.array([0, 1])


def test_finn_counts_in_a_depthwise_product_of_bipolar_types_alone():
    bipolar = {"inputDataType": "BIPOLAR", "weightDataType": "BIPOLAR"}
    for change in ({}, {"inputDataType": "BINARY"}, {"weightDataType": "INT2"}):
        found, expected = depthwise(bipolar | change)
        assert np.array_equal(found, expected) == (not change)


def test_qonnx_takes_zeros_for_bipolar_weights(tmp_path):
    """The matrix that it makes of a depthwise convolution holds -1, 0 and +1, called BIPOLAR."""
    path = ConvNetwork(channels=(4, 4), groups=(1, 4)).save(tmp_path / "net.onnx")
    model = foreign.read(path).model
    for _, transformations in finn_adapter.to_finn_dialect():
        for transformation in transformations:
            model = model.transform(transformation)
    node = [n for n in model.graph.node if n.op_type == "Conv"][1]
    model.set_tensor_datatype(node.input[1], DataType["BIPOLAR"])
    model = model.transform(LowerConvsToMatMul())
    weights = model.get_initializer(node.input[1])
    assert set(np.unique(weights)) == {-1, 0, 1}
    assert model.get_tensor_datatype(node.input[1]) == DataType["BIPOLAR"]


# Why SetPopcountWidth stands for MinimizeAccumulatorWidth.


def mvau(columns: int) -> ModelWrapper:
    node = helper.make_node(
        "MVAU", ["image", "w"], ["out"], domain=finn_adapter.DOMAIN, backend="fpgadataflow",
        MW=columns, MH=2, SIMD=1, PE=1, inputDataType="BINARY", weightDataType="BINARY",
        outputDataType="UINT32", binaryXnorMode=1, noActivation=1, numInputVectors=[1],
    )  # fmt: skip
    b = Builder(nodes=[node])
    model = ModelWrapper(b.model((1, columns), b.node("Relu", "out"), (1, 2)))
    model.set_tensor_shape("out", [1, 2])
    weights = np.tile(np.float32([[0, 1], [1, 0]]), (columns, 1))[:columns]
    model.set_initializer("w", weights)
    model.set_tensor_datatype("image", DataType["BINARY"])
    model.set_tensor_datatype("w", DataType["BINARY"])
    return model


def test_finn_gives_a_popcount_too_few_bits():
    model = mvau(784)
    same = model.get_initializer("w").T[:1]  # equal to the first row
    assert run(model, {"image": same}, 1)["out"].max() == 784
    layer = getCustomOp(model.graph.node[0])
    assert layer.minimize_accumulator_width(model).max() < 784
    model = model.transform(SetPopcountWidth())
    assert getCustomOp(model.graph.node[0]).get_output_datatype() == DataType["UINT10"]
    assert model.get_tensor_datatype("out") == DataType["UINT10"]


@pytest.mark.parametrize("columns, name", [(1, "BINARY"), (63, "UINT6"), (64, "UINT7")])
def test_popcount_width(columns, name):
    model = mvau(columns).transform(SetPopcountWidth())
    assert model.get_tensor_datatype("out").name == name


# Why EnumerateInput stands for FINN's conversion of an 8-bit quantiser.


def test_finn_rounds_halves_up():
    """0.5 and 2.5 are rounded to even by the Quant, up by the thresholds FINN makes of it."""
    b = Builder()
    bits = b.node(
        "Quant", "image", b.constant(1.0), b.constant(0.0), b.constant(8.0), signed=1, narrow=0,
        rounding_mode="ROUND",
    )  # fmt: skip
    model = graph_of(b, 4, bits, 4)
    values = np.float32([[0.5, 1.5, 2.5, 0.4]])
    before = run(model, {"image": values}, 1)[bits]
    for _, transformations in finn_adapter.to_finn_dialect():
        for transformation in transformations:
            model = model.transform(transformation)
    after = run(model, {"image": values}, 1)[model.graph.output[0].name]
    assert before.tolist() == [[0, 2, 2, 0]] and after.tolist() == [[1, 2, 3, 0]]


# Why windows are formed image by image.


def test_qonnx_mixes_the_images_of_a_batch():
    node = helper.make_node(
        "Im2Col", ["image"], ["windows"], domain="qonnx.custom_op.general", stride=[1, 1],
        kernel_size=[2, 2], input_shape="(1,3,3,2)",
    )  # fmt: skip
    b = Builder(nodes=[node])
    model = ModelWrapper(b.model((1, 3, 3, 2), b.node("Relu", "windows"), (1, 2, 2, 8)))
    model.set_tensor_shape("windows", [1, 2, 2, 8])
    model.set_tensor_datatype("image", DataType["UINT8"])
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 2)).astype(np.float32)
    single = np.concatenate([run(model, {"image": x[None]}, 1)["windows"] for x in images])
    assert np.array_equal(run(model, {"image": images}, 4)["windows"], single)
    window = images[2, 1:3, 0:2].reshape(-1)  # ky, kx, c
    assert single[2, 1, 0].tolist() == window.tolist()
    batched = with_batch(model, 4)
    context = batched.make_empty_exec_context() | {"image": images}
    execute_node(batched.graph.node[0], context, batched.graph, 16)
    assert not np.array_equal(context["windows"], single)


# Why a forked bipolar tensor is refused before qonnx' pass sees it.


def test_qonnx_changes_the_other_reader_of_a_bipolar_tensor():
    b = Builder()
    bits = b.node("MultiThreshold", "image", b.constant([[0.0]]), out_dtype="BIPOLAR",
                  out_scale=2.0, out_bias=-1.0)  # fmt: skip
    product = b.node("MatMul", bits, b.constant(np.eye(4) * 2 - 1))
    total = b.node("Add", product, bits)
    model = graph_of(b, 4, total, 4)
    model.set_tensor_datatype(b.parameters[1].name, DataType["BIPOLAR"])
    values = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    before = run(model, {"image": values}, 1)[total]
    model = model.transform(ConvertBipolarMatMulToXnorPopcount())
    after = run(model, {"image": values}, 1)[model.graph.output[0].name]
    assert not np.array_equal(before, after)


# What is taken from FINN.


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    network = Network(image=(1, 3, 5), hidden=(16, 31), classes=6, seed=2)
    path = network.save(tmp_path_factory.mktemp("net") / "net.onnx")
    return lower(path, foreign.golden(path, network.images(20)))


def test_reference_equals_finn_in_every_stream(lowered):
    images = np.random.default_rng(3).integers(0, 256, (300, 15), dtype=np.uint8)
    finn = hardware.execute(lowered.hardware, images)
    ours = reference.execute(lowered.graph, images)
    assert list(finn) == list(ours) == list(lowered.graph.streams)
    for name, values in ours.items():
        assert np.array_equal(finn[name], values), name


def test_a_wrong_reference_would_be_seen(lowered):
    """The comparison above can fail: a flipped weight shows in the stream behind it."""
    images = np.random.default_rng(3).integers(0, 256, (300, 15), dtype=np.uint8)
    finn = hardware.execute(lowered.hardware, images)
    lowered.graph.layer("fc1").weights[4, 2] ^= 1
    try:
        ours = reference.execute(lowered.graph, images)
    finally:
        lowered.graph.layer("fc1").weights[4, 2] ^= 1
    assert np.array_equal(finn["fc0_act"], ours["fc0_act"])
    assert not np.array_equal(finn["fc1"], ours["fc1"])


def test_layer_types_in_finn(lowered):
    kinds = [n.op_type for n in lowered.hardware.graph.node]
    assert kinds == ["Thresholding", "MVAU"] * 3 + ["LabelSelect"]
    for node in lowered.hardware.get_nodes_by_op_type("MVAU"):
        layer = getCustomOp(node)
        assert layer.get_nodeattr("weightDataType") == "BINARY"
        assert layer.get_nodeattr("inputDataType") == "BINARY"


def test_weights_of_two_bits_are_not_taken_over(lowered):
    """FINN types some bipolar weights INT2; such a layer must not become a binary one."""
    model = ModelWrapper(lowered.hardware.model, make_deepcopy=True)
    getCustomOp(model.get_nodes_by_op_type("MVAU")[1]).set_nodeattr("weightDataType", "INT2")
    with pytest.raises(UserError, match="fc1: FINN typed it"):
        hardware.to_graph(model, "net")


def test_a_node_that_is_left_over_is_named(lowered):
    model = ModelWrapper(lowered.hardware.model, make_deepcopy=True)
    model.graph.node[2].op_type = "Transpose"
    with pytest.raises(UserError, match=r"\(Transpose\) is left"):
        hardware.to_graph(model, "net")


def test_fractional_thresholds_are_not_taken_over(lowered):
    model = ModelWrapper(lowered.hardware.model, make_deepcopy=True)
    name = model.graph.node[0].input[1]
    model.set_initializer(name, model.get_initializer(name) + np.float32(0.5))
    with pytest.raises(UserError, match="not integers"):
        hardware.to_graph(model, "net")


def test_expected_cycles_follow_the_folding(lowered):
    folded = lowered.graph.with_folding(
        {"in0": {"PE": 5}, "fc0": {"PE": 4, "SIMD": 3}, "fc1": {"PE": 31}, "label": {"PE": 2}}
    )
    cycles = finn_adapter.expected_cycles(folded)
    assert cycles["in0"] == 15 // 5 and cycles["fc0"] == (16 // 4) * (15 // 3)
    assert cycles["fc1"] == 16 and cycles["label"] == 3
    assert cycles == {layer.name: layer.cycles(folded) for layer in folded}


def test_expected_cycles_of_pixels():
    streams = [Stream("image", (4, 4, 6), "UINT8"), Stream("bits", (4, 4, 6), "BINARY"),
               Stream("sums", (4, 4, 2), "UINT3")]  # fmt: skip
    layers = (
        Threshold("in0", "image", "bits", np.zeros((6, 1), np.int64), PE=2),
        MatrixVector("fc0", "bits", "sums", np.zeros((2, 6), np.uint8), PE=1, SIMD=3),
    )
    graph = Graph("net", layers, {s.name: s for s in streams}, "image", "sums").check()
    assert finn_adapter.expected_cycles(graph) == {"in0": 48, "fc0": 64}


def test_another_version_of_finn_is_refused(monkeypatch):
    finn_adapter._prepare.cache_clear()
    monkeypatch.setattr(finn_adapter, "VERSION", "9.9.9")
    with pytest.raises(UserError, match=r"finn-plus .* is installed, needed is 9\.9\.9"):
        finn_adapter.expected_cycles(None)
    finn_adapter._prepare.cache_clear()
