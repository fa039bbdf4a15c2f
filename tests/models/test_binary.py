"""The sign, what stands for its gradient, and what may stand in front of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import binary

FLOAT = st.floats(-(2.0**100), 2.0**100, width=32)

# estimator, progress, {x: slope}, by hand
SLOPES = [
    ("straight", 0.3, {-1e9: 1, -1: 1, 0: 1, 1: 1, 7: 1}),
    ("clipped", 0.0, {-1.5: 0, -1: 0, -0.99: 1, 0: 1, 0.99: 1, 1: 0, 1.01: 0}),
    ("clipped", 1.0, {-1.5: 0, 0.5: 1}),
    ("polynomial", 0.0, {-1.5: 0, -1: 0, -0.25: 1.5, 0: 2, 0.5: 1, 3: 0}),
    ("ede", 0.0, {0: 1, 1: 1 - math.tanh(0.1) ** 2, -5: 1 - math.tanh(0.5) ** 2}),
    ("ede", 0.5, {0: 1, 0.5: 1 - math.tanh(0.5) ** 2}),
    ("ede", 1.0, {0: 10, -0.1: 10 * (1 - math.tanh(1) ** 2), 3: 0}),
    ("reste", 0.0, {0: 1, 0.3: 1, -1.5: 1, 1.51: 0}),
    ("reste", 0.5, {0.25: 1, -1: 0.5, 0.01: 0.5 / math.sqrt(0.1), 1.6: 0}),
    ("reste", 1.0, {1: 1 / 3, -0.125: 4 / 3, 0: 0.1 ** (-2 / 3) / 3}),
]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FLOAT, min_size=1, max_size=8), st.sampled_from(list(binary.ESTIMATORS)))
def test_the_sign_is_the_same_whatever_stands_for_its_gradient(values, estimator):
    expected = [1.0 if v >= 0 else -1.0 for v in np.float32(values)]
    assert binary.sign(torch.tensor(values), estimator, 0.7).tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_sign_of_zero_is_plus_one(dtype):
    signs = binary.sign(torch.tensor([0.0, -0.0, -1e-30], dtype=dtype))
    assert signs.tolist() == [1, 1, -1]
    assert signs.dtype == dtype


@pytest.mark.parametrize(("estimator", "progress", "slopes"), SLOPES)
def test_gradients_by_hand(estimator, progress, slopes):
    x = torch.tensor(list(slopes), dtype=torch.float32, requires_grad=True)
    binary.sign(x, estimator, progress).backward(torch.full((len(slopes),), -3.0))
    expected = [-3 * float(slope) for slope in slopes.values()]
    assert x.grad.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert x.tolist() == torch.tensor(list(slopes), dtype=torch.float32).tolist()


# What each estimator is the derivative of, between its bends.
RISES = {
    "polynomial": (lambda x, _: 2 * x - x * x.abs(), 0.0, 1.0),
    "ede": (
        lambda x, p: max(10 ** (1 - 2 * p), 1.0) * torch.tanh(10 ** (2 * p - 1) * x),
        0.0,
        3.0,
    ),
    "reste": (lambda x, p: x.sign() * x.abs() ** (1 / (1 + 2 * p)), 0.1, 1.5),
}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(list(RISES)), st.floats(0, 1), st.floats(0.02, 0.98), st.booleans())
def test_gradients_are_derivatives_of_the_curves_in_the_papers(estimator, progress, place, minus):
    rise, low, high = RISES[estimator]
    x = torch.tensor([(low + place * (high - low)) * (-1 if minus else 1)], dtype=torch.float64)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(rise(x, progress).sum(), x)
    (found,) = torch.autograd.grad(binary.sign(x, estimator, progress).sum(), x)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


def test_a_learned_clip_by_hand():
    """Two seeds with bounds 1 and 2; outside, the gradient goes to the bound with x's sign."""
    x = torch.tensor([[0.5, -3.0, 1.5], [1.5, 2.5, -2.5]], requires_grad=True)
    bound = torch.tensor([[1.0], [2.0]], requires_grad=True)
    y = binary.learned_clip(x, bound)
    assert y.tolist() == [[0.5, -1.0, 1.0], [1.5, 2.0, -2.0]]
    y.backward(torch.tensor([[1.0, 10.0, 100.0], [1.0, 10.0, 100.0]]))
    assert x.grad.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert bound.grad.tolist() == [[90], [-90]]


@pytest.mark.parametrize("shape", [(2, 4, 3), (3, 2, 2, 3, 3)])
def test_a_learned_clip_has_the_gradients_of_finite_differences(shape):
    torch.manual_seed(0)
    x = (4 * torch.rand(shape, dtype=torch.float64) - 2).requires_grad_()
    bound = 0.5 + torch.rand(shape[0], *(1 for _ in shape[1:]), dtype=torch.float64)
    assert torch.autograd.gradcheck(binary.learned_clip, (x, bound.requires_grad_()), eps=1e-7)


def test_centred_and_standardised_weights_by_hand():
    weight = torch.tensor([[[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]])  # one seed, two channels
    assert binary.plain(weight) is weight
    assert binary.centred(weight).tolist() == [[[-2, -1, 3], [-1, -1, 2]]]
    found = binary.standardised(weight)[0]
    assert found[0].tolist() == pytest.approx([x / math.sqrt(14 / 3) for x in (-2, -1, 3)])
    assert found[1].tolist() == pytest.approx([x / math.sqrt(2) for x in (-1, -1, 2)])


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 4, 3, 3)])
def test_weights_are_standardised_in_each_output_channel(shape):
    torch.manual_seed(0)
    weight = 3 + torch.randn(shape)
    weight[1, 2] = 5.0  # a constant channel: no spread to divide by
    found = binary.standardised(weight).flatten(2)
    assert found.mean(-1).abs().max() < 1e-5
    assert found.std(-1, correction=0).flatten()[:-1] == pytest.approx(1, abs=1e-4)
    assert not found[1, 2].any()
    beside = binary.standardised(weight[:1]).flatten(2)
    assert torch.equal(beside[0], found[0])
