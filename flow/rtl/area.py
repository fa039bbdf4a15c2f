"""LUTs, flip-flops and block RAMs of every module of hw/rtl, predicted from its parameters.

LUTs count what Yosys' synth_xilinx maps a module to, copies of busy drivers included. Compressor
trees, adders and memories are counted out; the constants beside them are fitted to synthesised
modules (tests/flow/test_estimate.py and `make bench` compare).
"""

from __future__ import annotations

from math import ceil, log2, prod

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
from flow.rtl import packing
from flow.rtl.glue import Fifo, Width
from flow.rtl.trees import LUTS_A_BLOCK_RAM, Area, adder_tree, compressor_tree

UNMAPPED_ROM = 4.2  # LUTs for 64 words of a bit where Yosys maps a ROM by itself
MAPPED_ROM_DEPTH = 256  # up to here hw/yosys/rom_lut.v needs one LUT6 for 64 words of a bit
BLOCK_WORDS = 2048  # of a block RAM; deeper ones are narrower than those that are proven
BLOCK_BITS = 10  # of a word at least, likewise
LOADS = 12  # of a driver, before flow/implement/fanout.py copies it
ENABLED = 24  # flip-flops of one enable, likewise
FEW_WORDS = 8  # of weights in LUTs that mvu_bin.sv does not store: popcount's LUTs take them in


def layer_area(graph: Graph, layer: Layer) -> Area:
    """What the module of a layer takes."""
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    if isinstance(layer, MatrixVector):
        if source.dtype == "BINARY":
            return _binary_matrix_vector(layer, target.bits)
        return _number_matrix_vector(layer, source.bits, target.bits)
    if isinstance(layer, Threshold):
        return _threshold(layer, source, target.bits)
    if isinstance(layer, SlidingWindow):
        return _sliding_window(layer, source)
    if isinstance(layer, Padding):
        return _padding(layer, source)
    if isinstance(layer, Depthwise):
        return _depthwise(layer, target.bits)
    if isinstance(layer, MaxPool):
        return _max_pool(layer, source)
    if isinstance(layer, AddStreams):
        bits = layer.PE * target.bits
        return Area(lut=2 * bits + 4, ff=2 * bits + 2)
    if isinstance(layer, GlobalAccPool):
        return _acc_pool(layer, source, target.bits)
    if isinstance(layer, LabelSelect):
        nodes = layer.PE - 1
        counter = 2 if layer.classes > layer.PE else 0
        luts = nodes * (source.bits * 1.5 + target.bits) + source.bits + target.bits + counter
        return Area(luts, nodes * (source.bits + target.bits) + source.bits + 2 * target.bits + 2)
    raise TypeError(f"no area known for a layer of kind {layer.kind}")


# --- matrix-vector units ------------------------------------------------------------------------


def _binary_matrix_vector(layer: MatrixVector, out_bits: int) -> Area:
    NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
    tree, latency = compressor_tree(layer.SIMD, few_words(layer))
    late = late_weights(layer)
    area = Area(lut=layer.PE * tree.lut, ff=layer.PE * tree.ff + 3 * (latency + late))
    if NF * SF == 1:
        area += Area(lut=-_shared(layer.PE, layer.SIMD))
    places = result_places(layer, out_bits)
    area += _steps(NF, SF) + _columns(NF, SF, layer.SIMD, places > 0)
    area += rom_area(layer, few_words(layer))
    area += Area(ff=late * layer.SIMD + (layer.PE * layer.SIMD if late else 0))
    if SF > 1:
        area += Area(lut=layer.PE * out_bits, ff=layer.PE * out_bits)
    if places == 0:
        return area + _copies(area.ff)  # the enable reaches all
    if places == 1:
        return area + Area(lut=3, ff=layer.PE * out_bits + 3)
    return area + Area(6, 4) + _register_fifo(places, layer.PE * out_bits)


def _shared(rows: int, lanes: int) -> float:
    """LUTs saved where weights are constants: rows share the sums of three lanes.

    Of these there are ten bits at most, with a copy for every LOADS loads.
    """
    groups = ceil(lanes / 3)
    bits = rows * (2 * groups - (lanes % 3 == 1))
    return bits - min(bits, max(10 * groups, bits * 3 / LOADS))


def few_words(layer: MatrixVector) -> bool:
    """Whether mvu_bin.sv has so few words of weights that they are part of the compressors."""
    depth = _shape(layer)[1]
    return depth == 1 or (depth <= FEW_WORDS and not uses_block_ram(layer))  # one is a constant


def late_weights(layer: MatrixVector) -> int:
    """Cycles that the weights come late in mvu_bin.sv: the registers around block RAM."""
    return 2 if uses_block_ram(layer) and layer.weights.size > layer.PE * layer.SIMD else 0


def result_places(layer: MatrixVector, out_bits: int) -> int:
    """Places for finished rows in mvu_bin.sv; 0 where its pipeline stalls instead."""
    SF = layer.MW // layer.SIMD
    tree = next(n for n, s in enumerate((6, 15, 104, 823, 8467, layer.SIMD), 1) if s >= layer.SIMD)
    places = ceil((tree + late_weights(layer) + (4 if SF > 1 else 3)) / SF)
    luts = 0 if places == 1 else out_bits * ceil(places / 4)
    return places if 16 * luts <= layer.SIMD else 0


def _number_matrix_vector(layer: MatrixVector, in_bits: int, out_bits: int) -> Area:
    NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
    tree, latency = adder_tree(layer.SIMD, in_bits)
    area = Area(lut=layer.PE * tree.lut, ff=layer.PE * tree.ff + 3 * latency)
    free = number_places(layer, out_bits) > 0
    area += _steps(NF, SF) + _columns(NF, SF, layer.SIMD * in_bits, free) + rom_area(layer)
    if SF > 1:
        area += Area(lut=layer.PE * out_bits, ff=layer.PE * out_bits)
    if not free:
        return area + _copies(area.ff)
    places = number_places(layer, out_bits)
    return area + Area(10, 7) + _block_fifo(places, layer.PE * out_bits)


def number_places(layer: MatrixVector, out_bits: int) -> int:
    """Places for finished rows in mvu_int.sv; 0 where its pipeline stalls instead."""
    return 32 if layer.PE * out_bits >= 36 else 0


def _steps(NF: int, SF: int) -> Area:
    """Counters of a matrix-vector unit."""
    steps = ceil(log2(NF * SF)) if NF * SF > 1 else 0
    inner = ceil(log2(SF)) + 2 if SF > 1 else 0
    return Area(lut=steps + inner + 2, ff=steps + inner + 6)


def _columns(NF: int, SF: int, bits: int, free: bool = False) -> Area:
    """The entry of a matrix-vector unit: what keeps the columns of a vector for all its rows.

    free: the pipeline never stalls, and a flip-flop enables columns that are held for all steps.
    """
    if NF == 1:
        return Area(ff=bits)
    if SF == 1:
        return Area(ff=bits + _copies(bits).lut) if free else Area(ff=bits) + _copies(bits)
    return Area(lut=bits, ff=SF * bits) + _copies(SF * bits)


def _copies(registers: float) -> Area:
    """Copies of a LUT that enables so many flip-flops."""
    return Area(lut=max(0.0, registers / ENABLED - 1))


# --- memories -----------------------------------------------------------------------------------


def rom_area(layer: MatrixVector, absorbed: bool = False) -> Area:
    """The weights of a layer, where they live; absorbed: in the LUTs that read them."""
    width, depth = _shape(layer)
    if depth == 1:
        return Area()
    address = ceil(log2(depth))
    if uses_block_ram(layer):
        blocks = block_rams(width, depth)
        return Area(ff=address * (1 + blocks / LOADS), bram36=blocks)
    if absorbed:  # two LUTs read three bits
        copies = address * width * 2 / 3 / LOADS
        return Area(lut=copies / LOADS, ff=address + copies)
    copies = address * width / LOADS
    return Area(lut=lut_rom(width, depth) + copies / LOADS, ff=width + copies)


def _shape(layer: MatrixVector) -> tuple[int, int]:
    """Bits of a word of weights, and words."""
    width = layer.PE * layer.SIMD
    return width, layer.weights.size // width


def lut_rom(width: int, depth: int) -> float:
    """LUTs of a ROM: one for 64 words of a bit, up to 256; beyond that multiplexers of Yosys."""
    return width * (ceil(depth / 64) if depth <= MAPPED_ROM_DEPTH else depth / 64 * UNMAPPED_ROM)


def block_rams(width: int, depth: int) -> float:
    """Block RAMs of 36 kbit, in halves of 512 x 36 or 1024 x 18."""
    halves = [ceil(width / w) * ceil(depth / d) for w, d in ((36, 512), (18, 1024))]
    return min(halves) / 2


def fits_block_ram(width: int, depth: int) -> bool:
    """Whether Yosys makes block RAMs of proven widths of a memory.

    Blocks of 9 bits cost it less where words have no more, or where an odd number of them is enough
    for more than 1024 words.
    """
    if depth > BLOCK_WORDS or width < BLOCK_BITS:
        return False
    return depth <= 1024 or (width - 1) % 18 + 1 >= BLOCK_BITS


def uses_block_ram(layer: MatrixVector) -> bool:
    """Where the weights of a layer live: as chosen, or for "auto" where they are cheaper."""
    if layer.ram_style == "auto":
        width, depth = _shape(layer)
        block = LUTS_A_BLOCK_RAM * block_rams(width, depth)
        return depth > 1 and fits_block_ram(width, depth) and lut_rom(width, depth) > block
    return layer.ram_style == "block"


# --- the other layers ---------------------------------------------------------------------------


def _threshold(layer: Threshold, source: Stream, out_bits: int) -> Area:
    folds, in_bits = layer.channels // layer.PE, source.bits
    area = Area(lut=layer.PE * out_bits + 3, ff=2 * layer.PE * out_bits + 2)
    if (layer.thresholds == layer.thresholds[0]).all():
        compares = sum(_constant_compare(t, in_bits) for t in layer.thresholds[0])
        return area + Area(lut=compares * layer.PE)
    compares = layer.PE * layer.levels
    if folds == 1:
        return area + Area(lut=layer.PE * out_bits + compares * in_bits * 0.45)
    words = packing.threshold_words(layer.thresholds, layer.PE, in_bits, source.type.signed())
    memory = int((words.min(axis=0) != words.max(axis=0)).sum())
    address = ceil(log2(folds))
    copies = address * memory / LOADS
    luts = compares * in_bits * 0.9 + lut_rom(memory, folds) + address + copies / LOADS
    return area + Area(luts, memory + address + 1 + copies)


def _constant_compare(threshold: int, in_bits: int) -> float:
    """LUTs of `element >= threshold`, beside the one that the output register has anyway."""
    magnitude = abs(int(threshold))
    bits = in_bits - ((magnitude & -magnitude).bit_length() - 1) if magnitude else 0
    return 0.0 if bits <= 1 else 1.0 if bits <= 4 else bits * 0.45


def _padding(layer: Padding, source: Stream) -> Area:
    height, width, channels = source.shape
    sizes = (channels // layer.SIMD, width + 2 * layer.size, height + 2 * layer.size)
    counters = sum(ceil(log2(n)) for n in sizes)
    word = layer.SIMD * source.bits
    return Area(lut=counters + 8, ff=counters + 4 + word) + _copies(word)


def _depthwise(layer: Depthwise, out_bits: int) -> Area:
    folds, groups = layer.channels // layer.PE, layer.places // layer.SIMD
    width, depth = layer.PE * layer.SIMD, folds * groups
    tree, latency = compressor_tree(layer.SIMD, depth == 1)
    area = Area(lut=layer.PE * tree.lut, ff=layer.PE * tree.ff + 3 * latency)
    if layer.SIMD > 1:
        area += _columns(folds * groups, 1, layer.weights.size)
        area += Area(lut=layer.weights.size - width)
    else:
        area += Area(ff=layer.PE)
    area += _steps(folds, groups) + Area(lut=6)  # control of the entry and of the pipeline
    if depth > 1:
        area += Area(lut=lut_rom(width, depth), ff=width)
    if groups > 1:
        ring = 1 if layer.SIMD > 1 else folds
        area += Area(lut=layer.PE * out_bits, ff=ring * layer.PE * out_bits)
    return area + _copies(area.ff)


def _sliding_window(layer: SlidingWindow, source: Stream) -> Area:
    _, width, channels = source.shape
    word, folds = layer.SIMD * source.bits, channels // layer.SIMD
    lines = layer.kernel + max(layer.kernel, layer.stride)
    depth = lines * width * folds
    address = ceil(log2(depth))
    control = Area(lut=90 + 4.5 * address, ff=37 + 5.5 * address)
    narrow = word < BLOCK_BITS  # kept several times over, see ram.sv
    memory = Area(lut=narrow * word, bram36=block_rams(max(word, BLOCK_BITS), depth))
    if not layer.parallel_window:
        return control + memory
    window = prod((layer.kernel, layer.kernel, channels, source.bits))
    return control + memory + Area(lut=4, ff=window + 4) + _copies(window)


def _acc_pool(layer: GlobalAccPool, source: Stream, out_bits: int) -> Area:
    folds, word = source.channels // layer.PE, layer.PE * out_bits
    counters = sum(ceil(log2(n)) for n in (folds, source.pixels) if n > 1)
    luts = counters + 2 + word + layer.PE * source.bits
    return Area(luts, counters + 4 + (folds + 2) * word)


def _max_pool(layer: MaxPool, source: Stream) -> Area:
    height, width, channels = source.shape
    folds, slots = channels // layer.PE, width // layer.size * (channels // layer.PE)
    counters = sum(ceil(log2(max(2, n + 1))) for n in (folds, width, height))
    area = Area(lut=2 * counters + 8 + 3 * layer.PE, ff=counters + 7 + channels + 2 * layer.PE)
    if pool_uses_block_ram(layer, source):
        address = ceil(log2(slots))
        return area + Area(2 * address, address, block_rams(max(layer.PE, BLOCK_BITS), slots))
    return area + Area(ff=slots * layer.PE) + _copies(slots * layer.PE)


POOL_REGISTERS = 4096  # bits of a row of pooled pixels kept in registers; more are in block RAM


def pool_uses_block_ram(layer: MaxPool, source: Stream) -> bool:
    """Whether a row of pooled pixels is too long for registers."""
    row = source.shape[1] // layer.size * source.channels
    return row > POOL_REGISTERS and row > layer.PE


# --- between layers -----------------------------------------------------------------------------


def glue_area(part: Width | Fifo, bits: int) -> Area:
    """A converter or FIFO for elements of `bits`."""
    if isinstance(part, Width):
        wide, narrow = max(part.before, part.after) * bits, min(part.before, part.after) * bits
        ratio = wide // narrow
        counter = ceil(log2(ratio))
        mux = 0 if part.after > part.before else 1 if ratio <= 4 else ceil(0.43 * ratio)
        return Area(lut=counter + 2 + narrow * mux, ff=wide + counter + 1) + _copies(wide)
    if fifo_uses_block_ram(part, bits):
        return _block_fifo(part.depth, part.parallel * bits)
    return _register_fifo(part.depth, part.parallel * bits)


def fork_area(readers: int) -> Area:
    """The fork of a stream: which readers have taken the word."""
    return Area(lut=2 * readers + 1, ff=readers) if readers > 1 else Area()


def fifo_uses_block_ram(fifo: Fifo, bits: int) -> bool:
    """Whether a FIFO of elements of `bits` is cheaper in block RAM."""
    width = fifo.parallel * bits
    if fifo.depth > BLOCK_WORDS:
        return False
    return _register_fifo(fifo.depth, width).cost > _block_fifo(fifo.depth, width).cost


def _register_fifo(depth: int, width: int) -> Area:
    address = ceil(log2(depth))
    mux = 1 if depth <= 4 else ceil(depth / 2)
    return Area(width * mux + 2 * address + 2, depth * width + address + 2)


def _block_fifo(depth: int, width: int) -> Area:
    address = ceil(log2(depth))
    return Area(3 * address + 4, 2 * address + 6, block_rams(width, depth))
