"""Run a generated design in Verilator: prove it equal to the reference, measure its speed.

`simulate` sends raw images through the compiled design and compares every element of every stream
with the integer reference, for as many images as fit into memory, and the output for all. It
raises `MismatchError`, which names the first layer that is wrong, and the word of its memory file
if that file is to blame. Stimulus and comparison are packed and unpacked in C++ (hw/sim), by code
that shares nothing with flow/rtl/packing.py.

Two runs belong to a proof: one free-running, whose cycles are the figures of the report, and one
with `stall_seed`, in which input and output stall at random.

What the cycles mean:
- latency: from the cycle in which the first beat of the first image is taken to the cycle in which
  its last output beat leaves, both included;
- interval: mean cycles between the outputs of successive images in the middle half of the run;
- cycles of a layer: the same interval without the cycles in which the layer waited for input or
  for its output to be taken, so what it needs for an image by itself. A sliding window has none:
  it reads on while its output waits; nor has a sum of two streams, where one waits for the other,
  nor padding, whose border waits for an image that it does not yet ask for.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flow import reference, tools
from flow.errors import MismatchError, UserError
from flow.graph import AddStreams, Depthwise, Graph, MatrixVector, Padding, SlidingWindow
from flow.rtl import packing
from flow.rtl.codegen import GLUE, Design, Memory, Unit, memory_words
from flow.rtl.verilate import compile_simulator, tensors

CHECKED_ELEMENTS = 1 << 25  # of all streams together, kept in memory for the comparison
CHUNK = 500  # images the reference computes at once, at most
CHUNK_ELEMENTS = 1 << 24  # of all streams of them
LONG_RUN = 10_000_000  # cycles, a few minutes
LEAST_IMAGES = 100

Execute = Callable[[Graph, np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class SimResult:
    """A run without a mismatch. Where there are too few images to measure, a figure is None."""

    images: int
    checked_images: int  # of these every stream was compared, of the others the output
    outputs: np.ndarray  # int32 (images, *output shape)
    stall_seed: int | None
    latency_cycles: int
    interval_cycles: float | None
    layers: tuple[dict[str, Any], ...]  # name, cycles (measured), expected
    held: dict[str, int]  # instance -> most beats in it, where as many leave as come
    seconds: float

    @property
    def mismatches(self) -> int:
        return 0

    def report(self) -> dict[str, Any]:
        """This run's part of section "rtl" of report.json."""
        if self.stall_seed is not None:
            return {"stalled_images": self.images, "stalled_mismatches": 0}
        body = {
            "images": self.images,
            "mismatches": 0,
            "latency_cycles": self.latency_cycles,
            "interval_cycles": self.interval_cycles,
            "layers": [{k: v for k, v in x.items() if v is not None} for x in self.layers],
        }
        return {k: v for k, v in body.items() if v is not None}


def simulate(
    design: Design,
    graph: Graph,
    images: np.ndarray,
    stall_seed: int | None = None,
    execute: Execute | None = None,
    pace: int | None = None,
) -> SimResult:
    """Send images (N, *input shape), elements of the input's type, through the design.

    `execute(graph, images)` gives the tensors to compare with; flow.reference unless given. pace:
    cycles from the moment an image is offered to the next at least, in a run without stalls.
    Raises MismatchError on the first difference, UserError if the design stops to move.
    """
    execute = execute or reference.execute
    shape = graph.streams[graph.input].shape
    if images.shape[1:] != shape or not len(images):
        raise UserError(f"images of shape {images.shape}; the graph takes (N, {shape})")
    start = time.monotonic()
    program = compile_simulator(design, graph)
    run = _Run(design, graph, program, execute, stall_seed, pace)
    expected = run.go(images)
    if run.failed(expected):
        raise run.diagnosis(images, expected)
    for layer, text in memory_differences(design, graph):
        raise MismatchError(f"{text}; no image of {len(images)} shows it", f"layer {layer}")
    return run.result(images, time.monotonic() - start)


def affordable(graph: Graph) -> int:
    """How many images a run of a few minutes can have."""
    return max(LEAST_IMAGES, LONG_RUN // max(layer.cycles(graph) for layer in graph))


def memory_differences(design: Design, graph: Graph) -> list[tuple[str, str]]:
    """(layer, what) for every memory file that does not hold the graph's weights or thresholds."""
    found = []
    for memory in design.memories:
        wanted = memory_words(graph, memory)
        words = packing.read_mem(design.folder / memory.file, memory.depth, memory.width)
        wrong = np.argwhere(words != wanted)
        if len(wrong):
            address, bit = map(int, wrong[0])
            place = _place(graph, memory, address, bit)
            text = f"{memory.file} differs from the graph in {len(wrong)} bit(s), first at {place}"
            found.append((memory.layer, f"layer {memory.layer}: {text}"))
    return found


def _place(graph: Graph, memory: Memory, address: int, bit: int) -> str:
    """Words for one bit of a memory file: its address and what it means there."""
    layer: Any = graph.layer(memory.layer)
    if isinstance(layer, MatrixVector):
        SF = layer.MW // layer.SIMD
        row = address // SF * layer.PE + bit // layer.SIMD
        column = address % SF * layer.SIMD + bit % layer.SIMD
        return f"word {address} bit {bit}: weight of neuron {row}, input {column}"
    if isinstance(layer, Depthwise):
        folds, groups = layer.channels // layer.PE, layer.places // layer.SIMD
        f, group = divmod(address, groups) if layer.SIMD > 1 else divmod(address, folds)[::-1]
        row, place = f * layer.PE + bit // layer.SIMD, group * layer.SIMD + bit % layer.SIMD
        return f"word {address} bit {bit}: weight of channel {row}, place {place}"
    element = bit // (graph.streams[layer.source].bits + 1)
    if memory.depth * memory.width < layer.channels * layer.levels:
        channel = "every channel"
    else:
        channel = f"channel {address * layer.PE + element // layer.levels}"
    return f"word {address} bit {bit}: threshold {element % layer.levels} of {channel}"


class _Run:
    """One call of the compiled program, and what it reported."""

    def __init__(
        self,
        design: Design,
        graph: Graph,
        program: Path,
        execute: Execute,
        stall_seed: int | None,
        pace: int | None = None,
    ):
        self.design, self.graph, self.program = design, graph, program
        self.execute, self.stall_seed, self.pace = execute, stall_seed, pace
        self.tensors = tensors(design)
        size = sum(graph.streams[t].size for t in self.tensors)
        self.most_checked = max(1, CHECKED_ELEMENTS // size)
        self.chunk = max(1, min(CHUNK, CHUNK_ELEMENTS // size))
        self.found: dict[str, Any] = {}
        self.outputs = np.empty((0, *graph.streams[graph.output].shape), dtype=np.int32)

    @property
    def label(self) -> str:
        return "free-running" if self.stall_seed is None else f"stalls, seed {self.stall_seed}"

    def go(self, images: np.ndarray) -> np.ndarray:
        """Run; return the expected outputs (N, *output shape)."""
        folder = self.program.parent
        with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as temporary:
            here = Path(temporary)
            self.checked = min(len(images), self.most_checked)
            expected = self._write_expected(images, here / "expected.bin")
            bits = self.graph.streams[self.graph.input].bits
            images.astype("<u1" if bits <= 8 else "<i4").tofile(here / "images.bin")
            stall: list[str | int] = [] if self.stall_seed is None else ["--stall", self.stall_seed]
            if self.pace is not None and self.stall_seed is None:
                stall = ["--pace", self.pace]
            tools.run(
                self.program,
                *(here / "images.bin", len(images), here / "expected.bin", self.checked),
                *(here / "outputs.bin", here / "result.json", *stall),
                cwd=self.design.folder,
                log=folder / f"{'free' if self.stall_seed is None else 'stalled'}.log",
            )
            self.found = json.loads((here / "result.json").read_text())
            shape = self.graph.streams[self.graph.output].shape
            flat = np.fromfile(here / "outputs.bin", dtype="<i4")
        size = int(np.prod(shape))
        self.outputs = flat[: len(flat) // size * size].reshape(-1, *shape)
        return expected

    def _write_expected(self, images: np.ndarray, path: Path) -> np.ndarray:
        """Write what the program compares with; return the expected output of every image."""
        outputs = []
        with path.open("wb") as file:
            for start in range(0, len(images), self.chunk):
                values = self.execute(self.graph, images[start : start + self.chunk])
                outputs.append(values[self.graph.output])
                rows = [values[t].reshape(len(outputs[-1]), -1) for t in self.tensors]
                kept = np.concatenate(rows, axis=1)[: max(0, self.checked - start)]
                kept.astype("<i4").tofile(file)
        return np.concatenate(outputs)

    def failed(self, expected: np.ndarray) -> bool:
        taps = self.found["taps"]
        return bool(
            self.found["hung"]
            or self.found["extra_beats"]
            or any(t["mismatches"] or t["unstable"] for t in taps)
            or not np.array_equal(self.outputs, expected)
        )

    def diagnosis(self, images: np.ndarray, expected: np.ndarray) -> UserError:
        """The error that says best what went wrong."""
        if wrong := self._first_wrong_tap():
            return self._mismatch(wrong)
        for tap in self.found["taps"]:
            if tap["unstable"]:
                unit = self._writer(tap["net"])
                return MismatchError(
                    f"{unit}: changed its output while it was not taken ({self.label})", unit
                )
        if self.found["hung"]:
            return self._hang(len(images))
        if self.found["extra_beats"]:
            unit = self._writer(self.design.taps[-1].net)
            return MismatchError(f"{unit}: wrote more than {len(images)} outputs", unit)
        return self._late_mismatch(images, expected)

    def _mismatch(self, tap: dict[str, Any]) -> MismatchError:
        unit, wrong = self._writer(tap["net"]), tap["wrong"]
        blame = "".join(f"; {t}" for x, t in memory_differences(self.design, self.graph))
        return MismatchError(
            f"RTL differs from the reference first at {unit}: image {wrong['image']}, element "
            f"{wrong['element']} of {tap['net']} is {wrong['got']}, expected {wrong['expected']} "
            f"({tap['mismatches']} wrong elements, {self.label}){blame}",
            unit,
        )

    def _hang(self, images: int) -> UserError:
        """Name the last unit, in the order of the stream, that took more than it gave."""
        beats = {tap["net"]: tap["beats"] for tap in self.found["taps"]}
        stuck: Unit | None = None
        for unit in self.design.units:
            source, target = self.design.tap(unit.sources[0]), self.design.tap(unit.targets[0])
            if beats[source.net] * target.beats > beats[target.net] * source.beats:
                stuck = unit
        unit_name = self._title(stuck) if stuck else "the input"
        for unit in reversed(self.design.units):
            taken = [beats[net] for net in unit.targets]
            if min(taken) < max(taken):  # a fork with a reader that is full and one that waits
                readers = self.graph.readers(self.design.tap(unit.targets[0]).tensor)
                full, waits = (readers[taken.index(n)].name for n in (min(taken), max(taken)))
                unit_name = (
                    f"the fork {unit.name}: layer {full} takes no more, layer {waits} waits for "
                    "more, since a FIFO between them is too small"
                )
                break
        return MismatchError(
            f"the design stopped at {unit_name} after {self.found['cycles']} cycles: "
            f"{self.found['images']} of {images} images came out ({self.label})",
            unit_name,
        )

    def _late_mismatch(self, images: np.ndarray, expected: np.ndarray) -> MismatchError:
        """An output is wrong beyond the images whose streams were compared: run those again."""
        wrong = (self.outputs != expected).reshape(len(expected), -1).any(axis=1)
        first = int(np.argmax(wrong))
        again = _Run(self.design, self.graph, self.program, self.execute, self.stall_seed)
        again.go(images[max(0, first - 3) : first + 1])
        if tap := again._first_wrong_tap():
            tap["wrong"]["image"] += max(0, first - 3)
            return again._mismatch(tap)
        unit = self._writer(self.design.taps[-1].net)
        return MismatchError(
            f"RTL differs from the reference in {wrong.sum()} outputs, first of image {first}, but "
            f"not when that image is run after the three before it ({self.label})",
            unit,
        )

    def _first_wrong_tap(self) -> dict[str, Any] | None:
        return next((tap for tap in self.found["taps"] if tap["mismatches"]), None)

    def _writer(self, net: str) -> str:
        """Words for the unit that writes a net."""
        unit = next((u for u in self.design.units if net in u.targets), None)
        return self._title(unit) if unit else "the input"

    @staticmethod
    def _title(unit: Unit) -> str:
        if unit.module in GLUE:
            return f"{unit.module} {unit.name} before layer {unit.layer}"
        return f"layer {unit.layer}"

    def result(self, images: np.ndarray, seconds: float) -> SimResult:
        ends = self.found["output_cycles"]
        start, end = self.found["window"]
        window = ends[end] - ends[start]
        idle = {unit["name"]: unit["idle"] for unit in self.found["units"]}

        def an_image(cycles: int) -> float | None:
            return _tidy(cycles / (end - start)) if end > start else None

        layers = []
        for layer in self.graph:
            busy = an_image(window - idle[self.design.layer_unit(layer.name).name])
            if isinstance(layer, SlidingWindow | Padding | AddStreams):
                busy = None
            expected = layer.cycles(self.graph)
            layers.append({"name": layer.name, "cycles": busy, "expected": expected})
        return SimResult(
            images=len(images),
            checked_images=self.checked,
            outputs=self.outputs,
            stall_seed=self.stall_seed,
            latency_cycles=ends[0] - self.found["first_input"] + 1,
            interval_cycles=an_image(window),
            layers=tuple(layers),
            held={unit["name"]: unit["held"] for unit in self.found["units"]},
            seconds=round(seconds, 1),
        )


def _tidy(value: float) -> float:
    """An int where it is one, else two decimals."""
    return int(value) if value == int(value) else round(value, 2)
