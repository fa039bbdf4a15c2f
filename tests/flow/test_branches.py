"""Networks that branch, in RTL: equal to the reference, FIFOs that never block, or are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import images
from residuals import folded, residual, two_convolutions

from flow import reference
from flow.branches import AddStreams
from flow.errors import UserError
from flow.graph import Graph
from flow.rtl import deadlock
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate
from flow.rtl.folding import fold
from flow.rtl.simulate import simulate

NETWORKS = {
    "3 x 3 and 1 x 1, sums of bits": lambda: folded(residual(0), 0),
    "8 bits, average of integers": lambda: folded(residual(1, tail="average", dtype="UINT8"), 1),
    "two convolutions a block": lambda: folded(two_convolutions(2), 2),
    "flattened": lambda: folded(residual(3, (7, 8, 2), 4, (3, 3, 1), "flatten"), 3),
    "sums of -1 and +1": lambda: fold(residual(4, (6, 6, 4), 8, (3, 1), "bipolar"), 500),
}
FAST = ("two convolutions a block", "sums of -1 and +1")


def with_fifos(graph: Graph, name: str, depths: tuple[int, int]) -> Graph:
    layers = tuple(replace(x, fifo=depths) if x.name == name else x for x in graph)
    return replace(graph, layers=layers).check()


def runs(graph: Graph, folder) -> None:
    """Free-running and with stalls, every stream compared."""
    design, pixels = generate(graph, folder), images(graph, 12)
    expected = reference.execute(graph, pixels)[graph.output]
    for seed in (None, 1, 2):
        assert (simulate(design, graph, pixels, stall_seed=seed).outputs == expected).all()


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_rtl_equals_the_reference(name, tmp_path):
    runs(NETWORKS[name](), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_fifos_of_the_needed_depth_never_block(seed, tmp_path):
    """Exactly what is needed, without the slack for speed."""
    tail = ("sums", "average", "bipolar", "flatten")[seed % 4]
    dtype = ("BINARY", "UINT8")[seed // 4]
    network = two_convolutions(seed) if seed % 4 == 3 else residual(seed, tail=tail, dtype=dtype)
    graph = folded(network, seed)
    for name, depths in deadlock.needed(graph).items():
        least = tuple(max(2, n) if n else 0 for n in depths)
        graph = with_fifos(graph, name, least)
    runs(graph, tmp_path)


def test_chosen_fifos_do_not_slow_the_network_down(tmp_path):
    graph = fold(residual(5, (8, 8, 4), 8, (3, 3), "bipolar"), 600)
    pixels = images(graph, 12)
    chosen = simulate(generate(graph, tmp_path / "chosen"), graph, pixels)
    predicted = estimate(graph)
    assert chosen.interval_cycles == predicted.interval
    assert chosen.latency_cycles == predicted.latency


def test_a_short_fifo_is_refused_and_would_stop_the_design(tmp_path, monkeypatch):
    graph = fold(residual(6, (8, 8, 4), 8, (3,), "bipolar"), 1000)
    need = deadlock.needed(graph)["add0"]
    assert need[0] == 0 and need[1] > 8
    short = with_fifos(graph, "add0", (0, need[1] // 2))
    with pytest.raises(UserError) as refused:
        generate(short, tmp_path / "short")
    line = str(refused.value)
    assert "layer add0" in line and f"has {need[1] // 2} beats" in line and "\n" not in line
    assert f"{need[1]} are needed" in line and "fork at stem" in line
    assert not (tmp_path / "short").exists()

    monkeypatch.setattr(deadlock, "refuse", lambda graph: None)
    design = generate(short, tmp_path / "short")
    with pytest.raises(UserError) as stopped:
        simulate(design, short, images(short, 3))
    line = str(stopped.value)
    assert "stopped at the fork stem_fork" in line and "too small" in line and "\n" not in line
    assert "0 of 3 images" in line


def test_no_fifo_at_all_is_refused(tmp_path):
    graph = with_fifos(fold(residual(7), 2000), "add0", ())
    with pytest.raises(UserError, match="layer add0: the branches that fork at stem"):
        generate(graph, tmp_path)


@pytest.mark.parametrize("depths", [(1, 200), (200,), (0, -2), ("a", 2), 5])
def test_depths_that_make_no_sense(depths):
    with pytest.raises(UserError, match=r"layer add0: fifo=.* must be two depths"):
        residual(8).with_folding({"add0": {"fifo": depths}})


def test_a_users_depth_is_kept():
    graph = fold(residual(9), 2000, overrides={"add0": {"fifo": [0, 300]}})
    assert graph.folding["add0"]["fifo"] == (0, 300)
    assert graph.folding["add1"]["fifo"][0] == 0


def test_needed_depth_by_hand():
    """A 3 x 3 window around a pixel needs a line and a pixel behind it."""
    graph = residual(10, (6, 5, 4), 6, (3,), "bipolar").with_folding({"add0": {"PE": 6}})
    # 5 pixels of a line and one beyond; the pixel itself is added at once when the next comes
    assert deadlock.needed(graph)["add0"] == (0, 6)
    graph = graph.with_folding({"add0": {"PE": 2}, "stem": {"PE": 6}})
    assert deadlock.needed(graph)["add0"] == (0, 3 * 6)


def test_a_branch_of_one_pixel_needs_that_pixel():
    """A product reads a whole pixel before it writes; the shortcut must take it meanwhile."""
    graph = residual(11, kernels=(1,)).with_folding({"add0": {"PE": 2}, "stem": {"PE": 1}})
    graph = graph.with_folding({"act0": {"PE": 1}, "conv0": {"SIMD": 1}})
    # the last beat of the three meets its partner at once
    assert deadlock.needed(graph)["add0"] == (0, 2)


def test_folding_of_branches_meets_its_target():
    for target in (500, 1500, 5000):
        graph = fold(residual(12, (10, 10, 4), 8, (3, 3), "bipolar"), target)
        assert estimate(graph).interval <= target
        deadlock.refuse(graph)
    costs = [
        estimate(fold(residual(12, (10, 10, 4), 8, (3, 3), "bipolar"), t)).area.lut
        for t in (500, 5000)
    ]
    assert costs[1] < costs[0]


def test_sums_add_as_numbers():
    graph = two_convolutions(13)
    pixels = images(graph, 5)
    streams = reference.execute(graph, pixels)
    assert np.array_equal(streams["outer"], streams["c"] + streams["act"])
    assert streams["outer"].dtype == np.int32
    add = graph.layer("inner")
    assert isinstance(add, AddStreams) and add.sources == ("a", "b")


def test_unlike_branches_are_refused():
    graph = residual(14)
    add = replace(graph.layer("add0"), shortcut="conv0_pad")
    layers = tuple(add if x.name == "add0" else x for x in graph)
    with pytest.raises(UserError, match="layer add0: adds conv0 of shape"):
        replace(graph, layers=layers).check()
    add = replace(graph.layer("add0"), shortcut="conv0")
    layers = tuple(add if x.name == "add0" else x for x in graph)
    with pytest.raises(UserError, match="layer add0: adds stream conv0 to itself"):
        replace(graph, layers=layers).check()


def test_graph_is_saved_and_loaded(tmp_path):
    graph = folded(residual(15, tail="bipolar"), 15)
    graph.save(tmp_path)
    loaded = Graph.load(tmp_path)
    assert loaded.folding == graph.folding
    pixels = images(graph, 4)
    assert np.array_equal(
        reference.execute(graph, pixels)["label"], reference.execute(loaded, pixels)["label"]
    )
