"""What each stage of the pipeline does, for a preset of ours and for somebody else's QONNX file.

    preset:  01-train   02-export  03-lower  04-rtl  05-simulate  06-bitstream-<board>  07-prove-...
             01-zoo
    file:               02-import  03-lower  04-rtl  05-simulate  06-bitstream-<board>  07-prove-...

A board that Vivado or Vitis builds for has flow/vendor/steps.py's stages instead of the last two.

The second folder always holds `model.onnx`, `images.npz` (test images and, where known, labels)
and `golden.npz` (what the trained network computes for the images on which lowering is checked),
so that everything after it is one way.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flow import reference, training
from flow.bits import bram, prove
from flow.errors import MismatchError, UserError
from flow.graph import Graph, LabelSelect
from flow.implement import bitstream, boards
from flow.lowering import export, foreign, importer, lower
from flow.pipeline import Pipeline, Stage, say, write_atomically
from flow.rtl import codegen, estimate, folding
from flow.rtl import simulate as simulation
from flow.shell import description, hwh, packed, registers
from flow.training import TRAIN, ZOO
from flow.vendor import steps
from models import data, zoo
from models.presets import Hardware, Preset

LOWERING_IMAGES = 64  # images on which the graph is executed after every pass
REPLAYED_IMAGES = 20  # pushed through the netlist rebuilt from the bitstream
SELF_TEST_IMAGES = 16  # go with the bitstream, for the driver
QONNX_SECONDS = 120.0  # the file is executed on as many test images as this allows


@dataclass(frozen=True)
class ModelFile:
    """Somebody else's QONNX file with, if given, its images and labels (.npy)."""

    model: Path
    images: Path | None = None
    labels: Path | None = None

    def digests(self) -> dict[str, str]:
        paths = {key: path for key, path in vars(self).items() if path}
        for path in paths.values():
            if not path.is_file():
                raise UserError(f"{path}: no such file")
        return {k: hashlib.sha256(path.read_bytes()).hexdigest() for k, path in paths.items()}


@dataclass(frozen=True)
class Work:
    """What one run is about: a preset or a file, and the hardware wanted."""

    name: str
    root: Path
    board: boards.Board
    seed: int
    hardware: Hardware
    preset: Preset | None = None
    batch: Path | None = None  # where several seeds of the preset are trained together
    entry: zoo.Entry | None = None  # the zoo's, where its weights are used
    file: ModelFile | None = None

    @property
    def source(self) -> Path:
        """The folder with the model, its test images and its golden values."""
        return self.root / (IMPORT if self.file else EXPORT).folder

    def test_set(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Test images uint8 (N, C, H, W) and, where known, labels (N,)."""
        with np.load(self.source / "images.npz") as arrays:
            return arrays["images"], arrays.get("labels")

    @property
    def graph(self) -> Graph:
        """The whole network, as it was lowered."""
        return Graph.load(self.root / LOWER.folder)

    @property
    def threshold(self) -> int | None:
        """What the driver compares pixels with, where the circuit reads bits."""
        return packed.split(self.graph)[0] if self.hardware.packed else None

    def rtl(self) -> tuple[Graph, codegen.Design]:
        """The folded graph of the circuit and the design generated from it."""
        folder = self.root / GENERATE.folder
        return Graph.load(folder), codegen.Design.load(folder)


def pipeline(work: Work) -> Pipeline:
    """The stages of a run, in order."""
    first = ZOO if work.entry else TRAIN
    own = (IMPORT,) if work.file else (first, EXPORT)
    if work.board.toolchain == "open":
        built = replace(BITSTREAM, sources=(*BITSTREAM.sources, *work.board.files))
        on_board = [replace(s, folder=f"{s.folder}-{work.board.name}") for s in (built, PROVE)]
    else:
        on_board = list(steps.stages(work.board, _describe))
    return Pipeline((*own, LOWER, GENERATE, SIMULATE, *on_board), work, work.root)


def _export(work: Work, folder: Path) -> dict[str, Any]:
    assert work.preset
    student = training.student(work)
    _, test = data.read(work.preset.data.name)
    export.export(student, test.images.shape[1:], folder / "model.onnx")
    golden = lower.golden_of(student, test.images[:LOWERING_IMAGES], folder / "model.onnx")
    golden.save(folder / "golden.npz")
    np.savez_compressed(folder / "images.npz", images=test.images, labels=test.labels)
    right = export.predict(student, test.images) == test.labels
    return {"accuracy": {"float": _percent(right), "images": len(test.labels)}}


def _import(work: Work, folder: Path) -> dict[str, Any]:
    assert work.file
    model, given = folder / "model.onnx", work.file
    shape = foreign.load(given.model, model)
    if given.images:
        images = importer.read_images(given.images, shape)
    else:
        images = importer.random_images(shape, work.seed)
        say(f"  no --data: {len(images)} images of random pixels")
    arrays = {"images": images}
    if given.labels:
        arrays["labels"] = importer.read_labels(given.labels, len(images))
    foreign.golden(model, images[:LOWERING_IMAGES]).save(folder / "golden.npz")
    np.savez_compressed(folder / "images.npz", allow_pickle=False, **arrays)
    return {}


def _lower(work: Work, folder: Path) -> dict[str, Any]:
    images, labels = work.test_set()
    model = work.source / "model.onnx"
    lowered = lower.lower(model, lower.load_golden(work.source / "golden.npz"), folder / "finn.log")
    lowered.graph.save(folder)
    integer = reference.labels(lowered.graph, images)
    executed = foreign.labels(model, images, QONNX_SECONDS)
    if (wrong := np.flatnonzero(executed != integer[: len(executed)])).size:
        raise MismatchError(
            f"image {wrong[0]}: the lowered graph says {integer[wrong[0]]}, the QONNX file "
            f"{executed[wrong[0]]} ({len(wrong)} of {len(executed)} images differ)",
            f"image {wrong[0]}",
        )
    sections: dict[str, Any] = {"lowering": lowered.passes}
    if labels is not None:
        sections["accuracy"] = {
            "qonnx": _percent(executed == labels[: len(executed)]),
            "integer": _percent(integer == labels),
            "images": len(images),
            "qonnx_images": len(executed),
        }
    return sections


def circuit(graph: Graph, wanted: Hardware) -> Graph:
    """What of a lowered network becomes a circuit, folded as wanted."""
    return folding.fold(
        packed.split(graph)[1] if wanted.packed else graph,
        _wanted_interval(wanted),
        input_parallel=wanted.input_parallel,
        overrides=wanted.folding,
        latency=folding.cycles_in(wanted.target_latency, wanted.clock_mhz),
        max_lut=wanted.max_lut,
        max_bram36=wanted.max_bram36,
    )


def _generate(work: Work, folder: Path) -> dict[str, Any]:
    graph = circuit(work.graph, work.hardware)
    found = estimate.estimate(graph)
    graph.save(folder)
    codegen.generate(graph, folder)
    return {
        "folding": graph.folding,
        "estimate": {
            "stage": "estimated, the core without its shell",
            "lut": round(found.area.lut),
            "ff": round(found.area.ff),
            "bram36": found.area.bram36,
            "interval_cycles": found.interval,
            "latency_cycles": found.latency,
        },
    }


def _fits(work: Work, folder: Path) -> None:
    folding.refuse_overflow(Graph.load(folder), work.board.resources, work.board.name)


def _wanted_interval(wanted: Hardware) -> int | None:
    """Cycles that an image may take, if that is asked for."""
    if wanted.target_fps is None:
        return wanted.target_cycles
    return folding.cycles_of(wanted.target_fps, wanted.clock_mhz)


def _simulate(work: Work, folder: Path) -> dict[str, Any]:
    graph, design = work.rtl()
    images, _ = work.test_set()
    pixels = graph.arrange(packed.bits(images, work.threshold))
    pixels = pixels[: simulation.affordable(graph)]
    free = simulation.simulate(design, graph, pixels)
    stalled = simulation.simulate(design, graph, pixels, stall_seed=work.seed + 1)
    return {"rtl": free.report() | stalled.report()}


def _bitstream(work: Work, folder: Path) -> dict[str, Any]:
    _, design = work.rtl()
    bit, is_packed = folder / "design.bit", work.hardware.packed
    clock = work.hardware.clock_mhz
    built = bitstream.build(design, work.board, folder, clock, packed=is_packed)
    sources = folder / "sources"
    checked = bram.check_bram(
        bit,
        work.board.part,
        folder / f"seed-{built['pnr_seed']}" / "routed.json",
        sources / "netlist.json",
        prove.roms(design, sources),
    )
    built["bitstream"]["memories"] = asdict(checked)
    _describe(work, design, built, bit)
    return built


def _describe(work: Work, design: codegen.Design, built: dict[str, Any], bit: Path) -> None:
    """What goes with a .bit: the .hwh for pynq, the .json for the driver."""
    graph, clock = work.graph, built["timing"]["clock_mhz"]
    images = work.test_set()[0][:SELF_TEST_IMAGES]
    arranged = graph.arrange(images)
    # An image that the network reads as a vector keeps its shape, without a channel that is alone.
    shape = arranged.shape[1:]
    if len(shape) == 1:
        shape = images.shape[2:] if images.shape[1] == 1 and images.ndim > 2 else images.shape[1:]
    classes = [x.classes for x in graph if isinstance(x, LabelSelect)]
    interval = pipeline(work).stamp("simulate")["sections"]["rtl"]["interval_cycles"]
    body = description.describe(
        design,
        shape,
        [str(n) for n in range(classes[0])] if classes else [],
        arranged,
        reference.labels(graph, images)[:, None],
        name=work.name,
        build_hash=int(built["bitstream"]["hash"], 16),
        clock_mhz=clock,
        packed=work.hardware.packed,
        threshold=work.threshold,
        interval=math.ceil(interval or 0),
    )
    description.write(body, bit)
    if work.board.toolchain != "vitis":
        write_atomically(bit.with_suffix(".hwh"), hwh.hwh(registers.load(), work.name, clock))


def _prove(work: Work, folder: Path) -> dict[str, Any]:
    _, design = work.rtl()
    done = pipeline(work)
    implemented, sections = done.folder("bitstream"), done.stamp("bitstream")["sections"]
    images, graph = work.test_set()[0][:REPLAYED_IMAGES], work.graph
    result = prove.prove(
        design,
        work.board,
        implemented,
        implemented / f"seed-{sections['pnr_seed']}" / "routed.json",
        graph.arrange(packed.bits(images, work.threshold)),
        reference.labels(graph, images)[:, None],
        folder,
        packed=work.hardware.packed,
    )
    return {"bitstream": {"netlist": result | {"mismatches": 0}}}


def _percent(right: np.ndarray) -> float:
    return round(100 * float(np.mean(right)), 4)


EXPORT = Stage(
    "export",
    "02-export",
    _export,
    lambda work: [work.seed, LOWERING_IMAGES],
    ("flow/lowering/*.py",),
)
IMPORT = Stage(
    "import",
    "02-import",
    _import,
    lambda work: [work.file.digests(), work.seed, LOWERING_IMAGES],
    ("flow/lowering/**/*.py",),
)
LOWER = Stage(
    "lower",
    "03-lower",
    _lower,
    lambda work: QONNX_SECONDS,
    (
        "flow/lowering/**/*.py",
        *(f"flow/{name}.py" for name in ("graph", "branches", "*layers", "reference")),
    ),
)
GENERATE = Stage(
    "generate",
    "04-rtl",
    _generate,
    lambda work: asdict(work.hardware),
    ("flow/rtl/*.py", "flow/shell/packed.py", "hw/rtl/*.sv"),
    check=_fits,
)
SIMULATE = Stage(
    "simulate",
    "05-simulate",
    _simulate,
    lambda work: work.seed,
    ("flow/rtl/simulate.py", "flow/rtl/verilate.py", "flow/shell/packed.py", "hw/sim/harness.cpp"),
)
BITSTREAM = Stage(
    "bitstream",
    "06-bitstream",  # and the board's name
    _bitstream,
    lambda work: [work.board.name, work.hardware.clock_mhz],
    ("flow/implement/*.py", "flow/bits/*.py", "flow/shell/*", "hw/yosys/*"),  # and the board's
)
PROVE = Stage(
    "prove",
    "07-prove",  # and the board's name
    _prove,
    lambda work: REPLAYED_IMAGES,
    ("flow/bits/*.py", "flow/shell/*", "hw/sim/**/*.sv"),
)
