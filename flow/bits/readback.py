"""Read a .bit file back and compare every configuration feature with what was placed.

`bits.decode` finds every feature that the bits show. These and the features of the FASM file must
be the same set:

- missing: placed, but not in the bitstream; a bit that should be set and is not is listed too;
- extra: in the bitstream, but not placed; a set bit that no decoded feature explains is listed too.

Two kinds of features need care. One that sets no bit (a fixed connection, a default) cannot be
decoded; its zeros were checked when it was placed, and the comparison leaves it out. One whose bits
are part of a larger decoded feature's bits (an I/O buffer's weaker drive within its stronger one)
is implied by the larger and is no feature of its own, unless it was placed.

What this proves: our assembler, xc7frames2bit and the file. What it does not: that nextpnr wrote
the right FASM; for that see `flow.bits.netlist` and `check_bram`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flow.bits import fasm
from flow.bits.bram import check_bram
from flow.bits.decode import decode, read_bit
from flow.bits.fasm import Group, Placed
from flow.bits.xray import NOTHING, Database, FeatureTable, Tile
from flow.errors import MismatchError

__all__ = ["ReadBack", "check_bram", "compare", "read_back"]


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
