"""What the loops that train students and teachers share."""

from __future__ import annotations

import ctypes
import math
import platform
import sys
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from flow.errors import UserError
from models import parallel
from models.ensemble import statistics

Rated = list[tuple[torch.optim.Optimizer, float]]  # each with its rate at the schedule's top


def adam(parameters: Iterable[nn.Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
    """AdamW with one group; the loop sets its learning rate in every step."""
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


class Muon(torch.optim.Muon):
    """Muon on the matrices (out, in * 9) of convolutions (S, out, in, 3, 3), one for each seed.

    Each step moves a matrix along its momentum with all singular values made equal: Jordan et al.
    2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(self, stacked: list[nn.Parameter], rate: float, decay: float):
        self.stacked = stacked
        matrices = [nn.Parameter(m.flatten(1)) for weight in stacked for m in weight.data]
        super().__init__(matrices, lr=rate, weight_decay=decay, momentum=0.9)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.stacked:
            weight.grad = None

    def step(self, closure=None):
        gradients = [m.flatten(1) for w in self.stacked if w.grad is not None for m in w.grad]
        for matrix, gradient in zip(self.param_groups[0]["params"], gradients, strict=True):
            matrix.grad = gradient  # the matrices are views of the weights
        return super().step(closure)


def schedule(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: rises linearly over `warmup` steps, falls as a half cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, where it is glibc.

    A step of a convolutional network frees and asks for the same megabytes again and again; given
    back to the system, every page of them has to be cleared anew, a fifth of a step of cnv-cifar10.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_max = -1, -4  # of malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)


def settle(network: nn.Module, momentum: float | None = None) -> None:
    """Take the mean of what the shards noted into the running statistics."""
    parts = [part for part in statistics(network) if part.noted]
    if not parts:
        return
    shards = zip(*(part.noted for part in parts), strict=True)
    own = [torch.cat([note.reshape(-1) for note in notes])[None] for notes in shards]
    means = parallel.joined(own, 0).mean(0).split([part.noted[0].numel() for part in parts])
    for part, mean in zip(parts, means, strict=True):
        noted = mean.view_as(part.noted[0])
        part.settle(noted, part.momentum if momentum is None else momentum)
        part.noted.clear()


def stop_if(failed: Tensor, epoch: int, seeds: tuple[int, ...]) -> None:
    """`UserError` if `failed`, the number of the first step with a loss not finite, is not 0."""
    step = int(parallel.joined([failed[None]], 0).max())
    if step:
        kept = f"the checkpoint of epoch {epoch - 1} is kept; " if epoch > 1 else ""
        raise UserError(
            f"the loss is not finite in epoch {epoch}, step {step} (seeds {list(seeds)}); {kept}"
            "lower the learning rates"
        )


def progress(total: int, initial: int) -> tqdm:
    """A bar that counts images; in a log file one line every half minute."""
    interval = 0.2 if sys.stderr.isatty() else 30
    return tqdm(
        total=total,
        initial=initial,
        unit="im",
        unit_scale=True,
        mininterval=interval,
        disable=not parallel.is_first(),
    )
