"""The results table of README.md is what the reports in models/zoo say, and these are whole."""

import json
import shutil

import pytest

from flow import readme
from flow.errors import UserError
from flow.lowering.export import predict
from models import data, presets, zoo

KEPT = sorted(path.parent for path in zoo.ZOO.glob(f"*/{zoo.WEIGHTS}"))
REPORTS = sorted(path.parent for path in zoo.ZOO.glob(f"*/{zoo.REPORT}"))


def test_the_table_is_made_from_the_reports():
    text = readme.README.read_text()
    assert readme.updated(text) == text


def test_a_readme_without_marks_is_refused():
    with pytest.raises(UserError, match="marks"):
        readme.updated("# no table here")


@pytest.mark.parametrize("folder", REPORTS, ids=lambda path: path.name)
def test_kept_reports_are_of_runs_of_a_commit_without_a_mismatch(folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["preset"] == folder.name
    assert not report["commit"].endswith("+changes")
    assert report["accuracy"]["integer"] == report["accuracy"]["qonnx"]
    assert {p["mismatches"] for p in report["lowering"]} == {0}
    assert ("rtl" in report) == ("bitstream" in report)  # the whole way, or up to lowering
    if "rtl" in report:
        assert report["rtl"]["mismatches"] == report["rtl"]["stalled_mismatches"] == 0
        back = report["bitstream"]["readback"]
        assert back["features"] and not back["missing"] and not back["extra"]
        timing = report["timing"]
        assert timing["clock_mhz"] <= min(timing["fmax_mhz"], timing["fmax_guarded_mhz"])


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_kept_seeds_are_those_of_the_report(folder):
    report = json.loads((folder / "report.json").read_text())
    if "seeds" not in report:
        pytest.skip("one seed alone")
    chosen = next(s for s in report["seeds"]["per_seed"] if s["seed"] == report["seed"])
    assert report["seeds"]["chosen"] == report["seed"]
    assert chosen["weights"] == report["training"]["weights"]
    assert chosen["integer"] == report["accuracy"]["integer"]
    best = max(s["validation"] for s in report["seeds"]["per_seed"])
    assert chosen["validation"] == best


@pytest.mark.parametrize("folder", REPORTS, ids=lambda path: path.name)
def test_every_report_is_of_the_weights_that_are_kept(folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["training"]["weights"] == zoo.find(presets.load(folder.name).name).weights


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_kept_weights_are_the_network_of_the_report(folder):
    entry = zoo.find(folder.name)
    student = entry.student(presets.load(folder.name))
    layers = {layer["name"] for layer in entry.report.get("rtl", {}).get("layers", ())}
    products = {product.name for product in zoo.products(student)}
    trained = {name for name, part in student.layers.named_children() if [*part.parameters()]}
    assert not layers or products == layers & trained


def test_digits_are_classified_as_the_report_says():
    """The data are at hand without a network, so that one accuracy is computed again here."""
    entry = zoo.find("mlp-digits")
    _, test = data.read("digits")
    right = predict(entry.student(presets.load("mlp-digits")), test.images) == test.labels
    assert round(100 * float(right.mean()), 4) == entry.report["accuracy"]["integer"]


def test_of_other_hardware_for_kept_weights_the_report_alone_is_kept(tmp_path, monkeypatch):
    shutil.copytree(zoo.ZOO / "mlp-digits", tmp_path / "mlp-digits")
    kept = json.loads((tmp_path / "mlp-digits" / "report.json").read_text())
    text = 'description = "fast"\nweights_of = "mlp-digits"\n[hardware]\ntarget_cycles = 16\n'
    shutil.copytree(presets.PRESETS, tmp_path / "presets")
    (tmp_path / "presets" / "fast.toml").write_text(text)
    monkeypatch.setattr(presets, "PRESETS", tmp_path / "presets")
    for module in (zoo, readme):
        monkeypatch.setattr(module, "ZOO", tmp_path)
    monkeypatch.setattr(readme, "BUILD", tmp_path / "build")
    run = tmp_path / "build" / "fast" / "pynq-z2" / "report.json"
    run.parent.mkdir(parents=True)
    run.write_text(json.dumps(kept | {"preset": "fast"}))
    readme.keep("fast", "pynq-z2")
    assert [path.name for path in (tmp_path / "fast").iterdir()] == ["report.json"]
    assert "[fast](models/zoo/fast/report.json)" in readme.table()
    other = kept["training"] | {"weights": "0" * 64}
    run.write_text(json.dumps(kept | {"preset": "fast", "training": other}))
    with pytest.raises(UserError, match="other weights"):
        readme.keep("fast", "pynq-z2")


def test_speeds_are_kept_only_of_committed_code_that_has_not_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "BUILD", tmp_path)
    monkeypatch.setattr(readme, "ZOO", tmp_path)
    with pytest.raises(UserError, match="no speeds of the code as it is"):
        readme.keep_speeds()
    bench = tmp_path / "bench"
    (bench / "speeds").mkdir(parents=True)
    (bench / "speeds" / "front.png").write_bytes(b"picture")
    (tmp_path / "net").mkdir()
    found = {"network": "net", "stale": False, "commit": "0123456789abcdef"}
    for change, message in (({"stale": True}, "as it is"), ({"commit": "01+changes"}, "committed")):
        report = {"speeds": found | change, "tools": {}}
        (bench / "report.json").write_text(json.dumps(report))
        with pytest.raises(UserError, match=message):
            readme.keep_speeds()
    (bench / "report.json").write_text(json.dumps({"speeds": found, "tools": {"yosys": "0.33"}}))
    readme.keep_speeds()
    kept = json.loads((tmp_path / "net" / readme.SPEEDS).read_text())
    assert kept["tools"] == {"yosys": "0.33"} and kept["network"] == "net"
    assert (tmp_path / "net" / "speeds.png").read_bytes() == b"picture"
