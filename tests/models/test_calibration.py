"""Calibration figures by hand, and temperature scaling on logits of a known scale."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from models import calibration

RNG = np.random.default_rng(0)


def log_p(*rows):
    return np.log(np.array(rows))


def test_nll_and_brier_by_hand():
    p, labels = log_p([0.7, 0.2, 0.1], [0.25, 0.25, 0.5]), np.array([0, 1])
    assert calibration.nll(p, labels) == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2)
    # (0.3^2 + 0.2^2 + 0.1^2 + 0.25^2 + 0.75^2 + 0.5^2) / 2
    assert calibration.brier(p, labels) == pytest.approx((0.14 + 0.875) / 2)


def test_ece_by_hand():
    # 15 bins: 0.60 is the upper end of bin 9, 0.59 lies in it too, 0.61 and 0.65 in bin 10
    confidence = np.array([0.60, 0.59, 0.61, 0.65])
    p = np.log(np.stack([confidence, 1 - confidence], -1))
    labels = np.array([0, 1, 0, 0])
    bin_9, bin_10 = abs(1 - 0.60 - 0.59), abs(2 - 0.61 - 0.65)
    assert calibration.ece(p, labels) == pytest.approx((bin_9 + bin_10) / 4)


def test_a_network_that_is_right_as_often_as_it_says_has_no_error():
    p = np.log(np.tile([0.8, 0.2], (10, 1)))
    assert calibration.ece(p, np.array([0] * 8 + [1] * 2)) == pytest.approx(0)
    assert calibration.ece(np.log(np.tile([1 - 1e-12, 1e-12], (10, 1))), np.ones(10, int)) == (
        pytest.approx(1)
    )


def drawn(scale, seeds=2, count=4000):
    """Logits `scale` times too large, and labels drawn from what they should have been."""
    logits = RNG.normal(0, 1.5, (seeds, count, 5))
    p = softmax(logits, -1)
    labels = (p.cumsum(-1) > RNG.random((seeds, count, 1))).argmax(-1)
    return scale * logits, labels


@pytest.mark.parametrize("scale", [0.2, 1, 30])
def test_scaling_finds_the_scale_of_the_logits(scale):
    logits, labels = drawn(scale)
    tau = calibration.fit_temperature(logits, labels)
    assert tau.shape == (2,)
    assert tau == pytest.approx(scale, rel=0.08)


def test_scaling_is_fitted_on_validation_and_measured_on_test():
    validation, test = drawn(8), drawn(8)
    found = calibration.measure(validation, test)
    assert all(len(values) == 2 for values in found.values())
    assert np.mean(found["ece_scaled"]) < 0.03 < np.mean(found["ece"])
    assert np.mean(found["nll_scaled"]) < np.mean(found["nll"])
    assert np.mean(found["brier_scaled"]) < np.mean(found["brier"])
    assert found["tau"] == calibration.fit_temperature(*validation).tolist()
    for i in range(2):
        alone = log_softmax(test[0][i], axis=-1)
        assert found["nll"][i] == pytest.approx(calibration.nll(alone, test[1][i]))


def test_agreement_is_percent_of_equal_labels():
    logits = np.array([[[1.0, 0], [0, 1], [0, 1], [2, 1]]])
    assert calibration.agreement(logits, np.array([[0, 1, 0, 0]])) == pytest.approx([75])
