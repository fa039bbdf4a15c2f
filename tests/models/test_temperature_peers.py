"""The published rivals' temperatures, by hand."""

from math import cos, exp, pi

import pytest
import torch

from models.losses import student_loss
from models.temperature import Observation, build


def test_ctkd_by_hand():
    controller = build({"form": "ctkd"}, seeds=(2,))
    with torch.no_grad():
        controller.theta.copy_(torch.tensor([1.0, -2.0]))
    logits = torch.randn(2, 4, 3)
    labels = torch.zeros(2, 4, dtype=torch.long)
    found = controller(Observation(logits, logits + 1, labels, 0, 10))
    expected = [1 + 20 / (1 + exp(-1)), 1 + 20 / (1 + exp(2))]
    assert found.teacher.flatten().tolist() == pytest.approx(expected)
    assert found.student is found.teacher
    assert controller.distance.tolist() == [0, 0]


@pytest.mark.parametrize("step", [0, 1, 2, 3, 4, 7])
def test_ctkd_climbs_the_loss_more_and_more(step):
    """theta's gradient is that of the loss by theta, times lambda: 0 at first, -1 after `share`."""
    torch.manual_seed(0)
    teacher, student = torch.randn(2, 4, 3) * 3, torch.randn(2, 4, 3)
    labels = torch.randint(0, 3, (2, 4))
    controller = build({"form": "ctkd", "share": 0.5}, seeds=(2,))

    def loss() -> torch.Tensor:
        softness = controller(Observation(teacher, student, labels, step, 8))
        return student_loss(
            student=student, teacher=teacher, labels=labels, softness=softness, alpha=0.9
        )

    loss().sum().backward()
    factor = -(1 - cos(pi * min(1, step / 4))) / 2
    nudge, slopes = 1e-2, []
    with torch.no_grad():
        for sign in (1, -1):
            controller.theta += sign * nudge
            slopes.append(loss())
            controller.theta -= sign * nudge
    slope = (slopes[0] - slopes[1]) / (2 * nudge)
    assert controller.theta.grad.tolist() == pytest.approx(
        (factor * slope).tolist(), rel=2e-2, abs=1e-7
    )


def test_ctkd_climbs_under_an_optimiser_that_descends():
    torch.manual_seed(0)
    teacher, student = torch.randn(64, 10) * 4, torch.randn(64, 10)
    labels = torch.randint(0, 10, (64,))
    controller = build({"form": "ctkd"})
    optimiser = torch.optim.SGD(controller.parameters(), lr=1.0)
    values = []
    for step in range(5, 10):
        softness = controller(Observation(teacher, student, labels, step, 10))
        loss = student_loss(
            student=student, teacher=teacher, labels=labels, softness=softness, alpha=1.0
        )
        values.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert values == sorted(values) and values[0] < values[-1]


def test_dtkd_by_hand():
    teacher = torch.tensor([[6.0, 0, 1], [2, 2, 0], [-3, -1, -2]])
    student = torch.tensor([[2.0, 1, 0], [0, 2, 1], [0.9, 0, 0]])
    labels = torch.zeros(3, dtype=torch.long)
    found = build({"form": "dtkd", "tau": 4, "floor": 0.1})(
        Observation(teacher, student, labels, 0, 1)
    )
    # the teacher's largest logit of the last sample, -1, counts as the floor
    assert found.teacher.flatten().tolist() == pytest.approx([6, 4, 0.8])
    assert found.student.flatten().tolist() == pytest.approx([2, 4, 7.2])


def test_dtkd_makes_both_networks_equally_sharp():
    torch.manual_seed(0)
    teacher, student = torch.rand(8, 10) * 9 + 1, torch.rand(8, 10) * 2 + 1
    observation = Observation(teacher, student, torch.zeros(8, dtype=torch.long), 0, 1)
    found = build({"form": "dtkd"})(observation)
    peaks = ((x / t).amax(dim=-1) for x, t in zip((teacher, student), found, strict=True))
    assert next(peaks).tolist() == pytest.approx(next(peaks).tolist())
