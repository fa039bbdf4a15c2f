"""Faults injected into a simulated board under the driver: what a user sees, and what comes after.

`python -m flow.board faults` runs `python -m flow.board.faults BITSTREAM BOARD OUT` in pynq's
environment. BITSTREAM holds design.bit, .json and .hwh; BOARD is what flow.board.prepare made of
it. Writes OUT/faults.json and OUT/faults.md; status 1 where the driver did not say what it should,
or the next batch was wrong.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hanbit_board import Accelerator
from pynq.ps import Clocks

from flow.board.device import SimulatedDevice
from flow.board.model import DECERR
from flow.board.processor import AFI0, AFI_READ, CLK_CTRL, SLCR
from flow.pipeline import write_atomically

RIGHT = "all results right"
TIMEOUT = 20_000  # cycles; the driver's own is a million
THREADS, BATCHES = 2, 10


@dataclass(frozen=True)
class Row:
    """One line of the table. seen: class and text of the exception, or what was returned."""

    fault: str
    seen: str
    then: str
    next_batch_right: bool
    expected: str

    @property
    def as_expected(self) -> bool:
        return self.next_batch_right and self.seen.startswith(self.expected)


class Bench:
    """A board with a bitstream, and an open accelerator where `net` was asked for."""

    def __init__(self, bitstream: Path, board: Path, scratch: Path) -> None:
        self.bitstream, self.scratch = bitstream, scratch
        self.device = SimulatedDevice(board).activate()
        self._net: Accelerator | None = None

    @property
    def net(self) -> Accelerator:
        self._net = self._net or self.open()
        return self._net

    def open(self, bitfile: Path | None = None, **options: Any) -> Accelerator:
        found = bitfile or self.bitstream / "design.bit"
        return Accelerator(found, timeout_cycles=TIMEOUT, **options)

    def anew(self) -> None:
        """Forget the open accelerator; the next one loads the bitstream."""
        self._net = None

    def batch(self) -> str:
        """The self-test as one batch."""
        report = self.net.validate()
        if report["mismatches"]:
            return f"wrong results: {report['mismatches']} of {report['images']} (validate)"
        return RIGHT

    def variant(self, **changes: Callable[[bytes], bytes]) -> Path:
        """A copy of the bitstream's files, some (by suffix) changed; its .bit."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        for suffix in ("bit", "json", "hwh"):
            body = (self.bitstream / f"design.{suffix}").read_bytes()
            (folder / f"design.{suffix}").write_bytes(changes.get(suffix, bytes)(body))
        return folder / "design.bit"


Action = Callable[[Bench], Any]
NOTHING, HEALED = "nothing", "the fault ends"
OPENED = "opened again"
POWERED = "board switched off and on, opened again"

FAULTS: list[tuple[str, str, str, Action]] = []
"""What is injected, how what the user sees begins, what happens then, and the injection."""


def fault(what: str, expected: str, then: str = HEALED) -> Callable[[Action], Action]:
    def add(action: Action) -> Action:
        FAULTS.append((what, expected, then, action))
        return action

    return add


@fault("memory answers reads with SLVERR", "ReadError")
def read_slverr(bench: Bench) -> str:
    assert bench.net
    bench.device.fail_reads()
    return bench.batch()


@fault("memory answers reads with DECERR", "ReadError")
def read_decerr(bench: Bench) -> str:
    assert bench.net
    bench.device.fail_reads(answer=DECERR)
    return bench.batch()


@fault("memory answers writes with SLVERR", "WriteError")
def write_slverr(bench: Bench) -> str:
    assert bench.net
    bench.device.fail_writes()
    return bench.batch()


@fault("memory stops answering for ever", "ResetError")
def stall(bench: Bench) -> str:
    assert bench.net
    bench.device.stall_memory()
    return bench.batch()


@fault("memory stops answering for ever", "ResetError", "reload()")
def stall_and_reload(bench: Bench) -> str:
    assert bench.net
    bench.device.stall_memory()
    return bench.batch()


@fault("a killed program left odma0 at work", RIGHT, NOTHING)
def left_over(bench: Bench) -> str:
    buffers = bench.net.allocate(1)
    overlay = bench.net._board.blocks()
    overlay["odma0"].write(0x10, buffers.output.device_address)
    overlay["odma0"].write(0x1C, 1)
    overlay["odma0"].write(0x00, 1)
    try:
        return bench.batch()
    finally:
        buffers.free()


@fault("flush does nothing", "ChecksumError")
def no_flush(bench: Bench) -> str:
    bench.anew()  # else the buffer of the batch before is used, which holds the same
    bench.device.forgets = {"flush"}
    return bench.batch()


@fault("invalidate does nothing", "wrong results")
def no_invalidate(bench: Bench) -> str:
    bench.anew()
    bench.device.forgets = {"invalidate"}
    return bench.batch()


@fault("the buffer of the images is freed before the run", "FreedBufferError", NOTHING)
def freed(bench: Bench) -> None:
    net = bench.net
    images = net.description.test_images[:2]
    buffers = net.allocate(2)
    net.pack(images, buffers)
    buffers.input.freebuffer()
    net.run(buffers, 2)


@fault(f"{THREADS} threads run {BATCHES} batches each at once", RIGHT, NOTHING)
def threads(bench: Bench) -> str:
    net, wrong = bench.net, []
    images, results = net.description.test_images, net.description.test_results

    def work(seed: int) -> None:
        draw = np.random.default_rng(seed)
        for _ in range(BATCHES):
            some = draw.integers(0, len(images), draw.integers(1, len(images) + 1))
            found = np.reshape(net.execute(images[some]), (len(some), -1))
            if not np.array_equal(found, results[some]):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return f"{len(wrong)} batches wrong" if wrong else RIGHT


@fault(".bit for another part in its header", "BitstreamError", OPENED)
def other_part(bench: Bench) -> None:
    bench.open(bench.variant(bit=lambda b: b.replace(b"7z020clg400", b"7z010clg400", 1)))


@fault(".bit with another IDCODE in its configuration", "BitstreamError", OPENED)
def other_idcode(bench: Bench) -> None:
    mine, other = bytes.fromhex("3001800103727093"), bytes.fromhex("3001800103722093")
    bench.open(bench.variant(bit=lambda b: b.replace(mine, other, 1)))


@fault(".bit cut off in the middle", "BitstreamError", OPENED)
def truncated(bench: Bench) -> None:
    bench.open(bench.variant(bit=lambda b: b[: len(b) // 8 * 4]))


@fault(".bit with one bit changed", "BitstreamError", OPENED)
def damaged(bench: Bench) -> None:
    bench.open(bench.variant(bit=lambda b: b[:-4] + bytes([b[-4] ^ 1]) + b[-3:]))


@fault(".json of another build", "BuildError", OPENED)
def other_build(bench: Bench) -> None:
    def edit(body: bytes) -> bytes:
        found = json.loads(body)
        return json.dumps(found | {"build": f"0x{int(found['build'], 16) ^ 1:08X}"}).encode()

    bench.open(bench.variant(json=edit))


@fault("FCLK0 is set to 50 MHz by another program", "ClockError", OPENED)
def slow_clock(bench: Bench) -> None:
    assert bench.net
    Clocks.fclk0_mhz = 50
    bench.open(download=False)


@fault("FCLK0 is stopped before the driver opens", "ClockError", OPENED)
def no_clock(bench: Bench) -> None:
    assert bench.net
    bench.device.write_registers(SLCR + CLK_CTRL[0], bytes(4))
    bench.open(download=False)


@fault("HP0 is left at 32 bits", "PortWidthError", "opened with set_width=True")
def narrow(bench: Bench) -> None:
    bench.device.write_registers(AFI0 + AFI_READ, b"\1\0\0\0")
    bench.open()


@fault("no bitstream is loaded, opened with download=False", "NotLoadedError", OPENED)
def not_loaded(bench: Bench) -> None:
    bench.device.power_cycle()
    bench.open(download=False)


@fault("FCLK0 is stopped under an open driver", "ProcessorHangs", POWERED)
def clock_stops(bench: Bench) -> str:
    assert bench.net
    bench.device.write_registers(SLCR + CLK_CTRL[0], bytes(4))
    return bench.batch()


@fault("the logic stops answering the processor", "ProcessorHangs", POWERED)
def dead_registers(bench: Bench) -> str:
    assert bench.net
    bench.device.stall_registers()
    return bench.batch()


def run(bench: Bench) -> list[Row]:
    """Every fault, each on a board that was right before it."""
    rows = []
    for what, expected, then, action in FAULTS:
        assert bench.batch() == RIGHT
        try:
            seen = str(action(bench))
        except Exception as error:  # whatever the user would see
            seen = f"{type(error).__name__}: {error}"
        rows.append(Row(what, seen, then, _recovers(bench, then), expected))
    return rows


def _recovers(bench: Bench, then: str) -> bool:
    """Whether the next batch is right after what `then` says."""
    if then == POWERED:
        bench.device.power_cycle()
    elif then in (HEALED, "reload()"):
        bench.device.heal()
    if then == "reload()":
        bench.net.reload()
    elif then in (POWERED, OPENED):
        bench.anew()
    elif then.startswith("opened with"):
        bench._net = bench.open(set_width=True)
    return bench.batch() == RIGHT


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        "| injected on the simulated board | what the user sees | then | next batch |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        right = "right" if row.next_batch_right else "WRONG"
        lines.append(f"| {row.fault} | {row.seen.replace('|', '/')} | {row.then} | {right} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    bitstream, board, out = map(Path, sys.argv[1:])
    scratch = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        rows = run(Bench(bitstream, board, scratch))
    finally:
        shutil.rmtree(scratch)
    out.mkdir(parents=True, exist_ok=True)
    body = [asdict(row) | {"as_expected": row.as_expected} for row in rows]
    device = {"device": "simulated board", "faults": body}
    write_atomically(out / "faults.json", json.dumps(device, indent=1) + "\n")
    write_atomically(out / "faults.md", table(rows))
    print(table(rows), end="")
    return 0 if all(row.as_expected for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
