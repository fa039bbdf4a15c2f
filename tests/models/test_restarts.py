"""Restarts: a schedule anew, from the signs of the averaged students and nothing else."""

import numpy as np
import pytest
import small
import torch

from models import curves, presets, study, train
from models.feed import Feed, evaluate, percent
from models.run import Run

SEEDS = (0, 3)
LABELS = {"mode": "none", "temperature": {"form": "fixed"}}  # a running one goes on
SWITCHES = {
    "plain": {},
    "averaged": {"ema": 0.9},
    "float weights first": {"ema": 0.9, "float_weight_epochs": 1, "restarts": (2,)},
    "learned clip": {"clipping": "learned", "weights": "standardised"},
}


def preset(**training):
    options = {"epochs": 3, "restarts": (1, 2), "restart_rate": 0.5, "initial": 0.25} | training
    return small.preset(training=options, distillation=LABELS, student=small.CONVOLUTIONS)


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr(curves, "draw", lambda *rest: rest[-1].write_bytes(b"picture"))


def ended(run, epoch):
    """An epoch, closed as `train.train` closes it."""
    row = train.one_epoch(run, epoch, train.progress(1, 0))
    row["student_validation"] = percent(*evaluate(run.average, run.feed))
    run.close_epoch(row, 1.0)
    return row


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_a_restart_keeps_the_averaged_students_and_small_latent_weights(switches, tmp_path):
    wanted = preset(**switches)
    run = Run(wanted, Feed(wanted, SEEDS), tmp_path)
    for epoch in (1, 2):
        row = ended(run, epoch)
    expected = [run.average.state_of(i) for i in range(len(SEEDS))]
    run.restart()
    for network in (run.student, run.average):
        for _, product in network.parts():
            assert torch.equal(product.weight.abs(), torch.full_like(product.weight, 0.25))
        for i in range(len(SEEDS)):
            small.same(network.state_of(i), expected[i])
    assert percent(*evaluate(run.average, run.feed)) == row["student_validation"]


def test_the_best_students_are_kept_over_a_restart(tmp_path):
    wanted = preset()
    run = Run(wanted, Feed(wanted, SEEDS), tmp_path)
    for epoch in (1, 2):
        ended(run, epoch)
    run.best_validation = torch.tensor([-1.0, 200.0], dtype=torch.float64)
    second = {k: v[1].clone() for k, v in run.best.items()}
    ended(run, 3)  # better than what is said of the first seed, worse than of the second
    assert not torch.equal(run.best["products.0.weight"][0], second["products.0.weight"])
    for key, value in run.best.items():
        assert torch.equal(value[1], second[key]), key


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_a_cycle_depends_on_what_is_kept_of_the_students_alone(switches, tmp_path):
    """So that it can begin from a finished run, of which signs and norms are left."""
    wanted = preset(**switches)
    one, two = (Run(wanted, Feed(wanted, SEEDS), tmp_path) for _ in range(2))
    for epoch in (1, 2):
        ended(one, epoch)
    two.average.load_state_dict(one.average.state_dict())
    two.average.restart()
    rows = [train.one_epoch(run, 3, train.progress(1, 0)) for run in (one, two)]
    assert rows[0] == rows[1]
    small.same(one.average.state_dict(), two.average.state_dict())


def test_the_learning_rate_begins_anew_and_lower(tmp_path, monkeypatch):
    wanted = preset(epochs=4, restarts=(2,), warmup_epochs=1, estimator="ede")
    run = Run(wanted, Feed(wanted, (0,)), tmp_path)
    seen, real = [], train.one_step

    def step(run, *rest):
        optimiser = run.optimisers[0][0]
        seen.append((optimiser.param_groups[0]["lr"], run.student.progress, id(optimiser)))
        return real(run, *rest)

    monkeypatch.setattr(train, "one_step", step)
    for epoch in range(1, 5):
        ended(run, epoch)
    half = 2 * run.feed.steps
    rates, progress, optimisers = zip(*seen, strict=True)
    assert np.allclose(rates[half:], 0.5 * np.array(rates[:half]))
    assert max(rates) == pytest.approx(wanted.training.learning_rate)
    assert progress[half:] == progress[:half]
    assert len(set(optimisers)) == 2  # moments of weights that are gone are dropped


def test_an_interrupted_run_goes_on_over_a_restart(tmp_path, monkeypatch):
    wanted = preset(ema=0.9)
    whole, half = (tmp_path / name for name in ("whole", "half"))
    expected, real = train.train(wanted, SEEDS, whole), train.one_epoch
    for epochs in (1, 2):

        def epoch(run, number, bar, epochs=epochs):
            if number > epochs:
                raise KeyboardInterrupt
            return real(run, number, bar)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(train, "one_epoch", epoch)
            train.train(wanted, SEEDS, half)
    resumed = train.train(wanted, SEEDS, half)
    assert resumed["history"] == expected["history"]
    assert resumed["per_seed"] == expected["per_seed"]
    assert resumed["options"]["training"]["restarts"] == (1, 2)


def test_a_cycle_more_leaves_those_before_as_they_were(tmp_path):
    """And a shorter run is the first part of a longer one."""
    long = preset(ema=0.9)
    short = study.shortened(long, 2)
    assert short.training.restarts == (1,)
    histories = [
        train.train(p, SEEDS, tmp_path / str(p.training.epochs))["history"] for p in (long, short)
    ]
    assert histories[0][:2] == histories[1]


def test_stages_without_and_with_restarts():
    plain = presets.Training(epochs=9, batch_size=2, learning_rate=0.1)
    assert plain.stages == [range(1, 10)]
    staged = presets.Training(
        epochs=9, batch_size=2, learning_rate=0.1, float_weight_epochs=2, restarts=(3, 7)
    )
    assert staged.stages == [range(1, 3), range(3, 4), range(4, 8), range(8, 10)]
