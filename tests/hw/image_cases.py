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
    interval = max(height * width, rows * kernel * across * repeat) * folds
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
        interval=interval,
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
    replay: int = 0,
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
    stimulus = words(np.repeat(images, NF, axis=0) if replay else images, SIMD, in_bits)
    return Case(
        f"{name}-mw{MW}-mh{MH}-pe{PE}-simd{SIMD}-in{in_bits}-b{block}r{replay}",
        "mvu_int",
        {
            "MW": MW,
            "MH": MH,
            "PE": PE,
            "SIMD": SIMD,
            "IN_BITS": in_bits,
            "ACC_BITS": bits,
            "BLOCK": block,
            "REPLAY": replay,
        },
        SIMD * in_bits,
        PE * bits,
        stimulus,
        words(sums, PE, bits),
        group=NF,
        memories={"WEIGHTS": (PE * SIMD, memory)},
        interval=NF * SF,
    )


def random_mvu_int(index: int, rng: Rng) -> Case:
    MW, MH = int(rng.integers(1, 40)), int(rng.integers(1, 20))
    PE, SIMD = pick(rng, divisors(MH)), pick(rng, divisors(MW))
    block, replay = (int(v) for v in rng.integers(0, 2, 2))
    return mvu_int(f"int{index}", rng, MW, MH, PE, SIMD, int(rng.integers(1, 10)), block, replay)


RANDOM = (random_window, random_pool, random_mvu_int)


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
        pool("cnv", rng, 28, 28, 64, 2, 16),
        pool("block", rng, 10, 10, 16, 2, 4, 1),
        pool("one", rng, 2, 2, 1, 2, 1),
        mvu_int("cnv-first", rng, 27, 64, 8, 27, replay=1),
        mvu_int("folded", rng, 27, 8, 2, 9),
        mvu_int("one", rng, 1, 1, 1, 1, 1),
    ]


def sample(seed: int, each: int) -> list[Case]:
    """`each` random cases of every module; the seed decides everything."""
    rng = np.random.default_rng(seed)
    return [make(index, rng) for make in RANDOM for index in range(each)]
