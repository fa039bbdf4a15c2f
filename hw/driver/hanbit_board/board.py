"""All that the driver asks of pynq, with calls that 3.0.1 and 3.1 have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import bitfile as bit
from .errors import BitstreamError, NoPynqError
from .register_map import BASE, BLOCKS

HP0 = 0xF8008000  # AXI_HP0's registers: its read side at 0x00, its write side at 0x14
HP0_SIDES = {"read": 0x00, "write": 0x14}
NARROW = 1  # bit 0: 32 bits instead of 64
SLCR = 0xF8000000  # system-level control registers
FPGA_RST_CTRL, LVL_SHFTR_EN = 0x240, 0x900
SHIFTERS = 0xF  # the level shifters of both directions


class Block(Protocol):
    """A range of registers: pynq's MMIO, or an instance of an Overlay."""

    def read(self, offset: int, /) -> int: ...
    def write(self, offset: int, value: int, /) -> None: ...


class Board:
    """A board with a bitstream. With a .hwh beside it an Overlay, else a Bitstream and MMIO."""

    def __init__(self, bitfile: Path, device: Any = None, through: str | None = None) -> None:
        try:
            import pynq
            from pynq.ps import Clocks
        except ImportError as error:
            raise NoPynqError(f"pynq cannot be imported: {error}") from error
        if not bitfile.is_file():
            raise FileNotFoundError(f"{bitfile}: no such bitstream")
        self._pynq, self._clocks = pynq, Clocks
        if device is not None and hasattr(Clocks, "set_device"):  # not in 3.0.1
            Clocks.set_device(device)
        self.bitfile, self.device = bitfile, device
        has_hwh = bitfile.with_suffix(".hwh").is_file()
        self.through = through or ("overlay" if has_hwh else "bitstream")
        if self.through not in ("overlay", "bitstream"):
            raise ValueError(f"through {through!r}; legal: 'overlay', 'bitstream'")
        self.overlay: Any = None

    def load(self, clock_mhz: float) -> None:
        """Load the bitstream; the clock follows the .hwh, or `clock_mhz` where none is read."""
        try:
            if self.through == "overlay":
                self.overlay = self._pynq.Overlay(str(self.bitfile), device=self.device)
            else:
                self._pynq.Bitstream(str(self.bitfile), device=self.device).download()
                self._clocks.fclk0_mhz = clock_mhz
        except (OSError, RuntimeError) as error:
            why = bit.flaw(self.bitfile) or error
            raise BitstreamError(f"{self.bitfile.name} is not loaded: {why}") from error

    def attach(self) -> None:
        """Take the bitstream for loaded already."""
        if self.through == "overlay":
            self.overlay = self._pynq.Overlay(str(self.bitfile), download=False, device=self.device)

    def blocks(self) -> dict[str, Block]:
        """The accelerator's registers."""
        if self.overlay is not None:
            return {name: getattr(self.overlay, name) for name in BLOCKS}
        return {
            name: self._pynq.MMIO(BASE + offset, size, device=self.device)
            for name, (offset, size) in BLOCKS.items()
        }

    def cut_off(self) -> bool:
        """Whether the processing system keeps the logic off, as it does where none is loaded."""
        slcr = self._pynq.MMIO(SLCR, 0x1000, device=self.device)
        shifters, resets = (slcr.read(x) for x in (LVL_SHFTR_EN, FPGA_RST_CTRL))
        return shifters & SHIFTERS != SHIFTERS or bool(resets & 1)

    def clock_mhz(self) -> float:
        """FCLK0 as the processing system is set; 0 where it is set to stand still."""
        try:
            return float(self._clocks.fclk0_mhz)
        except ZeroDivisionError:  # a divisor is 0
            return 0.0

    def narrow_sides(self) -> list[str]:
        """The sides of HP0 that are set to 32 bits."""
        port = self._pynq.MMIO(HP0, 0x20, device=self.device)
        return [side for side, offset in HP0_SIDES.items() if port.read(offset) & NARROW]

    def widen(self) -> None:
        """Set both sides of HP0 to 64 bits."""
        port = self._pynq.MMIO(HP0, 0x20, device=self.device)
        for offset in HP0_SIDES.values():
            port.write(offset, int(port.read(offset)) & ~NARROW)

    def allocate(self, size: int) -> Any:
        """`size` bytes of contiguous memory, cached: flush and invalidate are the caller's."""
        return self._pynq.allocate((size,), np.uint8, target=self.device, cacheable=1)
