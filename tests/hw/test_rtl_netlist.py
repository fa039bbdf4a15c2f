"""What Yosys makes of the modules behaves like them: the mapped netlist runs in the same benches.

This is where primitives named for Yosys alone (lut6.sv) meet the tables that simulators see, and
where memories in LUTs meet the files they were read from.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cases
import image_cases
import numpy as np
import pytest
from benches import RTL, run, wrappers, write_mem

from flow import tools
from flow.implement.synthesis import OPTIONS, synthesise


def test_mapped_netlist_equals_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    chosen = [
        cases.mvu("folded", rng, 42, 8, 2, 21),
        cases.mvu("wide", rng, 65, 4, 1, 65),
        cases.threshold("multi", rng, 12, 3, 3, 6, signed=1),
        cases.label("tree", rng, 10, 5, 6),
        image_cases.mvu_int("numbers", rng, 14, 4, 2, 7, in_bits=4),
        image_cases.pool("pool", rng, 5, 6, 4, 2, 2),
    ]
    (tmp_path / "duts.sv").write_text(wrappers(chosen, tmp_path))
    sources = " ".join(map(str, sorted(RTL.glob("*.sv"))))
    netlists = [Path(f"dut{i}.v") for i in range(len(chosen))]
    steps = "".join(
        f"synth_xilinx {OPTIONS} -top dut{i}; write_verilog -noattr dut{i}.v; design -load all; "
        for i in range(len(chosen))
    )
    script = f"read_verilog -sv -defer {sources}; read_verilog -sv duts.sv; design -save all; "
    tools.run("yosys", "-q", "-p", script + steps, cwd=tmp_path, log=tmp_path / "yosys.log")

    # One more, with a wrong LUT: it must be seen.
    wrong = replace(chosen[0], name="wrong-lut")
    text = (tmp_path / "dut0.v").read_text().replace("module dut0(", f"module dut{len(chosen)}(")
    table = re.search(r"LUT6 #\(\s*\.INIT\(64'h(\w+)\)", text)
    assert table
    inverted = f"{int(table[1], 16) ^ (1 << 64) - 1:x}"
    text = text[: table.start(1)] + inverted + text[table.end(1) :]
    netlists.append(Path(f"dut{len(chosen)}.v"))
    (tmp_path / netlists[-1]).write_text(text)

    cells = tools.data("/usr/share/yosys/xilinx/cells_sim.v")
    results = run([*chosen, wrong], tmp_path, duts=[*netlists, cells])
    for case in chosen:
        assert results[case.name].errors == 0, f"{case.name}: {results[case.name].first_error}"
    assert results["wrong-lut"].first_error.startswith("wrong_word")


@pytest.mark.parametrize(("block", "lut", "ff", "bram36"), [(0, 40, 40, 0), (1, 0, 0, 1)])
def test_rom_lies_where_it_should(block: int, lut: int, ff: int, bram36: float, tmp_path) -> None:
    """`synthesise` also refuses output registers and widths of block RAM that are not proven."""
    rng = np.random.default_rng(1)
    write_mem(tmp_path / "rom.mem", 40, [int(rng.integers(1 << 40)) for _ in range(64)])
    (tmp_path / "rom.sv").write_bytes((RTL / "rom.sv").read_bytes())
    parameters = {"WIDTH": 40, "DEPTH": 64, "BLOCK": block}
    area = synthesise(["rom.sv"], "rom", parameters, tmp_path, tmp_path / "log").area
    assert area == {"lut": lut, "ff": ff, "bram36": bram36, "dsp": 0}


@pytest.mark.parametrize(("C", "bits", "bram36"), [(1, 8, 0.5), (1, 1, 0.5), (40, 1, 1)])
def test_lines_of_windows_lie_in_proven_block_ram(C: int, bits: int, bram36: float, tmp_path):
    """Words of any width; `synthesise` refuses blocks that are too narrow."""
    files = ["sliding_window.sv", "ram.sv", "wrap_counter.sv"]
    for name in files:
        (tmp_path / name).write_bytes((RTL / name).read_bytes())
    parameters = {"HEIGHT": 8, "WIDTH": 20, "C": C, "SIMD": C, "BITS": bits, "PARALLEL": 1}
    area = synthesise(files, "sliding_window", parameters, tmp_path, tmp_path / "log").area
    assert (area["bram36"], area["dsp"]) == (bram36, 0)
    assert area["ff"] >= 9 * C * bits
