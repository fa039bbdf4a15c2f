"""Temperatures that follow the step alone, by hand."""

import pytest
import torch

from models.temperature import Observation, Temperature, build


def curve(controller: Temperature, steps: int) -> list[float]:
    """T of each step of a training."""
    values = []
    for step in range(steps):
        teacher, student = torch.randn(2, 3), torch.randn(2, 3)
        softness = controller(Observation(teacher, student, torch.tensor([0, 1]), step, steps))
        assert torch.equal(softness.teacher, softness.student)
        assert softness.teacher.shape == (1, 1)
        values.append(softness.teacher.item())
    assert controller.distance.item() == 0
    return values


def test_fixed():
    assert curve(build({"form": "fixed", "value": 3}), 3) == [3, 3, 3]


def test_cosine_down():
    # (1 + cos) / 2 at 0, pi / 4, pi / 2, 3 pi / 4
    expected = [8, 1 + 7 * 0.8535534, 4.5, 1 + 7 * 0.1464466]
    assert curve(build({"form": "cosine_down"}), 4) == pytest.approx(expected)


def test_cosine_up():
    expected = [1, 1 + 7 * 0.1464466, 4.5, 1 + 7 * 0.8535534]
    assert curve(build({"form": "cosine_up"}), 4) == pytest.approx(expected)


def test_replay_by_hand():
    controller = build({"form": "replay", "curve": [8, 4, 6]})
    # parts of four steps; their middles lie between steps 1 and 2, 5 and 6, 9 and 10
    expected = [8, 8, 7.5, 6.5, 5.5, 4.5, 4.25, 4.75, 5.25, 5.75, 6, 6]
    assert curve(controller, 12) == pytest.approx(expected)


def test_replay_of_a_value_a_step_gives_it_back():
    recorded = [7.5, 3.0, 4.0, 1.5]
    assert curve(build({"form": "replay", "curve": recorded}), 4) == recorded


def test_replay_of_one_value_is_fixed():
    assert curve(build({"form": "replay", "curve": [2.5]}), 3) == [2.5] * 3


def test_shuffled_has_the_values_of_the_curve_each_for_its_share_in_another_order():
    recorded = [float(value) for value in range(1, 11)]
    found = curve(build({"form": "shuffled", "curve": recorded, "seed": 3}), 20)
    assert found[::2] == found[1::2]
    assert sorted(found[::2]) == recorded
    assert found[::2] != recorded
    assert found == curve(build({"form": "shuffled", "curve": recorded, "seed": 3}), 20)
    assert found != curve(build({"form": "shuffled", "curve": recorded, "seed": 4}), 20)
