"""The .json beside a .bit, from which the driver learns how the accelerator is fed.

hw/driver/README.md says what stands in it; hw/driver/hanbit_board/description.py reads it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flow.errors import UserError
from flow.rtl.codegen import Design, write_if_changed
from flow.shell.layout import of_design

SCHEMA = 1


def describe(
    design: Design,
    shape: Sequence[int],
    classes: Sequence[str],
    images: np.ndarray,
    results: np.ndarray,
    *,
    name: str,
    build_hash: int,
    clock_mhz: float,
    packed: bool = False,
    threshold: int | None = None,
    interval: int = 0,
) -> dict[str, object]:
    """What the file says.

    shape: of an image. images, results: the self-test, as the reference model computes it, images
    of any shape. packed: as for `of_design`; threshold: pixels of 8 bits that reach it are then 1.
    interval: clock cycles an image, 0 where unknown.
    """
    source, target = of_design(design, packed)
    first = design.taps[0]
    if threshold is not None and source.memory_bits != 1:
        raise UserError("a threshold for pixels that are not packed to one bit")
    value_bits = 8 if threshold is not None else source.bits
    if len(images) != len(results) or results.size != len(results) * target.results:
        raise UserError(f"self-test: {len(images)} images, results of shape {results.shape}")
    if int(np.prod(shape)) != source.beats * source.elements:
        raise UserError(
            f"images of shape {tuple(shape)}; {source.beats} beats of {source.elements}"
        )
    wide = next(bits for bits in (8, 16, 32, 64) if bits >= value_bits)
    pixels = images.astype(f"<{'i' if first.signed else 'u'}{wide // 8}")
    if not np.array_equal(pixels, images):
        raise UserError(f"self-test: images do not fit {wide} bits")
    labels = target.results == 1 and len(classes) > 1
    return {
        "schema": SCHEMA,
        "name": name,
        "build": f"0x{build_hash:08X}",
        "clock_mhz": clock_mhz,
        "images": {
            "shape": [int(x) for x in shape],
            "elements": source.elements,
            "bits": source.bits,
            "memory_bits": source.memory_bits,
            "beats": source.beats,
            "signed": first.signed,
            "threshold": threshold,
        },
        "results": {
            "kind": "labels" if labels else "scores",
            "elements": target.elements,
            "bits": target.bits,
            "memory_bits": target.memory_bits,
            "signed": target.signed,
            "beats": target.beats,
        },
        "classes": list(classes),
        "interval": interval,
        "self_test": {
            "images": base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode(),
            "results": results.reshape(len(results), -1).tolist(),
        },
    }


def write(body: dict[str, object], bitfile: Path) -> Path:
    """Write it beside the bitstream."""
    path = bitfile.with_suffix(".json")
    write_if_changed(path, json.dumps(body, indent=1) + "\n")
    return path
