"""Memory behind an AXI port of 64 bits, cycle by cycle, for cocotb benches; it checks AXI's rules.

Unlike cocotbext-axi's AxiRam it has latency with several reads outstanding, as a Zynq's HP port
does: a burst's first beat comes `latency` cycles after its address was taken, and beats of bursts
already waiting follow each other without a gap, but for refreshes and stalls.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cocotb.triggers import RisingEdge

OKAY, SLVERR, DECERR = 0, 2, 3
WORD = 8  # bytes


def never(address: int) -> int:
    return OKAY


class Ports:
    """A device under test whose ports begin otherwise than the benches say: {their word: its}."""

    def __init__(self, dut: object, begins: dict[str, str]) -> None:
        self._dut, self._begins = dut, begins

    def __getattr__(self, name: str) -> object:
        for theirs, own in self._begins.items():
            if name.startswith(theirs):
                return getattr(self._dut, own + name.removeprefix(theirs))
        return getattr(self._dut, name)


@dataclass
class Memory:
    """Bytes at `data` from address `base` on. `start()` it as a coroutine."""

    dut: object
    size: int
    base: int = 0
    latency: int = 40  # cycles from a read's address to its first beat
    accepts: int = 8  # reads that may wait
    stall: float = 0.0  # share of cycles in which each channel is not ready
    refresh: int = 0  # every so many cycles the memory does nothing for 20
    answer: Callable[[int], int] = never  # response for an address
    frozen: bool = False  # nothing is answered at all
    seed: int = 1
    data: bytearray = field(init=False)
    reads: list[tuple[int, int, int]] = field(default_factory=list)  # cycle, address, beats
    writes: list[tuple[int, int, int]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)  # cycles in which a beat was read
    read_words: int = 0
    written_words: int = 0
    cycle: int = 0

    def __post_init__(self) -> None:
        self.data = bytearray(self.size)
        self.random = random.Random(self.seed)
        self.clear()

    def clear(self) -> None:
        """Forget everything under way, as after a reset."""
        self.waiting: deque[list[int]] = deque()  # ready at, address, beats left
        self.addresses: deque[tuple[int, int]] = deque()
        self.words: deque[tuple[int, int, int]] = deque()
        self.answers: deque[tuple[int, int]] = deque()
        self.held: dict[str, tuple[int, ...]] = {}
        self.offered: tuple[int, int, int] | None = None
        self.answered: int | None = None

    @property
    def outstanding(self) -> int:
        return len(self.waiting) + (self.offered is not None) + len(self.addresses)

    async def start(self) -> None:
        """Serve for ever. Signals are read as they were before the clock edge."""
        d = self.dut
        for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
            getattr(d, f"m_axi_{name}").value = 0
        d.m_axi_rid.value = d.m_axi_bid.value = 0
        while True:
            await RisingEdge(d.aclk)
            self.cycle += 1
            if not int(d.aresetn.value):
                self.clear()
                for name in ("arready", "rvalid", "awready", "wready", "bvalid"):
                    getattr(d, f"m_axi_{name}").value = 0
                continue
            self._read_channels()
            self._write_channels()

    def _flip(self) -> bool:
        return not self.frozen and (self.stall == 0 or self.random.random() >= self.stall)

    def _taken(self, channel: str, *payload: str) -> tuple[int, ...] | None:
        """The payload of a channel, if it passed; checks that it waits unchanged."""
        d = self.dut
        if not int(getattr(d, f"m_axi_{channel}valid").value):
            assert channel not in self.held, f"{channel}valid fell before {channel}ready"
            return None
        values = tuple(int(getattr(d, f"m_axi_{channel}{name}").value) for name in payload)
        if channel in self.held:
            assert self.held[channel] == values, f"{channel} changed while it waited"
        if int(getattr(d, f"m_axi_{channel}ready").value):
            self.held.pop(channel, None)
            return values
        self.held[channel] = values
        return None

    def _burst(self, address: int, length: int) -> None:
        beats = length + 1
        assert address % WORD == 0
        assert address // 4096 == (address + WORD * beats - 1) // 4096, "burst crosses 4 KiB"
        if self.answer(address) == OKAY:
            assert self.base <= address, f"{address:x} is below the memory"
            assert address + WORD * beats <= self.base + -(-self.size // WORD) * WORD

    def _read_channels(self) -> None:
        d = self.dut
        if taken := self._taken("ar", "addr", "len", "size", "burst", "id"):
            address, length = taken[:2]
            assert taken[2:] == (3, 1, 0)
            self._burst(address, length)
            self.reads.append((self.cycle, address, length + 1))
            self.waiting.append([self.cycle + self.latency, address, length + 1])
        if self.offered and int(d.m_axi_rready.value):
            self.offered = None
            self.read_words += 1
            self.beats.append(self.cycle)
        resting = self.refresh and self.cycle % self.refresh < 20
        if self.offered is None and self.waiting and self._flip() and not resting:
            head = self.waiting[0]
            if self.cycle >= head[0]:
                at = head[1] - self.base
                word = int.from_bytes(self.data[at : at + WORD].ljust(WORD, b"\0"), "little")
                self.offered = (word, self.answer(head[1]), int(head[2] == 1))
                head[1] += WORD
                head[2] -= 1
                if head[2] == 0:
                    self.waiting.popleft()
        d.m_axi_rvalid.value = int(self.offered is not None)
        if self.offered:
            d.m_axi_rdata.value, d.m_axi_rresp.value, d.m_axi_rlast.value = self.offered
        else:
            d.m_axi_rdata.value = self.random.getrandbits(64)
            d.m_axi_rresp.value = self.random.randrange(4)
        d.m_axi_arready.value = int(len(self.waiting) < self.accepts and self._flip())

    def _write_channels(self) -> None:
        d = self.dut
        if taken := self._taken("aw", "addr", "len", "size", "burst", "id"):
            assert taken[2:] == (3, 1, 0)
            self._burst(*taken[:2])
            self.writes.append((self.cycle, taken[0], taken[1] + 1))
            self.addresses.append((taken[0], taken[1] + 1))
        if word := self._taken("w", "data", "strb", "last"):
            self.words.append(word)
        if self.addresses and len(self.words) >= self.addresses[0][1]:
            address, beats = self.addresses.popleft()
            response = self.answer(address)
            for beat in range(beats):
                data, strobes, last = self.words.popleft()
                assert last == (beat == beats - 1), "wlast at the wrong beat"
                self.written_words += 1
                for i in range(WORD):
                    at = address - self.base + beat * WORD + i
                    if strobes >> i & 1 and response == OKAY:
                        assert at < self.size, "a byte beyond the memory is written"
                        self.data[at] = data >> (8 * i) & 255
            self.answers.append((self.cycle + 6, response))
        else:
            assert self.addresses or len(self.words) <= 16, "data far ahead of its address"
        if self.answered is not None and int(d.m_axi_bready.value):
            self.answered = None
        due = self.answers and self.cycle >= self.answers[0][0]
        if self.answered is None and due and self._flip():
            self.answered = self.answers.popleft()[1]
        d.m_axi_bvalid.value = int(self.answered is not None)
        d.m_axi_bresp.value = self.random.randrange(4) if self.answered is None else self.answered
        d.m_axi_awready.value = int(self._flip())
        d.m_axi_wready.value = int(self._flip())
