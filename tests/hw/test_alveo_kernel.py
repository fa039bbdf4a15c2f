"""The Alveo kernel as it is staged, simulated and driven as XRT does, against the reference."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import cocotb_bench
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

# isort: split
from graphs import images as random_images
from graphs import mlp, randomly_folded

from flow import cli, reference, runs, tools
from flow.graph import Graph
from flow.implement import boards
from flow.implement.sources import write_sources
from flow.rtl.codegen import Design, generate
from flow.shell.layout import of_design
from flow.vendor import alveo, packaging

U50 = boards.load("alveo-u50")


def case(path: Path, graph: Graph, design: Design, images: np.ndarray) -> Path:
    """Images and results as they lie in memory."""
    source, target = of_design(design)
    results = reference.execute(graph, images)[graph.output].reshape(len(images), -1)
    packed = source.pack(images.reshape(len(images), -1))
    np.savez(path, images=packed, results=results.astype(target.dtype).view(np.uint8))
    return path


def program(folder: Path, sources: Path, top: str, ap_ctrl: int) -> cocotb_bench.Program:
    """A simulator of the top that was written for the packager."""
    files = [*(sources / name for name in (sources / "files.f").read_text().split())]
    # Memory files are named relative to the folder in which the program runs.
    for memory in sources.glob("*.mem"):
        (folder / memory.name).write_bytes(memory.read_bytes())
    built = cocotb_bench.build(folder, top, {}, [sources / f"{top}.v"], files)
    return replace(built, parameters={"AP_CTRL": ap_ctrl})


def run(folder: Path, graph: Graph, images: np.ndarray, **options) -> str:
    design = generate(graph, folder / "rtl")
    alveo.stage(design, U50, folder / "staged")
    built = program(folder, folder / "staged" / "sources", "hanbit", 1)
    path = case(folder / "case.npz", graph, design, images)
    return replace(built, parameters={"AP_CTRL": 1, "CASE": path}).run(
        "bench_alveo", only="kernel_", **options
    )


def test_small_network(tmp_path):
    """Scores of ten bits from pixels, random folding."""
    graph = randomly_folded(mlp(5, (24, 12, 8, 6), label=False), 5)
    run(tmp_path, graph, random_images(graph, 40))


def test_ip_for_a_block_design(tmp_path):
    """The same core with the shell's own registers and 32 address bits."""
    graph = randomly_folded(mlp(6, (16, 10, 4)), 6)
    design = generate(graph, tmp_path / "rtl")
    sources = write_sources(design, U50, tmp_path / "sources")
    packaging.write_top(sources, "hanbit", ap_ctrl=False, bits=32)
    built = program(tmp_path, sources.folder, "hanbit", 0)
    path = case(tmp_path / "case.npz", graph, design, random_images(graph, 20))
    replace(built, parameters={"AP_CTRL": 0, "CASE": path}).run("bench_alveo", only="ip_")


@pytest.mark.parametrize(("ap_ctrl", "bits"), [(1, 64), (0, 32)])
def test_lint(tmp_path, ap_ctrl, bits):
    graph = randomly_folded(mlp(6, (16, 10, 4)), 6)
    sources = write_sources(generate(graph, tmp_path / "rtl"), U50, tmp_path / "sources")
    name = packaging.write_top(sources, "hanbit", bool(ap_ctrl), bits)
    tools.run(
        "verilator", "--lint-only", "-Wall", "-Wno-SYMRSVDWORD", "--top-module", "hanbit",
        *sources.files, name, cwd=sources.folder, log=tmp_path / "lint.log",
    )  # fmt: skip
    files = " ".join(sources.files)
    script = f"read_verilog -lib +/xilinx/cells_sim.v; read_verilog -sv -defer {files}; "
    script += f"read_verilog {name}; hierarchy -check -top hanbit"
    tools.run("yosys", "-q", "-p", script, cwd=sources.folder, log=tmp_path / "yosys.log")


@pytest.mark.slow
def test_mlp_digits_as_the_flow_stages_it(tmp_path, monkeypatch, capsys):
    """`make bitstream BOARD=alveo-u250` without Vitis, then the kernel on all test images."""
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    held = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert cli.main(["bitstream", "--board", "alveo-u250"]) == 2
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if line.startswith("hanbit: ")]
    assert len(said) == 1 and said[0] == lines[-1] and "./build.sh" in said[0]
    root = tmp_path / "build" / "mlp-digits"
    graph, design = Graph.load(root / "03-lower"), Design.load(root / "04-rtl")
    with np.load(root / "02-export" / "images.npz") as arrays:
        images = graph.arrange(arrays["images"])
    folder = tmp_path / "simulated"
    folder.mkdir()
    built = program(folder, root / "06-vitis-alveo-u250" / "sources", "hanbit", 1)
    path = case(folder / "case.npz", graph, design, images)
    replace(built, parameters={"AP_CTRL": 1, "CASE": path}).run("bench_alveo", only="kernel_")
    body = json.loads((root / "06-vitis-alveo-u250" / "hanbit.json").read_text())
    assert body["clock_mhz"] == 300 and len(body["self_test"]["results"]) > 0
