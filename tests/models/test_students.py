"""Binary students: signs, topology, and that the export keeps FINN's structure."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import presets, students

FLOAT = st.floats(-(2.0**100), 2.0**100, width=32)


def small(hidden=(6, 5)) -> students.BinaryMLP:
    torch.manual_seed(0)
    return students.BinaryMLP(16, hidden, 3)


def settled(student: students.BinaryMLP) -> students.BinaryMLP:
    """The student with running means as after some training."""
    with torch.no_grad():
        for _ in range(20):
            student(torch.rand(64, 1, 4, 4))
        for part in student.layers:
            if isinstance(part, torch.nn.BatchNorm1d):
                part.weight.copy_(torch.randn_like(part.weight))
                part.bias.copy_(torch.randn_like(part.bias))
    return student.eval()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FLOAT, min_size=1, max_size=8))
def test_the_activation_quantiser_is_the_sign(values):
    sign = small().layers.sign_in
    expected = [1.0 if v >= 0 else -1.0 for v in np.float32(values)]
    assert sign(torch.tensor(values)).tolist() == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FLOAT, min_size=16, max_size=16))
def test_the_weight_quantiser_is_the_sign(values):
    layer = students.BinaryMLP(16, (1,), 2).layers.fc0
    layer.weight.data = torch.tensor([values])
    expected = [1.0 if v >= 0 else -1.0 for v in np.float32(values)]
    assert layer.quant_weight().value[0].tolist() == expected


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_sign_of_zero_is_plus_one(zero):
    student = small()
    assert student.layers.sign_in(torch.tensor([zero])).item() == 1
    student.layers.fc0.weight.data.fill_(zero)
    assert (student.layers.fc0.quant_weight().value == 1).all()


def test_a_half_grey_pixel_is_plus_one():
    """2x - 1 of 128/255 is above zero, of 127/255 below."""
    student = small()
    pixels = torch.tensor([127, 128]).float() / 255
    assert student.layers.sign_in(2 * pixels - 1).tolist() == [-1, 1]


def test_gradients_pass_within_one_and_stop_outside():
    x = torch.tensor([-1.5, -0.5, 0.0, 0.5, 1.5], requires_grad=True)
    small().layers.sign_in(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_the_parts_are_in_finns_order():
    student = students.build(presets.load("mlp-digits"))
    names = list(dict(student.layers.named_children()))
    assert names == [
        *("sign_in", "fc0", "norm0", "sign0", "fc1", "norm1", "sign1"),
        *("fc2", "norm2", "sign2", "fc3", "norm"),
    ]
    shapes = [tuple(student.layers.get_submodule(f"fc{i}").weight.shape) for i in range(4)]
    assert shapes == [(64, 64), (64, 64), (64, 64), (10, 64)]


def test_every_accumulator_is_a_bipolar_dot_product():
    student = settled(small())
    sums = {}
    for name in ("fc0", "fc1", "fc2"):
        layer = student.layers.get_submodule(name)
        layer.register_forward_hook(lambda _m, i, o, name=name: sums.update({name: (i[0], o)}))
    with torch.no_grad():
        student(torch.rand(9, 1, 4, 4))
    for name, (seen, out) in sums.items():
        weights = student.layers.get_submodule(name).weight >= 0
        agree = ((seen >= 0)[:, None, :] == weights[None]).sum(2)
        assert torch.equal(out, (2 * agree - weights.shape[1]).float()), name


def test_clip_brings_weights_back_and_keeps_the_scalar_scale_positive():
    student = small()
    student.layers.fc0.weight.data.mul_(5)
    student.layers.norm.weight.data.fill_(-2)
    student.clip()
    assert student.layers.fc0.weight.abs().max() == 1
    assert student.layers.norm.weight.item() > 0


def test_the_scalar_norm_normalises_and_keeps_the_order():
    norm = students.ScalarNorm()
    x = torch.randn(200, 10) * 4 + 3
    y = norm(x)
    assert y.mean().item() == pytest.approx(0, abs=1e-5)
    assert y.std().item() == pytest.approx(1, abs=1e-2)
    for _ in range(100):
        norm(x)
    norm.eval()
    assert torch.equal(norm(x).argmax(1), x.argmax(1))
    assert norm(x).mean().item() == pytest.approx(0, abs=1e-2)


def test_the_export_has_finns_structure_and_the_same_logits(tmp_path):
    from brevitas.export import export_qonnx
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    student = settled(small())
    images = torch.randint(0, 256, (4, 1, 4, 4)).float() / 255
    path = tmp_path / "student.onnx"
    export_qonnx(student, images[:1], str(path))
    model = ModelWrapper(str(path))
    count = Counter(node.op_type for node in model.graph.node)
    assert count["BipolarQuant"] == 3 + 3  # input and two hidden activations, three weights
    assert count["BatchNormalization"] == 2
    assert count["MatMul"] + count["Gemm"] == 3
    assert not [init.name for init in model.graph.initializer if "bias_quant" in init.name]
    source, target = model.graph.input[0].name, model.graph.output[0].name
    with torch.no_grad():
        for image in images:
            logits = execute_onnx(model, {source: image[None].numpy()})[target]
            assert np.allclose(logits, student(image[None]).numpy(), atol=1e-5)
