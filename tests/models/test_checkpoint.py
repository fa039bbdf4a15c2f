"""Checkpoints: whole or absent, and of one preset and seed."""

import json

import numpy as np
import pytest
import torch

from flow.errors import UserError
from models import checkpoint


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "a.pt"
    checkpoint.save(path, "f00d", {"x": torch.arange(3), "n": 2})
    state = checkpoint.load(path, "f00d")
    assert state["x"].tolist() == [0, 1, 2]
    assert state["n"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_an_interrupted_save_keeps_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    checkpoint.save(path, "f00d", {"n": 1})

    def half(body, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, "f00d", {"n": 2})
    assert checkpoint.load(path)["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_another_preset_or_seed_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    checkpoint.save(path, "f00d", {})
    with pytest.raises(UserError, match=r"a.pt: of another preset, seed or training option"):
        checkpoint.load(path, "beef")


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_a_damaged_file_is_refused(tmp_path, keep):
    path = tmp_path / "a.pt"
    checkpoint.save(path, "f00d", {"x": torch.arange(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"a.pt: damaged"):
        checkpoint.load(path)


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a.pt: missing; train first"):
        checkpoint.load(tmp_path / "a.pt")
    torch.save([1, 2], tmp_path / "b.pt")
    with pytest.raises(UserError, match=r"b.pt: not a file of this program"):
        checkpoint.load(tmp_path / "b.pt")


def test_json_and_arrays_are_read_back(tmp_path):
    checkpoint.write_json(tmp_path / "a.json", {"x": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1, None]}
    arrays = {"x": np.arange(6).reshape(2, 3), "y": np.zeros(2, np.uint8)}
    checkpoint.write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as file:
        assert {k: (file[k].dtype, file[k].tolist()) for k in file} == {
            k: (v.dtype, v.tolist()) for k, v in arrays.items()
        }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_what_cannot_be_written_leaves_the_file_before(tmp_path):
    checkpoint.write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError):
        checkpoint.write_json(tmp_path / "a.json", {"x": torch.zeros(1)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_two_processes_may_write_one_file(tmp_path, monkeypatch):
    """The second starts and ends while the first is at it."""
    real = torch.save

    def slow(body, file):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "save", real)
            patch.setattr("os.getpid", lambda: 12345)
            checkpoint.save(tmp_path / "a.pt", "f00d", {"n": 2})
        real(body, file)

    monkeypatch.setattr(torch, "save", slow)
    checkpoint.save(tmp_path / "a.pt", "f00d", {"n": 1})
    assert checkpoint.load(tmp_path / "a.pt")["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]
