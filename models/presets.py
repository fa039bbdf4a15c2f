"""Presets: one TOML file a network, read into typed, frozen dataclasses.

A file `models/presets/<name>.toml` says which images, which student and teacher, how to train
them, and which hardware is wanted. Unknown keys, wrong types and illegal values
(`models.preset_rules`) are `UserError`s that name the file, the key and what is allowed.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
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
    """[student] Binary network of `models.students`.

    `input`: "binary" (one bit a pixel, white from 128 up) or "pixels" (8 bits). `convolutions`:
    channels of each convolution, in blocks; a 2x2 max-pool follows every block but the last.
    `kernel`: their size. `padding`: pixels of -1 (of an 8-bit input: of black) around every map
    that a convolution of more than 1 x 1 reads. `separable`: every convolution but the first is a
    depthwise one, of each channel for itself, and one of 1 x 1 behind it, both binary. `shortcuts`:
    a convolution that keeps the size and the channels adds to its sums those in front of the
    quantiser that it reads; not the first one behind an 8-bit input. `average`: the fully connected
    layers read each channel's sum over all pixels. `hidden`: neurons of each hidden fully connected
    layer.
    """

    hidden: tuple[int, ...]
    input: str = "binary"
    convolutions: tuple[tuple[int, ...], ...] = ()
    kernel: int = 3
    padding: int = 0
    separable: bool = False
    shortcuts: bool = False
    average: bool = False


@dataclass(frozen=True)
class Teacher:
    """[teacher] Float network of `models.teachers`, trained with AdamW, or with Muon and AdamW.

    `hidden`: neurons of each hidden layer of a multi-layer perceptron. `convolutions`: channels of
    the blocks of a convolutional teacher, in place of it. `dropout`: probability after each hidden
    layer. `epochs`: of a frozen teacher's own training, before the student's; `batch_size` and
    `shards`: of that, 0 for the student's. `muon_rate`: learning rate of Muon, which then trains a
    frozen teacher's convolutions (and alone has `weight_decay`); 0 leaves them to AdamW, which has
    `learning_rate`.
    """

    hidden: tuple[int, ...] = (256, 256)
    convolutions: tuple[int, ...] = ()
    dropout: float = 0.2
    epochs: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    muon_rate: float = 0.0
    batch_size: int = 0
    shards: int = 0


@dataclass(frozen=True)
class Distillation:
    """[distillation] The student's loss; formulas in `models.losses`.

    `mode`: "online" (the teacher learns beside the student), "frozen" (it is trained first) or
    "none" (labels alone). `temperature`: {"form": name, option: value} of `models.temperature`.
    `alpha`: share of the teacher's soft labels; with `alpha_minimum` it falls to that as the
    distance grows. `beta`: weight of the entropy term. `loss`: "kl" or "dkd" (`dkd_beta`: weight of
    its non-target part). `standardise`: z-score the logits first. `scale_by_t2`: the factor T^2.
    `teacher_strength`: the student's pull on an online teacher. `gate`: pause an online teacher
    that has run too far ahead.
    """

    mode: str = "online"
    temperature: dict[str, Any] = field(default_factory=lambda: {"form": "relative"})
    alpha: float = 0.9
    alpha_minimum: float | None = None
    beta: float = 0.0
    loss: str = "kl"
    dkd_beta: float = 8.0
    standardise: bool = False
    scale_by_t2: bool = True
    teacher_strength: float = 0.0
    gate: bool = False


@dataclass(frozen=True)
class Augmentation:
    """[augmentation] Random changes of the training images (`models.augment`).

    `shift`: pixels, each way; `rotate`: degrees, each way; `flip`: left to right, half of them.
    `variants`: with a frozen teacher, its answers to that many versions of every image are
    computed once and kept; 0 asks the teacher in every step.
    """

    shift: int = 0
    rotate: float = 0.0
    flip: bool = False
    variants: int = 0


@dataclass(frozen=True)
class Training:
    """[training] The student's training: Adam, linear warm-up, then a cosine to zero.

    `estimator`: gradient of the sign of activations, `weight_estimator` of weights, one of
    `models.binary.ESTIMATORS`. `weights`: "plain", "centred" or "standardised" before the sign.
    `clipping`: bound of the latent weights, "fixed" at 1 or "learned" for each layer (PWC).
    `float_weight_epochs`: epochs at the start with binary activations alone, under a schedule of
    their own. `restarts`: numbers of epochs after which the schedule begins anew, at
    `restart_rate` times the learning rate, from the students as they are then, averaged: their
    signs, all latent weights `initial` away from zero (SGDR, Loshchilov and Hutter, ICLR 2017).
    `start`: a folder in models/zoo, named after its weights, whose student the training goes on
    from as after a restart (`models.start`); "" begins from random weights.
    `initial`: bound of the uniform latent weights at the start; small ones change sign sooner.
    `held_back`: validation images of the students, fewer than the data set's own, which leaves more
    to learn from; 0 for as many, as a frozen teacher always has.
    `ema`: decay of the average that is evaluated, 0 for none; `recalibrate`: batches
    whose statistics then replace those of its batch norms. `pool_first`: the max-pool in front of
    the batch norm, which is the same network as long as the norm's scale is positive (it is kept
    so), and learns better. `precision`: "float32" or "bfloat16" of the matrix products. `bitwise`:
    on a CPU, the convolutions bit by bit, with gradients rounded at random (`models.bitwise`, which
    takes a C++ compiler). `compile`: let torch compile the students, which takes one too, and a
    minute. `shards`: parts of a batch that are normalised apart, and that processes can share.
    `threads`: torch threads on a CPU (sums over threads round differently, so the same seed gives
    the same numbers on every machine only with the same count); 0 leaves torch's choice.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: int = 1
    weight_decay: float = 0.0
    estimator: str = "clipped"
    weight_estimator: str = "straight"
    weights: str = "plain"
    clipping: str = "fixed"
    float_weight_epochs: int = 0
    restarts: tuple[int, ...] = ()
    restart_rate: float = 1.0
    start: str = ""
    held_back: int = 0
    initial: float = 1.0
    ema: float = 0.0
    recalibrate: int = 20
    pool_first: bool = True
    precision: str = "float32"
    bitwise: bool = False
    compile: bool = False
    shards: int = 2
    threads: int = 1

    @property
    def stages(self) -> list[range]:
        """Epochs (from 1) of each schedule: with float weights, with binary ones, restarted."""
        ends = (self.float_weight_epochs, *self.restarts, self.epochs)
        pairs = zip((0, *ends), ends, strict=False)
        return [range(before + 1, end + 1) for before, end in pairs if before != end]


@dataclass(frozen=True)
class Hardware:
    """[hardware] What the generated circuit is asked for.

    `target_cycles`: cycles between two images that the folding aims at, or `target_fps`, images a
    second, at least; `target_latency`: microseconds an image at most; `max_lut`, `max_bram36`: of
    the core, by estimate, at most. `folding`: overrides {layer: {"PE", "SIMD", "ram_style"}};
    `input_parallel`: elements a beat at the input.
    `packed`: images lie in memory with one bit a pixel; the threshold at the network's input is
    then no part of the circuit, the driver applies it while it packs.
    """

    target_cycles: int | None = None
    target_fps: float | None = None
    target_latency: float | None = None
    max_lut: int | None = None
    max_bram36: float | None = None
    clock_mhz: float = 100.0
    input_parallel: int | None = None
    packed: bool = False
    folding: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """`name`: of the network and its training; another file's where that says `weights_of`."""

    name: str
    description: str
    data: Data
    student: Student
    teacher: Teacher
    distillation: Distillation
    augmentation: Augmentation
    training: Training
    hardware: Hardware

    @property
    def training_options(self) -> dict[str, Any]:
        """All that the trained student depends on, beside the seed: everything but hardware.

        A later option is left out at its default, which is how students were trained before.
        """
        body = {k: v for k, v in asdict(self).items() if k not in ("hardware", "description")}
        return body | {section: _grown(section, body[section]) for section in LATER}

    @property
    def teacher_options(self) -> dict[str, Any]:
        """All that a frozen teacher depends on, beside the seed."""
        keys = ("precision", "threads")
        own = ("batch_size", "shards")
        teacher = {k: v for k, v in asdict(self.teacher).items() if k not in own}
        return {
            "data": asdict(self.data),
            "teacher": _grown("teacher", teacher),
            "augmentation": {k: v for k, v in asdict(self.augmentation).items() if k != "variants"},
            "training": {"batch_size": self.teacher_batch, "shards": self.teacher_shards}
            | {k: getattr(self.training, k) for k in keys},
        }

    @property
    def teacher_batch(self) -> int:
        """Images in a batch of a frozen teacher's own training."""
        return self.teacher.batch_size or self.training.batch_size

    @property
    def teacher_shards(self) -> int:
        """Parts of it that are normalised apart."""
        return self.teacher.shards or self.training.shards

    def fingerprint(self, *seeds: int) -> str:
        """Short digest of `training_options` and the seeds."""
        return digest([self.training_options, *seeds])

    def teacher_fingerprint(self, seed: int) -> str:
        """Short digest of `teacher_options` and the seed."""
        return digest([self.teacher_options, seed])


LATER = {  # options that came later
    "training": ("initial", "restarts", "restart_rate", "start", "held_back", "bitwise"),
    "student": ("padding", "separable", "shortcuts", "average"),
    "teacher": ("muon_rate", "batch_size", "shards"),
}
SECTIONS: dict[str, type] = {
    "data": Data,
    "student": Student,
    "teacher": Teacher,
    "distillation": Distillation,
    "augmentation": Augmentation,
    "training": Training,
    "hardware": Hardware,
}


def _grown(section: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options without the later ones that are at their default."""
    defaults = {f.name: f.default for f in fields(SECTIONS[section])}
    later = LATER[section]
    return {k: v for k, v in options.items() if k not in later or v != defaults[k]}


def digest(options: Any) -> str:
    """16 hexadecimal digits that stand for JSON-able options."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


def names() -> list[str]:
    """Names of the presets that exist."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load(name: str) -> Preset:
    """The preset `name`; `UserError` if there is none or its file is wrong."""
    if name not in names():
        raise UserError(f"no preset {name!r}; there are {', '.join(names())}")
    return read(PRESETS / f"{name}.toml")


def read(path: Path) -> Preset:
    """Read and check one preset file; the preset is named after the file.

    With `weights_of = "<preset>"` it is that preset, trained as that is, on other [hardware].
    """
    body = _body(path)
    description = _typed(f"{path}: description", str, body.pop("description", ""))
    if "weights_of" in body:
        return _other_hardware(path, description, body)
    _known(f"{path}: section", body, SECTIONS)
    sections = {k: _section(path, k, cls, body.get(k, {})) for k, cls in SECTIONS.items()}
    return _checked(path, Preset(path.stem, description, **sections))


def _body(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error


def _other_hardware(path: Path, description: str, body: dict[str, Any]) -> Preset:
    name = _typed(f"{path}: weights_of", str, body.pop("weights_of"))
    if name in names() and "weights_of" in _body(PRESETS / f"{name}.toml"):
        raise UserError(f"{path}: weights_of: {name} has no weights of its own either")
    _known(f"{path}: with weights_of, section", body, ("hardware",))
    hardware = _section(path, "hardware", Hardware, body.get("hardware", {}))
    return _checked(path, replace(load(name), description=description, hardware=hardware))


def _checked(path: Path, preset: Preset) -> Preset:
    from models import preset_rules  # here, because what the rules ask builds on presets

    return preset_rules.check(path, preset)


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
