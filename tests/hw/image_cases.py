"""Random parameter sets of the modules that work on images, with inputs and what must come out."""

from __future__ import annotations

import numpy as np
from benches import Case, pack, words
from cases import divisors, pick

Rng = np.random.Generator


def window(
    name: str,
    rng: Rng,
    height: int,
    width: int,
    C: int,
    kernel: int,
    stride: int = 1,
    SIMD: int = 0,
    bits: int = 1,
    parallel: int = 0,
    repeat: int = 1,
) -> Case:
    SIMD = SIMD or C
    rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    folds = C // SIMD
    across = (columns - 1) * stride + kernel if parallel else columns * kernel
    writes, reads = height * width * folds, rows * kernel * across * repeat * folds
    interval = max(writes, reads)
    # Lines are freed a cycle late, which half a cycle a row may be lost by where all is as tight.
    tight = writes == reads and width == kernel
    images = rng.integers(0, 1 << bits, (max(3, 300 // interval), height, width, C))
    found = []
    for image in images:
        for y in range(0, rows * stride, stride):
            for x in range(0, columns * stride, stride):
                part = image[y : y + kernel, x : x + kernel].reshape(-1)
                found += [part] * repeat
    out = kernel * kernel * C if parallel else SIMD
    beats = rows * columns * repeat * kernel * kernel * C // out
    return Case(
        f"{name}-{height}x{width}x{C}-k{kernel}s{stride}-simd{SIMD}-b{bits}p{parallel}r{repeat}",
        "sliding_window",
        {
            "HEIGHT": height,
            "WIDTH": width,
            "C": C,
            "BITS": bits,
            "KERNEL": kernel,
            "STRIDE": stride,
            "SIMD": SIMD,
            "PARALLEL": parallel,
            "REPEAT": repeat,
        },
        SIMD * bits,
        out * bits,
        words(images, SIMD, bits),
        words(np.array(found), out, bits),
        group=beats,
        interval=None if tight else interval,
    )


def random_window(index: int, rng: Rng) -> Case:
    kernel, stride = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    height, width = (kernel + int(rng.integers(0, 7)) for _ in range(2))
    C = int(rng.integers(1, 9))
    parallel = int(rng.integers(0, 2))
    repeat = 1 if parallel else int(rng.integers(1, 4))
    bits = pick(rng, [1, 1, 3, 8])
    SIMD = pick(rng, divisors(C))
    return window(
        f"window{index}", rng, height, width, C, kernel, stride, SIMD, bits, parallel, repeat
    )


def pool(
    name: str,
    rng: Rng,
    height: int,
    width: int,
    C: int,
    size: int,
    PE: int,
    block: int = 0,
) -> Case:
    rows, columns = height // size, width // size
    images = (rng.random((max(3, 300 // (height * width)), height, width, C)) < 0.3).astype(int)
    squares = images[:, : rows * size, : columns * size]
    found = squares.reshape(len(images), rows, size, columns, size, C).max(axis=(2, 4))
    return Case(
        f"{name}-{height}x{width}x{C}-size{size}-pe{PE}-block{block}",
        "max_pool",
        {"HEIGHT": height, "WIDTH": width, "C": C, "SIZE": size, "PE": PE, "BLOCK": block},
        PE,
        PE,
        words(images, PE, 1),
        words(found, PE, 1),
        group=rows * columns * C // PE,
        interval=height * width * C // PE,
    )


def random_pool(index: int, rng: Rng) -> Case:
    size = int(rng.integers(2, 5))
    height, width = (size + int(rng.integers(0, 9)) for _ in range(2))
    C = int(rng.integers(1, 9))
    PE = pick(rng, divisors(C))
    block = int((width // size) * (C // PE) > 1 and rng.integers(0, 2))
    return pool(f"pool{index}", rng, height, width, C, size, PE, block)


def mvu_int(
    name: str,
    rng: Rng,
    MW: int,
    MH: int,
    PE: int,
    SIMD: int,
    in_bits: int = 8,
    block: int = 0,
) -> Case:
    NF, SF = MH // PE, MW // SIMD
    top = (1 << in_bits) - 1
    weights = rng.integers(0, 2, (MH, MW))
    images = rng.integers(0, top + 1, (max(6, 240 // (NF * SF)), MW))
    images[0] = weights[0] * top  # the largest sum
    images[1] = (1 - weights[MH - 1]) * top  # the smallest
    images[2] = top
    bits = (MW * top).bit_length() + 1 + int(rng.integers(0, 3))
    memory = [
        pack([weights[nf * PE + p, sf * SIMD + s] for p in range(PE) for s in range(SIMD)], 1)
        for nf in range(NF)
        for sf in range(SF)
    ]
    sums = images @ (2 * weights.T - 1)
    return Case(
        f"{name}-mw{MW}-mh{MH}-pe{PE}-simd{SIMD}-in{in_bits}-b{block}",
        "mvu_int",
        {
            "MW": MW,
            "MH": MH,
            "PE": PE,
            "SIMD": SIMD,
            "IN_BITS": in_bits,
            "ACC_BITS": bits,
            "BLOCK": block,
        },
        SIMD * in_bits,
        PE * bits,
        words(images, SIMD, in_bits),
        words(sums, PE, bits),
        group=NF,
        memories={"WEIGHTS": (PE * SIMD, memory)},
        interval=NF * SF,
    )


def random_mvu_int(index: int, rng: Rng) -> Case:
    MW, MH = int(rng.integers(1, 40)), int(rng.integers(1, 20))
    PE, SIMD = pick(rng, divisors(MH)), pick(rng, divisors(MW))
    in_bits, block = int(rng.integers(1, 10)), int(rng.integers(0, 2))
    return mvu_int(f"int{index}", rng, MW, MH, PE, SIMD, in_bits, block)


def padding(
    name: str,
    rng: Rng,
    height: int,
    width: int,
    C: int,
    pad: int,
    SIMD: int,
    bits: int = 1,
    value: int = 0,
) -> Case:
    wide = (height + 2 * pad) * (width + 2 * pad)
    images = rng.integers(0, 1 << bits, (max(3, 300 // wide), height, width, C))
    border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    found = np.pad(images, border, constant_values=value)
    return Case(
        f"{name}-{height}x{width}x{C}-pad{pad}-simd{SIMD}-b{bits}v{value}",
        "padding",
        {
            "HEIGHT": height,
            "WIDTH": width,
            "C": C,
            "BITS": bits,
            "PAD": pad,
            "VALUE": value,
            "SIMD": SIMD,
        },
        SIMD * bits,
        SIMD * bits,
        words(images, SIMD, bits),
        words(found, SIMD, bits),
        group=wide * C // SIMD,
        interval=wide * C // SIMD,
    )


def random_padding(index: int, rng: Rng) -> Case:
    height, width, C = (int(rng.integers(1, 9)) for _ in range(3))
    bits = pick(rng, [1, 1, 3, 8])
    value = int(rng.integers(0, 1 << bits))
    return padding(
        f"padding{index}",
        rng,
        height,
        width,
        C,
        int(rng.integers(1, 4)),
        pick(rng, divisors(C)),
        bits,
        value,
    )


def vvu(name: str, rng: Rng, C: int, K: int, PE: int, SIMD: int) -> Case:
    folds = C // PE
    weights = rng.integers(0, 2, (C, K))
    windows = rng.integers(0, 2, (max(6, 240 * PE * SIMD // (C * K)), K, C))
    windows[0] = weights.T  # the largest counts
    windows[1] = 1 - weights.T  # the smallest
    bits = K.bit_length() + int(rng.integers(0, 3))
    channels = [range(f * PE, (f + 1) * PE) for f in range(folds)]
    places = [range(s * SIMD, (s + 1) * SIMD) for s in range(K // SIMD)]
    if SIMD > 1:
        steps = [(cs, ks) for cs in channels for ks in places]
    else:
        steps = [(cs, ks) for ks in places for cs in channels]
    memory = [pack([weights[c, k] for c in cs for k in ks], 1) for cs, ks in steps]
    counts = (windows == weights.T).sum(1)
    width = K * C if SIMD > 1 else PE
    return Case(
        f"{name}-c{C}-k{K}-pe{PE}-simd{SIMD}",
        "vvu_bin",
        {"C": C, "K": K, "PE": PE, "SIMD": SIMD, "ACC_BITS": bits},
        width,
        PE * bits,
        words(windows, width, 1),
        words(counts, PE, bits),
        group=folds,
        memories={"WEIGHTS": (PE * SIMD, memory)},
        interval=len(steps),
    )


def random_vvu(index: int, rng: Rng) -> Case:
    C, K = int(rng.integers(1, 25)), int(rng.integers(1, 6)) ** 2
    return vvu(f"vvu{index}", rng, C, K, pick(rng, divisors(C)), pick(rng, divisors(K)))


RANDOM = (random_window, random_pool, random_mvu_int, random_padding, random_vvu)


def chosen(rng: Rng) -> list[Case]:
    """Corners, and shapes of CNV."""
    return [
        window("one", rng, 2, 2, 1, 1),
        window("whole", rng, 3, 3, 2, 3, parallel=1),
        window("whole-words", rng, 3, 3, 2, 3, SIMD=1),
        window("skipping", rng, 7, 8, 2, 2, 3),
        window("skipping-parallel", rng, 7, 8, 2, 2, 3, parallel=1),
        window("cnv-first", rng, 32, 32, 3, 3, bits=8),
        window("cnv-first-parallel", rng, 32, 32, 3, 3, bits=8, parallel=1),
        window("cnv-second", rng, 30, 30, 64, 3, SIMD=64, repeat=2),
        window("cnv-folded", rng, 12, 12, 32, 3, SIMD=8, parallel=1),
        window("skipping-far", rng, 4, 6, 3, 1, 3, parallel=1),
        pool("cnv", rng, 28, 28, 64, 2, 16),
        pool("block", rng, 10, 10, 16, 2, 4, 1),
        pool("one", rng, 2, 2, 1, 2, 1),
        mvu_int("cnv-first", rng, 27, 64, 8, 27),
        mvu_int("folded", rng, 27, 8, 2, 9),
        mvu_int("one", rng, 1, 1, 1, 1, 1),
        padding("bits", rng, 7, 6, 8, 1, 4),
        padding("bytes", rng, 5, 5, 3, 2, 3, 8, 128),
        padding("one", rng, 1, 1, 1, 1, 1),
        vvu("words", rng, 16, 9, 4, 1),
        vvu("word", rng, 6, 9, 6, 1),
        vvu("windows", rng, 16, 9, 4, 9),
        vvu("rows", rng, 16, 9, 2, 3),
        vvu("whole", rng, 8, 9, 8, 9),
        vvu("one", rng, 1, 1, 1, 1),
    ]


def sample(seed: int, each: int) -> list[Case]:
    """`each` random cases of every module; the seed decides everything."""
    rng = np.random.default_rng(seed)
    return [make(index, rng) for make in RANDOM for index in range(each)]
