"""`make bench`: parts by name, none measured twice, one report of all."""

import json

import pytest

from flow import bench
from flow.errors import UserError
from flow.paths import ROOT

NAMES = [part.name for part in bench.PARTS]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Two parts that count how often they are measured."""
    counts = {"quick": 0, "long": 0}

    def part(name: str) -> bench.Part:
        def run(preset, folder):
            counts[name] += 1
            return {"stage": "estimated", "value": 7}

        source = f"flow/{'bench' if name == 'quick' else 'cli'}.py"
        return bench.Part(name, f"what {name} is", run, lambda x: f"{x['value']}\n", (source,))

    monkeypatch.setattr(bench, "PARTS", (part("quick"), part("long")))
    return counts


def test_parts_are_chosen_by_name():
    assert [part.name for part in bench.chosen(None)] == NAMES
    assert [part.name for part in bench.chosen("shell, lanes")] == ["lanes", "shell"]
    with pytest.raises(UserError, match=r"no part 'lane' of the bench; there are foldings, lanes,"):
        bench.chosen("lane")


def test_one_report_of_what_is_measured_and_nothing_twice(parts, tmp_path, capsys):
    bench.bench("tfc-mnist", tmp_path, "quick")
    assert "Not measured: make bench ONLY=long" in (tmp_path / "report.md").read_text()
    body = bench.bench("tfc-mnist", tmp_path)
    assert parts == {"quick": 1, "long": 1}
    assert body == json.loads((tmp_path / "report.json").read_text())
    assert body["long"]["value"] == 7 and body["long"]["commit"] and not body["long"]["stale"]
    assert "## What long is\n\n7\n" in (tmp_path / "report.md").read_text()
    assert "report.md" in capsys.readouterr().out


def test_a_part_of_earlier_code_stays_and_is_said_to_be(parts, tmp_path, monkeypatch):
    bench.bench("tfc-mnist", tmp_path)
    changed = tuple(
        bench.Part(p.name, p.title, p.run, p.table, ("flow/tools.py",)) if p.name == "long" else p
        for p in bench.PARTS
    )
    monkeypatch.setattr(bench, "PARTS", changed)
    body = bench.bench("tfc-mnist", tmp_path, "quick")
    assert body["long"]["stale"] and not body["quick"]["stale"]
    assert "of earlier code" in (tmp_path / "report.md").read_text()
    assert not bench.bench("tfc-mnist", tmp_path)["long"]["stale"]
    assert parts == {"quick": 1, "long": 2}


def test_every_part_says_what_code_it_rests_on():
    for part in bench.PARTS:
        assert all(any(ROOT.glob(glob)) for glob in part.sources if "build" not in glob), part
