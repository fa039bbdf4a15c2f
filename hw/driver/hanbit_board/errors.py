"""What can go wrong, one class a fault. After any of the run-time faults a next call may follow."""

from __future__ import annotations


class AcceleratorError(Exception):
    """The base of all."""


# On opening.


class DescriptionError(AcceleratorError):
    """The .json beside the .bit is missing, or says what this driver does not know."""


class NoPynqError(AcceleratorError):
    """pynq, or a part of it, is not installed here."""


class BitstreamError(AcceleratorError):
    """The bitstream is damaged, or for another device: the board did not take it."""


class NotLoadedError(AcceleratorError):
    """The programmable logic is cut off from the processor: no bitstream is loaded."""


class PortWidthError(AcceleratorError):
    """The HP0 port is set to 32 bits; the accelerator's bus has 64."""


class ClockError(AcceleratorError):
    """FCLK0 does not run at the clock that the bitstream was timed for, or stands still."""


class IdError(AcceleratorError):
    """No accelerator of this kind answers at the address: another bitstream is loaded."""


class BuildError(AcceleratorError):
    """The bitstream was made from another design than the .json."""


class LayoutError(AcceleratorError):
    """The accelerator lays images or results out otherwise than the .json says."""


# Of a call.


class ImagesError(AcceleratorError, ValueError):
    """The images given do not fit the network, or not the buffer."""


class BusyError(AcceleratorError):
    """Others held the accelerator, or all its buffers, for longer than the wait allowed."""


class ClosedError(AcceleratorError):
    """The accelerator was closed."""


class FreedBufferError(AcceleratorError):
    """A buffer was freed before the accelerator ran on it."""


class ReadError(AcceleratorError):
    """The memory answered a read with an error."""


class ChecksumError(AcceleratorError):
    """The accelerator read other bytes than the program packed: a flush is missing."""


class WriteError(AcceleratorError):
    """The memory answered a write with an error."""


class StallError(AcceleratorError):
    """The accelerator saw nothing move for as long as its register TIMEOUT says."""


class DescriptorError(AcceleratorError):
    """A DMA was started with no image or an address that is no multiple of 8."""


class StartError(AcceleratorError):
    """A DMA was started while it was at work: another program uses the accelerator."""


class HangError(AcceleratorError):
    """The batch did not end within the cycles allowed, without an error of the hardware."""


class ResetError(AcceleratorError):
    """A soft reset does not end because memory has not answered; `reload` if it stays so."""


# Field of the register ERROR -> class; where several bits are set, the first one here is raised.
OF_FIELD: dict[str, type[AcceleratorError]] = {
    "READ": ReadError,
    "WRITE": WriteError,
    "DESCRIPTOR": DescriptorError,
    "START": StartError,
    "TIMEOUT": StallError,
}
