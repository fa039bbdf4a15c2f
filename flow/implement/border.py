"""The PS7's border in place and route: its flip-flops are placed beside its pins.

nextpnr neither times the PS7's pins nor knows where they are: it takes them all for one spot, while
those of one port leave the PS7 together, at the edge of the fabric, up to 50 rows away from it.
Left alone, flip-flops of the border end up so far off that a wire takes longer than a clock cycle.
So a board names for each port a region of nextpnr's grid, and all flip-flops that touch the port's
pins, straight or through one LUT, are placed there. timing.py checks the wires.
"""

from __future__ import annotations

from collections import defaultdict

from flow.implement.boards import Region
from flow.implement.netlist_check import FLIP_FLOPS, Cells


def flip_flops(cells: Cells, ports: list[str]) -> dict[str, set[str]]:
    """The flip-flops at the pins of the PS7 whose names begin with each of `ports`."""
    sinks: dict[int, list[str]] = defaultdict(list)
    driver: dict[int, str] = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for bit in bits:
                if cell["port_directions"][port] == "output":
                    driver[bit] = name
                else:
                    sinks[bit].append(name)

    def behind(bit: int, luts: int) -> set[str]:
        found = set()
        for name in sinks[bit]:
            cell = cells[name]
            if cell["type"] in FLIP_FLOPS:
                found.add(name)
            elif luts and (cell["type"].startswith("LUT") or cell["type"] == "INV"):
                found |= behind(cell["connections"]["O"][0], luts - 1)
        return found

    places: dict[str, set[str]] = {port: set() for port in ports}
    for cell in cells.values():
        if cell["type"] != "PS7":
            continue
        for pin, bits in cell["connections"].items():
            port = next((p for p in ports if pin.startswith(p)), None)
            for bit in bits if port else ():
                assert port is not None
                if cell["port_directions"][pin] == "output":
                    places[port] |= behind(bit, luts=1)
                elif cells.get(driver.get(bit, ""), {"type": ""})["type"] in FLIP_FLOPS:
                    places[port].add(driver[bit])
    return places


def script(cells: Cells, regions: dict[str, Region]) -> str:
    """Python that nextpnr runs before it places: regions, and the cells that belong into each."""
    lines = []
    for port, names in flip_flops(cells, list(regions)).items():
        corners = ", ".join(map(str, regions[port]))
        lines.append(f"ctx.createRectangularRegion({port!r}, {corners})")
        lines += [f"ctx.constrainCellToRegion({name!r}, {port!r})" for name in sorted(names)]
    return "\n".join(lines) + "\n"
