"""The results table of README.md is what the reports in models/zoo say, and these are whole."""

import json

import pytest

from flow import readme
from flow.errors import UserError
from flow.graph import Graph

KEPT = sorted(path.parent for path in readme.ZOO.glob("*/report.json"))


def test_the_table_is_made_from_the_reports():
    text = readme.README.read_text()
    assert readme.updated(text) == text


def test_a_readme_without_marks_is_refused():
    with pytest.raises(UserError, match="marks"):
        readme.updated("# no table here")


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_kept_reports_are_of_finished_runs_of_a_commit(folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["preset"] == folder.name
    assert not report["commit"].endswith("+changes")
    assert report["accuracy"]["integer"] == report["accuracy"]["qonnx"]
    assert {p["mismatches"] for p in report["lowering"]} == {0}
    assert report["rtl"]["mismatches"] == report["rtl"]["stalled_mismatches"] == 0
    back = report["bitstream"]["readback"]
    assert back["features"] and not back["missing"] and not back["extra"]
    timing = report["timing"]
    assert timing["clock_mhz"] <= min(timing["fmax_mhz"], timing["fmax_guarded_mhz"])


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_kept_weights_are_the_network_of_the_report(folder):
    report = json.loads((folder / "report.json").read_text())
    graph = Graph.load(folder)
    assert [layer.name for layer in graph] == [x["name"] for x in report["rtl"]["layers"]]
