"""What a network that branches computes for some images: what its products give, and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import nn

from flow.errors import UserError
from flow.lowering.export import hooks, scale_images, value_of

KIND = "traces"


@dataclass(frozen=True, eq=False)
class Traces:
    """Values of a network of L products in any order, as the network has them, channels first.

    `weights[i]`: (MH, ...) of -1 and +1 times a scale; `outputs[i]`: (N, MH, ...) what the product
    gives for each image.
    """

    images: np.ndarray  # uint8 (N, C, H, W) or (N, F)
    weights: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    logits: np.ndarray  # float32 (N, classes)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> np.ndarray:
        return self.logits.argmax(1)

    def save(self, path: Path) -> None:
        """Write one compressed npz file."""
        arrays = {"kind": np.array(KIND), "images": self.images, "logits": self.logits}
        for i, (weights, outputs) in enumerate(zip(self.weights, self.outputs, strict=True)):
            arrays |= {f"weights.{i}": weights, f"outputs.{i}": outputs}
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Traces | None:
        """Read what `save` wrote; None where the file holds something else."""
        with np.load(path) as file:
            if "kind" not in file:
                return None
            count = sum(name.startswith("weights.") for name in file)
            weights, outputs = (
                tuple(file[f"{name}.{i}"] for i in range(count)) for name in ("weights", "outputs")
            )
            return cls(file["images"], weights, outputs, file["logits"])


@torch.no_grad()
def of_student(student: nn.Module, images: np.ndarray) -> Traces:
    """Run a student that branches on uint8 images (N, C, H, W) and note what its products give."""
    student.eval()
    modules = [m for m in student.modules() if isinstance(m, (QuantConv2d, QuantLinear))]
    seen: dict[nn.Module, list[np.ndarray]] = {module: [] for module in modules}

    def note(module: nn.Module, _: tuple, output: Any) -> None:
        seen[module].append(value_of(output).numpy())

    with hooks(module.register_forward_hook(note) for module in modules):
        logits = student(scale_images(images)).numpy()
    if any(len(outputs) != 1 for outputs in seen.values()):
        raise UserError("the student must run each of its products once")
    weights = tuple(value_of(module.quant_weight()).numpy() for module in modules)
    return Traces(images, weights, tuple(x[0] for x in seen.values()), logits)
