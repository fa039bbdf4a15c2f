"""Registers of the Zynq's processing system that PYNQ and the driver touch: clocks, resets, ports.

Addresses and fields as in UG585, appendix B; the clocks' values are those of the PYNQ-Z2's boot
image.
"""

from __future__ import annotations

SLCR, AFI0 = 0xF8000000, 0xF8008000
FPGA_RST_CTRL, LVL_SHFTR_EN = 0x240, 0x900
CLK_CTRL = (0x170, 0x180, 0x190, 0x1A0)
CRYSTAL_MHZ = 50.0
PLLS = {0: 0x108, 1: 0x108, 2: 0x100, 3: 0x104}  # SRCSEL -> register of the PLL: IO, IO, ARM, DDR
AFI_READ, AFI_WRITE = 0x00, 0x14
NARROW = 1

AT_BOOT = {
    0x100: 26 << 12,  # ARM PLL, 1300 MHz
    0x104: 21 << 12,  # DDR PLL, 1050 MHz
    0x108: 20 << 12,  # IO PLL, 1000 MHz
    0x120: 0x1F000200,  # processor: ARM PLL / 2
    0x170: 2 << 20 | 5 << 8,  # FCLK0 100 MHz
    0x180: 1 << 20 | 7 << 8,  # FCLK1 142.86 MHz
    0x190: 1 << 20 | 5 << 8,  # FCLK2 200 MHz
    0x1A0: 1 << 20 | 6 << 8,  # FCLK3 166.67 MHz
    FPGA_RST_CTRL: 0xF,
    LVL_SHFTR_EN: 0x0,
}


class Processor:
    """The registers as words by address."""

    def __init__(self) -> None:
        self._words = {SLCR + offset: value for offset, value in AT_BOOT.items()}

    @staticmethod
    def has(address: int) -> bool:
        return SLCR <= address < SLCR + 0x1000 or AFI0 <= address < AFI0 + 0x4000

    def read(self, address: int) -> int:
        return self._words.get(address, 0)

    def write(self, address: int, value: int) -> None:
        self._words[address] = value & 0xFFFFFFFF

    def clock_mhz(self, number: int = 0) -> float:
        """FCLKn; 0 where a divisor is 0: the clock stands still."""
        control = self.read(SLCR + CLK_CTRL[number])
        divisor = (control >> 8 & 63) * (control >> 20 & 63)
        pll = CRYSTAL_MHZ * (self.read(SLCR + PLLS[control >> 4 & 3]) >> 12 & 127)
        return pll / divisor if divisor else 0.0

    @property
    def out_of_reset(self) -> bool:
        """Whether FCLKRESETN[0] is released."""
        return not self.read(SLCR + FPGA_RST_CTRL) & 1

    @property
    def shifted(self) -> bool:
        """Whether the level shifters between processor and logic are on, both ways."""
        return self.read(SLCR + LVL_SHFTR_EN) & 0xF == 0xF

    def release(self) -> None:
        """As the kernel does after it has loaded a bitstream."""
        self.write(SLCR + LVL_SHFTR_EN, 0xF)
        self.write(SLCR + FPGA_RST_CTRL, 0)

    def hold(self) -> None:
        """As the kernel does before it."""
        self.write(SLCR + FPGA_RST_CTRL, 0xF)
        self.write(SLCR + LVL_SHFTR_EN, 0)

    @property
    def narrow(self) -> tuple[bool, bool]:
        """Whether HP0 reads, writes with 32 bits."""
        read, write = (bool(self.read(AFI0 + x) & NARROW) for x in (AFI_READ, AFI_WRITE))
        return read, write
