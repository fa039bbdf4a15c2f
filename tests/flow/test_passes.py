"""Our own passes, one by one: the structure they leave, and the unchanged output.

`SetPopcountWidth` is in `test_finn_adapter.py`, beside the pass of FINN that it stands for.
"""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import ConvNetwork
from networks import Builder, Network
from onnx import TensorProto
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes

from flow.errors import UserError
from flow.lowering import foreign
from flow.lowering.chain import Chain
from flow.lowering.lower import lower
from flow.lowering.onnx_run import run
from flow.lowering.passes.complete_convolutions import CompleteConvolutions
from flow.lowering.passes.enumerate_activations import _steps
from flow.lowering.passes.enumerate_input import EnumerateInput
from flow.lowering.passes.flatten_images import FlattenImages
from flow.lowering.passes.flatten_input import FlattenInput
from flow.lowering.passes.fold_shapes import FoldShapes
from flow.lowering.passes.popcount_width import sum_type
from flow.lowering.passes.scale_out_activations import ScaleOutActivations
from flow.lowering.passes.scale_out_weights import ScaleOutWeights
from flow.lowering.passes.to_tensor import PrependToTensor
from flow.lowering.passes.uniform_to_scalar import UniformToScalar


def ops(model: ModelWrapper) -> list[str]:
    return [n.op_type for n in model.graph.node]


def output(model: ModelWrapper, values: np.ndarray) -> np.ndarray:
    feeds = {model.graph.input[0].name: values}
    return run(model, feeds, len(values))[model.graph.output[0].name]


def wrapped(b: Builder, shape: tuple, tensor: str, output_shape: tuple, **options) -> ModelWrapper:
    return ModelWrapper(b.model(shape, tensor, output_shape, **options)).transform(InferShapes())


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_prepend_to_tensor():
    b = Builder()
    before = wrapped(b, (1, 3), b.node("Neg", "image"), (1, 3))
    after = before.transform(PrependToTensor()).transform(InferShapes())
    assert ops(after) == ["Div", "Neg"]
    assert after.get_tensor_datatype(after.graph.input[0].name) == DataType["UINT8"]
    pixels = np.arange(256, dtype=np.float32).repeat(3).reshape(256, 3)
    scaled = pixels / np.float32(255)
    assert np.array_equal(output(after, pixels), output(before, scaled))


def test_uniform_to_scalar():
    b = Builder()
    tensor = b.node("Mul", "image", b.constant([2, 2, 2]))
    tensor = b.node("Add", tensor, b.constant([1, 2, 3]))
    before = wrapped(b, (1, 3), b.node("Div", tensor, b.constant([[4, 4, 4]])), (1, 3))
    after = before.transform(UniformToScalar())
    assert [after.get_initializer(n.input[1]).shape for n in after.graph.node] == [(), (3,), ()]
    assert np.array_equal(output(after, normal(5, 3)), output(before, normal(5, 3)))


def test_fold_shapes():
    b = Builder()
    batch = b.node("Gather", b.node("Shape", "image"), b.constant(0, np.int64), axis=0)
    batch = b.node("Unsqueeze", batch, b.constant([0], np.int64))
    target = b.node("Concat", batch, b.constant([-1], np.int64), axis=0)
    before = wrapped(b, (1, 2, 3), b.node("Reshape", "image", target), (1, 6))
    after = before.transform(FoldShapes())
    assert ops(after) == ["Reshape"]
    assert list(after.get_initializer(after.graph.node[0].input[1])) == [1, -1]


def test_flatten_input():
    b = Builder()
    tensor = b.node("Cast", "image", to=TensorProto.FLOAT)
    tensor = b.node("Mul", tensor, b.constant(normal(2, 1, 1)))  # a scale a channel
    tensor = b.node("Flatten", b.node("Identity", tensor), axis=1)
    before = wrapped(b, (1, 2, 2, 3), b.node("Add", tensor, b.constant(1.0)), (1, 12))
    after = before.transform(FlattenInput()).transform(InferShapes())
    assert ops(after) == ["Mul", "Add"]
    assert after.get_tensor_shape(after.graph.input[0].name) == [1, 12]
    images = normal(5, 2, 2, 3)
    assert np.array_equal(output(after, images.reshape(5, -1)), output(before, images))


def test_flatten_input_refuses_other_shapes():
    b = Builder()
    tensor = b.node("Reshape", "image", b.constant([1, 3, 4], np.int64))
    with pytest.raises(UserError, match=r"Reshape_0 .* makes \(1, 3, 4\)"):
        wrapped(b, (1, 12), tensor, (1, 3, 4)).transform(FlattenInput())


def test_flatten_input_refuses_a_batch_norm_of_channels():
    b = Builder()
    parameters = [b.constant(np.ones(2)) for _ in range(4)]
    tensor = b.node("Flatten", b.node("BatchNormalization", "image", *parameters), axis=1)
    with pytest.raises(UserError, match="BatchNormalization_0"):
        wrapped(b, (1, 2, 2, 3), tensor, (1, 12)).transform(FlattenInput())


def test_scale_out_activations():
    b = Builder()
    tensor = b.node("BipolarQuant", "image", b.constant([0.5]))
    before = wrapped(b, (1, 3), b.node("BipolarQuant", tensor, b.constant([1.0])), (1, 3))
    after = before.transform(ScaleOutActivations())
    assert ops(after) == ["BipolarQuant", "Mul", "BipolarQuant"]
    assert np.array_equal(output(after, normal(5, 3)), output(before, normal(5, 3)))


@pytest.mark.parametrize("size", [0.25, [[0.5, 2, 0.25, 1]]])
def test_scale_out_weights(size):
    b = Builder()
    weights = np.where(normal(3, 4) > 0, size, -np.asarray(size))
    before = wrapped(b, (1, 3), b.node("MatMul", "image", b.constant(weights)), (1, 4))
    after = before.transform(ScaleOutWeights())
    assert ops(after) == ["MatMul", "Mul"]
    name = after.graph.node[0].input[1]
    assert after.get_tensor_datatype(name) == DataType["BIPOLAR"]
    assert set(np.unique(after.get_initializer(name))) == {-1, 1}
    assert np.allclose(output(after, normal(5, 3)), output(before, normal(5, 3)), atol=1e-6)


def test_steps_of_a_table():
    table = np.array([[0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0]], np.uint8)
    rising, steps = _steps(table, 1, "fc0_act")
    assert rising.tolist() == [True, True, True, False]
    assert steps[:, 0].tolist() == [2, 0, 3, 1]  # the last one read from the end


def test_activation_that_changes_twice_is_refused():
    with pytest.raises(UserError, match="fc0_act: channel 1 changes"):
        _steps(np.array([[0, 0], [1, 1], [1, 0]], np.uint8), 1, "fc0_act")


def test_steps_of_numbers():
    """0, 0, 2, 3: the second step is passed where the first is."""
    rising, steps = _steps(np.array([[0], [0], [2], [3]], np.uint8), 4, "in0")
    assert rising.tolist() == [True] and steps.tolist() == [[2, 2, 3, 4]]


def one_layer(scale: float, tail: float) -> Builder:
    b = Builder()
    tensor = b.node("Sub", b.node("Mul", "image", b.constant(scale)), b.constant(0.5 * scale))
    tensor = b.node("BipolarQuant", tensor, b.constant([1.0]))
    tensor = b.node("MatMul", tensor, b.constant(np.sign(normal(6, 4))))
    b.node("Mul", tensor, b.constant(tail))
    return b


@pytest.mark.parametrize(
    "scale, tail, words", [(-2.0, 1.0, "falls as pixels get brighter"), (2.0, 0.0, "do not rise")]
)
def test_what_thresholds_and_label_select_cannot_do(scale, tail, words, tmp_path):
    b = one_layer(scale, tail)
    path = tmp_path / "net.onnx"
    path.write_bytes(b.model((1, 6), b.nodes[-1].output[0], (1, 4)).SerializeToString())
    images = np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)
    with pytest.raises(UserError, match=words):
        lower(path, foreign.golden(path, images))


def test_networks_of_these_tests_have_the_parts_they_name():
    """The variants of `test_lower.py` are what they say: the nodes are there."""
    kinds = {n.op_type for n in Network(batch="N", flatten="Shape", topk=True).build().graph.node}
    assert {"Shape", "TopK", "BatchNormalization", "Gemm", "BipolarQuant"} <= kinds
    kinds = {
        n.op_type
        for n in Network(
            norm="Mul/Add", quantiser="Quant", gemm=False, weights="constant", tail="none"
        )
        .build()
        .graph.node
    }
    assert kinds == {"Reshape", "Mul", "Sub", "Add", "Quant", "MatMul"}


def test_flatten_images():
    b = Builder()
    tensor = b.node("Reshape", b.node("Identity", "image"), b.constant([1, -1], np.int64))
    tensor = b.node("Reshape", tensor, b.constant([1, 12], np.int64))
    before = wrapped(b, (1, 2, 2, 3), b.node("Neg", tensor), (1, 12))
    after = before.transform(FlattenImages()).transform(InferShapes())
    assert ops(after) == ["Flatten", "Neg"]
    images = normal(5, 2, 2, 3)
    assert np.array_equal(output(after, images), output(before, images))


def test_flatten_images_refuses_other_shapes():
    b = Builder()
    tensor = b.node("Reshape", "image", b.constant([1, 4, 3], np.int64))
    with pytest.raises(UserError, match=r"Reshape_0 .* makes \(1, 4, 3\)"):
        wrapped(b, (1, 2, 2, 3), tensor, (1, 4, 3)).transform(FlattenImages())


def test_complete_convolutions():
    b = Builder()
    kernel = b.constant(normal(3, 2, 2, 2))
    tensor = b.node("Conv", "image", kernel, auto_pad="VALID")
    before = wrapped(b, (1, 2, 5, 4), b.node("MaxPool", tensor, kernel_shape=[2, 2]), (1, 3, 3, 2))
    after = before.transform(CompleteConvolutions())
    conv, pool = ({a.name: a for a in n.attribute} for n in after.graph.node)
    assert list(conv["kernel_shape"].ints) == [2, 2] and "auto_pad" not in conv
    assert list(pool["strides"].ints) == [1, 1] and list(pool["pads"].ints) == [0] * 4
    images = normal(5, 2, 5, 4)
    assert np.array_equal(output(after, images), output(before, images))


def test_scale_out_weights_of_a_convolution():
    b = Builder()
    size = np.array([0.5, 2, 0.25]).reshape(3, 1, 1, 1)
    weights = np.where(normal(3, 2, 2, 2) > 0, size, -size)
    before = wrapped(b, (1, 2, 5, 4), b.node("Conv", "image", b.constant(weights)), (1, 3, 4, 3))
    before = before.transform(CompleteConvolutions())
    after = before.transform(ScaleOutWeights())
    assert ops(after) == ["Conv", "Mul"]
    assert set(np.unique(after.get_initializer(after.graph.node[0].input[1]))) == {-1, 1}
    images = normal(5, 2, 5, 4)
    assert np.allclose(output(after, images), output(before, images), atol=1e-5)


def test_enumerate_input_rounds_halves_as_the_quantiser_does(tmp_path):
    """5 x - 2.5 is half way between two integers at every 51st pixel value."""
    path = ConvNetwork(input="steps").save(tmp_path / "net.onnx")
    source = foreign.read(path)
    golden = foreign.golden(path, np.zeros((1, 2, 7, 8), np.uint8))
    model = source.model.transform(PrependToTensor()).transform(InferShapes())
    after = model.transform(EnumerateInput(golden))
    chain = Chain.of(after)
    assert [n.op_type for n in chain.segments[0]] == ["MultiThreshold", "Add"]
    values = chain.evaluate(0, np.arange(256, dtype=np.float32).repeat(2).reshape(256, 2))
    expected = np.rint(np.arange(256, dtype=np.float32) / np.float32(255) * 5 - np.float32(2.5))
    assert np.array_equal(values, expected.repeat(2).reshape(256, 2))


@pytest.mark.parametrize(
    "plus, minus, name",
    [(27, 0, "INT14"), (0, 27, "INT14"), (1, 0, "INT9"), (0, 1, "INT9"), (514, 0, "INT18"),
     (257, 257, "INT17")],
)  # fmt: skip
def test_width_of_sums(plus, minus, name):
    """INT<n> holds -255 * minus and 255 * plus, and INT<n-1> does not."""
    weights = np.array([1.0] * plus + [-1.0] * minus)[:, None]
    assert sum_type(weights, 255) == name
    low, high = -255 * minus, 255 * plus
    assert DataType[name].allowed(low) and DataType[name].allowed(high)
    narrower = DataType[f"INT{int(name[3:]) - 1}"]
    assert not (narrower.allowed(low) and narrower.allowed(high))
