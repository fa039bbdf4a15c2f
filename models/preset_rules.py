"""What the values of a preset must be, beyond their types: one table of rules a section."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from flow.errors import UserError
from models import binary, bitwise, students, temperature
from models.data import DATASETS
from models.presets import (
    Augmentation,
    Distillation,
    Hardware,
    Preset,
    Student,
    Training,
)

Rule = tuple[bool, str, str]  # whether it holds, of which key, what the value must be


def check(where: object, preset: Preset) -> Preset:
    """Return the preset; `UserError` that begins with `where` if a rule does not hold."""
    for holds, key, rule in _rules(preset):
        if not holds:
            raise UserError(f"{where}: {key} must be {rule}")
    try:
        students.feature_shape(DATASETS[preset.data.name].shape, preset.student)
        temperature.build(preset.distillation.temperature)
    except UserError as error:
        part = "" if str(error).startswith("[") else "[distillation.temperature] "
        raise UserError(f"{where}: {part}{error}") from error
    return preset


def _rules(preset: Preset) -> Iterator[Rule]:
    yield preset.data.name in DATASETS, "[data] name", f"one of {', '.join(DATASETS)}"
    side = min(DATASETS[preset.data.name].shape[1:])
    sections = {
        "student": _student(preset.student),
        "teacher": _teacher(preset),
        "distillation": _distillation(preset.distillation),
        "augmentation": _augmentation(preset.augmentation, side),
        "training": [*_training(preset.training), _held_back(preset), *_bitwise(preset)],
        "hardware": _hardware(preset.hardware),
    }
    for section, rules in sections.items():
        for holds, key, rule in rules:
            yield holds, f"[{section}] {key}", rule


def _student(s: Student) -> list[Rule]:
    return [
        (s.input in ("binary", "pixels"), "input", "binary or pixels"),
        (_sizes(s.hidden), "hidden", "a list of sizes > 0"),
        (all(map(_sizes, s.convolutions)), "convolutions", "lists of sizes > 0"),
        (s.kernel > 0, "kernel", "> 0"),
        (0 <= s.padding < max(1, s.kernel), "padding", "in [0, kernel)"),
        (bool(s.convolutions) or not s.average, "average", "false where nothing is convolved"),
    ]


def _even(batch_size: int, shards: int) -> bool:
    return shards > 0 and batch_size % shards == 0 and batch_size > shards


def _evenly(shards: int) -> str:
    return f"a multiple of shards ({shards}), more than one image in each"


def _teacher(preset: Preset) -> list[Rule]:
    t, frozen, shards = preset.teacher, preset.distillation.mode == "frozen", preset.teacher_shards
    plain = t.muon_rate == 0 or (frozen and bool(t.convolutions))
    apart = bool(t.batch_size or t.shards)
    alone = "left out, but for a frozen teacher"
    return [
        (_sizes(t.hidden), "hidden", "a list of sizes > 0"),
        (not t.convolutions or _sizes(t.convolutions), "convolutions", "a list of sizes > 0"),
        (0 <= t.dropout < 1, "dropout", "in [0, 1)"),
        (t.epochs > 0, "epochs", "> 0"),
        (t.learning_rate > 0, "learning_rate", "> 0"),
        (t.weight_decay >= 0, "weight_decay", ">= 0"),
        (t.muon_rate >= 0, "muon_rate", ">= 0"),
        (t.shards >= 0, "shards", ">= 0"),
        (t.batch_size == 0 or frozen, "batch_size", alone),
        (t.shards == 0 or frozen, "shards", alone),
        (not apart or _even(preset.teacher_batch, shards), "batch_size", _evenly(shards)),
        (plain, "muon_rate", f"{alone} with convolutions"),
    ]


def _distillation(d: Distillation) -> list[Rule]:
    falls = d.alpha_minimum is None or 0 <= d.alpha_minimum <= d.alpha
    return [
        (d.mode in ("online", "frozen", "none"), "mode", "online, frozen or none"),
        (0 <= d.alpha <= 1, "alpha", "in [0, 1]"),
        (falls, "alpha_minimum", "in [0, alpha]"),
        (d.beta >= 0, "beta", ">= 0"),
        (d.loss in ("kl", "dkd"), "loss", "kl or dkd"),
        (d.dkd_beta >= 0, "dkd_beta", ">= 0"),
        (d.teacher_strength >= 0, "teacher_strength", ">= 0"),
    ]


def _augmentation(a: Augmentation, side: int) -> list[Rule]:
    """`side`: pixels of the shorter side of an image."""
    return [
        (0 <= a.shift < side, "shift", f"in [0, {side}), within an image"),
        (a.rotate >= 0, "rotate", ">= 0"),
        (a.variants >= 0, "variants", ">= 0"),
    ]


def _training(t: Training) -> list[Rule]:
    estimators = ", ".join(binary.ESTIMATORS)
    shortest = min(map(len, t.stages), default=0)
    ends = (t.float_weight_epochs, *t.restarts, t.epochs)
    rising = all(a < b for a, b in pairwise(ends))
    return [
        (t.epochs > 0, "epochs", "> 0"),
        (t.shards > 0, "shards", "> 0"),
        (_even(t.batch_size, t.shards), "batch_size", _evenly(t.shards)),
        (t.learning_rate > 0, "learning_rate", "> 0"),
        (t.weight_decay >= 0, "weight_decay", ">= 0"),
        (0 <= t.float_weight_epochs < t.epochs, "float_weight_epochs", "in [0, epochs)"),
        (rising, "restarts", "epochs that rise, between float_weight_epochs and epochs"),
        (not (t.start and t.float_weight_epochs), "start", "left out where floats come first"),
        (0 < t.restart_rate <= 1, "restart_rate", "in (0, 1]"),
        (0 <= t.warmup_epochs < shortest, "warmup_epochs", "in [0, epochs of each stage)"),
        (t.estimator in binary.ESTIMATORS, "estimator", estimators),
        (t.weight_estimator in binary.ESTIMATORS, "weight_estimator", estimators),
        (t.weights in binary.WEIGHTS, "weights", ", ".join(binary.WEIGHTS)),
        (t.clipping in ("fixed", "learned"), "clipping", "fixed or learned"),
        (0 < t.initial <= 1, "initial", "in (0, 1]"),
        (0 <= t.ema < 1, "ema", "in [0, 1)"),
        (t.recalibrate > 0, "recalibrate", "> 0"),
        (t.precision in ("float32", "bfloat16"), "precision", "float32 or bfloat16"),
        (t.threads >= 0, "threads", ">= 0"),
    ]


def _held_back(preset: Preset) -> Rule:
    held, most = preset.training.held_back, DATASETS[preset.data.name].validation
    return 0 <= held < most, "held_back", f"in [0, {most}), fewer than {preset.data.name} has"


def _bitwise(preset: Preset) -> list[Rule]:
    t, known = preset.training, " or ".join(bitwise.ESTIMATORS)
    fits = bitwise.fits(DATASETS[preset.data.name].shape[0], preset.student)
    return [
        (not holds or not t.bitwise, "bitwise", rule)
        for holds, rule in (
            (
                not fits,
                "left out, but for convolutions of pixels, of 64, 128, .. channels each, "
                "without padding, separable, shortcuts and average",
            ),
            (t.estimator not in bitwise.ESTIMATORS, f"left out, unless estimator is {known}"),
            (not t.pool_first, "left out, unless pool_first is true"),
            (t.compile, "left out where compile is true"),
        )
    ]


def _hardware(h: Hardware) -> list[Rule]:
    once = h.target_cycles is None or h.target_fps is None
    limits = ("target_cycles", "target_fps", "target_latency", "max_lut", "max_bram36")
    positive = (*limits, "clock_mhz", "input_parallel")
    return [
        (once, "target_fps", "left out where target_cycles says the same"),
        *((getattr(h, key) is None or getattr(h, key) > 0, key, "> 0") for key in positive),
    ]


def _sizes(numbers: tuple[int, ...]) -> bool:
    return len(numbers) > 0 and min(numbers) > 0
