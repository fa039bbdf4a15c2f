"""Cycles, latency, LUTs and block RAMs of a folded graph, predicted without running a tool.

Cycles a layer are exact (`Layer.cycles`; the simulation measures the same). Latency follows the
beats of one image through the layers, with the pipeline depths of hw/rtl. LUTs count what Yosys'
synth_xilinx maps each module to: compressor trees and memories are counted out, the constants
beside them are fitted to synthesised modules (see tests/flow/test_estimate.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, log2

from flow.glue import Fifo, Width, glue
from flow.graph import Graph, LabelSelect, Layer, MatrixVector, Threshold

LUTS_A_BLOCK_RAM = 380  # the XC7Z020 has 53 200 LUTs and 140 block RAMs of 36 kbit
SPAN = 3  # levels of LUTs between registers in popcount.sv
MAPPED_ROM_DEPTH = 256  # up to here hw/yosys/rom_lut.v needs one LUT6 for 64 words of a bit


@dataclass(frozen=True)
class Area:
    """LUTs, flip-flops and block RAMs (of 36 kbit; half a one counts 0.5)."""

    lut: float = 0
    ff: float = 0
    bram36: float = 0

    def __add__(self, other: Area) -> Area:
        return Area(self.lut + other.lut, self.ff + other.ff, self.bram36 + other.bram36)

    @property
    def cost(self) -> float:
        """One number to choose by: LUTs, with block RAMs at the rate of the device."""
        return self.lut + LUTS_A_BLOCK_RAM * self.bram36


@dataclass(frozen=True)
class Span:
    """When a stream's beats of the first image can be taken: cycles of the first and the last."""

    first: float
    last: float


@dataclass(frozen=True)
class Estimate:
    """A whole graph. `interval` and `latency` are cycles, defined as in flow/simulate.py."""

    interval: int
    latency: int
    area: Area
    layers: dict[str, Area]  # each with the converters and the FIFO in front of it


def estimate(graph: Graph) -> Estimate:
    """Predict a folded graph, a chain of layers."""
    areas: dict[str, Area] = {}
    first = graph.layers[0]
    beats = graph.streams[graph.input].size // first.in_parallel
    span = Span(0, beats - 1)
    interval, parallel = beats, first.in_parallel
    for layer in graph:
        source, target = graph.streams[layer.source], graph.streams[layer.target]
        area = Area()
        for part in glue(parallel, layer):
            area += glue_area(part, source.bits)
            span = after_glue(part, span, source.size)
            if isinstance(part, Width):
                interval = max(interval, source.size // min(part.before, part.after))
        areas[layer.name] = area + layer_area(layer, source.bits, source.type.signed(), target.bits)
        span = after_layer(layer, span, source.pixels)
        interval = max(interval, layer.cycles(graph))
        parallel = layer.out_parallel
    total = sum(areas.values(), Area())
    return Estimate(interval, ceil(span.last) + 1, total, areas)


# --- cycles -------------------------------------------------------------------------------------


def after_glue(part: Width | Fifo, span: Span, size: int) -> Span:
    """The beats behind a converter or FIFO; `size` elements an image."""
    if isinstance(part, Fifo):
        delay = 2 if fifo_uses_block_ram(part, 1) else 1
        return Span(span.first + delay, span.last + delay)
    if part.after > part.before:
        ratio, beats = part.after // part.before, size // part.before
        pace = (span.last - span.first) / max(1, beats - 1)
        return Span(span.first + (ratio - 1) * pace + 1, span.last + 1)
    ratio, beats = part.before // part.after, size // part.after
    return Span(span.first + 1, max(span.last + ratio, span.first + beats))


def after_layer(layer: Layer, span: Span, pixels: int) -> Span:
    """The beats a layer writes when its input comes as `span`; `pixels` vectors an image."""
    if isinstance(layer, MatrixVector):
        NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
        delay = 1 + popcount_latency(layer.SIMD) + (SF > 1)
        pace = (span.last - span.first) / max(1, pixels * SF - 1)
        row = max(SF - 1, (SF - 1) * pace)
        last = max(span.last, span.first + pixels * NF * SF - 1 - (NF - 1) * SF)
        return Span(span.first + row + delay, last + (NF - 1) * SF + delay)
    if isinstance(layer, LabelSelect):
        delay = (ceil(log2(layer.PE)) if layer.PE > 1 else 0) + 1
        return Span(span.last + delay, span.last + delay)
    return Span(span.first + 1, span.last + 1)


def popcount_latency(lanes: int) -> int:
    """Cycles of popcount.sv."""
    return _compressor_tree(lanes)[1]


# --- area ---------------------------------------------------------------------------------------


def layer_area(layer: Layer, in_bits: int, signed: bool, out_bits: int) -> Area:
    """What the module of a layer takes."""
    if isinstance(layer, MatrixVector):
        return _matrix_vector_area(layer, out_bits)
    if isinstance(layer, Threshold):
        return _threshold_area(layer, in_bits, out_bits)
    if isinstance(layer, LabelSelect):
        nodes = layer.PE - 1
        counter = 2 if layer.classes > layer.PE else 0
        luts = nodes * (in_bits * 1.5 + out_bits) + in_bits + 2 * out_bits + counter
        return Area(luts, nodes * (in_bits + out_bits) + in_bits + 2 * out_bits + 2)
    raise TypeError(f"no area known for a layer of kind {layer.kind}")


def _matrix_vector_area(layer: MatrixVector, out_bits: int) -> Area:
    NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
    tree, latency = _compressor_tree(layer.SIMD)
    area = Area(lut=layer.PE * tree.lut, ff=layer.PE * tree.ff + 3 * latency)
    steps = ceil(log2(NF * SF)) if NF * SF > 1 else 0
    control = Area(lut=2.0 * steps + 6, ff=steps + 8)
    if SF > 1:
        control += Area(lut=6 + 1.5 * ceil(log2(SF)), ff=ceil(log2(SF)) + 4)
        area += Area(lut=layer.PE * out_bits, ff=layer.PE * out_bits)
    hold = Area(lut=layer.SIMD, ff=SF * layer.SIMD) if SF > 1 and NF > 1 else Area(ff=layer.SIMD)
    return area + control + hold + rom_area(layer)


def rom_area(layer: MatrixVector) -> Area:
    """The weights of a layer, where they live."""
    width, depth = layer.PE * layer.SIMD, layer.weights.size // (layer.PE * layer.SIMD)
    if depth == 1:
        return Area()
    if uses_block_ram(layer):
        return Area(bram36=_block_rams(width, depth))
    return Area(lut=_lut_rom(width, depth), ff=width)


def _lut_rom(width: int, depth: int) -> float:
    """LUTs of a ROM: one for 64 words of a bit, up to 256; beyond that multiplexers of Yosys."""
    return width * (ceil(depth / 64) if depth <= MAPPED_ROM_DEPTH else depth / 64 * 3.4)


def _block_rams(width: int, depth: int) -> float:
    """Block RAMs of 36 kbit, in halves of 512 x 36 or 1024 x 18."""
    halves = [ceil(width / w) * ceil(depth / d) for w, d in ((36, 512), (18, 1024))]
    return min(halves) / 2


def uses_block_ram(layer: MatrixVector) -> bool:
    """Where the weights of a layer live: as chosen, or for "auto" where they are cheaper."""
    if layer.ram_style == "auto":
        width, depth = layer.PE * layer.SIMD, layer.weights.size // (layer.PE * layer.SIMD)
        return depth > 1 and _lut_rom(width, depth) > LUTS_A_BLOCK_RAM * _block_rams(width, depth)
    return layer.ram_style == "block"


def _threshold_area(layer: Threshold, in_bits: int, out_bits: int) -> Area:
    folds = layer.channels // layer.PE
    uniform = bool((layer.thresholds == layer.thresholds[0]).all())
    compares = layer.PE * layer.levels
    registers = Area(lut=2 * layer.PE * out_bits + 3, ff=2 * layer.PE * out_bits + 2)
    if uniform or folds == 1:
        comparing = 0.0 if uniform and in_bits >= 8 else compares * in_bits * 0.4
        return registers + Area(lut=comparing)
    memory = layer.PE * layer.levels * (in_bits + 1)
    counter = ceil(log2(folds))
    area = Area(lut=compares * (in_bits + 1) * 0.75, ff=memory + counter + 1)
    return registers + area + Area(lut=memory * ceil(folds / 64) + 1.5 * counter + 2)


def glue_area(part: Width | Fifo, bits: int) -> Area:
    """A converter or FIFO for elements of `bits`."""
    if isinstance(part, Width):
        wide, narrow = max(part.before, part.after) * bits, min(part.before, part.after) * bits
        ratio = wide // narrow
        counter = ceil(log2(ratio))
        muxes = narrow * ceil(ratio / 3) if part.before > part.after else 0
        return Area(lut=counter + 3 + muxes, ff=wide + counter + 1)
    width = part.parallel * bits
    if fifo_uses_block_ram(part, bits):
        return Area(lut=4 * log2(part.depth) + 8, bram36=_block_rams(width, part.depth))
    luts = width * ceil(part.depth / 4) + 2 * ceil(log2(part.depth)) + 4
    return Area(lut=luts, ff=part.depth * width + ceil(log2(part.depth)) + 2)


def fifo_uses_block_ram(fifo: Fifo, bits: int) -> bool:
    """Whether a FIFO of elements of `bits` is large enough for a block RAM."""
    return fifo.depth >= 64 and fifo.depth * fifo.parallel * bits >= 4096


@cache
def _compressor_tree(lanes: int) -> tuple[Area, int]:
    """Area and latency of popcount.sv for so many lanes; a mirror of compress.sv."""
    columns = lanes.bit_length()
    groups = ceil(lanes / 3)
    heights = [groups, groups - (lanes % 3 == 1), *[0] * columns][:columns]
    luts, registers, latency, level = sum(heights), 0, 0, 1
    while True:
        if level == SPAN or (max(heights) <= 2 and level + 2 > SPAN):
            registers, latency, level = registers + sum(heights), latency + 1, 0
        elif max(heights) <= 2:
            adder = columns - heights.index(2) if 2 in heights else 0
            return Area(luts + adder, registers + columns), latency + 1
        else:
            after = [0] * (columns + 2)
            for c, height in enumerate(heights):
                sixes = (height + 1) // 6
                threes = int(height > 6 * sixes + 2)
                passed = max(0, height - 6 * sixes - 3 * threes)
                for up, made in enumerate((sixes + threes + passed, sixes + threes, sixes)):
                    after[c + up] += made
                luts += sixes * min(3, columns - c) + threes * min(2, columns - c)
            heights, level = after[:columns], level + 1
