"""The boards that a bitstream can be built for: one folder each in hw/boards, with a board.toml."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flow.errors import UserError
from flow.paths import BOARDS, ROOT

BUILDS = {"open": ("open", "vivado"), "vitis": ("vitis",)}
"""The toolchain in board.toml -> those that can build for the board."""


Region = tuple[int, int, int, int]
"""Corners x0, y0, x1, y1 in nextpnr's grid, all inside."""


@dataclass(frozen=True)
class Board:
    """Facts of a board; see the comments in its board.toml.

    `top` is the module of the whole programmable logic: the shell around the accelerator core.
    `toolchain` is what builds its bitstreams where nothing else is asked for. With "vitis" there
    are a `platform` and the clock `kernel_mhz` to ask for, and `constraints` are for the linker;
    else there is the clock's source, `pll_mhz`. `resources` are what the device offers: lut, ff,
    bram36 (blocks of 36 kbit), dsp. `border`: where the flip-flops at the pins of each port of the
    PS7 are placed (border.py).
    """

    name: str
    title: str
    part: str
    top: str
    constraints: Path
    sources: tuple[Path, ...]
    slow: tuple[str, ...]
    pll_mhz: float
    max_divisor: int
    resources: dict[str, int]
    toolchain: str = "open"
    platform: str = ""
    kernel_mhz: float = 0.0
    border: dict[str, Region] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """All that it is made of: board.toml, constraints, sources, relative to the repository."""
        paths = (self.constraints.with_name("board.toml"), self.constraints, *self.sources)
        return tuple(str(path.relative_to(ROOT)) for path in paths)

    def clock_at_most(self, mhz: float) -> float:
        """The fastest clock in MHz the board can make that is not faster than `mhz`."""
        slowest = self.max_divisor**2
        for total in range(max(1, math.ceil(self.pll_mhz / mhz - 1e-9)), slowest + 1):
            divisors = range(1, self.max_divisor + 1)
            if any(total % d == 0 and total // d <= self.max_divisor for d in divisors):
                return self.pll_mhz / total
        raise UserError(
            f"board {self.name}: no clock of {mhz:g} MHz or less; "
            f"the slowest is {self.pll_mhz / slowest:.3g} MHz"
        )


def built_with(board: Board, toolchain: str | None) -> Board:
    """The board, to be built with this toolchain if one is given; UserError if it cannot be."""
    if toolchain is not None and toolchain not in BUILDS[board.toolchain]:
        can = ", ".join(BUILDS[board.toolchain])
        raise UserError(
            f"{toolchain!r} does not build for board {board.name}; it is built by: {can}"
        )
    return replace(board, toolchain=toolchain or board.toolchain)


def names(folder: Path = BOARDS) -> list[str]:
    """Names of all boards."""
    return sorted(path.parent.name for path in folder.glob("*/board.toml"))


def load(name: str, folder: Path = BOARDS) -> Board:
    """Read a board; an unknown one, or an unknown or missing key, is a UserError."""
    if name not in names(folder):
        raise UserError(f"no board {name!r}; there are: {', '.join(names(folder)) or 'none'}")
    path = folder / name / "board.toml"
    try:
        body = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from error
    toolchain = body.pop("toolchain", "open")
    if toolchain not in BUILDS:
        raise UserError(f"{path}: toolchain {toolchain!r}; there are: {', '.join(BUILDS)}")
    vitis = toolchain == "vitis"
    border = {port: tuple(corners) for port, corners in body.pop("border", {}).items()}
    if wrong := [port for port, corners in border.items() if len(corners) != 4]:
        raise UserError(f"{path}: [border] {wrong[0]} needs four numbers: x0, y0, x1, y1")
    taken = _Taken(path, body)
    clock = _Taken(path, taken("clock", dict))
    board = Board(
        name=name,
        title=taken("title", str),
        part=taken("part", str),
        top=taken("top", str),
        constraints=path.parent / taken("constraints", str),
        sources=tuple(ROOT / source for source in taken("sources", list)),
        slow=() if vitis else tuple(taken("slow", list)),
        pll_mhz=0.0 if vitis else float(clock("pll_mhz", (int, float))),
        max_divisor=0 if vitis else clock("max_divisor", int),
        resources=taken("resources", dict),
        toolchain=toolchain,
        platform=taken("platform", str) if vitis else "",
        kernel_mhz=float(clock("kernel_mhz", (int, float))) if vitis else 0.0,
        border=border,
    )
    clock.nothing_left()
    taken.nothing_left()
    if missing := {"lut", "ff", "bram36", "dsp"} ^ board.resources.keys():
        raise UserError(f"{path}: [resources] needs lut, ff, bram36 and dsp: {sorted(missing)}")
    for file in (board.constraints, *board.sources):
        if not file.is_file():
            raise UserError(f"{path}: names {file}, which is not there")
    return board


class _Taken:
    """Keys of a TOML table, each asked for once with its type."""

    def __init__(self, path: Path, table: dict[str, Any]):
        self.path, self.table = path, dict(table)

    def __call__(self, key: str, kind: type | tuple[type, ...]) -> Any:
        if key not in self.table:
            raise UserError(f"{self.path}: key {key!r} is missing")
        value = self.table.pop(key)
        if not isinstance(value, kind):
            raise UserError(f"{self.path}: key {key!r} has the wrong type: {value!r}")
        return value

    def nothing_left(self) -> None:
        if self.table:
            raise UserError(f"{self.path}: unknown key {next(iter(self.table))!r}")
