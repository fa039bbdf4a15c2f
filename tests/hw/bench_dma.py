"""Benches of dma_read.sv and dma_write.sv behind dma_bench.sv; run inside the simulator."""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiRam
from memory_model import DECERR, OKAY, SLVERR, Memory

ADDR_BITS = int(os.environ["BENCH_ADDR_BITS"])
DEPTH = int(os.environ["BENCH_DEPTH"])
BASE = 0x1000_0000 if ADDR_BITS == 32 else 0x12_3456_7000_0000 & ~0xFFF


class Bench:
    """Clock, reset, memory, and a random source and sink at the streams."""

    def __init__(self, dut, seed=1, size=1 << 16, model=True, pause=0.0, **memory):
        self.dut = dut
        self.random = random.Random(seed)
        self.pause = pause  # share of cycles in which source and sink do nothing
        self.received = []
        self.to_send = []
        self.errors = []
        self.memory = None
        if model:
            self.memory = Memory(dut, size, BASE, seed=seed, **memory)
            self.memory.data[:] = self.random.randbytes(size)

    async def begin(self):
        dut = self.dut
        for name in ("r_start", "r_stop", "w_start", "w_stop", "m_axis_tready", "s_axis_tvalid"):
            getattr(dut, name).value = 0
        dut.clear_n.value = 1
        dut.aresetn.value = 0
        cocotb.start_soon(Clock(dut.aclk, 10, "ns").start())
        if self.memory:
            cocotb.start_soon(self.memory.start())
        cocotb.start_soon(self.streams())
        await ClockCycles(dut.aclk, 4)
        dut.aresetn.value = 1
        await ClockCycles(dut.aclk, 2)
        return self

    async def streams(self):
        dut = self.dut
        offered = False
        held = None
        while True:
            await RisingEdge(dut.aclk)
            if not int(dut.aresetn.value) or not int(dut.clear_n.value):
                offered, held = False, None
                dut.s_axis_tvalid.value = 0
                continue
            if int(dut.m_axis_tvalid.value):
                word = int(dut.m_axis_tdata.value)
                assert held is None or held == word, "word changed while it waited"
                held = word
                if int(dut.m_axis_tready.value):
                    self.received.append(word)
                    held = None
            else:
                assert held is None, "tvalid fell before tready"
            if offered and int(dut.s_axis_tready.value):
                del self.to_send[:1]
                offered = False
            if not offered and self.to_send and self.random.random() >= self.pause:
                offered = True
                dut.s_axis_tdata.value = self.to_send[0]
            dut.s_axis_tvalid.value = int(offered)
            dut.m_axis_tready.value = int(self.random.random() >= self.pause)

    async def pulse(self, name, **values):
        for key, value in values.items():
            getattr(self.dut, key).value = value
        getattr(self.dut, name).value = 1
        await RisingEdge(self.dut.aclk)
        getattr(self.dut, name).value = 0
        await RisingEdge(self.dut.aclk)

    async def read(self, address, words):
        await self.pulse("r_start", r_address=address, r_words=words)

    async def write(self, address, count):
        await self.pulse("w_start", w_address=address, w_bytes=count)

    async def until(self, name, value, limit=20000):
        for _ in range(limit):
            await RisingEdge(self.dut.aclk)
            if int(getattr(self.dut, name).value) == value:
                return
        raise AssertionError(f"{name} does not become {value}")

    async def words(self, count, limit=20000):
        for _ in range(limit):
            if len(self.received) >= count:
                return
            await RisingEdge(self.dut.aclk)
        raise AssertionError(f"{len(self.received)} of {count} words came")

    async def clear(self):
        self.dut.clear_n.value = 0
        await ClockCycles(self.dut.aclk, 3)
        self.dut.clear_n.value = 1
        await ClockCycles(self.dut.aclk, 3)
        self.received.clear()

    def expected(self, address, words):
        at = address - BASE
        data = self.memory.data[at : at + 8 * words]
        return [int.from_bytes(data[i : i + 8], "little") for i in range(0, 8 * words, 8)]

    async def check_read(self, address, words):
        self.received.clear()
        await self.read(address, words)
        await self.until("r_busy", 0)
        await self.words(words)
        await ClockCycles(self.dut.aclk, 5)
        assert self.received == self.expected(address, words)
        assert int(self.dut.r_checksum.value) == checksum(self.received)
        assert not int(self.dut.r_failed.value)

    async def check_write(self, address, count):
        before = bytes(self.memory.data)
        data = self.random.randbytes(count)
        padded = data + bytes(-count % 8)
        self.to_send[:] = [
            int.from_bytes(padded[i : i + 8], "little") for i in range(0, len(padded), 8)
        ]
        await self.write(address, count)
        await self.until("w_busy", 0)
        at = address - BASE
        assert self.memory.data == before[:at] + data + before[at + count :]
        assert not self.to_send
        assert not int(self.dut.w_failed.value)


def checksum(words):
    total = 0
    for word in words:
        total = (total << 1 | total >> 31) & 0xFFFF_FFFF
        total ^= (word >> 32) ^ (word & 0xFFFF_FFFF)
    return total


@cocotb.test()
async def runs_of_any_length_and_place(dut):
    bench = await Bench(dut, 2, latency=7).begin()
    for words in (1, 2, 15, 16, 17, 33, 100):
        for offset in (0, 8, 120, 4096 - 8, 4096 - 128, 8192 - 40):
            await bench.check_read(BASE + offset, words)
            await bench.check_write(BASE + offset, 8 * words - bench.random.randrange(8))
    for _ in range(10):
        offset = 8 * bench.random.randrange(1000)
        await bench.check_read(BASE + offset, bench.random.randint(1, 300))
        await bench.check_write(BASE + offset, bench.random.randint(1, 2000))
    assert max(beats for _, _, beats in bench.memory.reads) == 16
    assert max(beats for _, _, beats in bench.memory.writes) == 16


@cocotb.test()
@cocotb.parametrize(
    (("seed", "stall", "pause"), [(3, 0.5, 0.0), (4, 0.0, 0.6), (5, 0.7, 0.3), (6, 0.3, 0.9)])
)
async def random_stalls_everywhere(dut, seed, stall, pause):
    """Both DMAs at once."""
    bench = await Bench(dut, seed, stall=stall, pause=pause, latency=11).begin()
    for _ in range(4):
        at, count = 8 * bench.random.randrange(2000), bench.random.randint(1, 1500)
        bench.received.clear()
        data = bench.random.randbytes(-(-count // 8) * 8)
        bench.to_send[:] = [
            int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)
        ]
        words = bench.random.randint(1, 300)
        want = bench.expected(BASE + at, words)
        await bench.write(BASE + 0x8000, count)
        await bench.read(BASE + at, words)
        await bench.until("r_busy", 0)
        await bench.words(words)
        await bench.until("w_busy", 0)
        assert bench.received == want
        assert bench.memory.data[0x8000 : 0x8000 + count] == data[:count]


@cocotb.test()
async def reads_fill_the_port(dut):
    """With 40 cycles of latency and a refresh every 7.8 us: the share of cycles with a beat."""
    words = 4000
    bench = await Bench(dut, 7, latency=40, refresh=780, size=8 * words).begin()
    await bench.check_read(BASE, words)
    beats = bench.memory.beats
    first = bench.memory.reads[0][0]
    print(f"figure fill {words / (beats[-1] - beats[0] + 1):.4f}")
    print(f"figure fill_with_first_latency {words / (beats[-1] - first + 1):.4f}")
    bench.memory.refresh = 0
    beats.clear()
    await bench.check_read(BASE, words)
    print(f"figure fill_without_refresh {words / (beats[-1] - beats[0] + 1):.4f}")


@cocotb.test()
async def writes_take_two_cycles_a_word(dut):
    words = 1024
    bench = await Bench(dut, 8, size=8 * words).begin()
    start = bench.memory.cycle
    await bench.check_write(BASE, 8 * words)
    print(f"figure write_fill {words / (bench.memory.cycle - start):.4f}")


@cocotb.test()
async def bad_answers_end_the_run(dut):
    bench = await Bench(dut, 9, latency=9).begin()
    for answer in (SLVERR, DECERR):
        bench.memory.answer = lambda a, answer=answer: answer if a >= BASE + 0x400 else OKAY
        bench.received.clear()
        await bench.read(BASE, 1000)
        await bench.until("r_failed", 1)
        await bench.until("r_busy", 0)
        assert bench.memory.outstanding == 0
        assert bench.received == bench.expected(BASE, len(bench.received))
        bench.to_send[:] = [bench.random.getrandbits(64) for _ in range(600)]
        await bench.write(BASE, 8 * 600)
        await bench.until("w_failed", 1)
        await bench.until("w_busy", 0)
        assert not bench.memory.addresses and not bench.memory.words
        assert not bench.memory.answers
        bench.to_send.clear()
        await ClockCycles(dut.aclk, 3)
        await bench.clear()
        assert not int(dut.r_failed.value) and not int(dut.w_failed.value)
        bench.memory.answer = lambda a: OKAY
        await bench.check_read(BASE + 8, 200)
        await bench.check_write(BASE + 16, 777)


@cocotb.test()
async def stop_in_the_middle(dut):
    """At any moment: the bus is left clean, and the next run is right."""
    bench = await Bench(dut, 10, latency=13, stall=0.2, pause=0.2).begin()
    for delay in (0, 1, 2, 3, 4, 5, 6, 7, 11, 18, 27, 40, 77, 150):
        bench.to_send[:] = [bench.random.getrandbits(64) for _ in range(200)]
        await bench.read(BASE + 8 * 3, 400)
        await bench.write(BASE + 0x4018, 1600)
        await ClockCycles(dut.aclk, delay)
        dut.r_stop.value = dut.w_stop.value = 1
        await bench.until("r_busy", 0)
        await bench.until("w_busy", 0)
        assert bench.memory.outstanding == 0
        assert not bench.memory.words and not bench.memory.answers
        bench.to_send.clear()
        await bench.clear()
        dut.r_stop.value = dut.w_stop.value = 0
        await ClockCycles(dut.aclk, 3)
        await bench.check_read(BASE + 8 * delay, 70)
        await bench.check_write(BASE + 8 * delay, 333)


@cocotb.test()
async def reset_in_the_middle(dut):
    bench = await Bench(dut, 11, latency=20, stall=0.1).begin()
    for delay in (1, 5, 17, 60):
        bench.to_send[:] = [bench.random.getrandbits(64) for _ in range(200)]
        await bench.read(BASE, 400)
        await bench.write(BASE + 0x4000, 1600)
        await ClockCycles(dut.aclk, delay)
        dut.aresetn.value = 0
        bench.to_send.clear()
        await ClockCycles(dut.aclk, 3)
        dut.aresetn.value = 1
        await ClockCycles(dut.aclk, 2)
        await bench.check_read(BASE, 70)
        await bench.check_write(BASE, 333)


@cocotb.test()
async def a_blocked_reader_asks_for_no_more_than_its_buffer(dut):
    bench = await Bench(dut, 12, latency=9, pause=1.0).begin()
    await bench.read(BASE, 2000)
    await ClockCycles(dut.aclk, 2 * DEPTH + 200)
    asked = sum(beats for _, _, beats in bench.memory.reads)
    assert DEPTH - 16 <= asked <= DEPTH
    assert bench.memory.outstanding == 0
    bench.pause = 0.0
    await bench.words(2000)
    assert bench.received == bench.expected(BASE, 2000)


@cocotb.test()
async def agrees_with_another_memory(dut):
    """The same against cocotbext-axi's memory, which checks the bus by its own rules."""
    bench = Bench(dut, 13, model=False, pause=0.3)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.aclk, dut.aresetn, False, size=2**16)
    draw = random.Random(14)
    for channel in (
        ram.read_if.ar_channel,
        ram.read_if.r_channel,
        ram.write_if.aw_channel,
        ram.write_if.w_channel,
        ram.write_if.b_channel,
    ):
        channel.set_pause_generator(iter(lambda: draw.random() < 0.3, None))
    await bench.begin()
    for at, count in ((0x0FF8, 200), (0x3000, 1500), (0x7F08, 1001)):
        data = draw.randbytes(-(-count // 8) * 8)
        ram.write(BASE % 2**16 + at, b"\xa5" * (len(data) + 8))
        bench.to_send[:] = [
            int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)
        ]
        await bench.write(BASE + at, count)
        await bench.until("w_busy", 0)
        assert ram.read(BASE % 2**16 + at, count + 1) == data[:count] + b"\xa5"
        ram.write(BASE % 2**16 + at, data)
        bench.received.clear()
        await bench.read(BASE + at, len(data) // 8)
        await bench.words(len(data) // 8)
        assert b"".join(w.to_bytes(8, "little") for w in bench.received) == data
