"""The accelerator's registers: start a batch, wait for it, read counters, recover from an error."""

from __future__ import annotations

import time
from dataclasses import dataclass

from . import errors
from .board import Block
from .register_map import REGISTERS

MASK = 0xFFFFFFFF
STILL_SECONDS = 2.0  # of the host's time, without a single cycle of the accelerator's
RESET_CYCLES = 100_000  # after which a reset that waits for memory is given up
SPIN = 200  # polls before the first sleep
SLEEP = 50e-6  # seconds between polls after that
DEADLINE_EVERY = 8  # polls
THROUGH_CORE, COPY, DROP = 0, 1, 2  # MODE.ROUTE


@dataclass(frozen=True)
class Counters:
    """Clock cycles of one batch.

    run: from its start to its end. latency: first beat into the core to first beat out of it.
    stall_in: the core waited for memory. stall_out: memory did not take the core's results.
    """

    run: int
    latency: int
    stall_in: int
    stall_out: int


class Deadline:
    """So many cycles of the accelerator's own clock, however fast it runs beside the host's.

    A clock that stands still for STILL_SECONDS ends it too.
    """

    def __init__(self, shell: Shell, cycles: int) -> None:
        self._shell, self._left = shell, cycles
        self._last, self._moved = shell.read("shell", "CYCLES"), time.monotonic()

    def check(self) -> bool:
        """Whether it has passed; ClockError where the clock stands still."""
        now = self._shell.read("shell", "CYCLES")
        if now != self._last:
            self._left -= (now - self._last) & MASK
            self._last, self._moved = now, time.monotonic()
        elif time.monotonic() - self._moved > STILL_SECONDS:
            raise errors.ClockError("the accelerator's clock stands still")
        return self._left < 0


class Shell:
    """The blocks of registers by name."""

    def __init__(self, blocks: dict[str, Block]) -> None:
        self._blocks = blocks

    def read(self, block: str, register: str) -> int:
        return int(self._blocks[block].read(REGISTERS[block][register][0])) & MASK

    def write(self, block: str, register: str, value: int) -> None:
        self._blocks[block].write(REGISTERS[block][register][0], int(value))

    def fields(self, block: str, register: str) -> dict[str, int]:
        """All fields of a register by one read."""
        value = self.read(block, register)
        found = REGISTERS[block][register][1]
        return {name: value >> low & ((1 << width) - 1) for name, (low, width) in found.items()}

    def wide(self, register: str) -> int:
        """A counter of 64 bits."""
        low = self.read("shell", f"{register}_LOW")
        return self.read("shell", f"{register}_HIGH") << 32 | low

    def counters(self) -> Counters:
        return Counters(*(self.wide(x) for x in ("RUN", "LATENCY", "STALL_IN", "STALL_OUT")))

    def run(
        self,
        starts: dict[str, tuple[int, int]],
        cycles: int,
        seconds: float = 0.0,
        route: int = THROUGH_CORE,
    ) -> Counters:
        """A batch from its start to its end, at most `cycles`; about `seconds` are expected.

        starts: in this order, DMA -> (physical address, images); the first one ends last.
        Whatever goes wrong, a soft reset follows it.
        """
        self.ready()
        try:
            self.write("shell", "MODE", route)
            for block, (address, images) in starts.items():
                self._start(block, address, images)
            self._wait(next(iter(starts)), cycles, seconds)
            found = [name for name, bit in self.fields("shell", "ERROR").items() if bit]
            if found:
                kind = next(errors.OF_FIELD[x] for x in errors.OF_FIELD if x in found)
                raise kind(f"{kind.__doc__} ERROR: {', '.join(found)}; {self.counters()}")
            return self.counters()
        except BaseException:
            self.reset()
            raise

    def ready(self) -> None:
        """Reset what an earlier program or fault has left behind; nothing where all is well."""
        if self.read("shell", "STATUS"):
            self.reset()

    def reset(self) -> None:
        """Soft reset, waited for."""
        if not self.resetting():
            self.write("shell", "CONTROL", 1)
        deadline = Deadline(self, RESET_CYCLES)
        while self.resetting():
            if deadline.check():
                raise errors.ResetError(errors.ResetError.__doc__)

    def resetting(self) -> bool:
        return bool(self.fields("shell", "STATUS")["RESETTING"])

    def _start(self, block: str, address: int, images: int) -> None:
        self.write(block, "ADDRESS_LOW", address & MASK)
        self.write(block, "ADDRESS_HIGH", address >> 32)
        self.write(block, "BATCH", images)
        self.write(block, "CONTROL", 1)

    def _wait(self, block: str, cycles: int, seconds: float) -> None:
        deadline = Deadline(self, cycles)
        if seconds > 1e-3:
            time.sleep(0.9 * seconds)
        polls = 0
        while not self.fields(block, "CONTROL")["DONE"]:
            polls += 1
            if polls % DEADLINE_EVERY == 0 and deadline.check():
                raise errors.HangError(f"{errors.HangError.__doc__} {self.counters()}")
            if polls > SPIN:
                time.sleep(SLEEP)
