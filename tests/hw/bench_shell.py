"""Benches of the whole accelerator shell, through its registers; run inside the simulator."""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBurstType, AxiBus, AxiMaster, AxiResp
from hanbit_board import register_map
from memory_model import DECERR, OKAY, SLVERR, Memory, Ports

from flow.shell.layout import Input, Output

G = {
    key.removeprefix("BENCH_"): int(v) for key, v in os.environ.items() if key.startswith("BENCH_")
}
INPUT = Input(G["IN_ELEMENTS"], G["IN_ELEMENT_BITS"], G["IN_MEMORY_BITS"], G["IN_BEATS"])
OUTPUT = Output(
    G["OUT_ELEMENTS"], G["OUT_ELEMENT_BITS"], G["OUT_MEMORY_BITS"], bool(G["OUT_SIGNED"]),
    G["OUT_BEATS"],
)  # fmt: skip
MEMORY = 0x10_0000_0000 if G["ADDR_BITS"] == 64 else 0x1000_0000
SIZE = 1 << 18
RESULTS = MEMORY + SIZE // 2
BOARD = {"aclk": "fclk0", "aresetn": "fclk_resetn", "m_axi_": "hp0_"}  # ports of hw/sim/board


class Bench:
    def __init__(self, dut, seed=1, **memory):
        self.on_board = hasattr(dut, "fclk0")  # all of pynq_z2; else shell_bench
        self.top, self.dut = dut, Ports(dut, BOARD) if self.on_board else dut
        self.random = random.Random(seed)
        self.draw = np.random.default_rng(seed)
        self.stall_in = self.stall_out = 0.0
        self.memory = Memory(self.dut, SIZE, MEMORY, seed=seed, **memory)

    async def begin(self):
        dut = self.dut
        dut.aresetn.value = 0
        cocotb.start_soon(Clock(dut.aclk, 10, "ns").start())
        self.gp0 = AxiMaster(
            AxiBus.from_prefix(self.top, "gp0"), dut.aclk, dut.aresetn, False, max_burst_len=16
        )
        cocotb.start_soon(self.memory.start())
        cocotb.start_soon(self.pins() if self.on_board else self.core())
        await ClockCycles(dut.aclk, 4)
        dut.aresetn.value = 1
        await self.until("shell", "STATUS", 0)
        return self

    async def pins(self):
        """What AXI3 and the PS7 want of the pins."""
        while True:
            await RisingEdge(self.dut.aclk)
            assert int(self.dut.tied.value), "an input of the PS7 is not tied"
            assert self.dut.m_axi_wid.value == self.dut.m_axi_awid.value, "WID is not AWID"

    async def core(self):
        while True:
            self.dut.stall_in.value = int(self.random.random() < self.stall_in)
            self.dut.stall_out.value = int(self.random.random() < self.stall_out)
            await RisingEdge(self.dut.aclk)

    @staticmethod
    def address(block, register):
        offset = register_map.BLOCKS[block][0] + register_map.REGISTERS[block][register][0]
        return register_map.BASE + offset

    async def write(self, block, register, value):
        answer = await self.gp0.write(self.address(block, register), value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY

    async def read(self, block, register):
        answer = await self.gp0.read(self.address(block, register), 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def read64(self, name):
        low = await self.read("shell", f"{name}_LOW")
        return await self.read("shell", f"{name}_HIGH") << 32 | low

    async def until(self, block, register, value, mask=0xFFFF_FFFF, tries=3000):
        for _ in range(tries):
            found = await self.read(block, register)
            if found & mask == value:
                return
        raise AssertionError(f"{block}.{register} stays {found:x}")

    async def dma(self, block, address, images):
        await self.write(block, "ADDRESS_LOW", address & 0xFFFF_FFFF)
        await self.write(block, "ADDRESS_HIGH", address >> 32)
        await self.write(block, "BATCH", images)
        await self.write(block, "CONTROL", 1)

    def images(self, count, offset=0):
        """New images into memory; the results that must come."""
        top = 1 if INPUT.memory_bits == 1 else (1 << INPUT.bits) - 1
        size = INPUT.beats * INPUT.elements
        images = self.draw.integers(0, top, (count, size), endpoint=True)
        data = INPUT.pack(images).tobytes()
        self.memory.data[offset : offset + len(data)] = data
        sums = []
        for image in images.reshape(count, INPUT.beats, INPUT.elements).tolist():
            total = 0
            for beat in image:
                word = sum(e << (i * INPUT.bits) for i, e in enumerate(beat))
                total += (word & 0xFFFF) + (word >> (G["IN_BITS"] - 16))
            sums.append(total)
        steps = np.array(sums)[:, None] + 17 * np.arange(OUTPUT.results)
        results = steps % (1 << OUTPUT.bits)
        if OUTPUT.signed:
            results -= (results >= 1 << (OUTPUT.bits - 1)) * (1 << OUTPUT.bits)
        return results

    async def batch(self, count, offset=0, place=0):
        """Run a batch as FINN's drivers do, odma0 first; check results, bounds and status."""
        want = self.images(count, offset)
        size = count * OUTPUT.bytes
        at = RESULTS - MEMORY + place
        self.memory.data[at - 8 : at + size + 16] = b"\x5a" * (size + 24)
        await self.dma("odma0", RESULTS + place, count)
        await self.dma("idma0", MEMORY + offset, count)
        await self.until("odma0", "CONTROL", 0b1110)
        assert await self.read("idma0", "CONTROL") == 0b1110
        assert await self.read("shell", "ERROR") == 0
        written = self.memory.data[at : at + size]
        assert np.array_equal(OUTPUT.unpack(np.frombuffer(written, np.uint8), count), want)
        assert self.memory.data[at - 8 : at] == b"\x5a" * 8
        assert self.memory.data[at + size : at + size + 16] == b"\x5a" * 16
        await self.until("shell", "STATUS", 0)

    async def soft_reset(self):
        await self.write("shell", "CONTROL", 1)
        await self.until("shell", "STATUS", 0)
        assert await self.read("shell", "ERROR") == 0
        assert self.memory.outstanding == 0
        assert not self.memory.words and not self.memory.answers


@cocotb.test()
async def registers(dut):
    bench = await Bench(dut).begin()
    assert await bench.read("shell", "ID") == register_map.ID
    assert await bench.read("shell", "BUILD") == 0xC0FFEE11
    assert await bench.read("shell", "INPUT") == INPUT.memory_bits << 16 | INPUT.words
    signed = int(OUTPUT.signed) << 24
    assert await bench.read("shell", "OUTPUT") == signed | OUTPUT.memory_bits << 16 | OUTPUT.bytes
    assert await bench.read("shell", "TIMEOUT") == 100_000_000
    assert await bench.read("idma0", "CONTROL") == 0b0100
    kept = {("shell", "TIMEOUT"): 32, ("shell", "SCRATCH"): 32, ("shell", "MODE"): 2}
    for block in ("idma0", "odma0"):
        kept |= {(block, "ADDRESS_LOW"): 32, (block, "ADDRESS_HIGH"): 32, (block, "BATCH"): 20}
    values = {key: bench.random.getrandbits(32) for key in kept}
    for key, value in values.items():
        await bench.write(*key, value)
    for key, bits in kept.items():
        assert await bench.read(*key) == values[key] % (1 << bits)
    before = await bench.read("shell", "CYCLES")
    await ClockCycles(bench.dut.aclk, 500)
    assert 500 <= await bench.read("shell", "CYCLES") - before <= 530


@cocotb.test()
async def every_access_is_answered(dut):
    bench = await Bench(dut).begin()
    known = {
        offset + register[0]
        for block, (offset, _) in register_map.BLOCKS.items()
        for register in register_map.REGISTERS[block].values()
    }
    base = register_map.BASE
    draw = bench.random
    for channel in (bench.gp0.read_if.r_channel, bench.gp0.write_if.b_channel):
        channel.set_pause_generator(iter(lambda: draw.random() < 0.5, None))
    for offset in [*range(0, 0x200, 4), 0x200, 0x204, 0x300, 0xFFC, 0x1000, -4]:
        answer = await bench.gp0.read(base + offset, 4)
        assert answer.resp == (AxiResp.OKAY if offset in known else AxiResp.DECERR), hex(offset)
        if offset not in known:
            answer = await bench.gp0.write(base + offset, b"\1\2\3\4")
            assert answer.resp == AxiResp.DECERR
    words = await bench.gp0.read(base, 0x20)  # a burst of eight
    assert words.data[:4] == register_map.ID.to_bytes(4, "little")
    scratch = bench.address("shell", "SCRATCH")
    await bench.gp0.write(scratch, b"abcdefgh", burst=AxiBurstType.FIXED)
    assert (await bench.gp0.read(scratch, 4)).data == b"efgh"
    assert (await bench.gp0.write(scratch, b"zz")).resp == AxiResp.SLVERR
    assert (await bench.gp0.read(scratch, 4)).data == b"efgh"


@cocotb.test()
async def batches(dut):
    bench = await Bench(dut, 3).begin()
    for count, offset, place in ((1, 0, 0), (2, 8, 8), (5, 4096 - 8, 4096 - 16), (9, 120, 64)):
        await bench.batch(count, offset, place)


@cocotb.test()
@cocotb.parametrize(
    (
        ("seed", "memory", "core_in", "core_out"),
        [(4, 0.6, 0, 0), (5, 0, 0.7, 0.9), (6, 0.3, 0.3, 0.3)],
    )
)
async def batches_with_stalls(dut, seed, memory, core_in, core_out):
    bench = Bench(dut, seed, stall=memory)
    bench.stall_in, bench.stall_out = core_in, core_out
    await bench.begin()
    for count in (1, 4, 7):
        await bench.batch(count, 8 * bench.random.randrange(600), 8 * bench.random.randrange(9))


@cocotb.test()
async def counters_say_what_happened(dut):
    bench = await Bench(dut, 7).begin()
    count = 12
    want = {"run": 0, "in": [], "out": [], "starved": 0, "blocked": 0}
    recording = cocotb.start_soon(record(dut, want))
    bench.stall_out = 0.5
    await bench.batch(count)
    recording.cancel()
    assert await bench.read64("LATENCY") == want["out"][0] - want["in"][0]
    assert await bench.read64("STALL_OUT") == want["blocked"]
    assert await bench.read64("STALL_IN") == want["starved"]
    run = await bench.read64("RUN")
    assert 0 <= run - want["run"] <= 2
    assert run >= want["out"][-1] - want["in"][0]
    rest = await bench.read64("RUN")
    assert rest == run


async def record(dut, seen):
    cycle = 0
    beats = INPUT.beats * 12
    while True:
        await RisingEdge(dut.aclk)
        cycle += 1
        seen["run"] += int(dut.read_busy.value) or (int(dut.write_busy.value) and seen["run"] > 0)
        valid, ready = int(dut.core_in_tvalid.value), int(dut.core_in_tready.value)
        if valid and ready:
            seen["in"].append(cycle)
        elif ready and 0 < len(seen["in"]) < beats and int(dut.feeding.value):
            seen["starved"] += 1
        valid, ready = int(dut.core_out_tvalid.value), int(dut.core_out_tready.value)
        if valid and ready:
            seen["out"].append(cycle)
        elif valid and int(dut.running.value):
            seen["blocked"] += 1


@cocotb.test()
async def rate_of_a_batch(dut):
    """Cycles an image, where the core takes a beat in every cycle."""
    bench = await Bench(dut, 8, latency=40, refresh=780).begin()
    count = 120 if INPUT.words < 40 else 60
    await bench.batch(count)
    run = await bench.read64("RUN")
    least = max(INPUT.beats, INPUT.words)
    print(f"figure cycles_an_image {run / count:.2f}")
    print(f"figure least_cycles_an_image {least}")
    print(f"figure cycles_beyond {run - count * least}")
    beats = bench.memory.beats
    print(f"figure port_fill {len(beats) / (beats[-1] - beats[0] + 1):.4f}")


@cocotb.test()
async def errors_end_a_batch_and_a_reset_heals(dut):
    bench = await Bench(dut, 9).begin()
    for bit, low, high in ((0, MEMORY + 256, MEMORY + 512), (1, RESULTS, RESULTS + 4096)):
        for answer in (SLVERR, DECERR):
            bench.memory.answer = lambda a, low=low, high=high, answer=answer: (
                answer if low <= a < high else OKAY
            )
            await bench.dma("odma0", RESULTS, 6)
            await bench.dma("idma0", MEMORY, 6)
            await bench.until("odma0", "CONTROL", 0b1110)
            await bench.until("idma0", "CONTROL", 0b1110)
            assert await bench.read("shell", "ERROR") == 1 << bit
            assert await bench.read("shell", "STATUS") & 0x10
            bench.memory.answer = lambda a: OKAY
            await bench.dma("idma0", MEMORY, 1)  # refused until the reset
            assert await bench.read("shell", "ERROR") == 1 << bit | 1 << 4
            await bench.soft_reset()
            assert await bench.read("odma0", "CONTROL") == 0b0100
            await bench.batch(2)


@cocotb.test()
async def refused_starts(dut):
    bench = await Bench(dut, 10).begin()
    for block in ("idma0", "odma0"):
        for address, images in ((MEMORY + 4, 1), (MEMORY, 0)):
            await bench.dma(block, address, images)
            await bench.until("shell", "ERROR", 1 << 3)
            assert await bench.read(block, "CONTROL") == 0b1110
            assert not bench.memory.reads and not bench.memory.writes
            await bench.soft_reset()
    await bench.dma("odma0", RESULTS, 2)
    await bench.write("odma0", "CONTROL", 1)
    await bench.until("shell", "ERROR", 1 << 4)
    await bench.until("odma0", "CONTROL", 0b1110)
    await bench.soft_reset()
    await bench.batch(1)


@cocotb.test()
async def timeout_when_nothing_moves(dut):
    bench = await Bench(dut, 11).begin()
    await bench.write("shell", "TIMEOUT", 300)
    await bench.batch(2)
    bench.stall_in = 1.0  # the core takes nothing
    await ClockCycles(dut.aclk, 2)
    await bench.dma("odma0", RESULTS, 3)
    await bench.dma("idma0", MEMORY, 3)
    await bench.until("shell", "ERROR", 1 << 2)
    await bench.until("odma0", "CONTROL", 0b1110)
    bench.stall_in = 0.0
    await bench.soft_reset()
    await bench.batch(2)
    # The memory answers nothing: a reset waits for it, so that the bus stays whole.
    bench.memory.frozen = True
    await bench.dma("odma0", RESULTS, 3)
    await bench.dma("idma0", MEMORY, 3)
    await bench.until("shell", "ERROR", 1 << 2)
    await bench.write("shell", "CONTROL", 1)
    await ClockCycles(dut.aclk, 500)
    assert await bench.read("shell", "STATUS") & 1
    bench.memory.frozen = False
    await bench.until("shell", "STATUS", 0)
    await bench.batch(2)
    await bench.write("shell", "TIMEOUT", 0)
    bench.stall_in = 1.0
    await ClockCycles(dut.aclk, 2)
    await bench.dma("odma0", RESULTS, 1)
    await bench.dma("idma0", MEMORY, 1)
    await ClockCycles(dut.aclk, 2000)
    assert await bench.read("shell", "ERROR") == 0


@cocotb.test()
async def soft_reset_at_any_moment(dut):
    bench = await Bench(dut, 12, stall=0.1, latency=15).begin()
    for delay in (0, 3, 8, 15, 22, 31, 44, 63, 90, 130, 200):
        bench.images(8)
        await bench.dma("odma0", RESULTS, 8)
        await bench.dma("idma0", MEMORY, 8)
        await ClockCycles(dut.aclk, delay)
        await bench.soft_reset()
        assert await bench.read("idma0", "CONTROL") == 0b0100
        await bench.batch(2, 8 * delay)


@cocotb.test()
async def tests_of_the_memory_port(dut):
    """MODE 2 reads and drops, MODE 1 copies; neither touches the core."""
    bench = await Bench(dut, 13).begin()
    count = 7
    bench.images(count)
    words = INPUT.words * count
    data = bytes(bench.memory.data[: 8 * words])
    total = 0
    for at in range(0, 8 * words, 4):
        if at % 8 == 0:
            total = (total << 1 | total >> 31) & 0xFFFF_FFFF
        total ^= int.from_bytes(data[at : at + 4], "little")
    await bench.write("shell", "MODE", 2)
    await bench.dma("idma0", MEMORY, count)
    await bench.until("idma0", "CONTROL", 0b1110)
    assert await bench.read("shell", "CHECKSUM") == total
    await bench.until("shell", "STATUS", 0)
    await bench.write("shell", "MODE", 1)
    images = 8 * words // OUTPUT.bytes
    size = images * OUTPUT.bytes
    await bench.dma("odma0", RESULTS, images)
    await bench.dma("idma0", MEMORY, count)
    await bench.until("odma0", "CONTROL", 0b1110)
    at = RESULTS - MEMORY
    assert bench.memory.data[at : at + size] == data[:size]
    await bench.soft_reset()
    await bench.write("shell", "MODE", 0)
    await bench.batch(2)
