"""The entropy-adaptive temperatures: by hand, and on recorded runs."""

import json
from math import exp, log
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.losses import normalised_entropy
from models.temperature import Observation
from models.temperature.entropy import (
    AbsoluteExponential,
    AbsoluteLinear,
    Entropic,
    Matching,
    Relative,
    ShuffledSamples,
    StudentOnly,
    TeacherOnly,
    ratio,
)

RECORDED = json.loads((Path(__file__).parent / "recorded_entropies.json").read_text())
ENTROPY = st.floats(0, 1)
BOUNDED = [Relative, AbsoluteExponential, AbsoluteLinear, TeacherOnly, StudentOnly]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def seen(teacher: torch.Tensor, student: torch.Tensor) -> Observation:
    labels = torch.zeros(teacher.shape[:-1], dtype=torch.long)
    return Observation(teacher, student, labels, step=0, steps=1)


def follow(controller: Entropic, teacher: float, student: float) -> float:
    """T after a batch whose samples all have these entropies."""
    entropies = (torch.tensor([x], dtype=torch.float64) for x in (teacher, student))
    return controller.follow(controller.batch(*entropies)).item()


def test_relative_by_hand():
    controller = Relative(minimum=1, maximum=8, gamma=2, momentum=0.9)
    # R = 0.9 * 1 + 0.1 * (0.2 / 0.8) = 0.925; T = 1 + 7 * 0.925^2
    assert follow(controller, 0.2, 0.8) == pytest.approx(1 + 7 * 0.925**2)
    assert controller.distance.item() == pytest.approx(0.075)
    # R = 0.9 * 0.925 + 0.1 * (0.3 / 0.6) = 0.8825
    assert follow(controller, 0.6, 0.3) == pytest.approx(1 + 7 * 0.8825**2)
    assert controller.distance.item() == pytest.approx(0.1175)


def test_relative_starts_soft():
    assert follow(Relative(), 1.0, 1.0) == 8
    assert follow(Relative(), 0.1, 0.4) == pytest.approx(8, abs=0.2)


def test_relative_does_not_mind_which_network_is_surer():
    assert follow(Relative(), 0.4, 0.1) == follow(Relative(), 0.1, 0.4) < 8


def test_the_ratio_of_two_certain_networks_is_1():
    assert ratio(torch.zeros(1), torch.zeros(1)).item() == 1
    assert follow(Relative(), 0.0, 0.0) == 8


def test_absolute_exponential_by_hand():
    controller = AbsoluteExponential(minimum=1, maximum=8, kappa=2, momentum=0.9)
    # the first batch counts in full: D = 0.6
    assert follow(controller, 0.2, 0.8) == pytest.approx(1 + 7 * exp(-1.2))
    assert controller.distance.item() == pytest.approx(0.6)
    # D = (0.9 * 0.06 + 0.1 * 0.1) / (1 - 0.9^2)
    distance = (0.9 * 0.06 + 0.1 * 0.1) / 0.19
    assert follow(controller, 0.5, 0.4) == pytest.approx(1 + 7 * exp(-2 * distance))
    assert controller.distance.item() == pytest.approx(distance)


def test_absolute_linear_by_hand():
    controller = AbsoluteLinear(minimum=2, maximum=6, full=0.5, momentum=0)
    assert follow(controller, 0.1, 0.3) == pytest.approx(2 + 4 * 0.4)
    assert controller.distance.item() == pytest.approx(0.2)
    assert follow(controller, 0.1, 0.9) == 6
    assert controller.distance.item() == pytest.approx(0.8)


def test_absolute_distances_are_taken_sample_by_sample():
    """Two samples, each network sure of another one: the means are alike, the samples are not."""
    sure, unsure = [50.0, 0.0], [0.0, 0.0]
    observation = seen(torch.tensor([sure, unsure]), torch.tensor([unsure, sure]))
    absolute, relative = AbsoluteExponential(momentum=0), Relative(momentum=0)
    absolute(observation)
    relative(observation)
    assert absolute.distance.item() == pytest.approx(1)
    assert relative.distance.item() == pytest.approx(0)


@pytest.mark.parametrize(("form", "entropy"), [(TeacherOnly, 0.3), (StudentOnly, 0.6)])
def test_one_entropy_alone_by_hand(form, entropy):
    controller = form(minimum=1, maximum=8, gamma=2, momentum=0.5)
    # H = 0.5 * 1 + 0.5 * entropy
    assert follow(controller, 0.3, 0.6) == pytest.approx(1 + 7 * (0.5 + entropy / 2) ** 2)
    assert controller.distance.item() == 0


@pytest.mark.parametrize("form", BOUNDED)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(ENTROPY, ENTROPY), min_size=1, max_size=30))
def test_bounds_hold(form, entropies):
    controller = form(minimum=1.5, maximum=6, momentum=0.5)
    for teacher, student in entropies:
        assert 1.5 <= follow(controller, teacher, student) <= 6
        assert 0 <= controller.distance.item() <= 1


@pytest.mark.parametrize("form", BOUNDED)
def test_the_entropies_are_read_from_the_logits(form):
    teacher, student = torch.randn(6, 10) * 3, torch.randn(6, 10)
    by_logits, by_entropies = form(momentum=0.5), form(momentum=0.5)
    entropies = (normalised_entropy(x).double() for x in (teacher, student))
    expected = by_entropies.follow(by_entropies.batch(*entropies)).item()
    found = by_logits(seen(teacher, student))
    assert found.teacher.shape == found.student.shape == (1, 1)
    assert found.teacher.item() == found.student.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("form", "level"),
    [
        (Relative, lambda t, s: (min(t, s) / max(t, s)) ** 2),
        (AbsoluteExponential, lambda t, s: exp(-4.6 * abs(t - s))),
        (AbsoluteLinear, lambda t, s: min(1, abs(t - s) / 0.5)),
        (TeacherOnly, lambda t, s: t**2),
        (StudentOnly, lambda t, s: s**2),
    ],
)
def test_per_sample_by_hand(form, level):
    observation = seen(torch.randn(5, 4) * 3, torch.randn(5, 4))
    controller, batchwise = form(per_sample=True), form()
    found = controller(observation)
    assert found.teacher.shape == (5, 1)
    assert torch.equal(found.teacher, found.student)
    pairs = zip(
        observation.teacher_entropy.tolist(), observation.student_entropy.tolist(), strict=True
    )
    expected = [1 + 7 * level(t, s) for t, s in pairs]
    assert found.teacher.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    batchwise(observation)
    assert torch.equal(controller.distance, batchwise.distance)


def test_shuffled_samples_are_the_per_sample_temperatures_of_the_neighbours():
    observation = seen(torch.randn(2, 5, 4) * 3, torch.randn(2, 5, 4))
    straight = Relative(per_sample=True, seeds=(2,))(observation).teacher
    shuffled = ShuffledSamples(seeds=(2,))(observation).teacher
    assert torch.equal(shuffled[:, 1:], straight[:, :-1])
    assert torch.equal(shuffled[:, 0], straight[:, -1])
    assert not torch.equal(shuffled, straight)


def test_matching_by_hand():
    controller = Matching(start=4, rate=0.1)
    entropies = [torch.tensor(x, dtype=torch.float64) for x in (0.5, 0.6)]
    first = 4 * exp(0.1 * log(0.6 / 0.5))
    assert controller.follow(*entropies).item() == pytest.approx(first)
    # log(0.01 / 0.9) is clipped to -1
    entropies = [torch.tensor(x, dtype=torch.float64) for x in (0.9, 0.01)]
    assert controller.follow(*entropies).item() == pytest.approx(first * exp(-0.1))


def test_matching_reads_the_teacher_at_the_present_temperature():
    teacher, student = torch.randn(6, 4) * 5, torch.randn(6, 4)
    controller = Matching(start=3, rate=0.1)
    softened, wanted = (normalised_entropy(x).mean().item() for x in (teacher / 3, student))
    found = controller(seen(teacher, student)).teacher
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(3 * exp(0.1 * log(wanted / softened)), rel=1e-5)
    low, high = sorted(normalised_entropy(x).mean().item() for x in (teacher, student))
    assert controller.distance.item() == pytest.approx(1 - low / high)


def test_matching_settles_where_the_entropies_meet():
    teacher, student = torch.randn(2, 50, 10) * 6, torch.randn(2, 50, 10) * 2
    controller = Matching(seeds=(2,))
    for _ in range(300):
        temperature = controller(seen(teacher, student)).teacher
    softened = normalised_entropy(teacher / temperature).mean(dim=-1)
    wanted = normalised_entropy(student).mean(dim=-1)
    assert softened.tolist() == pytest.approx(wanted.tolist(), rel=1e-3)
    assert (temperature > 1.5).all() and (temperature < 8).all()


@pytest.mark.parametrize(("student", "bound"), [(0.0, 8.0), (1000.0, 1.0)])
def test_matching_stays_within_its_bounds(student, bound):
    observation = seen(torch.randn(6, 4) * 20, torch.tensor([[student, 0, 0, 0]] * 6))
    controller = Matching()
    for _ in range(100):
        temperature = controller(observation).teacher.item()
        assert 1 <= temperature <= 8
    assert temperature == bound


@pytest.mark.parametrize("run", sorted(RECORDED))
def test_on_recorded_runs_the_temperature_falls_from_soft_to_hard(run):
    """Entropies of real runs, epoch by epoch. Where both shrink, their difference would mislead."""
    controller, temperatures = Relative(), []
    record = RECORDED[run]
    for teacher, student in zip(record["teacher"], record["student"], strict=True):
        for _ in range(record["steps_per_epoch"]):
            temperature = follow(controller, teacher, student)
        temperatures.append(temperature)
    third = len(temperatures) // 3
    means = [sum(temperatures[i : i + third]) / third for i in (0, third, 2 * third)]
    assert means[0] > means[1] > means[2]
    assert temperatures[0] > 4
    assert temperatures[-1] < 2
