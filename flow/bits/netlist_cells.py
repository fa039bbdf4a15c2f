"""The cells of an extracted netlist: what the settings of each site make of its pins.

`Cells.net` gives the Verilog of what drives a wire and puts the cell behind it on a list; `finish`
works the list off, so that everything which reaches an asked-for wire is written, once.
Names are those of the FASM: `CLBLM_R_X71Y98.SLICEM_X0.ALUT` gives CLBLM_R_X71Y98_SLICEM_X0_ALUT.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from flow.bits.features import NetlistError, Settings
from flow.bits.netlist_ram import RamHalf, inverted
from flow.bits.routing import ONE, Pin, Routing, Source
from flow.bits.xray import Tile

_LETTERS = "ABCD"


class Cells:
    """Cells of one netlist as they are found."""

    def __init__(self, routing: Routing, settings: dict[str, Settings]):
        self.routing = routing
        self.settings = settings
        self.declarations: list[str] = []
        self.instances: list[str] = []
        self.count: Counter = Counter()
        self.ps7_outputs: dict[str, int] = {}
        self._written: set[str] = set()
        self._todo: list[Callable[[], None]] = []
        self._rams: dict[tuple[str, int], RamHalf] = {}
        self._slices: dict[tuple[str, int], Slice] = {}

    def finish(self) -> None:
        """Write every cell that something written needs."""
        while self._todo:
            self._todo.pop()()

    def net(self, tile: Tile, wire: str) -> str:
        """Verilog expression of what drives a wire of a tile."""
        source = self.routing.source((tile.number, wire))
        return self._output(source) if isinstance(source, Pin) else constant(source)

    def need(self, name: str, write: Callable[[str], None]) -> str:
        """Declare net `name` and have `write(name)` called once; returns the name."""
        if self.first(name):
            self.declare(name)
            self.later(lambda: write(name))
        return name

    def later(self, write: Callable[[], None]) -> None:
        """Have something written by `finish`."""
        self._todo.append(write)

    def declare(self, name: str, width: int = 1) -> str:
        """Declare a net; returns its name."""
        size = f"[{width - 1}:0] " if width > 1 else ""
        self.declarations.append(f"  wire {size}{name};")
        return name

    def first(self, name: str) -> bool:
        """Whether this is the first call with the name of a cell."""
        new = name not in self._written
        self._written.add(name)
        return new

    def instance(self, kind: str, text: str) -> None:
        """Add a cell of a kind, for the count."""
        self.count[kind] += 1
        self.instances.append(f"  {text}")

    def _output(self, pin: Pin) -> str:
        site = self.routing.database.layout(pin.tile.type)["sites"][pin.site]
        match site["type"]:
            case "SLICEL" | "SLICEM":
                return self._slice(pin.tile, pin.site, site).output(pin.pin)
            case "FIFO18E1" | "RAMB18E1" | "RAMBFIFO36E1":
                ram, output = RamHalf.of(self, pin.tile, site["site_pins"][pin.pin]["wire"])
                key = (pin.tile.name, ram.half)
                return self._rams.setdefault(key, ram).output(*output)
            case "PS7":
                name, bit = ps7_group(pin.pin)
                self.ps7_outputs[name] = max(self.ps7_outputs.get(name, 0), bit + 1)
                return f"ps7_{name}[{bit}]"
            case "BUFGCTRL":
                return self._clock_buffer(pin, site)
            case "BUFHCE":
                return self._row_buffer(pin, site)
            case "OLOGICE3":
                return self._output_logic(pin, site)
        raise NetlistError(f"{pin.tile.name}: {site['type']} is not modelled")

    def flags(self, tile: Tile) -> set[str]:
        """Names of the tile's features that have no value."""
        found = self.settings.get(tile.name)
        return found.flags if found else set()

    def values(self, tile: Tile) -> dict[str, int]:
        """The tile's features that have a value, such as LUT contents."""
        found = self.settings.get(tile.name)
        return found.values if found else {}

    # --- slices ---------------------------------------------------------------------------------

    def _slice(self, tile: Tile, index: int, site: dict) -> "Slice":
        key = (tile.name, index)
        if key not in self._slices:
            self._slices[key] = Slice(self, tile, site)
        return self._slices[key]

    # --- clocks and outputs ---------------------------------------------------------------------

    def _clock_buffer(self, pin: Pin, site: dict) -> str:
        """BUFG: BUFGCTRL that always passes I0."""
        prefix = f"BUFGCTRL.BUFGCTRL_X{site['x_coord']}Y{site['y_coord']}."
        flags = {f[len(prefix) :] for f in self.flags(pin.tile) if f.startswith(prefix)}
        wires = {name: entry["wire"] for name, entry in site["site_pins"].items()}
        plain = {"IN_USE", "IS_IGNORE1_INVERTED", "ZINV_CE0", "ZINV_S0"}
        on = [self.net(pin.tile, wires[name]) for name in ("CE0", "S0", "CE1", "S1")]
        if flags != plain or set(on) != {"1'b1"}:
            raise NetlistError(f"{pin.tile.name}.{prefix[:-1]}: not a plain BUFG: {sorted(flags)}")
        self.count["bufg"] += self.first(f"{pin.tile.name}.{prefix}")
        return self.net(pin.tile, wires["I0"])

    def _row_buffer(self, pin: Pin, site: dict) -> str:
        """BUFH: passes its input while CE is 1."""
        prefix = f"BUFHCE.BUFHCE_X{site['x_coord']}Y{site['y_coord']}."
        flags = {f[len(prefix) :] for f in self.flags(pin.tile) if f.startswith(prefix)}
        enable = self.net(pin.tile, site["site_pins"]["CE"]["wire"])
        if flags != {"IN_USE", "ZINV_CE"} or enable != "1'b1":
            raise NetlistError(f"{pin.tile.name}.{prefix[:-1]}: not a plain BUFH: {sorted(flags)}")
        return self.net(pin.tile, site["site_pins"]["I"]["wire"])

    def _output_logic(self, pin: Pin, site: dict) -> str:
        """OLOGIC as a way from D1 to OQ."""
        wire = site["site_pins"]["D1"]["wire"]
        prefix = self._ologic_prefix(pin.tile, wire)
        flags = {f[len(prefix) :] for f in self.flags(pin.tile) if f.startswith(prefix)}
        if not {"OMUX.D1", "OQUSED"} <= flags:
            raise NetlistError(f"{pin.tile.name}.{prefix[:-1]}: the output is not switched through")
        return inverted(self.net(pin.tile, wire), "IS_D1_INVERTED" in flags)

    def _ologic_prefix(self, tile: Tile, wire: str) -> str:
        number = int(re.findall(r"OLOGIC(\d)", wire)[0])
        if "SING" in tile.type:  # the half tile at the upper end of a bank uses the Y1 features
            rows = [int(name.rpartition("Y")[2]) for name in tile.sites if "OLOGIC" in name]
            number = rows[0] % 2
        return f"OLOGIC_Y{number}."

    def tristate(self, tile: Tile, wire: str) -> str:
        """The tristate input of an I/O buffer, with the inversion in its OLOGIC."""
        for number, name in self.routing.node((tile.number, wire)):
            if "IOI3" in (other := self.routing.by_number[number]).type:
                digit = re.findall(r"\d", name)[-1]
                prefix = self._ologic_prefix(other, f"OLOGIC{digit}")
                flags = self.flags(other)
                if f"{prefix}OSERDES.DATA_RATE_TQ.BUF" in flags:
                    return inverted(self.net(other, name), f"{prefix}ZINV_T1" not in flags)
        return self.net(tile, wire)


def ps7_group(pin: str) -> tuple[str, int]:
    """Port and index of a processing-system pin: MAXIGP0RDATA7 -> (MAXIGP0RDATA, 7)."""
    match = re.fullmatch(r"(.*?\D)(\d+)", pin)
    return (match[1], int(match[2])) if match else (pin, 0)


def constant(source: Source) -> str:
    """Verilog of a constant source; nothing at all reads 1, as undriven wires of the device do."""
    assert not isinstance(source, Pin)
    return "1'b1" if source in (ONE, None) else "1'b0"


class Slice:
    """One slice: four LUTs, eight flip-flops, a carry chain, wide multiplexers."""

    def __init__(self, cells: Cells, tile: Tile, site: dict):
        self.cells = cells
        self.tile = tile
        prefix = f"{site['type']}_X{site['x_coord']}."
        self.name = f"{tile.name}_{prefix[:-1]}"
        self.label = f"{tile.name}.{prefix[:-1]}"
        self.wires = {pin: entry["wire"] for pin, entry in site["site_pins"].items() if entry}
        self.flags = {f[len(prefix) :] for f in cells.flags(tile) if f.startswith(prefix)}
        self.inits = {
            letter: cells.values(tile).get(f"{prefix}{letter}LUT.INIT", 0) for letter in _LETTERS
        }

    def pin(self, name: str) -> str:
        """What drives an input pin of the slice."""
        return self.cells.net(self.tile, self.wires[name])

    def output(self, pin: str) -> str:
        """Net of an output pin of the slice."""
        if pin == "COUT":
            return self.carry("D", "CO")
        letter, rest = pin[0], pin[1:]
        if rest == "":
            return self.lut(letter, "O6")
        if rest == "Q":
            return self.flip_flop(letter, "FF")
        return self._select(letter, "OUTMUX")

    def _select(self, letter: str, mux: str) -> str:
        """The input that an output or flip-flop multiplexer selects."""
        prefix = f"{letter}{mux}."
        chosen = [f[len(prefix) :] for f in self.flags if f.startswith(prefix)]
        if len(chosen) != 1:
            raise NetlistError(f"{self.label}.{letter}{mux} selects {chosen or 'nothing'}")
        match chosen[0]:
            case "O5" | "O6":
                return self.lut(letter, chosen[0])
            case "CY":
                return self.carry(letter, "CO")
            case "XOR":
                return self.carry(letter, "O")
            case "F7" | "F8":
                return self.wide(letter)
            case "A5Q" | "B5Q" | "C5Q" | "D5Q":
                return self.flip_flop(letter, "5FF")
            case "AX" | "BX" | "CX" | "DX":
                return self.pin(chosen[0])
        raise NetlistError(f"{self.label}.{prefix}{chosen[0]} is not modelled")

    def lut(self, letter: str, output: str) -> str:
        """Output O6 or O5 of a LUT, or what it passes on: a constant, or one of its inputs.

        nextpnr leads constants and other nets through LUTs, also to pins that must be one net.
        """
        entries = self._reachable(letter, output)
        values = {self.inits[letter] >> entry & 1 for entry in entries}
        if len(values) == 1:
            return f"1'b{values.pop()}"
        for i in range(5 if output == "O5" else 6):
            if all(self.inits[letter] >> entry & 1 == entry >> i & 1 for entry in entries):
                return self.pin(f"{letter}{i + 1}")
        for output_name in ("O5", "O6"):
            net = f"{self.name}_{letter}LUT_{output_name}"
            self.cells.need(net, lambda _: self._write_lut(letter))
        return f"{self.name}_{letter}LUT_{output}"

    def _reachable(self, letter: str, output: str) -> Sequence[int]:
        """Entries of the table, given those inputs that the routing ties to a constant."""
        entries: Sequence[int] = range(32 if output == "O5" else 64)
        for i in range(6):
            source = self.cells.routing.source((self.tile.number, self.wires[f"{letter}{i + 1}"]))
            if not isinstance(source, Pin):
                tied = int(constant(source)[-1])
                if output == "O6" or i < 5:
                    entries = [entry for entry in entries if entry >> i & 1 == tied]
        return entries

    def _write_lut(self, letter: str) -> None:
        name = f"{self.name}_{letter}LUT"
        if not self.cells.first(name):  # both outputs ask for it
            return
        inputs = ", ".join(self.pin(f"{letter}{i}") for i in range(6, 0, -1))
        self.cells.instance(
            "lut",
            f"xc7_lut6 {name} (.init(64'h{self.inits[letter]:016x}), .a({{{inputs}}}), "
            f".o6({name}_O6), .o5({name}_O5));",
        )

    def carry(self, letter: str, output: str) -> str:
        """Carry out (CO) or sum (O) of one bit of the carry chain."""
        return self.cells.need(
            f"{self.name}_{letter}CARRY_{output}",
            lambda net: self._write_carry(letter, output, net),
        )

    def _write_carry(self, letter: str, output: str, net: str) -> None:
        select = self.lut(letter, "O6")
        before = self._carry_in(letter)
        if output == "O":
            self.cells.instance("carry", f"assign {net} = {select} ^ {before};")
        else:
            own = f"CARRY4.{letter}CY0" in self.flags
            data = self.lut(letter, "O5") if own else self.pin(f"{letter}X")
            self.cells.instance("carry", f"assign {net} = {select} ? {before} : {data};")

    def _carry_in(self, letter: str) -> str:
        if letter != "A":
            return self.carry(_LETTERS[_LETTERS.index(letter) - 1], "CO")
        chosen = [f[10:] for f in self.flags if f.startswith("PRECYINIT.")]
        match chosen:
            case [] | ["C0"]:
                return "1'b0"
            case ["C1"]:
                return "1'b1"
            case ["AX"]:
                return self.pin("AX")
            case ["CIN"]:
                return self.pin("CIN")
        raise NetlistError(f"{self.label}.PRECYINIT selects {chosen}")

    def wide(self, letter: str) -> str:
        """Output of the multiplexer F7 (at A and C) or F8 (at B)."""
        return self.cells.need(
            f"{self.name}_{letter}WIDE", lambda net: self._write_wide(letter, net)
        )

    def _write_wide(self, letter: str, net: str) -> None:
        select, high, low = {
            "A": lambda: (self.pin("AX"), self.lut("A", "O6"), self.lut("B", "O6")),
            "B": lambda: (self.pin("BX"), self.wide("A"), self.wide("C")),
            "C": lambda: (self.pin("CX"), self.lut("C", "O6"), self.lut("D", "O6")),
        }[letter]()
        self.cells.instance("mux", f"assign {net} = {select} ? {high} : {low};")

    def flip_flop(self, letter: str, kind: str) -> str:
        """Output of a flip-flop, kind FF or 5FF."""
        return self.cells.need(
            f"{self.name}_{letter}{kind}", lambda net: self._write_flip_flop(letter, kind, net)
        )

    def _write_flip_flop(self, letter: str, kind: str, net: str) -> None:
        if kind == "FF":
            data = self._select(letter, "FFMUX")
        else:
            from_lut = f"{letter}5FFMUX.IN_A" in self.flags
            if from_lut == (f"{letter}5FFMUX.IN_B" in self.flags):
                raise NetlistError(f"{self.label}.{letter}5FFMUX selects nothing")
            data = self.lut(letter, "O5") if from_lut else self.pin(f"{letter}X")
        clock = inverted(self.pin("CLK"), "CLKINV" in self.flags)
        enable = self.pin("CE") if "CEUSEDMUX" in self.flags else "1'b1"
        reset = self.pin("SR") if "SRUSEDMUX" in self.flags else "1'b0"
        start = int(f"{letter}{kind}.ZINI" not in self.flags)
        value = int(f"{letter}{kind}.ZRST" not in self.flags)
        synchronous = int("FFSYNC" in self.flags or reset == "1'b0")
        self.cells.instance(
            "ff",
            f"xc7_ff #(.INIT({start}), .SRVAL({value}), .SYNC({synchronous})) {net}_cell "
            f"(.c({clock}), .ce({enable}), .sr({reset}), .d({data}), .q({net}));",
        )
