"""Losses of distillation, and the entropy that steers them.

Notation: z_t, z_s are the logits (N, classes) of teacher and student, p^T = softmax(z / T), and
H~ = -sum p log p / log(classes), in [0, 1], is the normalised entropy at T = 1.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F


def normalised_entropy(logits: Tensor) -> Tensor:
    """H~ of each row of logits (N, classes): (N,); 0 is certain, 1 is uniform."""
    log_p = F.log_softmax(logits, dim=1)
    # softmax * log_softmax is 0 * -large, never 0 * -inf, for finite logits
    return -(log_p.exp() * log_p).sum(dim=1) / log(logits.shape[1])


def soft_label_loss(*, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
    """Mean over the batch of T^2 KL(p_t^T || p_s^T); Hinton 2015.

    `student`, `teacher`: logits (N, classes); `temperature`: a number or (N, 1). No gradient flows
    to the teacher. The sum runs over classes and the mean over samples (what
    `KLDivLoss("batchmean")` does; its default divides by the number of classes too). The factor
    T^2 keeps the gradient's size, which falls with 1 / T^2. `ValueError` if both logits are one
    tensor: the loss would be 0 and distillation silently off.
    """
    if student is teacher or student.data_ptr() == teacher.data_ptr():
        raise ValueError("student and teacher logits are the same tensor: nothing to distil")
    log_t = F.log_softmax(teacher.detach() / temperature, dim=1)
    log_s = F.log_softmax(student / temperature, dim=1)
    divergence = (log_t.exp() * (log_t - log_s)).sum(dim=1, keepdim=True)
    return (temperature**2 * divergence).mean()


def entropy_loss(*, student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of (H~_s - H~_t)^2, without gradient to the teacher."""
    gap = normalised_entropy(student) - normalised_entropy(teacher.detach())
    return gap.square().mean()


def student_loss(
    *,
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: float | Tensor,
    alpha: float,
    beta: float = 0.0,
) -> Tensor:
    """(1 - alpha) CE + alpha T^2 KL(p_t^T || p_s^T) + beta (H~_s - H~_t)^2, batch mean.

    `student`, `teacher`: logits (N, classes); `labels`: int64 (N,).
    """
    loss = torch.zeros((), device=student.device)
    if alpha < 1:
        loss = loss + (1 - alpha) * F.cross_entropy(student, labels)
    if alpha > 0:
        soft = soft_label_loss(student=student, teacher=teacher, temperature=temperature)
        loss = loss + alpha * soft
    if beta > 0:
        loss = loss + beta * entropy_loss(student=student, teacher=teacher)
    return loss


def teacher_loss(teacher: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy: the teacher learns from the labels alone."""
    return F.cross_entropy(teacher, labels)
