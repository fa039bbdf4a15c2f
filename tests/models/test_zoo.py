"""Packed students: the same bits as the student they come from, and nothing taken on trust."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from brevitas.nn import QuantIdentity
from torch import nn

from flow.errors import UserError
from flow.lowering.export import predict
from models import presets, students, zoo
from models.presets import Student

NETWORKS = {
    "binary MLP": ((1, 4, 5), Student(hidden=(12, 9))),
    "MLP of pixels": ((1, 4, 5), Student(hidden=(12, 9), input="pixels")),
    "binary convolutions": ((1, 12, 12), Student(hidden=(9,), convolutions=((7, 8), (10,)))),
    "shortcuts": (
        (1, 8, 8),
        Student(hidden=(9,), convolutions=((6, 6, 6), (6,)), padding=1, shortcuts=True),
    ),
    "convolutions of pixels": (
        (3, 12, 12),
        Student(hidden=(9, 9), input="pixels", convolutions=((7, 8), (10,))),
    ),
}


def random_student(name: str, seed: int = 0) -> students.BinaryNetwork:
    """A student with random weights and norms: scales of both signs and zero, constant channels."""
    torch.manual_seed(seed)
    shape, options = NETWORKS[name]
    student = students.BinaryNetwork(shape, options, 4)
    with torch.no_grad():
        for product in zoo.products(student)[:-1]:
            norm, spread = product.after[0][1], len(product.sums) / 16
            norm.weight.copy_(torch.randn_like(norm.weight))
            norm.bias.copy_(torch.randn_like(norm.bias) / 4)
            norm.running_mean.copy_(torch.randn_like(norm.running_mean) * spread / 4)
            norm.running_var.copy_(spread**2 * (0.5 + torch.rand_like(norm.running_var)))
            norm.weight[0] = 0
            norm.running_mean[1] = 1e6
        student.layers.norm.weight.fill_(0.3)
        student.layers.norm.running_mean.fill_(1.7)
    return student.eval()


def refilled(student: students.BinaryNetwork, name: str) -> students.BinaryNetwork:
    shape, options = NETWORKS[name]
    return zoo.unpack(zoo.pack(student), students.BinaryNetwork(shape, options, 4))


def activations(student: students.BinaryNetwork, images: np.ndarray) -> list[torch.Tensor]:
    """What every sign of the student gives for the images."""
    seen: list[torch.Tensor] = []
    signs = [m for m in student.layers if isinstance(m, QuantIdentity)]
    hooks = [m.register_forward_hook(lambda _m, _a, out: seen.append(out)) for m in signs]
    predict(student, images)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", NETWORKS)
def test_activation_functions_are_equal_on_every_sum(name):
    student = random_student(name)
    other = refilled(student, name)
    channels = {"rising": 0, "falling": 0, "constant": 0}
    for old, new in zip(zoo.products(student)[:-1], zoo.products(other)[:-1], strict=True):
        a = np.concatenate([values for _, values in old.evaluate()])
        b = np.concatenate([values for _, values in new.evaluate()])
        assert len(a) == len(old.sums) and set(np.unique(a)) <= {-1, 1}
        assert np.array_equal(a, b)
        channels["rising"] += int((a[0] < a[-1]).sum())
        channels["falling"] += int((a[0] > a[-1]).sum())
        channels["constant"] += int((a[0] == a[-1]).sum())
    assert min(channels.values()) > 0, channels  # all three kinds were tried


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_and_labels_of_images_are_equal(name):
    student = random_student(name, seed=1)
    other = refilled(student, name)
    shape, _ = NETWORKS[name]
    images = np.random.default_rng(0).integers(0, 256, (200, *shape), np.uint8)
    ours, theirs = activations(student, images), activations(other, images)
    assert len(ours) == len(zoo.products(student)) and len(ours[-1].unique()) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    labels = predict(student, images)
    assert len(np.unique(labels)) > 1
    assert np.array_equal(labels, predict(other, images))


@pytest.mark.parametrize("name", NETWORKS)
def test_packing_a_refilled_student_gives_the_same_arrays(name):
    student = random_student(name)
    assert zoo.digest(zoo.pack(refilled(student, name))) == zoo.digest(zoo.pack(student))


def test_sums_of_pixels_reach_both_ends():
    first = zoo.products(random_student("convolutions of pixels"))[0]
    assert (first.sums[0], first.sums[-1]) == (-128 * 27, 128 * 27)
    second = zoo.products(random_student("convolutions of pixels"))[1]
    assert list(second.sums) == list(range(-63, 64, 2))


def test_thresholds_are_those_of_a_norm_worked_out_by_hand():
    torch.manual_seed(0)
    student = students.BinaryNetwork((1, 1, 8), Student(hidden=(5,)), 2).eval()
    norm = student.layers.norm0
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([2.5, 2.5, 0.0, -99.0, 99.0]))
        norm.weight.copy_(torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0]))
    arrays = zoo.pack(student)
    # sums are -8, -6 .. 8; sign(0) = +1, so that the third channel is on from 0
    assert arrays["sign0.threshold"].tolist() == [4, 4, 0, -8, 9]
    assert arrays["sign0.direction"].tolist() == [1, -1, 1, 1, 1]
    bits = (student.layers.fc0.weight >= 0).flatten().numpy()
    assert arrays["fc0.weights"].tolist() == np.packbits(bits).tolist()


class Hump(nn.Module):
    """Positive in the middle alone."""

    def forward(self, x):
        return 3 - x.abs()


def test_an_activation_that_is_no_threshold_is_refused():
    student = random_student("binary MLP")
    student.layers.norm1 = Hump()
    with pytest.raises(UserError, match=r"sign1: .* channel 0 .* changes 2 times"):
        zoo.pack(student)


@pytest.mark.parametrize("scale", [-1.0, 0.0])
def test_a_tail_that_reorders_logits_is_refused(scale):
    student = random_student("binary MLP")
    with torch.no_grad():
        student.layers.norm.weight.fill_(scale)
    with pytest.raises(UserError, match="fc2 does not keep the order"):
        zoo.pack(student)


def test_a_tail_that_differs_between_classes_is_refused():
    student = random_student("binary MLP")
    student.layers.norm = nn.BatchNorm1d(4).eval()
    with torch.no_grad():
        student.layers.norm.bias[2] = 1
    with pytest.raises(UserError, match="not the same for all classes"):
        zoo.pack(student)


def test_weights_that_are_not_one_bit_are_refused():
    student = random_student("binary MLP")
    student.layers.fc1.quant_weight = lambda: torch.full((9, 12), 0.5)
    with pytest.raises(UserError, match="weights of fc1"):
        zoo.pack(student)


@pytest.fixture
def preset():
    whole = presets.load("mlp-digits")
    return replace(whole, student=Student(hidden=(16, 8)))


@pytest.fixture
def folder(tmp_path, monkeypatch, preset):
    """A zoo with an entry for a small mlp-digits."""
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    arrays = zoo.pack(students.build(preset))
    folder = tmp_path / preset.name
    folder.mkdir()
    zoo.save(folder / zoo.WEIGHTS, arrays)
    training = {"source": "trained", "weights": zoo.digest(arrays), "seed": 3, "epochs": 1}
    report = {"commit": "c", "seed": 3, "training": training}
    (folder / zoo.REPORT).write_text(json.dumps(report))
    return folder


def test_the_same_student_gives_the_same_bytes_and_a_small_file(folder, preset, tmp_path):
    first = (folder / zoo.WEIGHTS).read_bytes()
    zoo.save(tmp_path / "again.npz", zoo.pack(zoo.load(preset)))
    assert (tmp_path / "again.npz").read_bytes() == first
    assert len(first) < 4096  # 1360 bits of weights


def test_an_entry_says_how_it_was_trained(folder, preset):
    entry = zoo.find(preset.name)
    assert entry and entry.seed == 3
    assert entry.training == {"commit": "c", "seed": 3, "epochs": 1}
    assert zoo.find("sfc-mnist") is None


def refused(preset) -> str:
    with pytest.raises(UserError) as error:
        zoo.load(preset)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_student_than_the_presets_is_refused(folder, preset):
    wider = replace(preset, student=Student(hidden=(16, 9)))
    assert "fc1 of 8 x 16 where the [student] of mlp-digits has fc1 of 9 x 16" in refused(wider)
    deeper = replace(preset, student=Student(hidden=(16, 8, 8)))
    assert "fc2 of 10 x 8" in refused(deeper)
    pixels = replace(preset, student=Student(hidden=(16, 8), input="pixels"))
    assert "sign_in where" in refused(pixels)


def test_a_missing_entry_names_those_there_are(folder, preset):
    assert "there are mlp-digits" in refused(replace(preset, name="sfc-mnist"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "no parts"])
def test_a_damaged_file_of_weights_is_one_line(folder, preset, damage):
    path = folder / zoo.WEIGHTS
    body = bytearray(path.read_bytes())
    match damage:
        case "cut":
            body = body[:-100]
        case "flipped":
            body[len(body) // 2] ^= 255
        case "text":
            body = bytearray(b"version https://git-lfs.github.com/spec/v1")
        case "empty":
            body = bytearray()
    path.write_bytes(body)
    if damage == "no parts":
        zoo.save(path, {"x": np.zeros(1)})
    line = refused(preset)
    assert str(path) in line and ("damaged" in line or "not a file of weights" in line)


def test_weights_of_another_report_are_refused(folder, preset):
    path = folder / zoo.WEIGHTS
    arrays = zoo.read(path)
    arrays["fc0.weights"][0] ^= 1
    zoo.save(path, arrays)
    assert "not the weights of the report" in refused(preset)


@pytest.mark.parametrize("body", [None, "{", "[]", '{"commit": "c", "seed": 0, "training": {}}'])
def test_a_damaged_report_is_one_line(folder, preset, body):
    (folder / zoo.REPORT).unlink()
    if body is not None:
        (folder / zoo.REPORT).write_text(body)
    assert "report.json: missing or damaged" in refused(preset)


@pytest.mark.parametrize("name", [p.parent.name for p in zoo.ZOO.glob(f"*/{zoo.WEIGHTS}")])
def test_every_kept_student_loads_and_is_packed_as_it_lies_there(name):
    preset = presets.load(name)
    assert zoo.digest(zoo.pack(zoo.load(preset))) == zoo.digest(
        zoo.read(zoo.ZOO / name / zoo.WEIGHTS)
    )
