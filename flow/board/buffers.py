"""Contiguous memory of the simulated board, with the processor's cache apart from DRAM.

A cached buffer's bytes are what the processor sees; DRAM is what the accelerator sees. `flush`
writes lines back that the program changed; `invalidate` takes DRAM's. Lines that were changed and
not flushed are evicted at the worst moment, over what the accelerator wrote. Lines are of 32 bytes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from flow.board.model import Memory

LINE = 32  # bytes, of the Cortex-A9
PAGE = 4096


@dataclass(eq=False)
class Region:
    """A buffer's memory. `cache` is None where it is not cached."""

    address: int
    size: int  # bytes, whole pages
    dram: np.ndarray
    cache: np.ndarray | None
    clean: np.ndarray | None = field(init=False)  # the cache when it last was as DRAM

    def __post_init__(self) -> None:
        self.clean = None if self.cache is None else self.cache.copy()
        if self.cache is not None:  # nothing of it was flushed: DRAM has what others left there
            noise = np.random.default_rng(self.address)
            self.dram[:] = noise.integers(0, 256, self.size, np.uint8)
            self.clean = ~self.cache

    def write_back(self, start: int, stop: int) -> None:
        """Changed lines to DRAM."""
        if self.cache is None or self.clean is None:
            return
        part = slice(start // LINE * LINE, -(-stop // LINE) * LINE)
        now, before, dram = (x[part].reshape(-1, LINE) for x in (self.cache, self.clean, self.dram))
        changed = (now != before).any(axis=1)
        dram[changed] = now[changed]
        before[changed] = now[changed]

    def take(self, start: int, stop: int) -> None:
        """DRAM to the cache."""
        if self.cache is None or self.clean is None:
            return
        self.write_back(start, stop)
        part = slice(start // LINE * LINE, -(-stop // LINE) * LINE)
        self.cache[part] = self.clean[part] = self.dram[part]


class Allocator:
    """First fit over all of a memory, in pages, an unused one between two regions."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._regions: list[Region] = []
        self._lock = threading.Lock()

    @property
    def regions(self) -> list[Region]:
        return list(self._regions)

    def allocate(self, size: int, cached: bool) -> Region:
        """At least `size` bytes; MemoryError where no gap is large enough."""
        size = max(1, -(-size // PAGE)) * PAGE
        base = self._memory.base
        with self._lock:
            ends = [r.address for r in self._regions] + [base + self._memory.size]
            starts = [base] + [r.address + r.size + PAGE for r in self._regions]
            fits = (i for i, (a, b) in enumerate(zip(starts, ends, strict=True)) if a + size <= b)
            place = next(fits, None)
            if place is None:
                raise MemoryError(f"no {size} bytes of contiguous memory are left")
            at = starts[place]
            dram = self._memory.data[at - base :][:size]
            dram[:] = 0
            region = Region(at, size, dram, np.zeros(size, np.uint8) if cached else None)
            self._regions.insert(place, region)
            return region

    def free(self, region: Region) -> None:
        with self._lock:
            self._regions = [r for r in self._regions if r is not region]
