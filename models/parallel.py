"""Several processes on one model, as `torchrun` starts them; without it, one process.

Each takes its share of the shards of every batch. Sums over two processes are sums of two numbers
whose order does not matter, so that two processes give the bits of one.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed

from flow.errors import UserError

T = TypeVar("T")


def start() -> None:
    """Join the other processes, if `torchrun` started this one, until it ends.

    Who ends without leaving may be aborted over threads of gloo that still run (pytorch pull
    request 179291), and then all are stopped.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(distributed.destroy_process_group)
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def world() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes the files."""
    return rank() == 0


def barrier() -> None:
    """Wait until all processes are here."""
    if world() > 1:
        distributed.barrier()


def own_shards(shards: int) -> range:
    """This process's shards of each batch; `UserError` if they cannot be shared out evenly."""
    if shards % world():
        raise UserError(
            f"[training] shards = {shards} cannot be shared by {world()} processes; start as many "
            "as divide it"
        )
    each = shards // world()
    return range(rank() * each, (rank() + 1) * each)


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of the items; together all have all of them, once."""
    return items[rank() :: world()]


def summed(part: Tensor) -> Tensor:
    """The sum of what all processes have."""
    if world() > 1:
        distributed.all_reduce(part)
    return part


def joined(parts: list[Tensor], dim: int) -> Tensor:
    """The shards of all processes, in their order, as one tensor."""
    own = torch.cat(parts, dim)
    if world() == 1:
        return own
    everyone = [torch.empty_like(own) for _ in range(world())]
    distributed.all_gather(everyone, own.contiguous())
    return torch.cat(everyone, dim)


def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its sum over the processes, in one message."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world() == 1 or not gradients:
        return
    flat = summed(torch.cat([g.reshape(-1) for g in gradients]))
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
