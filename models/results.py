"""What a finished training leaves: the one look at the test images, students, report, picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint, curves, parallel, students
from models.feed import evaluate, percent
from models.run import Run


@torch.no_grad()
def finish(run: Run, fingerprint: str, folder: Path) -> dict[str, Any]:
    """The one look at the test images; write all files, the report last."""
    feed, preset = run.feed, run.preset
    run.average.load_state_dict(run.best)
    run.average.binarise = True
    taught: tuple[Tensor, Tensor] | None = None
    if run.teacher is not None:
        taught = evaluate(run.teacher, feed, test=True)
    elif run.answers is not None:
        taught = run.answers.test()
    validation, labels = evaluate(run.average, feed)
    network = students.build(preset).eval()
    logits, per_seed = [], []
    for i, seed in enumerate(feed.seeds):
        network.load_state_dict(run.average.state_of(i))
        logits.append(feed.test_logits(network))
        right = 100 * float((logits[-1].argmax(1) == feed.test_labels).double().mean())
        per_seed.append(
            {
                "seed": seed,
                "best_epoch": int(run.best_epoch[i]),
                "accuracy": {
                    "validation": float(run.best_validation[i]),
                    "test": right,
                    "teacher_test": None if taught is None else percent(*taught)[i],
                },
            }
        )
    report = {
        "schema": 2,
        "preset": preset.name,
        "seeds": list(feed.seeds),
        "fingerprint": fingerprint,
        "options": preset.training_options,
        "device": feed.device.type,
        "threads": torch.get_num_threads(),
        "processes": parallel.world(),
        "images": {
            "train": feed.count,
            "validation": labels.shape[1],
            "test": len(feed.test_labels),
        },
        "per_seed": per_seed,
        "epochs": preset.training.epochs,
        "seconds": round(run.seconds, 1),
        "history": run.history,
    }
    if not parallel.is_first():
        return report
    for i, seed in enumerate(feed.seeds):
        target = folder / f"seed-{seed}"
        target.mkdir(exist_ok=True)
        state = {"preset": preset.name, "seed": seed, "student": run.average.state_of(i)}
        checkpoint.save(target / "student.pt", fingerprint, state)
    outputs = {
        "validation_logits": validation.cpu().numpy(),
        "validation_labels": labels.cpu().numpy().astype(np.uint8),
        "test_logits": torch.stack(logits).cpu().numpy(),
        "test_labels": feed.test_labels.cpu().numpy().astype(np.uint8),
    }
    if taught is not None:
        outputs["teacher_test_labels"] = taught[0].argmax(-1).cpu().numpy().astype(np.uint8)
    checkpoint.write_arrays(folder / "outputs.npz", outputs)
    curves.draw(run.history, f"{preset.name}, seeds {feed.seeds}", folder / "curves.png")
    checkpoint.write_json(folder / "report.json", report)  # last: its presence says all is there
    return report
