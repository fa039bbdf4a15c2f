"""Frozen teachers: trained once, found again, and as good kept as asked."""

from dataclasses import replace

import pytest
import small
import torch

from flow.errors import UserError
from models import checkpoint, frozen, train
from models.augment import Changes
from models.feed import Feed, evaluate, percent

TEACHER = {"hidden": (24,), "epochs": 2, "dropout": 0.2, "learning_rate": 0.02}


def frozen_preset(augmentation=None, **distillation):
    return small.preset(
        teacher=TEACHER,
        distillation={"mode": "frozen", **distillation},
        augmentation=augmentation or {},
        training={"epochs": 1},
    )


@pytest.fixture
def counted(monkeypatch):
    """Seeds of the teachers that were trained, in order."""
    real, seeds = frozen._train, []

    def counting(preset, feed, folder):
        seeds.append(feed.seeds)
        return real(preset, feed, folder)

    monkeypatch.setattr(frozen, "_train", counting)
    return seeds


def test_a_teacher_learns(tmp_path):
    wanted = frozen_preset()
    feed = Feed(wanted, (0, 1))
    teachers = frozen.trained(wanted, feed, tmp_path)
    assert not teachers.training
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == [
        f"{seed}-{wanted.teacher_fingerprint(seed)}.pt" for seed in (0, 1)
    ]
    assert all(checkpoint.load(f)["validation"] > 60 for f in files)  # chance is 10


def test_runs_with_other_distillation_share_the_teachers(tmp_path, counted):
    one = frozen_preset(alpha=0.5)
    other = frozen_preset(alpha=0.9, temperature={"form": "fixed", "value": 3.0})
    first = train.train(one, (0, 1), tmp_path / "one", teachers=tmp_path / "teachers")
    files = {f.name: f.read_bytes() for f in (tmp_path / "teachers").iterdir()}
    second = train.train(other, (0, 1), tmp_path / "other", teachers=tmp_path / "teachers")
    assert counted == [(0, 1)]
    assert {f.name: f.read_bytes() for f in (tmp_path / "teachers").iterdir()} == files
    accuracies = [[p["accuracy"]["teacher_test"] for p in r["per_seed"]] for r in (first, second)]
    assert accuracies[0] == accuracies[1]
    assert first["history"] != second["history"]


def test_only_the_teachers_that_are_missing_are_trained(tmp_path, counted):
    wanted = frozen_preset()
    frozen.trained(wanted, Feed(wanted, (1,)), tmp_path)
    three = frozen.trained(wanted, Feed(wanted, (0, 1, 2)), tmp_path)
    again = frozen.trained(wanted, Feed(wanted, (2, 1)), tmp_path)
    assert counted == [(1,), (0, 2)]
    for name, value in three.state_dict().items():
        assert torch.equal(value[[2, 1]], again.state_dict()[name]), name
    longer = small.preset(teacher=TEACHER | {"epochs": 3})
    frozen.trained(longer, Feed(longer, (1,)), tmp_path)
    assert counted[2:] == [(1,)]


def test_a_teacher_may_have_batches_of_its_own(tmp_path, counted):
    """Then students with other batches, or not parted, share it."""
    other = small.preset(
        teacher=TEACHER | {"batch_size": 128, "shards": 2},
        distillation={"mode": "frozen"},
        training={"batch_size": 60, "shards": 1},
    )
    same = small.preset(
        teacher=TEACHER, distillation={"mode": "frozen"}, training={"batch_size": 128}
    )
    a, b = (frozen.trained(wanted, Feed(wanted, (0,)), tmp_path) for wanted in (other, same))
    assert counted == [(0,)]
    small.same(a.state_dict(), b.state_dict())
    apart = frozen.trained(other, Feed(other, (0,)), tmp_path / "apart")
    small.same(apart.state_dict(), b.state_dict())
    with pytest.raises(UserError, match=r"batch_size must be a multiple of shards \(2\)"):
        small.preset(teacher={"batch_size": 3}, distillation={"mode": "frozen"})
    with pytest.raises(UserError, match=r"batch_size must be a multiple of shards \(3\)"):
        small.preset(teacher={"shards": 3}, distillation={"mode": "frozen"})
    with pytest.raises(UserError, match="batch_size must be left out, but for a frozen teacher"):
        small.preset(teacher={"batch_size": 4})
    with pytest.raises(UserError, match="shards must be left out, but for a frozen teacher"):
        small.preset(teacher={"shards": 1})


def test_a_teacher_holds_back_what_it_always_does(tmp_path, counted):
    """Students that hold back fewer share it, and ask it about the images they have won."""
    plain = frozen_preset(small.CHANGES | {"variants": 1})
    more = replace(plain, training=replace(plain.training, held_back=40))
    frozen.trained(plain, Feed(plain, (0,)), tmp_path)
    for folder, trainings in ((tmp_path, 1), (tmp_path / "apart", 2)):
        feed = Feed(more, (0,))
        answers = frozen.Answers(more, feed, folder)
        assert counted == [(0,)] * trainings
        changes = Changes.draw(more.augmentation, feed.seeds, 0, feed.count)
        assert answers.to_variant(0, changes).shape == (1, 1457, 10)
        (file,) = folder.glob("*.answers-0.pt")
        assert file.name == f"0-{plain.teacher_fingerprint(0)}-40.answers-0.pt"
    files = [f / f"0-{plain.teacher_fingerprint(0)}.pt" for f in (tmp_path, tmp_path / "apart")]
    one, other = (checkpoint.load(file)["teacher"] for file in files)
    small.same(one, other)


@pytest.mark.parametrize("variants", [0, 2])
def test_kept_answers_are_those_of_the_teacher(tmp_path, variants):
    wanted = frozen_preset(small.CHANGES | {"variants": variants})
    feed = Feed(wanted, (0, 1))
    answers = frozen.Answers(wanted, feed, tmp_path)
    rows = torch.stack([torch.randperm(feed.count)[:40] for _ in feed.seeds])
    for variant in (0, 1, 5):
        changes = Changes.draw(wanted.augmentation, feed.seeds, variant, feed.count)
        kept = answers.to_variant(variant, changes)
        with torch.no_grad():
            asked = answers.teacher(feed.side_by_side(changes.apply(feed.images(rows), rows)))
        expected = kept.gather(1, rows[..., None].expand(-1, -1, 10))
        assert torch.allclose(expected, asked, atol=1e-5)
        assert answers.to_variant(variant, changes) is kept
        assert len(answers.by_variant) <= max(1, variants)


def test_kept_answers_are_found_again(tmp_path, monkeypatch):
    wanted = frozen_preset(small.CHANGES | {"variants": 2})
    feed = Feed(wanted, (0, 1))
    changes = Changes.draw(wanted.augmentation, feed.seeds, 1, feed.count)
    before = frozen.Answers(wanted, feed, tmp_path).to_variant(1, changes)
    monkeypatch.setattr(frozen.Answers, "_asked", lambda *rest: pytest.fail("asked again"))
    assert torch.equal(frozen.Answers(wanted, feed, tmp_path).to_variant(1, changes), before)
    alone = frozen.Answers(wanted, Feed(wanted, (1,)), tmp_path)
    assert torch.equal(alone.to_variant(1, changes), before[1:])
    file = sorted(tmp_path.glob("1-*.answers-1.pt"))[0]
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{file.name}: damaged"):
        frozen.Answers(wanted, feed, tmp_path).to_variant(1, changes)


def test_a_convolutional_teacher_learns_by_muon(tmp_path):
    options = {"convolutions": (16, 16), "epochs": 3, "learning_rate": 0.01, "muon_rate": 0.03}
    wanted = small.preset(teacher=options, distillation={"mode": "frozen"})
    plain = small.preset(teacher=options | {"muon_rate": 0.0}, distillation={"mode": "frozen"})
    assert wanted.teacher_fingerprint(0) != plain.teacher_fingerprint(0)
    feed = Feed(wanted, (0, 1))
    assert min(percent(*evaluate(frozen.trained(wanted, feed, tmp_path), feed))) > 80


def test_muon_is_for_frozen_convolutions():
    with pytest.raises(UserError, match="muon_rate must be left out, but for a frozen teacher"):
        small.preset(teacher={"muon_rate": 0.05}, distillation={"mode": "frozen"})


def test_variants_are_asked_for_once_each(tmp_path, monkeypatch):
    """Six epochs of two variants ask the teacher twice; without variants in each epoch."""
    for variants, expected in ((2, [1, 0, 1, 0, 1, 0]), (0, [1, 2, 3, 4, 5, 6])):
        wanted = frozen_preset(small.CHANGES | {"variants": variants})
        assert [train._variant(wanted, epoch) for epoch in range(1, 7)] == expected
    assert {train._variant(frozen_preset(), epoch) for epoch in range(1, 7)} == {0}


def test_an_interrupted_teacher_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
    wanted = frozen_preset(small.CHANGES)
    feed = Feed(wanted, (0, 1))
    whole = frozen.trained(wanted, feed, tmp_path / "whole")
    real = frozen._one_epoch

    def interrupted(*arguments):
        if arguments[4] == 2:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(frozen, "_one_epoch", interrupted)
        frozen.trained(wanted, feed, tmp_path / "cut")
    assert len(list((tmp_path / "cut").iterdir())) == 1
    # another teacher's training does not disturb what the first left
    other = small.preset(teacher=TEACHER | {"epochs": 1})
    frozen.trained(other, feed, tmp_path / "cut")
    shown = []
    monkeypatch.setattr(frozen, "_one_epoch", lambda *a: (shown.append(a[4]), real(*a)))
    small.same(frozen.trained(wanted, feed, tmp_path / "cut").state_dict(), whole.state_dict())
    assert shown == [2]
    assert not list((tmp_path / "cut").glob("*checkpoint*"))


def test_a_teachers_loss_that_is_not_finite_is_named(tmp_path):
    wild = small.preset(teacher=TEACHER | {"learning_rate": 1e38})
    with pytest.raises(UserError, match=r"not finite in epoch 1, step \d+ \(seeds \[0\]\)"):
        frozen.trained(wild, Feed(wild, (0,)), tmp_path)


def test_a_damaged_teacher_is_named(tmp_path):
    wanted = frozen_preset()
    feed = Feed(wanted, (0,))
    frozen.trained(wanted, feed, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{file.name}: damaged; delete it and train again"):
        frozen.trained(wanted, feed, tmp_path)
