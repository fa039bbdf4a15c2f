"""Binary students in training: S seeds side by side as one batched network.

Small networks leave most of a processor idle; S of them in one product do not. Axis 0 of every
parameter is the seed. Activations hold the seeds' channels side by side, (N, S * C) or
(N, S * C, H, W), so that batch norm, sign and pooling are the plain ones, products are batched or
grouped, and no number of one seed enters another's. `Students.state_of` gives one seed's network
as the state of `models.students.BinaryNetwork`, which computes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import binary, bitwise, students
from models.data import DATASETS
from models.presets import Preset, Training
from models.students import feature_shape

SMALLEST_SCALE = 1e-3  # of norms whose scale must stay positive
PRECISION = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def initial(seed: int, part: int, *shape: int, bound: float = 1.0) -> Tensor:
    """Uniform in -bound .. bound, the same for a seed whatever is trained beside it."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + part)
    return (2 * torch.rand(shape, generator=generator) - 1) * bound


class Statistics(nn.Module):
    """Running mean and variance that are averaged over the shards of a batch.

    A forward pass in training notes its batch's own; `settle` takes their mean into the running
    ones once all shards have run.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, shape: tuple[int, ...], momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))
        self.noted: list[Tensor] = []  # (2, *shape) each: mean, unbiased variance

    def settle(self, noted: Tensor, momentum: float) -> None:
        """Move the running mean and variance towards `noted` (2, *shape)."""
        self.running_mean.lerp_(noted[0], momentum)
        self.running_var.lerp_(noted[1], momentum)


class Norm(Statistics):
    """Batch norm of channels side by side; parameters (S, C)."""

    def __init__(self, seeds: int, channels: int, eps: float = 1e-5):
        super().__init__((seeds, channels))
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(seeds, channels))
        self.bias = nn.Parameter(torch.zeros(seeds, channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            note = torch.zeros(2, *mean.shape, device=x.device)
            mean, var = note[0], note[1]  # momentum 1 writes the batch's own into them
            self.noted.append(note)
        return F.batch_norm(
            x,
            mean.view(-1),
            var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            1.0,
            self.eps,
        )


class LogitNorm(Statistics):
    """`models.students.ScalarNorm` of S seeds: one mean and variance for each seed's logits."""

    def __init__(self, seeds: int, eps: float = 1e-4):
        super().__init__((seeds,))
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(seeds))
        self.bias = nn.Parameter(torch.zeros(seeds))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (S, N, classes)."""
        mean, var = self.running_mean, self.running_var
        if self.training:
            var, mean = torch.var_mean(x, dim=(1, 2), correction=0)
            count = x[0].numel()
            self.noted.append(torch.stack((mean, var * count / (count - 1))).detach())
        scale = self.weight / (var + self.eps).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]


class Product(nn.Module):
    """Latent weights (S, out, ...), turned into -1 and +1 on the way; base of the two products."""

    def __init__(self, seeds: Sequence[int], part: int, shape: tuple[int, ...], options: Training):
        super().__init__()
        self.options = options
        starts = [initial(s, part, *shape, bound=options.initial) for s in seeds]
        self.weight = nn.Parameter(torch.stack(starts))
        if options.clipping == "learned":
            self.bound = nn.Parameter(torch.ones(len(seeds), *(1 for _ in shape)))

    def used(self, binarise: bool, progress: float) -> Tensor:
        """The weights that take part: -1 and +1, or clipped floats in the first of two stages."""
        options = self.options
        latent: Tensor = self.weight
        if options.clipping == "learned":
            latent = binary.learned_clip(latent, self.bound) / self.bound.detach()
        weight = binary.WEIGHTS[options.weights](latent)
        if not binarise:
            return weight.clamp(-1, 1)
        return binary.sign(weight, options.weight_estimator, progress)

    @torch.no_grad()
    def constrain(self) -> None:
        """After a step: latent weights back within a fixed bound, a learned bound positive.

        What lies outside a learned bound stays there: it alone moves the bound.
        """
        if self.options.clipping == "learned":
            self.bound.clamp_(min=0.05)
        elif self.options.weights == "plain":
            self.weight.clamp_(-1, 1)


class Linear(Product):
    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """(N, S * in) -> (N, S * out)."""
        seeds, outputs, inputs = weight.shape
        if seeds == 1:
            return F.linear(x, weight[0])
        rows = x.view(len(x), seeds, inputs).transpose(0, 1)
        return torch.bmm(rows, weight.mT).transpose(0, 1).reshape(len(x), seeds * outputs)


class Convolution(Product):
    """`border`: the value that pads what it reads."""

    def __init__(
        self,
        seeds: Sequence[int],
        part: int,
        layer: students.Convolution,
        border: float,
        options: Training,
    ):
        super().__init__(seeds, part, layer.weight_shape, options)
        self.padding, self.border = layer.padding, border
        self.groups = len(seeds) * (layer.inputs if layer.depthwise else 1)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """(N, S * in, H, W) -> (N, S * out, H', W')."""
        if self.padding:
            x = F.pad(x, [self.padding] * 4, value=self.border)
        return F.conv2d(x, weight.flatten(0, 1), groups=self.groups)


class Students(nn.Module):
    """S binary students of a preset; reads uint8 images (N, S * C, H, W), gives (S, N, classes).

    `binarise` is False in the first of two stages; `progress` runs from 0 to 1 for estimators that
    change with time.
    """

    def __init__(self, preset: Preset, seeds: Sequence[int]):
        super().__init__()
        data, student, options = DATASETS[preset.data.name], preset.student, preset.training
        self.seeds, self.classes = len(seeds), data.classes
        self.pixels = student.input == "pixels"
        self.options, self.dtype = options, PRECISION[options.precision]
        self.binarise, self.progress = True, 0.0
        self.bitwise = options.bitwise
        self.rounding: list[torch.Generator] = []  # of bitwise gradients, one a seed
        layers = students.convolutions(data.shape[0], student)
        products: list[Product] = [
            Convolution(seeds, i, layer, students.least(student, i == 0), options)
            for i, layer in enumerate(layers)
        ]
        self.pooled = {i for i, layer in enumerate(layers) if layer.pool}
        self.shortcuts = {i for i, layer in enumerate(layers) if layer.shortcut}
        self.rising = self.pooled | self.shortcuts | {i - 1 for i in self.shortcuts}
        self.average = students.GlobalSum() if student.average else None
        self.convolutions = len(products)
        inputs = prod(feature_shape(data.shape, student))
        for size in (*student.hidden, data.classes):
            products.append(Linear(seeds, len(products), (size, inputs), options))
            inputs = size
        self.products = nn.ModuleList(products)
        widths = [p.weight.shape[1] for p in products[:-1]]
        self.norms = nn.ModuleList(Norm(self.seeds, width) for width in widths)
        self.norm = LogitNorm(self.seeds)

    def parts(self) -> Iterator[tuple[int, Product]]:
        """The products with their numbers, in order."""
        return enumerate(cast(Iterable[Product], self.products))

    def name_of(self, i: int) -> str:
        """What product `i` is called in `models.students.BinaryNetwork`."""
        return f"layers.{'conv' if i < self.convolutions else 'fc'}{i}"

    def weights(self) -> list[Tensor]:
        """The weights that take part, of -1 and +1, as functions of the latent ones."""
        return [product.used(self.binarise, self.progress) for _, product in self.parts()]

    def forward(self, images: Tensor, weights: Sequence[Tensor] | None = None) -> Tensor:
        """`weights`: those of `weights()`, where several passes are to share them."""
        weights = self.weights() if weights is None else weights
        dtype = self.dtype if self.training else torch.float32  # exact sums where it counts
        first = 0
        if self.bitwise and self.binarise and images.device.type == "cpu":
            x, first = bitwise.features(self, images, weights).to(dtype), self.convolutions
        else:
            x = images.to(dtype) - 128
            if not self.pixels:
                x = binary.sign(x)
            if self.convolutions:
                x = x.contiguous(memory_format=torch.channels_last)
        estimator = self.options.estimator
        progress = self.progress if estimator in binary.SHARPENING else 0.0
        sums = x  # what the last product gave, shortcut included
        for i, product in islice(self.parts(), first, None):
            if i == self.convolutions:
                x = self.average(x) if self.average else x
                x = x.reshape(len(x), self.seeds, -1).flatten(1)
            x = product(x, weights[i].to(dtype))
            x = x + sums if i in self.shortcuts else x
            sums = x
            if i + 1 == len(self.products):
                break
            before = i in self.pooled and self.options.pool_first
            x = F.max_pool2d(x, 2) if before else x
            x = binary.sign(self.norms[i](x), estimator, progress)
            x = F.max_pool2d(x, 2) if i in self.pooled and not before else x
        logits = x.float().view(len(x), self.seeds, self.classes).transpose(0, 1)
        return self.norm(logits)

    @torch.no_grad()
    def constrain(self) -> None:
        """After a step: weights within their bounds; scales that must be positive are.

        Those of norms behind which the pool was moved, since max and sign change places only
        under a rising function; of norms beside a shortcut, since sums that two layers read cannot
        be negated for one of them; and the logits', which must not change the largest.
        """
        for _, product in self.parts():
            product.constrain()
        for i in self.rising:
            cast(Norm, self.norms[i]).weight.clamp_(min=SMALLEST_SCALE)
        self.norm.weight.clamp_(min=SMALLEST_SCALE)

    @torch.no_grad()
    def restart(self) -> None:
        """Keep of the latent weights their signs: all are `initial` away from zero again."""
        for _, product in self.parts():
            product.weight.copy_(self.options.initial * product.used(True, 0.0))
            if self.options.clipping == "learned":
                product.bound.fill_(1)

    @torch.no_grad()
    def state_of(self, index: int) -> dict[str, Tensor]:
        """Student `index` as the state of `students.build(preset)`: weights of -1 and +1."""
        state: dict[str, Tensor] = {}
        names = ("weight", "bias", "running_mean", "running_var")
        for i, product in self.parts():
            state[f"{self.name_of(i)}.weight"] = product.used(True, 0.0)[index]
        for i, norm in enumerate(self.norms):
            state |= {f"layers.norm{i}.{n}": getattr(norm, n)[index] for n in names}
            state[f"layers.norm{i}.num_batches_tracked"] = torch.tensor(0)
        state |= {f"layers.norm.{n}": getattr(self.norm, n)[index : index + 1] for n in names}
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def statistics(network: nn.Module) -> list[Statistics]:
    """All parts of a network that keep running statistics."""
    return [part for part in network.modules() if isinstance(part, Statistics)]


def best_of(mask: Tensor, new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Of two states of one ensemble, the new one's seeds where `mask` (S,) is true."""
    chosen = {}
    for name, value in new.items():
        shape = (-1, *([1] * (value.dim() - 1)))
        chosen[name] = torch.where(mask.view(shape), value, old[name])
    return chosen
