"""The arms of a study: what is changed in a preset's distillation, one thing an arm.

An arm keeps the preset's data, networks, recipe and seeds, so that runs of two arms with the same
seed are a pair. Its mode is the preset's own (online where the preset has no teacher); arms of the
other mode have names that begin with it: `frozen_relative`, or `online_relative`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flow.errors import UserError
from models import preset_rules
from models.presets import Preset

NONE, ADAPTIVE, REPLAY = "none", "relative", "replay"
FIXED = {f"fixed_{value:g}": value for value in (1.0, 2.0, 4.0, 8.0, 16.0)}


@dataclass(frozen=True)
class Arm:
    """`change`: values of `presets.Distillation` that differ; `about`: a line for the tables.

    `follows`: the arm whose recorded temperature this one plays back, which must run first.
    `family`: tunings of one idea; validation chooses one of them.
    """

    about: str
    change: dict[str, Any]
    follows: str | None = None
    family: str | None = None

    @property
    def frozen(self) -> bool:
        """Whether its teachers are trained before the students."""
        return self.change.get("mode") == "frozen"

    def variant(self, preset: Preset, curve: Sequence[float] = ()) -> Preset:
        """The preset with this arm's distillation; `curve`: what the followed arm recorded."""
        change = dict(self.change)
        if self.follows:
            change["temperature"] = change["temperature"] | {"curve": list(curve)}
        return replace(preset, distillation=replace(preset.distillation, **change))


def _heat(form: str, **options: Any) -> dict[str, Any]:
    return {"temperature": {"form": form} | options}


def _relative(minimum: float = 1.0, maximum: float = 8.0, gamma: float = 2.0) -> dict[str, Any]:
    return _heat(ADAPTIVE, minimum=minimum, maximum=maximum, gamma=gamma)


def _tuning(about: str, **options: float) -> Arm:
    return Arm(about, _relative(**options), family="adaptive")


def _adaptive_and(about: str, **change: Any) -> Arm:
    return Arm(f"relative, {about}", _relative() | change)


# In the mode of the preset. Five tunings each of the fixed and of the adaptive temperature.
SHARED: dict[str, Arm] = {
    **{
        name: Arm(f"fixed T = {value:g}", _heat("fixed", value=value), family="fixed")
        for name, value in FIXED.items()
    },
    ADAPTIVE: _tuning("T 8 -> 1 follows the relative entropy distance"),
    "relative_minimum_2": _tuning("relative, T 8 -> 2", minimum=2.0),
    "relative_maximum_4": _tuning("relative, T 4 -> 1", maximum=4.0),
    "relative_maximum_16": _tuning("relative, T 16 -> 1", maximum=16.0),
    "relative_gamma_1": _tuning("relative, gamma = 1", gamma=1.0),
    REPLAY: Arm("the mean T of relative, as a schedule", _heat("replay"), follows=ADAPTIVE),
    "shuffled": Arm("the mean T of relative, shuffled", _heat("shuffled"), follows=ADAPTIVE),
    "cosine_down": Arm("T 8 -> 1, half a cosine", _heat("cosine_down")),
    "cosine_up": Arm("T 1 -> 8, half a cosine", _heat("cosine_up")),
    "absolute_exponential": Arm("absolute distance, exp", _heat("absolute_exponential")),
    "absolute_linear": Arm("absolute distance, linear", _heat("absolute_linear")),
    "matching": Arm("the teacher as unsure as the student", _heat("matching")),
    "teacher_only": Arm("T follows the teacher's entropy alone", _heat("teacher_only")),
    "student_only": Arm("T follows the student's entropy alone", _heat("student_only")),
    "per_sample": Arm(
        "relative, a T for each image",
        {"temperature": _relative()["temperature"] | {"per_sample": True}},
    ),
    "shuffled_samples": Arm("per_sample, each T for another image", _heat("shuffled_samples")),
    "ctkd": Arm("CTKD: T learned against the student", _heat("ctkd")),
    "dtkd": Arm("DTKD: T from the largest logits", _heat("dtkd")),
    "standardised": Arm(
        "z-scored logits, T = 2", _heat("fixed", value=2.0) | {"standardise": True}
    ),
    "dkd": Arm("decoupled, T = 4", _heat("fixed", value=4.0) | {"loss": "dkd"}),
    "entropy_term": _adaptive_and("beta = 0.1", beta=0.1),
    "alpha_follows": _adaptive_and("alpha falls with the distance", alpha_minimum=0.1),
    "no_t2": _adaptive_and("without the factor T^2", scale_by_t2=False),
}
# They change how the teacher learns beside the student.
ONLINE: dict[str, Arm] = {
    "gate": _adaptive_and("the teacher waits for the student", gate=True),
    "mutual": _adaptive_and("the teacher learns from the student too", teacher_strength=0.1),
}
IN_OTHER_MODE = (
    "fixed_1",
    "fixed_2",
    "fixed_4",
    "fixed_8",
    "cosine_down",
    ADAPTIVE,
    REPLAY,
    "absolute_linear",
    "matching",
)

MAIN = (NONE, "fixed_4", "cosine_down", ADAPTIVE, REPLAY)
STANDARD = (
    *(NONE, *FIXED, "cosine_down", "cosine_up"),
    *(name for name, arm in SHARED.items() if arm.family == "adaptive"),
    *(REPLAY, "shuffled", "absolute_exponential", "matching", "ctkd", "dtkd", "standardised"),
)


def catalogue(preset: Preset) -> dict[str, Arm]:
    """Every arm of a preset, by name."""
    own = "frozen" if preset.distillation.mode == "frozen" else "online"
    other = "online" if own == "frozen" else "frozen"
    found = {NONE: Arm("labels alone", {"mode": "none"})}
    found |= {name: _in_mode(arm, own) for name, arm in SHARED.items()}
    found |= {
        f"{other}_{name}": _in_mode(SHARED[name], other, f"{other}_") for name in IN_OTHER_MODE
    }
    prefix = "" if own == "online" else "online_"
    found |= {prefix + name: _in_mode(arm, "online", prefix) for name, arm in ONLINE.items()}
    return found


def _in_mode(arm: Arm, mode: str, prefix: str = "") -> Arm:
    """The arm in a mode; with a prefix its name and that of the arm it follows are the mode's."""
    return replace(
        arm,
        about=arm.about + (f", {mode} teacher" if prefix else ""),
        change=arm.change | {"mode": mode},
        follows=prefix + arm.follows if arm.follows else None,
        family=prefix + arm.family if arm.family else None,
    )


def select(preset: Preset, names: Iterable[str]) -> dict[str, Arm]:
    """The named arms, and those they follow, in an order in which they can run.

    `main`, `standard` and `all` name groups.
    """
    known = catalogue(preset)
    groups = {"main": MAIN, "standard": STANDARD, "all": tuple(known)}
    wanted = [name for given in names for name in groups.get(given, (given,))]
    for name in wanted:
        if name not in known:
            raise UserError(
                f"no arm {name!r}; there are the groups {', '.join(groups)} and the arms "
                f"{', '.join(known)}"
            )
    wanted += [follows for name in wanted if (follows := known[name].follows)]
    ordered = sorted(set(wanted), key=list(known).index)  # a followed arm stands first
    for name in ordered:
        preset_rules.check(f"arm {name}", known[name].variant(preset, curve=(1.0, 1.0)))
    return {name: known[name] for name in ordered}
