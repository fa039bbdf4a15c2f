"""The .json beside the .bit: what the accelerator computes and how it is fed. README.md has it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DescriptionError
from .layout import Images, Results

SCHEMA = 1


@dataclass(frozen=True)
class Description:
    """A network on the board. interval: clock cycles an image, 0 where unknown."""

    name: str
    build: int
    clock_mhz: float
    images: Images
    results: Results
    classes: tuple[str, ...]
    interval: int
    test_images: np.ndarray  # (n, elements)
    test_results: np.ndarray  # (n, results)

    @classmethod
    def beside(cls, bitfile: Path) -> Description:
        """Read the description of a bitstream."""
        path = bitfile.with_suffix(".json")
        try:
            return cls.parse(json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise DescriptionError(f"{path}: missing; it belongs beside the .bit") from error
        except (KeyError, TypeError, ValueError) as error:
            raise DescriptionError(f"{path}: {type(error).__name__}: {error}") from error

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Description:
        """From the content of the file; ValueError, TypeError or KeyError where it is not one."""
        if body["schema"] != SCHEMA:
            raise ValueError(f"schema {body['schema']}; this driver reads {SCHEMA}")
        images = Images(**body["images"] | {"shape": tuple(body["images"]["shape"])})
        results = Results(**body["results"])
        if images.size != images.beats * images.elements:
            raise ValueError(f"{images.beats} beats of {images.elements} for shape {images.shape}")
        if images.threshold is not None and images.memory_bits != 1:
            raise ValueError("a threshold, but memory_bits is not 1")
        if results.kind not in ("labels", "scores"):
            raise ValueError(f"results of kind {results.kind!r}")
        test = body["self_test"]
        pixels = np.frombuffer(base64.b64decode(test["images"]), images.dtype)
        return cls(
            name=body["name"],
            build=int(body["build"], 16),
            clock_mhz=float(body["clock_mhz"]),
            images=images,
            results=results,
            classes=tuple(body["classes"]),
            interval=int(body["interval"]),
            test_images=pixels.reshape(-1, images.size),
            test_results=np.array(test["results"], results.dtype).reshape(-1, results.count),
        )
