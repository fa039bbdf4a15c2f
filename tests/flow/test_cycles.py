"""Counted cycles: those of the RTL to the last one. Branches and borders: test_simulate_conv.py,
test_branches.py.
"""

from __future__ import annotations

import pytest
from chains import chain, folded_chain
from graphs import images, mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from residuals import residual

from flow.errors import UserError
from flow.rtl import deadlock, folding
from flow.rtl.codegen import generate
from flow.rtl.cycles import count
from flow.rtl.estimate import LONG, estimate, forecast
from flow.rtl.folding import fold
from flow.rtl.simulate import simulate

# What a pool writes in its last rows comes faster than the layer behind it takes it, and nothing
# keeps it, so that the slowest layer stands still meanwhile.
BURSTS = (192, 287, 540)
MANY = [pytest.param(seed, marks=pytest.mark.slow) for seed in (*range(2, 20), 269, 370, 540, 598)]


@pytest.mark.parametrize("seed", [1, 192, 287, *MANY])
def test_cycles_are_those_of_the_rtl(seed, tmp_path):
    graph = folded_chain(seed)
    measured = simulate(generate(graph, tmp_path), graph, images(graph, 30))
    counted = count(graph)
    assert (counted.interval, counted.latency) == (
        measured.interval_cycles,
        measured.latency_cycles,
    )


@pytest.mark.parametrize("seed", BURSTS)
def test_bursts_count(seed):
    graph = folded_chain(seed)
    assert forecast(graph).interval < estimate(graph).interval


def test_a_folding_keeps_its_interval_in_spite_of_bursts(monkeypatch):
    assert estimate(fold(chain(169), 192)).interval <= 192
    monkeypatch.setattr(folding, "TRIES", 0)
    assert estimate(fold(chain(169), 192)).interval > 192


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000))
def test_no_network_is_faster_than_its_slowest_layer(seed):
    graph = folded_chain(seed)
    found = estimate(graph)
    assert found.interval >= forecast(graph).interval
    assert found.area == forecast(graph).area and found.latency > 0


def test_a_design_that_stops_is_refused():
    graph = fold(residual(6, (8, 8, 4), 8, (3,), "bipolar"), 1000)
    assert count(graph).interval >= 1
    need = deadlock.needed(graph)["add0"]
    short = graph.with_folding({"add0": {"fifo": (0, need[1] // 2)}})
    with pytest.raises(UserError, match="its design stops after 0 images"):
        estimate(short)


def test_a_long_interval_is_a_forecast():
    graph = mlp(1, sizes=(500, 100, 4)).with_folding({"fc0": {"PE": 1, "SIMD": 1}})
    assert forecast(graph).interval >= LONG
    assert estimate(graph) == forecast(graph)
