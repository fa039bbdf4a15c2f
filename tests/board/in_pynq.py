"""Checks of the simulated board that need pynq; test_board.py runs this file in its environment.

    python in_pynq.py BITSTREAM BOARD

Prints a JSON object: the name of each check below -> null, or what went wrong.
"""

from __future__ import annotations

import gc
import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pynq
from hanbit_board import Accelerator, errors
from hanbit_board.register_map import BASE, ID, REGISTERS
from pynq.ps import Clocks

from flow.board import device as board
from flow.board.errors import BusError, LoadError, ProcessorHangs, RuleBroken

BITSTREAM, BOARD = (Path(x) for x in sys.argv[1:3])
BIT = str(BITSTREAM / "design.bit")
CYCLES = REGISTERS["shell"]["CYCLES"][0]
CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS.append(function)
    return function


def fresh() -> board.SimulatedDevice:
    return board.SimulatedDevice(BOARD).activate()


def raises(kind: type[Exception], call: Callable[[], Any], text: str = "") -> None:
    try:
        call()
    except kind as error:
        assert text in str(error), str(error)
    else:
        raise AssertionError(f"no {kind.__name__}")


@check
def it_says_that_it_is_simulated() -> None:
    device = fresh()
    assert pynq.Device.active_device is device and "simulated" in device.name


@check
def an_overlay_has_metadata_and_register_maps() -> None:
    device = fresh()
    overlay = pynq.Overlay(BIT)
    assert overlay.is_loaded() and device.bitfile_name == BIT
    assert {"shell", "idma0", "odma0"} <= set(overlay.ip_dict)
    assert int(overlay.shell.register_map.ID) == ID
    overlay.shell.register_map.SCRATCH = 0x600DCAFE
    assert overlay.shell.read(REGISTERS["shell"]["SCRATCH"][0]) == 0x600DCAFE
    assert overlay.odma0.register_map.CONTROL.IDLE == 1
    assert overlay.idma0.mmio.base_addr == BASE + 0x100
    assert Clocks.fclk0_mhz == 100.0


@check
def a_bitstream_needs_no_hwh() -> None:
    fresh()
    pynq.Bitstream(BIT).download()
    assert pynq.MMIO(BASE, 0x100).read(0) == ID


@check
def clocks_are_those_of_the_board() -> None:
    device = fresh()
    assert [round(x) for x in (Clocks.fclk1_mhz, Clocks.fclk2_mhz, Clocks.fclk3_mhz)] == [
        143, 200, 167,
    ]  # fmt: skip
    assert Clocks.cpu_mhz == 650.0
    Clocks.fclk0_mhz = 50
    assert Clocks.fclk0_mhz == device.processor.clock_mhz() == 50.0


@check
def latency_of_memory_is_time_not_cycles() -> None:
    """At half the clock, half the cycles until the first data."""
    device = fresh()
    runs = {}
    with Accelerator(BIT) as net:
        for clock in (100, 50):
            Clocks.fclk0_mhz = clock
            runs[clock] = [net._run(net.allocate(1), 1)[0].run for _ in range(20)]
    latency = board.READ_NS // 20 + board.WRITE_NS // 20
    assert abs(np.mean(runs[100]) - np.mean(runs[50]) - latency) < 6, runs
    assert device.cycle > 0


@check
def time_passes_with_accesses_only() -> None:
    device = fresh()
    pynq.Overlay(BIT)
    shell = pynq.MMIO(BASE, 0x100)
    first = shell.read(CYCLES), device.cycle
    device.run(12_345)
    second = shell.read(CYCLES), device.cycle
    assert second[0] - first[0] == second[1] - first[1]
    assert 12_345 + board.ACCESS_CYCLES <= second[1] - first[1] <= 12_345 + board.ACCESS_CYCLES + 40
    for _ in range(board.WAITING):
        shell.read(0)
    before = device.cycle
    shell.read(0)
    assert device.cycle - before >= board.POLL_CYCLES
    shell.write(REGISTERS["shell"]["SCRATCH"][0], 1)
    before = device.cycle
    shell.read(0)
    assert device.cycle - before < 2 * board.ACCESS_CYCLES


@check
def where_nothing_answers_the_processor_hangs() -> None:
    device = fresh()
    raises(ProcessorHangs, lambda: pynq.MMIO(BASE, 4).read(0), "no bitstream is loaded")
    raises(ProcessorHangs, lambda: pynq.Overlay(BIT), "no bitstream is loaded")  # it hangs still
    for address, value, why in (
        (0xF8000900, 0, "level shifters"),
        (0xF8000240, 1, "held in reset"),
        (0xF8000170, 0, "FCLK0 stands still"),
    ):
        device.power_cycle()
        pynq.Overlay(BIT)
        pynq.MMIO(address, 4).write(0, value)
        raises(ProcessorHangs, lambda: pynq.MMIO(BASE, 4).read(0), why)
    device.power_cycle()
    pynq.Overlay(BIT)
    raises(ProcessorHangs, lambda: pynq.MMIO(0x80000000, 4).read(0), "M_AXI_GP1")


@check
def outside_of_the_map_is_a_bus_error() -> None:
    fresh()
    pynq.Overlay(BIT)
    raises(BusError, lambda: pynq.MMIO(0x40000000, 4).read(0), "DECERR")
    raises(BusError, lambda: pynq.MMIO(BASE, 0x1000).write(0x300, 1), "DECERR")
    raises(BusError, lambda: pynq.MMIO(0xE0000000, 4).read(0), "nothing of this board")
    assert pynq.MMIO(BASE, 4).read(0) == ID


@check
def cache_and_memory_are_apart() -> None:
    device = fresh()
    buffer = pynq.allocate((100,), np.uint8, cacheable=1)
    dram = device.memory.data[buffer.device_address - device.memory.base :][:100]
    buffer[:] = 7
    assert (dram != 7).any()
    buffer[10:20].flush()  # the line it lies in, 32 bytes
    assert (dram[:32] == 7).all() and (dram[32:] != 7).any()
    buffer.flush()
    assert (dram == 7).all()
    dram[:] = 9
    assert (buffer == 7).all()
    buffer.flush()  # nothing was changed: nothing is written back
    assert (dram == 9).all()
    buffer[50:60].invalidate()
    assert (buffer[32:64] == 9).all() and (buffer[:32] == 7).all()
    buffer[70] = 1  # never flushed: evicted over what the accelerator wrote
    dram[64:96] = 5
    buffer.invalidate()
    assert list(buffer[64:72]) == [7, 7, 7, 7, 7, 7, 1, 7] == list(dram[64:72])


@check
def memory_that_is_not_cached_is_memory() -> None:
    device = fresh()
    buffer = pynq.allocate(16, "u4")
    buffer[3] = 0x01020304
    at = buffer.device_address - device.memory.base
    assert bytes(device.memory.data[at + 12 : at + 16]) == b"\4\3\2\1"


@check
def buffers_are_given_back() -> None:
    device = fresh()
    first = pynq.allocate(5000, np.uint8)
    second = pynq.allocate((2, 3), np.uint16)
    places = first.device_address, second.device_address
    assert places[1] >= places[0] + 5000 and second.nbytes == 12
    first.freebuffer()
    first.freebuffer()
    assert first.freed
    assert pynq.allocate(8192, np.uint8).device_address == places[0]
    with second:
        pass
    del second
    gc.collect()
    raises(MemoryError, lambda: pynq.allocate(device.memory.size + 1, np.uint8))
    assert not device.buffers.regions
    whole = pynq.allocate(device.memory.size, np.uint8)
    assert whole.device_address == device.memory.base
    whole.freebuffer()


@check
def memory_that_is_no_buffer_s_is_not_touched() -> None:
    fresh()
    net = Accelerator(BIT)
    buffers = net.allocate(1)
    address = buffers.output.device_address
    buffers.output.freebuffer()
    starts = {"odma0": (address, 1), "idma0": (buffers.input.device_address, 1)}
    raises(RuleBroken, lambda: net._shell.run(starts, 10_000), "which no buffer holds")
    for address, kind in ((0x01000000, RuleBroken), (0x60000000, errors.ReadError)):
        fresh()
        net = Accelerator(BIT)
        buffers = net.allocate(1)
        starts = {"odma0": (buffers.output.device_address, 1), "idma0": (address, 1)}
        raises(kind, partial(net._shell.run, starts, 10_000))


@check
def other_bitstreams_are_not_taken() -> None:
    device = fresh()
    pynq.Overlay(BIT)
    body = Path(BIT).read_bytes()
    other = BITSTREAM / "other.bit"
    for spoilt, why in (
        (body.replace(b"7z020", b"7z045"), "for xc7z045clg400-1"),
        (body.replace(b"\x03\x72\x70\x93", b"\x03\x73\x10\x93"), "IDCODE is 0x03731093"),
        (body[:-4], "bytes of payload"),
        (body[:20], "not a whole .bit file"),
        (body.replace(b"\xaa\x99\x55\x66", b"\0\0\0\0"), "sync"),
        (body[:-1] + bytes([body[-1] ^ 1]), "damaged"),
    ):
        other.write_bytes(spoilt)
        raises(LoadError, lambda: pynq.Bitstream(str(other)).download(), why)
    other.unlink()
    assert pynq.MMIO(BASE, 4).read(0) == ID and device.bitfile_name == BIT
    raises(LoadError, lambda: pynq.Bitstream(str(BITSTREAM / "design.json")).download())


@check
def a_port_of_32_bits_gives_other_data() -> None:
    device = fresh()
    net = Accelerator(BIT)
    assert net.memory_test()["read_correct"]
    device.write_registers(0xF8008000, b"\1\0\0\0")
    assert not net.memory_test()["read_correct"]
    device.write_registers(0xF8008000, bytes(4))
    device.write_registers(0xF8008014, b"\1\0\0\0")
    report = net.memory_test()
    assert report["read_correct"] and report["wrong_bytes"] > 0


@check
def the_port_is_filled() -> None:
    """Reading without the core: bytes a cycle between the first word and the last, of 8."""
    device = fresh()
    net = Accelerator(BIT)
    before = device.stats()["read_beats"]
    report = net.memory_test(4000)
    words = report["bytes"] // 8
    assert device.stats()["read_beats"] - before == 2 * words
    assert words / report["read[cycles]"] > 0.9, report


@check
def loading_anew_is_a_power_up() -> None:
    device = fresh()
    net = Accelerator(BIT)
    scratch = REGISTERS["shell"]["SCRATCH"][0]
    net._board.blocks()["shell"].write(scratch, 5)
    net.reload()
    assert net._board.blocks()["shell"].read(scratch) == 0
    assert net.validate()["mismatches"] == 0
    assert device.cycle < 100_000


def main() -> None:
    found: dict[str, str | None] = {}
    for function in CHECKS:
        try:
            function()
            found[function.__name__] = None
        except Exception:
            found[function.__name__] = traceback.format_exc()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
