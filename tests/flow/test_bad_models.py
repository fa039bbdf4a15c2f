"""Models that cannot be built are refused at once, in one line that names what and where."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from networks import Builder, Network
from onnx import TensorProto, helper

from flow.errors import UserError
from flow.lowering import foreign
from flow.lowering.lower import lower


def refusal(model, tmp_path) -> str:
    """The message with which a model is refused; nothing may be left behind."""
    path = tmp_path / "bad.onnx"
    if isinstance(model, bytes):
        path.write_bytes(model)
    else:
        onnx.save(model, str(path))
    with pytest.raises(UserError) as caught:
        foreign.load(path, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == [path]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def dense(b: Builder, tensor: str, columns: int, rows: int, seed: int = 0) -> str:
    weights = np.random.default_rng(seed).uniform(-1, 1, (rows, columns))
    return b.node("Gemm", tensor, b.node("BipolarQuant", b.constant(weights), b.constant([1.0])),
                  transB=1)  # fmt: skip


def sign(b: Builder, tensor: str) -> str:
    return b.node("BipolarQuant", tensor, b.constant([1.0]))


def test_unsupported_operator(tmp_path):
    b = Builder()
    tensor = b.node("Sigmoid", dense(b, sign(b, "image"), 6, 4))
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "Sigmoid" in message and "Sigmoid_3" in message
    assert "BatchNormalization" in message and "MatMul" in message  # what is supported


def test_operator_of_an_unknown_domain(tmp_path):
    b = Builder()
    tensor = dense(b, sign(b, "image"), 6, 4)
    model = b.model((1, 6), tensor, (1, 4))
    model.graph.node[0].domain = "com.example"
    model.graph.node[0].op_type = "Magic"
    assert "Magic" in refusal(model, tmp_path)


def test_convolution_at_the_end_is_named(tmp_path):
    b = Builder()
    kernel = b.node("BipolarQuant", b.constant(np.ones((2, 1, 3, 3))), b.constant([1.0]))
    tensor = b.node("Conv", "image", kernel, kernel_shape=[3, 3])
    message = refusal(b.model((1, 1, 5, 5), tensor, (1, 2, 3, 3)), tmp_path)
    assert "conv0 (node Conv_0)" in message and "fully connected" in message


@pytest.mark.parametrize("how", [{"pads": [1, 1, 1, 1]}, {"auto_pad": "SAME_UPPER"}])
def test_zero_padding_of_binary_data(how, tmp_path):
    b = Builder()
    kernel = b.node("BipolarQuant", b.constant(np.ones((2, 1, 3, 3))), b.constant([1.0]))
    tensor = b.node("Conv", sign(b, "image"), kernel, kernel_shape=[3, 3], **how)
    message = refusal(b.model((1, 1, 5, 5), tensor, (1, 2, 5, 5)), tmp_path)
    assert "Conv_2" in message and "pads binary data with zeros" in message


def test_pad_node_on_binary_data(tmp_path):
    b = Builder()
    padded = b.node("Pad", sign(b, "image"), b.constant([0, 1, 0, 1], np.int64))
    message = refusal(b.model((1, 6), dense(b, padded, 8, 4), (1, 4)), tmp_path)
    assert "(Pad)" in message and "sides of an image" in message


def test_float_weights(tmp_path):
    b = Builder()
    weights = np.random.default_rng(0).uniform(-1, 1, (6, 4))
    tensor = b.node("MatMul", sign(b, "image"), b.constant(weights))
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "fc0" in message and "MatMul_0" in message and "24 different values" in message


def test_ternary_weights(tmp_path):
    b = Builder()
    weights = np.random.default_rng(0).integers(-1, 2, (6, 4))
    tensor = b.node("MatMul", sign(b, "image"), b.constant(weights))
    assert "weights are not of one bit" in refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)


def quant(b: Builder, tensor: str, bits: float) -> str:
    return b.node("Quant", tensor, b.constant(0.5), b.constant(0.0), b.constant(bits),
                  signed=1, narrow=1, rounding_mode="ROUND")  # fmt: skip


def test_weights_of_two_bits(tmp_path):
    b = Builder()
    weights = np.random.default_rng(0).uniform(-1, 1, (6, 4))
    tensor = b.node("MatMul", sign(b, "image"), quant(b, b.constant(weights), 2.0))
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "weights of 2.0 bits" in message and "Quant" in message


def test_activations_of_two_bits(tmp_path):
    b = Builder()
    tensor = dense(b, quant(b, "image", 2.0), 6, 4)
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "activations of 2.0 bits" in message


def test_activations_without_quantiser(tmp_path):
    b = Builder()
    tensor = dense(b, dense(b, sign(b, "image"), 6, 5), 5, 4)
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "fc0_act" in message and "7 different values" in message


def test_multi_level_threshold(tmp_path):
    b = Builder()
    bits = b.node("MultiThreshold", "image", b.constant([[0.1, 0.5]]), out_dtype="UINT2")
    message = refusal(b.model((1, 6), dense(b, bits, 6, 4), (1, 4)), tmp_path)
    assert "MultiThreshold_0" in message and "more than one bit" in message


def test_two_inputs(tmp_path):
    b = Builder()
    model = b.model((1, 6), b.node("Add", "image", "other"), (1, 6))
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, (1, 6)))
    assert "2 inputs" in refusal(model, tmp_path)


def test_no_matrix_product(tmp_path):
    b = Builder()
    assert "no matrix product" in refusal(b.model((1, 6), sign(b, "image"), (1, 6)), tmp_path)


def test_open_image_size(tmp_path):
    b = Builder()
    tensor = dense(b, sign(b, b.node("Flatten", "image")), 6, 4)
    assert "open" in refusal(b.model((1, 1, "H", "W"), tensor, (1, 4)), tmp_path)


def test_weights_that_do_not_fit(tmp_path):
    b = Builder()
    tensor = dense(b, sign(b, "image"), 7, 4)
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "weights are for 7 values, (6,) arrive" in message


def test_a_tensor_that_nothing_writes(tmp_path):
    b = Builder()
    tensor = dense(b, sign(b, "nowhere"), 6, 4)
    message = refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)
    assert "BipolarQuant_0 reads tensor nowhere" in message


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        foreign.load(tmp_path / "none.onnx", tmp_path / "model.onnx")


def test_missing_file_of_weights(tmp_path):
    path = Network().save(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    assert foreign.load(path, tmp_path / "model.onnx") == (1, 4, 5)
    (tmp_path / "net.data").unlink()
    with pytest.raises(UserError, match=r"net\.onnx: .*net\.data"):
        foreign.load(path, tmp_path / "model.onnx")


@pytest.mark.parametrize("body", [b"", b"hello, I am no ONNX file\n" * 50, b"\x00" * 1000,
                                  b"\x89PNG\r\n\x1a\n" + bytes(range(256))])  # fmt: skip
def test_not_an_onnx_file(body, tmp_path):
    assert "not an ONNX file" in refusal(body, tmp_path)


def test_truncated_file_at_every_length(tmp_path):
    body = Network(image=(1, 2, 2), hidden=(3,), classes=2).build().SerializeToString()
    for length in range(0, len(body), 7):
        refusal(body[:length], tmp_path)
    refusal(body[:-1], tmp_path)


def test_damaged_bytes_end_in_one_line(tmp_path):
    body = Network(image=(1, 2, 2), hidden=(3,), classes=2).build().SerializeToString()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(body)
        damaged[rng.integers(len(body))] = rng.integers(256)
        path = tmp_path / "bad.onnx"
        path.write_bytes(damaged)
        try:
            foreign.load(path, tmp_path / "model.onnx")
        except UserError as fault:
            assert "\n" not in str(fault)
            refused += 1
    assert refused > 20


def test_an_ordinary_float_network(tmp_path):
    """A plain ONNX file, of which nothing is quantised."""
    b = Builder()
    rng = np.random.default_rng(0)
    tensor = b.node("Gemm", "image", b.constant(rng.normal(size=(4, 6))), transB=1)
    assert "in0" in refusal(b.model((1, 6), tensor, (1, 4)), tmp_path)


# What only lowering can see.


def lowering_refusal(network: Network, tmp_path) -> str:
    path = network.save(tmp_path / "net.onnx")
    golden = foreign.golden(path, network.images(5))
    with pytest.raises(UserError) as caught:
        lower(path, golden)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tail_that_differs_between_classes(tmp_path):
    assert "class 1" in lowering_refusal(Network(tail="per class"), tmp_path)


def test_unsigned_activations_shift_each_class(tmp_path):
    """0 and 1 for activations give every class an offset of its own; it must not be forgotten."""
    network = Network(quantiser="unsigned Quant", tail="none")
    assert "shifted unlike" in lowering_refusal(network, tmp_path)


def test_images_of_another_size(tmp_path):
    path = Network().save(tmp_path / "net.onnx")
    with pytest.raises(UserError, match=r"20 values .*\(1, 3, 3\)"):
        foreign.golden(path, np.zeros((2, 1, 3, 3), np.uint8))


def test_no_images(tmp_path):
    network = Network()
    path = network.save(tmp_path / "net.onnx")
    golden = foreign.golden(path, network.images(1)).take(0)
    with pytest.raises(UserError, match="there are none"):
        lower(path, golden)
