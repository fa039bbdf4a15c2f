"""Auxiliary classifiers: right logits, a gradient that fades, and no trace in what is trained."""

import math

import pytest
import small
import torch
from torch.nn import functional as F

from flow.errors import UserError
from models import auxiliary, loop, train
from models.ensemble import Students
from models.feed import Feed
from models.run import Run

SEEDS = (2, 5)
PIXELS = {"input": "pixels", "hidden": (9,)}


def preset(strength: float = 0.5, **training):
    return small.preset(
        student=small.CONVOLUTIONS,
        training={"auxiliary": strength, **training},
        distillation={"mode": "none"},
    )


def state_after(wanted, folder, epochs: int = 2) -> dict[str, torch.Tensor]:
    return small.run_of(wanted, folder, *SEEDS, epochs=epochs).student.state_dict()


@pytest.mark.parametrize(("side", "read"), [(7, 7), (8, 8), (9, 4), (14, 7)])
def test_logits_are_products_of_the_maps_large_ones_halved(side, read, monkeypatch):
    monkeypatch.setattr(auxiliary, "map_shapes", lambda *rest: [(0, 0, 0), (5, side, side), (1,)])
    heads = auxiliary.Heads(preset(), SEEDS)
    assert [tuple(w.shape) for w in heads.weights] == [(2, 10, 5 * read * read)]
    assert all(w.abs().max() <= (5 * read * read) ** -0.5 for w in heads.weights)
    heads.biases[0].data.normal_()
    maps = torch.randn(3, 10, side, side)
    (logits,) = heads([maps])
    smaller = F.avg_pool2d(maps, 2) if read < side else maps
    for seed in range(2):
        own = smaller[:, 5 * seed : 5 * seed + 5].flatten(1)
        expected = own @ heads.weights[0][seed].T + heads.biases[0][seed]
        torch.testing.assert_close(logits[seed], expected)


def test_a_seeds_heads_are_the_same_beside_another():
    both, alone = (auxiliary.Heads(preset(), seeds) for seeds in (SEEDS, SEEDS[1:]))
    assert torch.equal(both.weights[0][1:], alone.weights[0])
    assert not torch.equal(both.weights[0][0], both.weights[0][1])


def test_the_last_block_has_no_head():
    """Its activations are the next layer's alone: no pool is behind them."""
    three = small.preset(
        student=PIXELS | {"convolutions": ((6,), (7,), (8,)), "kernel": 1},
        training={"auxiliary": 1.0},
    )
    heads = auxiliary.Heads(three, SEEDS)
    students = Students(three, SEEDS)
    students(torch.zeros(4, 2, 8, 8, dtype=torch.uint8))
    assert [x.shape[1] for x in students.behind_pools] == [12, 14]
    assert [logits.shape for logits in heads(students.behind_pools)] == [(2, 4, 10)] * 2
    assert Students(preset(0.0), SEEDS)(torch.zeros(4, 2, 8, 8, dtype=torch.uint8)) is not None
    students.eval()(torch.zeros(4, 2, 8, 8, dtype=torch.uint8))
    assert students.behind_pools == []


def test_one_step_weighs_the_heads_losses_as_the_progress_says(tmp_path, monkeypatch):
    """Against the gradients of the plain loss and of the heads' alone."""
    found = {}
    for name, strength, progress in [
        ("without", 0.0, 0.0),
        ("all", 0.5, 0.0),
        ("twice", 1.0, 0.0),
        ("half", 0.5, 0.5),
        ("faded", 0.5, 1.0),
    ]:
        run = Run(preset(strength), Feed(preset(strength), SEEDS), tmp_path)
        run.student.progress = progress
        monkeypatch.setattr(run.student, "constrain", lambda: None)
        for optimiser, _ in run.optimisers:
            optimiser.param_groups[0]["lr"] = 0.0
        rows = torch.arange(40).expand(2, -1)
        changes = train.Changes.draw(run.preset.augmentation, SEEDS, 0, run.feed.count)
        run.student.train()
        train.one_step(run, rows, changes, None, 0, range(2), {})
        found[name] = [part.weight.grad.clone() for _, part in run.student.parts()]
    for i, plain in enumerate(found["without"]):
        more = found["all"][i] - plain
        torch.testing.assert_close(found["twice"][i], plain + 2 * more, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found["half"][i], plain + more / 2, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found["faded"][i], plain)
        in_front = i < 2  # the pool is behind the second convolution
        assert (more.abs().max() > 1e-4) == in_front


def test_heads_learn_and_students_do_not_keep_them(tmp_path):
    wanted = preset()
    run = Run(wanted, Feed(wanted, SEEDS), tmp_path)
    before = [w.detach().clone() for w in run.heads.weights]
    train.one_epoch(run, 1, loop.progress(1, 0))
    assert all((a != b).any() for a, b in zip(before, run.heads.weights, strict=True))
    with_heads, without = (Students(preset(x), SEEDS).state_dict() for x in (0.5, 0.0))
    assert with_heads.keys() == without.keys()


def test_an_interrupted_run_goes_on_with_its_heads(tmp_path):
    wanted = preset()
    whole = small.run_of(wanted, tmp_path, *SEEDS)
    first = small.run_of(wanted, tmp_path, *SEEDS, epochs=1)
    again = Run(wanted, Feed(wanted, SEEDS), tmp_path)
    again.load_state_dict(first.state_dict())
    train.one_epoch(again, 2, loop.progress(1, 0))
    small.same(again.student.state_dict(), whole.student.state_dict())
    small.same(again.heads.state_dict(), whole.heads.state_dict())


@pytest.mark.parametrize("strength", [-1.0, math.nan])
def test_a_strength_below_zero_is_refused(strength):
    with pytest.raises(UserError, match=r"\[training\] auxiliary must be >= 0"):
        preset(strength)


def test_a_student_without_pools_has_none():
    with pytest.raises(UserError, match="auxiliary must be >= 0, and 0 for a student without a"):
        small.preset(training={"auxiliary": 0.1})
