"""From a .bit file back to bits, and from bits back to features.

`read_bit` has `bitread` (Project X-Ray) unpack the frames. `decode` finds every feature of every
tile whose pattern of ones and zeros is there, from the bits and the database alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flow import tools
from flow.bits.xray import BUSES, NOTHING, WORDS, Database, FeatureTable, Tile, expand, inside, load
from flow.errors import UserError


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
        bases = np.array([t.base for t in tiles], np.int64)
        offsets, owner = expand(table.one_start, table.ones, feature)
        bus = table.bus[feature[owner]]
        positions = bases[tile[owner], bus] + offsets
        # Features of a half tile's other half match bits of its neighbours; they do not exist.
        real = np.ones(len(feature), bool)
        real[owner[~inside(tiles, tile[owner], bus, positions)]] = False
        explained[positions[real[owner]]] = 1
        if real.any():
            found.append((table, tiles, tile[real], feature[real]))
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
