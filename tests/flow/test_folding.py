"""Folding: what is asked for is met, at a price no exhaustive search beats, and refused clearly."""

import itertools
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from convolutions import conv_graph
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import UserError
from flow.graph import Graph, MatrixVector, divisors
from flow.rtl import folding
from flow.rtl.estimate import estimate, forecast
from flow.rtl.folding import (
    LUTS_A_TARGET,
    cycles_in,
    cycles_of,
    fold,
    refuse_overflow,
    sweep,
)
from flow.rtl.search import front


def tfc() -> Graph:
    return mlp(0, sizes=(784, 64, 64, 64, 10))


@settings(deadline=None, max_examples=15, derandomize=True)
@given(
    st.lists(st.sampled_from([1, 2, 6, 9, 12, 20, 49]), min_size=2, max_size=4).map(tuple),
    st.integers(20, 300),
    st.booleans(),
)
def test_every_layer_meets_the_target(sizes, target, bits_in):
    graph = mlp(1, sizes, in_dtype="BINARY" if bits_in else "UINT8")
    folded = fold(graph, target)
    assert all(layer.cycles(folded) <= target for layer in folded)
    assert estimate(folded).interval <= target
    for before, after in zip(graph, folded, strict=True):
        assert (before.name, before.source, before.target) == (
            after.name,
            after.source,
            after.target,
        )
        if isinstance(before, MatrixVector):
            assert before.weights is after.weights


def price(graph: Graph, target: int) -> float:
    found = forecast(graph)
    return found.area.cost + LUTS_A_TARGET / target * found.latency


def test_no_other_folding_is_cheaper():
    graph = mlp(2, sizes=(6, 6, 4))
    folded = fold(graph, 12)
    options = [
        [{"PE": pe} for pe in divisors(6)],
        [{"PE": pe, "SIMD": s, "ram_style": "lut"} for pe in divisors(6) for s in divisors(6)],
        [{"PE": pe} for pe in divisors(6)],
        [{"PE": pe, "SIMD": s, "ram_style": "lut"} for pe in divisors(4) for s in divisors(6)],
        [{"PE": pe} for pe in divisors(4)],
    ]
    best = inf
    for choice in itertools.product(*options):
        other = graph.with_folding(dict(zip([x.name for x in graph], choice, strict=True)))
        if forecast(other).interval <= 12:
            best = min(best, price(other, 12))
    # The last cycle is rounded up in an estimate, not on the way to it.
    assert price(folded, 12) <= best + LUTS_A_TARGET / 12


def every_folding(graph: Graph) -> list[list]:
    """All legal foldings of each layer, with weights in LUTs or block RAM."""
    found = []
    for layer in graph:
        options = [{}]
        if isinstance(layer, MatrixVector):
            options = [
                {"PE": pe, "SIMD": s, "ram_style": style}
                for pe in divisors(layer.MH)
                for s in divisors(layer.MW)[:3]
                for style in ("lut", "block")
            ]
        elif hasattr(layer, "PE"):
            options = [{"PE": pe} for pe in divisors(graph.streams[layer.source].channels)]
        found.append([replace(layer, **o) for o in options])
    return found


@pytest.mark.parametrize("price", [0.0, 3.0])
def test_the_front_is_that_of_all_foldings(price):
    graph = mlp(2, sizes=(6, 6), in_dtype="BINARY")
    choices, interval = every_folding(graph), 18
    choices = [[c for c in x if c.cycles(graph) <= interval] for x in choices]
    points = front(graph, choices, interval, price)
    best: dict[float, float] = {}
    for layers in itertools.product(*choices):
        found = forecast(replace(graph, layers=layers))
        if found.interval <= interval:
            cost = found.area.lut + price * found.latency
            best[found.area.bram36] = min(best.get(found.area.bram36, inf), cost)
    assert [p.bram36 for p in points] == sorted((p.bram36 for p in points), reverse=True)
    for point in points:
        cost = point.lut + price * point.latency
        assert cost <= min(c for b, c in best.items() if b <= point.bram36) + price
        exact = forecast(replace(graph, layers=point.layers))
        assert point.lut == pytest.approx(exact.area.lut)
        assert point.bram36 == exact.area.bram36
        assert exact.latency - 1 <= point.latency <= exact.latency
    assert {p.bram36 for p in points} >= {min(best)}
    assert all(p.bram36 <= 0.5 for p in front(graph, choices, interval, price, max_bram36=0.5))


def test_a_convolution_is_folded_with_its_window():
    graph = conv_graph(1, (9, 8, 3))
    slow, fast = fold(graph, 2000), fold(graph, 200)
    assert estimate(fast).interval <= 200 < estimate(slow).interval <= 2000
    assert estimate(fast).area.lut > estimate(slow).area.lut
    whole = fold(graph, 200, overrides={"conv0_window": {"parallel_window": 27}})
    assert whole.layer("conv0_window").out_parallel == 27
    with pytest.raises(UserError, match=r"conv0_window: needs \d+ cycles an image at its"):
        fold(graph, 30)


def test_bounds_are_kept_and_what_does_not_fit_is_named():
    graph = mlp(6, sizes=(64, 64, 64, 10))
    block = {"fc0": {"PE": 2, "SIMD": 32, "ram_style": "block"}}
    assert estimate(fold(graph, 64, overrides=block, max_bram36=4)).area.bram36 > 0
    with pytest.raises(UserError, match="stays within 0 block RAMs; the cheapest takes"):
        fold(graph, 64, overrides=block, max_bram36=0)
    free = estimate(fold(graph, 64))
    few = estimate(fold(graph, 64, max_lut=int(free.area.lut) - 1))
    assert few.area.lut < free.area.lut
    quick = estimate(fold(graph, 256, latency=150))
    assert quick.latency <= 150 < estimate(fold(graph, 256)).latency
    with pytest.raises(UserError) as refused:
        fold(graph, 16, max_lut=800)
    for part in ("within 16 cycles", "800 LUTs", "most: fc", "the fastest that fits takes"):
        assert part in str(refused.value)
    nearest = int(str(refused.value).split("that fits takes ")[1].split()[0])
    assert estimate(fold(graph, nearest, max_lut=800)).area.lut <= 800
    with pytest.raises(UserError, match="nothing slower fits either"):
        fold(graph, 64, max_lut=10)


def test_without_a_target_the_fastest_within_the_bounds_is_taken():
    graph = mlp(6, sizes=(64, 64, 64, 10))
    found = estimate(fold(graph, None, max_lut=2500))
    assert found.area.lut <= 2500
    with pytest.raises(UserError, match="no folding within"):
        fold(graph, found.interval - 1, max_lut=2500)


def test_a_design_that_overflows_the_device_is_refused():
    graph = fold(mlp(6, sizes=(64, 64, 64, 10)), 16)
    refuse_overflow(graph, {"lut": 53200, "ff": 106400, "bram36": 140, "dsp": 220}, "large")
    small = {"lut": 1500, "ff": 106400, "bram36": 140, "dsp": 0}
    with pytest.raises(UserError, match=r"lut are needed, small has 1500 \(most: fc.*that fits"):
        refuse_overflow(graph, small, "small")


def test_wishes_in_other_units():
    assert cycles_of(6600, 100) == 15151
    assert cycles_in(0.15, 100) == 15
    assert cycles_in(None, 100) is None
    for wrong in (0, -1, 2e8):
        with pytest.raises(UserError, match="images a second at 100 MHz"):
            cycles_of(wrong, 100)


def test_tfc_meets_its_figures_by_estimate():
    found = estimate(fold(tfc(), 64))
    assert found.interval <= 70
    assert found.latency <= 243
    assert found.area.lut <= 4400


def test_overrides_are_kept_and_the_rest_is_chosen():
    overrides = {"fc1": {"PE": 4, "SIMD": 32, "ram_style": "block"}, "fc2": {"SIMD": 16}}
    folded = fold(tfc(), 64, overrides=overrides)
    fc1, fc2 = folded.layer("fc1"), folded.layer("fc2")
    assert (fc1.PE, fc1.SIMD, fc1.ram_style) == (4, 32, "block")
    assert fc2.SIMD == 16
    # An override may be slower than the target: it was asked for.
    slow = fold(tfc(), 64, overrides={"fc1": {"PE": 1, "SIMD": 8}})
    assert slow.layer("fc1").cycles(slow) == 512
    assert fold(tfc(), 20, input_parallel=16).layers[0].cycles(slow) == 49
    only_style = fold(tfc(), 64, overrides={"fc1": {"ram_style": "block"}})
    assert only_style.layer("fc1").ram_style == "block"
    assert only_style.layer("fc1").cycles(only_style) <= 64


def test_the_input_beat_can_be_given():
    folded = fold(tfc(), 64, input_parallel=28)
    assert folded.layers[0].in_parallel == 28
    bits = mlp(3, sizes=(64, 8), in_dtype="BINARY")
    assert fold(bits, 64, input_parallel=16).layers[0].in_parallel == 16
    with pytest.raises(UserError, match="input_parallel=28; they are the same"):
        fold(tfc(), 64, input_parallel=28, overrides={"quantise": {"PE": 14}})
    with pytest.raises(UserError, match="PE=15 does not divide channels=784; choose one of 1, 2"):
        fold(tfc(), 64, input_parallel=15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_cycles": 0}, "target_cycles=0 must be at least 1"),
        ({"target_cycles": 64, "overrides": {"fc9": {"PE": 1}}}, "no layer 'fc9' in .*; it has "),
        ({"target_cycles": 64, "overrides": {"fc0": {"PE": 3}}}, "PE=3 does not divide MH=64"),
        ({"target_cycles": 64, "overrides": {"fc0": {"pe": 4}}}, "no folding option 'pe'"),
        ({"target_cycles": 64, "overrides": {"fc0": {"ram_style": "x"}}}, "is not auto, lut or"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        fold(tfc(), **options)


def test_a_latency_is_kept_where_the_search_forecasts_it_too_short():
    graph = conv_graph(1, (9, 8, 3))
    free = estimate(fold(graph, 400)).latency
    first = fold(graph, 400, latency=free - 1)
    assert forecast(fold(graph, 400)).latency < free - 1  # so the search alone keeps what it has
    assert estimate(first).latency < free


def test_without_a_target_the_design_stays_of_routable_size():
    folded = fold(mlp(4, sizes=(64, 32, 32, 10)), None)
    assert estimate(folded).area.lut <= 17_000
    assert max(layer.cycles(folded) for layer in folded) <= 8


def test_the_same_graph_is_folded_the_same_way():
    assert fold(tfc(), 64).folding == fold(tfc(), 64).folding


def test_a_sweep_trades_area_for_time():
    graph = mlp(5, sizes=(64, 32, 32, 10))
    rows = sweep(graph, [1, 16, 64, 256])
    costs = [found.area.cost for _, _, found in rows]
    assert [target for target, _, _ in rows] == [16, 64, 256]  # 1 is too fast
    assert costs == sorted(costs, reverse=True)


def test_float_sizes_never_leak_into_the_graph():
    for layer in fold(tfc(), 64):
        assert isinstance(layer.in_parallel, int | np.integer)


def test_the_fastest_is_looked_for_among_intervals_of_windows_and_products_together():
    """The first window of a row may take longer to read than the product works on one."""
    graph = conv_graph(2, (9, 9, 4), "BINARY").with_folding(
        {
            "conv0_window": {"SIMD": 4, "parallel_window": 36},
            "conv0": {"PE": 1, "SIMD": 36},
            "conv0_act": {"PE": 5},
            "pool0": {"PE": 5},
            "fc1": {"SIMD": 5, "PE": 4},
        }
    )
    interval = estimate(graph).interval
    every = {layer.name: folding._choices(graph, layer, {}) for layer in graph}
    assert interval == 7 * (9 + 6 * 5) not in {layer.cycles(graph) for layer in graph}
    assert interval in folding._intervals(graph, every)
