"""Read a .bit file back and compare every configuration feature with what was placed.

`bitread` (Project X-Ray) unpacks the .bit file to frames. `decode` then finds, from the bits alone,
every feature of every tile whose pattern of ones and zeros is there. The decoded features and the
features of the FASM file must be the same set:

- missing: placed, but not in the bitstream; a bit that should be set and is not is listed too;
- extra: in the bitstream, but not placed; a set bit that no decoded feature explains is listed too.

Two kinds of features need care. One that sets no bit (a fixed connection, a default) cannot be
decoded; its zeros were checked when it was placed, and the comparison leaves it out. One whose bits
are part of a larger decoded feature's bits (an I/O buffer's weaker drive within its stronger one)
is implied by the larger and is no feature of its own, unless it was placed.

What this proves: our assembler, xc7frames2bit and the file. What it does not: that nextpnr wrote
the right FASM; for that see `flow.netlist` and `check_bram`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flow import fasm, tools
from flow.errors import MismatchError, UserError
from flow.fasm import Group, Placed
from flow.xray import BUSES, NOTHING, WORDS, Database, FeatureTable, Tile, expand, load


@dataclass(frozen=True)
class ReadBack:
    """The comparison of a bitstream with its FASM.

    features: decoded features compared, each counted once, bits of contents included.
    missing, extra: full feature names, or places of bits; empty when all is equal.
    bits: bits set in the bitstream, checksums of frames left out.
    """

    features: int
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    bits: int = 0

    def check(self) -> "ReadBack":
        """Return self, or raise MismatchError that names the first difference."""
        for kind, names in (("missing from", self.missing), ("extra in", self.extra)):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise MismatchError(
                    f"the bitstream differs from the FASM: {names[0]}{more} {kind} the bitstream",
                    names[0],
                )
        return self


def read_back(bit: Path, fasm_path: Path, part: str) -> ReadBack:
    """Compare the .bit file with the FASM file and the part's required features."""
    placed = fasm.read(fasm_path, part)
    return compare(read_bit(bit, part), placed)


def read_bit(bit: Path, part: str) -> np.ndarray:
    """Unpack a .bit file with bitread: one byte for each bit of the device, (frames * 3232,)."""
    database = load(part)
    folder = bit.parent.resolve()
    text = bit.with_name(bit.name + ".frames")
    tools.run(
        "bitread",
        "--part_file",
        database.folder / part / "part.yaml",
        "-z",
        "-o",
        text.name,
        bit.name,
        cwd=folder,
        log=bit.with_name("bitread.log"),
    )
    image = np.zeros((len(database.frames), WORDS), "<u4")
    for block in text.read_text().split(".frame ")[1:]:
        address, *words = block.split()
        if len(words) != WORDS:
            raise UserError(f"{bit}: frame {address} has {len(words)} words, not {WORDS}")
        try:
            row = database.row(int(address, 16))
        except KeyError as error:
            raise UserError(f"{bit}: {error.args[0]}: is it a bitstream for {part}?") from None
        image[row] = np.array([int(word, 16) for word in words], np.uint32)
    text.unlink()
    return np.unpackbits(image.view(np.uint8), axis=1, bitorder="little").reshape(-1)


@dataclass
class Decoded:
    """All features found in the bits, by table and tile.

    found: for each table, (tiles, tile index, feature number), none twice.
    unexplained: flat positions of set bits that belong to no found feature.
    """

    found: list[tuple[FeatureTable, list[Tile], np.ndarray, np.ndarray]]
    unexplained: np.ndarray


def decode(image: np.ndarray, database: Database) -> Decoded:
    """Find every feature whose bits are all as the database lists them.

    A feature counts when all its ones are set and all its zeros are not; it must have a one.
    """
    explained = np.zeros(len(image), np.uint8)
    found = []
    for table, tiles in _touched_tiles(image, database):
        tile, feature = _matches(image, table, tiles)
        if len(tile):
            bases = np.array([t.base for t in tiles], np.int64)
            offsets, owner = expand(table.one_start, table.ones, feature)
            explained[bases[tile[owner], table.bus[feature[owner]]] + offsets] = 1
            found.append((table, tiles, tile, feature))
    return Decoded(found, np.flatnonzero((image == 1) & (explained == 0)))


def _touched_tiles(
    image: np.ndarray, database: Database
) -> Iterator[tuple[FeatureTable, list[Tile]]]:
    """Tiles with a set bit in their part of the frames, by feature table."""
    words = np.asarray(image.reshape(-1, WORDS, 32).any(axis=2))
    groups: dict[str, list[Tile]] = {}
    for tile in database.tiles.values():
        for span in tile.span:
            if span is not None:
                row, frames, first, count = span
                if words[row : row + frames, first : first + count].any():
                    groups.setdefault(f"{tile.type}/{tile.bits_type}", []).append(tile)
                    break
    for tiles in groups.values():
        yield database.table_of(tiles[0]), tiles


_CHUNK = 1 << 24
"""Bits compared at a time, to bound the memory."""


def _matches(
    image: np.ndarray, table: FeatureTable, tiles: list[Tile]
) -> tuple[np.ndarray, np.ndarray]:
    """Tile index and number of each feature found, (matches,) twice."""
    tile_found, feature_found = [], []
    all_bases = np.array([tile.base for tile in tiles], np.int64)
    for bus in range(len(BUSES)):
        candidates = np.flatnonzero((table.one_count > 0) & (table.bus == bus))
        usable = np.flatnonzero(all_bases[:, bus] != NOTHING)
        if not len(candidates) or not len(usable):
            continue
        ones, owner = expand(table.one_start, table.ones, candidates)
        zeros, zero_owner = expand(table.zero_start, table.zeros, candidates)
        step = max(1, _CHUNK // max(1, len(ones) + len(zeros)))
        for start in range(0, len(usable), step):
            part = usable[start : start + step]
            base = all_bases[part, bus][:, None]
            good = np.ones((len(part), len(candidates)), bool)
            _demand(good, _bits(image, base + ones) == 1, owner)
            if len(zeros):
                _demand(good, _bits(image, base + zeros) == 0, zero_owner)
            tile, feature = np.nonzero(good)
            tile_found.append(part[tile])
            feature_found.append(candidates[feature])
    if not tile_found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(tile_found), np.concatenate(feature_found)


def _bits(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return np.take(image, positions, mode="clip")


def _demand(good: np.ndarray, satisfied: np.ndarray, owner: np.ndarray) -> None:
    """Clear good[t, f] where any of feature f's bits is not satisfied in tile t."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    good[:, owner[starts]] &= np.logical_and.reduceat(satisfied, starts, axis=1)


def compare(image: np.ndarray, placed: Placed) -> ReadBack:
    """Compare the bits of a bitstream with the placed features."""
    database = placed.database
    wanted = {id(group.table): group for group in placed.groups}
    decoded = decode(image, database)
    missing: list[str] = []
    extra: list[str] = []
    features = 0
    for table, tiles, tile, feature in decoded.found:
        group = wanted.pop(id(table), None) or Group(table)
        want, have = (
            _keys(table, group.tiles, group.tile, group.feature),
            _keys(table, tiles, tile, feature),
        )
        lost = np.flatnonzero((want >= 0) & ~np.isin(want, have))
        missing += [group.name(i) for i in lost.tolist()]
        surplus = [
            i
            for i in np.flatnonzero(~np.isin(have, want)).tolist()
            if not _implied(table, feature[i], feature[tile == tile[i]].tolist())
        ]
        extra += [f"{tiles[tile[i]].name}.{table.names[feature[i]]}" for i in surplus]
        features += int(np.isin(have, want).sum()) + len(surplus)
    for group in wanted.values():
        lost = np.flatnonzero(group.table.one_count[group.feature] > 0)
        missing += [group.name(i) for i in lost.tolist()]
    missing += _places(database, placed.ones[image[placed.ones] == 0])
    extra += _places(database, np.flatnonzero((image == 1) & (placed.image == 0)))
    extra += _places(database, decoded.unexplained[placed.image[decoded.unexplained] == 1])
    return ReadBack(features, missing, extra, int(image.sum()))


def _keys(
    table: FeatureTable, tiles: list[Tile], tile: np.ndarray, feature: np.ndarray
) -> np.ndarray:
    """One number for each (tile, feature) of a table; -1 for a feature without ones."""
    numbers = np.array([t.number for t in tiles], np.int64)
    keys = numbers[tile] * len(table.names) + feature if len(tile) else tile
    return np.where(table.one_count[feature] > 0, keys, NOTHING)


def _implied(table: FeatureTable, feature: int, present: list[int]) -> bool:
    """Whether the feature's ones are a part of those of another feature in the same tile."""
    own = set(table.ones_of(feature).tolist())
    return any(
        table.bus[other] == table.bus[feature] and own < set(table.ones_of(other).tolist())
        for other in present
    )


def _places(database: Database, positions: np.ndarray) -> list[str]:
    return [database.position_name(int(position)) for position in positions]
