"""The gap gate: when the teacher of an online run waits for its student."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def teacher_learns(teacher: Tensor, student: Tensor, labels: Tensor) -> Tensor:
    """1 where the teacher learns in this step, 0 where it pauses: (...).

    `teacher`, `student`: logits (..., N, C) of the whole batch; `labels`: int64 (..., N). With y
    the one-hot label, p = softmax(z) at T = 1 and norms that are means over the batch:

        G = ||p_s - p_t||_1,  S = ||p_s - y||_1,  T = ||p_t - y||_1
        delta = S - exp(-T / (S + T)) T
        pause if G > delta and T < S

    SwitOKD's switch: Qian et al., ECCV 2022, arXiv 2209.04996, with the second condition, that the
    teacher is ahead at all, from its code. delta rises with the student's distance to the labels
    and falls with the teacher's. Use it with `held_back`.
    """
    # in double, so that a rounding beside other seeds cannot turn the switch
    p_t, p_s = F.softmax(teacher.double(), dim=-1), F.softmax(student.double(), dim=-1)
    y = F.one_hot(labels, teacher.shape[-1])
    gap, to_student, to_teacher = (
        (a - b).abs().sum(dim=-1).mean(dim=-1) for a, b in ((p_s, p_t), (p_s, y), (p_t, y))
    )
    # both at the labels: 0 / 0, and the teacher, which is not ahead, learns
    share = to_teacher / (to_student + to_teacher)
    threshold = to_student - torch.exp(-share) * to_teacher
    pause = (gap > threshold) & (to_teacher < to_student)
    return (~pause).to(teacher.dtype)


@contextmanager
def held_back(optimiser: torch.optim.Optimizer, learns: Tensor) -> Iterator[None]:
    """Take back what the optimiser's step in a `with` block does to the seeds that pause.

    A zero in front of a loss does not stop an optimiser with momentum or weight decay. `learns`:
    (S,) of `teacher_learns`; parameters and their moments are (S, ...), a count of steps is ().
    """
    parameters = optimiser.param_groups[0]["params"]
    moments = [x for p in parameters for x in optimiser.state[p].values() if x.dim()]
    kept = [(x, x.detach().clone()) for x in (*parameters, *moments)]
    yield
    with torch.no_grad():
        for x, before in kept:
            x.copy_(torch.where(learns.view(-1, *[1] * (x.dim() - 1)) > 0, x, before))
