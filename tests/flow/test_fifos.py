"""FIFOs sized by simulation: no deeper than needed, and proved by a run."""

from dataclasses import replace

import pytest
from graphs import mlp

from flow.errors import MismatchError, UserError
from flow.rtl import fifos
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate

# Both units work without a pause, and the second reads a vector faster than the first writes it.
FOLDING = {"fc0": {"PE": 1, "SIMD": 8}, "fc1": {"PE": 1, "SIMD": 4}}
GRAPH = mlp(1, sizes=(32, 16, 16, 4)).with_folding(FOLDING)


def test_depths_keep_the_interval(tmp_path):
    sized = fifos.size(GRAPH, tmp_path)
    assert sized.interval == estimate(GRAPH).interval == 64
    for row in sized.rows:
        assert 2 <= row["depth"] <= row["vector"] and row["held"] < row["depth"] + 1
        assert sized.graph.layer(row["layer"]).fifo == row["depth"]
    assert "64 cycles an image with these depths" in fifos.table(sized.report())


def test_depths_that_are_too_small_are_found(tmp_path, monkeypatch):
    real = fifos.simulate

    def nothing_held(*arguments, **options):
        found = real(*arguments, **options)
        return replace(found, held=dict.fromkeys(found.held, 1)) if "pace" in options else found

    monkeypatch.setattr(fifos, "simulate", nothing_held)
    with pytest.raises(MismatchError, match=r"with FIFOs of 2.* cycles, with deep ones 64"):
        fifos.size(GRAPH, tmp_path)


def test_a_depth_is_generated_and_a_wrong_one_refused(tmp_path):
    graph = GRAPH.with_folding({"fc1": {"fifo": 3}})
    units = {unit.name: unit for unit in generate(graph, tmp_path).units}
    assert units["fc1_queued"].parameters["DEPTH"] == 3
    for wrong in (1, 2.5):
        with pytest.raises(UserError, match=r"layer fc1: fifo=.* must be beats, at least 2"):
            GRAPH.with_folding({"fc1": {"fifo": wrong}})
