"""Compare the block RAM contents in a bitstream with what they should be, bit for bit.

Two comparisons, so that a difference tells who made it:

1. each block RAM of the mapped netlist (Yosys): its INIT parameters against the bits of the tile
   where nextpnr says it placed the cell;
2. each memory file of the design against the same bits: the nets at a block RAM's address and data
   pins tell which bit of which word each of its bits holds.

A RAMB36 holds even bits in its first half, RAMB18_Y0, and odd bits in the second, RAMB18_Y1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow.bits.decode import read_bit
from flow.bits.xray import FRAME_BITS, Database, Tile, load
from flow.errors import MismatchError, UserError
from flow.implement import fanout

_BEL = re.compile(r"X(\d+)Y(\d+)/RAMB(?:18|36)_X\d+Y(\d+)\.\w+")
_DATA, _PARITY = 16384, 2048  # bits of a half


@dataclass(frozen=True)
class Rom:
    """A memory file and the instance of `rom` that reads it.

    label: how people call it, for example "layer fc1, weights". rom: name of the instance from the
    top module down, with dots. It has ports `addr` and `data`.
    """

    label: str
    file: Path
    rom: str


@dataclass(frozen=True)
class BramCheck:
    """What was compared: block RAM cells, memory files found in block RAM and in LUTs, bits."""

    cells: int
    memories: int
    in_luts: int
    bits: int


@dataclass
class _Ram:
    """A block RAM cell of the mapped netlist, and its bits as the bitstream has them.

    data, parity: (bits,) of 0 and 1, in the order of the cell's INIT and INITP.
    """

    name: str
    cell: dict[str, Any]
    tile: Tile
    halves: list[int]
    data: np.ndarray
    parity: np.ndarray

    def place(self, kind: str, bit: int) -> str:
        """Feature that holds a bit of INIT or INITP."""
        half = self.halves[bit % len(self.halves)]
        row, column = divmod(bit // len(self.halves), 256)
        return f"{self.tile.name}.RAMB18_Y{half}.{kind}_{row:02X}[{column}]"


def check_bram(
    bit: Path, part: str, placed: Path, mapped: Path, roms: Sequence[Rom] = ()
) -> BramCheck:
    """Compare all block RAM contents in a .bit file; MismatchError names the first difference.

    placed: nextpnr's netlist after routing (`--write`), for places only. mapped: Yosys' netlist
    (`write_json`), for INIT parameters and nets. roms: the memory files; one that has no block RAM
    (Yosys put it in LUTs) is counted, not compared.
    """
    database = load(part)
    image = read_bit(bit, part)
    module = top_module(mapped)
    fanout.join(module)  # address lines may have been copied
    rams = _find(module, top_module(placed), database, image)
    bits = sum(_check_init(ram) for ram in rams)
    in_block_ram = 0
    for rom in roms:
        own = [ram for ram in rams if ram.name.startswith(f"{rom.rom}.")]
        if own:
            in_block_ram += 1
            bits += _check_rom(rom, own, module["netnames"])
    return BramCheck(len(rams), in_block_ram, len(roms) - in_block_ram, bits)


def top_module(netlist: Path) -> dict[str, Any]:
    """The top module of a JSON netlist."""
    modules = json.loads(netlist.read_text())["modules"]
    top = [
        module
        for module in modules.values()
        if int(str(module.get("attributes", {}).get("top", "0")), 2)
    ]
    if len(top) != 1:
        raise UserError(f"{netlist}: {len(top)} modules are marked as top")
    return top[0]


def _find(
    mapped: dict[str, Any], placed: dict[str, Any], database: Database, image: np.ndarray
) -> list[_Ram]:
    found = []
    for name, cell in mapped["cells"].items():
        if not cell["type"].startswith("RAMB"):
            continue
        bel = placed["cells"].get(name, {}).get("attributes", {}).get("NEXTPNR_BEL", "")
        match = _BEL.fullmatch(bel)
        if not match:
            raise MismatchError(f"block RAM {name} was not placed", name)
        tile = database.at[int(match[1]), int(match[2])]
        halves = [0, 1] if cell["type"] == "RAMB36E1" else [int(match[3]) % 2]
        data, parity = (
            np.stack([_contents(image, database, tile, half, kind) for half in halves], axis=1)
            for kind in ("INIT", "INITP")
        )
        found.append(_Ram(name, cell, tile, halves, data.reshape(-1), parity.reshape(-1)))
    return found


def _contents(
    image: np.ndarray, database: Database, tile: Tile, half: int, kind: str
) -> np.ndarray:
    """Bits of all rows INIT_xx or INITP_xx of a half, (rows * 256,)."""
    table = database.table_of(tile)
    rows = (_DATA if kind == "INIT" else _PARITY) // 256
    features = np.concatenate(
        [table.vectors[f"RAMB18_Y{half}.{kind}_{row:02X}"] for row in range(rows)]
    )
    offsets = table.ones[table.one_start[features]]
    assert (table.one_count[features] == 1).all()
    assert offsets.max() < 128 * FRAME_BITS
    return image[tile.base[1] + offsets]


def _check_init(ram: _Ram) -> int:
    """Compare with the INIT parameters; undefined bits may be anything. Returns bits compared."""
    parameters = ram.cell["parameters"]
    for kind, have in (("INIT", ram.data), ("INITP", ram.parity)):
        rows = [
            np.frombuffer(str(parameters.get(f"{kind}_{i:02X}", "")).zfill(256).encode(), np.uint8)
            for i in range(len(have) // 256)
        ]
        want = np.concatenate([row[::-1] for row in rows])
        wrong = np.flatnonzero((want != ord("x")) & ((want == ord("1")) != (have == 1)))
        if len(wrong):
            where = ram.place(kind, int(wrong[0]))
            raise MismatchError(
                f"block RAM {ram.name}: {where} is {have[wrong[0]]} in the bitstream and not in "
                f"the netlist; {len(wrong)} bits differ",
                where,
            )
    return len(ram.data) + len(ram.parity)


def read_memory(path: Path) -> list[int]:
    """Words of a $readmemh file without addresses."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return [int(word, 16) for word in text.split()]


def _check_rom(rom: Rom, rams: list[_Ram], nets: dict[str, Any]) -> int:
    """Compare a memory file with the block RAMs that hold it. Returns bits compared."""
    words = read_memory(rom.file)
    address_bits = _net(rom, nets, "addr")
    data_bits = _net(rom, nets, "data")
    matrix = np.array([[word >> d & 1 for d in range(len(data_bits))] for word in words], np.uint8)
    addresses = np.arange(len(words))
    held = np.zeros(len(data_bits), np.int64)
    for column, net in enumerate(data_bits):
        if net in ("0", "1"):  # the same in every word: Yosys keeps no memory for it
            held[column] = 1
            wrong = np.flatnonzero(matrix[:, column] != int(net))
            if len(wrong):
                where = f"{rom.label}, word {wrong[0]}, bit {column}"
                raise MismatchError(
                    f"{where}: {1 - int(net)} in {rom.file.name}, always {net} in the netlist",
                    where,
                )
    compared = int((held == 0).sum()) * len(words)
    for ram in rams:
        outputs, address, width = _read_port(ram)
        row = np.zeros(len(words), np.int64)
        for place, net in enumerate(address[(width - 1).bit_length() :]):
            if isinstance(net, int) and net in address_bits:
                row |= (addresses >> address_bits.index(net) & 1) << place
            elif net == "1":
                row |= 1 << place
            elif net != "0":
                raise UserError(f"{ram.name}: an address pin is none of {rom.rom}.addr")
        for kind, position, net in outputs:
            if net not in data_bits:
                continue
            column = data_bits.index(net)
            held[column] += 1
            size = width if kind == "INIT" else width // 8
            contents = ram.data if kind == "INIT" else ram.parity
            bits = row * size + position
            if bits.max() >= len(contents):
                raise UserError(f"{ram.name}: address pins of {rom.rom} reach beyond it")
            wrong = np.flatnonzero(contents[bits] != matrix[:, column])
            if len(wrong):
                word = int(wrong[0])
                where = f"{rom.label}, word {word}, bit {column}"
                raise MismatchError(
                    f"{where}: {matrix[word, column]} in {rom.file.name}, "
                    f"{contents[bits[word]]} in the bitstream, at "
                    f"{ram.place(kind, int(bits[word]))}",
                    where,
                )
    if not (held == 1).all():
        column = int(np.argmax(held != 1))
        raise UserError(
            f"{rom.label}: bit {column} is in {held[column]} block RAM outputs, so its contents "
            "cannot be told from the netlist"
        )
    return compared


def _net(rom: Rom, nets: dict[str, Any], port: str) -> list[int | str]:
    entry = nets.get(f"{rom.rom}.{port}")
    if entry is None:
        raise UserError(f"{rom.label}: the netlist has no net {rom.rom}.{port}")
    return entry["bits"]


def _read_port(ram: _Ram) -> tuple[list[tuple[str, int, int | str]], list[int | str], int]:
    """(INIT or INITP, bit of the word, net) of each output, address nets, data bits of a word."""
    parameters, pins = ram.cell["parameters"], ram.cell["connections"]
    widths = {port: int(str(parameters.get(f"READ_WIDTH_{port}", "0")), 2) for port in "AB"}
    port = "A" if widths["A"] else "B"
    full = widths[port]
    both = full > (18 if len(ram.halves) == 1 else 36)  # simple dual port: the outputs of both
    data, parity = (
        pins["DOADO"] + pins["DOBDO"] if both else pins[f"DO{port}DO"],
        pins["DOPADOP"] + pins["DOPBDOP"] if both else pins[f"DOP{port}DOP"],
    )
    width = full // 9 * 8 if full >= 9 else full
    outputs = [("INIT", i, net) for i, net in enumerate(data[:width])]
    outputs += [("INITP", i, net) for i, net in enumerate(parity[: full - width])]
    address = pins["ADDRARDADDR" if port == "A" else "ADDRBWRADDR"]
    return outputs, address[:15] if len(ram.halves) == 2 else address, width
