"""The Project X-Ray database of a part: tiles, features, and the configuration bits they set.

Source of every fact: the text files of the `prjxray-database` package (`tilegrid.json`,
`segbits_*.db`, `ppips_*.db`, `part.json`). A feature is a named setting of one tile, for example
`CLBLM_R_X71Y99.SLICEM_X0.ALUT.INIT[3]`: tile, then a name that is the same for all tiles of a type.

Positions. A frame is 101 words of 32 bits and the smallest unit that can be written. Every frame
of the part has a row number here, and a bit of the device has the flat position
`row * 3232 + word * 32 + bit`. A segbits entry `F_B` of a tile with base address A and word offset
W is bit `B % 32` of word `W + B // 32` of frame `A + F`, so with row(A) known it lies at
`row(A) * 3232 + W * 32 + F * 3232 + B`: one addition per bit.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np

from flow import tools
from flow.errors import UserError

WORDS = 101
"""Words of 32 bits in a frame."""
FRAME_BITS = WORDS * 32

BUSES = ("CLB_IO_CLK", "BLOCK_RAM")
"""The two address spaces of frames: logic and routing; contents of block RAMs."""
_SEGBITS = {"CLB_IO_CLK": "segbits_{}.db", "BLOCK_RAM": "segbits_{}.block_ram.db"}

BITS, ALWAYS, DEFAULT, HINT = "bits", "always", "default", "hint"
"""Kinds of features: sets bits; a connection that is always there; one that is there when no other
feature drives its wire; a way through a site, which is no connection of its own."""

NOTHING = -1


@dataclass(frozen=True)
class Tile:
    """One tile of the grid.

    `base[b]` is the flat position of the tile's bit 00_00 on bus b, or -1 where it has none.
    `bits_type` is the type whose segbits file applies: an alias for the half tiles at bank ends.
    `span[b]` is (row of the first frame, frames, first word, words) as the grid lists it.
    """

    number: int
    name: str
    type: str
    bits_type: str
    x: int
    y: int
    base: tuple[int, int]
    span: tuple[tuple[int, int, int, int] | None, tuple[int, int, int, int] | None]
    sites: dict[str, str]


@dataclass
class FeatureTable:
    """All features of one tile type.

    Feature i is named `names[i]` and lives on bus `bus[i]`. It demands ones at the offsets
    `ones[one_start[i]:one_start[i + 1]]` from the tile's base, and zeros at those of `zeros`
    likewise. Pseudo features, which name a fixed connection and set no bit, have empty lists.
    """

    type: str
    wires: dict[str, object] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    scalars: dict[str, int] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    bus: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    ones: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    one_start: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    zeros: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    zero_start: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    @cached_property
    def one_count(self) -> np.ndarray:
        """How many ones each feature demands, (features,)."""
        return np.diff(self.one_start)

    @cached_property
    def destination(self) -> np.ndarray:
        """The number of the wire that a routing feature drives, -1 for others, (features,).

        Two features of a tile that drive one wire are a short circuit, whatever their bits say.
        """
        found = np.full(len(self.names), NOTHING, np.int64)
        numbers = {wire: i for i, wire in enumerate(self.wires)}
        for i, name in enumerate(self.names):
            head, _, tail = name.partition(".")
            if head in numbers and tail in numbers and self.kind[i] != HINT:
                found[i] = numbers[head]
        return found

    def ones_of(self, feature: int) -> np.ndarray:
        """Offsets that the feature demands to be one."""
        return self.ones[self.one_start[feature] : self.one_start[feature + 1]]


_INDEXED = re.compile(r"(.*)\[(\d+)\]")


class Database:
    """The database of one part; tables are read when first needed."""

    def __init__(self, part: str, root: Path | None = None):
        self.part = part
        self.folder = (root or database_root()) / "zynq7"
        device = re.match(r"xc7[a-z]\d+", part)
        if not device or not (self.folder / part / "part.json").exists():
            raise UserError(f"unknown part {part!r}: no folder of that name in {self.folder}")
        self.fabric = self.folder / device.group()
        self._tables: dict[str, FeatureTable] = {}

    @cached_property
    def frames(self) -> np.ndarray:
        """Addresses of the frames that configure the part, ascending, (rows,)."""
        layout = json.loads((self.folder / self.part / "part.json").read_text())
        found = []
        for half, rows in layout["global_clock_regions"].items():
            for row, region in rows["rows"].items():
                for bus, columns in region["configuration_buses"].items():
                    for column, entry in columns["configuration_columns"].items():
                        # Frame address register of 7-series: UG470, table 5-24.
                        start = (
                            BUSES.index(bus) << 23
                            | (half == "bottom") << 22
                            | int(row) << 17
                            | int(column) << 7
                        )
                        found.append(np.arange(start, start + entry["frame_count"]))
        return np.sort(np.concatenate(found))

    def row(self, address: int) -> int:
        """Row number of the frame at `address`; KeyError where the part has no such frame."""
        row = int(np.searchsorted(self.frames, address))
        if row == len(self.frames) or self.frames[row] != address:
            raise KeyError(f"the part has no frame 0x{address:08x}")
        return row

    def position_name(self, position: int) -> str:
        """A flat position as people write it: frame, word, bit."""
        row, rest = divmod(position, FRAME_BITS)
        return f"frame 0x{self.frames[row]:08x} word {rest // 32} bit {rest % 32}"

    @cached_property
    def tiles(self) -> dict[str, Tile]:
        """All tiles of the device by name."""
        grid = json.loads((self.fabric / "tilegrid.json").read_text())
        return {
            name: self._tile(number, name, entry)
            for number, (name, entry) in enumerate(grid.items())
        }

    def _tile(self, number: int, name: str, entry: dict) -> Tile:
        bits_type = entry["type"]
        base = [NOTHING, NOTHING]
        span: list[tuple[int, int, int, int] | None] = [None, None]
        for bus, bits in entry["bits"].items():
            offset = bits["offset"]
            if "alias" in bits:  # half tiles use the upper or lower half of a whole tile's bits
                bits_type = bits["alias"]["type"]
                offset -= bits["alias"]["start_offset"]
            row = self.row(int(bits["baseaddr"], 16))
            base[BUSES.index(bus)] = row * FRAME_BITS + offset * 32
            span[BUSES.index(bus)] = (row, bits["frames"], bits["offset"], bits["words"])
        return Tile(
            number,
            name,
            entry["type"],
            bits_type,
            entry["grid_x"],
            entry["grid_y"],
            (base[0], base[1]),
            (span[0], span[1]),
            entry["sites"],
        )

    @cached_property
    def at(self) -> dict[tuple[int, int], Tile]:
        """Tiles by their place (x, y) in the grid."""
        return {(tile.x, tile.y): tile for tile in self.tiles.values()}

    def table(self, tile_type: str, bits_type: str | None = None) -> FeatureTable:
        """Features of a tile type; half tiles add the pseudo features of their own type."""
        bits_type = bits_type or tile_type
        key = f"{tile_type}/{bits_type}"
        if key not in self._tables:
            self._tables[key] = self._read_table(tile_type, bits_type)
        return self._tables[key]

    def table_of(self, tile: Tile) -> FeatureTable:
        """Features of one tile."""
        return self.table(tile.type, tile.bits_type)

    @cache  # noqa: B019 (one database lives per process)
    def layout(self, tile_type: str) -> dict:
        """Wires, routing switches and sites of a tile type, as tile_type_*.json has them."""
        return json.loads((self.folder / f"tile_type_{tile_type}.json").read_text())

    def _read_table(self, tile_type: str, bits_type: str) -> FeatureTable:
        table = FeatureTable(tile_type, self.layout(tile_type)["wires"])
        ones: list[list[int]] = []
        zeros: list[list[int]] = []
        bus: list[int] = []
        vectors: dict[str, dict[int, int]] = {}

        def add(name: str, kind: str) -> bool:
            indexed = _INDEXED.fullmatch(name)
            stem, index = (indexed.group(1), int(indexed.group(2))) if indexed else (name, 0)
            slots = vectors.setdefault(stem, {})
            if index in slots:
                return False
            slots[index] = len(table.names)
            table.names.append(f"{stem}[{index}]" if indexed else name)
            table.kind.append(kind)
            return True

        for number, name_of_bus in enumerate(BUSES):
            path = self.folder / _SEGBITS[name_of_bus].format(bits_type.lower())
            for name, words in _entries(path):
                if not add(name, BITS):
                    raise UserError(f"{path}: the feature {name} is listed twice")
                bus.append(number)
                ones.append([_offset(w) for w in words if w[0] != "!"])
                zeros.append([_offset(w[1:]) for w in words if w[0] == "!"])
        for type_ in dict.fromkeys((tile_type, bits_type)):
            for name, words in _entries(self.folder / f"ppips_{type_.lower()}.db"):
                if add(name, words[0] if words else ALWAYS):
                    bus.append(0)
                    ones.append([])
                    zeros.append([])
        table.bus = np.array(bus, np.int8)
        table.one_start, table.ones = _ragged(ones)
        table.zero_start, table.zeros = _ragged(zeros)
        for stem, slots in vectors.items():
            table.scalars[stem] = slots.get(0, NOTHING)
            if len(slots) > 1:
                numbers = np.full(max(slots) + 1, NOTHING, np.int64)
                numbers[list(slots)] = list(slots.values())
                table.vectors[stem] = numbers
        return table

    @cached_property
    def required(self) -> Path:
        """FASM of the features that every bitstream of the part has."""
        return self.folder / self.part / "required_features.fasm"


def _entries(path: Path):
    """Name without the tile type, and the remaining words, of every line of a .db file."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        words = line.split()
        if words:
            yield words[0].partition(".")[2], words[1:]


def _offset(word: str) -> int:
    frame, bit = word.split("_")
    return int(frame) * FRAME_BITS + int(bit)


def _ragged(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of different lengths as (starts, values)."""
    start = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(entry) for entry in lists], out=start[1:])
    return start, np.array([value for entry in lists for value in entry], np.int64)


def expand(
    start: np.ndarray, values: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ragged lists of `rows`, end to end, and for each value the place of its row in `rows`."""
    count = start[rows + 1] - start[rows]
    owner = np.repeat(np.arange(len(rows)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return values[np.repeat(start[rows], count) + within], owner


def inside(
    tiles: list[Tile], tile: np.ndarray, bus: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Whether each flat position lies in the words of its tile on a bus, (positions,) of bool.

    tile, bus: which of `tiles` and which bus, for each position.
    """
    span = np.array([s[2:] if s else (0, 0) for t in tiles for s in t.span], np.int64)
    first, count = span.reshape(-1, 2, 2)[tile, bus].T if len(tile) else (tile, tile)
    word = positions % FRAME_BITS // 32
    return (word >= first) & (word < first + count)


def database_root() -> Path:
    """Where `make setup` put the database."""
    return tools.data("usr/share/prjxray/database")


@lru_cache(maxsize=2)
def load(part: str) -> Database:
    """The database of a part, read once per process."""
    return Database(part)
