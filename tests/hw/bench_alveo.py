"""Benches of the Alveo kernel, driven as XRT drives it; run inside the simulator.

BENCH_CASE is an .npz with `images` as they lie in memory (n, bytes) and `results` (n, bytes).
Registers go through cocotbext-axi, memory through memory_model.py, which checks AXI's rules, and
once through cocotbext-axi's slave. Both lie beyond 4 GiB.
"""

import os
import random
import sys

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer
from cocotbext.axi import (
    AddressSpace,
    AxiBus,
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiSlave,
    MemoryRegion,
)
from hanbit_board import register_map
from memory_model import DECERR, OKAY, SLVERR, Memory, Ports

from flow.vendor import kernel

sys.path.insert(0, str(kernel.FOLDER))
import kernel_map

with np.load(os.environ["BENCH_CASE"]) as arrays:
    IMAGES, RESULTS = arrays["images"], arrays["results"]
AP_CTRL = int(os.environ["BENCH_AP_CTRL"])
BASE = 0x12_3456_0000 if AP_CTRL else 0x1000_0000  # 32 address bits without ap_ctrl
SIZE = 1 << 18
TARGET = SIZE // 2  # where results go, from BASE on
START, DONE, IDLE, READY = 1, 2, 4, 8
PORTS = {"aclk": "ap_clk", "aresetn": "ap_rst_n", "m_axi_": "m_axi_gmem_"}


class Bench:
    def __init__(self, dut, seed=1, stall=0.0, **memory):
        self.dut, self.stall = dut, stall
        self.random = random.Random(seed)
        self.memory = Memory(Ports(dut, PORTS), SIZE, BASE, seed=seed, stall=stall, **memory)

    async def begin(self, other_memory=False):
        dut = self.dut
        dut.ap_rst_n.value = 0
        cocotb.start_soon(Clock(dut.ap_clk, 10, "ns").start())
        bus = AxiLiteBus.from_prefix(dut, "s_axi_control")
        self.host = AxiLiteMaster(bus, dut.ap_clk, dut.ap_rst_n, False)
        if other_memory:
            region, space = MemoryRegion(SIZE), AddressSpace(1 << 64)
            space.register_region(region, BASE)
            port = AxiBus.from_prefix(dut, "m_axi_gmem")
            self.slave = AxiSlave(port, dut.ap_clk, dut.ap_rst_n, space, False)
            self.content = region.mem
        else:
            cocotb.start_soon(self.memory.start())
            self.content = self.memory.data
        if self.stall:
            write, read = self.host.write_if, self.host.read_if
            for channel in (write.aw_channel, write.w_channel, write.b_channel):
                channel.set_pause_generator(self.pauses())
            for channel in (read.ar_channel, read.r_channel):
                channel.set_pause_generator(self.pauses())
        await ClockCycles(dut.ap_clk, 8)
        dut.ap_rst_n.value = 1
        await ClockCycles(dut.ap_clk, 2)
        return self

    def pauses(self):
        while True:
            yield self.random.random() < self.stall

    async def write(self, offset, value):
        answer = await self.host.write(offset, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY

    async def read(self, offset):
        answer = await self.host.read(offset, 4)
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def shell(self, register, block="shell"):
        base = kernel_map.SHELL if AP_CTRL else 0
        return await self.read(base + address(block, register))

    def put(self, first, count):
        """Images of the case into memory."""
        data = IMAGES[first : first + count].tobytes()
        self.content[:] = bytes(SIZE)
        self.content[: len(data)] = data

    def check(self, first, count, place=0):
        """The results must be there, and nothing around them."""
        want = bytes(place) + RESULTS[first : first + count].tobytes()
        found = bytes(self.content[TARGET:])
        assert found[: len(want)] == want
        assert not any(found[len(want) :])

    async def arguments(self, count, source=BASE, target=BASE + TARGET):
        """All words from the first argument to the last, reserved ones too, as XRT writes them."""
        values = {"images": source, "results": target, "batch": count}
        words = {}
        for name, (offset, size) in kernel_map.ARGUMENTS.items():
            for n in range(size // 4):
                words[offset + 4 * n] = values[name] >> 32 * n & 0xFFFF_FFFF
        for offset in range(min(words), max(words) + 4, 4):
            await self.write(offset, words.get(offset, 0xDEAD_BEEF))

    async def until_done(self, tries=4000):
        """As XRT's scheduler: poll CONTROL for ap_done, which a reading clears."""
        for _ in range(tries):
            status = await self.read(kernel_map.CONTROL)
            if status & DONE:
                assert status & (READY | IDLE) == READY | IDLE and not status & START
                return
            assert status & START and not status & IDLE
        raise AssertionError("ap_done never came")

    async def run(self, first, count, place=0):
        """One call of the kernel."""
        self.put(first, count)
        await self.arguments(count, target=BASE + TARGET + place)
        await self.write(kernel_map.CONTROL, START)
        await self.until_done()
        assert await self.read(kernel_map.CONTROL) == IDLE
        assert await self.shell("ERROR") == 0
        self.check(first, count, place)


def address(block, register):
    return register_map.BLOCKS[block][0] + register_map.REGISTERS[block][register][0]


@cocotb.test()
async def kernel_batches(dut):
    """Several calls, the first right after the reset, against the reference."""
    bench = await Bench(dut, 1).begin()
    assert await bench.read(kernel_map.CONTROL) == IDLE
    for first, count, place in ((0, 1, 0), (1, 7, 8), (0, len(IMAGES), 0)):
        await bench.run(first, count, place)
    assert bench.memory.reads[0][1] == BASE


@cocotb.test()
async def kernel_stalls(dut):
    bench = await Bench(dut, 2, stall=0.5).begin()
    for first, count in ((0, 5), (3, 9)):
        await bench.run(first, count)


@cocotb.test()
async def kernel_other_memory(dut):
    """The memory of cocotbext-axi, with pauses of its own."""
    bench = await Bench(dut, 3, stall=0.3).begin(other_memory=True)
    for channel in (bench.slave.read_if.r_channel, bench.slave.write_if.b_channel):
        channel.set_pause_generator(bench.pauses())
    for channel in (bench.slave.write_if.aw_channel, bench.slave.write_if.w_channel):
        channel.set_pause_generator(bench.pauses())
    await bench.run(2, 11)


@cocotb.test()
async def kernel_registers(dut):
    """Arguments keep what they are given, all other words read 0; partial writes do nothing."""
    bench = await Bench(dut, 4, stall=0.2).begin()
    await bench.arguments(77, 0x1122_3344_5566_7788, 0x99AA_BBCC_DDEE_FF00)
    values = {}
    for name, (offset, size) in kernel_map.ARGUMENTS.items():
        values |= {offset + 4 * n: (name, n) for n in range(size // 4)}
    want = {"images": 0x1122_3344_5566_7788, "results": 0x99AA_BBCC_DDEE_FF00, "batch": 77}
    for offset in range(0, 0x40, 4):
        found = await bench.read(offset)
        if offset == kernel_map.CONTROL:
            assert found == IDLE
        elif offset in values:
            name, n = values[offset]
            assert found == want[name] >> 32 * n & 0xFFFF_FFFF, hex(offset)
        else:
            assert found == 0, hex(offset)
    assert (await bench.host.write(0x10, b"\1")).resp == AxiResp.SLVERR
    assert await bench.read(0x10) == 0x5566_7788
    assert await bench.read(0x7FC) == 0 and await bench.read(kernel_map.WINDOW - 4) == 0
    await bench.write(kernel_map.WINDOW - 4, 5)
    assert await bench.shell("ID") == register_map.ID
    await bench.write(kernel_map.SHELL + address("shell", "SCRATCH"), 0x600D_CAFE)
    assert await bench.shell("SCRATCH") == 0x600D_CAFE
    # Beyond the shell's last register its index must not wrap round.
    await bench.write(kernel_map.SHELL + 0x200 + address("shell", "SCRATCH"), 1)
    assert await bench.shell("SCRATCH") == 0x600D_CAFE
    assert await bench.read(kernel_map.SHELL + 0x200) == 0


@cocotb.test()
async def kernel_interrupt(dut):
    bench = await Bench(dut, 5).begin()
    for clear in ("read", "write"):
        await bench.write(kernel_map.GIE, 1)
        await bench.write(kernel_map.IER, 1)
        bench.put(0, 2)
        await bench.arguments(2)
        await bench.write(kernel_map.CONTROL, START)
        assert not int(dut.interrupt.value)
        while not int(dut.interrupt.value):
            await RisingEdge(dut.ap_clk)
        await bench.until_done(1)
        if clear == "read":
            assert await bench.read(kernel_map.ISR) == 1
        else:
            await bench.write(kernel_map.ISR, 1)
        assert not int(dut.interrupt.value)
        bench.check(0, 2)
    await bench.write(kernel_map.GIE, 0)
    await bench.run(0, 1)
    assert not int(dut.interrupt.value)
    assert await bench.read(kernel_map.ISR) == 1


@cocotb.test()
async def kernel_errors(dut):
    """A batch that fails ends all the same, says why, and the next call works by itself."""
    bench = await Bench(dut, 6).begin()
    limit = 1 << register_map.REGISTERS["idma0"]["BATCH"][1]["IMAGES"][1]
    for given, bit in (
        ({"count": 0}, 3),
        ({"count": limit + 1}, 3),  # must not become 1
        ({"count": 2, "source": BASE + 4}, 3),
        ({"count": 2, "target": BASE + TARGET + 2}, 3),
    ):
        await bench.arguments(**given)
        await bench.write(kernel_map.CONTROL, START)
        await bench.until_done()
        # The refusal of the first DMA may already be an error when the second one is started.
        assert await bench.shell("ERROR") in (1 << bit, 1 << bit | 1 << 4)
        await bench.run(0, 2)
    for low, high, bit in ((0, TARGET, 0), (TARGET, SIZE, 1)):
        for answer in (SLVERR, DECERR):
            bench.memory.answer = lambda a, low=low, high=high, answer=answer: (
                answer if low <= a - BASE < high else OKAY
            )
            bench.put(0, 3)
            await bench.arguments(3)
            await bench.write(kernel_map.CONTROL, START)
            await bench.until_done()
            assert await bench.shell("ERROR") == 1 << bit
            bench.memory.answer = lambda a: OKAY
            await bench.run(1, 3)
    # Memory that never answers: the timeout ends it once the bus is free again.
    await bench.write(kernel_map.SHELL + address("shell", "TIMEOUT"), 400)
    bench.memory.frozen = True
    await bench.arguments(3)
    await bench.write(kernel_map.CONTROL, START)
    await Timer(20, "us")
    assert await bench.read(kernel_map.CONTROL) == START
    assert await bench.shell("ERROR") == 1 << 2
    bench.memory.frozen = False
    await bench.until_done()
    await bench.run(0, 4)


@cocotb.test()
async def kernel_busy_host(dut):
    """The host reads the shell and writes the next arguments while a batch starts and runs."""
    bench = await Bench(dut, 7, stall=0.3, latency=2000).begin()  # outlasts what the host does
    for count in (3, 5, 8):
        bench.put(0, count)
        await bench.arguments(count)
        await bench.write(kernel_map.CONTROL, START)
        for _ in range(6):
            assert await bench.shell("ID") == register_map.ID
            assert await bench.shell("ERROR") == 0  # a word that would pass for "nothing is busy"
            await bench.write(kernel_map.SHELL + address("shell", "SCRATCH"), count)
        await bench.arguments(1, BASE + 8, BASE + 16)  # of a call to come
        await bench.until_done()
        assert await bench.shell("ERROR") == 0
        bench.check(0, count)


@cocotb.test()
async def ip_batches(dut):
    """Without ap_ctrl: the shell's own registers from offset 0 on, all else DECERR."""
    bench = await Bench(dut, 8, stall=0.3).begin()
    while await bench.shell("STATUS"):
        pass
    assert await bench.shell("ID") == register_map.ID
    assert (await bench.host.read(0xFFC, 4)).resp == AxiResp.DECERR
    assert (await bench.host.write(0xFFC, bytes(4))).resp == AxiResp.DECERR
    for count in (1, 6):
        bench.put(0, count)
        for block, start in (("odma0", BASE + TARGET), ("idma0", BASE)):
            await bench.write(address(block, "ADDRESS_LOW"), start)
            await bench.write(address(block, "BATCH"), count)
            await bench.write(address(block, "CONTROL"), 1)
        while not await bench.shell("CONTROL", "odma0") & DONE:
            pass
        assert await bench.shell("ERROR") == 0
        bench.check(0, count)
