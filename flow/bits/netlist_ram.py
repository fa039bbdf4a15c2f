"""Block RAM of an extracted netlist, one half (18 Kbit) at a time.

A RAMB36 is its two halves side by side, with pins of their own: L is RAMB18_Y0, U is RAMB18_Y1.
The pins of a half keep their physical names; see hw/sim/xc7/xc7_ramb18.sv for the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow.bits.features import NetlistError
from flow.bits.xray import Tile

if TYPE_CHECKING:
    from flow.bits.netlist_cells import Cells

_OUTPUT = re.compile(r"BRAM_(FIFO36|FIFO18|RAMB18)_(DO[AB]DO|DOP[AB]DOP)([LU]?)(\d+)")
_ZERO = "1'b0"


@dataclass(frozen=True)
class _Port:
    reset: str
    enable: str
    clock: str
    address: str
    write: str
    writes: int  # how many pins there are


# Pins of the two ports, as the wires of a tile are named.
_PORTS = {
    "A": _Port("RSTRAMARSTRAM", "ENARDEN", "CLKARDCLK", "ADDRARDADDR", "WEA", 4),
    "B": _Port("RSTRAMB", "ENBWREN", "CLKBWRCLK", "ADDRBWRADDR", "WEBWE", 8),
}


def inverted(net: str, yes: bool) -> str:
    """A net or its inverse; constants stay constants."""
    if not yes:
        return net
    return {"1'b0": "1'b1", "1'b1": "1'b0"}.get(net, f"~{net}")


class RamHalf:
    """One half of a block RAM tile."""

    def __init__(self, cells: Cells, tile: Tile, half: int):
        self.cells = cells
        self.tile = tile
        self.half = half
        prefix = f"RAMB18_Y{half}."
        self.name = f"{tile.name}_RAMB18_Y{half}"
        self.label = f"{tile.name}.{prefix[:-1]}"
        self.site = "BRAM_FIFO18" if half == 0 else "BRAM_RAMB18"
        self.flags = {f[len(prefix) :] for f in cells.flags(tile) if f.startswith(prefix)}
        self.values = {
            name[len(prefix) :]: value
            for name, value in cells.values(tile).items()
            if name.startswith(prefix)
        }
        self._read_ports: set[str] = set()
        self._writing_port = ""
        if "IN_USE" not in self.flags:
            raise NetlistError(f"{self.label} is read but not in use")

    @classmethod
    def of(cls, cells: Cells, tile: Tile, wire: str) -> tuple[RamHalf, tuple[str, int]]:
        """The half that an output wire belongs to, and the output: its bus and bit."""
        match = _OUTPUT.fullmatch(wire)
        if not match:
            raise NetlistError(f"{tile.name}.{wire}: this block RAM output is not modelled")
        kind, bus, side, bit = match.groups()
        half = 1 if kind == "RAMB18" or side == "U" else 0
        return cls(cells, tile, half), (bus, int(bit))

    def output(self, bus: str, bit: int) -> str:
        """Net of one output bit; the whole half is then written once."""
        self._read_ports.add("B" if "BDO" in bus else "A")
        self._check_ports()
        if self.cells.first(self.name):
            self.cells.later(self._write)
        return f"{self.name}_{bus}[{bit}]"

    def _check_ports(self) -> None:
        simple = "SDP_READ_WIDTH_36" in self.flags
        if self._writing_port in self._read_ports and not simple:
            raise NetlistError(f"{self.label}: reading on the port that writes is not modelled")

    def _pin(self, wire: str) -> str:
        return self.cells.net(self.tile, f"{self.site}_{wire}")

    def _bus(self, wire: str, width: int) -> str:
        return "{" + ", ".join(self._pin(f"{wire}{i}") for i in reversed(range(width))) + "}"

    def _invertible(self, wire: str) -> str:
        return inverted(self._pin(wire), f"ZINV_{wire}" not in self.flags)

    def _width(self, kind: str, port: str) -> int:
        """Width of a port in bits, parity included; absent means 1."""
        found = [
            int(f.rpartition("_")[2]) for f in self.flags if f.startswith(f"{kind}_WIDTH_{port}_")
        ]
        return max(found, default=1)

    def _write_enable(self, port: str) -> str:
        """What enables writing on a port; all its enables must be one net, or never high."""
        pins = _PORTS[port]
        nets = {self._pin(f"{pins.write}{i}") for i in range(pins.writes)}
        nets = nets - {_ZERO} or {_ZERO}
        if len(nets) > 1 or (self._kept(port) and nets != {_ZERO} and not self._simple_write):
            raise NetlistError(f"{self.label}: writing single bytes is not modelled")
        enable, write = self._invertible(pins.enable), nets.pop()
        if _ZERO in (enable, write):
            return _ZERO
        return write if enable == "1'b1" else f"{write} & {enable}"

    @property
    def _simple_write(self) -> bool:
        return "SDP_WRITE_WIDTH_36" in self.flags

    def _kept(self, port: str) -> int:
        """Bits of a word of 32 + 4 that are never written, parity uppermost.

        An enable is that of four data bits; a bit of parity has the one of a byte of the RAMB36,
        whose odd bytes have theirs in the second half, or one of the two of its byte in a RAMB18.
        """
        pins = _PORTS[port]
        low = [self._pin(f"{pins.write}{i}") == _ZERO for i in range(pins.writes)]
        data = sum(0xF << 4 * i for i, never in enumerate(low) if never)
        parity = sum(never << i for i, never in enumerate(low[self.half :: 2]))
        return parity << 32 | data

    def _write(self) -> None:
        simple_read = "SDP_READ_WIDTH_36" in self.flags
        widths = (36, 0) if simple_read else (self._width("READ", "A"), self._width("READ", "B"))
        # The initial and reset values are stored inverted.
        stored = {
            f"{kind}_{port}": ~self.values.get(f"Z{kind}_{port}", 0) & 0x3FFFF
            for kind in ("INIT", "SRVAL")
            for port in "AB"
        }
        parameters = [
            f".WIDTH_A({widths[0]})",
            f".WIDTH_B({widths[1]})",
            f".INIT(16384'h{self._contents('INIT', 64):x})",
            f".INITP(2048'h{self._contents('INITP', 8):x})",
            *(f".{name}(18'h{value:x})" for name, value in stored.items()),
        ]
        connections = []
        for port, pins in _PORTS.items():
            nets = {
                "clk": self._invertible(pins.clock),
                "en": self._invertible(pins.enable),
                "rst": self._invertible(pins.reset),
                "addr": self._bus(pins.address, 14),
                "do": self.cells.declare(f"{self.name}_DO{port}DO", 16),
                "dop": self.cells.declare(f"{self.name}_DOP{port}DOP", 2),
            }
            connections += [f".{name}{port.lower()}({net})" for name, net in nets.items()]
        write_parameters, write_connections = self._write_port()
        self.cells.instance(
            "ramb18",
            f"xc7_ramb18 #({', '.join(parameters + write_parameters)}) {self.name}_cell "
            f"({', '.join(connections + write_connections)});",
        )

    def _contents(self, name: str, rows: int) -> int:
        return sum(self.values.get(f"{name}_{i:02X}", 0) << 256 * i for i in range(rows))

    def _write_port(self) -> tuple[list[str], list[str]]:
        """Parameters and connections of the port that writes; at most one may."""
        enables = {port: self._write_enable(port) for port in "AB"}
        writing = [port for port, net in enables.items() if net != _ZERO]
        if not writing:
            return [], [".clkw(1'b0), .we(1'b0), .addrw(14'd0), .diw(32'd0), .dipw(4'd0)"]
        if len(writing) > 1:
            raise NetlistError(f"{self.label}: writing on both ports is not modelled")
        port = writing[0]
        self._writing_port = port
        self._check_ports()
        kept = 0
        if self._simple_write:
            width, lanes, kept = 36, ["B", "A"], self._kept(port)
        else:
            width, lanes = self._width("WRITE", port), [port]
        pins = _PORTS[port]
        data = ", ".join(self._bus(f"DI{lane}DI", 16) for lane in lanes)
        parity = ", ".join(self._bus(f"DIP{lane}DIP", 2) for lane in lanes)
        read_first = int(f"WRITE_MODE_{port}_READ_FIRST" in self.flags)
        parameters = [
            f".WIDTH_W({width})",
            f".READ_FIRST({read_first})",
            f".KEPT(36'h{kept:x})",
        ]
        return parameters, [
            f".clkw({self._invertible(pins.clock)})",
            f".we({enables[port]})",
            f".addrw({self._bus(pins.address, 14)})",
            f".diw(32'({{{data}}}))",
            f".dipw(4'({{{parity}}}))",
        ]
