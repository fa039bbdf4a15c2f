"""Build and run many stream benches in one Verilator program.

A `Case` is one module with one set of parameters, its input words and the words that must come
out; `run` writes a top that pairs each with a `stream_bench.sv`, builds and runs it, and returns
what each bench measured. Words are Python integers, packed here and not by `rtl.packing`, so that
a wrong bit order there cannot hide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flow import tools

HERE = Path(__file__).resolve().parent
RTL = HERE.parents[1] / "hw" / "rtl"


@dataclass
class Case:
    """One module under test. `memories`: parameter name -> words of (bits, word list)."""

    name: str
    module: str
    parameters: dict[str, int]
    in_bits: int
    out_bits: int
    stimulus: list[int]
    expected: list[int]
    group: int = 1  # output words of one vector
    memories: dict[str, tuple[int, list[int]]] = field(default_factory=dict)
    interval: float | None = None  # cycles a vector that must be kept when nothing stalls


@dataclass(frozen=True)
class Result:
    """What a bench saw; cycles count from the first beat in, when nothing stalls."""

    errors: int
    first_error: str
    latency: int  # to the last word of the first vector
    interval: float  # between vectors
    first_word: int


def pack(elements: Iterable[int], bits: int) -> int:
    """Elements to a word, the first in the least significant bits, two's complement."""
    return sum((int(e) & ((1 << bits) - 1)) << (i * bits) for i, e in enumerate(elements))


def words(tensor: np.ndarray, parallel: int, bits: int) -> list[int]:
    """All elements in order, `parallel` a word."""
    flat = tensor.reshape(-1, parallel)
    return [pack(row, bits) for row in flat.tolist()]


def write_mem(path: Path, bits: int, lines: Sequence[int]) -> None:
    digits = (bits + 3) // 4
    path.write_text("".join(f"{word:0{digits}x}\n" for word in lines))


def run(
    cases: Sequence[Case],
    folder: Path,
    sources: Sequence[Path] = (),
    duts: Sequence[Path] | None = None,
) -> dict[str, Result]:
    """Build one program of all cases in `folder` and run it; name -> result.

    sources: more files. duts: files with the modules dut0, dut1, ... to take instead of the RTL
    with the parameters of each case (see `wrappers`): netlists made of them.
    """
    assert len({case.name for case in cases}) == len(cases)
    folder.mkdir(parents=True, exist_ok=True)
    if duts is None:
        (folder / "duts.sv").write_text(wrappers(cases, folder))
        duts = [*sorted(RTL.glob("*.sv")), Path("duts.sv")]
    body = []
    for number, case in enumerate(cases):
        body.append(_instance(number, case, folder))
    count = len(cases)
    (folder / "benches.sv").write_text(
        f"module benches (input logic aclk, output logic done);\n"
        f"  logic [{count - 1}:0] finished;\n  assign done = &finished;\n"
        + "".join(body)
        + "endmodule\n"
    )
    # Verilator's optimiser and g++'s are not worth their time for runs this short.
    tools.run(
        "verilator",
        *("--cc", "--exe", "--build", "-j", "2", "--Mdir", "obj", "--top-module", "benches"),
        *("--x-assign", "unique", "--x-initial", "unique", "-CFLAGS", "-O1"),
        *("-Wno-fatal", "--no-timing", "--timescale", "1ns/1ns"),
        *duts,
        *sources,
        HERE / "stream_bench.sv",
        "benches.sv",
        HERE / "bench.cpp",
        cwd=folder,
        log=folder / "build.log",
    )
    log = folder / "run.log"
    seed = "+verilator+seed+7"
    program = folder / "obj" / "Vbenches"
    tools.run(program, "+verilator+rand+reset+2", seed, cwd=folder, log=log)
    results = {}
    for line in log.read_text().splitlines():
        if line.startswith("BENCH "):
            _, name, errors, first_error, latency, interval, first_word = line.split()
            results[name] = Result(
                int(errors), first_error, int(latency), int(interval) / 1000, int(first_word)
            )
    assert results.keys() == {case.name for case in cases}
    return results


def parameter_list(number: int, case: Case, folder: Path) -> str:
    """The text between #( and ) of an instance; writes the memory files it names."""
    parameters = [f".{key}({value})" for key, value in case.parameters.items()]
    for key, (bits, lines) in case.memories.items():
        file = f"{number}.{key}.mem"
        write_mem(folder / file, bits, lines)
        parameters.append(f'.{key}("{file}")')
    return ", ".join(parameters)


def wrappers(cases: Sequence[Case], folder: Path) -> str:
    """For each case a module `dut<number>` without parameters around the case's module."""
    return "".join(
        f"""
// {case.name}
module dut{number} (
  input logic aclk, aresetn, s_axis_tvalid, m_axis_tready,
  input logic [{case.in_bits - 1}:0] s_axis_tdata,
  output logic s_axis_tready, m_axis_tvalid,
  output logic [{case.out_bits - 1}:0] m_axis_tdata
);
  {case.module} #({parameter_list(number, case, folder)}) u_dut (
    .aclk, .aresetn, .s_axis_tdata, .s_axis_tvalid, .s_axis_tready,
    .m_axis_tdata, .m_axis_tvalid, .m_axis_tready);
endmodule
"""
        for number, case in enumerate(cases)
    )


def _instance(number: int, case: Case, folder: Path) -> str:
    write_mem(folder / f"{number}.in.mem", case.in_bits, case.stimulus)
    write_mem(folder / f"{number}.out.mem", case.out_bits, case.expected)
    return f"""
  // {case.name}
  logic r{number}, sv{number}, sr{number}, mv{number}, mr{number};
  logic [{case.in_bits - 1}:0] sd{number};
  logic [{case.out_bits - 1}:0] md{number};
  dut{number} u{number} (
    .aclk, .aresetn(r{number}),
    .s_axis_tdata(sd{number}), .s_axis_tvalid(sv{number}), .s_axis_tready(sr{number}),
    .m_axis_tdata(md{number}), .m_axis_tvalid(mv{number}), .m_axis_tready(mr{number}));
  stream_bench #(
    .NAME("{case.name}"), .IN_BITS({case.in_bits}), .OUT_BITS({case.out_bits}),
    .IN_WORDS({len(case.stimulus)}), .OUT_WORDS({len(case.expected)}), .OUT_GROUP({case.group}),
    .SEED({number + 1}), .STIMULUS("{number}.in.mem"), .EXPECTED("{number}.out.mem")
  ) b{number} (
    .aclk, .aresetn(r{number}),
    .s_tdata(sd{number}), .s_tvalid(sv{number}), .s_tready(sr{number}),
    .m_tdata(md{number}), .m_tvalid(mv{number}), .m_tready(mr{number}),
    .done(finished[{number}]));
"""
