"""Stands in for training in tests of the study: writes at once what a run of an arm leaves."""

import json
import os
import zlib

import numpy as np

from flow.errors import UserError

IMAGES, CLASSES = 200, 10


def work(task):
    """As `models.workers.work`: a finished folder is left alone."""
    if not (task.folder / "report.json").is_file():
        _train(task)


def work_without(name, fault):
    """`work`, but the arm `name` ends with `fault`."""

    def tried(task):
        if task.name == name:
            raise fault
        work(task)

    return tried


def diverge_at_cosine_up(task):
    if task.name == "cosine_up":
        raise UserError("the loss is not finite in epoch 1, step 2")
    work(task)


def die(task):
    os._exit(9)


def _train(task):
    task.folder.mkdir(parents=True, exist_ok=True)
    wanted, seeds = task.preset.distillation, task.seeds
    rng = np.random.default_rng(zlib.crc32(task.name.encode()))
    labels = rng.integers(0, CLASSES, IMAGES)
    logits = rng.normal(0, 1, (len(seeds), IMAGES, CLASSES))
    logits[..., labels] += 1
    heat = wanted.temperature.get("value", 5.0)
    epochs = task.preset.training.epochs
    # validation is best at T = 2; on the test images T = 16 is, which must not matter
    validation = [90 - abs(heat - 2) + 0.1 * s for s in seeds]
    test = [80 + 0.5 * heat + rng.normal(0, 0.2) for _ in seeds]
    taught = wanted.mode != "none"
    history = [
        {
            "epoch": epoch,
            "student_loss": [1.0 / epoch for _ in seeds],
            "teacher_loss": [0.5 / epoch * (wanted.mode == "online") for _ in seeds],
            "student_train": list(validation),
            "student_validation": list(validation),
            "teacher_validation": list(validation) if wanted.mode == "online" else None,
            "teacher_entropy": [0.5 / epoch for _ in seeds],
            "student_entropy": [0.9 / epoch for _ in seeds],
            "distance": [0.1 * epoch for _ in seeds],
            "temperature": [8.0 / epoch + s for s in seeds],
            "alpha": [0.9 * taught for _ in seeds],
        }
        for epoch in range(1, epochs + 1)
    ]
    per_seed = [
        {
            "seed": seed,
            "best_epoch": epochs,
            "accuracy": {"validation": v, "test": t, "teacher_test": 98.0 if taught else None},
        }
        for seed, v, t in zip(seeds, validation, test, strict=True)
    ]
    outputs = {
        "validation_logits": logits,
        "validation_labels": np.tile(labels, (len(seeds), 1)),
        "test_logits": logits,
        "test_labels": labels,
    }
    if taught:
        outputs["teacher_test_labels"] = np.tile(labels, (len(seeds), 1))
    np.savez(task.folder / "outputs.npz", **outputs)
    if task.integer:
        (task.folder / "integer.json").write_text(
            json.dumps({str(s): t for s, t in zip(seeds, test, strict=True)})
        )
    report = {
        "preset": task.preset.name,
        "seeds": list(seeds),
        "fingerprint": task.preset.fingerprint(*seeds),
        "options": task.preset.training_options,
        "device": "cpu",
        "threads": 1,
        "seconds": 3.0 if taught else 1.5,
        "history": history,
        "per_seed": per_seed,
    }
    (task.folder / "report.json").write_text(json.dumps(report))
