"""What the training loops share: the schedule, the statistics, the stop."""

import platform
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from flow.errors import UserError
from flow.paths import ROOT
from models.ensemble import Norm
from models.loop import Muon, schedule, settle, stop_if


def test_the_schedule_warms_up_and_ends_at_zero():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[:10] == pytest.approx([x / 10 for x in range(1, 11)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert schedule(0, 100, 0) == 1


def test_running_statistics_follow_the_mean_of_the_shards():
    network = torch.nn.Sequential(Norm(1, 2), Norm(1, 2))
    shards = [torch.randn(16, 2) * 3 + 1 for _ in range(2)]
    for x in shards:
        network(x)
    settle(network)
    mean = torch.stack([x.mean(0) for x in shards]).mean(0)
    var = torch.stack([x.var(0) for x in shards]).mean(0)
    assert torch.allclose(network[0].running_mean[0], 0.1 * mean, atol=1e-6)
    assert torch.allclose(network[0].running_var[0], 0.9 + 0.1 * var, atol=1e-6)
    assert not network[0].noted and not network[1].noted
    network(shards[0])
    settle(network, momentum=1)
    assert torch.allclose(network[0].running_mean[0], shards[0].mean(0), atol=1e-6)


def test_a_failed_step_is_named_with_what_is_left():
    stop_if(torch.tensor(0), 3, (0,))
    with pytest.raises(UserError, match=r"epoch 3, step 7 \(seeds \[4, 5\]\); .*epoch 2 is kept"):
        stop_if(torch.tensor(7), 3, (4, 5))
    with pytest.raises(UserError, match=r"epoch 1, step 7 \(seeds \[4\]\); lower the") as caught:
        stop_if(torch.tensor(7), 1, (4,))
    assert "kept" not in str(caught.value)


FREED = """
import resource
import torch
from models.loop import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24)  # 64 MiB, more than glibc ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
print(*(faults() for _ in range(12)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc's memory is its own")
def test_memory_that_was_freed_is_not_cleared_anew():
    out = subprocess.run(
        [sys.executable, "-c", FREED], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    first, *later = map(int, out.split())
    assert first > 10_000 > 10 * min(later)  # all are as many as the first otherwise


def test_muon_moves_each_seeds_matrix_as_far_in_all_its_directions():
    weight = torch.nn.Parameter(torch.randn(2, 8, 4, 3, 3))
    before = weight.detach().clone()
    optimiser = Muon([weight], 0.1, 0.0)
    weight.grad = torch.randn_like(weight)
    weight.grad[1] *= 1000
    optimiser.step()
    for change in (weight.detach() - before).flatten(2):
        sizes = torch.linalg.svdvals(change) / 0.1
        assert sizes.min() > 0.5 and sizes.max() < 1.5
    assert ((weight.detach() - before) * weight.grad).sum() < 0
    optimiser.zero_grad()
    assert weight.grad is None
