"""Names of flip-flops, by which nextpnr's placer takes those first that hardly find a place.

The flip-flops of a slice share enable and reset. The static placer leaves cells where their wires
are short, whatever they share, and at the end gives each a bel of its own: carry chains and the
like first, then single cells, the last name of the alphabet first (json11 sorts the cells of the
netlist, and a queue takes the youngest name). By then a flip-flop of the many that are always
enabled may lie in every slice; one with an enable of its own finds none, and the placer looks for
ever. So these come behind all other flip-flops, and still in front of the LUTs of Yosys' mapper,
whose names begin with "$abc", as those of flip-flops do with "$auto".
"""

from __future__ import annotations

from typing import Any

from flow.implement.fanout import SHARED_PINS
from flow.implement.netlist_check import FLIP_FLOPS

LATER = "$after"  # between "$abc" and "$auto"


def enabled_first(module: dict[str, Any]) -> int:
    """Rename, in place, the flip-flops of a Yosys JSON module that have neither an enable nor a
    reset; return how many there are."""
    cells = module["cells"]
    names = {name: LATER + name if _always(cell) else name for name, cell in cells.items()}
    module["cells"] = {names[name]: cell for name, cell in cells.items()}
    return sum(old != new for old, new in names.items())


def _always(cell: dict[str, Any]) -> bool:
    """Whether a flip-flop has nothing but constants at the pins that those of a slice share."""
    wires = cell["connections"]
    pins = [bit for pin in SHARED_PINS for bit in wires.get(pin, ())]
    return cell["type"] in FLIP_FLOPS and not any(isinstance(bit, int) for bit in pins)
