"""The float teacher: larger than the student, thrown away after training."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from models.data import DATASETS
from models.presets import Preset


class FloatMLP(nn.Module):
    """Linear, batch norm, ReLU and dropout for each hidden layer, then a linear classifier.

    Reads images (N, C, H, W) in [0, 1], gives logits (N, classes). Its input is not binarised:
    the teacher sees the grey values that the student cannot.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], classes: int, dropout: float):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for size in hidden:
            layers += [nn.Linear(inputs, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
            layers += [nn.Dropout(dropout)]
            inputs = size
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(2 * images - 1)


def build(preset: Preset) -> FloatMLP:
    """The teacher of a preset, with fresh weights."""
    data, options = DATASETS[preset.data.name], preset.teacher
    return FloatMLP(prod(data.shape), options.hidden, data.classes, options.dropout)
