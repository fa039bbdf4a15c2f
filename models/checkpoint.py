"""Files of a training run: written whole or not at all, and tied to the preset and seed."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from flow.errors import UserError

SCHEMA = 1


def save(path: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write `state` to `path`; an interruption leaves the file that was there before."""
    part = _part(path)
    try:
        with part.open("wb") as file:
            torch.save({"schema": SCHEMA, "fingerprint": fingerprint, "state": state}, file)
            _flush(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path, fingerprint: str | None = None) -> dict[str, Any]:
    """The state that `save` wrote; `UserError` if it is damaged or of another preset or seed."""
    try:
        body = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; train first") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise UserError(f"{path}: damaged; delete it and train again") from error
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise UserError(f"{path}: not a file of this program's schema {SCHEMA}; train again")
    if fingerprint is not None and body["fingerprint"] != fingerprint:
        raise UserError(
            f"{path}: of another preset, seed or training option; delete it or choose another "
            f"folder"
        )
    return body["state"]


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write `body` as JSON; a reader never sees half of it."""
    part = _part(path)
    try:
        with part.open("wb") as file:
            file.write((json.dumps(body, indent=1) + "\n").encode())
            _flush(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write one compressed npz file, whole or not at all."""
    part = _part(path)
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            _flush(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    """Where a file is written before it is whole; another process writes elsewhere."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
