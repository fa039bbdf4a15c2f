"""Seeds: which run is kept, what happens when runs stall, fail or miss the clock."""

import threading
from pathlib import Path

import pytest

from flow import tools
from flow.errors import UserError
from flow.implement import boards, place_route, timing
from flow.implement.place_route import Routed, place_and_route
from flow.implement.placed import PlacementFault
from flow.implement.synthesis import Netlist

BOARD = boards.load("pynq-z2")
NETLIST = Netlist(Path("netlist.json"), "pynq_z2", {}, {})
STALL, FAULT, CRASH = "stall", "fault", "crash"


def path(guarded_mhz: float) -> timing.TimingPath:
    return timing.TimingPath(1000 / guarded_mhz - timing.GUARD_NS, 0.1, 3, "a", "b", ())


class Runner:
    """Stands in for nextpnr: `results` maps a seed to (fmax, guarded fmax) or to a failure."""

    def __init__(self, folder, results):
        self.folder, self.results = folder, results
        self.started, self.cancelled, self.limits = [], [], []
        self.lock = threading.Lock()

    def __call__(self, netlist, board, clock_mhz, folder, seed, limit, cancel):
        with self.lock:
            self.started.append(seed)
            self.limits.append(limit)
        result = self.results[seed]
        log = self.folder / "nextpnr.log"
        log.write_text("router2: 7 wires overused\n")
        if result == STALL:
            raise tools.ToolTimeout("nextpnr", f"was stopped after {limit:g} s", log, -9)
        if result == CRASH:
            raise tools.ToolError("nextpnr", "ended with status 1", log, 1)
        if result == FAULT:
            raise PlacementFault("lut5: nextpnr lost which inputs pin A1 serves")
        if result is None:  # runs until it is cancelled
            assert cancel.wait(20), "never cancelled"
            self.cancelled.append(seed)
            raise tools.ToolCancelled("nextpnr", "was cancelled", log, -9)
        fmax, guarded = result
        return Routed(seed, folder, {}, fmax, "x -> y", path(guarded), 1.0)


def keep(tmp_path, results, clock=100.0):
    runner = Runner(tmp_path, results)
    routed = place_and_route(
        NETLIST, BOARD, clock, tmp_path, seeds=tuple(results), limit=5, run=runner
    )
    return routed.seed, runner


@pytest.mark.parametrize(
    ("results", "kept"),
    [
        ({1: (150, 120), 2: (160, 140)}, 1),  # the first that meets it, not the fastest
        ({1: (150, 90), 2: (130, 101)}, 2),  # the guarded figure decides
        ({1: (150, 90), 2: (130, 95)}, 2),  # else the best guarded one
        ({1: (150, 90), 2: (130, 95), 3: (120, 99), 4: (120, 98)}, 3),  # of all rounds
        ({1: (150, 90), 2: (130, 95), 3: (120, 99), 4: (120, 101)}, 4),  # a later round meets it
        ({1: (99, 80), 2: (101, 70)}, 2),
        ({1: STALL, 2: (150, 120)}, 2),
        ({1: FAULT, 2: CRASH, 3: (150, 120), 4: (150, 120)}, 3),
        ({1: STALL, 2: (90, 80), 3: (110, 85), 4: (120, 80)}, 3),
        ({7: (150, 120)}, 7),
    ],
)
def test_which_run_is_kept(tmp_path, results, kept):
    assert keep(tmp_path, results)[0] == kept


@pytest.mark.parametrize(
    ("results", "kept", "tried"),
    [
        ({1: (99, 98), 2: STALL, 3: (101, 80), 4: (150, 120)}, 4, [1, 2, 3, 4]),
        ({1: STALL, 2: (150, 120), 3: (160, 130)}, 2, [1, 2]),  # the guard is met: no other
        ({1: (110, 90), 2: (130, 95), 3: (150, 120)}, 2, [1, 2]),  # one more, and no other
        ({1: (110, 85), 2: STALL, 3: (105, 90)}, 1, [1, 2]),
        ({1: STALL, 2: (110, 85), 3: (90, 80), 4: (150, 120)}, 2, [1, 2, 3]),
    ],
)
def test_a_large_design_is_tried_seed_by_seed(tmp_path, results, kept, tried):
    large = Netlist(Path("netlist.json"), "pynq_z2", dict.fromkeys(range(place_route.LARGE)), {})
    runner = Runner(tmp_path, results)
    seeds = tuple(results)
    routed = place_and_route(large, BOARD, 100.0, tmp_path, seeds=seeds, limit=5, run=runner)
    assert (routed.seed, runner.started) == (kept, tried)
    first = next((i for i, seed in enumerate(tried) if meets(results[seed])), len(tried))
    assert runner.limits == [5 if i <= first else 2 for i in range(len(tried))]  # runs take 1 s


def meets(result):
    return isinstance(result, tuple) and result[0] >= 100


def test_the_other_run_is_cancelled_and_the_next_round_not_started(tmp_path):
    seed, runner = keep(tmp_path, {1: (150, 120), 2: None, 3: (200, 200)})
    assert (seed, runner.cancelled, sorted(runner.started)) == (1, [2], [1, 2])


def test_a_round_waits_for_its_first_seed(tmp_path):
    """Seed 2 ends at once and meets the clock; seed 1, slower to run, is kept all the same."""
    runner = Runner(tmp_path, {1: (150, 120), 2: (150, 120)})
    second_ended = threading.Event()

    def run(netlist, board, clock_mhz, folder, seed, limit, cancel):
        if seed == 1:
            assert second_ended.wait(20)
        routed = runner(netlist, board, clock_mhz, folder, seed, limit, cancel)
        if seed == 2:
            second_ended.set()
        return routed

    kept = place_and_route(NETLIST, BOARD, 100.0, tmp_path, seeds=(1, 2), run=run)
    assert kept.seed == 1


def test_no_seed_ends(tmp_path):
    with pytest.raises(UserError, match=r"none of the seeds \[1, 2, 3\] ended: .*seed 3") as error:
        keep(tmp_path, {1: STALL, 2: CRASH, 3: FAULT})
    assert "\n" not in str(error.value)


def test_a_missed_clock_names_the_worst_path(tmp_path):
    message = r"100 MHz is missed, seed 2 reaches 95.0 MHz; worst path x -> y"
    with pytest.raises(UserError, match=message):
        keep(tmp_path, {1: (90, 60), 2: (95, 50)})


def test_other_errors_stop_all_runs(tmp_path):
    runner = Runner(tmp_path, {1: (1, 1), 2: None})

    def run(*arguments):
        if arguments[4] == 1:
            raise ZeroDivisionError("a fault of ours")
        return runner(*arguments)

    with pytest.raises(ZeroDivisionError):
        place_and_route(NETLIST, BOARD, 100.0, tmp_path, seeds=(1, 2), run=run)
    assert runner.cancelled == [2]


def test_time_limit_grows_with_the_design():
    assert place_route.time_limit(1000) < 300
    assert 1500 < place_route.time_limit(30_000) < 4000


def test_a_reset_may_take_several_cycles_but_not_any_number():
    delays = timing.Delays(
        wires=[(("reset", "Q"), ("end", "R"), 30_000.0)],
        arcs={"reset": [("CK", "Q", 350.0)]},
        setups={"end": {"R": 100.0}},
        clocks={"reset": {"CK"}},
        types={"reset": "SLICE_FFX", "end": "SLICE_FFX"},
    )
    place_route._check_slow(delays, {"reset"}, 100.0)
    with pytest.raises(PlacementFault, match=r"a reset takes too long: reset -> end, 30\.45 ns"):
        place_route._check_slow(delays, {"reset"}, 300.0)
