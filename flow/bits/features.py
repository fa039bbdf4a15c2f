"""What the features of each tile set, in a form that a netlist can be made from.

A placed design is a set of features. Routing switches are left to `bits.routing`; the rest sets up
sites: flags such as `SLICEM_X0.FFSYNC`, and numbers such as `SLICEM_X0.ALUT.INIT`. Only what is
listed here is understood; any other feature that sets a bit is refused by name.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from flow.bits.fasm import Group, Placed
from flow.bits.xray import BITS, NOTHING
from flow.errors import UserError


class NetlistError(UserError):
    """The FASM holds something that cannot be modelled; the message names it."""


# Features that the extractor understands, by tile type. A placed feature that sets something and
# matches none of these is refused. Routing switches are not listed: all are understood.
_UNDERSTOOD = {
    "CLB": r"SLICE[LM]_X[01]\.([A-D]LUT\.(INIT|DI1MUX\.\w+)|[A-D]5?FF\.Z(INI|RST)|[A-D]5FFMUX\.\w+|"
    r"[A-D](FF|OUT)MUX\.(?!MC31)\w+|CARRY4\.[A-D]CY0|PRECYINIT\.\w+|FFSYNC|(NO)?CLKINV|CEUSEDMUX|"
    r"SRUSEDMUX)",
    "BRAM": r"RAMB18_Y[01]\.(IN_USE|(READ|WRITE)_WIDTH_[AB]_\d+|SDP_(READ|WRITE)_WIDTH_36|"
    r"INITP?_..|WRITE_MODE_[AB]_\w+|Z(INIT|SRVAL)_[AB]|ZINV_\w+|RDADDR_COLLISION_\w+|RSTREG_PRIORITY_\w+)|"
    r"CASCOUT_(ARD|BWR)_ACTIVE|RAMB36\.RAM_EXTENSION_[AB]_NONE_OR_UPPER",
    "CLK_BUFG": r"BUFGCTRL\.BUFGCTRL_X0Y\d+\.\w+|GCLK\d+_ENABLE_(ABOVE|BELOW)",
    "CLK_HROW": r"BUFHCE\.BUFHCE_X\dY\d+\.\w+|CLK_HROW_\w+_ACTIVE",
    "HCLK": r"ENABLE_BUFFER\.HCLK_CK_BUFHCLK\d+|HCLK_CMT_CK_BUFHCLK\d+_USED|"
    r"HCLK_CMT_CCIO\d+_(ACTIVE|USED)",
    "RIOB33": r"IOB_Y[01]\.(\w+\.DRIVE\.\w+|\w+\.SLEW\.\w+|PULLTYPE\.NONE)",
    "RIOI3": r"OLOGIC_Y[01]\.(OMUX\.D1|OQUSED|OSERDES\.DATA_RATE_TQ\.BUF|IS_D1_INVERTED|ZINV_T1)",
    "CFG_CENTER": r"ALWAYS_ON_PROP\d",
}
_UNDERSTOOD["LIOB33"], _UNDERSTOOD["LIOI3"] = _UNDERSTOOD["RIOB33"], _UNDERSTOOD["RIOI3"]

# A switch that carries nothing until another feature is set: (tile type, switch, the feature).
_COMPANIONS = [
    ("HCLK_[LR]", r"HCLK_LEAF_CLK_B_\w+\.HCLK_CK_BUFHCLK(\d+)", r"ENABLE_BUFFER.HCLK_CK_BUFHCLK\1"),
    (
        "CLK_HROW",
        r"CLK_HROW_CK_MUX_OUT_\w+\.CLK_HROW_R_CK_GCLK(\d+)",
        r"CLK_HROW_R_CK_GCLK\1_ACTIVE",
    ),
    ("CLK_HROW", r"\w+\.CLK_HROW_CK_IN_([LR]\d+)", r"CLK_HROW_CK_IN_\1_ACTIVE"),
    ("CLK_BUFG_REBUF", r"\w+GCLK(\d+)_TOP\.\w+_BOT", r"GCLK\1_ENABLE_ABOVE"),
    ("CLK_BUFG_REBUF", r"\w+GCLK(\d+)_BOT\.\w+_TOP", r"GCLK\1_ENABLE_BELOW"),
    ("BRAM", r"BRAM_CASCOUT_ADDR(ARD|BWR)ADDRU\d+\.\w+", r"CASCOUT_\1_ACTIVE"),
]


@dataclass
class Settings:
    """What a tile's features set: names without a value, and numbers such as LUT contents."""

    flags: set[str] = field(default_factory=set)
    values: dict[str, int] = field(default_factory=dict)


def settings(placed: Placed) -> dict[str, Settings]:
    """The settings of every tile that has any, by tile name; routing switches are left out."""
    found: dict[str, Settings] = defaultdict(Settings)
    indexed = re.compile(r"(.*)\[(\d+)\]")
    for group in placed.groups:
        names, table = group.table.names, group.table
        stems: dict[str, int] = {}
        stem = np.full(len(names), NOTHING, np.int64)
        place = np.zeros(len(names), np.int64)
        for f in np.unique(group.feature).tolist():
            if match := indexed.fullmatch(names[f]):
                stem[f] = stems.setdefault(match[1], len(stems))
                place[f] = int(match[2])
        plain = (stem[group.feature] == NOTHING) & (table.destination[group.feature] == NOTHING)
        for i in np.flatnonzero(plain).tolist():
            found[group.tiles[group.tile[i]].name].flags.add(names[group.feature[i]])
        vector = np.flatnonzero(stem[group.feature] != NOTHING)
        if not len(vector):
            continue
        key = group.tile[vector] * len(stems) + stem[group.feature[vector]]
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        stem_names = list(stems)
        for members in np.split(vector[order], starts[1:]):
            first = members[0]
            tile = group.tiles[group.tile[first]].name
            bits = np.zeros(1 + int(place[group.feature[members]].max()), np.uint8)
            bits[place[group.feature[members]]] = 1
            value = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
            found[tile].values[stem_names[stem[group.feature[first]]]] = value
    return dict(found)


def check_understood(placed: Placed) -> None:
    """Raise NetlistError for a placed feature whose meaning is not known here.

    Also for a switch whose enabling feature is missing.
    """
    for group in placed.groups:
        table = group.table
        type_ = next((t for t in _UNDERSTOOD if table.type.startswith(t)), None)
        pattern = re.compile(_UNDERSTOOD[type_] if type_ else r"(?!)")
        for f in np.unique(group.feature).tolist():
            name = table.names[f].partition("[")[0]
            setting = table.destination[f] == NOTHING and table.kind[f] == BITS
            if setting and not pattern.fullmatch(name):
                i = int(np.argmax(group.feature == f))
                raise NetlistError(f"{group.name(i)}: a netlist cannot be made of this feature")
            for tile_type, switch, companion in _COMPANIONS:
                match = re.match(tile_type, table.type) and re.fullmatch(switch, name)
                if match:
                    _check_companion(group, f, match.expand(companion))


def _check_companion(group: Group, feature: int, companion: str) -> None:
    other = group.table.scalars.get(companion, NOTHING)
    without = np.setdiff1d(group.tile[group.feature == feature], group.tile[group.feature == other])
    if len(without):
        tile = group.tiles[int(without[0])].name
        name = group.table.names[feature]
        raise NetlistError(f"{tile}.{name} carries nothing: {tile}.{companion} is not set")
