"""The stages for vendor tools: without the tool one line and a complete project.

With it (a fake that writes sample reports) the same report sections as the open flow's.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import vendor_tools
from graphs import mlp, randomly_folded

from flow import report
from flow.errors import UserError
from flow.graph import Graph
from flow.implement import boards
from flow.pipeline import Pipeline
from flow.rtl.codegen import Design, generate
from flow.vendor import steps
from models.presets import Hardware

PYNQ = boards.built_with(boards.load("pynq-z2"), "vivado")
U50 = boards.load("alveo-u50")


@dataclass(frozen=True)
class Work:
    """What the stages ask of flow.stages.Work."""

    root: Path
    hardware: Hardware
    graph: Graph
    design: Design

    def rtl(self):
        return self.graph, self.design


def describe(work, design, built, path):
    path.with_suffix(".json").write_text(json.dumps(built["timing"]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    graph = randomly_folded(mlp(3), 3)
    return graph, generate(graph, tmp_path_factory.mktemp("rtl"))


@pytest.fixture
def line(made, tmp_path, monkeypatch):
    """The two stages of a board, in a folder where no tool of the machine is seen."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)

    def build(board, clock_mhz=100.0):
        graph, design = made
        work = Work(tmp_path / "build", Hardware(clock_mhz=clock_mhz), graph, design)
        return Pipeline(steps.stages(board, describe), work, work.root)

    return build


def contents(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_without_vivado_one_line_and_a_complete_project(line):
    pipeline = line(PYNQ)
    with pytest.raises(UserError) as raised:
        pipeline.run_to("bitstream")
    staged = pipeline.root / "06-vivado-pynq-z2"
    assert str(raised.value) == (
        "vivado not found on PATH; the project is complete in build/06-vivado-pynq-z2: on a "
        "machine with vivado, run `cd build/06-vivado-pynq-z2 && vivado -mode batch -source "
        "build.tcl`"
    )
    assert pipeline.done("project") and not pipeline.done("bitstream")
    assert {"build.tcl", "pynq_z2.xdc", "ip/package.tcl", "ip/sources/hanbit.v"} < contents(staged)
    assert not (pipeline.root / "07-vivado-pynq-z2").exists()


@pytest.mark.parametrize("there", [(), ("vivado",), ("v++",)])
def test_without_vitis_one_line_and_a_complete_project(line, tmp_path, monkeypatch, there):
    if there:
        vendor_tools.install(tmp_path / "bin", monkeypatch, *there)
    pipeline = line(U50)
    if there:
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(UserError) as raised:
        pipeline.run_to("bitstream")
    missing = " and ".join(name for name in ("v++", "vivado") if name not in there)
    assert str(raised.value) == (
        f"{missing} not found on PATH; the project is complete in build/06-vitis-alveo-u50: on a "
        "machine with v++ and vivado, run `cd build/06-vitis-alveo-u50 && ./build.sh`"
    )
    found = contents(pipeline.root / "06-vitis-alveo-u50")
    assert {"kernel.xml", "package.tcl", "link.cfg", "build.sh", "host.py", "kernel_map.py"} < found
    assert {"hanbit.json", "hanbit_board/layout.py", "sources/hanbit.v"} < found
    clock = json.loads((pipeline.root / "06-vitis-alveo-u50" / "hanbit.json").read_text())
    assert clock == {"clock_mhz": 300.0}


def test_a_project_is_staged_once_and_anew_for_another_clock(line):
    for pipeline in (line(PYNQ), line(PYNQ)):
        with pytest.raises(UserError):
            pipeline.run_to("bitstream")
    before = pipeline.stamp("project")["fingerprint"]
    other = line(PYNQ, clock_mhz=50.0)
    assert not other.done("project")
    with pytest.raises(UserError):
        other.run_to("bitstream")
    assert other.stamp("project")["fingerprint"] != before
    assert "-period 20.000" in (other.folder("project") / "build.tcl").read_text()


def checked_page(pipeline, board):
    """The report with its page, as `hanbit bitstream` writes it."""
    body = report.collect(pipeline, "sample", board.name, 0)
    page = report.page(body, None, {}, board.resources)
    assert "routed" in page and "read back" not in page and "nextpnr's own" not in page
    assert "LUT, routed" in report.table(body)
    return body


def test_with_vivado_the_sections_of_the_open_flow(line, tmp_path, monkeypatch):
    pipeline = line(PYNQ)
    vendor_tools.install(tmp_path / "bin", monkeypatch, "vivado")
    pipeline.run_to("bitstream")
    folder = pipeline.folder("bitstream")
    assert {"design.bit", "design.json", "vivado.out"} < contents(folder)
    body = checked_page(pipeline, PYNQ)
    area = body["area"]
    assert (area["stage"], area["lut"], area["ff"], area["bram36"]) == ("routed", 2321, 3104, 3.5)
    assert sum(row["lut"] for row in area["layers"]) == 2321
    assert area["core"]["lut"] + area["shell"]["lut"] == 2321
    assert {"fc0", "shell"} < {row["name"] for row in area["layers"]}
    timing = body["timing"]
    assert (timing["source"], timing["clock_mhz"], timing["requested_mhz"]) == ("Vivado", 100, 100)
    assert timing["fmax_mhz"] == round(1000 / 8.5, 2)
    staged = json.loads((pipeline.folder("project") / "sources/parameters.json").read_text())
    build_hash = f"{staged['parameters']['BUILD']:08x}"
    assert body["bitstream"] == {"path": "design.bit", "bytes": 5, "hash": build_hash}
    assert body["tools"]["vivado"] == "2023.2"
    said = (folder / "vivado.out").read_text()
    assert "-mode batch" in said and "-source build.tcl -tclargs" in said


def test_with_vitis_the_same_sections(line, tmp_path, monkeypatch):
    pipeline = line(U50)
    vendor_tools.install(tmp_path / "bin", monkeypatch, "vivado", "v++")
    pipeline.run_to("bitstream")
    body = checked_page(pipeline, U50)
    assert (body["area"]["lut"], body["area"]["stage"]) == (3210, "routed")
    assert body["timing"]["clock_mhz"] == 300 and "fmax_mhz" not in body["timing"]
    assert body["bitstream"]["path"] == "hanbit.xclbin"
    said = (pipeline.folder("bitstream") / "vitis.out").read_text()
    assert "--link --target hw --config link.cfg" in said and "hanbit.xo" in said


def test_a_tool_that_fails_is_one_line_with_its_log(line, tmp_path, monkeypatch):
    pipeline = line(PYNQ)
    vendor_tools.install(tmp_path / "bin", monkeypatch, "vivado", failing=True)
    with pytest.raises(UserError, match=r"vivado ended with status 1: ERROR: \[Synth 8-1\]") as e:
        pipeline.run_to("bitstream")
    log = Path(str(e.value).rpartition("all of it: ")[2].rstrip(")"))
    assert "INFO: begin" in log.read_text()
    assert not pipeline.done("bitstream")


def test_a_tool_that_writes_no_report_is_named(line, tmp_path, monkeypatch):
    pipeline = line(PYNQ)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vivado").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "bin" / "vivado").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(UserError, match=r"utilization\.rpt: missing"):
        pipeline.run_to("bitstream")


def test_link_script_passes_on_where_to_write(line, tmp_path, monkeypatch):
    """By hand, as the one line says: results go to `out` beside the script."""
    pipeline = line(U50)
    with pytest.raises(UserError):
        pipeline.run_to("bitstream")
    vendor_tools.install(tmp_path / "bin", monkeypatch, "vivado", "v++")
    staged = pipeline.folder("project")
    subprocess.run([str(staged / "build.sh"), "hw_emu"], cwd="/", check=True, capture_output=True)
    assert (staged / "out" / "hanbit.xclbin").is_file()
