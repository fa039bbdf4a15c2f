"""The read and the write DMA against memory models with latency, stalls, errors and resets."""

import cocotb_bench
import pytest
from benches import HERE

BENCH = [HERE / "memory_ports.svh", HERE / "dma_bench.sv"]


@pytest.fixture(scope="module")
def zynq(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dma32")
    parameters = {"ADDR_BITS": 32, "DEPTH": 512}
    return cocotb_bench.build(folder, "dma_bench", parameters, BENCH)


def test_dmas_on_a_port_of_the_zynq(zynq):
    figures = cocotb_bench.figures(zynq.run("bench_dma"))
    assert figures["fill"] >= 0.95
    assert figures["fill_with_first_latency"] >= 0.95
    assert figures["fill_without_refresh"] == 1
    assert figures["write_fill"] >= 0.45


def test_dmas_with_64_address_bits_and_a_small_buffer(tmp_path):
    parameters = {"ADDR_BITS": 64, "DEPTH": 64}
    program = cocotb_bench.build(tmp_path, "dma_bench", parameters, BENCH)
    program.run("bench_dma", seed=2)
