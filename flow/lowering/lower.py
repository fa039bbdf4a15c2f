"""QONNX file -> integer dataflow graph, through FINN, one checked pass at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_shapes import InferShapes
from torch import nn

from flow.errors import UserError
from flow.graph import Graph
from flow.lowering import branch_check, export, finn_adapter, foreign, hardware, traces
from flow.lowering.branched import Reading
from flow.lowering.check import check
from flow.lowering.finn_adapter import Pass
from flow.lowering.golden import PIXELS, Golden
from flow.lowering.passes.enumerate_activations import EnumerateActivations
from flow.lowering.passes.enumerate_input import EnumerateInput
from flow.lowering.passes.lower_depthwise import DepthwiseToXnor, LowerDepthwiseConvs
from flow.lowering.passes.pad_bits import PadBits
from flow.lowering.passes.pad_channels_last import PadChannelsLast
from flow.lowering.passes.popcount_width import SetPopcountWidth
from flow.lowering.passes.scale_out_activations import ScaleOutActivations
from flow.lowering.passes.scale_out_weights import ScaleOutWeights
from flow.lowering.passes.to_tensor import PrependToTensor
from flow.lowering.passes.uniform_to_scalar import UniformToScalar
from flow.lowering.traces import Traces

VALUES = 2**22  # windows and accumulators of the images on which a graph is run after every pass
ENUMERATED = "EnumerateActivations"  # from here on thresholds must hold for all values


@dataclass(frozen=True, eq=False)
class Lowered:
    """The graph, unfolded; for every pass how many images it was checked on; FINN's own layers."""

    graph: Graph
    passes: list[dict[str, int | str]]
    hardware: ModelWrapper | None  # None where it does not come from FINN


def lower(model: Path, golden: Golden | Traces, log: Path | None = None) -> Lowered:
    """Lower a QONNX file, comparing with the trained network after every pass.

    `golden` is what the network computes for some images: from `lowering.export.golden`, or from
    `lowering.foreign.golden` where the file is all there is. FINN's messages go to the file `log`.
    `UserError` for what is not supported, `MismatchError` at the first difference, naming the pass
    and the layer.
    """
    origin = foreign.read(model)
    if not len(golden):
        raise UserError("lowering is checked on images, and there are none")
    if isinstance(golden, Traces):
        return _branched(origin, golden, model.stem)
    _refuse_tail(golden)
    golden = golden.take(max(1, VALUES // golden.values))
    records = [check(origin.model, golden, "Import", origin.pixels, whole_domain=False)]
    lowered, pixels, proven = origin.model, PIXELS.astype(np.float32), False
    with finn_adapter.chatter(log):
        for name, transformations in passes(golden, origin.reads_pixels):
            for transformation in (*transformations, *finn_adapter.upkeep()):
                lowered = lowered.transform(transformation)
            proven = proven or name == ENUMERATED
            records.append(check(lowered, golden, name, pixels, whole_domain=proven))
    return Lowered(hardware.to_graph(lowered, model.stem), records, lowered)


def golden_of(student: nn.Module, images: np.ndarray, model: Path) -> Golden | Traces:
    """What a student, exported as `model`, computes for uint8 images (N, C, H, W)."""
    branched = foreign.read(model).branched
    return traces.of_student(student, images) if branched else export.golden(student, images)


def load_golden(path: Path) -> Golden | Traces:
    """Read what either of them has saved."""
    return Traces.load(path) or Golden.load(path)


def _branched(origin: foreign.Source, golden: Traces, name: str) -> Lowered:
    """A network that branches: read in one pass, compared with the file and the network."""
    reading = Reading(origin.file, origin.pixels, name)
    inputs = origin.pixels[golden.images].reshape(len(golden), *origin.input_shape)
    images = reading.graph.arrange(golden.images)
    compared = branch_check.compare(reading, inputs, images, golden)
    record: dict[str, int | str] = {
        "pass": "Branches",
        "images": len(golden),
        "values": compared,
        "mismatches": 0,
    }
    return Lowered(reading.graph, [record], None)


def passes(golden: Golden, reads_pixels: bool) -> list[Pass]:
    """Every pass from the QONNX dialect to hardware layers, in order.

    EnumerateInput stands for FINN's conversion of an 8-bit quantiser, EnumerateActivations for its
    derivation of thresholds from batch norms, SetPopcountWidth for its MinimizeAccumulatorWidth,
    LowerDepthwiseConvs for its sparse matrices of depthwise convolutions. Padding stays a node of
    its own, which FINN's passes leave alone; FINN's own layer pads with zero alone.
    """
    finn = finn_adapter
    convolutions = any(window.is_conv for window in golden.windows)
    depthwise = any(window.depthwise for window in golden.windows)
    return [
        *([] if reads_pixels else _own(PrependToTensor(), InferShapes())),
        *_own(ScaleOutActivations()),
        *(_own(EnumerateInput(golden)) if golden.top > 1 else []),
        *finn.to_finn_dialect(),
        *_own(ScaleOutWeights()),
        *_own(EnumerateActivations(golden)),
        *finn.insert_topk(),
        *(_own(LowerDepthwiseConvs(), PadChannelsLast()) if depthwise else []),
        *(finn.lower_convolutions(PadChannelsLast()) if convolutions else []),
        *_own(UniformToScalar()),
        *finn.streamline(),
        *finn.to_xnor(DepthwiseToXnor(), PadBits()),
        *finn.streamline(", XNOR"),
        *finn.absorb_tail(),
        *finn.to_hardware(convolutions, numbers=golden.top > 1),
        *_own(SetPopcountWidth()),
        *finn.round_thresholds(),
        *finn.minimize_weights(),
    ]


def _own(*transformations: Transformation) -> list[Pass]:
    return [(type(transformations[0]).__name__, list(transformations))]


def _refuse_tail(golden: Golden) -> None:
    """`UserError` unless the logits are one strictly monotone function of the accumulators.

    Then the largest logit is that of the largest accumulator (or of the smallest, whose sign a
    pass changes), ties included.
    """
    tail = golden.tail
    other = np.flatnonzero((tail != tail[:, :1]).any(0))
    if len(other):
        raise UserError(
            f"the logits of class {other[0]} are scaled or shifted unlike those of class 0; "
            "only a scale and bias that all classes share can be left out of the hardware"
        )
    steps = np.diff(tail[:, 0])
    if not ((steps > 0).all() or (steps < 0).all()):
        raise UserError(
            "the logits do not rise (or fall) with the last layer's accumulators everywhere; "
            "give the last scale a value that is not zero"
        )
