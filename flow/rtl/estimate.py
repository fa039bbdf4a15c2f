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

from flow.graph import Graph, LabelSelect, Layer, MatrixVector, Threshold
from flow.rtl import packing
from flow.rtl.glue import Fifo, Width, glue

LUTS_A_BLOCK_RAM = 380  # the XC7Z020 has 53 200 LUTs and 140 block RAMs of 36 kbit
SPAN = 3  # levels of LUTs between registers in popcount.sv
UNMAPPED_ROM = 4.2  # LUTs for 64 words of a bit where Yosys maps a ROM by itself
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
    """A whole graph. `interval` and `latency` are cycles, defined as in flow/rtl/simulate.py."""

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
        return _threshold_area(layer, in_bits, signed, out_bits)
    if isinstance(layer, LabelSelect):
        nodes = layer.PE - 1
        counter = 2 if layer.classes > layer.PE else 0
        luts = nodes * (in_bits * 1.5 + out_bits) + in_bits + out_bits + counter
        return Area(luts, nodes * (in_bits + out_bits) + in_bits + 2 * out_bits + 2)
    raise TypeError(f"no area known for a layer of kind {layer.kind}")


def _matrix_vector_area(layer: MatrixVector, out_bits: int) -> Area:
    NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
    tree, latency = _compressor_tree(layer.SIMD)
    area = Area(lut=layer.PE * tree.lut, ff=layer.PE * tree.ff + 3 * latency)
    steps = ceil(log2(NF * SF)) if NF * SF > 1 else 0
    control = Area(lut=steps + 1, ff=steps + 5)
    if SF > 1:
        control += Area(ff=ceil(log2(SF)) + 1)
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
    return width * (ceil(depth / 64) if depth <= MAPPED_ROM_DEPTH else depth / 64 * UNMAPPED_ROM)


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


def _threshold_area(layer: Threshold, in_bits: int, signed: bool, out_bits: int) -> Area:
    folds = layer.channels // layer.PE
    area = Area(lut=layer.PE * out_bits + 3, ff=2 * layer.PE * out_bits + 2)
    if (layer.thresholds == layer.thresholds[0]).all():
        return area + Area(
            lut=sum(_constant_compare(t, in_bits) for t in layer.thresholds[0]) * layer.PE
        )
    compares = layer.PE * layer.levels
    if folds == 1:
        return area + Area(lut=layer.PE * out_bits + compares * in_bits * 0.45)
    words = packing.threshold_words(layer.thresholds, layer.PE, in_bits, signed)
    memory = int((words.min(axis=0) != words.max(axis=0)).sum())
    counter = ceil(log2(folds))
    memory_luts = memory * (
        ceil(folds / 64) if folds <= MAPPED_ROM_DEPTH else folds / 64 * UNMAPPED_ROM
    )
    return area + Area(compares * in_bits * 0.6 + memory_luts + counter, memory + counter + 1)


def _constant_compare(threshold: int, in_bits: int) -> float:
    """LUTs of `element >= threshold`, beside the one that the output register has anyway."""
    magnitude = abs(int(threshold))
    bits = in_bits - ((magnitude & -magnitude).bit_length() - 1) if magnitude else 0
    return 0.0 if bits <= 1 else 1.0 if bits <= 4 else bits * 0.45


def glue_area(part: Width | Fifo, bits: int) -> Area:
    """A converter or FIFO for elements of `bits`."""
    if isinstance(part, Width):
        wide, narrow = max(part.before, part.after) * bits, min(part.before, part.after) * bits
        ratio = wide // narrow
        counter = ceil(log2(ratio))
        mux = 0 if part.after > part.before else 1 if ratio <= 4 else ceil(0.43 * ratio)
        return Area(lut=counter + 2 + narrow * mux, ff=wide + counter + 1)
    if fifo_uses_block_ram(part, bits):
        return _block_fifo(part, bits)
    return _register_fifo(part, bits)


def fifo_uses_block_ram(fifo: Fifo, bits: int) -> bool:
    """Whether a FIFO of elements of `bits` is cheaper in block RAM."""
    return _register_fifo(fifo, bits).cost > _block_fifo(fifo, bits).cost


def _register_fifo(fifo: Fifo, bits: int) -> Area:
    width, address = fifo.parallel * bits, ceil(log2(fifo.depth))
    mux = 1 if fifo.depth <= 4 else ceil(fifo.depth / 2)
    return Area(width * mux + 2 * address + 2, fifo.depth * width + address + 2)


def _block_fifo(fifo: Fifo, bits: int) -> Area:
    address = ceil(log2(fifo.depth))
    return Area(3 * address + 4, 2 * address + 6, _block_rams(fifo.parallel * bits, fifo.depth))


@cache
def _compressor_tree(lanes: int) -> tuple[Area, int]:
    """Area and latency of popcount.sv for so many lanes; a mirror of compress.sv."""
    columns = lanes.bit_length()
    groups = ceil(lanes / 3)
    heights = [groups, groups - (lanes % 3 == 1), *[0] * columns][:columns]
    luts, registers, latency, level = float(sum(heights)), 0, 0, 1
    while True:
        if level == SPAN or (max(heights) <= 2 and level + 2 > SPAN):
            registers, latency, level = registers + sum(heights), latency + 1, 0
        elif max(heights) <= 2:
            adder = columns - heights.index(2) - 1 if 2 in heights else 0
            return Area(luts + adder, registers + columns), latency + 1
        else:
            after, threes, last = [0] * (columns + 2), 0, max(heights) == 3
            for c, height in enumerate(heights):
                sixes = (height + 1) // 6
                # In the last level a column of two that gets a carry is compressed too.
                threes = int(height > 6 * sixes + 2 or (last and height == 2 and threes == 1))
                passed = max(0, height - 6 * sixes - 3 * threes)
                for up, made in enumerate((sixes + threes + passed, sixes + threes, sixes)):
                    after[c + up] += made
                luts += sixes * min(3, columns - c) + threes * 0.75 * min(2, columns - c)
            heights, level = after[:columns], level + 1
