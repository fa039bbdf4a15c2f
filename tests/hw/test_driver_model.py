"""A model of a board under the driver: pynq's calls, the shell's registers, memory with a cache.

The accelerator of the model answers with `golden` of what it reads from DRAM. A buffer's bytes are
the cache's; DRAM is apart and starts with noise, so that a missing flush or invalidate is seen.
What the program wrote to the results' buffer without a flush is evicted over the results.
"""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hanbit_board.layout import Images, Results
from hanbit_board.port_test import checksum
from hanbit_board.register_map import BASE, BLOCKS, ID, REGISTERS
from hanbit_board.shell import DROP, THROUGH_CORE

AFI, SLCR_CLOCK = 0xF8008000, 100.0
NAMES = {
    BASE + BLOCKS[block][0] + offset: (block, name)
    for block, found in REGISTERS.items()
    for name, (offset, _) in found.items()
}
ERRORS = {name: 1 << low for name, (low, _) in REGISTERS["shell"]["ERROR"][1].items()}
RESETTING, ANY_BUSY, ERROR = 1, 0b1110, 0b10000


class Memory:
    """DRAM of its own content; buffers get addresses that follow each other."""

    def __init__(self) -> None:
        self.blocks: dict[int, np.ndarray] = {}
        self.cached: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # now, when last clean
        self.next = 0x1000_0000

    def add(self, size: int) -> int:
        address, self.next = self.next, self.next + (size + 4095 & ~4095)
        noise = np.random.default_rng(address).integers(0, 256, size, np.uint8)
        self.blocks[address] = noise
        return address

    def cache(self, address: int, buffer: np.ndarray) -> None:
        """Where the cache of a block lies; all of it is dirty."""
        self.cached[address] = (np.asarray(buffer), ~np.asarray(buffer))

    def clean(self, address: int, size: int) -> None:
        for base, (now, before) in self.cached.items():
            if base <= address < base + len(now):
                part = slice(address - base, address - base + size)
                before[part] = now[part]

    def evict(self, address: int, size: int) -> None:
        for base, (now, before) in self.cached.items():
            if base <= address < base + len(now):
                part = slice(address - base, address - base + size)
                dirty = now[part] != before[part]
                self.at(address, size)[dirty] = now[part][dirty]

    def at(self, address: int, size: int) -> np.ndarray:
        base, block = next(
            (b, m) for b, m in self.blocks.items() if b <= address and address + size <= b + len(m)
        )
        return block[address - base :][:size]


class Buffer(np.ndarray):
    """As PynqBuffer: slices know their address."""

    def __array_finalize__(self, parent: object) -> None:
        if isinstance(parent, Buffer) and hasattr(parent, "device_address"):
            here, there = (x.__array_interface__["data"][0] for x in (self, parent))
            self.memory = parent.memory
            self.device_address = parent.device_address + here - there

    def flush(self) -> None:
        self.memory.at(self.device_address, self.nbytes)[:] = self
        self.memory.clean(self.device_address, self.nbytes)

    def invalidate(self) -> None:
        self[:] = self.memory.at(self.device_address, self.nbytes)
        self.memory.clean(self.device_address, self.nbytes)

    def freebuffer(self) -> None:
        self.freed = True


class Shell:
    """The registers. Faults are attributes; `golden` maps (n, bytes) read to (n, results)."""

    def __init__(self, images: Images, results: Results, golden: Callable, build: int) -> None:
        self.images, self.results, self.golden = images, results, golden
        self.memory = Memory()
        self.kept: dict[tuple[str, str], int] = {}
        self.read_only = {
            "ID": ID,
            "BUILD": build,
            "INPUT": images.words | images.memory_bits << 16,
            "OUTPUT": results.bytes | results.memory_bits << 16 | int(results.signed) << 24,
            "ERROR": 0,
        }
        self.cycles, self.step = 2**32 - 50, 100
        self.busy: set[str] = set()
        self.done: set[str] = set()
        self.resetting = 0  # reads of STATUS until a reset ends
        self.never_resets = False
        self.fault: str | None = None  # of the next batch: a field of ERROR, or "hang"
        self.batches: list[int] = []
        self.resets = 0
        self.narrow = {0x00: 0, 0x14: 0}
        self.system = {0xF8000900: 0xF, 0xF8000240: 0}  # level shifters on, resets released
        self.clock = SLCR_CLOCK
        self.refusal: Exception | None = None  # of the device that is to load a bitstream
        self.owner = 0  # the thread that began a batch
        self.pause = 0.0  # before a write to the accelerator, so that threads take turns
        self.mixed = 0  # writes to a batch that another thread began
        self.order: list[str] = []

    def read(self, address: int) -> int:
        if address - AFI in self.narrow:
            return self.narrow[address - AFI]
        if address in self.system:
            return self.system[address]
        block, name = NAMES[address]
        self.cycles += self.step
        if block != "shell":
            if name == "CONTROL":
                on, done = block in self.busy, block in self.done
                return on | done << 1 | (not on) << 2 | done << 3
            return self.kept.get((block, name), 0)
        if name == "STATUS":
            resetting = self.never_resets or self.resetting > 0
            self.resetting = max(0, self.resetting - 1)
            busy = ("idma0" in self.busy) << 1 | ("odma0" in self.busy) << 2
            return resetting | busy | (self.read_only["ERROR"] != 0) << 4
        if name == "CYCLES":
            return self.cycles & 0xFFFFFFFF
        if name.endswith("_LOW"):
            return {"RUN_LOW": 12345, "LATENCY_LOW": 50}.get(name, 0)
        return self.read_only.get(name, self.kept.get((block, name), 0))

    def write(self, address: int, value: int) -> None:
        assert type(value) is int, "pynq's MMIO takes nothing else"
        if address - AFI in self.narrow:
            self.narrow[address - AFI] = value
            return
        block, name = NAMES[address]
        if (block, name) == ("odma0", "ADDRESS_LOW"):
            self.owner = threading.get_ident()
        time.sleep(self.pause)
        self.mixed += block != "shell" and self.owner != threading.get_ident()
        self.kept[block, name] = value
        if name != "CONTROL" or not value & 1:
            return
        if block == "shell":
            self.resets += 1
            self.resetting = 3
            self.busy.clear()
            self.done.clear()
            self.read_only["ERROR"] = 0
        else:
            self.start(block)

    def start(self, block: str) -> None:
        self.order.append(block)
        refused = self.busy & {block} or self.resetting or self.never_resets
        if refused or self.read_only["ERROR"]:
            self.read_only["ERROR"] |= ERRORS["START"]
            return
        self.busy.add(block)
        self.done.discard(block)
        if block == "idma0":
            self.batch()

    def batch(self) -> None:
        fault, self.fault = self.fault, None
        if fault == "hang":
            return
        if fault:
            self.read_only["ERROR"] |= ERRORS[fault]
        else:
            self.move(self.kept.get(("shell", "MODE"), 0))
        self.done |= self.busy
        self.busy.clear()

    def move(self, route: int) -> None:
        """What the batch reads, to where MODE says."""
        count, results = (self.kept.get((x, "BATCH"), 0) for x in ("idma0", "odma0"))
        source, target = (
            self.kept.get((x, "ADDRESS_LOW"), 0) | self.kept.get((x, "ADDRESS_HIGH"), 0) << 32
            for x in ("idma0", "odma0")
        )
        data = self.memory.at(source, count * self.images.bytes)
        self.read_only["CHECKSUM"] = checksum(data.view("<u8"))
        if route == DROP:
            return
        written = data[: results * self.results.bytes]
        if route == THROUGH_CORE:
            assert count == results
            found = self.golden(data.reshape(count, -1)).astype(self.results.dtype)
            written = np.ascontiguousarray(found).view(np.uint8).reshape(-1)
            self.batches.append(count)
        self.memory.at(target, len(written))[:] = written
        self.memory.evict(target, len(written))


def install(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> dict[str, int]:
    """`import pynq` gives the model; returns how often each way of loading was taken."""
    loads = {"overlay": 0, "bitstream": 0, "attached": 0}

    class MMIO:
        def __init__(self, base_addr, length=4, device=None):
            self.base, self.length = base_addr, length

        def read(self, offset=0):
            assert offset % 4 == 0 and 0 <= offset < self.length
            return shell.read(self.base + offset)

        def write(self, offset, data):
            assert offset % 4 == 0 and 0 <= offset < self.length
            shell.write(self.base + offset, data)

    class Overlay:
        def __init__(self, bitfile_name, dtbo=None, download=True, device=None):
            assert type(bitfile_name) is str and Path(bitfile_name).with_suffix(".hwh").is_file()
            if shell.refusal:
                raise shell.refusal
            loads["overlay" if download else "attached"] += 1
            for name, (offset, size) in BLOCKS.items():
                setattr(self, name, MMIO(BASE + offset, size))

    class Bitstream:
        def __init__(self, bitfile_name, dtbo=None, partial=False, device=None):
            assert type(bitfile_name) is str

        def download(self):
            if shell.refusal:
                raise shell.refusal
            loads["bitstream"] += 1

    class ClocksMeta(type):
        @property
        def fclk0_mhz(cls):
            return 1000 / (1000 / shell.clock)  # as pynq: ZeroDivisionError where it is 0

        @fclk0_mhz.setter
        def fclk0_mhz(cls, value):
            shell.clock = value

    class Clocks(metaclass=ClocksMeta):
        pass

    def allocate(shape, dtype, target=None, cacheable=0):
        assert cacheable, "else every byte goes to DRAM by itself"
        buffer = np.zeros(shape, dtype).view(Buffer)
        buffer.memory = shell.memory
        buffer.device_address = shell.memory.add(buffer.nbytes)
        buffer.freed = False
        shell.memory.cache(buffer.device_address, buffer)
        return buffer

    pynq, ps = types.ModuleType("pynq"), types.ModuleType("pynq.ps")
    for thing in (MMIO, Overlay, Bitstream, allocate):
        setattr(pynq, thing.__name__, thing)
    ps.Clocks = pynq.Clocks = Clocks
    pynq.ps = ps
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    monkeypatch.setitem(sys.modules, "pynq.ps", ps)
    return loads


def test_cache_and_memory_are_apart():
    memory = Memory()
    buffer = np.zeros(64, np.uint8).view(Buffer)
    buffer.memory, buffer.device_address = memory, memory.add(64)
    buffer[:] = 7
    assert not (memory.at(buffer.device_address, 64) == 7).all()
    buffer[8:16].flush()
    assert (memory.at(buffer.device_address + 8, 8) == 7).all()
    assert not (memory.at(buffer.device_address, 8) == 7).all()
    memory.at(buffer.device_address, 64)[:] = 9
    assert (buffer == 7).all()
    buffer[:8].invalidate()
    assert (buffer[:8] == 9).all() and (buffer[8:] == 7).all()


def test_dirty_lines_are_evicted():
    memory = Memory()
    buffer = np.zeros(64, np.uint8).view(Buffer)
    buffer.memory, buffer.device_address = memory, memory.add(64)
    memory.cache(buffer.device_address, buffer)
    buffer[8:].flush()
    buffer[60] = 1
    memory.at(buffer.device_address, 64)[:] = 9
    memory.evict(buffer.device_address, 64)
    found = memory.at(buffer.device_address, 64)
    assert list(np.flatnonzero(found != 9)) == [*range(8), 60]
