"""Build a module with Verilator, in the tools' root, and run cocotb benches on it.

A bench is a file `bench_<module>.py` of coroutines marked `@cocotb.test()`; it runs inside the
simulator. `Program.run` runs all of them, or those whose names fit, and fails with the end of the
log where one does. Simulated time is in nanoseconds, the clock has 10.
"""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cocotb_tools.config
import find_libpython
from benches import HERE, RTL

from flow import tools

ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "TOPLEVEL_LANG": "verilog",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore::FutureWarning",
    "COCOTB_TRUST_INERTIAL_WRITES": "1",
    "COCOTB_LOG_LEVEL": "WARNING",
    "GPI_LOG_LEVEL": "WARNING",
    "COCOTB_ANSI_OUTPUT": "0",
}


@dataclass(frozen=True)
class Program:
    """A compiled simulator. `parameters` are the top's, which the bench finds in BENCH_<name>."""

    folder: Path
    top: str
    parameters: Mapping[str, int]

    def run(self, bench: str, seed: int = 1, only: str = "") -> str:
        """Run the coroutines of `bench` whose names fit the expression `only`; return the log."""
        results = self.folder / f"results.{bench}.xml"
        results.unlink(missing_ok=True)
        log = self.folder / f"{bench}.log"
        path = os.pathsep.join([str(HERE), *(p for p in sys.path if p)])
        users = [str(find_libpython.find_libpython()), cocotb_tools.config.pygpi_entry_point()]
        environment = ENVIRONMENT | {
            "COCOTB_TOPLEVEL": self.top,
            "COCOTB_TEST_MODULES": bench,
            "COCOTB_TEST_FILTER": only,
            "COCOTB_RANDOM_SEED": str(seed),
            "COCOTB_RESULTS_FILE": str(results),
            "PYGPI_PYTHON_BIN": sys.executable,
            "GPI_USERS": ";".join(users),
            "PYTHONPATH": path,
            **{f"BENCH_{name}": str(value) for name, value in self.parameters.items()},
        }
        tools.run(
            self.folder / "obj" / self.top, cwd=self.folder, log=log, timeout=600, env=environment
        )
        text = log.read_text()
        cases = list(ET.parse(results).getroot().iter("testcase"))
        assert cases, f"no bench ran: {text[-2000:]}"
        bad = [c.get("name") for c in cases if c.find("failure") is not None]
        bad += [c.get("name") for c in cases if c.find("error") is not None]
        assert not bad, f"{bad} of {bench} failed:\n{text[-6000:]}"
        return text


def build(
    folder: Path,
    top: str,
    parameters: Mapping[str, int] | None = None,
    more: Sequence[Path] = (),
    rtl: Sequence[Path] | None = None,
) -> Program:
    """Compile `top` of hw/rtl, with `more` files, for cocotb. rtl: instead of all of hw/rtl.

    Benches see the signals of the top only: public signals further down slow the compiler.
    """
    libraries = cocotb_tools.config.libs_dir
    parameters = dict(parameters or {})
    folder.mkdir(parents=True, exist_ok=True)
    tools.run(
        "verilator",
        *("--cc", "--exe", "--build", "--vpi", "--public-depth", "1", "--prefix", "Vtop"),
        *("--Mdir", "obj", "-o", top, "--top-module", top, "--timescale", "1ns/1ps"),
        *("--x-assign", "unique", "--x-initial", "unique", "-Wno-fatal"),
        *("-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"),
        *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"),
        *(f"-G{name}={value}" for name, value in parameters.items()),
        *(sorted(RTL.glob("*.sv")) if rtl is None else rtl),
        *more,
        cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp",
        cwd=folder,
        log=folder / "build.log",
    )
    return Program(folder, top, parameters)


def figures(log: str) -> dict[str, float]:
    """What a bench measured: its lines `figure <name> <value>`."""
    return {name: float(value) for name, value in re.findall(r"^figure (\S+) (\S+)$", log, re.M)}
