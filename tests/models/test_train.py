"""The training loop: it learns, it can be interrupted, and it stops on nonsense."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from flow.errors import UserError
from models import checkpoint, curves, data, losses, presets, train

EPOCHS = 2


@pytest.fixture(scope="module")
def preset():
    """mlp-digits for two epochs, dropout on, so that the random state matters."""
    whole = presets.load("mlp-digits")
    return replace(whole, training=replace(whole.training, epochs=EPOCHS, warmup_epochs=1))


@pytest.fixture(scope="module")
def run(preset, tmp_path_factory):
    """One finished run that the tests below look at."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train.train(preset, 0, folder)


def weights(folder):
    return checkpoint.load(folder / "student.pt")["student"]


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def test_two_epochs_learn_something(run, preset):
    _, report = run
    assert report["accuracy"]["test"] > 25  # chance is 10
    assert report["accuracy"]["teacher_test"] > 60
    losses_seen = [row["student_loss"] for row in report["history"]]
    assert losses_seen[-1] < losses_seen[0]


def test_the_report_is_whole(run, preset):
    folder, report = run
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["epochs"] == EPOCHS == len(report["history"])
    assert report["seed"] == 0
    assert report["images"] == {"train": 1197, "validation": 300, "test": 300}
    best = max(report["history"], key=lambda row: row["student_validation"])
    assert report["accuracy"]["validation"] == best["student_validation"]
    assert report["best_epoch"] == best["epoch"]
    assert set(curves.STYLES) < set(report["history"][0])
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in folder.iterdir()) == ["curves.png", "report.json", "student.pt"]


def test_the_student_loads_and_has_the_reported_accuracy(run, preset):
    folder, report = run
    student = train.load_student(folder, preset)
    assert not student.training
    test = train.on_device(data.load("digits", 0).test, torch.device("cpu"))
    assert train.accuracy(student, *test) == report["accuracy"]["test"]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(run, preset, tmp_path):
    folder, report = run
    again = train.train(preset, 0, tmp_path / "again")
    assert again["history"] == report["history"]
    same(weights(tmp_path / "again"), weights(folder))
    other = train.train(preset, 1, tmp_path / "other")
    assert other["history"] != report["history"]


def interrupt_after(monkeypatch, epochs):
    """Let `epochs` epochs pass, then behave as if the user had pressed Ctrl-C."""
    real = train.one_epoch

    def epoch(preset, run, number, *rest):
        if number > epochs:
            raise KeyboardInterrupt
        return real(preset, run, number, *rest)

    monkeypatch.setattr(train, "one_epoch", epoch)


def test_an_interrupted_run_goes_on_with_the_same_numbers(run, preset, tmp_path, monkeypatch):
    folder, report = run
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        train.train(preset, 0, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    torch.rand(7)  # the random state in between must not matter
    resumed = train.train(preset, 0, tmp_path)
    assert resumed["history"] == report["history"]
    assert resumed["accuracy"] == report["accuracy"]
    same(weights(tmp_path), weights(folder))


def test_a_checkpoint_of_another_seed_is_refused_and_kept(preset, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        train.train(preset, 0, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(UserError, match=r"checkpoint.pt: of another preset, seed"):
        train.train(preset, 1, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert train.train(preset, 1, tmp_path, resume=False)["seed"] == 1


def test_a_finished_folder_is_not_trained_again(run, preset, monkeypatch):
    folder, report = run
    interrupt_after(monkeypatch, 0)
    assert train.train(preset, 0, folder) == report
    with pytest.raises(KeyboardInterrupt):
        train.train(preset, 0, folder, resume=False)


def test_a_loss_that_is_not_finite_stops_the_run(preset, tmp_path, monkeypatch):
    real, calls = losses.student_loss, []
    per_epoch = 1197 // preset.training.batch_size

    def poisoned(**inputs):
        calls.append(1)
        return real(**inputs) * (math.nan if len(calls) == per_epoch + 3 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(losses, "student_loss", poisoned)
        with pytest.raises(UserError, match=r"epoch 2, step 3; .*epoch 1 is kept"):
            train.train(preset, 0, tmp_path)
    state = checkpoint.load(tmp_path / "checkpoint.pt", preset.fingerprint(0))
    assert len(state["history"]) == 1
    assert all(torch.isfinite(x).all() for x in state["parts"]["student"].values())


def test_the_test_images_are_looked_at_once_at_the_end(preset, tmp_path, monkeypatch):
    real, sizes = data.load, []
    splits = real("digits", 0)
    poison = replace(splits.test, labels=(splits.test.labels + 1) % 10)
    monkeypatch.setattr(data, "load", lambda *_: replace(splits, test=poison))
    seen = train.accuracy
    monkeypatch.setattr(train, "accuracy", lambda n, x, y: sizes.append(len(y)) or seen(n, x, y))
    report = train.train(preset, 0, tmp_path)
    assert report["accuracy"]["test"] < 25  # its labels are wrong, and nothing else noticed
    assert report["accuracy"]["validation"] > 25
    assert len(sizes) == 2 * EPOCHS + 2


def test_without_a_teacher_the_teacher_does_not_matter(preset, tmp_path):
    """alpha = 0 takes the teacher out of the student's loss altogether."""
    alone = replace(preset, distillation=replace(preset.distillation, alpha=0.0, beta=0.0))
    slow = replace(alone, training=replace(alone.training, teacher_learning_rate=1e-6))
    a, b = train.train(alone, 0, tmp_path / "a"), train.train(slow, 0, tmp_path / "b")
    same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert a["accuracy"]["teacher_test"] != b["accuracy"]["teacher_test"]


def test_with_a_teacher_the_teacher_matters(run, preset, tmp_path):
    folder, _ = run
    slow = replace(preset, training=replace(preset.training, teacher_learning_rate=1e-6))
    train.train(slow, 0, tmp_path)
    mine, other = weights(folder), weights(tmp_path)
    assert any(not torch.equal(mine[key], other[key]) for key in mine)


def test_latent_weights_stay_clipped(run):
    folder, _ = run
    for key, value in weights(folder).items():
        if "fc" in key and key.endswith("weight"):
            assert value.abs().max() <= 1


def test_a_student_of_another_preset_is_refused(run, preset):
    folder, _ = run
    with pytest.raises(UserError, match=r"student.pt: of preset 'mlp-digits', not 'tfc-mnist'"):
        train.load_student(folder, presets.load("tfc-mnist"))
    wider = replace(preset, student=presets.Student((64, 64, 128)))
    with pytest.raises(UserError, match=r"student.pt: does not fit the \[student\] of preset"):
        train.load_student(folder, wider)


def test_a_missing_student_is_named(tmp_path, preset):
    with pytest.raises(UserError, match=r"student.pt: missing; train first"):
        train.load_student(tmp_path, preset)


def test_the_schedule_warms_up_and_ends_at_zero():
    rates = [train.schedule(step, 100, 10) for step in range(100)]
    assert rates[:10] == pytest.approx([x / 10 for x in range(1, 11)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_the_command_line(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(presets, "load", lambda name: preset)
    monkeypatch.setattr("sys.argv", ["train", "--seed", "3", "--out", str(tmp_path)])
    assert train.main() == 0
    assert "seed 3: validation" in capsys.readouterr().out


def test_the_command_line_names_a_wrong_preset(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train", "--preset", "nope", "--out", str(tmp_path)])
    assert train.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no preset 'nope'")
    assert error.count("\n") == 1
