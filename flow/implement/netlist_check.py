"""What a mapped netlist must hold to before it is placed: the primitives, and the PS7's border.

The open tools place and route more primitives than they write to the bitstream rightly: LUT RAM
loses its contents, shift registers start wrong, DSPs are not configured, all without a word. So
only those pass here whose configuration was proven by simulating the netlist that a bitstream
describes; anything else is refused by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from flow.errors import UserError

Cells = dict[str, dict[str, Any]]
"""Cells of a module as Yosys' `write_json` lists them, by name."""

LUTS = {f"LUT{n}" for n in range(1, 7)} | {"LUT6_2"}  # the last as two LUT5, see pairs.py
LOGIC = LUTS | {"CARRY4", "MUXF7", "MUXF8", "INV", "GND", "VCC"}
FLIP_FLOPS = {"FDRE", "FDSE", "FDCE", "FDPE"}
BLOCK_RAM = {"RAMB18E1": (18, 36), "RAMB36E1": (18, 36, 72)}
"""Block RAMs and the widths of a port that were proven."""
BORDER = {"BUFG", "IBUF", "OBUF", "PS7"}

WHY = {
    "SRL": "shift registers in LUTs start with wrong contents",
    "RAM": "the contents of LUT RAM are lost in the bitstream",
    "DSP": "the DSP's mode bits are never written",
    "LD": "latches cannot be placed",
    "PLL": "clock managers are not proven",
    "MMCM": "clock managers are not proven",
    "FD": "this kind of flip-flop is not proven",
    "$": "Yosys found no primitive for it",
}


def check_primitives(cells: Cells) -> None:
    """Raise UserError, naming cell, primitive and source line, at the first that is not proven."""
    for name, cell in cells.items():
        reason = _refusal(cell)
        if reason:
            source = cell.get("attributes", {}).get("src", "")
            at = f" ({source.split('|')[0]})" if source else ""
            raise UserError(
                f"netlist: {name} is a {cell['type']}{at}: {reason}; "
                "write the module so that Yosys maps it to proven primitives"
            )


def _refusal(cell: dict[str, Any]) -> str | None:
    kind = cell["type"]
    if kind in LOGIC | BORDER or kind == "$scopeinfo":
        return None
    parameters = cell.get("parameters", {})
    if kind in FLIP_FLOPS | BLOCK_RAM.keys():
        for key, value in parameters.items():
            if key.startswith("IS_") and key.endswith("_INVERTED") and _number(value):
                return f"{key} is set, and inverted pins are not proven"
    if kind in FLIP_FLOPS:
        return None
    if kind in BLOCK_RAM:
        return _block_ram_refusal(parameters, BLOCK_RAM[kind])
    why = next((text for start, text in WHY.items() if kind.startswith(start)), "it is not proven")
    return why


def _block_ram_refusal(parameters: dict[str, Any], proven: tuple[int, ...]) -> str | None:
    for key in ("DOA_REG", "DOB_REG"):
        if _number(parameters.get(key, "0")):
            return f"{key} is set, and the output register's clock is never configured"
    for key in ("READ_WIDTH_A", "READ_WIDTH_B", "WRITE_WIDTH_A", "WRITE_WIDTH_B"):
        width = _number(parameters.get(key, "0"))
        if width and width not in proven:
            return f"{key} is {width}, and only {proven} are proven"
    for key in ("RAM_EXTENSION_A", "RAM_EXTENSION_B"):
        if parameters.get(key, "NONE").strip() != "NONE":
            return f"{key} is set, and cascaded blocks are not proven"
    for key in ("EN_ECC_READ", "EN_ECC_WRITE"):
        if parameters.get(key, "FALSE").strip() not in ("FALSE", "0"):
            return f"{key} is set, and error correction is not proven"
    return None


def _number(value: str | int) -> int:
    """A parameter's value; bits that do not matter count as 0."""
    if isinstance(value, int):
        return value
    text = value.strip().lower()
    if text in ("true", "false"):
        return int(text == "true")
    return int("".join(c if c == "1" else "0" for c in text) or "0", 2)


def check_border(cells: Cells) -> None:
    """Raise UserError unless every signal of the PS7 begins or ends at a flip-flop.

    Place and route does not time the PS7's pins. Its inputs must be constant, a global clock, or
    come straight from a flip-flop; its outputs must go to a flip-flop's D straight or through one
    LUT (where a READY has to act in its own cycle), or to a clock buffer.
    """
    driver: dict[int, dict[str, Any]] = {}
    sinks: dict[int, list[tuple[str, str, dict[str, Any]]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bit, direction in _pins(cell):
            if direction == "output":
                driver[bit] = cell
            else:
                sinks[bit].append((name, port, cell))

    def ends_well(bit: int, luts: int) -> bool:
        for _, port, cell in sinks[bit]:
            kind = cell["type"]
            if kind == "BUFG" or (kind in FLIP_FLOPS and port == "D"):
                continue
            if luts and kind in LOGIC and (kind.startswith("LUT") or kind == "INV"):
                outputs = [b for _, b, d in _pins(cell) if d == "output"]
                if all(ends_well(b, luts - 1) for b in outputs):
                    continue
            return False
        return True

    for name, cell in cells.items():
        if cell["type"] != "PS7":
            continue
        for port, bit, direction in _pins(cell):
            if direction == "output" and not ends_well(bit, luts=1):
                raise UserError(f"netlist: {name}.{port} does not go straight to a flip-flop")
            if direction == "input":
                kind = driver.get(bit, {"type": "nothing"})["type"]
                if kind not in FLIP_FLOPS | {"BUFG", "GND", "VCC"}:
                    raise UserError(f"netlist: {name}.{port} comes from a {kind}, no flip-flop")


def _pins(cell: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """(port with index, net, direction) of each pin that is on a net, constants left out."""
    for port, bits in cell["connections"].items():
        for index, bit in enumerate(bits):
            if isinstance(bit, int):
                label = f"{port}[{index}]" if len(bits) > 1 else port
                yield label, bit, cell["port_directions"][port]
