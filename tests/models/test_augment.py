"""Changes of training images: by hand, and drawn for a seed and an image alone."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import augment
from models.augment import CHANGE, DROPOUT, ORDER, Changes, generator
from models.presets import Augmentation

WIDE = Augmentation(shift=2, rotate=15.0, flip=True)


def changes(count=1, **given_parts) -> Changes:
    """The same change for `count` images of one seed."""
    parts = dict.fromkeys(("dx", "dy", "flip", "angle"))
    parts |= {name: torch.tensor([[value] * count]) for name, value in given_parts.items()}
    return Changes(**parts)


def applied(image: list[list[int]], **given_parts) -> list[list[int]]:
    images = torch.tensor(image, dtype=torch.uint8)[None, None, None]
    out = changes(**given_parts).apply(images, torch.tensor([[0]]))
    assert out.shape == images.shape and out.dtype == torch.uint8
    return out[0, 0, 0].tolist()


IMAGE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dx": 0, "dy": 0}, IMAGE),
        ({"dx": 1, "dy": 0}, [[2, 3, 2], [5, 6, 5], [8, 9, 8]]),
        ({"dx": -1, "dy": 0}, [[2, 1, 2], [5, 4, 5], [8, 7, 8]]),
        ({"dx": 0, "dy": -2}, [[7, 8, 9], [4, 5, 6], [1, 2, 3]]),
        ({"dx": 1, "dy": 1}, [[5, 6, 5], [8, 9, 8], [5, 6, 5]]),
        ({"flip": True}, [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        ({"flip": False}, IMAGE),
        ({"flip": True, "dx": 1, "dy": 0}, [[2, 1, 2], [5, 4, 5], [8, 7, 8]]),
        ({"angle": 0.0}, IMAGE),
        ({"angle": 90.0}, np.rot90(IMAGE, 1).tolist()),
        ({"angle": 180.0}, np.rot90(IMAGE, 2).tolist()),
        ({"angle": -90.0}, np.rot90(IMAGE, 3).tolist()),
    ],
)
def test_changes_by_hand(change, expected):
    assert applied(IMAGE, **change) == expected


def test_what_turns_in_from_outside_is_black():
    turned = applied([[255] * 8] * 8, angle=45.0)
    assert turned[0][0] == turned[0][-1] == turned[-1][0] == 0
    assert turned[3][3] == turned[4][4] == 255


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(2, 12), st.data())
def test_reflection_is_that_of_numpy(size, choose):
    shift = choose.draw(st.integers(-size + 1, size - 1))
    padded = np.pad(np.arange(size), size - 1, mode="reflect")
    expected = padded[size - 1 + shift :][:size]
    found = augment._reflect(torch.arange(size) + shift, size)
    assert found.tolist() == expected.tolist()


def test_a_change_belongs_to_the_image_and_not_to_its_place_in_the_batch():
    images = torch.randint(0, 256, (2, 30, 3, 8, 8), dtype=torch.uint8)
    drawn = Changes.draw(WIDE, (4, 5), 3, 30)
    rows = torch.arange(30).expand(2, -1)
    whole = drawn.apply(images, rows)
    order = torch.stack([torch.randperm(30), torch.randperm(30)])[:, :11]
    picked = torch.stack([images[s, order[s]] for s in range(2)])
    expected = torch.stack([whole[s, order[s]] for s in range(2)])
    assert torch.equal(drawn.apply(picked, order), expected)
    assert not torch.equal(whole, images)


def test_a_seeds_changes_do_not_depend_on_the_seeds_beside_it():
    alone, beside = Changes.draw(WIDE, (7,), 3, 50), Changes.draw(WIDE, (0, 7, 2), 3, 50)
    other = Changes.draw(WIDE, (7,), 4, 50)
    for part in ("dx", "dy", "flip", "angle"):
        assert torch.equal(getattr(alone, part)[0], getattr(beside, part)[1])
        assert not torch.equal(getattr(beside, part)[0], getattr(beside, part)[1])
        assert not torch.equal(getattr(alone, part), getattr(other, part))


def test_changes_fill_their_range_and_go_no_further():
    drawn = Changes.draw(WIDE, (0,), 1, 4000)
    for part in (drawn.dx, drawn.dy):
        assert torch.bincount(part[0] + 2).min() > 4000 / 5 * 0.8
        assert part.abs().max() == 2
    assert not torch.equal(drawn.dx, drawn.dy)
    assert 0.45 < drawn.flip.float().mean() < 0.55
    assert 14.9 < drawn.angle.abs().max() <= 15
    assert abs(drawn.angle.mean()) < 0.5


def test_what_is_not_wanted_is_not_drawn():
    drawn = Changes.draw(Augmentation(), (0, 1), 1, 5)
    assert drawn == Changes(None, None, None, None)
    images = torch.randint(0, 256, (2, 5, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(drawn.apply(images, torch.arange(5).expand(2, -1)), images)


def test_every_seed_purpose_and_number_has_random_numbers_of_its_own():
    keys = list(product(range(3), (ORDER, CHANGE, DROPOUT), range(3), range(2)))
    drawn = {torch.rand(4, generator=generator(*key)).numpy().tobytes() for key in keys}
    assert len(drawn) == len(keys)
    one, again = generator(5, ORDER, 1), generator(5, ORDER, 1)
    assert torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=again))
