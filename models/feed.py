"""The images of S seeds, resident on the device, and networks run over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from flow.errors import UserError
from models import data
from models.presets import Preset

EVALUATION_BATCH = 500


class Feed:
    """One data set on the device; each seed holds back validation images of its own.

    Rows count a seed's training images, 0 .. `count` - 1. `steps`: whole batches in an epoch.
    """

    def __init__(self, preset: Preset, seeds: Sequence[int]):
        self.seeds = tuple(seeds)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        rest, test = data.read(preset.data.name)
        held = preset.training.held_back or data.DATASETS[preset.data.name].validation
        masks = [data.held_back(rest, held, seed) for seed in seeds]
        self.all_images, self.all_labels = self._resident(rest)
        self.test_images, self.test_labels = self._resident(test)
        self.train_rows = self._rows([~mask for mask in masks])
        self.validation_rows = self._rows(masks)
        self.count = self.train_rows.shape[1]
        sizes = {"training": preset.training.batch_size, "teacher": preset.teacher.batch_size}
        for section, batch in sizes.items():
            if batch > self.count:
                raise UserError(
                    f"[{section}] batch_size = {batch} is more than the {self.count} training "
                    f"images of {preset.data.name}; take a smaller one"
                )
        self.steps = self.count // preset.training.batch_size

    def images(self, rows: Tensor) -> Tensor:
        """Training images uint8 (S, n, C, H, W) of rows (S, n)."""
        return self.all_images[self.train_rows.gather(1, rows)]

    def labels(self, rows: Tensor) -> Tensor:
        """Labels (S, n) of the training images `rows` (S, n)."""
        return self.all_labels[self.train_rows.gather(1, rows)]

    @staticmethod
    def side_by_side(images: Tensor) -> Tensor:
        """(S, n, C, H, W) -> (n, S * C, H, W)."""
        return images.transpose(0, 1).flatten(1, 2)

    def test_logits(self, network: nn.Module) -> Tensor:
        """What a single student (floats in [0, 1]) says of the test images: (N, classes)."""
        batches = self.test_images.cpu().split(EVALUATION_BATCH)
        return torch.cat([network(x.float() / 255) for x in batches]).to(self.device)

    def _resident(self, images: data.Images) -> tuple[Tensor, Tensor]:
        arrays = (images.images, images.labels)
        return tuple(torch.from_numpy(x).to(self.device) for x in arrays)  # type: ignore[return-value]

    def _rows(self, masks: list[np.ndarray]) -> Tensor:
        rows = [torch.from_numpy(np.flatnonzero(mask)) for mask in masks]
        return torch.stack(rows).to(self.device)


@torch.no_grad()
def evaluate(network: nn.Module, feed: Feed, test: bool = False) -> tuple[Tensor, Tensor]:
    """Logits (S, N, classes) and labels (S, N) of the validation (or test) images."""
    network.eval()
    seeds = len(feed.seeds)
    if test:
        labels = feed.test_labels.expand(seeds, -1)
        batches = [x.repeat(1, seeds, 1, 1) for x in feed.test_images.split(EVALUATION_BATCH)]
        return torch.cat([network(x) for x in batches], 1), labels
    chosen = feed.validation_rows.split(EVALUATION_BATCH, 1)
    logits = [network(feed.side_by_side(feed.all_images[rows])) for rows in chosen]
    return torch.cat(logits, 1), feed.all_labels[feed.validation_rows]


def percent(logits: Tensor, labels: Tensor) -> list[float]:
    """Share of samples whose largest logit is the label's, in percent, for each seed."""
    return (100 * (logits.argmax(-1) == labels).double().mean(1)).tolist()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` CPU threads within; 0 leaves its choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
