"""Losses of distillation, and the entropy that steers them.

Notation: z_t, z_s are the logits (..., N, C) of teacher and student, C the classes, and
p^T = softmax(z / T). The leading axes are seeds that train side by side: every loss is the mean
over N and keeps the leading axes, and a seed's loss does not depend on the seeds beside it. T_t
softens the teacher, T_s the student; most controllers give both the same T.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Softness(NamedTuple):
    """Temperatures of teacher and student, each broadcastable to (..., N, 1)."""

    teacher: Tensor
    student: Tensor

    def shard(self, index: int, shards: int) -> Softness:
        """The temperatures of one of `shards` equal parts of the batch (`Tensor.chunk` on N)."""

        def part(temperature: Tensor) -> Tensor:
            whole = temperature.shape[-2] == 1
            return temperature if whole else temperature.chunk(shards, dim=-2)[index]

        return Softness(part(self.teacher), part(self.student))


def normalised_entropy(logits: Tensor) -> Tensor:
    """H~ = -sum p log p / log C at T = 1 of each sample: (..., N); 0 is certain, 1 is uniform."""
    log_p = F.log_softmax(logits, dim=-1)
    # softmax * log_softmax is 0 * -large, never 0 * -inf, for finite logits
    return -(log_p.exp() * log_p).sum(dim=-1) / log(logits.shape[-1])


def standardised(logits: Tensor) -> Tensor:
    """(z - mean) / (std + 1e-7) over the classes, (..., N, C); std divides by C - 1.

    What is left to distil is how the classes relate, not how far apart the logits lie. Sun et al.,
    CVPR 2024, arXiv 2403.01427, and the code published with it.
    """
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / (logits.std(dim=-1, keepdim=True) + 1e-7)


def hard_label_loss(*, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy -log p[label], mean over N: (...). `labels`: int64 (..., N)."""
    log_p = F.log_softmax(logits, dim=-1)
    return -log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1).mean(dim=-1)


def soft_label_loss(
    *,
    student: Tensor,
    teacher: Tensor,
    softness: Softness,
    standardise: bool = False,
    scale_by_t2: bool = True,
) -> Tensor:
    """T_t T_s KL(p_t^T_t || p_s^T_s), mean over N: (...). Hinton, Vinyals, Dean, arXiv 1503.02531.

    `student`, `teacher`: logits (..., N, C). No gradient flows to the teacher. The sum runs over
    classes and the mean over samples (what `KLDivLoss("batchmean")` does; its default divides by
    the number of classes too). The factor, T^2 where both temperatures are one, keeps the size of
    the gradient, which falls with 1 / T^2; off without `scale_by_t2`. `standardise`: of the
    standardised logits. `ValueError` if both logits are one tensor: the loss would be 0 and
    distillation silently off.
    """
    log_t, log_s = _soft(student, teacher, softness, standardise)
    return _scaled_mean(_divergence(log_t, log_s), softness, scale_by_t2)


def dkd_loss(
    *,
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    softness: Softness,
    dkd_beta: float = 8.0,
    standardise: bool = False,
    scale_by_t2: bool = True,
) -> Tensor:
    """Decoupled distillation, T_t T_s (TCKD + dkd_beta NCKD), mean over N: (...).

    Target part: TCKD = KL(b_t || b_s) of the two-way distributions b = (p[label], 1 - p[label]).
    Other classes: NCKD = KL(q_t || q_s) with q the softmax over the C - 1 classes that are not the
    label. Plain KL is TCKD + (1 - p_t[label]) NCKD: the surer the teacher, the less the other
    classes count, which is what this undoes. Zhao et al., CVPR 2022, arXiv 2203.08679; their weight
    of TCKD is 1 here. Shapes, factor and refusals as in `soft_label_loss`; `labels`: (..., N).
    """
    log_t, log_s = _soft(student, teacher, softness, standardise)
    label = labels.unsqueeze(-1)
    classes = torch.arange(student.shape[-1] - 1, device=labels.device)
    others = classes + (classes >= label)  # (..., N, C - 1): every class but the label
    target = _divergence(_two_way(log_t, label, others), _two_way(log_s, label, others))
    rest = _divergence(
        F.log_softmax(log_t.gather(-1, others), dim=-1),
        F.log_softmax(log_s.gather(-1, others), dim=-1),
    )
    return _scaled_mean(target + dkd_beta * rest, softness, scale_by_t2)


def entropy_loss(*, student: Tensor, teacher: Tensor) -> Tensor:
    """(H~_s - H~_t)^2, mean over N: (...); without gradient to the teacher."""
    gap = normalised_entropy(student) - normalised_entropy(teacher.detach())
    return gap.square().mean(dim=-1)


def student_loss(
    *,
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    softness: Softness,
    alpha: float | Tensor,
    beta: float = 0.0,
    loss: str = "kl",
    dkd_beta: float = 8.0,
    standardise: bool = False,
    scale_by_t2: bool = True,
) -> Tensor:
    """(1 - alpha) CE + alpha L + beta (H~_s - H~_t)^2, mean over N: (...).

    L is `soft_label_loss` ("kl") or `dkd_loss` ("dkd"). `student`, `teacher`: logits (..., N, C);
    `labels`: int64 (..., N); `alpha`: one number, or one for each seed, (...); at the number 0 the
    teacher is not looked at.
    """
    if loss not in ("kl", "dkd"):
        raise ValueError(f"loss {loss!r} is unknown; known are kl, dkd")
    total = (1 - alpha) * hard_label_loss(logits=student, labels=labels)
    if isinstance(alpha, Tensor) or alpha > 0:
        if loss == "kl":
            soft = soft_label_loss(
                student=student,
                teacher=teacher,
                softness=softness,
                standardise=standardise,
                scale_by_t2=scale_by_t2,
            )
        else:
            soft = dkd_loss(
                student=student,
                teacher=teacher,
                labels=labels,
                softness=softness,
                dkd_beta=dkd_beta,
                standardise=standardise,
                scale_by_t2=scale_by_t2,
            )
        total = total + alpha * soft
    if beta > 0:
        total = total + beta * entropy_loss(student=student, teacher=teacher)
    return total


def teacher_loss(
    *,
    teacher: Tensor,
    labels: Tensor,
    student: Tensor | None = None,
    softness: Softness | None = None,
    strength: float = 0.0,
) -> Tensor:
    """CE + strength T_t T_s KL(p_s^T || p_t^T), mean over N: (...); gradient to the teacher only.

    With a strength the teacher also listens to its student, as in deep mutual learning (Zhang et
    al., CVPR 2018, arXiv 1706.00384, there with T = 1); `student` and `softness` are then needed.
    """
    total = hard_label_loss(logits=teacher, labels=labels)
    if strength > 0:
        if student is None or softness is None:
            raise ValueError("a teacher that listens needs the student's logits and a softness")
        heard = Softness(softness.student.detach(), softness.teacher.detach())
        total = total + strength * soft_label_loss(student=teacher, teacher=student, softness=heard)
    return total


def alpha_of(distance: Tensor, alpha: float, alpha_minimum: float | None = None) -> float | Tensor:
    """The strength of the transfer: alpha (1 - distance) + alpha_minimum distance, (...).

    The farther apart the networks, the more the labels count; `distance`: in [0, 1], (...), as a
    temperature controller gives it. The plain `alpha` where there is no `alpha_minimum`.
    """
    if alpha_minimum is None:
        return alpha
    return alpha * (1 - distance) + alpha_minimum * distance


def _soft(
    student: Tensor, teacher: Tensor, softness: Softness, standardise: bool
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (..., N, C) of the softened teacher, without gradient, and student."""
    compiling = torch.compiler.is_compiling()  # where tensors have no address
    if student is teacher or (not compiling and student.data_ptr() == teacher.data_ptr()):
        raise ValueError("student and teacher logits are the same tensor: nothing to distil")
    teacher = teacher.detach()
    if standardise:
        student, teacher = standardised(student), standardised(teacher)
    return (
        F.log_softmax(teacher / softness.teacher, dim=-1),
        F.log_softmax(student / softness.student, dim=-1),
    )


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each sample: (..., N)."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def _two_way(log_p: Tensor, label: Tensor, others: Tensor) -> Tensor:
    """log (p[label], 1 - p[label]): (..., N, 2), without the loss of digits of 1 - p."""
    rest = log_p.gather(-1, others).logsumexp(dim=-1, keepdim=True)
    return torch.cat([log_p.gather(-1, label), rest], dim=-1)


def _scaled_mean(loss: Tensor, softness: Softness, scale_by_t2: bool) -> Tensor:
    """Mean over N of (..., N), each times its T_t T_s if asked: (...)."""
    if scale_by_t2:
        loss = loss * (softness.teacher * softness.student).squeeze(-1)
    return loss.mean(dim=-1)
