"""Images and labels that a user brings along with a QONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.errors import UserError

RANDOM_IMAGES = 1000  # images made up where none are given


def read_images(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read `.npy` images as uint8 (N, *shape); `shape` is the model's input without the batch.

    Accepted: uint8, or floats in [0, 1] that are multiples of 1/255 (what an image reader gives
    for 8-bit pixels); any array whose images have as many elements as `shape`.
    """
    images = _read(path)
    count = int(np.prod(shape))
    if images.ndim < 2 or images[0].size != count:
        raise UserError(
            f"{path}: shape {images.shape} does not hold images of {count} pixels; "
            f"the model takes (N, {', '.join(map(str, shape))})"
        )
    return _as_bytes(path, images).reshape(len(images), *shape)


def read_labels(path: Path, count: int) -> np.ndarray:
    """Read `.npy` labels as int64 (N,), one for each of `count` images."""
    labels = _read(path)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{path}: {labels.dtype} of shape {labels.shape}; needs {count} integers, "
            "the class of each image"
        )
    if labels.min() < 0:
        raise UserError(f"{path}: label {labels.min()} is below 0")
    return labels.astype(np.int64)


def random_images(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Uniformly random pixels, uint8 (RANDOM_IMAGES, *shape), for a model without data."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (RANDOM_IMAGES, *shape), dtype=np.uint8)


def _read(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path}: not a NumPy .npy file; write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: an .npz archive; save one array as .npy")
    if len(array.shape) == 0 or len(array) == 0:
        raise UserError(f"{path}: holds no images or labels")
    return array


def _as_bytes(path: Path, images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) and not np.issubdtype(images.dtype, np.integer):
        raise UserError(f"{path}: pixels of type {images.dtype}; give uint8 or floats in [0, 1]")
    if np.issubdtype(images.dtype, np.integer):
        if images.min() < 0 or images.max() > 255:
            raise UserError(f"{path}: pixels outside 0..255")
        return images.astype(np.uint8)
    pixels = np.rint(images * 255.0)
    inside = np.isfinite(images).all() and pixels.min() >= 0 and pixels.max() <= 255
    if not inside or np.abs(pixels / 255.0 - images).max() > 1e-6:
        raise UserError(
            f"{path}: float pixels must be multiples of 1/255 in [0, 1], since the hardware reads "
            "8-bit pixels; give uint8 images instead"
        )
    return pixels.astype(np.uint8)
