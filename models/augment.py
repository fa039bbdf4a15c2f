"""Random changes of training images, drawn for each seed, epoch and image, applied in batches.

What is drawn depends on the seed, the variant and the image's number alone: neither on the batch
it falls into nor on what is trained beside it, so that a teacher's answers to a variant can be
kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.presets import Augmentation

ORDER, CHANGE, DROPOUT, ROUNDING = range(4)  # what a generator is for


def generator(
    seed: int, purpose: int, *numbers: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator of its own for a seed, a purpose, and, say, an epoch and a shard."""
    state = 0
    for number in (seed, purpose, *numbers):
        state = (state * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return torch.Generator(device).manual_seed(state)


@dataclass(frozen=True)
class Changes:
    """One variant of every training image of S seeds: each (S, n), None where not wanted."""

    dx: Tensor | None
    dy: Tensor | None
    flip: Tensor | None
    angle: Tensor | None

    @classmethod
    def draw(
        cls, options: Augmentation, seeds: tuple[int, ...], variant: int, count: int
    ) -> Changes:
        """Draw variant `variant` for `count` images of each seed."""
        generators = [generator(seed, CHANGE, variant) for seed in seeds]

        def each(function) -> Tensor:
            return torch.stack([function(g) for g in generators])

        def offsets(g: torch.Generator) -> Tensor:
            return torch.randint(-options.shift, options.shift + 1, (count,), generator=g)

        def turns(g: torch.Generator) -> Tensor:
            return (2 * torch.rand(count, generator=g) - 1) * options.rotate

        def coins(g: torch.Generator) -> Tensor:
            return torch.rand(count, generator=g) < 0.5

        return cls(
            each(offsets) if options.shift else None,
            each(offsets) if options.shift else None,
            each(coins) if options.flip else None,
            each(turns) if options.rotate else None,
        )

    def to(self, device: torch.device) -> Changes:
        parts = (self.dx, self.dy, self.flip, self.angle)
        return Changes(*(None if part is None else part.to(device) for part in parts))

    def apply(self, images: Tensor, rows: Tensor) -> Tensor:
        """uint8 images (S, n, C, H, W) of the rows (S, n) of the training set, changed."""
        seeds, count, channels, height, width = images.shape
        flat = images.reshape(seeds * count, channels, height, width)
        if self.angle is not None:
            flat = _turn(flat, self.angle.gather(1, rows).reshape(-1))
        if self.dx is None and self.flip is None:
            return flat.view_as(images)
        device = images.device
        ys = torch.arange(height, device=device).expand(len(flat), -1)
        xs = torch.arange(width, device=device).expand(len(flat), -1)
        if self.dx is not None and self.dy is not None:
            ys = _reflect(ys + self.dy.gather(1, rows).reshape(-1, 1), height)
            xs = _reflect(xs + self.dx.gather(1, rows).reshape(-1, 1), width)
        if self.flip is not None:
            xs = torch.where(self.flip.gather(1, rows).reshape(-1, 1), width - 1 - xs, xs)
        pixels = (ys[:, :, None] * width + xs[:, None, :]).flatten(1)
        pixels = pixels[:, None].expand(-1, channels, -1)
        return flat.flatten(2).gather(2, pixels).view_as(images)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Positions beyond an edge, mirrored at its last pixel."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _turn(images: Tensor, degrees: Tensor) -> Tensor:
    """uint8 images (n, C, H, W) turned about their middle, bilinear, black outside."""
    radians = torch.deg2rad(degrees)
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    matrix = torch.stack((cos, -sin, zero, sin, cos, zero), 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    turned = F.grid_sample(images.float(), grid, align_corners=False)
    return turned.round().clamp(0, 255).to(torch.uint8)
