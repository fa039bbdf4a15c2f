"""Float teachers, S seeds side by side as in `models.ensemble`; thrown away after training."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data import DATASETS
from models.ensemble import PRECISION, Norm, initial
from models.presets import Preset


class Linear(nn.Module):
    """(N, S * in) -> (N, S * out) with a bias where wanted; Kaiming's uniform start for ReLU."""

    def __init__(self, seeds: Sequence[int], part: int, inputs: int, outputs: int, bias: bool):
        super().__init__()
        bound = sqrt(6 / inputs) if not bias else sqrt(1 / inputs)
        starts = [initial(s, part, outputs, inputs, bound=bound) for s in seeds]
        self.weight = nn.Parameter(torch.stack(starts))
        self.bias = nn.Parameter(torch.zeros(len(seeds), 1, outputs)) if bias else None

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        seeds, outputs, inputs = self.weight.shape
        rows = x.to(dtype).view(len(x), seeds, inputs).transpose(0, 1)
        y = torch.bmm(rows, self.weight.to(dtype).mT)
        if self.bias is not None:
            y = y.float() + self.bias
        return y.transpose(0, 1).reshape(len(x), seeds * outputs)


class Convolution(nn.Module):
    """3x3 with padding, (N, S * in, H, W) -> (N, S * out, H, W)."""

    def __init__(self, seeds: Sequence[int], part: int, inputs: int, outputs: int):
        super().__init__()
        bound = sqrt(6 / (9 * inputs))
        starts = [initial(s, part, outputs, inputs, 3, 3, bound=bound) for s in seeds]
        self.weight = nn.Parameter(torch.stack(starts))

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        weight = self.weight.to(dtype).flatten(0, 1)
        return F.conv2d(x.to(dtype), weight, padding=1, groups=len(self.weight))


class Teachers(nn.Module):
    """S float networks; reads uint8 images (N, S * C, H, W), gives logits (S, N, classes).

    Hidden layers are product, batch norm, ReLU and dropout, as an MLP. With `convolutions`, a
    residual network in front of them: a stem of half the first width, then for each width a
    convolution, a 2x2 max-pool, and a convolution around which the activations are added.
    The input is not binarised: teachers see the grey values that students may not.
    `dropout` draws from the generators of `models.augment.generators`, one a seed.
    """

    def __init__(self, preset: Preset, seeds: Sequence[int]):
        super().__init__()
        data, options = DATASETS[preset.data.name], preset.teacher
        self.seeds, self.classes = len(seeds), data.classes
        self.dtype = PRECISION[preset.training.precision]
        self.dropout = options.dropout
        self.draw: list[torch.Generator] = []
        part = 1000  # numbers of the parts, apart from the students'
        channels, height, width = data.shape
        self.convolutions, self.conv_norms = nn.ModuleList(), nn.ModuleList()
        if options.convolutions:
            sizes = [options.convolutions[0] // 2]
            sizes += [size for size in options.convolutions for _ in range(2)]
            for size in sizes:
                self.convolutions.append(Convolution(seeds, part, channels, size))
                self.conv_norms.append(Norm(self.seeds, size))
                channels, part = size, part + 1
            height = width = 1  # the largest of each channel goes on
        inputs = prod((channels, height, width))
        self.linears, self.norms = nn.ModuleList(), nn.ModuleList()
        for size in () if options.convolutions else options.hidden:
            self.linears.append(Linear(seeds, part, inputs, size, bias=False))
            self.norms.append(Norm(self.seeds, size))
            inputs, part = size, part + 1
        self.classifier = Linear(seeds, part, inputs, self.classes, bias=True)

    def forward(self, images: Tensor) -> Tensor:
        x = images.to(self.dtype) / 127.5 - 1
        if len(self.convolutions):
            x = self._features(x.contiguous(memory_format=torch.channels_last))
        x = x.reshape(len(x), -1)
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = self._drop(F.relu(norm(linear(x, self.dtype))))
        logits = self.classifier(x, self.dtype)
        return logits.view(len(x), self.seeds, self.classes).transpose(0, 1)

    def _features(self, x: Tensor) -> Tensor:
        for i, (convolution, norm) in enumerate(
            zip(self.convolutions, self.conv_norms, strict=True)
        ):
            y = convolution(x, self.dtype)
            if i % 2:  # the first of a block
                y = F.max_pool2d(y, 2)
            y = F.relu(norm(y))
            x = x + y if i and i % 2 == 0 else y
        return x.amax((2, 3))

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout with one generator a seed, so that no seed's mask depends on the others."""
        if not self.training or not self.dropout:
            return x
        shape = (len(x), x.shape[1] // self.seeds)
        masks = [torch.rand(shape, generator=g, device=x.device) for g in self.draw]
        return x * (torch.cat(masks, 1) >= self.dropout).to(x.dtype) / (1 - self.dropout)
