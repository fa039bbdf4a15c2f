"""Images and labels: read or downloaded, checked, and split by seed.

`digits` comes inside scikit-learn. `mnist` is read from `DATA_DIR/mnist`, or downloaded once by
scikit-learn from OpenML. `cifar10` is read from `DATA_DIR/cifar-10-batches-bin`. What was read is
compared with the SHA-256 sums of the published pixels, not of the files around them.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from flow.errors import UserError
from flow.paths import BUILD


@dataclass(frozen=True)
class Images:
    """`images`: uint8 (N, C, H, W); `labels`: int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Images:
        return Images(self.images[rows], self.labels[rows])

    def check(self, name: str, shape: tuple[int, ...], classes: int) -> Images:
        """`UserError` at the first image or label that does not fit; returns the images."""
        if self.images.dtype != np.uint8 or self.images.shape[1:] != shape:
            raise UserError(
                f"{name}: images are {self.images.dtype} {self.images.shape[1:]}, "
                f"needed are uint8 {shape}"
            )
        if len(self.images) != len(self.labels):
            raise UserError(f"{name}: {len(self.images)} images but {len(self.labels)} labels")
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= classes))
        if bad.size:
            raise UserError(
                f"{name}: label {self.labels[bad[0]]} of image {bad[0]} is out of range "
                f"0..{classes - 1}"
            )
        return self


@dataclass(frozen=True)
class Splits:
    """`train` to learn from, `validation` to choose by, `test` to be touched once."""

    train: Images
    validation: Images
    test: Images


@dataclass(frozen=True)
class Dataset:
    """`shape`: (C, H, W) of an image; `validation`: images held back; `read`: training, test."""

    shape: tuple[int, int, int]
    classes: int
    validation: int
    read: Callable[[], tuple[Images, Images]]


def load(name: str, seed: int) -> Splits:
    """Training, validation and test images of the data set `name`.

    The seed chooses which images validate, as many of each class as the class's share. The
    test set is the same for every seed, so that accuracies of different seeds compare.
    """
    rest, test = read(name)
    train, validation = split(rest, DATASETS[name].validation, seed)
    return Splits(train, validation, test)


def read(name: str) -> tuple[Images, Images]:
    """The data set `name` as published, checked: training and validation images, test images."""
    if name not in DATASETS:
        raise UserError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    rest, test = (part.check(name, dataset.shape, dataset.classes) for part in dataset.read())
    return rest, test


def split(images: Images, held: int, seed: int) -> tuple[Images, Images]:
    """The images without those that `held_back` chooses, and those."""
    chosen = held_back(images, held, seed)
    return images.take(~chosen), images.take(chosen)


def held_back(images: Images, held: int, seed: int) -> np.ndarray:
    """bool (N,): `held` images, every class by its share (largest remainders), chosen by seed."""
    classes, counts = np.unique(images.labels, return_counts=True)
    share = held * counts / len(images)
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: held - quota.sum()]] += 1
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(images), bool)
    for label, count in zip(classes, quota, strict=True):
        chosen[rng.permutation(np.flatnonzero(images.labels == label))[:count]] = True
    return chosen


def _verify(where: object, body: bytes, expected: str) -> bytes:
    """`body`, if its SHA-256 is `expected`."""
    found = hashlib.sha256(body).hexdigest()
    if found != expected:
        raise UserError(
            f"{where}: damaged: SHA-256 of the unpacked bytes is {found[:16]}..., expected "
            f"{expected[:16]}...; get it again, or from another place"
        )
    return body


# --- digits: 1797 images of 8x8 inside scikit-learn, grey values 0..16 ----------------------------

DIGITS_TEST = 300


def read_digits() -> tuple[Images, Images]:
    """The grey values 0..16 become 0..240, so that a half stays a half of the range."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)[:, None]
    return split(Images(images, digits.target.astype(np.int64)), DIGITS_TEST, seed=0)


# --- mnist: the four published files --------------------------------------------------------------

MNIST_OPENML = 554
MNIST_TRAIN = 60000
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def read_mnist() -> tuple[Images, Images]:
    """From `DATA_DIR/mnist`; without DATA_DIR from the download kept in the build folder."""
    if os.environ.get("DATA_DIR"):
        folder = _data_dir("mnist")
    else:
        folder = BUILD / "data" / "mnist"
        if not all((folder / f"{name}.gz").is_file() for name in MNIST_SHA256):
            download_mnist(folder)
    parts = [_read_idx(folder / f"{name}.gz", total) for name, total in MNIST_SHA256.items()]
    return (
        Images(parts[0].reshape(-1, 1, 28, 28), parts[1].astype(np.int64)),
        Images(parts[2].reshape(-1, 1, 28, 28), parts[3].astype(np.int64)),
    )


def _read_idx(path: Path, total: str) -> np.ndarray:
    """One gzipped IDX file of unsigned bytes: 2 zero bytes, type 8, rank, big-endian sizes."""
    if not path.is_file():
        raise UserError(f"{path}: missing; set DATA_DIR to a folder that holds mnist/{path.name}")
    try:
        body = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged: {error}; fetch it again") from error
    _verify(path, body, total)
    rank = body[3]
    sizes = np.frombuffer(body, ">u4", rank, 4)
    return np.frombuffer(body, np.uint8, offset=4 + 4 * rank).reshape(sizes).copy()


def idx(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array; the opposite of `_read_idx`."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def download_mnist(folder: Path) -> None:
    """Fetch MNIST with scikit-learn (OpenML's mnist_784), write the published files to `folder`.

    OpenML holds the 60 000 training images and then the 10 000 test images, so the published bytes
    can be put together again; their sums are checked before anything is written.
    """
    from sklearn.datasets import fetch_openml

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each retry
            fetched = fetch_openml(
                data_id=MNIST_OPENML, as_frame=False, parser="liac-arff", data_home=str(folder)
            )
    except (OSError, HTTPException, ValueError) as error:  # no network, cut off, wrong checksum
        raise UserError(
            f"MNIST could not be downloaded ({error}); set DATA_DIR to a folder that holds "
            f"mnist/train-images-idx3-ubyte.gz and its three companions"
        ) from error
    images = fetched.data.astype(np.uint8).reshape(-1, 28, 28)
    labels = fetched.target.astype(np.uint8)
    n = MNIST_TRAIN
    arrays = (images[:n], labels[:n], images[n:], labels[n:])
    bodies = {
        name: _verify(f"downloaded {name}", idx(array), total)
        for (name, total), array in zip(MNIST_SHA256.items(), arrays, strict=True)
    }
    for name, body in bodies.items():
        part = folder / f".{name}.part"
        part.write_bytes(gzip.compress(body, mtime=0))
        part.replace(folder / f"{name}.gz")


# --- cifar10: the published binary batches --------------------------------------------------------

CIFAR10_RECORDS = 10000  # in each file
CIFAR10_SHA256 = {
    "train": "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
    "test": "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
}


def read_cifar10() -> tuple[Images, Images]:
    """From `DATA_DIR/cifar-10-batches-bin`; every record is a label byte and 3072 pixel bytes."""
    folder = _data_dir("cifar-10-batches-bin")
    files = {
        "train": [folder / f"data_batch_{i}.bin" for i in range(1, 6)],
        "test": [folder / "test_batch.bin"],
    }
    train, test = (_read_cifar10(paths, CIFAR10_SHA256[part]) for part, paths in files.items())
    return train, test


def _read_cifar10(paths: list[Path], total: str) -> Images:
    """Records in the order of their own sums: the order of the files must not matter."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: missing; set DATA_DIR to the folder above")
        if path.stat().st_size != CIFAR10_RECORDS * 3073:
            raise UserError(
                f"{path}: damaged: not {CIFAR10_RECORDS} records of 3073 bytes; fetch it again"
            )
    records = np.concatenate([np.fromfile(p, np.uint8).reshape(-1, 3073) for p in paths])
    sums = [hashlib.sha256(record).digest() for record in records]
    order = sorted(range(len(sums)), key=sums.__getitem__)
    _verify(f"{paths[0].parent} ({len(paths)} files)", b"".join(sums[i] for i in order), total)
    records = records[order]
    return Images(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64))


def _data_dir(folder: str) -> Path:
    if not os.environ.get("DATA_DIR"):
        raise UserError(f"set DATA_DIR to a folder that holds {folder}/")
    return Path(os.environ["DATA_DIR"]) / folder


DATASETS = {
    "digits": Dataset((1, 8, 8), 10, 300, read_digits),
    "mnist": Dataset((1, 28, 28), 10, 5000, read_mnist),
    "cifar10": Dataset((3, 32, 32), 10, 5000, read_cifar10),
}
