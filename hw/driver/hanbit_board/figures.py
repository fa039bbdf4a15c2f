"""The figures of `throughput_test`, under the names of FINN's drivers and some of our own."""

from __future__ import annotations

from .layout import Images, Results
from .shell import Counters


def figures(
    batch_size: int,
    clock_mhz: float,
    counters: Counters,
    images: Images,
    results: Results,
    steps: dict[str, float],
) -> dict[str, float]:
    """steps: the host's seconds. All else is cycles of the accelerator / its clock."""
    seconds = counters.run / (1e6 * clock_mhz)
    return {
        "runtime[ms]": 1e3 * seconds,
        "throughput[images/s]": batch_size / seconds,
        "DRAM_in_bandwidth[MB/s]": 1e-6 * batch_size * images.bytes / seconds,
        "DRAM_out_bandwidth[MB/s]": 1e-6 * batch_size * results.bytes / seconds,
        "fclk[mhz]": clock_mhz,
        "batch_size": batch_size,
        **{f"{name}[ms]": 1e3 * taken for name, taken in steps.items()},
        "latency[ms]": 1e-3 * counters.latency / clock_mhz,
        "run[cycles]": counters.run,
        "latency[cycles]": counters.latency,
        "stall_in[cycles]": counters.stall_in,
        "stall_out[cycles]": counters.stall_out,
    }
