"""Driver of hanbit accelerators on a PYNQ board: `Accelerator("net.bit").execute(images)`."""

from . import errors
from .accelerator import Accelerator
from .buffers import Buffers
from .description import Description
from .errors import AcceleratorError
from .shell import Counters

__all__ = ["Accelerator", "AcceleratorError", "Buffers", "Counters", "Description", "errors"]
