"""Classifiers on the way, which tell a student's first layers more than its logits' gradient does.

A gradient that has come through many signs is a poor guide. So behind each pool of a student a
linear classifier of floats learns the same task from the activations there, and its gradient joins
them: deeply supervised nets, Lee et al., AISTATS 2015. `[training] auxiliary` is the weight of its
loss, which falls to 0 in the course of each stage; of the trained network it is no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data import DATASETS
from models.ensemble import initial
from models.presets import Preset
from models.students import convolutions, map_shapes

PARTS = 1000  # of the seeds' random numbers: after all parts of a student
LARGEST = 8  # side of the maps that are read; larger ones are averaged by 2 x 2


class Heads(nn.Module):
    """The classifiers of S students, behind their pools; weights (S, classes, features)."""

    def __init__(self, preset: Preset, seeds: Sequence[int]):
        super().__init__()
        self.seeds = len(seeds)
        data = DATASETS[preset.data.name]
        layers = convolutions(data.shape[0], preset.student)
        maps = zip(layers, map_shapes(data.shape, preset.student), strict=True)
        shapes = [shape for layer, shape in maps if layer.pool]
        self.halved = [min(shape[1:]) > LARGEST for shape in shapes]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for part, (shape, halved) in enumerate(zip(shapes, self.halved, strict=True)):
            channels, *side = shape
            size = channels * prod(x // 2 if halved else x for x in side)
            drawn = [initial(s, PARTS + part, data.classes, size, bound=size**-0.5) for s in seeds]
            self.weights.append(torch.stack(drawn))
            self.biases.append(torch.zeros(self.seeds, 1, data.classes))

    def forward(self, activations: Sequence[Tensor]) -> list[Tensor]:
        """Logits (S, N, classes) of each of the activations (N, S * C, H, W)."""
        found = []
        for x, halved, weight, bias in zip(
            activations, self.halved, self.weights, self.biases, strict=True
        ):
            x = F.avg_pool2d(x, 2) if halved else x
            rows = x.reshape(len(x), self.seeds, -1).transpose(0, 1).float()
            found.append(torch.baddbmm(bias, rows, weight.mT))
        return found
