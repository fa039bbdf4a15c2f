"""How fast a network is simulated: in RTL by Verilator, in the integer reference, in qonnx.

Test images of the network's data set where they are found, else random ones of their shape. Seconds
are those of the CPU that ran it, compiling apart from running. qonnx executes image by image, as
its users do (`execute_onnx`), on as many images as QONNX_SECONDS allow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper
from qonnx.core.onnx_exec import execute_onnx

from flow import reference, stages
from flow.errors import MismatchError, UserError
from flow.graph import Graph
from flow.lowering import foreign
from flow.pipeline import say
from flow.rtl.codegen import generate
from flow.rtl.estimate import estimate
from flow.rtl.simulate import simulate
from flow.rtl.verilate import compile_simulator
from flow.shell import packed
from models import data
from models.presets import Hardware

RTL_IMAGES = 100
REFERENCE_IMAGES = 10_000
QONNX_SECONDS = 60.0

Given = tuple[np.ndarray, str]  # images uint8 (N, C, H, W), and which they are


def bench(
    name: str, graph: Graph, model: Path, hardware: Hardware, given: Given, folder: Path
) -> dict[str, Any]:
    """All three for a lowered graph and the QONNX file it was lowered from, on images given."""
    images, source = given
    circuit = stages.circuit(graph, hardware)
    threshold = packed.split(graph)[0] if hardware.packed else None
    say("  integer reference")
    with _timed() as spent:
        labels = reference.labels(graph, images)
    found: dict[str, Any] = {
        "network": name,
        "images": source,
        "reference": {"stage": "integer network", "images": len(images), **spent},
    }
    say("  qonnx, image by image")
    found["qonnx"] = one_by_one(model, images, labels)
    ratio = found["qonnx"]["seconds_an_image"] / (spent["seconds"] / len(images))
    found["reference"]["times_qonnx"] = round(ratio, 1)
    say("  compiling the RTL; some minutes")
    design = generate(circuit, folder / "rtl")
    with _timed() as compiled:
        compile_simulator(design, circuit)
    pixels = circuit.arrange(packed.bits(images[:RTL_IMAGES], threshold))
    rows = {"compile": compiled}
    for name, seed in (("free", None), ("stalled", 1)):
        say(f"  {len(pixels)} images in RTL, {name}")
        with _timed() as spent:
            result = simulate(design, circuit, pixels, stall_seed=seed)
        if name == "free":
            cycles = {
                "interval_cycles": result.interval_cycles,
                "estimated_interval_cycles": estimate(circuit).interval,
                "latency_cycles": result.latency_cycles,
            }
        rows[name] = spent
    return found | {
        "rtl": {
            "stage": "RTL simulation of the core",
            "images": len(pixels),
            "mismatches": 0,
            **cycles,
            **rows,
        }
    }


def held_out(name: str, count: int = REFERENCE_IMAGES) -> Given:
    """Test images uint8 (N, C, H, W) of a data set, or random ones, and which they are."""
    try:
        return data.read(name)[1].images[:count], f"test images of {name}"
    except UserError as error:
        rng = np.random.default_rng(0)
        shape = data.DATASETS[name].shape
        return rng.integers(0, 256, (count, *shape), np.uint8), f"random, as of {name} ({error})"


def one_by_one(
    model: Path, images: np.ndarray, labels: np.ndarray, seconds: float = QONNX_SECONDS
) -> dict[str, Any]:
    """qonnx on one image at a time; its labels are compared with `labels`."""
    source = foreign.read(model)
    entry = source.file.graph.input[0]
    kind = helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    output = source.file.graph.output[0].name
    shape = (1, *source.input_shape)
    done, start, first = 0, time.perf_counter(), 0.0
    for image, label in zip(images, labels, strict=True):
        values = source.pixels[image].reshape(shape).astype(kind)
        if int(execute_onnx(source.file, {entry.name: values})[output].argmax()) != label:
            raise MismatchError(f"image {done}: qonnx gives another label", "qonnx")
        if not done:  # the first one builds what the others reuse
            first, start = time.perf_counter() - start, time.perf_counter()
        done += 1
        if time.perf_counter() - start > seconds:
            break
    counted = max(1, done - 1)
    spent = time.perf_counter() - start if done > 1 else first
    return {
        "stage": "QONNX file, one image at a time",
        "images": counted,
        "seconds_an_image": float(f"{spent / counted:.4g}"),
    }


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds by the clock, filled in at the end."""
    spent: dict[str, float] = {}
    start = time.perf_counter()
    yield spent
    spent["seconds"] = time.perf_counter() - start


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    rtl, whole, qonnx = found["rtl"], found["reference"], found["qonnx"]
    rows = [
        *(
            (f"RTL, {what}", rtl["images"], rtl[key]["seconds"], rtl["stage"])
            for what, key in (("free-running", "free"), ("with stalls", "stalled"))
        ),
        ("integer reference", whole["images"], whole["seconds"], whole["stage"]),
        (
            "qonnx",
            qonnx["images"],
            round(qonnx["seconds_an_image"] * qonnx["images"], 2),
            qonnx["stage"],
        ),
    ]
    lines = ["| simulation | images | seconds | images/s | of what |", "|---" * 5 + "|"]
    for name, images, seconds, stage in rows:
        rate = images / max(seconds, 1e-9)
        lines.append(f"| {name} | {images} | {seconds:.3g} | {rate:.4g} | {stage} |")
    lines += [
        "",
        f"{found['network']}, {found['images']}; "
        f"RTL compiled in {rtl['compile']['seconds']:.0f} s, "
        f"{rtl['mismatches']} mismatches, {rtl['interval_cycles']} cycles an image "
        f"({rtl['estimated_interval_cycles']} estimated), latency {rtl['latency_cycles']}. The "
        f"integer reference is {whole['times_qonnx']:g} times as fast as qonnx.",
    ]
    return "\n".join(lines) + "\n"
