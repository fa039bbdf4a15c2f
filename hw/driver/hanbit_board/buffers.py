"""Contiguous memory for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import FreedBufferError


@dataclass
class Buffers:
    """pynq's buffers for `images` images and their results."""

    input: Any
    output: Any
    images: int

    def free(self) -> None:
        """Give the memory back; no run may follow."""
        for buffer in (self.input, self.output):
            buffer.freebuffer()

    def check(self) -> None:
        """Raise FreedBufferError where one of them was freed."""
        for name in ("input", "output"):
            buffer = getattr(self, name)
            if getattr(buffer, "freed", False) or getattr(buffer, "pointer", None) == 0:
                raise FreedBufferError(f"the buffer for the {name} was freed")
