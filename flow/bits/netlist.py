"""From FASM back to a netlist: structural Verilog of what the bitstream configures.

    netlist = extract(Path("top.fasm"), part, Path("netlist.v"))

Everything comes from the features of the FASM file and the device's wires (`bits.routing`): LUT and
block RAM contents, modes, and which pin drives which. nextpnr's own netlist is not consulted. Cell
models are in hw/sim/xc7. The netlist starts at the outputs and holds what reaches them.

Module `netlist` has a port for each group of processing-system pins, named `ps7_` and the group
(`ps7_MAXIGP0RDATA`), and for each output pad, `pad_` and the package pin (`pad_R14`). Pins of the
processing system that this design does not use must be tied to 0 and have no port.

Covered: LUT6 and its two halves, flip-flops (rising or falling edge, set or reset, synchronous or
not), carry chains, F7 and F8 multiplexers, block RAM of all widths from 1 to 72 with one port that
writes whole words or none, BUFG, BUFH, the processing system, output pads. Refused by name, because
nextpnr or the database is known to get them wrong or because no design here uses them: LUT RAM,
shift registers, latches, DSP, block RAM with an output register, with byte enables, with cascaded
data or with a port that writes and reads, input pads, and any other feature that sets a bit.
Also refused: a clock or cascade switch whose enabling feature is not set.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flow.bits import fasm
from flow.bits.fasm import Placed
from flow.bits.features import NetlistError, check_understood, settings
from flow.bits.netlist_cells import Cells, ps7_group
from flow.bits.routing import Routing
from flow.bits.xray import Tile


@dataclass
class Netlist:
    """An extracted netlist.

    path: the Verilog file. cells: how many LUTs, flip-flops, carry bits, multiplexers, block RAMs.
    ps7_inputs: pins that the design drives, port name -> width, without the `ps7_`.
    ps7_used: ports of the processing system that reach something. pads: package pins.
    """

    path: Path
    cells: Counter
    ps7_inputs: dict[str, int]
    ps7_used: frozenset[str]
    pads: list[str]


def extract(fasm_path: Path, part: str, verilog: Path) -> Netlist:
    """Write the netlist that a FASM file configures, as Verilog module `netlist`.

    Raises NetlistError for what cannot be modelled, RoutingError for routing without sense.
    """
    placed = fasm.read(fasm_path, part)
    return extract_placed(placed, verilog)


def extract_placed(placed: Placed, verilog: Path) -> Netlist:
    """`extract` for features that are already looked up, for example decoded from a .bit file."""
    check_understood(placed)
    cells = Cells(Routing(placed), settings(placed))
    ps7_inputs, ps7_outputs, body = _processing_system(cells)
    pads = _pads(cells)
    cells.finish()
    ports = [f"output wire [{w - 1}:0] ps7_{name}" for name, w in ps7_inputs.items()]
    for name, width in cells.ps7_outputs.items():
        ps7_outputs.setdefault(name, width)
    ports += [f"input wire [{w - 1}:0] ps7_{name}" for name, w in ps7_outputs.items()]
    ports += [f"output wire pad_{name}" for name in pads]
    lines = [
        "// Extracted from FASM; see flow/bits/netlist.py. Cell models: hw/sim/xc7.",
        "/* verilator lint_off UNUSEDSIGNAL */",
        "module netlist (",
        ",\n".join(f"    {port}" for port in ports),
        ");",
        *cells.declarations,
        *body,
        *(f"  assign pad_{name} = {net};" for name, net in pads.items()),
        *cells.instances,
        "endmodule",
        "/* verilator lint_on UNUSEDSIGNAL */",
    ]
    temporary = verilog.with_name(verilog.name + ".tmp")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(verilog)
    return Netlist(verilog, cells.count, ps7_inputs, frozenset(cells.ps7_outputs), list(pads))


# --- the processing system ----------------------------------------------------------------------

_ALWAYS_PORTS = re.compile(r"MAXIGP0\w+|SAXIHP0\w+|FCLKCLK|FCLKRESETN|FPGAIDLEN|IRQF2P")
# Pins that nothing can be routed to (they lead to the memory controller) read 1 when left open.
_OPEN = re.compile(r"DDRARB")


def _processing_system(cells: Cells) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Ports of the processing system and the assignments of those that the design drives."""
    database = cells.routing.database
    inputs: dict[str, dict[int, str]] = defaultdict(dict)
    outputs: dict[str, int] = {}
    for tile in database.tiles.values():
        for index, site in enumerate(database.layout(tile.type)["sites"] if _has_ps7(tile) else ()):
            if site["type"] != "PS7":
                continue
            drives = cells.routing.output_pins(tile.type)
            for pin, entry in site["site_pins"].items():
                name, bit = ps7_group(pin)
                if entry is None or re.match(r"DDR(?!ARB)|MIO|PS", name):
                    continue
                if drives.get(entry["wire"]) == (index, pin):
                    if _ALWAYS_PORTS.fullmatch(name):
                        outputs[name] = max(outputs.get(name, 0), bit + 1)
                else:
                    inputs[name][bit] = cells.net(tile, entry["wire"])
    body, widths = [], {}
    for name, bits in inputs.items():
        idle = all(net == "1'b0" for net in bits.values()) or _OPEN.match(name)
        if idle and not _ALWAYS_PORTS.fullmatch(name):
            continue
        widths[name] = max(bits) + 1
        nets = ", ".join(bits.get(i, "1'b0") for i in reversed(range(widths[name])))
        body.append(f"  assign ps7_{name} = {{{nets}}};")
    return widths, outputs, body


def _has_ps7(tile: Tile) -> bool:
    return "PS7" in tile.sites.values()


# --- output pads --------------------------------------------------------------------------------


def _pads(cells: Cells) -> dict[str, str]:
    """Package pin -> net, for every I/O buffer that drives its pad."""
    database = cells.routing.database
    with (database.folder / database.part / "package_pins.csv").open() as file:
        package = {row["site"]: row["pin"] for row in csv.DictReader(file)}
    found = {}
    for tile_name, tile_settings in cells.settings.items():
        if "IOB33" not in tile_name:
            continue
        tile = database.tiles[tile_name]
        for site, wires in _buffers(cells, tile):
            prefix = f"IOB_Y{int(site.rpartition('Y')[2]) % 2}."
            if any(f.startswith(prefix) and ".DRIVE." in f for f in tile_settings.flags):
                # nextpnr leaves T open and uninverted on the far side: it must come out as 0.
                tristate = cells.tristate(tile, wires["T"])
                if tristate != "1'b0":
                    raise NetlistError(f"{tile_name}.{prefix[:-1]}: the output may be switched off")
                found[package[site]] = cells.net(tile, wires["O"])
    return dict(sorted(found.items()))


def _buffers(cells: Cells, tile: Tile) -> Iterator[tuple[str, dict[str, str]]]:
    """Site name and pin wires of each I/O buffer of a tile."""
    rows = sorted(
        (int(name.rpartition("Y")[2]), name) for name in tile.sites if name.startswith("IOB_")
    )
    layout = cells.routing.database.layout(tile.type)["sites"]
    for site in layout:
        if site["prefix"] == "IOB":
            wires = {pin: e["wire"] for pin, e in site["site_pins"].items() if e is not None}
            yield rows[site["y_coord"]][1], wires
