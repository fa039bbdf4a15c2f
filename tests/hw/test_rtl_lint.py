"""The RTL is clean for Verilator -Wall, Yosys reads it, and both refuse illegal parameters."""

from __future__ import annotations

from pathlib import Path

import branch_cases
import cases
import image_cases
import numpy as np
import pytest
from benches import RTL, wrappers

from flow import tools

SOURCES = [*sorted(RTL.glob("*.sv")), branch_cases.SOURCE]
CASES = [
    case
    for module in (cases, image_cases, branch_cases)
    for case in module.chosen(np.random.default_rng(11)) + module.sample(seed=3, each=5)
]

ILLEGAL = {
    "mvu_bin": [
        ({"MH": 10, "PE": 3}, "PE must divide MH"),
        ({"MW": 10, "SIMD": 4}, "SIMD must divide MW"),
        ({"MW": 64, "ACC_BITS": 6}, "ACC_BITS cannot hold"),
    ],
    "threshold": [
        ({"C": 10, "PE": 4}, "PE must divide C"),
        ({"LEVELS": 2, "OUT_BITS": 1}, "OUT_BITS wide enough"),
        ({"UNIFORM": 2}, "are 0 or 1"),
    ],
    "label_select": [
        ({"CLASSES": 10, "PE": 3}, "PE must divide CLASSES"),
        ({"CLASSES": 17, "OUT_BITS": 4}, "cannot hold CLASSES"),
    ],
    "axis_width": [({"IN_BITS": 8, "OUT_BITS": 12}, "multiple of the other")],
    "axis_fifo": [({"DEPTH": 1}, "DEPTH must be at least 2")],
    "sliding_window": [
        ({"KERNEL": 9}, "KERNEL must be"),
        ({"C": 6, "SIMD": 4}, "SIMD must divide C"),
        ({"PARALLEL": 1, "REPEAT": 2}, "REPEAT at least 1, and 1 with"),
    ],
    "max_pool": [
        ({"SIZE": 1}, "SIZE must be"),
        ({"C": 6, "PE": 4}, "PE must divide C"),
    ],
    "mvu_int": [
        ({"PE": 3}, "PE must divide MH"),
        ({"SIMD": 4}, "SIMD must divide MW"),
        ({"ACC_BITS": 7}, "ACC_BITS must be"),
    ],
    "axis_fork": [({"OUTPUTS": 1}, "OUTPUTS must be at least 2")],
    "add_streams": [
        ({"A_BITS": 6}, "OUT_BITS cannot hold"),
        ({"B_SIGNED": 2}, "are 0 or 1"),
    ],
    "acc_pool": [
        ({"C": 6, "PE": 4}, "PE must divide C"),
        ({"PIXELS": 32}, "OUT_BITS cannot hold"),
        ({"PIXELS": 0}, "PIXELS must be"),
        ({"BIPOLAR": 1, "PIXELS": 17}, "OUT_BITS cannot hold"),
    ],
    "padding": [
        ({"PAD": 0}, "PAD must be"),
        ({"C": 6, "SIMD": 4}, "SIMD must divide C"),
        ({"BITS": 2, "VALUE": 4}, "VALUE does not fit"),
    ],
    "vvu_bin": [
        ({"PE": 3}, "PE must divide C"),
        ({"SIMD": 2}, "SIMD must divide K"),
        ({"K": 16, "ACC_BITS": 4}, "ACC_BITS cannot hold"),
    ],
    "signed_sum": [({"N": 4, "OUT_BITS": 10}, "OUT_BITS cannot hold")],
    "ram": [({"DEPTH": 2049}, "DEPTH 2..2048")],
    "popcount": [({"N": 8, "OUT_BITS": 3}, "OUT_BITS wide enough")],
    "rom": [({"BLOCK": 2}, "BLOCK 0 or 1")],
    "rom_few": [({"DEPTH": 9}, "DEPTH 2 to 8"), ({"DEPTH": 1}, "DEPTH 2 to 8")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a module dut<number> for every case, and an empty default memory."""
    folder = tmp_path_factory.mktemp("lint")
    (folder / "duts.sv").write_text(wrappers(CASES, folder))
    for name in ("weights.mem", "thresholds.mem", "rom.mem"):
        (folder / name).write_text("0\n" * 64)
    return folder


def verilator(folder: Path, top: str, *options: str) -> None:
    tools.run(
        "verilator",
        *("--lint-only", "-Wall", "--top-module", top),
        *options,
        *SOURCES,
        cwd=folder,
        log=folder / "lint.log",
    )


def test_verilator_finds_nothing(folder: Path) -> None:
    names = "".join(
        f"  dut{i} u{i} (.aclk, .aresetn, .s_axis_tdata(s[{c.in_bits - 1}:0]), .s_axis_tvalid(v),"
        f" .s_axis_tready(r[{i}]), .m_axis_tdata(m{i}), .m_axis_tvalid(w[{i}]),"
        f" .m_axis_tready(v));\n  logic [{c.out_bits - 1}:0] m{i};\n"
        for i, c in enumerate(CASES)
    )
    # One top of all, so that lint is one run; the warnings this wrapper itself earns are off in it.
    (folder / "all.sv").write_text(
        "/* verilator lint_off DECLFILENAME */\n"
        "/* verilator lint_off UNUSEDSIGNAL */\n"
        "module all (input logic aclk, aresetn, v, input logic [1023:0] s,"
        f" output logic [{len(CASES) - 1}:0] r, w);\n{names}endmodule\n"
        + (folder / "duts.sv").read_text().replace("// ", "// case: ")
    )
    verilator(folder, "all", "all.sv")


def test_yosys_reads_every_module(folder: Path) -> None:
    tops = "".join(f"hierarchy -check -top dut{i}; design -load all; " for i in range(len(CASES)))
    tools.run(
        "yosys",
        *("-q", "-p"),
        f"read_verilog -lib +/xilinx/cells_sim.v; read_verilog -sv -defer"
        f" {' '.join(map(str, SOURCES))}; read_verilog -sv duts.sv; design -save all; {tops}",
        cwd=folder,
        log=folder / "yosys.log",
    )


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [(m, p, text) for m, rows in ILLEGAL.items() for p, text in rows],
)
def test_illegal_parameters_are_refused(folder: Path, module, parameters, message) -> None:
    given = [f"-G{key}={value}" for key, value in parameters.items()]
    with pytest.raises(tools.ToolError):
        verilator(folder, module, *given)
    assert message in (folder / "lint.log").read_text()
    chparam = " ".join(f"-chparam {key} {value}" for key, value in parameters.items())
    with pytest.raises(tools.ToolError):
        tools.run(
            "yosys",
            *("-q", "-p"),
            f"read_verilog -sv -defer {' '.join(map(str, SOURCES))};"
            f" hierarchy -top {module} {chparam}",
            cwd=folder,
            log=folder / "illegal.log",
        )
    assert message in (folder / "illegal.log").read_text()
