"""The description of the shell's registers as objects: `load()` reads and checks registers.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flow.errors import UserError

DESCRIPTION = Path(__file__).with_name("registers.toml")
ACCESS = ("ro", "rw", "wo")


@dataclass(frozen=True)
class Field:
    """Bits `low` to `high` of a register. A register without fields is one field of all bits."""

    name: str
    high: int
    low: int
    access: str
    text: str
    reset: int = 0

    @property
    def width(self) -> int:
        return self.high - self.low + 1

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """32 bits at `offset` of its block. value: what it always reads as, if that is fixed."""

    name: str
    offset: int
    text: str
    fields: tuple[Field, ...]
    whole: bool  # has no fields of its own
    value: int | None = None
    read_pulse: bool = False

    @property
    def readable(self) -> bool:
        return self.value is not None or any(f.access != "wo" for f in self.fields)

    @property
    def writable(self) -> bool:
        return any(f.access != "ro" for f in self.fields)

    @property
    def access(self) -> str:
        return {(True, True): "rw", (True, False): "ro", (False, True): "wo"}[
            self.readable, self.writable
        ]


@dataclass(frozen=True)
class Block:
    """Registers under one name; in the .hwh an instance of its own, as FINN's DMAs are."""

    name: str
    offset: int  # from the base
    size: int  # bytes
    text: str
    registers: tuple[Register, ...]


@dataclass(frozen=True)
class Map:
    """All blocks. Every address of the window that is no register answers DECERR."""

    title: str
    base: int
    window: int
    blocks: tuple[Block, ...]

    def block(self, name: str) -> Block:
        return next(b for b in self.blocks if b.name == name)


def load(path: Path = DESCRIPTION) -> Map:
    """Read and check a description; a mistake in it is a UserError that names the register."""
    body = tomllib.loads(path.read_text())
    blocks: list[Block] = []
    for entry in body["block"]:
        if like := entry.get("same_as"):
            registers = next(b for b in blocks if b.name == like).registers
        else:
            registers = tuple(_register(item) for item in entry["register"])
        blocks.append(
            Block(entry["name"], entry["offset"], entry["size"], entry["text"], registers)
        )
    found = Map(body["title"], body["base"], body["window"], tuple(blocks))
    _check(found)
    return found


def _register(item: dict[str, Any]) -> Register:
    if whole := "access" in item:
        fields = [Field("VALUE", 31, 0, item["access"], item["text"], item.get("reset", 0))]
    else:
        fields = [_field(part) for part in item["field"]]
    return Register(
        item["name"],
        item["offset"],
        item["text"],
        tuple(fields),
        whole,
        item.get("value"),
        item.get("read_pulse", False),
    )


def _field(part: dict[str, Any]) -> Field:
    high, _, low = part["bits"].partition(":")
    field = Field(part["name"], int(high), int(high), part["access"], part["text"])
    return replace(field, low=int(low or high), reset=part.get("reset", 0))


def _check(found: Map) -> None:
    def need(condition: bool, where: str, rule: str) -> None:
        if not condition:
            raise UserError(f"registers: {where}: {rule}")

    end = 0
    for block in found.blocks:
        need(block.offset >= end, block.name, "blocks must be in order and must not overlap")
        end = block.offset + block.size
        need(end <= found.window, block.name, "must lie within the window")
        offsets = [r.offset for r in block.registers]
        need(offsets == sorted(set(offsets)), block.name, "offsets must rise")
        for register in block.registers:
            where = f"{block.name}.{register.name}"
            need(register.offset % 4 == 0, where, "offset must be a multiple of 4")
            need(register.offset < block.size, where, "must lie within its block")
            for access in ("r", "w"):
                used = 0
                for field in register.fields:
                    need(field.access in ACCESS, where, f"access must be one of {ACCESS}")
                    need(31 >= field.high >= field.low >= 0, where, "bits must be 31..0")
                    need(field.reset <= field.mask >> field.low, where, "reset is too wide")
                    if access in field.access:
                        need(not used & field.mask, where, "fields must not overlap")
                        used |= field.mask
