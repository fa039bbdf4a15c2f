"""The temperature controllers: by hand, on a recorded run, and when asked for nonsense."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import UserError
from models.losses import normalised_entropy
from models.temperature import FORMS, Fixed, Observation, RelativeEntropy, build

RECORDED = json.loads((Path(__file__).parent / "recorded_entropies.json").read_text())
ENTROPY = st.floats(0, 1)


def seen(teacher: torch.Tensor, student: torch.Tensor) -> Observation:
    return Observation(teacher, student, step=0, steps=1)


def test_relative_by_hand():
    controller = RelativeEntropy(minimum=1, maximum=8, gamma=2, momentum=0.9)
    # R = 0.9 * 1 + 0.1 * (0.2 / 0.8) = 0.925; T = 1 + 7 * 0.925^2
    assert controller.follow(0.2, 0.8) == pytest.approx(1 + 7 * 0.925**2)
    assert controller.distance == pytest.approx(0.075)
    # R = 0.9 * 0.925 + 0.1 * (0.3 / 0.6) = 0.8825
    assert controller.follow(0.6, 0.3) == pytest.approx(1 + 7 * 0.8825**2)
    assert controller.distance == pytest.approx(0.1175)


def test_relative_reads_the_batch_means_of_the_logits():
    teacher, student = torch.randn(6, 10) * 3, torch.randn(6, 10)
    by_logits, by_means = RelativeEntropy(), RelativeEntropy()
    means = [normalised_entropy(x).mean().item() for x in (teacher, student)]
    assert by_logits(seen(teacher, student)) == by_means.follow(*means)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(ENTROPY, ENTROPY), min_size=1, max_size=30))
def test_relative_stays_within_its_bounds(entropies):
    controller = RelativeEntropy(minimum=1.5, maximum=6, momentum=0.5)
    for teacher, student in entropies:
        assert 1.5 <= controller.follow(teacher, student) <= 6
        assert 0 <= controller.distance <= 1


def test_relative_starts_soft():
    controller = RelativeEntropy()
    assert controller.follow(1.0, 1.0) == 8
    assert controller.follow(0.1, 0.4) == pytest.approx(8, abs=0.2)


def test_relative_does_not_mind_which_network_is_surer():
    assert RelativeEntropy().follow(0.4, 0.1) == RelativeEntropy().follow(0.1, 0.4)


def test_relative_of_two_certain_networks_is_no_distance():
    assert RelativeEntropy().follow(0.0, 0.0) == 8


@pytest.mark.parametrize("run", sorted(RECORDED))
def test_on_recorded_runs_the_temperature_falls_from_soft_to_hard(run):
    """Entropies of real runs, epoch by epoch. Where both shrink, their difference would mislead."""
    controller, temperatures = RelativeEntropy(), []
    record = RECORDED[run]
    for teacher, student in zip(record["teacher"], record["student"], strict=True):
        for _ in range(record["steps_per_epoch"]):
            temperature = controller.follow(teacher, student)
        temperatures.append(temperature)
    third = len(temperatures) // 3
    means = [sum(temperatures[i : i + third]) / third for i in (0, third, 2 * third)]
    assert means[0] > means[1] > means[2]
    assert temperatures[0] > 4
    assert temperatures[-1] < 2


def test_state_survives():
    first, second = RelativeEntropy(), RelativeEntropy()
    for _ in range(5):
        first.follow(0.2, 0.7)
    second.load_state_dict(first.state_dict())
    assert second.distance == first.distance
    assert second.follow(0.1, 0.5) == first.follow(0.1, 0.5)


def test_fixed():
    assert build({"form": "fixed", "value": 3})(seen(torch.randn(2, 3), torch.randn(2, 3))) == 3
    assert Fixed().distance == 0


def test_build_knows_every_form():
    for form, cls in FORMS.items():
        assert isinstance(build({"form": form}), cls)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "warm"}, "form 'warm' is unknown; known are relative, fixed"),
        ({}, "form None is unknown"),
        ({"form": "relative", "kappa": 2}, "'kappa' is unknown to form relative; known are min"),
        ({"form": "relative", "minimum": 9}, "0 < minimum <= maximum"),
        ({"form": "relative", "gamma": 0}, "gamma must be > 0"),
        ({"form": "relative", "momentum": 1.0}, "momentum must be in"),
        ({"form": "fixed", "value": "hot"}, "value is 'hot'; it must be a number"),
        ({"form": "fixed", "value": True}, "must be a number"),
        ({"form": "fixed", "value": 0}, "value must be > 0"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        build(options)


def test_a_controller_must_not_see_gradients():
    with pytest.raises(ValueError, match="detach"):
        seen(torch.randn(2, 3, requires_grad=True), torch.randn(2, 3))
