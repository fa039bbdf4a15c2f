"""The Verilated board (hw/sim/board) as a running program, and the memory that both share.

NumPy and the standard library only: runs in pynq's environment.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from flow import tools
from flow.board.errors import FOR_EVER, BoardError, BusError, ProcessorHangs, RuleBroken
from flow.errors import UserError

PROGRAM = "board"
MODEL = "model"
FACTS = "board.json"

(RESET, READ, WRITE, RUN, TIMING, FAULT, ANSWER, WIDTH, ALLOW, FORBID, STATS) = range(11)
NO_FAULT, READS, WRITES, MEMORY_DEAD, REGISTERS_DEAD = range(5)
SLVERR, DECERR, HANG, BROKEN = 2, 3, 10, 11
ANSWERS = {SLVERR: "SLVERR", DECERR: "DECERR"}
BURST = 16  # words


def nameless_file(name: str, size: int = 0) -> tuple[int, Path]:
    """A file in memory: its descriptor, and a path by which children may open it.

    Nothing is left behind, however this process ends.
    """
    file = os.memfd_create(name)
    os.ftruncate(file, size)
    return file, Path(f"/proc/{os.getpid()}/fd/{file}")


class Memory:
    """DRAM, `size` bytes from `base` on, in a file that the model maps too."""

    def __init__(self, base: int, size: int) -> None:
        self.base, self.size = base, size
        descriptor, self.file = nameless_file("dram", size)
        self.data = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
        weakref.finalize(self, os.close, descriptor)


class Model:
    """One loaded bitstream, from power-up on. `cycle` is that of the last reply.

    Any thread may call. Raises ProcessorHangs, BusError or RuleBroken as the access deserves; after
    the first or the last of these every access raises the same.
    """

    def __init__(self, folder: Path, memory: Memory) -> None:
        program = folder / MODEL / PROGRAM
        if not program.is_file():
            raise UserError(f"{program}: missing; prepare the board first (flow.board.prepare)")
        descriptor, self._log = nameless_file("errors")
        weakref.finalize(self, os.close, descriptor)
        self._process: subprocess.Popen[bytes] | None = tools.start(
            program, memory.file, memory.base, memory.size, cwd=program.parent, log=self._log
        )
        self._lock = threading.Lock()
        self._stuck: BoardError | None = None
        self.cycle = 0

    def request(
        self, op: int, a: int = 0, b: int = 0, c: int = 0, data: bytes = b"", what: str = ""
    ) -> bytes:
        """One request of board.cpp; the words of its reply."""
        with self._lock:
            if self._stuck:
                raise self._stuck
            status, reply = self._exchange(struct.pack("<4I", op, a, b, c) + data)
            if status == HANG:
                self._stuck = ProcessorHangs(f"{what} is not answered; {FOR_EVER}")
            elif status == BROKEN:
                self._stuck = RuleBroken(reply.rstrip(b"\0").decode())
            if self._stuck:
                raise self._stuck
            if status:
                raise BusError(f"{what} is answered with {ANSWERS.get(status, status)}")
            return reply

    def _exchange(self, message: bytes) -> tuple[int, bytes]:
        process = self._process
        if process is None:
            raise BoardError("no bitstream is loaded any more")
        assert process.stdin and process.stdout
        try:
            process.stdin.write(message)
            process.stdin.flush()
            head = process.stdout.read(16)
            status, words, low, high = struct.unpack("<iIII", head)
        except (OSError, struct.error) as error:
            raise BoardError(f"the model ended: {self._log.read_text()[-500:]!r}") from error
        self.cycle = high << 32 | low
        return status, process.stdout.read(4 * words)

    def read(self, address: int, length: int, after: int) -> bytes:
        """Registers, `length` bytes; `after` so many cycles pass behind each burst."""
        found = b""
        while len(found) < length:
            at = address + len(found)
            words = min(BURST, (length - len(found)) // 4, (4096 - at % 4096) // 4)
            found += self.request(READ, at, words, after, what=f"a read of 0x{at:08X}")
        return found

    def write(self, address: int, data: bytes, after: int) -> None:
        done = 0
        while done < len(data):
            at = address + done
            words = min(BURST, (len(data) - done) // 4, (4096 - at % 4096) // 4)
            part = data[done : done + 4 * words]
            self.request(WRITE, at, words, after, part, what=f"a write to 0x{at:08X}")
            done += len(part)

    def stats(self) -> dict[str, int]:
        """Beats of HP0, the cycles of the first and the last one read, the LEDs."""
        names = ("read_beats", "written_beats", "first_read", "last_read", "led")
        return dict(zip(names, struct.unpack("<5I", self.request(STATS)), strict=True))

    def close(self) -> None:
        """End the program; twice is harmless."""
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return
            assert process.stdin and process.stdout
            with suppress(BrokenPipeError):  # it ended by itself, a request unsent
                process.stdin.close()
            process.stdout.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
