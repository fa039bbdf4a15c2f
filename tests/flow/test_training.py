"""Where a run's weights come from: trained here, one of several seeds, or the zoo."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from flow import cli, readme, report, runs, seeds, training
from flow.errors import UserError
from flow.paths import ROOT
from models import bitwise, presets, train, zoo

PRESET = """
[data]
name = "digits"
[student]
hidden = [12]
[teacher]
hidden = [16]
[training]
epochs = 2
batch_size = 64
learning_rate = 0.01
"""


def settle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset `tiny`, a zoo and a build folder below `root`, and a commit for all reports."""
    for module, name in ((presets, "PRESETS"), (zoo, "ZOO"), (readme, "ZOO")):
        (root / name.lower()).mkdir(exist_ok=True)
        monkeypatch.setattr(module, name, root / name.lower())
    for module in (runs, readme):
        monkeypatch.setattr(module, "BUILD", root / "build")
    monkeypatch.setattr(report, "commit", lambda: "c0ffee")
    monkeypatch.setattr(cli.tools, "stop_all_on_signals", lambda: None)
    (root / "presets" / "tiny.toml").write_text(PRESET)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Made once: `single`, a zoo that keeps seed 3; `batch`, a build folder with three seeds."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("single", "batch"):
            (root / name).mkdir()
            settle(root / name, monkeypatch)
            if name == "single":
                hanbit("lower", "--seed", "3")
                readme.keep("tiny", "pynq-z2")
                shutil.rmtree(root / name / "build")
            else:
                batch()
    return root


@pytest.fixture
def kept(made, places):
    """The report of a zoo that keeps seed 3."""
    shutil.copytree(made / "single", places, dirs_exist_ok=True)
    return json.loads((zoo.ZOO / "tiny" / "report.json").read_text())


@pytest.fixture
def several(made, places):
    """The report of three seeds in the build folder."""
    shutil.copytree(made / "batch", places, dirs_exist_ok=True)
    return json.loads((runs.BUILD / "tiny" / "seeds" / "report.json").read_text())


@pytest.fixture
def trained(monkeypatch):
    """The seeds of every training that is really run."""
    ran: list[list[int]] = []
    real = train.train

    def noted(preset, wanted, *args, **options):
        ran.append(list(wanted))
        return real(preset, wanted, *args, **options)

    monkeypatch.setattr(train, "train", noted)
    return ran


def hanbit(stage: str, *options: str) -> dict:
    """Run the command, which must end well; return the report of the run."""
    assert cli.main([stage, "--preset", "tiny", *options]) == 0
    return json.loads((runs.BUILD / "tiny" / "pynq-z2" / "report.json").read_text())


def keep_and_forget() -> dict:
    """Keep the run in the zoo, empty the build folder, return the report kept."""
    readme.keep("tiny", "pynq-z2")
    shutil.rmtree(runs.BUILD)
    return json.loads((zoo.ZOO / "tiny" / "report.json").read_text())


def test_the_sources_of_training_are_all_that_it_imports():
    code = (
        "import sys, models.train; print(*(m.__file__ for n, m in sys.modules.items() "
        "if n.startswith('models.')))"
    )
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    imported = {Path(name) for name in out.stdout.split()}
    named = {path for glob in training.SOURCES for path in ROOT.glob(glob)}
    assert len(imported) > 10 and imported == {path for path in named if path.suffix == ".py"}
    assert named - imported == set(bitwise.KERNELS.iterdir())


def test_without_the_zoo_a_run_trains(trained):
    body = hanbit("lower")
    section = body["training"]
    assert trained == [[0]]
    assert section["source"] == "trained" and section["seed"] == body["seed"] == 0
    assert section["epochs"] == 2 and section["seeds_together"] == 1
    assert section["fingerprint"] == presets.load("tiny").fingerprint(0)
    assert "trained here, seed 0" in report.table(body)


def test_the_zoo_is_used_and_named_as_such(kept, trained, capsys):
    body = hanbit("lower")
    assert trained == []
    section = body["training"]
    assert section["source"] == "zoo" and body["seed"] == 3
    assert section["weights"] == kept["training"]["weights"]
    assert set(section) == {"source", "path", "weights", "options_changed", "kept"}
    assert section["kept"]["accuracy"] == kept["training"]["accuracy"]
    assert section["kept"]["commit"] == "c0ffee" and not section["options_changed"]
    assert body["accuracy"] == kept["accuracy"]  # computed again, from the packed weights
    assert "train" not in body["seconds"]
    assert "from the zoo, seed 3" in capsys.readouterr().out
    page = (runs.BUILD / "tiny" / "pynq-z2" / "report.html").read_text()
    assert "Not trained in this run" in page and "c0ffee" in page


@pytest.mark.parametrize(
    ("options", "seed", "source"),
    [
        ((), 3, "zoo"),
        (("--seed", "3"), 3, "zoo"),
        (("--seed", "0"), 0, "trained"),
        (("--train",), 0, "trained"),
        (("--seed", "3", "--train"), 3, "trained"),
    ],
)
def test_when_the_zoo_is_asked(kept, options, seed, source):
    body = hanbit("export", *options)
    assert (body["seed"], body["training"]["source"]) == (seed, source)


def test_hanbit_train_always_trains(kept, trained):
    assert hanbit("train")["training"]["source"] == "trained"
    assert trained == [[0]]


def test_what_was_trained_here_comes_before_the_zoo(kept, trained):
    hanbit("train", "--seed", "5")
    trained.clear()
    assert hanbit("export")["training"]["seed"] == 5
    assert hanbit("export", "--seed", "3")["training"]["source"] == "zoo"
    assert hanbit("export")["training"]["seed"] == 5  # the zoo's turn did not delete it
    assert trained == []


def test_changed_training_options_are_said_in_one_line(kept, places, capsys):
    (places / "presets" / "tiny.toml").write_text(PRESET.replace("epochs = 2", "epochs = 3"))
    body = hanbit("export")
    lines = [x for x in capsys.readouterr().err.splitlines() if "other options" in x]
    assert len(lines) == 1 and "weights.npz" in lines[0]
    assert body["training"]["source"] == "zoo" and body["training"]["options_changed"]


def test_hardware_options_are_no_training_options(kept, places, capsys):
    (places / "presets" / "tiny.toml").write_text(PRESET + "[hardware]\ntarget_cycles = 7\n")
    assert not hanbit("export")["training"]["options_changed"]
    assert "other options" not in capsys.readouterr().err


def test_damaged_weights_are_one_line_and_training_goes_round_them(kept, capsys):
    (zoo.ZOO / "tiny" / "weights.npz").write_bytes(b"half")
    assert cli.main(["lower", "--preset", "tiny"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("hanbit: ") and "weights.npz: damaged" in line
    assert hanbit("export", "--train")["training"]["source"] == "trained"


def batch(count: int = 3) -> dict:
    """Train some seeds, return their report."""
    assert cli.main(["train", "--preset", "tiny", "--seeds", str(count)]) == 0
    return json.loads((runs.BUILD / "tiny" / "seeds" / "report.json").read_text())


def test_seeds_are_trained_together_and_each_is_measured(several, trained, capsys):
    body = several
    assert [r["seed"] for r in body["per_seed"]] == body["seeds"] == [0, 1, 2]
    assert len({r["weights"] for r in body["per_seed"]}) == 3
    assert body["images"] == 300
    for measure in seeds.MEASURES:
        values = [r[measure] for r in body["per_seed"]]
        assert body[measure]["mean"] == pytest.approx(statistics.mean(values))
        assert body[measure]["sd"] == pytest.approx(statistics.stdev(values))
    best = max(r["validation"] for r in body["per_seed"])
    assert body["chosen"] == next(r["seed"] for r in body["per_seed"] if r["validation"] == best)
    for r in body["per_seed"]:
        assert r["float"] == r["integer"]
    assert batch() == body and trained == []  # nothing runs twice
    table = capsys.readouterr().out
    assert f"{body['integer']['mean']:.2f} ±" in table and "chosen" in table


def test_a_seed_is_the_same_alone_and_among_others(several):
    shutil.rmtree(runs.BUILD)
    alone = hanbit("train", "--seed", "1")["training"]
    assert alone["seeds_together"] == 1
    assert several["per_seed"][1]["weights"] == alone["weights"]


def test_a_run_after_the_seeds_takes_the_chosen_and_trains_nothing(several, trained):
    assert hanbit("export")["training"]["seed"] == several["chosen"]
    assert hanbit("export", "--seed", "2")["training"]["seeds_together"] == 3
    assert trained == []
    assert hanbit("export", "--seed", "3")["training"]["seeds_together"] == 1
    assert trained == [[3]]


def test_equal_validation_chooses_the_lowest_seed(tmp_path):
    found = training.Batch(presets.load("tiny"), (0, 1, 2), tmp_path)
    rows = [{"seed": s, "accuracy": {"validation": v}} for s, v in ((2, 9.0), (1, 9.0), (0, 8.0))]
    found.folder.mkdir(parents=True)
    body = {"sections": {"training": {"per_seed": rows}}}
    (found.folder / "stage.json").write_text(json.dumps(body))
    assert found.chosen == 1


def test_interrupted_seeds_go_on_where_they_were(monkeypatch):
    real, epochs = train.one_epoch, []

    def one_epoch(run, epoch, bar):
        if epoch == 2 and not epochs.count(2):
            epochs.append(2)
            raise KeyboardInterrupt
        epochs.append(epoch)
        return real(run, epoch, bar)

    monkeypatch.setattr(train, "one_epoch", one_epoch)
    assert cli.main(["train", "--preset", "tiny", "--seeds", "2"]) == 2
    assert not (runs.BUILD / "tiny" / "seeds" / "01-train").exists()
    batch(2)
    assert epochs == [1, 2, 2]


def test_seeds_trained_elsewhere_are_taken_over(several, trained, tmp_path):
    made = tmp_path / "made"
    shutil.move(runs.BUILD / "tiny" / "seeds" / "01-train", made)
    (made / "stage.json").unlink()
    shutil.rmtree(runs.BUILD)
    assert cli.main(["train", "--preset", "tiny", "--from", str(made)]) == 0
    body = json.loads((runs.BUILD / "tiny" / "seeds" / "report.json").read_text())
    assert body["per_seed"] == several["per_seed"]
    assert trained == [[0, 1, 2]]  # asked, and found finished
    assert made.is_dir() and hanbit("export")["training"]["seed"] == several["chosen"]


@pytest.mark.parametrize("damage", ["nothing", "no student", "other options"])
def test_a_training_that_is_not_this_presets_is_not_taken(several, places, capsys, damage):
    made = runs.BUILD / "tiny" / "seeds" / "01-train"
    match damage:
        case "nothing":
            made = places / "none"
        case "no student":
            (made / "seed-1" / "student.pt").unlink()
        case "other options":
            (places / "presets" / "tiny.toml").write_text(PRESET.replace("[12]", "[13]"))
    capsys.readouterr()
    assert cli.main(["train", "--preset", "tiny", "--from", str(made)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hanbit: ") and str(made) in line


def test_one_seed_has_no_deviation():
    assert seeds.spread([4.0]) == {"mean": 4.0, "sd": None}
    assert seeds.shown_spread(seeds.spread([4.0])) == "4.00"
    assert seeds.shown_spread(seeds.spread([1.0, 3.0])) == "2.00 ± 1.41"


def test_the_chosen_seed_is_kept_up_to_lowering_with_the_figures_of_all(several, capsys):
    body, kept = several, keep_and_forget()
    assert "kept up to lowering" in capsys.readouterr().err
    assert kept["seeds"] == body and kept["seed"] == body["chosen"]
    assert kept["training"]["weights"] == body["per_seed"][body["chosen"]]["weights"]
    assert {p["mismatches"] for p in kept["lowering"]} == {0} and "rtl" not in kept
    row = readme.table().splitlines()[2].split(" | ")
    assert len(row) == len(readme.COLUMNS)
    assert row[2] == f"{seeds.shown_spread(body['integer'])} % (3 seeds)"
    assert row[3:9] == ["-"] * 6
    assert "3 seeds together" in row[9] and "integer network" in row[9]


def finish(body: dict) -> None:
    """Write a run's report as if it had gone the whole way."""
    body |= {
        "rtl": {"interval_cycles": 50, "latency_cycles": 200},
        "area": {"lut": 1234, "bram36": 1.5},
        "timing": {"clock_mhz": 100.0, "fmax_mhz": 160.0, "fmax_guarded_mhz": 110.0},
        "bitstream": {},
    }
    path = runs.BUILD / "tiny" / "pynq-z2" / "report.json"
    path.write_text(json.dumps(body))


def test_the_whole_way_on_kept_weights_renews_the_report_and_keeps_the_rest(several):
    kept = keep_and_forget()
    weights = (zoo.ZOO / "tiny" / "weights.npz").read_bytes()
    finish(hanbit("lower"))
    renewed = keep_and_forget()
    assert renewed["training"]["source"] == "zoo" and "rtl" in renewed
    assert renewed["seeds"] == kept["seeds"]
    assert (zoo.ZOO / "tiny" / "weights.npz").read_bytes() == weights
    entry = zoo.find("tiny")
    assert entry and entry.training["accuracy"] == kept["training"]["accuracy"]
    row = readme.table().splitlines()[2]
    assert "2,000,000 | 200 cycles, 2.00 µs | 1,234 | 1.5" in row and "3 seeds together" in row


def test_a_report_kept_in_the_zoo_makes_nothing_stale_but_other_weights_do(kept, capsys):
    first = hanbit("lower")
    readme.keep("tiny", "pynq-z2")
    assert zoo.find("tiny").report["training"]["source"] == "zoo" != kept["training"]["source"]
    capsys.readouterr()
    again = hanbit("lower")
    assert capsys.readouterr().err.count("up to date") == 3
    assert again["training"] == first["training"]
    entry = zoo.find("tiny")
    arrays = zoo.read(entry.folder / zoo.WEIGHTS)
    arrays["fc0.weights"][0] ^= 1
    zoo.save(entry.folder / zoo.WEIGHTS, arrays)
    assert cli.main(["lower", "--preset", "tiny"]) == 2
    assert "not the weights of the report" in capsys.readouterr().err


def test_the_whole_way_of_the_chosen_seed_is_kept_with_the_seeds(several):
    finish(hanbit("lower"))
    kept = keep_and_forget()
    assert kept["seeds"] == several and "rtl" in kept and kept["training"]["source"] == "trained"


def test_a_run_of_another_seed_gives_way_to_the_chosen(several):
    finish(hanbit("lower", "--seed", str(1 - min(several["chosen"], 1))))
    kept = keep_and_forget()
    assert kept["seed"] == several["chosen"] and "rtl" not in kept


def test_seeds_of_other_weights_are_not_carried_over(several):
    assert "seeds" in keep_and_forget()
    hanbit("lower", "--seed", "7")
    assert "seeds" not in keep_and_forget()


def test_keep_refuses_what_is_not_to_be_kept(monkeypatch):
    with pytest.raises(UserError, match="no lowered run"):
        readme.keep("tiny", "pynq-z2")
    hanbit("train")
    with pytest.raises(UserError, match="no lowered run"):
        readme.keep("tiny", "pynq-z2")
    hanbit("lower")
    hanbit("train", "--seed", "1")  # its students replace those of the report
    path = runs.BUILD / "tiny" / "pynq-z2" / "report.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"lowering": [], "training": {"source": "trained"}}))
    with pytest.raises(UserError, match="other weights"):
        readme.keep("tiny", "pynq-z2")
    monkeypatch.setattr(report, "commit", lambda: "c0ffee+changes")
    hanbit("lower")
    with pytest.raises(UserError, match="not committed"):
        readme.keep("tiny", "pynq-z2")
    assert not (zoo.ZOO / "tiny").exists()


def test_keep_refuses_a_network_that_averages(places):
    averages = PRESET.replace(
        "hidden = [12]", "convolutions = [[5]]\naverage = true\nhidden = [12]"
    )
    (places / "presets" / "average.toml").write_text(averages)
    with pytest.raises(UserError, match="keeps no networks that average, and average does"):
        readme.keep("average", "pynq-z2")
