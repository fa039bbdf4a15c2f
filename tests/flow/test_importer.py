"""Images and labels that a user brings: what is taken, and what is refused in one line."""

import numpy as np
import pytest

from flow.errors import UserError
from flow.lowering.importer import random_images, read_images, read_labels

SHAPE = (1, 4, 4)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), dtype=np.uint8)


def saved(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        PIXELS.astype(np.int64),
        PIXELS.astype(np.float32) / np.float32(255),
        PIXELS / 255.0,
        PIXELS.reshape(5, 16),
        PIXELS.reshape(5, 4, 4),
    ],
)
def test_all_usual_forms_give_the_same_pixels(tmp_path, array):
    np.testing.assert_array_equal(read_images(saved(tmp_path, array), SHAPE), PIXELS)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (PIXELS[:, :, :3], "16 pixels"),
        (PIXELS / 255.0 + 0.001, "multiples of 1/255"),
        (PIXELS / 255.0 * np.nan, "multiples of 1/255"),
        (PIXELS.astype(np.int64) + 200, "outside 0..255"),
        (PIXELS[:0], "no images"),
        (PIXELS.astype(str), "type"),
    ],
)
def test_other_images_are_refused(tmp_path, array, says):
    with pytest.raises(UserError, match=says):
        read_images(saved(tmp_path, array), SHAPE)


def test_files_that_are_no_arrays_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_images(tmp_path / "none.npy", SHAPE)
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(UserError, match="not a NumPy"):
        read_images(tmp_path / "text.npy", SHAPE)


@pytest.mark.parametrize(
    "labels", [np.arange(4), np.arange(5.0), np.array([0, 1, 2, -1, 4]), np.zeros((5, 2), int)]
)
def test_labels_must_be_one_class_an_image(tmp_path, labels):
    with pytest.raises(UserError):
        read_labels(saved(tmp_path, labels), 5)


def test_random_images_follow_their_seed():
    assert (random_images(SHAPE, 1) == random_images(SHAPE, 1)).all()
    assert (random_images(SHAPE, 1) != random_images(SHAPE, 2)).any()
