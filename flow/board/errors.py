"""What the simulated board raises where a real one would not go on."""

from __future__ import annotations

FOR_EVER = "a real processor hangs here until it is switched off"


class BoardError(RuntimeError):
    """The base of all."""


class ProcessorHangs(BoardError):
    """The real processor would stand still for ever: nothing answers an access of its bus."""


class BusError(BoardError):
    """The real program would get SIGBUS: an access was answered with an error."""


class RuleBroken(BoardError):
    """The programmable logic broke a rule of its bus, or touched memory that is no buffer's.

    On a real board this goes unseen at first and destroys what other programs hold.
    """


class LoadError(OSError):
    """The real device would not take the bitstream."""
