"""Losses against values worked out by hand, and the two traps of distillation."""

from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from models.losses import entropy_loss, normalised_entropy, soft_label_loss, student_loss

LOGIT = st.floats(-30, 30, width=32)
ROWS = st.lists(st.lists(LOGIT, min_size=5, max_size=5), min_size=1, max_size=4)


def probabilities(logits: list[float], temperature: float) -> list[float]:
    """softmax(logits / temperature) in plain Python."""
    parts = [exp(z / temperature) for z in logits]
    return [p / sum(parts) for p in parts]


def test_entropy_of_uniform_certain_and_two_of_four():
    logits = torch.tensor([[0.0, 0, 0, 0], [1000, 0, 0, 0], [1000, 1000, 0, 0]])
    assert normalised_entropy(logits).tolist() == pytest.approx([1, 0, 0.5], abs=1e-6)


def test_entropy_by_hand():
    p = probabilities([1, 2, 4], 1)
    expected = -sum(x * log(x) for x in p) / log(3)
    assert normalised_entropy(torch.tensor([[1.0, 2, 4]])).item() == pytest.approx(expected)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(ROWS)
def test_entropy_is_between_zero_and_one_and_ignores_a_shift(rows):
    logits = torch.tensor(rows)
    entropy = normalised_entropy(logits)
    assert (entropy >= -1e-6).all() and (entropy <= 1 + 1e-6).all()
    assert torch.allclose(entropy, normalised_entropy(logits + 3), atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
def test_soft_labels_by_hand(temperature):
    student, teacher = [[0.5, 1, -1], [0, 0, 2]], [[2.0, 0, -1], [1, 0, 3]]
    expected = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = probabilities(t, temperature), probabilities(s, temperature)
        expected += sum(a * log(a / b) for a, b in zip(p, q, strict=True))
    expected *= temperature**2 / 2
    loss = soft_label_loss(
        student=torch.tensor(student), teacher=torch.tensor(teacher), temperature=temperature
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_soft_labels_average_over_samples_not_over_classes():
    """KLDivLoss divides by the number of classes too unless told "batchmean"."""
    student, teacher = torch.randn(6, 10), torch.randn(6, 10)
    log_s, p_t = F.log_softmax(student / 3, 1), F.softmax(teacher / 3, 1)
    loss = soft_label_loss(student=student, teacher=teacher, temperature=3.0)
    assert loss.item() == pytest.approx(9 * F.kl_div(log_s, p_t, reduction="batchmean").item())
    over_everything = 9 * F.kl_div(log_s, p_t, reduction="none").mean().item()
    assert loss.item() == pytest.approx(10 * over_everything)


def test_a_temperature_for_each_sample_equals_the_samples_one_by_one():
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    each = torch.tensor([[1.0], [2.0], [5.0]])
    whole = soft_label_loss(student=student, teacher=teacher, temperature=each)
    single = [
        soft_label_loss(student=student[i : i + 1], teacher=teacher[i : i + 1], temperature=t)
        for i, t in enumerate((1.0, 2.0, 5.0))
    ]
    assert whole.item() == pytest.approx(sum(x.item() for x in single) / 3, rel=1e-5)


def test_t_squared_keeps_the_size_of_the_gradient():
    """For T far above the logits the gradient tends to (z_s - z_t) / classes, whatever T."""
    sizes = []
    for temperature in (20.0, 40.0):
        student = torch.tensor([[1.0, -1.0, 0.5]], requires_grad=True)
        teacher = torch.tensor([[0.0, 2.0, -2.0]])
        soft_label_loss(student=student, teacher=teacher, temperature=temperature).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_no_gradient_reaches_the_teacher():
    student, teacher = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    labels = torch.tensor([0, 2])
    loss = student_loss(
        student=student, teacher=teacher, labels=labels, temperature=2.0, alpha=0.5, beta=0.1
    )
    loss.backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_the_teachers_logits_given_twice_are_refused():
    logits = torch.randn(2, 3)
    with pytest.raises(ValueError, match="same tensor"):
        soft_label_loss(student=logits, teacher=logits, temperature=2.0)
    with pytest.raises(ValueError, match="same tensor"):
        soft_label_loss(student=logits, teacher=logits.detach(), temperature=2.0)


def test_the_student_loss_is_the_linear_combination():
    student, teacher = torch.randn(5, 4), torch.randn(5, 4)
    labels = torch.tensor([0, 1, 2, 3, 0])
    soft = soft_label_loss(student=student, teacher=teacher, temperature=3.0)
    gap = normalised_entropy(student) - normalised_entropy(teacher)
    assert entropy_loss(student=student, teacher=teacher).item() == pytest.approx(
        gap.square().mean().item()
    )
    expected = 0.3 * F.cross_entropy(student, labels) + 0.7 * soft + 0.2 * gap.square().mean()
    loss = student_loss(
        student=student, teacher=teacher, labels=labels, temperature=3.0, alpha=0.7, beta=0.2
    )
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_of_alpha(alpha):
    student, teacher, labels = torch.randn(5, 4), torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    loss = student_loss(
        student=student, teacher=teacher, labels=labels, temperature=2.0, alpha=alpha
    )
    hard = F.cross_entropy(student, labels)
    soft = soft_label_loss(student=student, teacher=teacher, temperature=2.0)
    assert loss.item() == pytest.approx((soft if alpha else hard).item())


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
