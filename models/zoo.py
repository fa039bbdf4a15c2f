"""Trained students kept in the repository: one bit a weight, one integer a channel.

    models/zoo/<preset>/weights.npz    the network, a few kilobytes
    models/zoo/<preset>/report.json    the report of the run that it comes from

For the product `fc1` (or `conv1`) and the sign behind it, `weights.npz` holds

    fc1.weights      np.packbits of weight > 0, in the order of the weight's shape
    sign1.threshold  int32 (C,)    bit of channel c = (sum >= threshold[c]) where direction[c] = 1,
    sign1.direction  int8 (C,)                      = (sum <  threshold[c]) where it is -1

and `parts`, the names of the student's parts with the shapes of the weights, as JSON. Thresholds
are read off the student's own activation functions, evaluated on every sum that can arrive, so
that a student filled with them has the same bits everywhere; the scalar norm at the end is left
out, because it must not change which logit is largest.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from torch import Tensor, nn

from flow.errors import UserError
from flow.paths import ZOO
from models import checkpoint, students
from models.presets import Preset
from models.students import BinaryNetwork, ScalarNorm

WEIGHTS, REPORT = "weights.npz", "report.json"
CHUNK = 4096  # sums at a time through an activation function
PACKED_WEIGHTS = "{}.weights"
Norm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True)
class Product:
    """A matrix product of a student with what follows it up to the next sign.

    `of_pixels`: whether its terms are pixels -128 .. 127 times +-1 instead of +-1 times +-1.
    `added`: terms of +-1 that a shortcut adds to its own.
    """

    name: str
    module: QuantConv2d | QuantLinear
    after: tuple[tuple[str, nn.Module], ...]
    of_pixels: bool
    added: int = 0

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights: (C, inputs) or (C, inputs, height, width)."""
        return tuple(self.module.weight.detach().shape)

    @property
    def sums(self) -> range:
        """Every sum that can arrive, and with pixels some that cannot."""
        terms = prod(self.shape[1:]) + self.added
        return (
            range(-128 * terms, 128 * terms + 1) if self.of_pixels else range(-terms, terms + 1, 2)
        )

    @property
    def sign(self) -> str | None:
        """Name of the sign behind the product; None behind the last."""
        name, last = self.after[-1]
        return name if isinstance(last, QuantIdentity) else None

    @torch.no_grad()
    def evaluate(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All sums (V,) in ascending order, with what the parts after the product make of them
        in every channel (V, C); `CHUNK` sums at a time."""
        maps = (1, 1) if isinstance(self.module, QuantConv2d) else ()
        for start in range(0, len(self.sums), CHUNK):
            sums = np.array(self.sums[start : start + CHUNK])
            values = torch.from_numpy(sums.astype(np.float32)).reshape(-1, 1, *maps)
            out = values.expand(-1, self.channels, *maps).contiguous()
            for _, part in self.after:
                out = _plain(part(out))
            yield sums, out.flatten(1).numpy()


def products(student: BinaryNetwork) -> list[Product]:
    """The student's products in order."""
    parts = list(student.layers.named_children())
    places = [i for i, (_, part) in enumerate(parts) if isinstance(part, QuantConv2d | QuantLinear)]
    found: list[Product] = []
    for i in places:
        name, module = parts[i]
        added = len(found[-1].sums) - 1 if name in student.shortcuts else 0
        after = []
        for part in parts[i + 1 :]:
            after.append(part)
            if isinstance(part[1], QuantIdentity):
                break
        of_pixels = i == places[0] and "pixels_in" in dict(parts)
        found.append(Product(name, module, tuple(after), of_pixels, added))
    return found


def pack(student: BinaryNetwork) -> dict[str, np.ndarray]:
    """The student as the arrays of `weights.npz`; `UserError` if it is no binary network.

    That is: a weight that is not -1 or +1, an activation function that goes up and down again, or
    a tail that can change which logit is largest.
    """
    student.eval()
    arrays = {"parts": np.array(json.dumps(describe(student)))}
    for product in products(student):
        weights = _plain(product.module.quant_weight()).detach().numpy()
        if not np.isin(weights, (-1.0, 1.0)).all():
            raise UserError(f"weights of {product.name} are not -1 and +1")
        arrays[PACKED_WEIGHTS.format(product.name)] = np.packbits(weights > 0)
        if sign := product.sign:
            threshold, direction = _threshold(product)
            arrays |= {f"{sign}.threshold": threshold, f"{sign}.direction": direction}
        else:
            _check_tail(product)
    return arrays


def _threshold(product: Product) -> tuple[np.ndarray, np.ndarray]:
    """Threshold int32 (C,) and direction int8 (C,) of the activation function behind a product."""
    first: np.ndarray | None = None  # bit at the lowest sum
    last = np.empty(0)
    changes = np.zeros(product.channels, int)
    threshold = np.zeros(product.channels, np.int32)
    for sums, values in product.evaluate():
        bits = values > 0
        if first is None:
            first = last = bits[0]
        changed = np.diff(np.concatenate([last[None], bits]), axis=0)
        changes += changed.sum(0)
        threshold = np.where(changed.any(0), sums[changed.argmax(0)], threshold)
        last = bits[-1]
    assert first is not None
    if (wild := np.flatnonzero(changes > 1)).size:
        raise UserError(
            f"{product.sign}: the activation of channel {wild[0]} is no threshold on the sums of "
            f"{product.name}; its bit changes {changes[wild[0]]} times"
        )
    threshold[changes == 0] = np.where(first, product.sums[0], product.sums[-1] + 1)[changes == 0]
    direction = np.where((changes == 1) & first, -1, 1)
    return threshold.astype(np.int32), direction.astype(np.int8)


def _check_tail(product: Product) -> None:
    """`UserError` unless the parts after the last product keep the order of all sums."""
    last = np.full((1, product.channels), -np.inf)
    for _, values in product.evaluate():
        if not (np.diff(np.concatenate([last, values]), axis=0) > 0).all():
            raise UserError(
                f"what follows {product.name} does not keep the order of the logits; it must be a "
                "scalar norm of positive scale"
            )
        if np.ptp(values, axis=1).any():
            raise UserError(f"what follows {product.name} is not the same for all classes")
        last = values[-1:]


@torch.no_grad()
def unpack(arrays: dict[str, np.ndarray], student: BinaryNetwork) -> BinaryNetwork:
    """Fill a student of the same parts so that all its bits are those of the packed one.

    A sign behind a norm of mean threshold - 1/2, variance 1 and weight +-1 is the threshold: the
    sums are integers, so that the norm's output is never nearer to 0 than about 1/2.
    """
    for product in products(student):
        weight = product.module.weight
        bits = np.unpackbits(arrays[PACKED_WEIGHTS.format(product.name)], count=weight.numel())
        weight.copy_(torch.from_numpy(2.0 * bits - 1).reshape(weight.shape))
        norm = product.after[0][1]
        assert isinstance(norm, Norm | ScalarNorm)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.zero_()
        norm.running_var.fill_(1)
        norm.weight.fill_(1)
        norm.bias.zero_()
        if sign := product.sign:
            norm.running_mean.copy_(torch.from_numpy(arrays[f"{sign}.threshold"] - 0.5))
            norm.weight.copy_(torch.from_numpy(arrays[f"{sign}.direction"]))
    return student.eval()


def describe(student: BinaryNetwork) -> list[list[Any]]:
    """The student's parts: name, and shape of the weights where it is a product."""
    shapes = {p.name: list(p.shape) for p in products(student)}
    return [[name, shapes.get(name, [])] for name, _ in student.layers.named_children()]


def digest(arrays: dict[str, np.ndarray]) -> str:
    """sha256 over names, types, shapes and values, whatever the compression of the file."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write `weights.npz`: the same arrays give the same bytes."""
    checkpoint.write_arrays(path, arrays)


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `weights.npz`; `UserError` if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; restore it (git checkout) or train (--train)") from error
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, AttributeError) as error:
        raise UserError(f"{path}: damaged; restore it (git checkout) or train (--train)") from error


@dataclass(frozen=True)
class Entry:
    """What the zoo keeps of a preset: the folder and the report in it."""

    folder: Path
    report: dict[str, Any]

    @property
    def training(self) -> dict[str, Any]:
        """How the weights were trained, with the commit and the report that say so."""
        training = self.report["training"]
        own = {"commit": self.report["commit"], "seed": self.report["seed"]}
        told = {k: v for k, v in training.items() if k not in ("source", "weights")}
        return training.get("kept") or own | told

    @property
    def seed(self) -> int:
        return self.training["seed"]

    @property
    def weights(self) -> str:
        """Digest of the weights that are there; `UserError` if they cannot be read."""
        return digest(read(self.folder / WEIGHTS))

    def student(self, preset: Preset) -> BinaryNetwork:
        """The kept student, in evaluation mode; `UserError` if it is not the preset's."""
        path = self.folder / WEIGHTS
        arrays, student = read(path), students.build(preset)
        there, wanted = _parts(path, arrays), describe(student)
        if there != wanted:
            pairs = zip_longest(there, wanted, fillvalue=["nothing", []])
            have, want = next((a, b) for a, b in pairs if a != b)
            raise UserError(
                f"{path}: holds {_words(have)} where the [student] of {preset.name} has "
                f"{_words(want)}; train it (--train)"
            )
        if digest(arrays) != self.report["training"]["weights"]:
            raise UserError(
                f"{path}: not the weights of the report beside it; restore both (git checkout) or "
                "train (--train)"
            )
        return unpack(arrays, student)


def find(preset: str) -> Entry | None:
    """The zoo's entry of a preset, None if it keeps no weights of it."""
    folder = ZOO / preset
    if not (folder / WEIGHTS).exists():
        return None
    try:
        report = json.loads((folder / REPORT).read_text())
        found = Entry(folder, report)
        _ = found.seed, report["training"]["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / REPORT}: missing or damaged; restore it (git checkout) or train (--train)"
        ) from error
    return found


def load(preset: Preset) -> BinaryNetwork:
    """The student that the zoo keeps of a preset; `UserError` if there is none."""
    if entry := find(preset.name):
        return entry.student(preset)
    there = ", ".join(sorted(path.parent.name for path in ZOO.glob(f"*/{WEIGHTS}")))
    raise UserError(f"no weights of {preset.name!r} in models/zoo; there are {there or 'none'}")


def _parts(path: Path, arrays: dict[str, np.ndarray]) -> list[list[Any]]:
    try:
        return json.loads(str(arrays["parts"]))
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not a file of weights of this program") from error


def _words(part: list[Any]) -> str:
    name, shape = part
    return f"{name} of {' x '.join(map(str, shape))}" if shape else name


def _plain(tensor: Any) -> Tensor:
    """The plain tensor, where brevitas hands over its own type."""
    return tensor if isinstance(tensor, Tensor) else tensor.value
