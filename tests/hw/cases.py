"""Random parameter sets of every stream module, with inputs and what must come out (NumPy)."""

from __future__ import annotations

import numpy as np
from benches import Case, pack, words

Rng = np.random.Generator


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def pick(rng: Rng, values: list[int]) -> int:
    return int(values[rng.integers(len(values))])


def mvu(name: str, rng: Rng, MW: int, MH: int, PE: int, SIMD: int, block: int = 0) -> Case:
    NF, SF = MH // PE, MW // SIMD
    vectors = max(6, 240 // (NF * SF))
    weights = rng.integers(0, 2, (MH, MW))
    images = rng.integers(0, 2, (vectors, MW))
    images[0] = weights[0]  # the largest count
    images[1] = 1 - weights[MH - 1]  # the smallest
    bits = MW.bit_length() + int(rng.integers(0, 3))
    memory = [
        pack(
            [weights[nf * PE + p, sf * SIMD + s] for p in range(PE) for s in range(SIMD)],
            1,
        )
        for nf in range(NF)
        for sf in range(SF)
    ]
    counts = (images[:, None, :] == weights[None]).sum(-1)
    return Case(
        f"{name}-mw{MW}-mh{MH}-pe{PE}-simd{SIMD}-block{block}",
        "mvu_bin",
        {
            "MW": MW,
            "MH": MH,
            "PE": PE,
            "SIMD": SIMD,
            "ACC_BITS": bits,
            "BLOCK": block,
        },
        SIMD,
        PE * bits,
        words(images, SIMD, 1),
        words(counts, PE, bits),
        group=NF,
        memories={"WEIGHTS": (PE * SIMD, memory)},
        interval=NF * SF,
    )


def random_mvu(index: int, rng: Rng) -> Case:
    MW, MH = int(rng.integers(1, 80)), int(rng.integers(1, 40))
    PE, SIMD = pick(rng, divisors(MH)), pick(rng, divisors(MW))
    return mvu(f"mvu{index}", rng, MW, MH, PE, SIMD, int(rng.integers(0, 2)))


def threshold(
    name: str,
    rng: Rng,
    C: int,
    PE: int,
    levels: int,
    in_bits: int,
    signed: int = 0,
    uniform: int = 0,
    block: int = 0,
) -> Case:
    low, high = (-(1 << in_bits - 1), 1 << in_bits - 1) if signed else (0, 1 << in_bits)
    pixels = max(6, 200 * PE // C)
    values = rng.integers(low, high, (pixels, C))
    limits = np.sort(rng.integers(low, high + 1, (C, levels)), axis=1)
    limits[0, -1] = high  # out of reach
    limits[-1, 0] = low  # always reached
    # Values on both sides of an edge.
    edge = rng.integers(0, levels, C)
    values[0] = np.clip(limits[np.arange(C), edge], low, high - 1)
    values[1] = np.clip(limits[np.arange(C), edge] - 1, low, high - 1)
    if uniform:
        limits = np.broadcast_to(limits[:1], limits.shape)
        memory = [pack(limits[0], in_bits + 1)]
    else:
        memory = [
            pack([limits[f * PE + p, i] for p in range(PE) for i in range(levels)], in_bits + 1)
            for f in range(C // PE)
        ]
    out = (values[:, :, None] >= limits[None]).sum(-1)
    bits = levels.bit_length() + int(rng.integers(0, 2) if levels > 1 else 0)
    return Case(
        f"{name}-c{C}-pe{PE}-levels{levels}-in{in_bits}-s{signed}u{uniform}b{block}",
        "threshold",
        {
            "C": C,
            "PE": PE,
            "LEVELS": levels,
            "IN_BITS": in_bits,
            "OUT_BITS": bits,
            "SIGNED": signed,
            "UNIFORM": uniform,
            "BLOCK": block,
        },
        PE * in_bits,
        PE * bits,
        words(values, PE, in_bits),
        words(out, PE, bits),
        group=C // PE,
        memories={
            "THRESHOLDS": ((levels if uniform else PE * levels) * (in_bits + 1), memory),
        },
        interval=C // PE,
    )


def random_threshold(index: int, rng: Rng) -> Case:
    C = int(rng.integers(1, 65))
    PE = pick(rng, divisors(C))
    levels = pick(rng, [1, 1, 2, 3, 7, 15])
    flags = [int(v) for v in rng.integers(0, 2, 3)]
    return threshold(f"threshold{index}", rng, C, PE, levels, int(rng.integers(1, 12)), *flags)


def label(name: str, rng: Rng, classes: int, PE: int, in_bits: int, signed: int = 0) -> Case:
    low, high = (-(1 << in_bits - 1), 1 << in_bits - 1) if signed else (0, 1 << in_bits)
    scores = rng.integers(low, high, (max(8, 150 * PE // classes), classes))
    ties = rng.integers(low, high, (len(scores), 1))  # a third of the vectors have equal maxima
    scores[::3] = np.where(rng.random((len(scores[::3]), classes)) < 0.4, ties[::3], low)
    scores[1] = low
    out_bits = max(1, (classes - 1).bit_length()) + int(rng.integers(0, 3))
    return Case(
        f"{name}-classes{classes}-pe{PE}-in{in_bits}-s{signed}",
        "label_select",
        {
            "CLASSES": classes,
            "PE": PE,
            "IN_BITS": in_bits,
            "OUT_BITS": out_bits,
            "SIGNED": signed,
        },
        PE * in_bits,
        out_bits,
        words(scores, PE, in_bits),
        words(scores.argmax(axis=1), 1, out_bits),
        memories={},
        interval=classes // PE,
    )


def random_label(index: int, rng: Rng) -> Case:
    classes = int(rng.integers(1, 30))
    PE = pick(rng, divisors(classes))
    bits = int(rng.integers(1, 12))
    return label(f"label{index}", rng, classes, PE, bits, int(rng.integers(0, 2)))


def width(name: str, rng: Rng, in_bits: int, out_bits: int) -> Case:
    wide, narrow = max(in_bits, out_bits), min(in_bits, out_bits)
    ratio = wide // narrow
    count = max(6, 200 // ratio)
    elements = [int.from_bytes(rng.bytes(narrow // 8 + 1), "little") for _ in range(count * ratio)]
    beats = [e & ((1 << narrow) - 1) for e in elements]
    packed = [pack(beats[i : i + ratio], narrow) for i in range(0, len(beats), ratio)]
    up = out_bits > in_bits
    return Case(
        f"{name}-{in_bits}to{out_bits}",
        "axis_width",
        {"IN_BITS": in_bits, "OUT_BITS": out_bits},
        in_bits,
        out_bits,
        beats if up else packed,
        packed if up else beats,
        group=1 if up else ratio,
        interval=ratio,
    )


def random_width(index: int, rng: Rng) -> Case:
    narrow, ratio = int(rng.integers(1, 20)), int(rng.integers(1, 17))
    pair = [narrow, narrow * ratio]
    rng.shuffle(pair)
    return width(f"width{index}", rng, *pair)


def fifo(name: str, rng: Rng, bits: int, depth: int, block: int, module: str = "axis_fifo") -> Case:
    data = [int.from_bytes(rng.bytes(16), "little") & ((1 << bits) - 1) for _ in range(300)]
    parameters = {"WIDTH": bits}
    if module == "axis_fifo":
        parameters |= {"DEPTH": depth, "BLOCK": block}
    return Case(
        f"{name}-{bits}x{depth}-block{block}",
        module,
        parameters,
        bits,
        bits,
        data,
        data,
        interval=1,
    )


def random_fifo(index: int, rng: Rng) -> Case:
    block = int(rng.integers(0, 2))
    depth = int(rng.integers(2, 40 if block else 12))
    return fifo(f"fifo{index}", rng, int(rng.integers(1, 40)), depth, block)


RANDOM = (random_mvu, random_threshold, random_label, random_width, random_fifo)


def chosen(rng: Rng) -> list[Case]:
    """Corners, and the shapes that TFC uses."""
    return [
        mvu("one", rng, 1, 1, 1, 1),
        mvu("two", rng, 2, 2, 1, 1),
        mvu("parallel", rng, 12, 6, 6, 12),
        mvu("serial", rng, 7, 5, 1, 1, 1),
        mvu("rows", rng, 30, 16, 2, 30),
        mvu("rows-block", rng, 30, 16, 2, 30, 1),
        mvu("columns", rng, 24, 8, 8, 3),
        mvu("folded", rng, 64, 10, 2, 16, 1),
        mvu("tfc-first", rng, 784, 64, 1, 784, 1),
        mvu("tfc-first-serial", rng, 784, 64, 8, 98),
        mvu("whole-rows", rng, 784, 16, 1, 784),
        mvu("half-rows", rng, 576, 8, 2, 288),
        mvu("long-rows", rng, 90, 12, 3, 6),
        mvu("long-rows-block", rng, 90, 12, 3, 6, 1),
        mvu("one-fold-block", rng, 90, 4, 4, 9, 1),
        threshold("one", rng, 1, 1, 1, 1),
        threshold("pixels", rng, 784, 16, 1, 8, uniform=1),
        threshold("rows", rng, 64, 1, 1, 10),
        threshold("block", rng, 64, 2, 3, 7, block=1),
        threshold("signed", rng, 12, 4, 3, 6, signed=1),
        label("mnist", rng, 10, 1, 7),
        label("whole", rng, 10, 10, 7),
        label("pairs", rng, 10, 2, 6, 1),
        label("one", rng, 1, 1, 3),
        width("up", rng, 16, 784),
        width("down", rng, 64, 1),
        width("same", rng, 5, 5),
        fifo("reg", rng, 9, 2, 0, "axis_reg"),
        fifo("two", rng, 7, 2, 0),
        fifo("three", rng, 7, 3, 0),
        fifo("eight", rng, 5, 8, 0),
        fifo("block-two", rng, 6, 2, 1),
        fifo("block", rng, 40, 100, 1),
    ]


def sample(seed: int, each: int) -> list[Case]:
    """`each` random cases of every module; the seed decides everything."""
    rng = np.random.default_rng(seed)
    return [make(index, rng) for make in RANDOM for index in range(each)]
