"""From FASM, the text of a placed and routed design, to configuration frames and a .bit file.

FASM (FPGA assembly, https://fasm.readthedocs.io) lists the features that a design sets, one a line:

    CLBLM_R_X71Y99.SLICEM_X0.AFF.ZRST
    CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[63:0] = 64'b1111000011110000...

A vector sets the features of its ones; its zeros set nothing. The assembler looks each feature up
in the Project X-Ray database (`bits.xray`), sets and checks its bits, and refuses what it does not
know: an unknown feature, two features that want one bit different or drive one wire, a vector that
is given twice with different values. Bits that no feature mentions stay zero.

    placed = read(Path("top.fasm"), part)      # checked features
    assemble(Path("top.fasm"), part, frames)   # the same, written as frames
    write_bit(frames, part, bit)               # xc7frames2bit adds checksums, header and commands
"""

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from flow import tools
from flow.bits.xray import (
    FRAME_BITS,
    NOTHING,
    WORDS,
    Database,
    FeatureTable,
    Tile,
    expand,
    inside,
    load,
)
from flow.errors import UserError


class FasmError(UserError):
    """A FASM file cannot be assembled; the message names file, line and feature."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One line: `tile.name[high:low] = bits`. `bits[i]` is bit low + i, as the byte 48 or 49.

    `bits` is None for a single feature without a value.
    """

    line: int
    tile: str
    name: str
    low: int
    bits: np.ndarray | None


_LINE = re.compile(
    r"(?P<tile>\w+)\.(?P<name>[\w.]+)"
    r"(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?"
    r"(?:\s*=\s*(?:(?P<width>\d+)?\s*'(?P<base>[hbdo])\s*(?P<digits>[0-9A-Fa-f_]+)"
    r"|(?P<decimal>\d+)))?"
    r"\s*(?:\{.*\})?"
)
_BASES = {"b": (2, "01_"), "o": (8, "01234567_"), "d": (10, "0123456789_")}


def parse(path: Path) -> Iterator[Statement]:
    """The statements of a FASM file in order; FasmError names the line that is no FASM."""
    with path.open() as file:
        for number, text in enumerate(file, 1):
            if "=" not in text and "[" not in text and "#" not in text and "{" not in text:
                if text := text.strip():
                    tile, dot, name = text.partition(".")
                    if not dot or " " in text:
                        raise FasmError(f"{path}:{number}: not a FASM feature: {text!r}")
                    yield Statement(number, tile, name, 0, None)
                continue
            text = text.partition("#")[0].strip()
            if not text or text.startswith("{"):
                continue
            match = _LINE.fullmatch(text)
            if not match:
                raise FasmError(f"{path}:{number}: not a FASM feature: {text[:120]!r}")
            yield _statement(path, number, match)


def _statement(path: Path, number: int, match: re.Match) -> Statement:
    high, low, width, base, digits, decimal = match.group(
        "high", "low", "width", "base", "digits", "decimal"
    )
    top = int(high) if high is not None else 0
    bottom = int(low) if low is not None else top
    room = top - bottom + 1
    radix, allowed = _BASES.get(base, (16, ""))
    if base is None and decimal is None:
        bits = "1"
    elif allowed and set(digits) - set(allowed):
        raise FasmError(f"{path}:{number}: digits that its base does not have: {match[0]!r}")
    elif base == "b":
        bits = digits.replace("_", "").lstrip("0")
    else:
        bits = f"{int(digits.replace('_', ''), radix) if base else int(decimal):b}".lstrip("0")
    # Without a range the width of the value is the range, as nextpnr writes some vectors.
    room = max(room, int(width)) if width and high is None else room
    if room <= 0 or len(bits) > room:
        raise FasmError(f"{path}:{number}: the value has more bits than its range: {match[0]!r}")
    values = np.frombuffer(bits.zfill(room).encode(), np.uint8)[::-1]
    return Statement(number, match["tile"], match["name"], bottom, values)


@dataclass
class Group:
    """Placed features of all tiles that share a feature table.

    Placed feature i is `table.names[feature[i]]` of `tiles[tile[i]]`; sorted, none twice.
    """

    table: FeatureTable
    tiles: list[Tile] = field(default_factory=list)
    tile: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    feature: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def name(self, i: int) -> str:
        """Full name of placed feature i."""
        return f"{self.tiles[self.tile[i]].name}.{self.table.names[self.feature[i]]}"

    @cached_property
    def bases(self) -> np.ndarray:
        """Flat position of bit 00_00 of each tile on each bus, (tiles, 2)."""
        return np.array([tile.base for tile in self.tiles], np.int64).reshape(-1, 2)

    def positions(self, which: str) -> tuple[np.ndarray, np.ndarray]:
        """Flat positions of the "one" or "zero" bits, and which placed feature wants each."""
        table = self.table
        start, values = (
            (table.one_start, table.ones) if which == "one" else (table.zero_start, table.zeros)
        )
        offsets, owner = expand(start, values, self.feature)
        base = self.bases[self.tile[owner], table.bus[self.feature[owner]]]
        found = base + offsets
        # A half tile shares the names of a whole one; half of them lie outside it.
        outside = ~inside(self.tiles, self.tile[owner], table.bus[self.feature[owner]], found)
        if outside.any():
            i = owner[np.argmax(outside)]
            raise FasmError(f"feature {self.name(i)} is unknown: its bits are not in the tile")
        return found, owner


@dataclass
class Placed:
    """Every feature that a FASM file and the part require, looked up and free of conflicts."""

    database: Database
    groups: list[Group]

    @cached_property
    def features(self) -> int:
        """How many features are placed, those without bits included."""
        return sum(len(group.feature) for group in self.groups)

    @cached_property
    def ones(self) -> np.ndarray:
        """Flat positions of all ones, ascending, (bits,)."""
        return np.flatnonzero(self.image)

    @cached_property
    def image(self) -> np.ndarray:
        """One byte for each bit of the device, 1 where it is set, (frames * 3232,)."""
        image = np.zeros(len(self.database.frames) * FRAME_BITS, np.uint8)
        for group in self.groups:
            image[group.positions("one")[0]] = 1
        return image

    def check_bits(self, source: Path) -> None:
        """Raise FasmError where a feature wants a bit zero that another one sets."""
        for group in self.groups:
            positions, owner = group.positions("zero")
            hit = np.flatnonzero(self.image[positions])
            if len(hit):
                position = positions[hit[0]]
                raise FasmError(
                    f"{source}: conflict: {group.name(owner[hit[0]])} needs "
                    f"{self.database.position_name(position)} to be 0, "
                    f"{self.owner(position)} sets it"
                )

    def check_wires(self, source: Path) -> None:
        """Raise FasmError where two features drive one wire."""
        for group in self.groups:
            target = group.table.destination[group.feature]
            routes = np.flatnonzero(target != NOTHING)
            order = routes[np.lexsort((target[routes], group.tile[routes]))]
            same = (np.diff(group.tile[order]) == 0) & (np.diff(target[order]) == 0)
            if same.any():
                first = int(np.argmax(same))
                raise FasmError(
                    f"{source}: conflict: {group.name(order[first])} and "
                    f"{group.name(order[first + 1])} drive the same wire"
                )

    def owner(self, position: int) -> str:
        """Name of a placed feature that sets a bit, for messages."""
        for group in self.groups:
            positions, owner = group.positions("one")
            hit = np.flatnonzero(positions == position)
            if len(hit):
                return group.name(owner[hit[0]])
        return "no placed feature"


def read(path: Path, part: str, database: Database | None = None) -> Placed:
    """Look up all features of a FASM file and those the part requires.

    Raises FasmError for an unknown feature, a conflict, or a line that is no FASM.
    """
    database = database or load(part)
    groups = _look_up(database, path, itertools.chain(parse(path), _required(database)))
    placed = Placed(database, groups)
    placed.check_wires(path)
    placed.check_bits(path)
    return placed


def _required(database: Database) -> Iterable[Statement]:
    return parse(database.required) if database.required.exists() else ()


class _Collector:
    """A group while statements still come in."""

    def __init__(self, table: FeatureTable):
        self.table = table
        self.tiles: list[Tile] = []
        self.single: tuple[list[int], list[int]] = ([], [])
        self.vector: list[tuple[int, np.ndarray]] = []

    def group(self) -> Group:
        tile = [np.array(self.single[0], np.int64)]
        feature = [np.array(self.single[1], np.int64)]
        tile += [np.full(len(found), index) for index, found in self.vector]
        feature += [found for _, found in self.vector]
        count = len(self.table.names)
        key = np.unique(np.concatenate(tile) * count + np.concatenate(feature))
        return Group(self.table, self.tiles, key // count, key % count)


def _look_up(database: Database, path: Path, statements: Iterable[Statement]) -> list[Group]:
    collectors: dict[str, _Collector] = {}
    places: dict[str, tuple[_Collector, int]] = {}
    seen: dict[tuple[str, str, int, int], bytes] = {}
    for statement in statements:
        place = places.get(statement.tile)
        if place is None:
            tile = database.tiles.get(statement.tile)
            if tile is None:
                raise FasmError(
                    f"{_at(path, statement)} is unknown: {database.part} has no such tile"
                )
            collector = collectors.setdefault(
                f"{tile.type}/{tile.bits_type}", _Collector(database.table_of(tile))
            )
            place = places[statement.tile] = (collector, len(collector.tiles))
            collector.tiles.append(tile)
        collector, index = place
        if statement.bits is None:
            feature = collector.table.scalars.get(statement.name, NOTHING)
            if feature == NOTHING:
                raise FasmError(f"{_at(path, statement)} is unknown to the Project X-Ray database")
            collector.single[0].append(index)
            collector.single[1].append(feature)
            continue
        key = (statement.tile, statement.name, statement.low, len(statement.bits))
        if seen.setdefault(key, statement.bits.tobytes()) != statement.bits.tobytes():
            raise FasmError(f"{_at(path, statement)}: conflict: given before with another value")
        features = _vector(collector.table, statement)
        if len(features) and features.min() == NOTHING:
            raise FasmError(f"{_at(path, statement)} is unknown to the Project X-Ray database")
        collector.vector.append((index, features))
    return [collector.group() for collector in collectors.values()]


def _vector(table: FeatureTable, statement: Statement) -> np.ndarray:
    """Feature numbers of a vector's ones; -1 for those that do not exist."""
    assert statement.bits is not None
    set_ = statement.low + np.flatnonzero(statement.bits == ord("1"))
    numbers = table.vectors.get(statement.name)
    if numbers is None:
        numbers = np.array([table.scalars.get(statement.name, NOTHING)])
        if numbers[0] == NOTHING:  # an unknown name is an error even where nothing is set
            return numbers
    inside = set_ < len(numbers)
    return np.where(inside, numbers[np.where(inside, set_, 0)], NOTHING)


def _at(path: Path, statement: Statement) -> str:
    return f"{path}:{statement.line}: feature {statement.tile}.{statement.name}"


def assemble(fasm: Path, part: str, frames: Path) -> Placed:
    """Write the frames of a FASM file, with the part's required features, for `write_bit`.

    Only frames with a bit set are written; `xc7frames2bit` fills the others with zeros.
    Raises FasmError for an unknown feature or a conflict, naming it; then nothing is written.
    """
    placed = read(fasm, part)
    write_frames(placed.image, placed.database, frames)
    return placed


def write_frames(image: np.ndarray, database: Database, path: Path) -> None:
    """Write one byte a bit, (frames * 3232,), as the text that xc7frames2bit reads."""
    words = np.packbits(image.reshape(-1, 32), axis=1, bitorder="little").view("<u4")
    rows = words.reshape(-1, WORDS)
    used = np.flatnonzero(rows.any(axis=1))
    lines = [
        f"0x{database.frames[row]:08X} "
        + ",".join([f"0x{word:08X}" for word in rows[row].tolist()])
        for row in used
    ]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)


def write_bit(frames: Path, part: str, bit: Path) -> Path:
    """Make the .bit file of a .frames file with xc7frames2bit; returns its path.

    The header carries the frames file's name and the date; the payload depends on frames only.
    """
    folder = bit.parent.resolve()
    temporary = bit.with_name(bit.name + ".tmp")
    tools.run(
        "xc7frames2bit",
        "--part_file",
        load(part).folder / part / "part.yaml",
        "--part_name",
        part,
        "--frm_file",
        os.path.relpath(frames.resolve(), folder),
        "--output_file",
        temporary.name,
        cwd=folder,
        log=bit.with_name("xc7frames2bit.log"),
    )
    temporary.replace(bit)
    return bit
