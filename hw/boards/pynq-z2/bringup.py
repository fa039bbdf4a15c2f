"""Bring-up on the PYNQ-Z2: each step says OK, or what to check; the first failure ends it.

    sudo bash -lc 'python3 bringup.py'               # the five steps
    sudo bash -lc 'python3 bringup.py --validate'    # and all test images; writes validation.json

A step's name stands there before it begins: if the board stops answering, that step did it.
Python 3.10, NumPy, pynq and the driver beside this file; nothing else.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True  # as root it would leave files that the user cannot replace

from hanbit_board import Accelerator, AcceleratorError, Description  # noqa: E402
from hanbit_board.board import Board  # noqa: E402
from hanbit_board.port_test import checksum  # noqa: E402
from hanbit_board.register_map import ID  # noqa: E402
from hanbit_board.shell import COPY, DROP, Shell  # noqa: E402

BITFILE = HERE / "design.bit"
VALIDATION = HERE / "validation.json"
IMAGES = 64  # that the tests of the memory port read
TIMEOUT = 1_000_000  # cycles without any movement
PATTERNS = (0, 0xFFFFFFFF, 0xA5A5A5A5, 0x5A5A5A5A, *(1 << bit for bit in range(32)))


class Failed(Exception):
    """A step found something wrong; the message says what."""


class BringUp:
    """The steps, in order. Each returns what to print behind OK."""

    def __init__(self) -> None:
        self.wanted = Description.beside(BITFILE)
        self.report: dict[str, Any] = {"network": self.wanted.name}

    def load(self) -> str:
        self.board = Board(BITFILE, through="bitstream")
        import pynq

        self.simulated = "simulated" in pynq.Device.active_device.name
        self.report["device"] = "simulated board" if self.simulated else "board"
        self.board.load(self.wanted.clock_mhz)
        if self.board.cut_off():
            raise Failed("the logic is cut off: level shifters or resets (0xF8000900, 0xF8000240)")
        clock = self.board.clock_mhz()
        if abs(clock - self.wanted.clock_mhz) > 0.01 * self.wanted.clock_mhz:
            raise Failed(f"FCLK0 is {clock:g} MHz, not {self.wanted.clock_mhz:g}")
        self.shell = Shell(self.board.blocks())
        found, build = (self.shell.read("shell", name) for name in ("ID", "BUILD"))
        if found != ID:
            raise Failed(f"ID reads 0x{found:08X}, not 0x{ID:08X}")
        if build != self.wanted.build:
            raise Failed(f"BUILD reads 0x{build:08X}, design.json says 0x{self.wanted.build:08X}")
        self.report |= {"build": f"0x{build:08X}", "clock_mhz": clock}
        return f"ID 0x{found:08X}, build 0x{build:08X}, {clock:g} MHz; LED 0 must blink now"

    def registers(self) -> str:
        shell = self.shell
        shell.ready()
        places = [("shell", "SCRATCH"), ("idma0", "ADDRESS_LOW"), ("odma0", "ADDRESS_LOW")]
        for value in PATTERNS:
            for block, name in places:
                shell.write(block, name, value)
                if (found := shell.read(block, name)) != value:
                    raise Failed(f"{block}.{name} reads 0x{found:08X} after 0x{value:08X}")
        words = shell.fields("shell", "INPUT")["WORDS"]
        if words != self.wanted.images.words:
            raise Failed(f"INPUT says {words} words an image, not {self.wanted.images.words}")
        start, begun = time.monotonic(), shell.read("shell", "CYCLES")
        time.sleep(0.2)
        cycles = shell.read("shell", "CYCLES") - begun & 0xFFFFFFFF
        seconds = time.monotonic() - start
        if not cycles:
            raise Failed("CYCLES stands still")
        said = f"{len(PATTERNS)} patterns in {len(places)} registers"
        if self.simulated:  # its clock has nothing to do with the host's
            return said
        measured = 1e-6 * cycles / seconds
        if abs(measured - self.wanted.clock_mhz) > 0.1 * self.wanted.clock_mhz:
            raise Failed(f"CYCLES counts at {measured:.1f} MHz, not {self.wanted.clock_mhz:g}")
        return f"{said}, CYCLES counts at {measured:.1f} MHz"

    def read(self) -> str:
        if narrow := self.board.narrow_sides():
            self.board.widen()
            if self.board.narrow_sides():
                raise Failed(f"HP0 stays set to 32 bits ({' and '.join(narrow)})")
        size = IMAGES * self.wanted.images.bytes
        self.source, self.target = self.board.allocate(size), self.board.allocate(size)
        self.data = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        self.source[:] = self.data
        self.source.flush()
        self.shell.write("shell", "TIMEOUT", TIMEOUT)
        starts = {"idma0": (self.source.device_address, IMAGES)}
        cycles = self.shell.run(starts, self._cycles(size), route=DROP).run
        found, wanted = self.shell.read("shell", "CHECKSUM"), checksum(self.data.view("<u8"))
        if found != wanted:
            raise Failed(f"CHECKSUM of {size} bytes is 0x{found:08X}, not 0x{wanted:08X}")
        said = f"{size} bytes in {cycles} cycles, {size / cycles:.2f} bytes a cycle of 8"
        return said + (", HP0 was set to 32 bits and is now 64" if narrow else "")

    def write(self) -> str:
        result = self.wanted.results.bytes
        results = self.source.nbytes // result // 2  # the other half must stay as it is
        size = results * result
        self.target[:] = 0
        self.target.flush()
        starts = {
            "odma0": (self.target.device_address, results),
            "idma0": (self.source.device_address, IMAGES),
        }
        try:
            self.shell.run(starts, self._cycles(self.source.nbytes), route=COPY)
        finally:
            self.shell.reset()  # of what was read and not written
        self.target.invalidate()
        found = np.asarray(self.target)
        if wrong := int((found[:size] != self.data[:size]).sum()):
            first = int((found[:size] != self.data[:size]).argmax())
            raise Failed(f"{wrong} of {size} bytes are wrong, the first at {first}")
        if found[size:].any():
            raise Failed("bytes behind the end were written")
        for buffer in (self.source, self.target):
            buffer.freebuffer()
        return f"{size} bytes"

    def selftest(self) -> str:
        with Accelerator(BITFILE, through="bitstream") as net:  # the clock is design.json's
            found = net.validate()
        if found["mismatches"]:
            raise Failed(
                f"{found['mismatches']} of {found['images']} images differ from the model, "
                f"the first is {found['first_mismatch']}"
            )
        return f"{found['images']} images, 0 mismatches"

    def validate(self) -> str:
        with np.load(HERE / "test_images.npz") as test, Accelerator(BITFILE) as net:
            found = net.validate(test["images"], test["results"], test["labels"])
            most = max(1, min(1000, 200_000 // max(net.description.interval, 1)))
            speed = net.throughput_test(1000 if not self.simulated else most)
        found["accuracy"] *= 100
        self.report |= found
        keys = ("batch_size", "throughput[images/s]", "latency[ms]", "run[cycles]")
        self.report["throughput_test"] = {key: speed[key] for key in keys}
        if found["mismatches"]:
            raise Failed(
                f"{found['mismatches']} of {found['images']} images differ from the model, "
                f"the first is {found['first_mismatch']}"
            )
        return (
            f"{found['images']} images, 0 mismatches, {found['accuracy']:.2f} % right, "
            f"{speed['throughput[images/s]']:,.0f} images/s (cycles / clock)"
        )

    @staticmethod
    def _cycles(size: int) -> int:
        """More than any batch of so many bytes takes."""
        return 100 * size + 2 * TIMEOUT


CHECKS = {
    "load": "that this runs as root in the board's own Python (sudo bash -lc '...'), that DONE is "
    "lit, that all files are of one archive; LEDs 1 to 3 must be dark",
    "registers": "that no other program uses the programmable logic; if CYCLES is wrong, FCLK0",
    "read": "AXI_HP0's width (0xF8008000) and the level shifters (0xF8000900 must be 0xF); a wrong "
    "checksum of the right length is stale DRAM: flushing",
    "write": "AXI_HP0's width on the write side (0xF8008014); LED 3 lit is an error of the bus",
    "selftest": "steps 3 and 4 after a fresh power-up; if they pass and this does not, timing: "
    'set "clock_mhz" in design.json to 50 and try again',
    "validate": "whether the same images fail each time; if not, timing or supply",
}
NAMES = {
    "load": "bitstream, clock, ID, LED",
    "registers": "registers written and read back",
    "read": "memory read through HP0, checksum",
    "write": "memory written through HP0",
    "selftest": "self-test of the accelerator",
    "validate": "all test images",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true", help=f"then write {VALIDATION.name}")
    options = parser.parse_args(arguments)
    VALIDATION.unlink(missing_ok=True)
    steps = BringUp()
    wanted = [name for name in NAMES if name != "validate" or options.validate]
    for number, name in enumerate(wanted, 1):
        print(f"{number} {NAMES[name]} ... ", end="", flush=True)
        step: Callable[[], str] = getattr(steps, name)
        try:
            said = step()
        except (AcceleratorError, Failed, OSError, RuntimeError, ValueError) as error:
            print(f"FAILED\n  {error}\n  check {CHECKS[name]}")
            return 1
        print(f"OK: {said}", flush=True)
    if options.validate:
        part = VALIDATION.with_suffix(".part")
        part.write_text(json.dumps(steps.report, indent=1) + "\n")
        part.replace(VALIDATION)
    print(f"all {len(wanted)} steps passed on the {steps.report['device']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
