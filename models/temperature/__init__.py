"""The distillation temperature: controllers that soften the teacher's word, or let it stand.

A controller is asked once a training step for the temperatures of that step. It sees both
networks' logits, at T = 1 and without gradient, in an `Observation`. A new form is one class in
this package and one line in `FORMS`; the training loop and the losses do not change.

| module | forms |
|---|---|
| `entropy` | follow the entropies of both outputs |
| `schedules` | look at no network: fixed, cosines, replay of a recorded curve |
| `peers` | published rivals: CTKD, DTKD |
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from flow.errors import UserError
from models.losses import Softness
from models.temperature import entropy, peers, schedules
from models.temperature.interface import Observation, Temperature

__all__ = ["FORMS", "Observation", "Softness", "Temperature", "build"]

FORMS: dict[str, type[Temperature]] = {
    "relative": entropy.Relative,
    "absolute_exponential": entropy.AbsoluteExponential,
    "absolute_linear": entropy.AbsoluteLinear,
    "teacher_only": entropy.TeacherOnly,
    "student_only": entropy.StudentOnly,
    "matching": entropy.Matching,
    "shuffled_samples": entropy.ShuffledSamples,
    "fixed": schedules.Fixed,
    "cosine_down": schedules.CosineDown,
    "cosine_up": schedules.CosineUp,
    "replay": schedules.Replay,
    "shuffled": schedules.Shuffled,
    "ctkd": peers.Ctkd,
    "dtkd": peers.Dtkd,
}


def build(
    options: Mapping[str, Any], seeds: Sequence[int] = (), steps: int | None = None
) -> Temperature:
    """The controller of {"form": name, option: value, ...}; what is unknown is a `UserError`.

    `seeds`: leading shape of the logits that it will see; `steps`: of the whole training, where
    known: a recorded curve must not have more values.
    """
    arguments = dict(options)
    form = arguments.pop("form", None)
    if form not in FORMS:
        raise UserError(f"form {form!r} is unknown; known are {', '.join(FORMS)}")
    cls = FORMS[form]
    parameters = inspect.signature(cls).parameters
    known = [name for name in parameters if name != "seeds"]
    kinds = get_type_hints(cls.__init__)
    for key, value in arguments.items():
        if key not in known:
            raise UserError(f"{key!r} is unknown to form {form}; known are {', '.join(known)}")
        rule = _broken_rule(kinds[key], value)
        if rule:
            raise UserError(f"{key} is {value!r}; it must be {rule}")
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in arguments:
            raise UserError(f"form {form} needs {key!r}")
    curve = arguments.get("curve", ())
    if steps is not None and len(curve) > steps:
        raise UserError(f"curve has {len(curve)} values for {steps} steps; give one a step or less")
    return cls(**arguments, seeds=seeds)


def _broken_rule(kind: Any, value: Any) -> str | None:
    """What an option of this type must be, if the value is not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    if kind is int:
        return None if number and isinstance(value, int) else "a whole number"
    if kind is float:
        return None if number else "a number"
    numbers = isinstance(value, list | tuple) and all(
        isinstance(x, int | float) and not isinstance(x, bool) for x in value
    )
    return None if numbers and value else "a list of numbers"
