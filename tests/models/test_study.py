"""The study: what it runs and in which order, what it reports, and that nothing is lost."""

import json
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace

import fake_training as fake
import pytest

from flow.errors import UserError
from flow.paths import ROOT
from models import arms, data, preset_rules, presets, study, study_figures, workers
from models.study_report import PICTURES

SEEDS = (0, 1, 2, 3, 4, 5)
ARMS = (
    "main",
    "fixed_2",
    "fixed_16",
    "relative_gamma_1",
    "shuffled",
    "frozen_fixed_4",
    "frozen_replay",
)


@pytest.fixture(scope="module")
def preset():
    return study.shortened(presets.load("mlp-digits"), 3)


def make(preset, folder, names=ARMS, seeds=SEEDS):
    return study.Study(preset, arms.select(preset, names), seeds, folder, "make study")


@pytest.fixture(scope="module")
def whole(preset, tmp_path_factory):
    """One finished study of fake runs that the tests below look at."""
    folder = tmp_path_factory.mktemp("study")
    return folder, study.run(make(preset, folder), workers.Here(), fake.work)


def test_the_report_holds_every_arm_and_seed(whole, preset):
    folder, report = whole
    assert json.loads((folder / "report.json").read_text()) == report
    assert list(report["arms"]) == list(arms.select(preset, ARMS))
    assert report["preset"] == "mlp-digits"
    assert report["epochs"] == 3
    assert report["command"] == "make study"
    assert {"python", "torch", "numpy"} <= report["tools"].keys()
    assert report["failed"] == {} and report["open"] == []
    for name, arm in report["arms"].items():
        assert arm["seeds"] == report["seeds"] == list(SEEDS)
        assert len(arm["accuracy"]) == len(arm["validation"]) == len(SEEDS)
        assert (arm["integer"] == arm["accuracy"]) if name in arms.MAIN else arm["integer"] is None
        assert len(report["calibration"][name]["ece_scaled"]) == len(SEEDS)
    assert report["cost"]["relative"]["of_none"] == 2
    assert report["cost"]["relative"]["seconds_a_seed"] == 0.5


def test_without_a_teacher_there_is_nothing_of_a_teacher(whole):
    _, report = whole
    none = report["arms"]["none"]
    assert none["teacher"] is None and report["calibration"]["none"]["agreement"] is None
    assert none["curves"]["temperature"] is None and none["curves"]["teacher_entropy"] is None
    assert report["arms"]["relative"]["teacher"] == [98.0] * 6
    assert report["arms"]["relative"]["curves"]["distance"] == [0.1, 0.2, 0.3]


def test_validation_images_choose_and_not_the_test_images(whole):
    _, report = whole
    assert report["chosen"]["fixed"]["arm"] == "fixed_2"
    test = {name: sum(arm["accuracy"]) for name, arm in report["arms"].items()}
    assert max(report["chosen"]["fixed"]["of"], key=test.get) == "fixed_16"
    assert all(row["b"] == "fixed_2" for row in report["comparisons"] if row["group"] == "arms")


def test_comparisons_are_paired_and_corrected_in_two_families(whole):
    _, report = whole
    groups = {"questions": [], "arms": []}
    for row in report["comparisons"]:
        groups[row["group"]].append(row)
        a, b = (report["arms"][row[side]]["accuracy"] for side in "ab")
        assert row["differences"] == pytest.approx([x - y for x, y in zip(a, b, strict=True)])
        assert row["interval"][0] <= row["mean"] <= row["interval"][1]
        assert row["p_holm"] >= row["p"]
    assert len(groups["arms"]) == len(report["arms"]) - 1
    asked = {row["question"]: (row["a"], row["b"]) for row in groups["questions"]}
    assert asked["adaptive over replay"] == ("relative", "replay")
    assert asked["adaptive over none"] == (report["chosen"]["adaptive"]["arm"], "none")
    assert asked["frozen: adaptive over replay"] == ("frozen_relative", "frozen_replay")


def test_the_conclusion_says_what_adaptation_adds_and_how_sure_that_is(whole):
    folder, report = whole
    rows = {row["question"]: row for row in report["comparisons"] if row["group"] == "questions"}
    for question in ("adaptive over fixed", "adaptive over replay"):
        low, high = rows[question]["interval"]
        assert f"{low:+.2f} to {high:+.2f}" in report["conclusion"]
    assert report["conclusion"] in (folder / "study.md").read_text()


def test_a_difference_that_may_be_zero_is_called_so(preset, tmp_path):
    seeds = (0, 1)  # too few for any p
    report = study.run(make(preset, tmp_path, ["main"], seeds), workers.Here(), fake.work)
    assert report["conclusion"].count("not told apart from zero") == 4
    assert "cannot give a p below 0.5 " in report["conclusion"]


def test_without_the_arms_for_it_nothing_is_concluded(preset, tmp_path):
    report = study.run(make(preset, tmp_path, ["cosine_up"]), workers.Here(), fake.work)
    assert report["comparisons"] == []
    assert "answer none of the study's questions" in report["conclusion"]


def test_one_seed_is_no_statistic_but_no_fault_either(preset, tmp_path):
    report = study.run(make(preset, tmp_path, ["main"], (3,)), workers.Here(), fake.work)
    assert "one seed, no interval" in report["conclusion"]
    assert report["comparisons"][0]["interval"] is None


def test_replay_plays_the_mean_temperature_of_the_adaptive_run(whole):
    _, report = whole
    curve = [10.5, 6.5, 5.166667]  # 8 / epoch, and 2.5 more as the mean over the fake's seeds
    for name in ("replay", "shuffled", "frozen_replay"):
        assert report["arms"][name]["distillation"]["temperature"]["curve"] == curve


def test_every_picture_is_drawn(whole):
    folder, _ = whole
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == set(PICTURES)
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_pictures_and_failures_are_named_where_there_are_any(whole, preset, tmp_path):
    folder, _ = whole
    assert all(f"]({name})" in (folder / "study.md").read_text() for name in PICTURES)
    lost = fake.work_without("cosine_up", UserError("the loss is not finite"))
    study.run(make(preset, tmp_path, ["none", "cosine_up"]), workers.Here(), lost)
    text = (tmp_path / "study.md").read_text()
    assert "cosine_up failed: the loss is not finite" in text
    assert "differences.png" not in text and "adaptation.png" not in text
    assert {path.name for path in tmp_path.glob("*.png")} == set(PICTURES) - {
        "differences.png",
        "adaptation.png",
    }


def test_a_table_row_for_every_arm(whole):
    folder, report = whole
    text = (folder / "study.md").read_text()
    assert all(f"\n| {name} | " in text for name in report["arms"])
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ")}) == 2


# --- interrupted, failed, killed ------------------------------------------------------------------


def test_an_interrupted_study_goes_on_and_trains_nothing_twice(whole, preset, tmp_path):
    _, report = whole
    with pytest.raises(KeyboardInterrupt):
        stop = fake.work_without("replay", KeyboardInterrupt())
        study.run(make(preset, tmp_path), workers.Here(), stop)
    half = json.loads((tmp_path / "report.json").read_text())
    assert "replay" in half["open"] and "relative" in half["arms"]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/report.json")}
    assert len(written) == len(half["arms"])
    again = study.run(make(preset, tmp_path), workers.Here(), fake.work)
    assert again == report
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


def test_other_epochs_seeds_or_options_overwrite_nothing(preset, tmp_path):
    first = study.run(make(preset, tmp_path, ["none"]), workers.Here(), fake.work)
    longer = replace(preset, training=replace(preset.training, epochs=4))
    study.run(make(longer, tmp_path, ["none"]), workers.Here(), fake.work)
    study.run(make(preset, tmp_path, ["none"], (0, 1)), workers.Here(), fake.work)
    assert len(list((tmp_path / "runs").iterdir())) == 3
    assert study.run(make(preset, tmp_path, ["none"]), workers.Here(), fake.work) == first


def test_an_arm_that_fails_ends_no_other(preset, tmp_path):
    lost = fake.work_without("relative", UserError("the loss is not finite in epoch 2, step 3"))
    report = study.run(make(preset, tmp_path), workers.Here(), lost)
    assert report["failed"]["relative"] == "the loss is not finite in epoch 2, step 3"
    assert report["failed"]["replay"] == "follows relative, which failed"
    assert report["failed"].keys() == {"relative", "replay", "shuffled"}
    assert "fixed_4" in report["arms"] and "replay" not in report["arms"]
    again = study.run(make(preset, tmp_path), workers.Here(), fake.work)
    assert again["failed"] == {} and "replay" in again["arms"]


def test_missing_images_end_the_study_at_once(preset, tmp_path, monkeypatch):
    def missing(name, seed):
        raise UserError("set DATA_DIR to a folder that holds mnist/")

    monkeypatch.setattr(data, "load", missing)
    with pytest.raises(UserError, match="DATA_DIR"):
        study.run(make(preset, tmp_path), workers.Here(), fake.work)


def test_processes_side_by_side_give_the_same_report(whole, preset, tmp_path):
    _, report = whole
    with workers.processes(2) as engine:
        assert study.run(make(preset, tmp_path), engine, fake.work) == report


def test_a_fault_in_a_process_comes_back(preset, tmp_path):
    with workers.processes(2) as engine:
        report = study.run(
            make(preset, tmp_path, ["none", "cosine_up"]), engine, fake.diverge_at_cosine_up
        )
    assert report["failed"] == {"cosine_up": "the loss is not finite in epoch 1, step 2"}
    assert list(report["arms"]) == ["none"]


def test_a_killed_process_is_told_in_one_line(preset, tmp_path):
    with (
        pytest.raises(UserError, match="killed, perhaps for memory"),
        workers.processes(2) as engine,
    ):
        study.run(make(preset, tmp_path, ["main"]), engine, fake.die)


class Slow:
    """An engine of many slots whose tasks end only when nothing else can start."""

    slots = 100

    def __init__(self):
        self.running, self.seen = [], []

    def submit(self, work, task):
        work(task)
        self.running.append((task.name, future := Future()))
        return future

    def settle(self):
        self.seen.append([name for name, _ in self.running])
        for _, future in self.running:
            future.set_result(None)
        self.running = []


def test_frozen_teachers_are_trained_by_one_arm_and_followers_wait(preset, tmp_path, monkeypatch):
    engine, real = Slow(), study.wait

    def wait(futures, return_when):
        engine.settle()
        return real(futures, return_when=return_when)

    monkeypatch.setattr(study, "wait", wait)
    names = ["relative", "replay", "frozen_fixed_4", "frozen_relative", "frozen_replay"]
    study.run(make(preset, tmp_path, names), engine, fake.work)
    assert engine.seen == [
        ["relative", "frozen_fixed_4"],
        ["replay", "frozen_relative"],
        ["frozen_replay"],
    ]


# --- on the command line --------------------------------------------------------------------------


def test_the_command_line_names_what_is_wrong(capsys, tmp_path):
    assert study.main(["--preset", "nope", "--out", str(tmp_path)]) == 2
    assert study.main(["--arms", "none,warm", "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in errors] == [
        "error: no preset 'nope'",
        "error: no arm 'warm'",
    ]
    with pytest.raises(SystemExit):
        study.main(["--seeds", "0"])


def test_without_ray_or_its_cluster_one_line_says_so(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    command = ["--arms", "none", "--ray", "--out", str(tmp_path)]
    assert study.main(command) == 2
    monkeypatch.setitem(sys.modules, "ray", None)
    assert study.main(command) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: no Ray cluster at RAY_ADDRESS=127.0.0.1:9 (")
    assert errors[1].startswith("error: Ray is not installed; run `make setup`")
    assert len(errors) == 2


def test_a_study_at_work_is_not_disturbed(capsys, tmp_path):
    with study.locked(tmp_path):
        assert study.main(["--arms", "none", "--out", str(tmp_path)]) == 2
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize("epochs", [1, 2, 3, 200])
def test_any_number_of_epochs_makes_a_legal_preset(epochs):
    whole = presets.load("mlp-digits")
    staged = replace(whole, training=replace(whole.training, float_weight_epochs=40))
    for preset in (whole, staged):
        short = preset_rules.check("test", study.shortened(preset, epochs))
        assert short.training.epochs == epochs
    assert study.shortened(whole, 200).training.warmup_epochs == whole.training.warmup_epochs
    assert study.shortened(staged, 60).training.float_weight_epochs == 20


def test_the_picture_of_one_run(whole, tmp_path, monkeypatch, capsys):
    folder, _ = whole
    (run,) = folder.glob("runs/relative-*/report.json")
    monkeypatch.setattr(
        "sys.argv", ["x", str(run), "--seed", "4", "--out", str(tmp_path / "a.png")]
    )
    assert study_figures.main() == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("sys.argv", ["x", str(run), "--seed", "9"])
    assert study_figures.main() == 2
    assert capsys.readouterr().err == "error: no seed 9 in that run; there are [0, 1, 2, 3, 4, 5]\n"


# --- with real training ---------------------------------------------------------------------------

REAL = ("--arms", "shuffled,frozen_fixed_2", "--seeds", "2", "--epochs", "2")


def real(folder, *options, start=(sys.executable, "-m")):
    """Run a small study of mlp-digits in processes of its own; returns its report."""
    command = [*start, "models.study", "--preset", "mlp-digits", *REAL, *options]
    done = subprocess.run(
        [*command, "--out", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "report.json").read_text())


def numbers(report):
    """All that must not depend on where the runs ran."""
    body = {k: v for k, v in report.items() if k not in ("command", "commit", "cost")}
    return json.loads(json.dumps(body))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, real(folder, "--jobs", "1")


@pytest.mark.slow
def test_the_integer_network_has_the_accuracy_of_the_trained_one(alone):
    _, report = alone
    relative = report["arms"]["relative"]  # of the main arms
    assert relative["integer"] == relative["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jobs", "torchrun", "ray"])
def test_other_engines_give_the_numbers_of_one_process(alone, how, tmp_path):
    launch = {
        "jobs": lambda: real(tmp_path, "--jobs", "2"),
        "ray": lambda: real(tmp_path, "--ray"),
        "torchrun": lambda: real(
            tmp_path,
            start=(str(ROOT / ".venv/bin/torchrun"), "--nproc-per-node", "2", "-m"),
        ),
    }
    assert numbers(launch[how]()) == numbers(alone[1])


@pytest.mark.slow
def test_frozen_teachers_are_kept_for_all_arms(alone):
    folder, _ = alone
    kept = sorted(path.name for path in (folder / "teachers").iterdir())
    assert [name.split("-")[0] for name in kept] == ["0", "1"]
