"""Paired comparisons: by hand, by enumeration, and as an interval should behave."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import statistics

DIFFERENCES = [0.1, -0.2, 0.3, 0.25, 0.11, 0.4]


def enumerated(differences):
    """The definition: share of all sign patterns whose |mean| is at least the one seen."""
    d = np.array(differences)
    means = [abs((d * signs).mean()) for signs in product((1, -1), repeat=len(d))]
    return np.mean([m >= abs(d.mean()) - 1e-12 for m in means])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8))
def test_sign_flip_is_the_share_of_sign_patterns(hundredths):
    differences = [x / 100 for x in hundredths]
    assert statistics.sign_flip_p(differences) == pytest.approx(enumerated(differences))


def test_six_seeds_of_one_sign_are_just_enough():
    assert statistics.sign_flip_p([0.1, 0.2, 0.3, 0.1, 0.5, 0.2]) == pytest.approx(2 / 64)
    assert statistics.sign_flip_p([0.1, 0.2, 0.3, 0.1, 0.5]) > 0.05


def test_no_difference_is_no_evidence():
    assert statistics.sign_flip_p([0.0, 0.0, 0.0]) == 1
    assert statistics.sign_flip_p([0.4]) == 1
    assert statistics.interval([0.4]) is None
    assert statistics.interval([0.2, 0.2, 0.2]) == pytest.approx((0.2, 0.2))


def test_the_interval_is_that_of_means_of_samples_drawn_again():
    low, high = statistics.interval(DIFFERENCES)
    rng = np.random.default_rng(7)
    means = rng.choice(DIFFERENCES, (200_000, len(DIFFERENCES))).mean(1)
    assert (low, high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.01)
    assert statistics.interval(DIFFERENCES) == (low, high)


def test_holm_by_hand():
    # sorted: 0.005 x 4 = 0.02, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06, 0.04 x 1 -> not below 0.06
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert statistics.holm([]) == []


def test_compare_pairs_by_seed_and_not_by_place():
    found = statistics.compare({0: 90.0, 1: 92.0, 5: 10.0}, {1: 91.5, 0: 91.0, 7: 99.0})
    assert found["seeds"] == [0, 1]
    assert found["differences"] == [-1.0, 0.5]
    assert found["mean"] == -0.25
    assert found["interval"] == [-1.0, 0.5]
    assert found["p"] == 1
