"""The report holds what has run and no more, and its page shows it without outside references."""

import json
import re

import numpy as np
import pytest

from flow import report
from flow.graph import Graph, LabelSelect, MatrixVector, Stream, Threshold

RESOURCES = {"lut": 53200, "ff": 106400, "bram36": 140, "dsp": 220}
BASE = {
    "schema": 1,
    "preset": "p<q",
    "board": "b",
    "commit": "c",
    "seed": 0,
    "tools": {"yosys": "0.66"},
    "seconds": {"train": 1.0},
}
SECTIONS = {
    "training": {
        "source": "trained",
        "seed": 0,
        "epochs": 2,
        "best_epoch": 1,
        "seconds": 1.5,
        "device": "cpu",
        "accuracy": {"validation": 91.0, "test": 90.0, "teacher_test": None},
    },
    "accuracy": {"float": 90.0, "qonnx": 90.0, "integer": 90.0, "images": 9, "qonnx_images": 9},
    "lowering": [{"pass": "Streamline", "images": 4, "mismatches": 0}],
    "rtl": {
        "images": 9,
        "mismatches": 0,
        "stalled_images": 9,
        "stalled_mismatches": 0,
        "latency_cycles": 200,
        "interval_cycles": 50,
        "layers": [
            {"name": "window", "expected": 30},  # not measured
            {"name": "fc0", "cycles": 50, "expected": 50},
        ],
    },
    "area": {
        "stage": "routed",
        "lut": 1234,
        "ff": 99,
        "bram36": 1.5,
        "dsp": 0,
        "shell": {"lut": 234, "ff": 49, "bram36": 0.0},
        "core": {"lut": 1000, "ff": 50, "bram36": 1.5},
        "layers": [{"name": "fc0", "lut": 1000, "ff": 50, "bram36": 1.5}],
    },
    "timing": {"clock_mhz": 100.0, "fmax_mhz": 160.0, "fmax_guarded_mhz": 110.0},
    "bitstream": {
        "path": "x.bit",
        "bytes": 9,
        "readback": {"features": 7, "missing": 0, "extra": 0},
    },
}


@pytest.fixture
def graph():
    streams = (
        Stream("pixels", (8,), "UINT8"),
        Stream("bits", (8,), "BINARY"),
        Stream("sums", (4,), "UINT4"),
        Stream("class", (1,), "UINT8"),
    )
    layers = (
        Threshold("in0", "pixels", "bits", np.full((8, 1), 128)),
        MatrixVector("fc0", "bits", "sums", np.ones((4, 8), np.uint8)),
        LabelSelect("label", "sums", "class", 4),
    )
    return Graph("g", layers, {s.name: s for s in streams}, "pixels", "class").check()


@pytest.mark.parametrize("present", range(len(SECTIONS) + 1))
def test_every_prefix_of_the_way_makes_a_page(tmp_path, graph, present):
    sections = dict(list(SECTIONS.items())[:present])
    report.write(BASE | sections, tmp_path, graph, {}, RESOURCES)
    assert json.loads((tmp_path / "report.json").read_text()) == BASE | sections
    page = (tmp_path / "report.html").read_text()
    assert ("RTL simulation" in page) == ("rtl" in sections)
    assert ("Timing" in page) == ("timing" in sections)


def test_figures_of_the_zoo_are_not_shown_as_this_runs(graph):
    kept = SECTIONS["training"] | {"commit": "abc123"}
    told = {"source": "zoo", "path": "models/zoo/p/weights.npz", "options_changed": False}
    zoo = BASE | {"training": told | {"kept": kept}}
    ours, theirs = (report.page(r, graph, {}, RESOURCES) for r in (BASE | SECTIONS, zoo))
    assert "Not trained in this run" in theirs and "abc123" in theirs
    assert "Not trained in this run" not in ours and "91.00" in ours
    changed = BASE | {"training": told | {"kept": kept, "options_changed": True}}
    assert "have changed since" in report.page(changed, graph, {}, RESOURCES)
    assert "have changed since" not in theirs
    assert "from the zoo" in report.table(zoo) and "trained here" in report.table(BASE | SECTIONS)


def test_the_page_is_self_contained_and_escaped(tmp_path, graph):
    picture = tmp_path / "curves.png"
    picture.write_bytes(b"\x89PNG")
    page = report.page(BASE | SECTIONS, graph, {"Curves": picture}, RESOURCES)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "p&lt;q" in page and "data:image/png" in page


def test_a_missing_picture_is_left_out(tmp_path, graph):
    page = report.page(BASE, graph, {"Floorplan": tmp_path / "none.png"}, RESOURCES)
    assert "Floorplan" not in page


def test_sections_are_merged_key_by_key():
    left = {"accuracy": {"float": 1}, "seed": 0}
    right = {"accuracy": {"integer": 2}, "lowering": []}
    merged = {"accuracy": {"float": 1, "integer": 2}, "seed": 0, "lowering": []}
    assert report.merge(left, right) == merged


def test_the_table_states_speed_from_cycles_and_clock():
    text = report.table(BASE | SECTIONS)
    assert "2.00 M" in text  # 100 MHz / 50 cycles
    assert "2.00 µs" in text  # 200 cycles / 100 MHz
    assert "0 of 18" in text
