"""A PYNQ-Z2 for unmodified pynq, whose programmable logic is simulated cycle by cycle.

    from flow.board.device import SimulatedDevice
    SimulatedDevice("build/mlp-digits/board").activate()
    net = Accelerator("design.bit")  # pynq.Overlay, MMIO, allocate, Clocks as on the board

As on the board are: registers over M_AXI_GP0, memory over S_AXI_HP0 with latency and refreshes, the
processor's cache apart from DRAM, the clocks, what a bitstream must be to be taken. Time is cycles
of FCLK0. They pass while a register is read or written, and ACCESS_CYCLES after it; where a program
only reads, it is waiting, and POLL_CYCLES pass. The host's time never counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pynq.ps
from pynq.buffer import PynqBuffer
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata

from flow.bits import bitfile
from flow.board import model
from flow.board.buffers import Allocator, Region
from flow.board.errors import FOR_EVER, BoardError, BusError, LoadError, ProcessorHangs
from flow.board.model import FACTS, Memory, Model
from flow.board.processor import Processor
from flow.errors import UserError

NAME = "Pynq-Z2 (simulated board)"
ARCH = "armv7l"
DRAM_BASE, DRAM_SIZE = 0x10000000, 2**27  # what Linux keeps for contiguous buffers
GP0, GP1, GP_END = 0x40000000, 0x80000000, 0xC0000000
ACCESS_CYCLES = 100  # the program's own time beside each access: 1 us
WAITING = 32  # reads in a row, without a write, after which a program counts as waiting
POLL_CYCLES = 2000  # between two reads of such a program: 20 us
READ_NS, WRITE_NS, REFRESH_NS = 400, 200, 7800  # of DDR3 behind HP0
PART, IDCODE = "7z020clg400", 0x03727093
IDCODE_WRITE = bytes.fromhex("30018001")  # packet of the configuration logic: the next word


class SimulatedDevice(Device):
    """The board with one bitstream that it can simulate, or several.

    folders: each as `flow.board.prepare` leaves it.
    """

    def __init__(self, *folders: str | Path) -> None:
        super().__init__("simulated_board")
        self.name, self.arch = NAME, ARCH
        self.capabilities = {"REGISTER_RW": True, "MEMORY_MAPPED": False, "CALLABLE": False}
        self.bitfile_name: str | None = None
        self.timestamp: str | None = None
        self.clear_dict()
        self._models = dict(_facts(Path(folder).resolve()) for folder in folders)
        self.memory = Memory(DRAM_BASE, DRAM_SIZE)
        self.buffers = Allocator(self.memory)
        self.processor = Processor()
        self.model: Model | None = None
        self.forgets: set[str] = set()  # "flush", "invalidate": calls that do nothing, a fault
        self._hung: ProcessorHangs | None = None
        self._reads = 0
        self._lock = threading.RLock()

    def activate(self) -> SimulatedDevice:
        """Make it the board that pynq finds, and its clocks pynq's."""
        Device.active_device = self
        pynq.ps.CPU_ARCH = ARCH  # pynq 3.0.1 looks here
        if hasattr(pynq.ps.Clocks, "set_device"):
            pynq.ps.Clocks.set_device(self)
        if "_real_instance" in vars(pynq.ps.Clocks):
            del pynq.ps.Clocks._real_instance
        return self

    # --- bitstreams ---------------------------------------------------------------------------

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """What the .hwh says, as a board's pynq reads it."""
        hwh = Path(bitfile_name).with_suffix(".hwh")
        if not hwh.is_file():
            raise RuntimeError("Unable to find metadata for bitstream")
        parser = RuntimeMetadataParser(Metadata(input=hwh))
        parser.refresh_hierarchy_dict()
        return parser

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Check the bitstream, then start its model from power-up, as the kernel leaves it."""
        with self._lock:
            self._standing()
            folder = self._folder_of(Path(bitstream.bitfile_name))
            self.processor.hold()
            if self.model:
                self.model.close()
            self.model = Model(folder, self.memory)
            for region in self.buffers.regions:
                self.model.request(model.ALLOW, region.address, region.size)
            self.model.request(model.RESET, 0)
            self.processor.release()
            self._apply()
            if parser is None:
                nothing = ("ip", "gpio", "hierarchy", "mem")
                parser = types.SimpleNamespace(
                    **{f"{name}_dict": {} for name in nothing},
                    interrupt_controllers={},
                    interrupt_pins={},
                )
            self.post_download(bitstream, parser, self.name)

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """Metadata is not kept between programs here."""

    def _folder_of(self, path: Path) -> Path:
        """The folder that simulates a .bit; LoadError where a real device would not take it."""
        try:
            found = bitfile.read(path)
        except UserError as error:
            raise LoadError(str(error)) from error
        part = found.part.removeprefix("xc").removesuffix("-1")
        if part != PART:
            raise LoadError(f"for {found.part}, this board has an {PART}")
        at = found.payload.find(IDCODE_WRITE)
        idcode = int.from_bytes(found.payload[at + 4 : at + 8], "big") & 0x0FFFFFFF
        if at < 0 or idcode != IDCODE:
            raise LoadError(f"IDCODE is 0x{idcode:08X}, this board's is 0x{IDCODE:08X}")
        digest = hashlib.sha256(found.payload).hexdigest()
        if digest not in self._models:
            raise LoadError("damaged, or not a bitstream that this simulated board holds")
        return self._models[digest]

    def power_cycle(self) -> None:
        """Off and on again: no bitstream, registers as at boot. Buffers stay."""
        with self._lock:
            if self.model:
                self.model.close()
            self.model, self._hung = None, None
            self.processor = Processor()

    # --- registers ----------------------------------------------------------------------------

    def read_registers(self, address: int, length: int) -> bytes:
        """As the processor reads them; see flow.board.errors for what may come of it."""
        with self._lock:
            self._reads += 1
            if self.processor.has(address):
                words = (self.processor.read(address + x) for x in range(0, length, 4))
                return struct.pack(f"<{length // 4}I", *words)
            return self._access(self._logic(address, "read").read, address, length)

    def write_registers(self, address: int, data: Any) -> None:
        """As the processor writes them."""
        with self._lock:
            self._reads = 0
            data = bytes(data)
            if self.processor.has(address):
                for offset in range(0, len(data), 4):
                    word = int.from_bytes(data[offset : offset + 4], "little")
                    self.processor.write(address + offset, word)
                self._apply()
                return
            self._access(self._logic(address, "write").write, address, data)

    def run(self, cycles: int) -> None:
        """Let cycles pass, as while the processor does something else."""
        with self._lock:
            self._logic(GP0, "run").request(model.RUN, cycles)

    def _access(self, call: Callable[[int, Any, int], Any], address: int, what: Any) -> Any:
        try:
            return call(address, what, POLL_CYCLES if self._reads > WAITING else ACCESS_CYCLES)
        except ProcessorHangs as error:
            self._hung = error
            raise

    def _standing(self) -> None:
        if self._hung:
            raise self._hung

    def _logic(self, address: int, what: str) -> Model:
        """The model, where it can answer at `address`."""
        self._standing()
        if not GP0 <= address < GP_END:
            raise BusError(f"{what} of 0x{address:08X}: nothing of this board is there")
        why = None
        if address >= GP1:
            why = "M_AXI_GP1 is not connected"
        elif self.model is None:
            why = "no bitstream is loaded"
        elif not self.processor.shifted:
            why = "the level shifters are off"
        elif not self.processor.clock_mhz():
            why = "FCLK0 stands still"
        elif not self.processor.out_of_reset:
            why = "the logic is held in reset"
        if why or self.model is None:
            self._hung = ProcessorHangs(f"{what} of 0x{address:08X}: {why}; {FOR_EVER}")
            raise self._hung
        return self.model

    def _apply(self) -> None:
        """The processing system's settings to the model."""
        mhz = self.processor.clock_mhz()
        if self.model is None or not mhz:
            return
        read, write, refresh = (
            max(1, round(ns * mhz / 1000)) for ns in (READ_NS, WRITE_NS, REFRESH_NS)
        )
        self.model.request(model.TIMING, read, write, refresh)
        self.model.request(model.WIDTH, *self.processor.narrow)
        self.model.request(model.RESET, int(self.processor.out_of_reset))

    # --- memory -------------------------------------------------------------------------------

    def allocate(self, shape: Any, dtype: Any = "u4", cacheable: int = 0, **_: Any) -> PynqBuffer:
        """As pynq.allocate; without `cacheable` the processor's writes go straight to DRAM."""
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        region = self.buffers.allocate(size, bool(cacheable))
        with self._lock:
            if self.model:
                self.model.request(model.ALLOW, region.address, region.size)
        seen = region.dram if region.cache is None else region.cache
        buffer = PynqBuffer(
            shape,
            dtype,
            buffer=seen[:size].data,
            device=self,
            bo=region,
            coherent=False,
            device_address=region.address,
        )
        buffer.memory = self
        buffer.pointer, buffer.return_to = (region, weakref.ref(buffer)), self
        return buffer

    def return_pointer(self, pointer: tuple[Region, weakref.ref[PynqBuffer]]) -> None:
        """A buffer was freed."""
        region, holder = pointer
        if (buffer := holder()) is not None:
            buffer.freed = True  # else pynq frees it again when it is collected
        self.buffers.free(region)
        with self._lock:
            if self.model:
                with contextlib.suppress(BoardError):  # it stands already; the next access says why
                    self.model.request(model.FORBID, region.address)

    def flush(self, bo: Region, offset: int, vaddr: int, nbytes: int) -> None:
        if "flush" not in self.forgets:
            bo.write_back(offset, offset + nbytes)

    def invalidate(self, bo: Region, offset: int, vaddr: int, nbytes: int) -> None:
        if "invalidate" not in self.forgets:
            bo.take(offset, offset + nbytes)

    # --- faults -------------------------------------------------------------------------------

    def fail_reads(self, low: int = 0, high: int = 2**32 - 1, answer: int = model.SLVERR) -> None:
        """From now on memory answers reads of low .. high-1 with an error, until `heal`."""
        self._fault(model.READS, low, high, answer)

    def fail_writes(self, low: int = 0, high: int = 2**32 - 1, answer: int = model.SLVERR) -> None:
        """Alike for writes."""
        self._fault(model.WRITES, low, high, answer)

    def stall_memory(self) -> None:
        """From now on memory answers nothing."""
        self._fault(model.MEMORY_DEAD)

    def stall_registers(self) -> None:
        """From now on the logic does not answer the processor."""
        self._fault(model.REGISTERS_DEAD)

    def heal(self) -> None:
        """No fault any more."""
        self.forgets.clear()
        self._fault(model.NO_FAULT)

    def _fault(self, kind: int, low: int = 0, high: int = 0, answer: int = model.SLVERR) -> None:
        with self._lock:
            if self.model is None:
                raise BoardError("no bitstream is loaded")
            self.model.request(model.ANSWER, answer)
            self.model.request(model.FAULT, kind, low, high)

    # --- what can be seen from outside --------------------------------------------------------

    @property
    def cycle(self) -> int:
        """Cycles of FCLK0 since the bitstream was loaded."""
        return self.model.cycle if self.model else 0

    def stats(self) -> dict[str, int]:
        """See flow.board.model.Model.stats."""
        with self._lock:
            if self.model is None:
                raise BoardError("no bitstream is loaded")
            return self.model.stats()


def _facts(folder: Path) -> tuple[str, Path]:
    """Hash of the payload that a prepared folder simulates."""
    try:
        return json.loads((folder / FACTS).read_text())["payload_sha256"], folder
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no simulated board; make it with flow.board.prepare") from error
