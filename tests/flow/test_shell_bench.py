"""The figures of the shell, on a network small enough for a test."""

import numpy as np
import pytest
from graphs import mlp

from flow.errors import MismatchError
from flow.shell import bench
from models.presets import Hardware

FAST = Hardware(packed=True, target_cycles=8, folding={"fc0": {"PE": 2, "SIMD": 24}})


@pytest.mark.slow
def test_rate_of_a_batch(tmp_path, monkeypatch):
    graph = mlp(4, sizes=(24, 16, 8, 6))
    found = bench.rate(graph, FAST, tmp_path, images=600)
    assert found["mismatches"] == 0 and found["words_an_image"] == 1
    assert found["core_interval_cycles"] == 8
    assert 8 <= found["batch_interval_cycles"] <= 1.05 * 8
    assert 0.9 <= found["port_fill"] <= 1
    assert found["images_a_second"] == pytest.approx(1e8 / found["batch_interval_cycles"], rel=1e-3)
    monkeypatch.setattr(bench, "_labels", lambda graph, drawn: np.full(len(drawn), 17))
    with pytest.raises(MismatchError, match="image 0: another label"):
        bench.rate(graph, FAST, tmp_path, images=5)


def test_packing_is_timed_on_the_drivers_own_code():
    images = {"shape": (28, 28), "elements": 784, "bits": 1, "memory_bits": 1, "beats": 1}
    found = bench.packing(images | {"threshold": 128}, images=50)
    assert 0 < found["best_ms"] <= found["median_ms"]
    assert "measured" in found["stage"] and found["images"] == 50


def test_the_table_names_where_each_figure_comes_from():
    area = {"lut": 100, "ff": 9, "bram36": 0, "dsp": 0}
    found = {
        "rate": {
            "stage": "RTL simulation", "images": 10, "memory": {"latency": 40}, "clock_mhz": 100.0,
            "which": "random", "mismatches": 0, "batch_cycles": 160_200,
            "port_fill": 0.965, "core_interval_cycles": 16, "batch_interval_cycles": 16.02,
            "beyond_core_percent": 0.13, "images_a_second": 6_200_000,
        },
        "cost": {"stage": "synthesised", "whole": area, "core": area, "shell": area},
        "packing": {"stage": "measured", "images": 10, "median_ms": 0.8, "best_ms": 0.6},
    }  # fmt: skip
    found["rate"]["images"] = found["packing"]["images"] = 10_000
    found["end_to_end"] = bench.end_to_end(found["rate"], found["packing"])
    assert found["end_to_end"]["images_a_second"] == round(10_000 / (1.602e-3 + 0.8e-3))
    text = bench.table(found)
    assert "96.5 % of 8 bytes a cycle | RTL simulation |" in text
    assert "6.20 M images/s at 100 MHz" in text and "100 LUT, 0 DSP | synthesised" in text
    assert "| 0.8 + 1.602 ms: 4.16 M images/s | RTL simulation of the batch, and packing" in text
    assert "Memory in cycles: latency 40. 0 of 10000 labels differ" in text
