"""The module of hw/rtl that each layer becomes, and the parameters of its instance."""

from __future__ import annotations

from collections.abc import Callable

from flow.errors import UserError
from flow.graph import (
    AddStreams,
    Depthwise,
    GlobalAccPool,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Stream,
    Threshold,
)
from flow.rtl.area import pool_uses_block_ram, uses_block_ram

Parameters = dict[str, int | str]

MODULES = {
    "threshold": "threshold",
    "mvu_bin": "mvu_bin",  # mvu_int where numbers come in
    "padding": "padding",
    "sliding_window": "sliding_window",
    "vvu_bin": "vvu_bin",
    "max_pool": "max_pool",
    "add_streams": "add_streams",
    "acc_pool": "acc_pool",
    "label_select": "label_select",
}


def module_of(graph: Graph, layer: Layer) -> str:
    """The module of hw/rtl that a layer becomes."""
    if isinstance(layer, MatrixVector) and graph.streams[layer.source].dtype != "BINARY":
        return "mvu_int"
    return MODULES[layer.kind]


def parameters_of(graph: Graph, layer: Layer, memory: Callable[[Layer, str], str]) -> Parameters:
    """The parameters of its instance; `memory` gives the file of one of its arrays."""
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    if isinstance(layer, MatrixVector):
        signed = int(source.type.signed())
        numbers = {"IN_BITS": source.bits, "SIGNED": signed} if source.dtype != "BINARY" else {}
        return {
            "MW": layer.MW,
            "MH": layer.MH,
            "PE": layer.PE,
            "SIMD": layer.SIMD,
            **numbers,
            "ACC_BITS": target.bits,
            "BLOCK": int(uses_block_ram(layer)),
            "WEIGHTS": memory(layer, "weights"),
        }
    if isinstance(layer, Depthwise):
        return {
            "C": layer.channels,
            "K": layer.places,
            "PE": layer.PE,
            "SIMD": layer.SIMD,
            "ACC_BITS": target.bits,
            "WEIGHTS": memory(layer, "weights"),
        }
    if isinstance(layer, (SlidingWindow, MaxPool, Padding)):
        return _image_parameters(layer, source)
    if isinstance(layer, Threshold):
        return {
            "C": layer.channels,
            "PE": layer.PE,
            "LEVELS": layer.levels,
            "IN_BITS": source.bits,
            "OUT_BITS": target.bits,
            "SIGNED": int(source.type.signed()),
            "UNIFORM": int(layer.uniform),
            "BLOCK": 0,
            "THRESHOLDS": memory(layer, "thresholds"),
        }
    if isinstance(layer, LabelSelect):
        return {
            "CLASSES": layer.classes,
            "PE": layer.PE,
            "IN_BITS": source.bits,
            "OUT_BITS": target.bits,
            "SIGNED": int(source.type.signed()),
        }
    if isinstance(layer, AddStreams):
        other = graph.streams[layer.shortcut]
        return {
            "PE": layer.PE,
            "A_BITS": source.bits,
            "A_SIGNED": int(source.type.signed()),
            "B_BITS": other.bits,
            "B_SIGNED": int(other.type.signed()),
            "OUT_BITS": target.bits,
        }
    if isinstance(layer, GlobalAccPool):
        return {
            "PIXELS": source.pixels,
            "C": source.channels,
            "PE": layer.PE,
            "IN_BITS": source.bits,
            "OUT_BITS": target.bits,
            "SIGNED": int(source.type.signed()),
            "BIPOLAR": int(layer.bipolar),
        }
    raise UserError(f"layer {layer.name}: no RTL module for a layer of kind {layer.kind}")


def _image_parameters(layer: SlidingWindow | MaxPool | Padding, source: Stream) -> Parameters:
    height, width, channels = source.shape
    parameters: Parameters = {"HEIGHT": height, "WIDTH": width, "C": channels}
    if isinstance(layer, MaxPool):
        block = int(pool_uses_block_ram(layer, source))
        return parameters | {"SIZE": layer.size, "PE": layer.PE, "BLOCK": block}
    if isinstance(layer, Padding):
        border = {"BITS": source.bits, "PAD": layer.size, "VALUE": layer.value}
        return parameters | border | {"SIMD": layer.SIMD}
    return parameters | {
        "BITS": source.bits,
        "KERNEL": layer.kernel,
        "STRIDE": layer.stride,
        "SIMD": layer.SIMD,
        "PARALLEL": int(layer.parallel_window > 0),
        "REPEAT": 1,
    }
