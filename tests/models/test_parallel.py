"""Shards: shared out whole, and two processes give the bits of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.errors import UserError
from flow.paths import ROOT
from models import checkpoint, parallel, train

EVERYTHING = {
    "epochs": 3,
    "float_weight_epochs": 1,
    "ema": 0.9,
    "clipping": "learned",
    "weights": "standardised",
    "estimator": "ede",
    "weight_estimator": "polynomial",
}
CASES = {
    "online": small.preset(augmentation=small.CHANGES, distillation={"beta": 0.1}),
    "frozen, all of the recipe": small.preset(
        student=small.CONVOLUTIONS,
        training=EVERYTHING,
        augmentation=small.CHANGES | {"variants": 2},
        distillation={"mode": "frozen", "alpha_minimum": 0.2},
    ),
    "convolutions bit by bit": small.preset(
        student={"input": "pixels", "convolutions": ((64, 64), (64,)), "kernel": 2, "hidden": (9,)},
        training={"epochs": 1, "bitwise": True, "ema": 0.9},
        augmentation=small.CHANGES | {"variants": 1},
        distillation={"mode": "frozen"},
    ),
    "gate, learned temperature": small.preset(
        distillation={"gate": True, "temperature": {"form": "ctkd"}, "teacher_strength": 0.5}
    ),
}
SEEDS = (0, 4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 8), st.integers(1, 5))
def test_shards_are_shared_out_whole_and_in_order(world, each):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "world", lambda: world)
        shares = []
        for rank in range(world):
            patch.setattr(parallel, "rank", lambda rank=rank: rank)
            shares.append(parallel.own_shards(world * each))
    assert {len(share) for share in shares} == {each}
    assert [shard for share in shares for shard in share] == list(range(world * each))


def test_shards_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr(parallel, "world", lambda: 3)
    with pytest.raises(UserError, match=r"shards = 2 cannot be shared by 3 processes"):
        parallel.own_shards(2)


def test_alone_nothing_is_joined_or_added():
    assert (parallel.world(), parallel.rank(), parallel.is_first()) == (1, 0, True)
    parts = [torch.zeros(2, 3), torch.ones(2, 1)]
    assert parallel.joined(parts, 1).tolist() == [[0, 0, 0, 1]] * 2
    weight = torch.ones(3, requires_grad=True)
    weight.sum().backward()
    parallel.add_gradients([weight, torch.ones(2, requires_grad=True)])
    assert weight.grad.tolist() == [1, 1, 1]


def train_all(folder: Path) -> None:
    for name, preset in CASES.items():
        train.train(preset, SEEDS, folder / name)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What one process and what two processes leave."""
    folder = tmp_path_factory.mktemp("parallel")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*command, "--nproc-per-node", "2", __file__, str(folder / "two")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        timeout=300,
    )
    train_all(folder / "one")
    return folder / "one", folder / "two"


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_bits_of_one(both, name):
    one, two = (folder / name for folder in both)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (one, two)]
    assert [report.pop("processes") for report in reports] == [1, 2]
    for report in reports:
        report.pop("seconds")
    assert reports[0] == reports[1]
    for seed in SEEDS:
        files = [folder / f"seed-{seed}" / "student.pt" for folder in (one, two)]
        small.same(*(checkpoint.load(file)["student"] for file in files))
    with np.load(one / "outputs.npz") as a, np.load(two / "outputs.npz") as b:
        assert a.files == b.files
        assert all(np.array_equal(a[key], b[key]) for key in a.files)
    names = [sorted(str(f.relative_to(folder)) for f in folder.rglob("*")) for folder in (one, two)]
    assert names[0] == names[1]


if __name__ == "__main__":
    parallel.start()
    train_all(Path(sys.argv[1]))


def test_who_joined_leaves_before_the_end():
    """Else, now and then, its end is an abort."""
    code = (
        "import atexit; from torch import distributed as d; from models import parallel;"
        "atexit.register(lambda: print(joined, d.is_initialized()));"
        "parallel.start(); joined = d.is_initialized()"
    )
    one = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    environment = os.environ | one | {"TORCHELASTIC_RUN_ID": "test", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr
