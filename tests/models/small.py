"""Small networks on scikit-learn's digits, trained in parts of a second."""

from dataclasses import replace
from pathlib import Path

import torch

from models import loop, preset_rules, presets, train
from models.feed import Feed
from models.run import Run

CONVOLUTIONS = {"input": "pixels", "convolutions": ((6, 5), (7,)), "kernel": 2, "hidden": (9,)}
CHANGES = {"shift": 1, "rotate": 10.0, "flip": True}


def preset(**sections: dict) -> presets.Preset:
    """`mlp-digits`, smaller and for two epochs, with other options: training={"ema": 0.9}."""
    whole = presets.load("mlp-digits")
    smaller = {
        "student": {"hidden": (16, 12)},
        "teacher": {"hidden": (24,), "epochs": 2},
        "training": {"epochs": 2, "warmup_epochs": 0},
    }
    for name, changes in [*smaller.items(), *sections.items()]:
        whole = replace(whole, **{name: replace(getattr(whole, name), **changes)})
    return preset_rules.check("small", whole)


def run_of(wanted: presets.Preset, folder: Path, *seeds: int, epochs: int = 0) -> Run:
    """The state of a run after some epochs, all of the preset's if `epochs` is 0."""
    run = Run(wanted, Feed(wanted, seeds), folder)
    for epoch in range(1, (epochs or wanted.training.epochs) + 1):
        train.one_epoch(run, epoch, loop.progress(1, 0))
    return run


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Two states are equal bit for bit."""
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key
