"""Estimates against synthesis. (Cycles and latency against simulation: test_simulate.py.)"""

from dataclasses import replace

import pytest
from convolutions import separable_graph
from graphs import mlp

from flow.graph import Graph
from flow.implement.synthesis import synthesise
from flow.rtl.area import (
    fifo_uses_block_ram,
    fits_block_ram,
    layer_area,
    uses_block_ram,
)
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate
from flow.rtl.folding import fold
from flow.rtl.glue import Fifo
from flow.rtl.trees import Area

DESIGNS = {
    "row by row": mlp(30, sizes=(64, 32, 10)).with_folding(
        {"quantise": {"PE": 8}, "fc0": {"SIMD": 64, "PE": 2}, "fc0_act": {"PE": 2},
         "fc1": {"SIMD": 2, "PE": 10}, "label": {"PE": 5}}
    ),
    "both ways, block RAM": mlp(31, sizes=(64, 48, 10), uniform=False).with_folding(
        {"quantise": {"PE": 4}, "fc0": {"SIMD": 16, "PE": 12, "ram_style": "block"},
         "fc0_act": {"PE": 12}, "fc1": {"SIMD": 12, "PE": 2}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DESIGNS)
def test_area_is_close_to_synthesis(name, tmp_path):
    graph = DESIGNS[name]
    design = generate(graph, tmp_path)
    log = tmp_path / "yosys.log"
    area = synthesise(list(design.files), design.top, {}, tmp_path, log).area
    guess = estimate(graph).area
    assert guess.lut == pytest.approx(area["lut"], rel=0.12)
    assert guess.ff == pytest.approx(area["ff"], rel=0.12)
    assert guess.bram36 == area["bram36"]


SEPARABLE = {
    "channels": {"conv0_pad": {"SIMD": 8}, "conv0_window": {"SIMD": 8}, "conv0": {"PE": 8}},
    "windows": {
        "conv0_pad": {"SIMD": 32},
        "conv0_window": {"SIMD": 32, "parallel_window": 288},
        "conv0": {"PE": 8, "SIMD": 3},
    },
}


@pytest.mark.parametrize("folding", SEPARABLE.values(), ids=SEPARABLE.keys())
def test_area_of_a_border_and_a_depthwise_product(folding, tmp_path):
    graph = separable_graph(0, (14, 14, 32)).with_folding(folding)
    design = generate(graph, tmp_path)
    for name in ("conv0_pad", "conv0"):
        parameters = design.layer_unit(name).parameters
        numbers = {key: n for key, n in parameters.items() if key != "WEIGHTS"}
        if "WEIGHTS" in parameters:
            (tmp_path / parameters["WEIGHTS"]).rename(tmp_path / "weights.mem")
        module, log = design.layer_unit(name).module, tmp_path / "yosys.log"
        area = synthesise(list(design.files), module, numbers, tmp_path, log).area
        guess = layer_area(graph, graph.layer(name))
        assert guess.lut == pytest.approx(area["lut"], rel=0.12, abs=2)
        assert guess.ff == pytest.approx(area["ff"], rel=0.12)


def test_the_layers_add_up():
    found = estimate(fold(mlp(32), 24))
    assert sum(found.layers.values(), Area()) == found.area
    assert all(area.lut > 0 for area in found.layers.values())


def test_weights_go_where_they_are_cheaper():
    def style(depth: int, **folding) -> bool:
        graph = mlp(33, sizes=(64, depth), label=False).with_folding({"fc0": folding})
        return uses_block_ram(graph.layer("fc0"))

    assert not style(64, SIMD=64, PE=1)
    assert style(1024, SIMD=64, PE=1)
    assert style(64, SIMD=64, PE=1, ram_style="block")
    assert not style(1024, SIMD=64, PE=1, ram_style="lut")
    assert not style(1, SIMD=64, PE=1)  # a single word is a constant
    assert fifo_uses_block_ram(Fifo(16, 64), 1)
    assert not fifo_uses_block_ram(Fifo(8, 4), 1)


@pytest.mark.parametrize(
    ("width", "depth", "fits"),
    [
        (9, 64, False),
        (10, 1024, True),
        (64, 2048, True),  # 3 x 18 + 10
        (128, 2048, False),  # 15 blocks of 9 bits cost less than 8 of 18
        (9, 1025, False),
        (18, 2048, True),
        (18, 2049, False),
    ],
)
def test_memories_fit_blocks_of_proven_widths(width, depth, fits):
    assert fits_block_ram(width, depth) == fits


def slowest(graph: Graph) -> int:
    return max(layer.cycles(graph) for layer in graph)


def test_a_longer_way_takes_longer():
    graph = fold(mlp(34, sizes=(64, 32, 32, 10)), 32)
    found = estimate(graph)
    assert found.interval == slowest(graph)
    assert found.latency > found.interval
    slow = graph.with_folding({"fc1": {"PE": 1, "SIMD": 8}})
    assert estimate(slow).interval == slowest(slow) == 128
    assert estimate(slow).latency > found.latency
    short = replace(graph, layers=graph.layers[:2], output="fc0")
    assert estimate(short).latency < found.latency
