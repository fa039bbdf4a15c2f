"""Compressor and adder trees of hw/rtl: their LUTs, their flip-flops, and how late the sum is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil

LUTS_A_BLOCK_RAM = 120
"""The XC7Z020 has 140 block RAMs of 36 kbit, and a design of 17 000 LUTs routes reliably."""

SPAN = 3  # levels of LUTs between registers in popcount.sv
SUM_SPAN = 1  # levels of adders between registers in signed_sum.sv


@dataclass(frozen=True)
class Area:
    """LUTs, flip-flops and block RAMs (of 36 kbit; half a one counts 0.5)."""

    lut: float = 0
    ff: float = 0
    bram36: float = 0

    def __add__(self, other: Area) -> Area:
        return Area(self.lut + other.lut, self.ff + other.ff, self.bram36 + other.bram36)

    @property
    def cost(self) -> float:
        """One number to choose by: LUTs, with block RAMs at the rate of the device."""
        return self.lut + LUTS_A_BLOCK_RAM * self.bram36


@cache
def compressor_tree(lanes: int, absorb: bool = False) -> tuple[Area, int]:
    """Area and latency of popcount.sv for so many lanes; a mirror of it and of compress.sv.

    absorb: the first level takes in weights of a few words. Two functions of the same five bits
    count as one LUT.
    """
    columns = lanes.bit_length()
    chains = lanes // 7 if lanes >= 12 and not absorb else 0
    by_threes = lanes - 4 * chains
    groups = ceil(by_threes / 3)
    carries = groups - (by_threes % 3 == 1)
    heights = [groups, carries + 2 * chains, *[0] * columns][:columns]
    luts, registers, latency = float(groups + carries + 2 * chains), 0, 0
    level = 3 if chains else 1
    while True:
        if level == SPAN or (max(heights) <= 2 and level + 2 > SPAN):
            registers, latency, level = registers + sum(heights), latency + 1, 0
        elif max(heights) <= 2:
            adder = columns - heights.index(2) - 1 if 2 in heights else 0
            return Area(luts + adder, registers + columns), latency + 1
        else:
            after, threes, last = [0] * (columns + 2), 0, max(heights) == 3
            for c, height in enumerate(heights):
                sixes = (height + 1) // 6
                # In the last level a column of two that gets a carry is compressed too.
                threes = int(height > 6 * sixes + 2 or (last and height == 2 and threes == 1))
                passed = max(0, height - 6 * sixes - 3 * threes)
                for up, made in enumerate((sixes + threes + passed, sixes + threes, sixes)):
                    after[c + up] += made
                luts += sixes * min(3, columns - c) + threes * 0.75 * min(2, columns - c)
            heights, level = after[:columns], level + 1


@cache
def adder_tree(lanes: int, in_bits: int) -> tuple[Area, int]:
    """Area and latency of signed_sum.sv; a mirror of it."""
    luts, registers, latency, nodes, level = 0.0, 0.0, 1, lanes, 0
    while nodes > 1:
        level += 1
        bits = in_bits + level + 1
        luts += (nodes // 2) * (bits + 1)
        nodes = ceil(nodes / 2)
        if level % SUM_SPAN == 0:
            registers, latency = registers + nodes * (bits + 1), latency + 1
    return Area(luts + in_bits + level + 2, registers + in_bits + level + 2), latency
