"""The whole programmable logic of a design in one folder: shell and core, memory files, parameters.

Synthesis reads it, and so does whoever simulates all of it. Beside the RTL and the memory files
there are `files.f`, the RTL in the order in which tools read it, and `parameters.json`:

    {"top": "pynq_z2", "parameters": {"IN_ELEMENTS": 16, ..., "BUILD": 2863311530}}
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flow.errors import UserError
from flow.implement.boards import Board
from flow.pipeline import write_atomically
from flow.shell import layout

FILE_LIST, PARAMETERS = "files.f", "parameters.json"
HASH = "BUILD"
"""The parameter of the top module that holds the hash of all the others and all files."""


class Design(Protocol):
    """What is needed of flow.rtl.codegen.Design."""

    @property
    def folder(self) -> Path: ...
    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def in_bits(self) -> int: ...
    @property
    def out_bits(self) -> int: ...
    @property
    def memories(self) -> tuple[Any, ...]: ...
    @property
    def taps(self) -> tuple[Any, ...]: ...


@dataclass(frozen=True)
class Sources:
    """`files`: names in `folder`, in order. `parameters`: of the module `top`."""

    folder: Path
    top: str
    files: tuple[str, ...]
    parameters: dict[str, int]

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.files]

    @property
    def build_hash(self) -> int:
        """32 bits, other ones for other RTL, weights or parameters; the register BUILD."""
        return self.parameters[HASH]

    @classmethod
    def load(cls, folder: Path) -> Sources:
        """What `write_sources` left in a folder."""
        try:
            body = json.loads((folder / PARAMETERS).read_text())
            files = (folder / FILE_LIST).read_text().split()
        except FileNotFoundError as error:
            raise UserError(f"{error.filename}: missing; build the bitstream first") from error
        return cls(folder, body["top"], tuple(files), body["parameters"])


def write_sources(design: Design, board: Board, folder: Path, packed: bool = False) -> Sources:
    """Put a board's shell around a core, in `folder`. packed: as for `layout.of_design`."""
    folder.mkdir(parents=True, exist_ok=True)
    source, target = layout.of_design(design, packed)
    parameters = layout.parameters(source, target, design.in_bits, design.out_bits)
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    rtl = [*(design.folder / name for name in design.files), *board.sources]
    contents: dict[str, bytes] = {}
    for path in (*rtl, *(design.folder / memory.file for memory in design.memories)):
        content = path.read_bytes()
        if contents.setdefault(path.name, content) != content:
            raise UserError(f"{path}: not the same file as the {path.name} of the core")
    for name, content in contents.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != content:
            (folder / name).write_bytes(content)  # what stays is not compiled again
        digest.update(name.encode() + b"\0" + content)
    parameters[HASH] = int.from_bytes(digest.digest()[:4], "big")
    files = tuple(dict.fromkeys(path.name for path in rtl))
    write_atomically(folder / FILE_LIST, "\n".join(files) + "\n")
    body = {"top": board.top, "parameters": parameters}
    write_atomically(folder / PARAMETERS, json.dumps(body, indent=1) + "\n")
    return Sources(folder, board.top, files, parameters)
