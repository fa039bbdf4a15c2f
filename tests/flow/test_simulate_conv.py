"""Convolutional networks in RTL: equal to the reference, as fast as estimated, from QONNX too."""

from __future__ import annotations

import numpy as np
import pytest
from convolutions import ConvNetwork, conv_graph, separable_graph
from graphs import images, randomly_folded

from flow import reference
from flow.errors import UserError
from flow.graph import Graph
from flow.lowering import foreign
from flow.lowering.lower import lower
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate
from flow.rtl.simulate import LONG_RUN, SimResult, affordable, simulate


def both_runs(graph: Graph, folder, pixels: np.ndarray, stall_seed: int = 1) -> SimResult:
    """Free-running and with stalls, every stream compared; the first run's result."""
    design = generate(graph, folder)
    free = simulate(design, graph, pixels)
    stalled = simulate(design, graph, pixels, stall_seed=stall_seed)
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
    # Borders and depthwise products: channel by channel, with stride 2 a window a beat, and a row
    # of a window at a time, the border +1.
    "channels": separable_graph(0, (7, 6, 6)).with_folding(
        {
            "conv0_pad": {"SIMD": 2},
            "conv0_window": {"SIMD": 2},
            "conv0": {"PE": 2},
            "conv0_act": {"PE": 2},
            "conv1": {"SIMD": 2, "PE": 3},
            "fc2": {"PE": 2},
        }
    ),
    "windows of channels": separable_graph(1, (9, 8, 4), "UINT8", stride=2).with_folding(
        {
            "in0": {"PE": 4},
            "conv0_pad": {"SIMD": 4},
            "conv0_window": {"SIMD": 4, "parallel_window": 36},
            "conv0": {"PE": 2, "SIMD": 9},
            "conv0_act": {"PE": 2},
            "conv1": {"SIMD": 4, "PE": 3},
            "conv1_act": {"PE": 3},
        }
    ),
    "rows of windows": separable_graph(2, (8, 8, 4), kernel=5, pad=2, value=1).with_folding(
        {
            "conv0_pad": {"SIMD": 4},
            "conv0_window": {"SIMD": 4, "parallel_window": 100},
            "conv0": {"PE": 4, "SIMD": 5},
            "conv0_act": {"PE": 4},
            "conv1": {"SIMD": 4, "PE": 6},
            "conv1_act": {"PE": 6},
            "fc2": {"SIMD": 6, "PE": 4},
        }
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_rtl_equals_the_reference_at_the_estimated_speed(name, tmp_path):
    graph = GRAPHS[name]
    free = both_runs(graph, tmp_path, images(graph, 24))
    predicted = estimate(graph)
    assert free.interval_cycles == predicted.interval
    assert free.latency_cycles == predicted.latency
    for layer in free.layers:
        assert layer["cycles"] in (None, layer["expected"]), layer


def random_network(seed: int) -> ConvNetwork:
    """One to three convolutions of random shape, stride and pooling; input of 1 or 8 bits."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 4))
    while True:
        height, width = (int(n) for n in rng.integers(6, 14, 2))
        kernels = tuple(int(k) for k in rng.integers(1, 5, depth))
        strides, pools = (tuple(int(n) for n in rng.integers(1, 4, depth)) for _ in range(2))
        left = [height, width]
        for kernel, stride, pool in zip(kernels, strides, pools, strict=True):
            left = [((n - kernel) // stride + 1) // pool if n >= kernel else 0 for n in left]
        if min(left) >= 1:
            break
    return ConvNetwork(
        image=(int(rng.integers(1, 4)), height, width),
        channels=tuple(int(n) for n in rng.integers(2, 13, depth)),
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
    free = both_runs(graph, tmp_path / "rtl", graph.arrange(few), stall_seed=seed)
    assert (free.outputs.reshape(-1) == foreign.labels(path, few)).all()
    predicted = estimate(graph)
    assert (free.interval_cycles, free.latency_cycles) == (predicted.interval, predicted.latency)


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


def test_a_border_of_the_wrong_bit_is_found(tmp_path):
    graph = separable_graph(4)
    design = generate(graph, tmp_path)
    text = (tmp_path / "top.sv").read_text()
    assert text.count(".VALUE(0)") == 1
    (tmp_path / "top.sv").write_text(text.replace(".VALUE(0)", ".VALUE(1)"))
    with pytest.raises(UserError, match="first at layer conv0_pad: image 0"):
        simulate(design, graph, images(graph, 4))


@pytest.mark.parametrize("SIMD", [1, 9])
def test_a_flipped_weight_of_a_depthwise_product_is_named(SIMD, tmp_path):
    graph = separable_graph(5).with_folding({"conv0": {"PE": 2, "SIMD": SIMD}})
    design = generate(graph, tmp_path)
    file = tmp_path / "conv0_weights.mem"
    lines = file.read_text().split()
    lines[1] = f"{int(lines[1], 16) ^ 1:0{len(lines[1])}x}"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="word 1 bit 0: weight of channel 2, place 0"):
        simulate(design, graph, images(graph, 4))


def test_long_runs_have_fewer_images():
    graph = conv_graph(0, (20, 20, 4))
    slowest = max(layer.cycles(graph) for layer in graph)
    assert affordable(graph) == LONG_RUN // slowest
    assert affordable(conv_graph(0, (150, 150, 6))) == 100
