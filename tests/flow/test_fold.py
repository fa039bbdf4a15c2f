"""`hanbit fold`: what it chooses, shows and writes, and what it refuses."""

import json

import pytest
from convolutions import conv_graph

from flow import cli
from flow.errors import UserError
from flow.fold import explore
from flow.graph import Graph
from flow.rtl import devices
from flow.rtl.estimate import estimate


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lowered")
    conv_graph(1, (9, 8, 3)).save(folder)
    return folder


def test_files_say_what_was_chosen(lowered, tmp_path, capsys):
    body = explore("net", target_fps=200_000, lowered=lowered, out=tmp_path)
    chosen = body["chosen"]
    assert chosen["interval_cycles"] <= 500
    assert chosen["images_per_second"] >= 200_000
    assert body["stage"].startswith("estimated")
    assert json.loads((tmp_path / "fold.json").read_text()) == json.loads(json.dumps(body))
    folding = json.loads((tmp_path / "folding.json").read_text())
    found = estimate(Graph.load(lowered).with_folding(folding))
    assert (found.interval, found.latency) == (chosen["interval_cycles"], chosen["latency_cycles"])
    assert sum(layer["lut"] for layer in chosen["layers"]) == pytest.approx(chosen["lut"], abs=5)
    front = [(row["lut"], row["interval_cycles"]) for row in body["front"]]
    assert len(front) > 1
    assert front == sorted(front, key=lambda point: (point[0], -point[1]))
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "fold.md").read_text() in capsys.readouterr().out


def test_without_a_speed_the_fastest_within_bounds(lowered, tmp_path):
    few = explore("net", max_lut=900, lowered=lowered, out=tmp_path)["chosen"]
    many = explore("net", max_lut=2000, lowered=lowered, out=tmp_path)["chosen"]
    assert few["lut"] <= 900 < many["lut"] <= 2000
    assert many["interval_cycles"] < few["interval_cycles"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target-fps", "0"], "'0' is not a number above 0"),
        (["--target-fps", "1e7"], "needs .* cycles an image at its fastest"),
        (["--target-fps", "1e5", "--max-lut", "100"], "most: .* that fits|nothing slower fits"),
        (["--target-fps", "1e5", "--device", "xc9"], "no device 'xc9'; there are xc7z010, "),
        (["--target-latency", "0.5"], "no folding within .* stays within"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_line(options, message, lowered, tmp_path, capsys):
    out = tmp_path / "out"
    given = ["fold", "--preset", "x", "--lowered", str(lowered), "--out", str(out)]
    assert cli.main([*given, *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)
    assert not out.exists()


def test_a_folder_without_a_graph_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no graph\.json; give a folder that `hanbit lower` wrote"):
        explore("net", lowered=tmp_path, out=tmp_path / "out")


def test_a_device_is_found_by_its_part():
    assert devices.resources("XC7Z020clg400-1") == devices.DEVICES["xc7z020"]
