"""The gap gate against its formula worked out by hand."""

from math import exp, log

import pytest
import torch

from models.gate import held_back, teacher_learns


def logits(*rows: list[float]) -> torch.Tensor:
    """Logits of the given probabilities."""
    return torch.tensor([[log(p) for p in row] for row in rows])


def by_hand(teacher: list[list[float]], student: list[list[float]], labels: list[int]) -> float:
    gap = to_student = to_teacher = 0.0
    for t, s, label in zip(teacher, student, labels, strict=True):
        y = [float(i == label) for i in range(len(t))]
        gap += sum(abs(a - b) for a, b in zip(s, t, strict=True)) / len(labels)
        to_student += sum(abs(a - b) for a, b in zip(s, y, strict=True)) / len(labels)
        to_teacher += sum(abs(a - b) for a, b in zip(t, y, strict=True)) / len(labels)
    threshold = to_student - exp(-to_teacher / (to_student + to_teacher)) * to_teacher
    return 0.0 if gap > threshold and to_teacher < to_student else 1.0


@pytest.mark.parametrize(
    ("teacher", "student", "learns"),
    [
        # S = 1, T = 0.4, G = 0.6; delta = 1 - exp(-0.4 / 1.4) 0.4 = 0.699: near enough
        ([0.8, 0.1, 0.1], [0.5, 0.25, 0.25], 1.0),
        # S = 1, T = 0.4, but they disagree on the other classes: G = 1 > 0.699
        ([0.8, 0.2 - 1e-6, 1e-6], [0.5, 1e-6, 0.5 - 1e-6], 0.0),
        # the same networks the other way round: the teacher is behind, it learns
        ([0.5, 1e-6, 0.5 - 1e-6], [0.8, 0.2 - 1e-6, 1e-6], 1.0),
    ],
)
def test_by_hand(teacher, student, learns):
    labels = torch.tensor([0])
    found = teacher_learns(teacher=logits(teacher), student=logits(student), labels=labels)
    assert found.item() == learns == by_hand([teacher], [student], [0])


def test_the_norms_are_means_over_the_batch():
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        p_t = torch.softmax(torch.randn(3, 4, generator=generator, dtype=torch.double) * 3, -1)
        p_s = torch.softmax(torch.randn(3, 4, generator=generator, dtype=torch.double) * 2, -1)
        labels = torch.randint(0, 4, (3,), generator=generator)
        expected = by_hand(p_t.tolist(), p_s.tolist(), labels.tolist())
        found = teacher_learns(teacher=p_t.log(), student=p_s.log(), labels=labels)
        assert found.item() == expected
        seen.add(expected)
    assert seen == {0.0, 1.0}


def test_at_the_labels_both_learn():
    certain = torch.tensor([[1000.0, 0, 0]])
    found = teacher_learns(teacher=certain, student=certain.clone(), labels=torch.tensor([0]))
    assert found.item() == 1


def test_each_seed_has_its_own_switch_and_no_gradient():
    teacher = torch.stack([logits([0.8, 0.1, 0.1]), logits([0.8, 0.199, 0.001])]).requires_grad_()
    student = torch.stack([logits([0.5, 0.25, 0.25]), logits([0.5, 0.001, 0.499])])
    found = teacher_learns(
        teacher=teacher, student=student, labels=torch.zeros(2, 1, dtype=torch.long)
    )
    assert found.tolist() == [1, 0]
    assert not found.requires_grad


def test_a_pause_holds_back_momentum_and_weight_decay_of_its_seed_alone():
    weight = torch.nn.Parameter(torch.ones(2, 3))
    optimiser = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5, fused=True)
    weight.grad = torch.ones(2, 3)
    optimiser.step()
    before, moments = weight.detach().clone(), optimiser.state[weight]["exp_avg"].clone()
    weight.grad = torch.zeros(2, 3)
    with held_back(optimiser, torch.tensor([0.0, 1.0])):
        optimiser.step()
    assert torch.equal(weight[0], before[0])
    assert torch.equal(optimiser.state[weight]["exp_avg"][0], moments[0])
    assert (weight[1] < before[1]).all()
    assert (optimiser.state[weight]["exp_avg"][1] < moments[1]).all()
