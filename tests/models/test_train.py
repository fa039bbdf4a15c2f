"""The training loop: it learns, seeds do not meet, it can be interrupted, it stops on nonsense."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import small
import torch
from torch.nn import functional as F

from flow.errors import UserError
from flow.lowering.export import scale_images
from models import checkpoint, curves, data, losses, presets, results, train
from models.feed import Feed, evaluate, percent
from models.run import Run

SEEDS = (0, 3)
RECIPE = {"ema": 0.9, "clipping": "learned", "estimator": "ede", "precision": "bfloat16"}
RESUMED = {
    "online": small.preset(augmentation=small.CHANGES),
    "two stages, averaged, learned clip": small.preset(
        training=RECIPE | {"epochs": 4, "float_weight_epochs": 2}, student=small.CONVOLUTIONS
    ),
    "learned temperature, gate": small.preset(
        distillation={"temperature": {"form": "ctkd"}, "gate": True}
    ),
    "shuffled entropies": small.preset(
        distillation={"temperature": {"form": "shuffled_samples"}, "alpha_minimum": 0.1}
    ),
    "frozen teacher": small.preset(
        distillation={"mode": "frozen"}, augmentation=small.CHANGES | {"variants": 2}
    ),
    "no teacher": small.preset(distillation={"mode": "none"}),
}


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing takes longer than training."""
    monkeypatch.setattr(curves, "draw", lambda *rest: rest[-1].write_bytes(b"picture"))


@pytest.fixture(scope="module")
def preset():
    """Dropout on, so that the random state matters."""
    return small.preset(student={"hidden": (64, 64)}, teacher={"learning_rate": 0.01})


@pytest.fixture(scope="module")
def run(preset, tmp_path_factory):
    """One finished run, with its picture, that the tests below look at."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train.train(preset, SEEDS, folder)


def weights(folder, seed=0):
    return checkpoint.load(folder / f"seed-{seed}" / "student.pt")["student"]


def test_two_epochs_learn_something(run):
    _, report = run
    for one in report["per_seed"]:
        assert one["accuracy"]["test"] > 40  # chance is 10
        assert one["accuracy"]["teacher_test"] > 40
    losses_seen = [row["student_loss"] for row in report["history"]]
    assert all(last < first for first, last in zip(losses_seen[0], losses_seen[-1], strict=True))


def test_the_report_is_whole(run, preset):
    folder, report = run
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report))
    assert report["seeds"] == list(SEEDS) == [one["seed"] for one in report["per_seed"]]
    assert report["epochs"] == 2 == len(report["history"])
    assert report["fingerprint"] == preset.fingerprint(*SEEDS)
    assert report["images"] == {"train": 1197, "validation": 300, "test": 300}
    for i, one in enumerate(report["per_seed"]):
        column = [row["student_validation"][i] for row in report["history"]]
        assert one["accuracy"]["validation"] == max(column)
        assert one["best_epoch"] == 1 + column.index(max(column))
    assert all(len(row[name]) == len(SEEDS) for row in report["history"] for name in train.MEASURES)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    files = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    students = [f"seed-{seed}/student.pt" for seed in SEEDS]
    assert files == ["curves.png", "outputs.npz", "report.json", *students]


def test_the_students_load_and_have_the_reported_accuracies(run, preset):
    folder, report = run
    with np.load(folder / "outputs.npz") as file:
        outputs = dict(file)
    for i, seed in enumerate(SEEDS):
        student = train.load_student(folder, preset, seed)
        assert not student.training
        splits = data.load("digits", seed)
        for part, images in (("validation", splits.validation), ("test", splits.test)):
            with torch.no_grad():
                logits = student(scale_images(images.images)).numpy()
            right = 100 * (logits.argmax(1) == images.labels).mean()
            assert right == pytest.approx(report["per_seed"][i]["accuracy"][part], abs=1e-4)
            assert np.allclose(outputs[f"{part}_logits"][i], logits, atol=1e-5)
            labels = outputs[f"{part}_labels"]
            assert np.array_equal(labels if part == "test" else labels[i], images.labels)
    assert outputs["teacher_test_labels"].shape == (2, 300)
    assert {x.dtype for x in outputs.values()} == {np.dtype("float32"), np.dtype("uint8")}


def test_the_same_seeds_give_the_same_numbers_and_others_do_not(run, preset, tmp_path):
    folder, report = run
    again = train.train(preset, SEEDS, tmp_path / "again")
    assert again["history"] == report["history"]
    for seed in SEEDS:
        small.same(weights(tmp_path / "again", seed), weights(folder, seed))
    other = train.train(preset, (1, 2), tmp_path / "other")
    assert other["history"] != report["history"]


def column(report, seed):
    """A seed's own history."""
    i = report["seeds"].index(seed)
    return [{k: v[i] for k, v in row.items() if k != "epoch"} for row in report["history"]]


@pytest.mark.parametrize("others", [(5,), (9, 1)], ids=str)
def test_a_seed_beside_other_seeds_has_the_same_bits(run, tmp_path, others):
    """As long as as many train together, which is what the kernels' order of sums depends on."""
    wanted = RESUMED["two stages, averaged, learned clip"]
    one = train.train(wanted, (3, *range(20, 20 + len(others))), tmp_path / "one")
    two = train.train(wanted, (3, *others), tmp_path / "two")
    assert column(one, 3) == column(two, 3)
    small.same(weights(tmp_path / "one", 3), weights(tmp_path / "two", 3))


def test_a_seed_alone_starts_with_the_same_numbers_up_to_rounding(preset, tmp_path):
    """Sums are taken in another order, so later a weight near zero may take the other sign."""
    together, alone = Run(preset, Feed(preset, SEEDS), tmp_path), Run(
        preset, Feed(preset, SEEDS[1:]), tmp_path
    )  # fmt: skip
    rows = [train.one_epoch(run, 1, train.progress(1, 0)) for run in (together, alone)]
    for name in train.MEASURES:
        rtol = 0.1 if name.startswith("student") else 0.02
        assert rows[0][name][1] == pytest.approx(rows[1][name][0], rel=rtol), name
    many, one = together.student.state_of(1), alone.student.state_of(0)
    signs = [torch.cat([x[k].flatten() for k in x if "fc" in k]) for x in (many, one)]
    assert (signs[0] == signs[1]).float().mean() > 0.9
    many, one = (run.teacher.state_dict()["classifier.weight"] for run in (together, alone))
    assert torch.allclose(many[1], one[0], atol=1e-2)


def interrupt_after(monkeypatch, epochs):
    """Let `epochs` epochs pass, then behave as if the user had pressed Ctrl-C."""
    real = train.one_epoch

    def epoch(run, number, bar):
        if number > epochs:
            raise KeyboardInterrupt
        return real(run, number, bar)

    monkeypatch.setattr(train, "one_epoch", epoch)


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_run_goes_on_with_the_same_numbers(name, tmp_path, monkeypatch):
    wanted = RESUMED[name]
    whole = train.train(wanted, SEEDS, tmp_path / "whole")
    half = tmp_path / "half"
    for epoch in range(1, wanted.training.epochs):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt_after(patch, epoch)
            train.train(wanted, SEEDS, half)
        assert {p.name for p in half.iterdir()} - {"teachers"} == {"checkpoint.pt"}
        torch.rand(7)  # the random state in between must not matter
    resumed = train.train(wanted, SEEDS, half)
    assert resumed["history"] == whole["history"]
    assert resumed["per_seed"] == whole["per_seed"]
    for seed in SEEDS:
        small.same(weights(half, seed), weights(tmp_path / "whole", seed))
    assert not (half / "checkpoint.pt").exists()


def test_a_checkpoint_of_another_run_is_refused_and_kept(preset, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        train.train(preset, (0,), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    other = replace(preset, training=replace(preset.training, learning_rate=0.5))
    for wanted, seeds in ((preset, (1,)), (preset, (0, 1)), (other, (0,))):
        with pytest.raises(UserError, match=r"checkpoint.pt: of another preset, seed"):
            train.train(wanted, seeds, tmp_path)
        assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert train.train(preset, (1,), tmp_path, resume=False)["seeds"] == [1]


def test_a_finished_folder_is_not_trained_again(run, preset, monkeypatch):
    folder, report = run
    interrupt_after(monkeypatch, 0)
    assert train.train(preset, SEEDS, folder) == json.loads(json.dumps(report))
    with pytest.raises(KeyboardInterrupt):
        train.train(preset, SEEDS, folder, resume=False)
    lost = folder / "seed-3" / "student.pt"
    body = lost.read_bytes()
    lost.unlink()
    with pytest.raises(KeyboardInterrupt):
        train.train(preset, SEEDS, folder)
    lost.write_bytes(body)
    assert train.finished(folder, preset.fingerprint(*SEEDS), SEEDS) is not None
    assert train.finished(folder, preset.fingerprint(0), (0,)) is None


def test_a_loss_that_is_not_finite_stops_the_run(preset, tmp_path, monkeypatch):
    """Of one seed, in the second epoch; what the first left can be taken up."""
    real, calls = losses.student_loss, []
    shards = 2 * (1197 // preset.training.batch_size)

    def poisoned(**inputs):
        calls.append(1)
        factor = torch.tensor([1, math.nan if len(calls) == shards + 5 else 1])
        return real(**inputs) * factor

    with monkeypatch.context() as patch:
        patch.setattr(losses, "student_loss", poisoned)
        with pytest.raises(UserError, match=r"epoch 2, step 3 .*epoch 1 is kept") as caught:
            train.train(preset, SEEDS, tmp_path)
    assert "\n" not in str(caught.value)
    state = checkpoint.load(tmp_path / "checkpoint.pt", preset.fingerprint(*SEEDS))
    assert len(state["history"]) == 1
    assert all(torch.isfinite(x).all() for x in state["parts"]["student"].values())
    resumed = train.train(preset, SEEDS, tmp_path)
    assert resumed["history"] == train.train(preset, SEEDS, tmp_path / "whole")["history"]


def test_the_test_images_are_looked_at_once_at_the_end(preset, tmp_path, monkeypatch):
    real, order = data.read, []

    def poisoned(name):
        rest, test = real(name)
        return rest, replace(test, labels=(test.labels + 1) % 10)

    monkeypatch.setattr(data, "read", poisoned)
    for module in (train, results):
        real_evaluate = module.evaluate
        monkeypatch.setattr(
            module,
            "evaluate",
            lambda n, f, test=False, e=real_evaluate: order.append(test) or e(n, f, test),
        )
    report = train.train(preset, (0,), tmp_path)
    assert report["per_seed"][0]["accuracy"]["test"] < 25  # its labels are wrong
    assert report["per_seed"][0]["accuracy"]["validation"] > 40  # and nothing else noticed
    assert order == [False] * 4 + [True, False]  # student, teacher an epoch; teacher, student


def test_without_distillation_the_teacher_does_not_matter(tmp_path):
    """alpha = 0 takes the teacher out of the student's loss altogether."""
    none = small.preset(distillation={"mode": "none"})
    alone = small.preset(distillation={"alpha": 0.0})
    slow = replace(alone, teacher=replace(alone.teacher, learning_rate=1e-6))
    reports = {
        name: train.train(wanted, (0,), tmp_path / name)
        for name, wanted in (("none", none), ("alone", alone), ("slow", slow))
    }
    small.same(weights(tmp_path / "alone"), weights(tmp_path / "slow"))
    small.same(weights(tmp_path / "alone"), weights(tmp_path / "none"))
    accuracies = {n: r["per_seed"][0]["accuracy"]["teacher_test"] for n, r in reports.items()}
    assert accuracies["none"] is None
    assert accuracies["alone"] != accuracies["slow"]


def test_with_distillation_the_teacher_matters(tmp_path):
    for mode in ("online", "frozen"):
        fast = small.preset(distillation={"mode": mode})
        slow = replace(fast, teacher=replace(fast.teacher, learning_rate=1e-6))
        runs = [
            small.run_of(wanted, tmp_path / f"{mode}{i}", 0, epochs=1)
            for i, wanted in enumerate((fast, slow))
        ]
        one, two = (run.student.state_of(0) for run in runs)
        assert any(not torch.equal(one[key], two[key]) for key in one)


def test_a_paused_teacher_stays_where_it_is(tmp_path, monkeypatch):
    """Of the second seed alone; the first learns on."""
    wanted = small.preset(distillation={"gate": True}, teacher={"weight_decay": 0.1})
    run = small.run_of(wanted, tmp_path, *SEEDS, epochs=1)
    before = {k: v.clone() for k, v in run.teacher.named_parameters()}
    monkeypatch.setattr(train.gate, "teacher_learns", lambda *_: torch.tensor([1.0, 0.0]))
    row = train.one_epoch(run, 2, train.progress(1, 0))
    assert row["teacher_learns"] == pytest.approx([1, 0])
    assert row["teacher_loss"][1] == 0
    for name, parameter in run.teacher.named_parameters():
        assert torch.equal(parameter[1], before[name][1]), name
        assert not torch.equal(parameter[0], before[name][0]), name


def test_the_first_stage_has_float_weights_and_a_schedule_of_its_own(tmp_path, monkeypatch):
    wanted = small.preset(training={"epochs": 5, "float_weight_epochs": 2, "warmup_epochs": 1})
    run = Run(wanted, Feed(wanted, (0,)), tmp_path)
    seen, real = [], train.one_step

    def step(run, *rest):
        rate = run.optimisers[0][0].param_groups[0]["lr"]
        seen.append((run.student.binarise, run.student.progress, rate, run.optimisers[0][0]))
        return real(run, *rest)

    monkeypatch.setattr(train, "one_step", step)
    for epoch in range(1, 6):
        train.one_epoch(run, epoch, train.progress(1, 0))
    steps, top = run.feed.steps, wanted.training.learning_rate
    assert [s[0] for s in seen] == [False] * 2 * steps + [True] * 3 * steps
    for first, last in ((0, 2 * steps - 1), (2 * steps, 5 * steps - 1)):
        assert seen[first][1] == 0 and 0.9 < seen[last][1] < 1
        assert seen[first][2] == pytest.approx(top / steps)
        assert seen[first + steps][2] == pytest.approx(top)
        assert seen[last][2] < 0.02 * top
    assert len({id(s[3]) for s in seen}) == 2  # the moments of float weights are dropped


def test_the_average_follows_and_has_statistics_of_its_own(tmp_path):
    wanted = small.preset(training={"ema": 0.75, "recalibrate": 3, "precision": "float32"})
    run = Run(wanted, Feed(wanted, (0,)), tmp_path)
    before = run.average.products[0].weight.clone()
    with torch.no_grad():
        run.student.products[0].weight.add_(0.5)
    train._follow(run.average, run.student, 0.75)
    expected = 0.75 * before + 0.25 * run.student.products[0].weight
    assert torch.allclose(run.average.products[0].weight, expected)

    order = torch.randperm(run.feed.count)[None]
    changes = train.Changes.draw(wanted.augmentation, (0,), 0, run.feed.count)
    with torch.no_grad():
        train.recalibrate(run, order, changes)
    images = run.feed.side_by_side(run.feed.images(order))
    x = torch.where(images.flatten(1) >= 128, 1.0, -1.0)
    sums = F.linear(x, run.average.products[0].used(True, 0.0)[0])
    shards = sums[: 3 * 64].split(32)  # three batches of 64 images in two shards
    mean = torch.stack([part.mean(0) for part in shards]).mean(0)
    var = torch.stack([part.var(0) for part in shards]).mean(0)
    assert torch.allclose(run.average.norms[0].running_mean[0], mean, atol=1e-4)
    assert torch.allclose(run.average.norms[0].running_var[0], var, rtol=1e-4)


def test_the_average_is_what_is_evaluated_and_kept(tmp_path):
    wanted = small.preset(training={"ema": 0.99})
    run = small.run_of(wanted, tmp_path, 0)
    row = {"epoch": 2, "student_validation": percent(*evaluate(run.average, run.feed))}
    run.close_epoch(row, 1.0)
    average = run.average.state_dict()
    small.same(run.best, average)
    assert not torch.equal(average["products.0.weight"], run.student.products[0].weight)


def test_a_learned_bound_learns(tmp_path):
    run = small.run_of(small.preset(training={"clipping": "learned"}), tmp_path, *SEEDS)
    for product in run.student.products:
        moved = (product.bound.flatten() - 1).abs()
        assert (moved > 0.005).all()
        assert moved[0] != moved[1]


def test_a_student_of_another_preset_is_refused(run, preset):
    folder, _ = run
    with pytest.raises(UserError, match=r"student.pt: of preset 'mlp-digits', not 'tfc-mnist'"):
        train.load_student(folder, presets.load("tfc-mnist"), 0)
    wider = replace(preset, student=presets.Student((64, 64, 128)))
    with pytest.raises(UserError, match=r"student.pt: does not fit the \[student\] of preset"):
        train.load_student(folder, wider, 0)


def test_a_missing_student_is_named(tmp_path, preset):
    with pytest.raises(UserError, match=r"seed-7/student.pt: missing; train first"):
        train.load_student(tmp_path, preset, 7)


def test_the_command_line(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(presets, "load", lambda name: preset)
    monkeypatch.setattr("sys.argv", ["train", "--seeds", "3", "4", "--out", str(tmp_path)])
    assert train.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["mlp-digits, seed 3", "mlp-digits, seed 4"]
    assert "validation" in lines[0] and "teacher_test" in lines[0]


def test_the_command_line_names_a_wrong_preset(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train", "--preset", "nope", "--out", str(tmp_path)])
    assert train.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no preset 'nope'")
    assert error.count("\n") == 1


def test_a_label_out_of_range_ends_in_one_line(tmp_path, monkeypatch):
    rest, test = data.read_digits()
    wrong = rest.labels.copy()
    wrong[5] = 10
    broken = replace(data.DATASETS["digits"], read=lambda: (replace(rest, labels=wrong), test))
    monkeypatch.setitem(data.DATASETS, "digits", broken)
    with pytest.raises(UserError, match=r"digits: label 10 of image 5 is out of range 0..9"):
        train.train(small.preset(), (0,), tmp_path)
