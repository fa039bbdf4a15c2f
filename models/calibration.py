"""How well a network's probabilities can be believed, before and after temperature scaling.

Logits z are (..., N, classes), labels (N,) or (..., N); p = softmax(z / tau). Leading axes, one
entry a seed, stay: every figure comes back as (...,).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 15
TEMPERATURES = (1e-2, 1e3)  # of the scaling; binary networks have logits of any size


def nll(log_p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of -log p of the right class, in nats."""
    return -_of_label(log_p, labels).mean(-1)


def brier(log_p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean over images of sum_c (p_c - [c is the label])^2, in [0, 2]; Brier 1950."""
    p = np.exp(log_p)
    return (np.square(p).sum(-1) - 2 * _of_label(p, labels) + 1).mean(-1)


def ece(log_p: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Expected calibration error: sum over bins of share |accuracy - mean confidence|.

    Confidence is the largest p of an image; the bins cut (0, 1] into equal parts, each with its
    upper end. Guo et al. 2017, arXiv 1706.04599; 15 bins as there.
    """
    confidence = np.exp(log_p.max(-1))
    gap = (log_p.argmax(-1) == labels) - confidence
    bin_of = np.ceil(confidence * bins).astype(int).clip(1, bins)
    sums = [np.where(bin_of == b, gap, 0).sum(-1) for b in range(1, bins + 1)]
    return np.abs(sums).sum(0) / confidence.shape[-1]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """tau of least NLL for each leading entry; to be fitted on validation images. Guo et al. 2017.

    NLL is convex in 1 / tau, so it falls and rises once, and a search over log tau finds it.
    """
    shape = logits.shape[:-2]
    labels = np.broadcast_to(labels, logits.shape[:-1])
    bounds = tuple(np.log(TEMPERATURES))
    found = np.empty(shape)
    for index in np.ndindex(shape):
        z, y = logits[index].astype(np.float64), labels[index]
        fit = minimize_scalar(
            lambda log_tau, z=z, y=y: nll(log_softmax(z / np.exp(log_tau), axis=-1), y),
            bounds=bounds,
            method="bounded",
        )
        found[index] = np.exp(fit.x)
    return found


def agreement(logits: np.ndarray, teacher_labels: np.ndarray) -> np.ndarray:
    """Percent of images to which student and teacher give the same label."""
    return 100 * (logits.argmax(-1) == teacher_labels).mean(-1)


def measure(
    validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, list[float]]:
    """ECE, NLL and Brier on (logits (S, N, classes), labels) `test`, as trained and scaled.

    Keys `ece`, `nll`, `brier`, the same with `_scaled`, and `tau`, which `validation` chose; one
    number a seed.
    """
    tau = fit_temperature(*validation)
    logits, labels = test[0].astype(np.float64), test[1]
    found = {"tau": tau}
    for suffix, scale in (("", 1.0), ("_scaled", tau[..., None, None])):
        log_p = log_softmax(logits / scale, axis=-1)
        for name, figure in (("ece", ece), ("nll", nll), ("brier", brier)):
            found[name + suffix] = figure(log_p, labels)
    return {name: values.tolist() for name, values in found.items()}


def _of_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(..., N): the entry of each row's label in (..., N, classes)."""
    labels = np.broadcast_to(labels, values.shape[:-1])
    return np.take_along_axis(values, labels[..., None].astype(int), -1)[..., 0]
