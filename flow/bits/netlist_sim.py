"""Simulate the netlist extracted from a bitstream beside the RTL, on the same transactions.

hw/sim/netlist_bench.sv holds both; the processing system's model plays a script of accesses over
M_AXI_GP0 (see hw/sim/ps7_model.sv for its commands) and answers on S_AXI_HP0 as memory does. Both
see the same of it, and everything that goes back to it is compared in every cycle. Equality on a
script proves that the bitstream does what the RTL does there: synthesis, placement, routing, LUT
and block RAM contents included.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flow import tools
from flow.bits.netlist import Netlist
from flow.errors import MismatchError
from flow.paths import SIM

BENCH = "netlist_bench"
MODELS = (
    *("zynq.sv", "ps7_model.sv", "hp_memory.sv"),
    *("xc7/xc7_lut6.sv", "xc7/xc7_ff.sv", "xc7/xc7_ramb18.sv"),
)

# Ports of the processing system that the bench drives and compares. The shell uses no others, so a
# netlist that does has a wrong route.
_ADDRESS = ("VALID", "ID", "ADDR", "LEN", "SIZE", "BURST")
_DRIVEN = frozenset(
    ["FCLKCLK", "FCLKRESETN"]
    + [f"MAXIGP0A{x}{name}" for x in "RW" for name in _ADDRESS]
    + [f"MAXIGP0{name}" for name in ("WVALID", "WDATA", "WSTRB", "BREADY", "RREADY")]
    + [f"SAXIHP0{x}READY" for x in ("AR", "AW", "W")]
    + [f"SAXIHP0R{name}" for name in ("VALID", "ID", "DATA", "RESP", "LAST")]
    + [f"SAXIHP0B{name}" for name in ("VALID", "ID", "RESP")]
)
_COMPARED = frozenset(
    ["FPGAIDLEN", "IRQF2P", "MAXIGP0ACLK", "MAXIGP0AWREADY", "MAXIGP0WREADY", "MAXIGP0ARREADY"]
    + [f"MAXIGP0B{name}" for name in ("VALID", "ID", "RESP")]
    + [f"MAXIGP0R{name}" for name in ("VALID", "ID", "DATA", "RESP", "LAST")]
    + ["SAXIHP0ACLK", "SAXIHP0RDISSUECAP1EN", "SAXIHP0WRISSUECAP1EN"]
    + [f"SAXIHP0A{x}{name}" for x in "RW" for name in (*_ADDRESS, "CACHE", "LOCK", "PROT", "QOS")]
    + [f"SAXIHP0W{name}" for name in ("VALID", "ID", "DATA", "STRB", "LAST")]
    + ["SAXIHP0RREADY", "SAXIHP0BREADY"]
)

_FLAGS = (
    *("--binary", "--timing", "-j", "1", "--top-module", BENCH, "-O3"),
    *("--x-assign", "fast", "--x-initial", "fast", "-CFLAGS", "-O1"),
    # The extracted netlist and the models are no code to be linted.
    *("-Wno-fatal", "-Wno-lint", "-Wno-style"),
)


@dataclass(frozen=True)
class NetlistRun:
    """cycles: how many were equal. replies: the processing system's answers, one a line."""

    cycles: int
    replies: tuple[str, ...]


def simulate_netlist(
    netlist: Netlist,
    sources: Sequence[Path],
    parameters: Mapping[str, int],
    script: str,
    folder: Path,
    timing: Mapping[str, int] | None = None,
    timeout: float | None = 1200,
) -> NetlistRun:
    """Play a script on the RTL and on the extracted netlist; all outputs must be equal.

    sources: the RTL of module `pynq_z2` and below, without the processing system. They are compiled
    in `folder`, where their memory files must lie, and `memory.hex`, the content of the model's
    memory. parameters: of that module. timing: delays of the model, its plus arguments.
    Raises MismatchError that names cycle and signal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_ports(netlist)
    program = _compile(netlist, sources, parameters, folder)
    (folder / "script.txt").write_text(script)
    result, replies = folder / "result.txt", folder / "replies.txt"
    result.unlink(missing_ok=True)
    tools.run(
        program,
        "+script=script.txt",
        f"+result={result.name}",
        f"+replies={replies.name}",
        *(["+memory=memory.hex"] if (folder / "memory.hex").is_file() else []),
        *(f"+{name}={value}" for name, value in (timing or {}).items()),
        cwd=folder,
        log=folder / "run.log",
        timeout=timeout,
    )
    lines = result.read_text().splitlines()
    verdict, cycles = lines[-1].split()
    if verdict != "equal":
        where = lines[0].partition(" is ")[0]
        raise MismatchError(f"the netlist of the bitstream is not the RTL: {lines[0]}", where)
    answers = tuple(replies.read_text().splitlines())
    # The model writes on in the time step in which it stops for a fault, so the last line may be
    # "end" all the same.
    fault = next((line for line in answers if line.startswith("fault")), None)
    if fault or not answers or not answers[-1].startswith("end "):
        reason = fault or (answers[-1] if answers else "no reply at all")
        raise MismatchError(f"the simulation of the bitstream did not end: {reason}", reason)
    return NetlistRun(int(cycles), answers)


def _check_ports(netlist: Netlist) -> None:
    """The netlist may use no pin of the processing system but those of the bench."""
    for pin in sorted(netlist.ps7_used - _DRIVEN):
        raise MismatchError(f"the bitstream's logic reads PS7 pin {pin}, which no RTL does", pin)
    for pin in sorted(set(netlist.ps7_inputs) - _COMPARED - {"DDRARB"}):
        raise MismatchError(f"the bitstream drives PS7 pin {pin}, which no RTL does", pin)


def _compile(
    netlist: Netlist, sources: Sequence[Path], parameters: Mapping[str, int], folder: Path
) -> Path:
    models = [SIM / name for name in ("netlist_bench.sv", *MODELS)]
    files = [path.resolve() for path in (*models, *sources, netlist.path)]
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    program, stamp = folder / "verilator" / f"V{BENCH}", folder / "verilator" / "built"
    digest = hashlib.sha256(repr((_FLAGS, values)).encode())
    for path in files:
        digest.update(path.read_bytes())
    if program.is_file() and stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return program
    stamp.unlink(missing_ok=True)
    tools.run(
        "verilator",
        *_FLAGS,
        *values,
        *("--Mdir", "verilator"),
        *files,
        cwd=folder,
        log=folder / "verilator.log",
    )
    stamp.write_text(digest.hexdigest())
    return program
