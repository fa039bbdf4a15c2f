"""Fakes for the tests of the vendor's tools: a Tcl interpreter, `vivado`, `v++` and pyxrt."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

tkinter = pytest.importorskip("tkinter")
TclError = tkinter.TclError

SAMPLES = Path(__file__).with_name("vendor_samples")

UNKNOWN = """
set calls {}
proc unknown {args} { lappend ::calls $args; return "thing" }
rename cd {}
proc cd {args} { lappend ::calls [linsert $args 0 cd] }
proc exit {args} { error "exit $args" }
"""


def commands(script: Path, *arguments: str) -> list[list[str]]:
    """Run a script for Vivado; the commands that Tcl itself does not know, with their arguments."""
    tcl = tkinter.Tcl()
    tcl.tk.wantobjects(False)  # lists as the scripts wrote them
    tcl.eval(UNKNOWN)
    tcl.call("set", "argv", arguments)
    tcl.call("set", "argc", len(arguments))
    tcl.call("source", str(script))
    return [[str(a) for a in tcl.splitlist(c)] for c in tcl.splitlist(tcl.call("set", "calls"))]


def items(text: str) -> list[str]:
    """The elements of a Tcl list."""
    return [str(x) for x in tkinter.Tcl().splitlist(text)]


VIVADO = """#!/bin/sh
# Writes sample reports where build.tcl would, as its last argument says.
echo "fake vivado $*"
for out; do :; done
case "$*" in
  *build.tcl*)
    cp {samples}/utilization.rpt {samples}/hierarchy.rpt {samples}/timing_summary.rpt "$out"
    echo bits > "$out/design.bit";;
  *package.tcl*) : > hanbit.xo;;
esac
"""

VPP = """#!/bin/sh
echo "fake v++ $*"
while [ $# -gt 0 ]; do
  case "$1" in
    --report_dir) reports=$2;;
    --output) out=$2;;
  esac
  shift
done
mkdir -p "$reports/link/imp"
cp {samples}/kernel_util_routed.rpt "$reports/link/imp/impl_1_kernel_util_routed.rpt"
cp {samples}/timing_summary.rpt "$reports/link/imp/impl_1_hw_timing_summary_routed.rpt"
echo bits > "$out"
"""


def install(folder: Path, monkeypatch, *names: str, failing: bool = False) -> None:
    """Put fakes of these programs on PATH."""
    folder.mkdir(exist_ok=True)
    for name in names:
        text = {"vivado": VIVADO, "v++": VPP}[name].replace("{samples}", str(SAMPLES))
        if failing:
            text = "#!/bin/sh\necho INFO: begin\necho 'ERROR: [Synth 8-1] no licence'\nexit 1\n"
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


class Card:
    """pyxrt over a function from images as they lie in memory to results; `install()` it."""

    def __init__(self, compute, image_bytes: int):
        self.compute, self.image_bytes = compute, image_bytes
        self.calls: list[tuple[int, ...]] = []
        self.state = "COMPLETED"
        self.kernels: list[tuple] = []

    def install(self, monkeypatch) -> None:
        card = self
        module = types.ModuleType("pyxrt")
        module.xclBOSyncDirection = types.SimpleNamespace(
            XCL_BO_SYNC_BO_TO_DEVICE="to", XCL_BO_SYNC_BO_FROM_DEVICE="from"
        )
        module.ert_cmd_state = types.SimpleNamespace(ERT_CMD_STATE_COMPLETED="COMPLETED")

        class Device:
            def __init__(self, number: int):
                self.number = number

            def load_xclbin(self, path: str) -> str:
                assert isinstance(path, str)
                if not Path(path).is_file():
                    raise ValueError(f"no such xclbin {path}")
                return "uuid"

        class Buffer:
            """Host and device memory apart: what is not synchronised is not there."""

            normal = "normal"

            def __init__(self, device: Device, size: int, flags: str, group: int):
                assert size > 0 and flags == "normal"
                self.group, self.host = group, bytearray(size)
                self.memory = bytearray(b"\xee" * size)

            def write(self, data, seek: int) -> None:
                raw = np.ascontiguousarray(data).tobytes()
                assert seek + len(raw) <= len(self.host)
                self.host[seek : seek + len(raw)] = raw

            def read(self, size: int, skip: int) -> np.ndarray:
                return np.frombuffer(bytes(self.host[skip : skip + size]), np.int8)

            def sync(self, direction: str, size: int, offset: int) -> None:
                here = slice(offset, offset + size)
                if direction == "to":
                    self.memory[here] = self.host[here]
                else:
                    self.host[here] = self.memory[here]

        class Run:
            def wait(self, milliseconds: int) -> str:
                assert milliseconds > 0
                return card.state

        class Kernel:
            exclusive = "exclusive"

            def __init__(self, device: Device, uuid: str, name: str, mode: str):
                card.kernels.append((name, mode))

            def group_id(self, argument: int) -> int:
                return 10 + argument

            def __call__(self, source: Buffer, target: Buffer, count: int) -> Run:
                assert (source.group, target.group) == (10, 11)
                card.calls.append((len(source.memory), len(target.memory), count))
                words = np.frombuffer(bytes(source.memory), np.uint8).reshape(count, -1)
                assert words.shape[1] == card.image_bytes
                results = card.compute(words).tobytes()
                target.memory[: len(results)] = results
                return Run()

        module.device, module.bo, module.kernel = Device, Buffer, Kernel
        monkeypatch.setitem(sys.modules, "pyxrt", module)
