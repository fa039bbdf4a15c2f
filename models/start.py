"""Students that begin from one of the zoo, where a training goes on whose files are gone.

The zoo keeps signs and thresholds. So the latent weights begin `initial` away from zero, as after
a restart, and each norm, whose bits changed at the sum x0 in the direction d, has the statistics
of its sums on training images and an offset that leaves the change where it was:

    d (x - mean) / sd + b = 0 at x = x0,    b = d (mean - x0) / sd

The zoo does not keep the scale of the logits either: it begins where those images' labels are
likeliest, one over the temperature of Guo et al. 2017.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from flow.errors import UserError
from models import calibration, zoo
from models.data import DATASETS
from models.ensemble import Norm, Statistics, Students, statistics
from models.feed import EVALUATION_BATCH, Feed
from models.presets import Preset

IMAGES = 4000  # whose sums give the statistics


@torch.no_grad()
def begin(student: Students, preset: Preset, feed: Feed) -> None:
    """Fill the students with the zoo's `[training] start`; their bits are its bits.

    `UserError` if it is not there, is damaged or of another network, or if it has learned images
    that are held back now: where a seed is not the one it was trained with, or more are held back.
    """
    name = preset.training.start
    entry = zoo.find(name)
    if entry is None:
        raise UserError(f"[training] start: no weights in models/zoo/{name}; git has them, perhaps")
    if not entry.weights.startswith(entry.folder.name):
        raise UserError(
            f"{entry.folder / zoo.WEIGHTS}: weights {entry.weights[:8]}; the folder is named after "
            "others; restore it (git checkout)"
        )
    if set(feed.seeds) != {entry.seed}:
        raise UserError(
            f"[training] start: {name} was trained with seed {entry.seed}, and has learned images "
            f"that seeds {list(feed.seeds)} validate on; train seed {entry.seed}"
        )
    usual = DATASETS[preset.data.name].validation
    before = entry.training.get("images", {}).get("validation", usual)
    if feed.validation_rows.shape[1] > before:
        raise UserError(
            f"[training] start: {name} was trained with no more than {before} images held back; "
            f"set held_back to {before} or fewer"
        )
    kept = entry.student(preset).state_dict()
    for i, product in student.parts():
        product.weight.copy_(kept[f"{student.name_of(i)}.weight"])
    norms = [cast(Norm, norm) for norm in student.norms]
    changes = [kept[f"layers.norm{i}.running_mean"] for i in range(len(norms))]
    for i, norm in enumerate(norms):
        norm.running_mean.copy_(changes[i])
        norm.weight.copy_(kept[f"layers.norm{i}.weight"])
    for part, (mean, var) in _statistics(student, feed).items():
        part.running_mean.copy_(mean.view_as(part.running_mean))
        part.running_var.copy_(var.view_as(part.running_var))
    for norm, change in zip(norms, changes, strict=True):
        distance = (norm.running_mean - change) / (norm.running_var + norm.eps).sqrt()
        norm.bias.copy_(norm.weight * distance)
    student.norm.weight.copy_(_scale_of_logits(student, feed))
    student.restart()


@torch.no_grad()
def _scale_of_logits(student: Students, feed: Feed) -> Tensor:
    """Scale (S,) of the normalised logits at which the labels are likeliest."""
    rows = feed.train_rows[0, :IMAGES]
    student.eval()
    logits = torch.cat([student(x) for x in feed.all_images[rows].split(EVALUATION_BATCH)], 1)
    labels = feed.all_labels[rows].cpu().numpy()
    return torch.from_numpy(1 / calibration.fit_temperature(logits.cpu().numpy(), labels)).float()


def _statistics(student: Students, feed: Feed) -> dict[Statistics, tuple[Tensor, Tensor]]:
    """Mean and variance of what each norm reads of the first training images: (C,) or (1,)."""
    parts = statistics(student)
    seen: dict[Statistics, list[Tensor]] = {part: [] for part in parts}

    def note(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        x = x.transpose(0, 1).flatten(1) if isinstance(part, Norm) else x.view(1, -1)
        powers = torch.stack((torch.ones_like(x), x, x.square()))
        seen[cast(Statistics, part)].append(powers.sum(2))

    hooks = [part.register_forward_pre_hook(note) for part in parts]
    bitwise, student.bitwise = student.bitwise, False  # the norms are to be called
    student.eval()
    for batch in feed.all_images[feed.train_rows[0, :IMAGES]].split(EVALUATION_BATCH):
        student(batch)
    student.bitwise = bitwise
    for hook in hooks:
        hook.remove()
    sums = {part: torch.stack(batches).sum(0) for part, batches in seen.items()}
    means = {part: (mean / count, square / count) for part, (count, mean, square) in sums.items()}
    return {part: (mean, square - mean**2) for part, (mean, square) in means.items()}
