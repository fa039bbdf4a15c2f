"""Export: the file computes what the student computes, and the golden values are the student's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantLinear
from brevitas_examples.bnn_pynq.models.FC import FC
from torch import nn

from flow import reference
from flow.errors import MismatchError, UserError
from flow.lowering import export, foreign
from flow.lowering.golden import Golden
from flow.lowering.lower import lower

SHAPE = (1, 28, 28)


def tfc(hidden: tuple[int, ...] = (16, 12), seed: int = 0) -> FC:
    """FINN's own TFC-W1A1 by brevitas, with batch norms as after training, negative scales too."""
    torch.manual_seed(seed)
    student = FC(
        num_classes=10, weight_bit_width=1, act_bit_width=1, in_bit_width=1, in_channels=1,
        out_features=list(hidden),
    )  # fmt: skip
    student.train()
    with torch.no_grad():
        for module in student.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.weight.copy_(torch.randn_like(module.weight) + 0.4)
                module.bias.copy_(torch.randn_like(module.bias) * 0.3)
        for _ in range(20):
            student(torch.rand(32, *SHAPE))
    return student.eval()


def random_images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def student():
    return tfc()


@pytest.fixture(scope="module")
def images():
    return random_images(40)


@pytest.fixture(scope="module")
def file(student, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export.export(student, SHAPE, path)
    return path


@pytest.fixture(scope="module")
def golden(student, images):
    return export.golden(student, images)


def test_pixels_are_scaled_as_torch_scales_them():
    pixels = np.arange(256, dtype=np.uint8)
    scaled = export.scale_images(pixels)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, torch.from_numpy(pixels).float() / 255)


def test_the_same_student_gives_the_same_bytes(student, file, tmp_path):
    export.export(student, SHAPE, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "again.onnx"]


def test_no_paths_of_this_machine_in_the_file(file):
    body = file.read_bytes()
    assert b"site-packages" not in body and b"/home" not in body and b".py" not in body


def test_a_failed_export_leaves_nothing(student, tmp_path):
    (tmp_path / "model.onnx").mkdir()  # the file cannot take its name
    with pytest.raises(OSError):
        export.export(student, SHAPE, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]


def test_the_file_computes_what_the_student_computes(student, file):
    images = random_images(1500, seed=1)  # more than one batch
    logits = foreign.logits(file, images)
    with torch.no_grad():
        expected = student(export.scale_images(images)).numpy()
    assert np.allclose(logits, expected, rtol=1e-5, atol=1e-5)
    labels = foreign.labels(file, images)
    assert np.array_equal(labels, expected.argmax(1))
    assert np.array_equal(labels, export.predict(student, images))


def test_running_the_file_stops_when_time_is_over(file):
    images = random_images(2500)
    assert len(foreign.labels(file, images, seconds=0.0)) == foreign.BATCH
    assert len(foreign.labels(file, images, seconds=1e9)) == 2500


def test_golden_values_from_torch_and_from_the_file_agree(golden, file, images):
    other = foreign.golden(file, images)
    for name in ("weights", "activations", "accumulators", "tables"):
        for ours, theirs in zip(getattr(golden, name), getattr(other, name), strict=True):
            assert np.array_equal(ours, theirs), name
    assert np.array_equal(golden.labels, other.labels)
    assert np.allclose(golden.logits, other.logits, atol=1e-5)
    assert np.allclose(golden.tail, other.tail, atol=1e-5)


def test_golden_values_by_hand(student, golden, images):
    """The first layer, from the student's parameters alone."""
    bits = (2.0 * (images.reshape(40, -1).astype(np.float32) / np.float32(255)) - 1) >= 0
    weights = student.features[2].weight.detach().numpy() >= 0
    sums = (2 * bits.astype(int) - 1) @ (2 * weights.astype(int) - 1).T
    assert np.array_equal(golden.activations[0], bits)
    assert np.array_equal(golden.weights[0], weights)
    assert np.array_equal(golden.accumulators[0], sums)
    assert golden.tables[0].shape == (256, 784) and golden.tables[1].shape == (785, 16)
    assert golden.tail.shape == (13, 10)


def test_tables_hold_for_inputs_that_no_image_brings(student, golden):
    """Batch norm and sign of the module itself at the ends of the accumulator's range."""
    for value in (-784, -2, 0, 2, 784):
        row = torch.full((1, 16), float(value))
        bits = student.features[4](student.features[3](row))
        bits = bits if isinstance(bits, torch.Tensor) else bits.value
        assert np.array_equal(golden.tables[1][(value + 784) // 2], bits.detach().numpy()[0] > 0)


def test_save_and_load(golden, tmp_path):
    golden.save(tmp_path / "golden.npz")
    other = Golden.load(tmp_path / "golden.npz").check()
    assert np.array_equal(golden.accumulators[1], other.accumulators[1])
    assert other.take(3).logits.shape == (3, 10) and len(other.take(3)) == 3


@pytest.mark.parametrize(
    "part, where",
    [("activations", "fc0_act"), ("accumulators", "fc1"), ("tables", "fc0_act")],
)
def test_golden_values_that_contradict_each_other(golden, part, where, tmp_path):
    golden.save(tmp_path / "golden.npz")
    other = Golden.load(tmp_path / "golden.npz")
    if part == "tables":
        row = (int(golden.accumulators[0][5, 3]) + 784) // 2
        other.tables[1][row, 3] ^= 1
    else:
        getattr(other, part)[1][5, 3] ^= 1
    with pytest.raises(MismatchError) as caught:
        other.check()
    assert caught.value.where == where


def test_labels_that_contradict_the_logits(golden, tmp_path):
    golden.save(tmp_path / "golden.npz")
    other = Golden.load(tmp_path / "golden.npz")
    other.labels[7] = (other.labels[7] + 1) % 10
    with pytest.raises(MismatchError, match="labels"):
        other.check()


def test_student_of_two_bits_is_refused():
    student = FC(
        num_classes=10, weight_bit_width=2, act_bit_width=2, in_bit_width=1, in_channels=1,
        out_features=[8],
    )  # fmt: skip
    with pytest.raises(UserError, match="one bit"):
        export.golden(student, random_images(2))


def test_layer_that_runs_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            inner = tfc((784,)).features
            self.first, self.layer = inner[0], inner[2]

        def forward(self, x):
            return self.layer(self.first(self.layer(self.first(x.flatten(1)))))

    with pytest.raises(UserError, match="each of them once"):
        export.golden(Twice(), random_images(2))


def test_lowering_an_exported_student(student, golden, file):
    lowered = lower(file, golden)
    images = random_images(2000, seed=5)
    assert np.array_equal(reference.labels(lowered.graph, images), export.predict(student, images))


def test_lowering_fails_where_file_and_student_differ(golden, tmp_path):
    other = tfc()
    layer = next(m for m in other.modules() if isinstance(m, QuantLinear))
    with torch.no_grad():
        layer.weight[2, 9] *= -1
    export.export(other, SHAPE, tmp_path / "other.onnx")
    with pytest.raises(MismatchError, match="row 2 column 9") as caught:
        lower(tmp_path / "other.onnx", golden)
    assert caught.value.where == "Import/fc0"


EXPORTERS = {
    "dynamo": {},
    "dynamo, open batch": {"dynamic_shapes": ({0: torch.export.Dim("N")},)},
    "TorchScript": {"dynamo": False},
    "TorchScript, open batch": {
        "dynamo": False,
        "input_names": ["image"],
        "dynamic_axes": {"image": {0: "N"}},
    },
}


@pytest.mark.parametrize("options", EXPORTERS.values(), ids=EXPORTERS.keys())
@pytest.mark.filterwarnings("ignore")
def test_raw_brevitas_exports(student, images, golden, options, tmp_path):
    """Files as users have them: not cleaned, by each of brevitas' exporters, batch of 3."""
    export_qonnx(student, torch.zeros(3, *SHAPE), str(tmp_path / "raw.onnx"), **options)
    assert foreign.load(tmp_path / "raw.onnx", tmp_path / "model.onnx") == SHAPE
    lowered = lower(tmp_path / "model.onnx", foreign.golden(tmp_path / "model.onnx", images))
    expected = lower_weights(golden)
    for name, rows in expected.items():
        weights = lowered.graph.layer(name).weights
        assert ((weights == rows).all(1) | (weights != rows).all(1)).all()
    labels = export.predict(student, images)
    assert np.array_equal(reference.labels(lowered.graph, images), labels)


def lower_weights(golden: Golden) -> dict[str, np.ndarray]:
    return {f"fc{i}": weights for i, weights in enumerate(golden.weights)}
