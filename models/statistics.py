"""Paired comparisons of two arms of a study: what the difference is, and how sure one can be.

Runs are paired by seed (same start, same order of images), so everything here works on the
differences d_i = a_i - b_i in percentage points, one a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 9999
EXACT_UP_TO = 16  # differences; 2^16 sign patterns, beyond that a random sample of them


def interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Bootstrap percentile interval of the mean difference, at `LEVEL`; None below two seeds.

    Efron 1979: means of samples drawn with replacement, their 2.5 % and 97.5 % points. The draws
    have a fixed seed, so the same differences give the same interval.
    """
    if len(differences) < 2:
        return None
    found = stats.bootstrap(
        (np.asarray(differences),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p of a mean of 0: the share of the 2^n sign patterns with as large a |mean|.

    Exact randomisation test (Fisher 1935): without an effect of the arm every d_i would as well
    be -d_i. The smallest p that n seeds can give is 2 / 2^n, so 0.05 needs 6.
    """
    if len(differences) < 2:
        return 1.0
    return float(
        stats.permutation_test(
            (np.asarray(differences),),
            np.mean,
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**EXACT_UP_TO,
            rng=np.random.default_rng(0),
        ).pvalue
    )


def holm(p: Sequence[float]) -> list[float]:
    """p corrected for their number, step down: max over smaller ones of (m - rank) p, at most 1.

    Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    order = np.argsort(p, kind="stable")
    raised = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return corrected.tolist()


def compare(a: Mapping[int, float], b: Mapping[int, float]) -> dict[str, Any]:
    """a - b over the seeds that both have ({seed: percent}), as the report holds it."""
    seeds = sorted(a.keys() & b.keys())
    differences = [round(a[seed] - b[seed], 6) for seed in seeds]
    return {
        "seeds": seeds,
        "differences": differences,
        "mean": float(np.mean(differences)),
        "interval": (found := interval(differences)) and list(found),
        "p": sign_flip_p(differences),
    }
