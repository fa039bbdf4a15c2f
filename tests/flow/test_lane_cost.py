"""The bench of LUTs per lane: what it measures, and the table it prints."""

from __future__ import annotations

from pathlib import Path

from flow.rtl.lane_cost import FORMS, MODELS, measure, table


def test_compressors_beat_countones(tmp_path: Path) -> None:
    lanes = 48
    compressors = measure("popcount", lanes, tmp_path / "a")
    naive = measure("countones", lanes, tmp_path / "b")
    assert 2 * lanes / 3 < compressors["lut"] <= 1.25 * lanes
    assert compressors["lut"] < 0.75 * naive["lut"]


def test_table_shows_every_form() -> None:
    row = {
        name: {"lut": 10.0 * i, "lut_per_lane": 1.25 * i, "bram36": 1.0 if i == 4 else 0}
        for i, name in enumerate([*FORMS, *MODELS], start=1)
    }
    lines = table({"rows": [{"lanes": 8, **row}]}).splitlines()
    assert lines[2].startswith("| 8 | 10 (1.25) | 20 (2.50) | 30 (3.75) | 40 (5.00) + 1 RAMB36 |")
    assert len({line.count("|") for line in lines}) == 1
