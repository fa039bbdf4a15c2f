"""Convolutional networks in RTL: equal to the reference, as fast as estimated, from QONNX too."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import ConvNetwork, conv_graph
from graphs import images, randomly_folded

from flow import reference
from flow.errors import UserError
from flow.graph import Graph
from flow.lowering import foreign
from flow.lowering.lower import lower
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate
from flow.rtl.simulate import LONG_RUN, SimResult, affordable, simulate


def both_runs(graph: Graph, folder, pixels: np.ndarray) -> SimResult:
    """Free-running and with stalls, every stream compared; the first run's result."""
    design = generate(graph, folder)
    free = simulate(design, graph, pixels)
    stalled = simulate(design, graph, pixels, stall_seed=1)
    assert (stalled.outputs == free.outputs).all()
    assert (free.outputs == reference.execute(graph, pixels)[graph.output]).all()
    return free


GRAPHS = {
    # Windows word by word; numbers in.
    "serial": conv_graph(0, (9, 8, 6)).with_folding(
        {"conv0_window": {"SIMD": 2}, "fc1": {"PE": 2}}
    ),
    # A window a beat, the unit behind it with a ring; lines of the next row are the bottleneck.
    "parallel": conv_graph(1, (10, 9, 4), "BINARY").with_folding(
        {
            "conv0_window": {"SIMD": 4, "parallel_window": 36},
            "conv0": {"PE": 1, "SIMD": 12},
            "pool0": {"PE": 5},
        }
    ),
    # The first window of a row takes longer to read than the unit works on one.
    "row starts": conv_graph(2, (9, 9, 4), "BINARY").with_folding(
        {
            "conv0_window": {"SIMD": 4, "parallel_window": 36},
            "conv0": {"PE": 5, "SIMD": 12},
            "conv0_act": {"PE": 5},
            "pool0": {"PE": 5},
            "fc1": {"SIMD": 5, "PE": 4},
        }
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_rtl_equals_the_reference_at_the_estimated_speed(name, tmp_path):
    graph = GRAPHS[name]
    free = both_runs(graph, tmp_path, images(graph, 24))
    predicted = estimate(graph)
    assert free.interval_cycles == predicted.interval
    assert free.latency_cycles == pytest.approx(predicted.latency, rel=0.1)
    for layer in free.layers:
        assert layer["cycles"] in (None, layer["expected"]), layer


def random_network(seed: int) -> ConvNetwork:
    """Two convolutions of random shape, stride and pooling; the input of 1 or 8 bits."""
    rng = np.random.default_rng(seed)
    while True:
        height, width = (int(n) for n in rng.integers(6, 12, 2))
        kernels, strides, pools = ((int(a), int(b)) for a, b in rng.integers(1, 4, (3, 2)))
        left = [height, width]
        for kernel, stride, pool in zip(kernels, strides, pools, strict=True):
            left = [((n - kernel) // stride + 1) // pool if n >= kernel else 0 for n in left]
        if min(left) >= 1:
            break
    return ConvNetwork(
        image=(int(rng.integers(1, 4)), height, width),
        channels=(int(rng.integers(2, 9)), int(rng.integers(2, 9))),
        kernels=kernels,
        strides=strides,
        pools=pools,
        classes=int(rng.integers(2, 7)),
        seed=seed,
        input=str(rng.choice(["pixels", "binary"])),
        bias=bool(rng.integers(2)),
    )


MANY = [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 5 else []) for seed in range(50)]


@pytest.mark.parametrize("seed", MANY)
def test_random_networks_from_qonnx_to_rtl(seed, tmp_path):
    network = random_network(seed)
    path = network.save(tmp_path / "net.onnx")
    graph = lower(path, foreign.golden(path, network.images(6))).graph
    graph = randomly_folded(graph, seed)
    few = network.images(10, seed=3)
    free = both_runs(graph, tmp_path / "rtl", graph.arrange(few))
    assert (free.outputs.reshape(-1) == foreign.labels(path, few)).all()


def test_a_window_is_compared_too(tmp_path):
    """A line buffer that swaps two words is found, and named."""
    graph = conv_graph(3, (6, 6, 2), "BINARY")
    design = generate(graph, tmp_path)
    text = (tmp_path / "sliding_window.sv").read_text()
    wrong = text.replace(".write_addr(write_q)", ".write_addr(write_q ^ (write_q == 9 ? 1 : 0))")
    assert wrong != text
    (tmp_path / "sliding_window.sv").write_text(wrong.replace("? 1 : 0", "? 'd1 : 'd0"))
    with pytest.raises(UserError, match="first at layer conv0_window: image 0"):
        simulate(design, graph, images(graph, 4))


def test_long_runs_have_fewer_images():
    graph = conv_graph(0, (20, 20, 4))
    slowest = max(layer.cycles(graph) for layer in graph)
    assert affordable(graph) == LONG_RUN // slowest
    assert affordable(conv_graph(0, (150, 150, 6))) == 100
