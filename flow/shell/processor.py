"""What a program on the processor does with the accelerator, as a script for hw/sim/ps7_model.sv.

A `Script` collects accesses by the names of the registers; `Script.replies` gives the answers of
the model back in the same order. `batch` is the way a driver runs a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flow.errors import MismatchError
from flow.shell.registers import load

MEMORY = 0x1000_0000  # the model's memory: its first address
SIZE = 1 << 21  # and bytes

_MAP = load()
_REGISTERS = {
    f"{b.name}.{r.name}": _MAP.base + b.offset + r.offset for b in _MAP.blocks for r in b.registers
}
ID = next(r.value for r in _MAP.block("shell").registers if r.name == "ID")
COUNTERS = ("RUN", "LATENCY", "STALL_IN", "STALL_OUT")
THROUGH, COPY, DROP = 0, 1, 2  # of MODE
_START, _DONE, _ENDED = 1, 2, 0b1110  # of a DMA's CONTROL
_TRIES = 0x7FFF_FFFF


class Script:
    """Accesses to registers, `"<block>.<register>"`, and memory, in order."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._answers: list[tuple[str, int]] = []  # what is read, how many lines of reply

    @property
    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def write(self, register: str, value: int) -> None:
        self._add(f"w {_REGISTERS[register]:x} 1 2 f 1 {value:x}", "", 1)

    def read(self, register: str) -> None:
        self._add(f"r {_REGISTERS[register]:x} 1 2 1", register, 1)

    def wait(self, register: str, mask: int, value: int, tries: int = _TRIES) -> None:
        """Read until the masked bits are `value`; `tries` reads at most."""
        self._add(f"p {_REGISTERS[register]:x} {mask:x} {value:x} {tries:x}", "", 1)

    def memory(self, address: int, size: int) -> None:
        """Fetch `size` bytes of memory from `address` on, a multiple of 8, at this moment."""
        words = -(-size // 8)
        self._add(f"m {address:x} {words:x}", f"memory {address:x}", words)

    def start(self, block: str, address: int, images: int) -> None:
        """Give a DMA its descriptor and start it."""
        self.write(f"{block}.ADDRESS_LOW", address)
        self.write(f"{block}.ADDRESS_HIGH", 0)
        self.write(f"{block}.BATCH", images)
        self.write(f"{block}.CONTROL", _START)

    def batch(self, source: int, target: int, images: int) -> None:
        """Run a batch as drivers do, odma0 first; read both CONTROL, ERROR and the counters."""
        self.start("odma0", target, images)
        self.start("idma0", source, images)
        self.wait("odma0.CONTROL", _DONE, _DONE)
        for register in ("shell.ERROR", "odma0.CONTROL", "idma0.CONTROL"):
            self.read(register)
        self.counters()

    def counters(self) -> None:
        for name in COUNTERS:
            self.read(f"shell.{name}_LOW")
            self.read(f"shell.{name}_HIGH")

    def reset(self) -> None:
        """A soft reset, waited for."""
        self.write("shell.CONTROL", 1)
        self.wait("shell.STATUS", 0xFFFF_FFFF, 0)

    def replies(self, lines: Sequence[str]) -> Replies:
        """The model's answers; MismatchError where an access was not answered with OKAY."""
        found, at = Replies(), 0
        for (label, count), command in zip(self._answers, self._lines, strict=True):
            some = [line.split() for line in lines[at : at + count]]
            at += count
            if len(some) < count or any(line[0] != command[0] for line in some):
                raise MismatchError(f"the processor's script ended at {command!r}", command)
            if command[0] in "rw" and some[0][1] != "0":
                raise MismatchError(f"{command!r} was answered with {some[0][1]}", command)
            if label:
                found.add(label, [int(line[-1], 16) for line in some])
        return found

    def _add(self, line: str, label: str, replies: int) -> None:
        self._lines.append(line)
        self._answers.append((label, replies))


class Replies:
    """What a script read, by register, in order; `take` removes the first that is left."""

    def __init__(self) -> None:
        self._left: dict[str, list[list[int]]] = {}

    def add(self, label: str, values: list[int]) -> None:
        self._left.setdefault(label, []).append(values)

    def take(self, register: str) -> int:
        return self._left[register].pop(0)[0]

    def memory(self, address: int) -> np.ndarray:
        """Bytes as `Script.memory` fetched them."""
        words = self._left[f"memory {address:x}"].pop(0)
        return np.array(words, "<u8").view(np.uint8)

    def batch(self) -> dict[str, int]:
        """Counters after a batch; MismatchError unless it ended without an error."""
        for register, wanted in (
            ("shell.ERROR", 0),
            ("odma0.CONTROL", _ENDED),
            ("idma0.CONTROL", _ENDED),
        ):
            if (value := self.take(register)) != wanted:
                raise MismatchError(f"after a batch {register} is {value:#x}", register)
        return self.counters()

    def counters(self) -> dict[str, int]:
        return {
            name: self.take(f"shell.{name}_LOW") | self.take(f"shell.{name}_HIGH") << 32
            for name in COUNTERS
        }


def write_memory(path: Path, content: np.ndarray) -> None:
    """Bytes from MEMORY on, as the file the model reads at its start."""
    padded = np.zeros(-(-content.size // 8) * 8, np.uint8)
    padded[: content.size] = content.reshape(-1)
    path.write_text("".join(f"{word:016x}\n" for word in padded.view("<u8").tolist()))
