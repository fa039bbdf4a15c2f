"""Data sets: splits by seed, and what is said about damaged or missing files."""

import gzip
import hashlib
import urllib.error
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import UserError
from models import data
from models.data import Images


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """A folder laid out as MNIST's, with 60 images, and the sums of what is in it."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (40, 28, 28), np.uint8),
        rng.integers(0, 10, 40, np.uint8),
        rng.integers(0, 256, (20, 28, 28), np.uint8),
        rng.integers(0, 10, 20, np.uint8),
    ]
    bodies = dict(zip(data.MNIST_SHA256, map(data.idx, arrays), strict=True))
    sums = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, body in bodies.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(body))
    monkeypatch.setattr(data, "MNIST_SHA256", sums)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return folder, arrays


def rows(images: Images) -> set[bytes]:
    return {x.tobytes() + bytes([y]) for x, y in zip(images.images, images.labels, strict=True)}


def test_digits_sizes_types_and_range():
    splits = data.load("digits", seed=0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1197, 300, 300)
    assert splits.train.images.shape == (1197, 1, 8, 8)
    assert splits.train.images.dtype == np.uint8
    assert splits.train.labels.dtype == np.int64
    assert splits.train.images.max() == 240  # grey 16 of 0..16, times 15
    assert not (splits.train.images % 15).any()


def test_digits_splits_are_balanced_disjoint_and_follow_the_seed():
    zero, again, one = (data.load("digits", seed) for seed in (0, 0, 1))
    for part in (zero.train, zero.validation, zero.test):
        counts = np.bincount(part.labels, minlength=10) / len(part)
        assert np.abs(counts - 0.1).max() < 0.01
    parts = [rows(zero.train), rows(zero.validation), rows(zero.test)]
    assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
    assert np.array_equal(zero.train.images, again.train.images)
    assert not np.array_equal(zero.validation.images, one.validation.images)
    assert np.array_equal(zero.test.images, one.test.images)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data(), st.integers(0, 9))
def test_a_split_loses_nothing_and_keeps_each_class_share(labels, choose, seed):
    held = choose.draw(st.integers(0, len(labels)))
    every = Images(np.arange(len(labels), dtype=np.uint8), np.array(labels, np.int64))
    kept, back = data.split(every, held, seed)
    assert len(back) == held
    assert sorted([*kept.images, *back.images]) == list(range(len(labels)))
    for label in set(labels):
        share = held * labels.count(label) / len(labels)
        assert abs((back.labels == label).sum() - share) < 1


def test_mnist_is_read_in_file_order(tiny_mnist):
    _, arrays = tiny_mnist
    train, test = data.read_mnist()
    assert np.array_equal(train.images[:, 0], arrays[0])
    assert np.array_equal(train.labels, arrays[1])
    assert np.array_equal(test.images[:, 0], arrays[2])
    assert np.array_equal(test.labels, arrays[3])


def test_the_wrapper_may_differ_but_the_payload_may_not(tiny_mnist):
    folder, _ = tiny_mnist
    path = folder / "t10k-labels-idx1-ubyte.gz"
    body = bytearray(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(bytes(body), 1, mtime=5))
    data.read_mnist()
    body[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(body)))
    with pytest.raises(UserError, match=r"t10k-labels.*damaged: SHA-256 .* expected"):
        data.read_mnist()


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_a_cut_off_file_is_damaged(tiny_mnist, keep):
    folder, _ = tiny_mnist
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"train-images.*damaged"):
        data.read_mnist()


def test_a_missing_file_is_named(tiny_mnist):
    folder, _ = tiny_mnist
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte.gz: missing; set DATA_DIR"):
        data.read_mnist()


def test_the_download_is_checked_and_kept(tiny_mnist, tmp_path, monkeypatch):
    _, arrays = tiny_mnist
    calls = []

    def fetch(data_id, **options):
        calls.append(data_id)
        images = np.concatenate([arrays[0], arrays[2]]).reshape(60, 784).astype(np.float64)
        labels = np.concatenate([arrays[1], arrays[3]]).astype(str).astype(object)
        return SimpleNamespace(data=images, target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    monkeypatch.setattr(data, "MNIST_TRAIN", 40)
    monkeypatch.setattr(data, "BUILD", tmp_path / "build")
    monkeypatch.delenv("DATA_DIR")
    for _ in range(2):
        train, test = data.read_mnist()
        assert np.array_equal(train.images[:, 0], arrays[0])
        assert np.array_equal(test.labels, arrays[3])
    assert calls == [554]

    arrays[2][0, 0, 0] ^= 1
    monkeypatch.setattr(data, "BUILD", tmp_path / "other")
    with pytest.raises(UserError, match="downloaded t10k-images-idx3-ubyte: damaged"):
        data.read_mnist()


def test_without_network_the_way_out_is_named(tmp_path, monkeypatch):
    def fetch(**options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    monkeypatch.setattr(data, "BUILD", tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    with pytest.raises(UserError, match=r"could not be downloaded .*set DATA_DIR"):
        data.load("mnist", 0)


@pytest.fixture
def tiny_cifar10(tmp_path, monkeypatch):
    """A folder laid out as CIFAR-10's, two records a file, and the sums of what is in it."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    files = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    records = {}
    for name in files:
        batch = rng.integers(0, 256, (2, 3073), np.uint8)
        batch[:, 0] %= 10
        records[name] = batch
        (folder / name).write_bytes(batch.tobytes())

    def total(names):
        sums = sorted(hashlib.sha256(r).digest() for n in names for r in records[n])
        return hashlib.sha256(b"".join(sums)).hexdigest()

    sums = {"train": total(files[:5]), "test": total(files[5:])}
    monkeypatch.setattr(data, "CIFAR10_SHA256", sums)
    monkeypatch.setattr(data, "CIFAR10_RECORDS", 2)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    return folder, records


def test_cifar10_does_not_depend_on_the_order_of_its_records(tiny_cifar10):
    folder, records = tiny_cifar10
    before, test = data.read_cifar10()
    assert before.images.shape == (10, 3, 32, 32)
    record = records["test_batch.bin"][list(test.labels).index(test.labels[0])]
    assert test.images[0].tobytes() in {r[1:].tobytes() for r in records["test_batch.bin"]}
    assert record[0] in test.labels
    one, two = folder / "data_batch_1.bin", folder / "data_batch_2.bin"
    one.write_bytes(records["data_batch_2.bin"][::-1].tobytes())
    two.write_bytes(records["data_batch_1.bin"].tobytes())
    after, _ = data.read_cifar10()
    assert np.array_equal(before.images, after.images)
    assert np.array_equal(before.labels, after.labels)


def test_damaged_or_missing_cifar10_is_named(tiny_cifar10, monkeypatch):
    folder, records = tiny_cifar10
    path = folder / "data_batch_3.bin"
    changed = records["data_batch_3.bin"].copy()
    changed[0, 7] ^= 1
    path.write_bytes(changed.tobytes())
    with pytest.raises(UserError, match="damaged: SHA-256"):
        data.read_cifar10()
    path.write_bytes(changed.tobytes()[:-1])
    with pytest.raises(UserError, match=r"data_batch_3.bin: damaged: not 2 records"):
        data.read_cifar10()
    path.unlink()
    with pytest.raises(UserError, match=r"data_batch_3.bin: missing"):
        data.read_cifar10()
    monkeypatch.delenv("DATA_DIR")
    with pytest.raises(UserError, match="set DATA_DIR to a folder that holds cifar-10"):
        data.read_cifar10()


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_named(label):
    labels = np.array([0, 9, label, 3], np.int64)
    images = Images(np.zeros((4, 1, 8, 8), np.uint8), labels)
    with pytest.raises(UserError, match=f"digits: label {label} of image 2 is out of range 0..9"):
        images.check("digits", (1, 8, 8), 10)


def test_images_of_another_shape_type_or_number_are_refused():
    labels = np.zeros(4, np.int64)
    with pytest.raises(UserError, match=r"needed are uint8 \(1, 8, 8\)"):
        Images(np.zeros((4, 8, 8), np.uint8), labels).check("digits", (1, 8, 8), 10)
    with pytest.raises(UserError, match="images are float64"):
        Images(np.zeros((4, 1, 8, 8)), labels).check("digits", (1, 8, 8), 10)
    with pytest.raises(UserError, match="3 images but 4 labels"):
        Images(np.zeros((3, 1, 8, 8), np.uint8), labels).check("digits", (1, 8, 8), 10)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(UserError, match="no data set 'letters'; there are digits, mnist, cifar10"):
        data.load("letters", 0)
