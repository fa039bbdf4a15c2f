"""Place and route by nextpnr: several seeds, a time limit for each, and the one that is kept.

nextpnr's router sometimes never ends for one seed and ends in minutes for the next, and its placer
may look for a place for a cell for ever, without a word (order.py makes that rare). So seeds are
tried in rounds of two at a time, each under the time limit and a limit to its silence. The run that
is kept is the first seed, in the order given, that meets the clock even with the guard (see
timing.py); only if no seed of a round does, the next round starts. If none does at all, the one
that is fastest with the guard is kept, of those that meet the clock without it. A large design,
whose runs take a quarter of an hour and longer two at a time, is tried with one seed after the
other. Once one of them has met the clock without the guard, one more is tried, in at most twice the
time of those that ended. Runs that are no longer needed are stopped. The choice depends on the
seeds alone, not on which run ends first, unless one hits a limit.

Cells are placed by nextpnr's static placer: its wires are a fifth shorter than those of the default
one, which also finds no slice for some flip-flops, the enables of their neighbours being others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from flow import tools
from flow.errors import UserError
from flow.implement import border, interconnect, pairs, placed, timing
from flow.implement.boards import Board
from flow.implement.placed import PlacementFault
from flow.implement.synthesis import Netlist
from flow.pipeline import say

SEEDS = (1, 2, 3, 4)
ROUND = 2  # runs at a time
LARGE = 30_000  # cells, of a design whose runs come one after the other
LARGE_MORE = 1  # seeds tried of it once one has met the clock without the guard
LARGE_PATIENCE = 2  # times the longest run that ended, which these may take


@dataclass(frozen=True)
class Routed:
    """A finished run. `fmax_mhz` is what nextpnr reports; the path is from timing.py."""

    seed: int
    folder: Path
    netlist: dict[str, Any]
    fmax_mhz: float
    reported_path: str
    path: timing.TimingPath
    seconds: float

    @property
    def fasm(self) -> Path:
        return self.folder / "design.fasm"

    def meets(self, clock_mhz: float) -> bool:
        return self.fmax_mhz >= clock_mhz

    def meets_guarded(self, clock_mhz: float) -> bool:
        return self.meets(clock_mhz) and self.path.guarded_mhz >= clock_mhz


def time_limit(cells: int) -> float:
    """Seconds for one run with so many cells: three times what runs that ended took."""
    return 180 + 0.1 * cells


def silence_limit(cells: int) -> float:
    """Seconds in which one run with so many cells says something: twice the longest there was.

    That is within the placer's 334 s for a design of 68,450, beside another on two processors.
    """
    return 250 + 0.008 * cells


def place_and_route(
    netlist: Netlist,
    board: Board,
    clock_mhz: float,
    folder: Path,
    seeds: Sequence[int] | None = None,
    limit: float | None = None,
    run: Callable[..., Routed] | None = None,
) -> Routed:
    """Place and route a mapped netlist; each seed has a folder in `folder`.

    Raises UserError if no seed ends, or none meets the clock; then the worst path is named.
    seeds: by default SEEDS. run: stands in for `run_seed` in tests.
    """
    seeds, run = seeds or SEEDS, run or run_seed
    large = len(netlist.cells) >= LARGE
    at_once, more = (1, LARGE_MORE) if large else (ROUND, len(seeds))
    limit = limit or time_limit(len(netlist.cells))
    failures: list[str] = []
    ended: list[Routed] = []
    for start in range(0, len(seeds), at_once):
        if any(routed.meets(clock_mhz) for routed in ended):
            if not more:
                break
            more -= 1
            if large:
                limit = min(limit, LARGE_PATIENCE * max(routed.seconds for routed in ended))
        chosen = seeds[start : start + at_once]
        cancel = {seed: Event() for seed in chosen}
        with ThreadPoolExecutor(at_once) as pool:
            runs: list[tuple[int, Future[Routed]]] = [
                (
                    seed,
                    pool.submit(run, netlist, board, clock_mhz, folder, seed, limit, cancel[seed]),
                )
                for seed in chosen
            ]
            try:
                for seed, future in runs:
                    routed = _result(seed, future, failures)
                    if routed is None:
                        continue
                    ended.append(routed)
                    if routed.meets_guarded(clock_mhz):
                        say(f"  seed {seed} is kept")
                        return routed
            finally:
                for event in cancel.values():
                    event.set()
    if not ended:
        raise UserError(
            f"place and route: none of the seeds {list(seeds)} ended: {'; '.join(failures)}; "
            "give other seeds or more time"
        )
    meeting = [routed for routed in ended if routed.meets(clock_mhz)]
    if meeting:
        best = max(meeting, key=lambda r: r.path.guarded_mhz)
        say(f"  seed {best.seed} is kept: none tried meets the clock with the guard")
        return best
    best = max(ended, key=lambda r: r.fmax_mhz)
    raise UserError(
        f"timing: {clock_mhz:g} MHz is missed, seed {best.seed} reaches {best.fmax_mhz:.1f} MHz; "
        f"worst path {best.reported_path}; ask for a slower clock or fold the layer more"
    )


def _result(seed: int, future: Future[Routed], failures: list[str]) -> Routed | None:
    try:
        routed = future.result()
    except (tools.ToolError, PlacementFault) as error:
        failures.append(f"seed {seed}: {str(error).splitlines()[0]}")
    else:
        say(
            f"  seed {seed}: {routed.seconds:.0f} s, {routed.fmax_mhz:.1f} MHz by nextpnr, "
            f"{routed.path.fmax_mhz:.1f} with loads and pins, {routed.path.guarded_mhz:.1f} guarded"
        )
        return routed
    say(f"  {failures[-1]}")
    return None


def run_seed(
    netlist: Netlist,
    board: Board,
    clock_mhz: float,
    folder: Path,
    seed: int,
    limit: float,
    cancel: Event,
) -> Routed:
    """One run of nextpnr and the analysis of what it made."""
    begin = time.monotonic()
    work = folder / f"seed-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    device = board.part
    halved, options = pairs.write(netlist.path, work, border.script(netlist.cells, board.border))
    tools.run(
        "nextpnr-himbaechel-xilinx",
        *(
            "--device",
            device,
            "--json",
            halved,
            "--seed",
            seed,
            "--freq",
            clock_mhz,
        ),
        *("-o", f"xdc={board.constraints.resolve()}", "-o", "fasm=design.fasm"),
        *(*options, "--placer", "static", "--timing-allow-fail"),
        *("--report", "report.json", "--write", "routed.json"),
        cwd=work,
        log=work / "nextpnr.log",
        timeout=limit,
        quiet=silence_limit(len(netlist.cells)),
        cancel=cancel,
    )
    result = placed.read_netlist(work / "routed.json")
    placed.check_pins(result)
    fmax, reported = _reported(work / "report.json", clock_mhz, netlist.labels)
    delays = routed_delays(result, device, work)
    slow = netlist.drivers(board.slow)
    _check_slow(delays, slow, clock_mhz)
    result = placed.read_netlist(work / "routed.json")  # the analysis renamed its pins
    return Routed(
        seed=seed,
        folder=work,
        netlist=result,
        fmax_mhz=fmax,
        reported_path=reported,
        path=timing.worst_path(delays, slow=slow).named(netlist.labels),
        seconds=time.monotonic() - begin,
    )


def _reported(report: Path, clock_mhz: float, labels: dict[str, str]) -> tuple[float, str]:
    """nextpnr's own figure in MHz, and its worst path in one line."""
    body = json.loads(report.read_text())
    clocks = body["fmax"]
    if len(clocks) != 1:
        raise PlacementFault(f"one clock was expected, nextpnr found {sorted(clocks)}")
    ((name, clock),) = clocks.items()
    if abs(clock["constraint"] - clock_mhz) > 0.01:
        raise PlacementFault(f"clock {name} was placed for {clock['constraint']} MHz")
    within = [p for p in body["critical_paths"] if p["from"] == p["to"] == f"posedge {name}"]
    if not within:
        raise PlacementFault(f"nextpnr shows no path of clock {name}")
    steps = within[0]["path"]
    cells = sum(step["type"] == "logic" for step in steps)
    first, last = (labels.get(c, c) for c in (steps[0]["from"]["cell"], steps[-1]["to"]["cell"]))
    delay = sum(step["delay"] for step in steps)
    return clock["achieved"], f"{first} -> {last}, {delay:.2f} ns through {cells} cells"


def _check_slow(delays: timing.Delays, slow: set[str], clock_mhz: float) -> None:
    """Paths from the board's slow nets may take several cycles, but no more than these."""
    path = timing.worst_path(delays, slow, only_slow=True)
    if path.delay_ns + timing.GUARD_NS > timing.SLOW_CYCLES * 1000 / clock_mhz:
        raise PlacementFault(f"a reset takes too long: {timing.describe(path)}")


def routed_delays(netlist: dict[str, Any], device: str, work: Path) -> timing.Delays:
    """All delays of a routed design, those of wires by interconnect.py. Renames the LUTs' pins."""
    placed.logical_netlist(netlist)
    (work / "logical.json").write_text(json.dumps(netlist))
    (work / "routes.py").write_text(interconnect.DUMP)
    tools.run(
        "nextpnr-himbaechel-xilinx",
        *("--device", device, "--json", "logical.json", "--sdf", "delays.sdf"),
        *("--no-pack", "--no-place", "--no-route", "--run", "routes.py"),
        cwd=work,
        log=work / "delays.log",
    )
    (work / "logical.json").unlink()
    delays = timing.read_sdf(work / "delays.sdf")
    fabric = interconnect.Fabric(device)
    routed = {
        (route.driver, pin): delay
        for route in interconnect.read_routes(work / "routes.txt")
        for pin, delay in interconnect.delays(route, fabric).items()
    }
    for index, (source, sink, _) in enumerate(delays.wires):
        if not delays.types[source[0]].startswith("PSEUDO"):
            if (source, sink) not in routed:
                raise PlacementFault(f"no way from {'/'.join(source)} to {'/'.join(sink)}")
            delays.wires[index] = (source, sink, routed[source, sink])
    return delays
