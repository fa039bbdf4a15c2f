"""Binary students: signs, pixels, topology, and that the export keeps FINN's structure."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import UserError
from models import presets, students
from models.presets import Student

FLOAT = st.floats(-(2.0**100), 2.0**100, width=32)
CNV = Student((512, 512), "pixels", ((64, 64), (128, 128), (256, 256)))


def small(**options) -> students.BinaryNetwork:
    torch.manual_seed(0)
    return students.BinaryNetwork((1, 4, 4), Student(**({"hidden": (6, 5)} | options)), 3)


def settled(student: students.BinaryNetwork) -> students.BinaryNetwork:
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
    layer = small(hidden=(1,)).layers.fc0
    layer.weight.data = torch.tensor([values])
    expected = [1.0 if v >= 0 else -1.0 for v in np.float32(values)]
    assert layer.quant_weight().value[0].tolist() == expected


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_sign_of_zero_is_plus_one(zero):
    student = small()
    assert student.layers.sign_in(torch.tensor([zero])).item() == 1
    student.layers.fc0.weight.data.fill_(zero)
    assert (student.layers.fc0.quant_weight().value == 1).all()


def read_by(student: students.BinaryNetwork, name: str, images: torch.Tensor) -> torch.Tensor:
    seen = []
    student.layers.get_submodule(name).register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        student.eval()(images)
    return seen[0]


def test_a_half_grey_pixel_is_plus_one():
    """2x - 1 of 128/255 is above zero, of 127/255 below."""
    images = (torch.arange(256).float() / 255).expand(1, 1, 16, 256).reshape(-1, 1, 4, 4)
    signs = read_by(small(), "sign_in", images).view(16, 256)
    assert torch.equal(signs, torch.where(torch.arange(256) >= 128, 1.0, -1.0).expand(16, -1))


def test_an_eight_bit_pixel_enters_as_an_integer():
    """255 x - 128 of p / 255 is p - 128 exactly, for each p."""
    images = (torch.arange(256).float() / 255).view(-1, 1, 4, 4)
    values = read_by(small(input="pixels"), "pixels_in", images)
    assert torch.equal(values.reshape(-1), torch.arange(256).float() - 128)


def test_the_parts_are_in_finns_order():
    student = students.build(presets.load("mlp-digits"))
    names = list(dict(student.layers.named_children()))
    assert names == [
        *("sign_in", "flatten", "fc0", "norm0", "sign0", "fc1", "norm1", "sign1"),
        *("fc2", "norm2", "sign2", "fc3", "norm"),
    ]
    shapes = [tuple(student.layers.get_submodule(f"fc{i}").weight.shape) for i in range(4)]
    assert shapes == [(64, 64), (64, 64), (64, 64), (10, 64)]


def test_cnv_has_finns_topology():
    """The shapes of CNV-W1A1: no padding, pools after the second and the fourth convolution."""
    student = students.BinaryNetwork((3, 32, 32), CNV, 10)
    parts = dict(student.layers.named_children())
    assert [n for n in parts if n.startswith("pool")] == ["pool1", "pool3"]
    shapes = {n: tuple(p.weight.shape) for n, p in parts.items() if n[:2] in ("co", "fc")}
    assert shapes == {
        "conv0": (64, 3, 3, 3),
        "conv1": (64, 64, 3, 3),
        "conv2": (128, 64, 3, 3),
        "conv3": (128, 128, 3, 3),
        "conv4": (256, 128, 3, 3),
        "conv5": (256, 256, 3, 3),
        "fc6": (512, 256),
        "fc7": (512, 512),
        "fc8": (10, 512),
    }
    assert list(parts)[:8] == [
        *("pixels_in", "conv0", "norm0", "sign0", "conv1", "norm1", "sign1", "pool1"),
    ]
    assert all(getattr(part, "bias", None) is None for n, part in parts.items() if n in shapes)
    assert students.feature_shape((3, 32, 32), CNV) == (256, 1, 1)


@pytest.mark.parametrize("blocks", [((8, 8, 8),), ((8,), (8,)), ((8, 8),)])
def test_the_features_have_the_shape_that_is_computed_for_them(blocks):
    options = Student((5,), "pixels", blocks, 2)
    student = students.BinaryNetwork((2, 7, 9), options, 3)
    seen = read_by(student, f"sign{len(sum(blocks, ())) - 1}", torch.rand(1, 2, 7, 9))
    assert tuple(seen.shape[1:]) == students.feature_shape((2, 7, 9), options)


@pytest.mark.parametrize("kernel, padding", [(3, 1), (3, 0), (5, 2), (2, 1)])
def test_borders_and_separable_convolutions(kernel, padding):
    """Depthwise ones of the kernel's size, one of 1 x 1 behind each; borders of the least value."""
    options = Student((5,), "pixels", ((4, 6), (8,)), kernel, padding=padding, separable=True)
    student = students.BinaryNetwork((2, 12, 13), options, 3)
    parts = dict(student.layers.named_children())
    shapes = [tuple(p.weight.shape) for n, p in parts.items() if n.startswith("conv")]
    square = (kernel, kernel)
    assert shapes == [
        *((4, 2, *square), (4, 1, *square), (6, 4, 1, 1)),
        *((6, 1, *square), (8, 6, 1, 1)),
    ]
    borders = {n: p.value for n, p in parts.items() if n.startswith("pad")}
    assert borders == ({"pad0": -128, "pad1": -1, "pad3": -1} if padding else {})
    assert [n for n in parts if n.startswith("pool")] == ["pool2"]
    seen = read_by(student, "sign4", torch.rand(1, 2, 12, 13))
    assert tuple(seen.shape[1:]) == students.feature_shape((2, 12, 13), options)


def test_too_many_convolutions_are_refused():
    deep = Student((5,), "pixels", ((8, 8), (8,)))
    with pytest.raises(UserError, match=r"block 1 leaves a map of 0 x 0 pixels of an image of 8"):
        students.feature_shape((1, 8, 8), deep)


@pytest.mark.parametrize("source", ["binary", "pixels"])
def test_every_accumulator_is_a_sum_of_inputs_with_signs(source):
    student = settled(small(input=source))
    sums = {}
    for name in ("fc0", "fc1", "fc2"):
        layer = student.layers.get_submodule(name)
        layer.register_forward_hook(lambda _m, i, o, name=name: sums.update({name: (i[0], o)}))
    with torch.no_grad():
        student(torch.randint(0, 256, (9, 1, 4, 4)) / 255)
    for name, (seen, out) in sums.items():
        if name != "fc0" or source == "binary":
            assert seen.abs().eq(1).all()
        signs = np.where(student.layers.get_submodule(name).weight.detach() >= 0, 1, -1)
        expected = seen.numpy().astype(np.int64) @ signs.T
        assert np.array_equal(out.numpy(), expected), name


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
