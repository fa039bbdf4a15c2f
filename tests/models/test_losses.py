"""Losses against values worked out by hand, torchdistill, and the two traps of distillation."""

from math import exp, log, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchdistill.losses.mid_level import KDLoss

from models.losses import (
    Softness,
    alpha_of,
    dkd_loss,
    entropy_loss,
    hard_label_loss,
    normalised_entropy,
    soft_label_loss,
    standardised,
    student_loss,
    teacher_loss,
)

LOGIT = st.floats(-30, 30, width=32)
ROWS = st.lists(st.lists(LOGIT, min_size=5, max_size=5), min_size=1, max_size=4)
STUDENT, TEACHER = [[0.5, 1.0, -1.0], [0.0, 0.0, 2.0]], [[2.0, 0.0, -1.0], [1.0, 0.0, 3.0]]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def at(teacher: float, student: float | None = None) -> Softness:
    """One temperature for the whole batch, or one for each network."""
    student = teacher if student is None else student
    return Softness(torch.tensor([[teacher]]), torch.tensor([[student]]))


def batch(*leading: int, classes: int = 4) -> dict[str, torch.Tensor]:
    """Logits of both networks, sizes as in training, and labels."""
    return {
        "student": torch.randn(*leading, classes) * 2,
        "teacher": torch.randn(*leading, classes) * 4,
        "labels": torch.randint(0, classes, leading),
    }


def probabilities(logits: list[float], temperature: float = 1.0) -> list[float]:
    """softmax(logits / temperature) in plain Python."""
    parts = [exp(z / temperature) for z in logits]
    return [p / sum(parts) for p in parts]


def divergence(p: list[float], q: list[float]) -> float:
    """KL(p || q) in plain Python."""
    return sum(a * log(a / b) for a, b in zip(p, q, strict=True))


def test_entropy_of_uniform_certain_and_two_of_four():
    logits = torch.tensor([[0.0, 0, 0, 0], [1000, 0, 0, 0], [1000, 1000, 0, 0]])
    assert normalised_entropy(logits).tolist() == pytest.approx([1, 0, 0.5], abs=1e-6)


def test_entropy_by_hand():
    expected = -sum(x * log(x) for x in probabilities([1, 2, 4])) / log(3)
    assert normalised_entropy(torch.tensor([[1.0, 2, 4]])).item() == pytest.approx(expected)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(ROWS)
def test_entropy_is_between_zero_and_one_and_ignores_a_shift(rows):
    logits = torch.tensor(rows)
    entropy = normalised_entropy(logits)
    assert (entropy >= -1e-6).all() and (entropy <= 1 + 1e-6).all()
    assert torch.allclose(entropy, normalised_entropy(logits + 3), atol=1e-4)


def test_hard_labels_are_cross_entropy():
    logits, labels = torch.randn(6, 10), torch.randint(0, 10, (6,))
    expected = F.cross_entropy(logits, labels).item()
    assert hard_label_loss(logits=logits, labels=labels).item() == pytest.approx(expected)


@pytest.mark.parametrize(("t", "s"), [(1.0, 1.0), (2.0, 2.0), (8.0, 8.0), (3.0, 1.5)])
def test_soft_labels_by_hand(t, s):
    pairs = zip(TEACHER, STUDENT, strict=True)
    expected = (
        t * s / 2 * sum(divergence(probabilities(a, t), probabilities(b, s)) for a, b in pairs)
    )
    student, teacher = torch.tensor(STUDENT), torch.tensor(TEACHER)
    loss = soft_label_loss(student=student, teacher=teacher, softness=at(t, s))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    plain = soft_label_loss(student=student, teacher=teacher, softness=at(t, s), scale_by_t2=False)
    assert plain.item() == pytest.approx(expected / (t * s), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5, 8.0])
@pytest.mark.parametrize("alpha", [0.9, 0.5])
def test_the_student_loss_is_torchdistills(temperature, alpha):
    given = batch(64, classes=10)
    # its alpha weighs the labels, its beta, 1 - alpha, the soft labels
    theirs = KDLoss("logits", "output", "logits", "output", temperature, alpha=1 - alpha)
    outputs = ({"logits": {"output": given[x]}} for x in ("student", "teacher"))
    expected = theirs(*outputs, given["labels"]).item()
    loss = student_loss(**given, softness=at(temperature), alpha=alpha)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_soft_labels_average_over_samples_not_over_classes():
    """KLDivLoss divides by the number of classes too unless told "batchmean"."""
    student, teacher = torch.randn(6, 10), torch.randn(6, 10)
    log_s, p_t = F.log_softmax(student / 3, 1), F.softmax(teacher / 3, 1)
    loss = soft_label_loss(student=student, teacher=teacher, softness=at(3.0))
    assert loss.item() == pytest.approx(9 * F.kl_div(log_s, p_t, reduction="batchmean").item())
    over_everything = 9 * F.kl_div(log_s, p_t, reduction="none").mean().item()
    assert loss.item() == pytest.approx(10 * over_everything)


def test_temperatures_of_each_sample_and_network_equal_the_samples_one_by_one():
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    each = Softness(torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[2.0], [2.0], [3.0]]))
    whole = soft_label_loss(student=student, teacher=teacher, softness=each)
    single = [
        soft_label_loss(student=student[i : i + 1], teacher=teacher[i : i + 1], softness=at(t, s))
        for i, (t, s) in enumerate(((1.0, 2.0), (2.0, 2.0), (5.0, 3.0)))
    ]
    assert whole.item() == pytest.approx(sum(x.item() for x in single) / 3, rel=1e-5)


def test_t_squared_keeps_the_size_of_the_gradient():
    """For T far above the logits the gradient tends to (z_s - z_t) / classes, whatever T."""
    sizes = []
    for temperature in (20.0, 40.0):
        student = torch.tensor([[1.0, -1.0, 0.5]], requires_grad=True)
        teacher = torch.tensor([[0.0, 2.0, -2.0]])
        soft_label_loss(student=student, teacher=teacher, softness=at(temperature)).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_standardised_by_hand():
    # mean 2, deviations -1, -1, 2, std sqrt((1 + 1 + 4) / 2)
    expected = [-1 / sqrt(3), -1 / sqrt(3), 2 / sqrt(3)]
    assert standardised(torch.tensor([[1.0, 1, 4]]))[0].tolist() == pytest.approx(expected)


def test_standardised_soft_labels_ignore_shift_and_scale():
    given = batch(5)
    softness = at(2.0)
    loss = student_loss(**given, softness=softness, alpha=1.0, standardise=True)
    by_hand = soft_label_loss(
        student=standardised(given["student"]),
        teacher=standardised(given["teacher"]),
        softness=softness,
    )
    assert loss.item() == pytest.approx(by_hand.item())
    given["teacher"] = 7 * given["teacher"] - 3
    moved = student_loss(**given, softness=softness, alpha=1.0, standardise=True)
    assert moved.item() == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize(("t", "s"), [(1.0, 1.0), (4.0, 4.0), (3.0, 1.5)])
def test_dkd_by_hand(t, s):
    labels, expected = [1, 2], 0.0
    for teacher, student, label in zip(TEACHER, STUDENT, labels, strict=True):
        p, q = probabilities(teacher, t), probabilities(student, s)
        target = divergence([p[label], 1 - p[label]], [q[label], 1 - q[label]])
        others = [i for i in range(3) if i != label]
        rest = divergence(
            [p[i] / (1 - p[label]) for i in others], [q[i] / (1 - q[label]) for i in others]
        )
        expected += t * s / 2 * (target + 8 * rest)
    loss = dkd_loss(
        student=torch.tensor(STUDENT),
        teacher=torch.tensor(TEACHER),
        labels=torch.tensor(labels),
        softness=at(t, s),
        dkd_beta=8.0,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_dkd_weighted_by_what_the_teacher_leaves_is_plain_kl():
    """KL = TCKD + (1 - p_t[label]) NCKD, sample by sample."""
    given = batch(1, classes=6)
    left = 1 - F.softmax(given["teacher"] / 3, -1)[0, given["labels"][0]].item()
    decoupled = dkd_loss(**given, softness=at(3.0), dkd_beta=left)
    plain = soft_label_loss(student=given["student"], teacher=given["teacher"], softness=at(3.0))
    assert decoupled.item() == pytest.approx(plain.item(), rel=1e-5)


def test_dkd_of_certain_networks_is_finite():
    student = torch.tensor([[200.0, -200, 0]], requires_grad=True)
    teacher = torch.tensor([[-200.0, 200, 0]])
    loss = dkd_loss(student=student, teacher=teacher, labels=torch.tensor([1]), softness=at(1.0))
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()


@pytest.mark.parametrize("loss", ["kl", "dkd"])
def test_no_gradient_reaches_the_teacher(loss):
    given = batch(2, classes=3)
    student, teacher = (given[x].requires_grad_() for x in ("student", "teacher"))
    student_loss(**given, softness=at(2.0), alpha=0.5, beta=0.1, loss=loss).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", ["kl", "dkd"])
def test_the_teachers_logits_given_twice_are_refused(loss):
    logits, labels = torch.randn(2, 3), torch.tensor([0, 1])
    for again in (logits, logits.detach()):
        with pytest.raises(ValueError, match="same tensor"):
            student_loss(
                student=logits,
                teacher=again,
                labels=labels,
                softness=at(2.0),
                alpha=0.5,
                loss=loss,
            )


def test_the_student_loss_is_the_linear_combination():
    given = batch(5)
    student, teacher, labels = given["student"], given["teacher"], given["labels"]
    soft = soft_label_loss(student=student, teacher=teacher, softness=at(3.0))
    gap = normalised_entropy(student) - normalised_entropy(teacher)
    assert entropy_loss(student=student, teacher=teacher).item() == pytest.approx(
        gap.square().mean().item()
    )
    expected = 0.3 * F.cross_entropy(student, labels) + 0.7 * soft + 0.2 * gap.square().mean()
    loss = student_loss(**given, softness=at(3.0), alpha=0.7, beta=0.2)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("loss", ["kl", "dkd"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_of_alpha(alpha, loss):
    given = batch(5)
    hard = F.cross_entropy(given["student"], given["labels"])
    soft = dkd_loss(**given, softness=at(2.0), dkd_beta=3.0)
    if loss == "kl":
        soft = soft_label_loss(student=given["student"], teacher=given["teacher"], softness=at(2.0))
    found = student_loss(**given, softness=at(2.0), alpha=alpha, loss=loss, dkd_beta=3.0)
    assert found.item() == pytest.approx((soft if alpha else hard).item())


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="'mse' is unknown; known are kl, dkd"):
        student_loss(**batch(2), softness=at(2.0), alpha=0.5, loss="mse")


def test_the_teacher_alone_learns_from_the_labels():
    given = batch(5)
    loss = teacher_loss(teacher=given["teacher"], labels=given["labels"])
    expected = F.cross_entropy(given["teacher"], given["labels"]).item()
    assert loss.item() == pytest.approx(expected)


def test_a_listening_teacher_by_hand():
    """CE + 0.5 T_t T_s KL(p_s || p_t), and no gradient to the student or to the temperature."""
    student, teacher = (torch.tensor(x, requires_grad=True) for x in (STUDENT, TEACHER))
    temperature = torch.tensor([[2.0]], requires_grad=True)
    loss = teacher_loss(
        teacher=teacher,
        labels=torch.tensor([0, 2]),
        student=student,
        softness=Softness(temperature, 3 * temperature),
        strength=0.5,
    )
    hard = -(log(probabilities(TEACHER[0])[0]) + log(probabilities(TEACHER[1])[2])) / 2
    soft = sum(
        12 * divergence(probabilities(s, 6.0), probabilities(t, 2.0)) / 2
        for s, t in zip(STUDENT, TEACHER, strict=True)
    )
    assert loss.item() == pytest.approx(hard + 0.5 * soft, rel=1e-5)
    loss.backward()
    assert student.grad is None and temperature.grad is None
    assert teacher.grad.abs().sum() > 0


def test_a_listening_teacher_needs_somebody_to_listen_to():
    given = batch(2)
    with pytest.raises(ValueError, match="needs the student's logits"):
        teacher_loss(teacher=given["teacher"], labels=given["labels"], strength=0.1)


def test_alpha_follows_the_distance_if_it_has_a_minimum():
    distance = torch.tensor([0.0, 0.25, 1.0])
    assert alpha_of(distance, 0.9) == 0.9
    assert alpha_of(distance, 0.9, 0.5).tolist() == pytest.approx([0.9, 0.8, 0.5])
    assert alpha_of(distance, 0.9, 0.0).tolist() == pytest.approx([0.9, 0.675, 0.0])


def test_shards_of_a_softness():
    whole = Softness(torch.arange(8.0).reshape(1, 8, 1), torch.ones(1, 1, 1))
    second = whole.shard(1, 2)
    assert second.teacher.flatten().tolist() == [4, 5, 6, 7]
    assert second.student.shape == (1, 1, 1)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("loss", ["kl", "dkd"])
@pytest.mark.parametrize("seeds", [2, 6])
def test_seeds_side_by_side_equal_each_alone_bit_for_bit(seeds, loss, standardise):
    given = batch(seeds, 37, classes=10)
    temperatures = Softness(torch.rand(seeds, 37, 1) + 1, torch.rand(seeds, 1, 1) + 2)
    alpha = torch.linspace(0.2, 0.9, seeds)

    def all_losses(given, softness, alpha):
        leaves = {x: given[x].clone().requires_grad_() for x in ("student", "teacher")}
        given = given | leaves
        learnt = student_loss(
            **given, softness=softness, alpha=alpha, beta=0.1, loss=loss, standardise=standardise
        )
        taught = teacher_loss(**given, softness=softness, strength=0.3)
        (learnt + taught).sum().backward()
        return learnt, taught, *(x.grad for x in leaves.values())

    together = all_losses(given, temperatures, alpha)
    assert together[0].shape == (seeds,)
    for k in range(seeds):
        own = Softness(temperatures.teacher[k], temperatures.student[k])
        alone = all_losses({name: x[k] for name, x in given.items()}, own, alpha[k])
        for whole, single in zip(together, alone, strict=True):
            assert torch.equal(whole[k], single)


@pytest.mark.parametrize("loss", ["kl", "dkd"])
def test_the_losses_compile_into_one_graph(loss):
    given = batch(2, 8)
    options = {"softness": at(2.0), "alpha": 0.5, "beta": 0.1, "loss": loss}
    compiled = torch.compile(student_loss, fullgraph=True, backend="eager")
    assert torch.equal(compiled(**given, **options), student_loss(**given, **options))
