"""QONNX file -> integer dataflow graph, through FINN, one checked pass at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from flow import finn_adapter
from flow.check import Checker
from flow.finn_adapter import Pass
from flow.golden import PIXELS, Golden
from flow.graph import Graph
from flow.passes.enumerate_activations import EnumerateActivations
from flow.passes.popcount_width import SetPopcountWidth
from flow.passes.scale_out_weights import ScaleOutWeights
from flow.passes.to_tensor import PrependToTensor
from flow.passes.uniform_to_scalar import UniformToScalar


@dataclass(frozen=True, eq=False)
class Lowered:
    """The graph, unfolded, and for every pass how many images it was checked on."""

    graph: Graph
    passes: list[dict[str, int | str]]


def own(transformation) -> list[Pass]:
    return [(type(transformation).__name__, [transformation])]


def passes(golden: Golden) -> list[Pass]:
    """Every pass from the QONNX dialect to hardware layers, in order."""
    finn = finn_adapter
    return [
        *finn.to_finn_dialect(),
        *own(ScaleOutWeights()),
        *own(EnumerateActivations(golden)),
        *finn.insert_topk(),
        *own(UniformToScalar()),
        *finn.streamline(),
        *finn.to_xnor(),
        *finn.streamline(),
        *finn.absorb_tail(),
        *finn.to_hardware(),
        *own(SetPopcountWidth()),
        *finn.round_thresholds(),
        *finn.minimize_weights(),
    ]
