"""Float teachers: shapes, grey values, dropout, and seeds that do not meet."""

import pytest
import small
import torch
from torch.nn import functional as F

from models.augment import generator
from models.teachers import Teachers

NETWORKS = {"dense": {"hidden": (24, 16)}, "residual": {"convolutions": (8, 12)}}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def images_of(seeds: int, count: int = 20) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (count, seeds, 8, 8), dtype=torch.uint8)


def generators(*seeds: int) -> list[torch.Generator]:
    return [generator(seed, 2) for seed in seeds]


@every_network
def test_a_teacher_gives_logits_and_sees_grey_values(network):
    teachers = Teachers(small.preset(teacher=network), (0, 1, 2)).eval()
    images = torch.full((2, 3, 8, 8), 160, dtype=torch.uint8)
    images[1] = 230  # the same to a binary input
    logits = teachers(images)
    assert logits.shape == (3, 2, 10) and logits.dtype == torch.float32
    assert not torch.equal(logits[:, 0], logits[:, 1])


def test_a_dense_teacher_by_its_definition():
    teachers = Teachers(small.preset(teacher={"hidden": (24,)}), (4, 7)).eval()
    with torch.no_grad():
        teachers.norms[0].bias.copy_(torch.randn(2, 24))
        teachers.classifier.bias.copy_(torch.randn(2, 1, 10))
    images = images_of(2)
    for i in range(2):
        x = images[:, i].flatten(1) / 127.5 - 1
        x = x @ teachers.linears[0].weight[i].T / (1 + 1e-5) ** 0.5 + teachers.norms[0].bias[i]
        expected = F.relu(x) @ teachers.classifier.weight[i].T + teachers.classifier.bias[i, 0]
        assert torch.allclose(teachers(images)[i], expected, atol=1e-4)


def test_a_residual_teacher_by_its_definition():
    """Stem; then for each width a convolution, a pool, and a convolution with a way around it."""
    teachers = Teachers(small.preset(teacher=NETWORKS["residual"]), (3,)).eval()
    images = images_of(1)

    def part(x: torch.Tensor, i: int) -> torch.Tensor:
        return F.conv2d(x, teachers.convolutions[i].weight[0], padding=1) / (1 + 1e-5) ** 0.5

    x = F.relu(part(images / 127.5 - 1, 0))
    for i in (1, 3):
        x = F.relu(F.max_pool2d(part(x, i), 2))
        x = x + F.relu(part(x, i + 1))
    assert x.shape == (20, 12, 2, 2)
    expected = F.linear(x.amax((2, 3)), teachers.classifier.weight[0])
    assert torch.allclose(teachers(images)[0], expected, atol=1e-4)


@every_network
def test_dropout_is_used_in_training_only(network):
    teachers = Teachers(small.preset(teacher={"dropout": 0.5, "hidden": (24,)}), (0, 1))
    teachers.draw = generators(0, 1)
    images = images_of(2)
    assert not torch.equal(teachers(images), teachers(images))
    teachers.eval()
    assert torch.equal(teachers(images), teachers(images))


def test_dropout_keeps_the_mean_and_belongs_to_a_seed():
    teachers = Teachers(small.preset(teacher={"dropout": 0.25}), (5, 3))
    teachers.draw = generators(5, 3)
    dropped = teachers._drop(torch.ones(500, 80))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    alone = Teachers(small.preset(teacher={"dropout": 0.25}), (3,))
    alone.draw = generators(3)
    assert torch.equal(alone._drop(torch.ones(500, 40)), dropped[:, 40:])
    assert not torch.equal(dropped[:, :40], dropped[:, 40:])


@every_network
def test_a_teacher_is_the_same_beside_others_and_alone(network):
    wanted = small.preset(teacher=network | {"dropout": 0.25})
    together, alone = Teachers(wanted, (5, 3, 9)), Teachers(wanted, (3,))
    for (name, many), one in zip(
        together.state_dict().items(), alone.state_dict().values(), strict=True
    ):
        assert torch.equal(many[1], one[0]), name
    together.draw, alone.draw = generators(5, 3, 9), generators(3)
    images = images_of(3)
    assert torch.allclose(together(images)[1], alone(images[:, 1:2])[0], atol=1e-5)


@every_network
def test_the_gradient_of_one_teacher_reaches_no_other(network):
    teachers = Teachers(small.preset(teacher=network | {"dropout": 0.25}), (0, 1, 2))
    teachers.draw = generators(0, 1, 2)
    teachers(images_of(3))[1].square().sum().backward()
    for name, parameter in teachers.named_parameters():
        assert not parameter.grad[[0, 2]].any(), name
        assert parameter.grad[1].any(), name
