"""Presets: one TOML file a network, read into typed, frozen dataclasses.

A file `models/presets/<name>.toml` says which images, which student and teacher, how to train
them, and which hardware is wanted. Unknown keys, wrong types and illegal values are `UserError`s
that name the file, the key and what is allowed.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from flow.errors import UserError
from flow.paths import PRESETS


@dataclass(frozen=True)
class Data:
    """[data] `name`: one of `models.data.DATASETS`."""

    name: str


@dataclass(frozen=True)
class Student:
    """[student] Binary multi-layer perceptron; `hidden`: neurons of each hidden layer."""

    hidden: tuple[int, ...]


@dataclass(frozen=True)
class Teacher:
    """[teacher] Float multi-layer perceptron; `dropout`: probability after each hidden layer."""

    hidden: tuple[int, ...] = (256, 256)
    dropout: float = 0.2


@dataclass(frozen=True)
class Distillation:
    """[distillation] The student's loss; formula in `models.losses.student_loss`.

    `temperature`: {"form": name, option: value} of `models.temperature`; `alpha`: share of the
    teacher's soft labels, 0 turns distillation off; `beta`: weight of the entropy term.
    """

    temperature: dict[str, Any] = field(default_factory=lambda: {"form": "relative"})
    alpha: float = 0.9
    beta: float = 0.0


@dataclass(frozen=True)
class Training:
    """[training] Adam with a linear warm-up, then a cosine to zero, for teacher and student.

    `threads`: torch threads on a CPU (sums over threads round differently, so the same seed gives
    the same numbers on every machine only with the same count); 0 leaves torch's choice.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    teacher_learning_rate: float = 1e-3
    teacher_weight_decay: float = 0.0
    warmup_epochs: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Hardware:
    """[hardware] What the generated circuit is asked for.

    `target_cycles`: cycles between two images that the folding aims at; `folding`: overrides
    {layer: {"PE", "SIMD", "ram_style"}}; `input_parallel`: elements a beat at the input.
    """

    target_cycles: int | None = None
    clock_mhz: float = 100.0
    input_parallel: int | None = None
    folding: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    name: str
    description: str
    data: Data
    student: Student
    teacher: Teacher
    distillation: Distillation
    training: Training
    hardware: Hardware

    @property
    def training_options(self) -> dict[str, Any]:
        """All that the trained student depends on, beside the seed: everything but hardware."""
        return {k: v for k, v in asdict(self).items() if k not in ("hardware", "description")}

    def fingerprint(self, seed: int) -> str:
        """Short digest of `training_options` and the seed."""
        text = json.dumps([self.training_options, seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


SECTIONS = {
    "data": Data,
    "student": Student,
    "teacher": Teacher,
    "distillation": Distillation,
    "training": Training,
    "hardware": Hardware,
}


def names() -> list[str]:
    """Names of the presets that exist."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load(name: str) -> Preset:
    """The preset `name`; `UserError` if there is none or its file is wrong."""
    if name not in names():
        raise UserError(f"no preset {name!r}; there are {', '.join(names())}")
    return read(PRESETS / f"{name}.toml")


def read(path: Path) -> Preset:
    """Read and check one preset file; the preset is named after the file."""
    try:
        body = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error
    description = body.pop("description", "")
    _known(f"{path}: section", body, SECTIONS)
    sections = {k: _section(path, k, cls, body.get(k, {})) for k, cls in SECTIONS.items()}
    preset = Preset(path.stem, _typed(f"{path}: description", str, description), **sections)
    _check(path, preset)
    return preset


def _section(path: Path, name: str, cls: type, values: Any) -> Any:
    """Build the dataclass `cls` from the table [name]."""
    if not isinstance(values, dict):
        raise UserError(f"{path}: {name} must be a table; write [{name}]")
    types = get_type_hints(cls)
    _known(f"{path}: [{name}] key", values, types)
    for f in fields(cls):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in values:
            raise UserError(f"{path}: [{name}] needs {f.name}")
    return cls(**{k: _typed(f"{path}: [{name}] {k}", types[k], v) for k, v in values.items()})


def _known(what: str, given: Any, known: Any) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{what} {key!r} is unknown; known are {', '.join(known)}{hint}")


def _typed(where: str, kind: Any, value: Any) -> Any:
    """`value` if it is of type `kind` (int passes for float, a list for a tuple)."""
    if isinstance(kind, UnionType):
        (kind,) = (k for k in get_args(kind) if k is not NoneType)
    origin = get_origin(kind) or kind
    if origin is tuple and isinstance(value, list):
        item = get_args(kind)[0]
        return tuple(_typed(f"{where}[{i}]", item, v) for i, v in enumerate(value))
    if origin is dict and isinstance(value, dict):
        item = get_args(kind)[1]
        return {k: v if item is Any else _typed(f"{where}.{k}", item, v) for k, v in value.items()}
    if origin is float and type(value) is int:
        return float(value)
    if type(value) is not origin:
        raise UserError(f"{where} is {value!r}; it must be of type {origin.__name__}")
    return value


def _check(path: Path, preset: Preset) -> None:
    """Refuse values that are of the right type but make no sense."""
    from models import temperature  # here, because the options are the controllers' own
    from models.data import DATASETS

    d, t, h = preset.distillation, preset.training, preset.hardware
    rules = [
        (preset.data.name in DATASETS, "[data] name", f"one of {', '.join(DATASETS)}"),
        (_sizes(preset.student.hidden), "[student] hidden", "a list of sizes > 0"),
        (_sizes(preset.teacher.hidden), "[teacher] hidden", "a list of sizes > 0"),
        (0 <= preset.teacher.dropout < 1, "[teacher] dropout", "in [0, 1)"),
        (0 <= d.alpha <= 1, "[distillation] alpha", "in [0, 1]"),
        (d.beta >= 0, "[distillation] beta", ">= 0"),
        (t.epochs > 0, "[training] epochs", "> 0"),
        (t.batch_size > 1, "[training] batch_size", "> 1, for batch normalisation"),
        (t.learning_rate > 0, "[training] learning_rate", "> 0"),
        (t.teacher_learning_rate > 0, "[training] teacher_learning_rate", "> 0"),
        (t.teacher_weight_decay >= 0, "[training] teacher_weight_decay", ">= 0"),
        (0 <= t.warmup_epochs < t.epochs, "[training] warmup_epochs", "in [0, epochs)"),
        (t.threads >= 0, "[training] threads", ">= 0"),
        (h.target_cycles is None or h.target_cycles > 0, "[hardware] target_cycles", "> 0"),
        (h.clock_mhz > 0, "[hardware] clock_mhz", "> 0"),
        (h.input_parallel is None or h.input_parallel > 0, "[hardware] input_parallel", "> 0"),
    ]
    for holds, key, rule in rules:
        if not holds:
            raise UserError(f"{path}: {key} must be {rule}")
    try:
        temperature.build(d.temperature)
    except UserError as error:
        raise UserError(f"{path}: [distillation.temperature] {error}") from error


def _sizes(hidden: tuple[int, ...]) -> bool:
    return len(hidden) > 0 and min(hidden) > 0
