"""Random parameter sets of the modules of branches, with inputs and what must come out (NumPy)."""

from __future__ import annotations

import numpy as np
from benches import HERE, Case, pack, words
from cases import divisors, pick

Rng = np.random.Generator
SOURCE = HERE / "branches.sv"  # the modules `forked` and `added`, which have one stream a side


def fork(name: str, rng: Rng, width: int, outputs: int = 2, depth: int = 2, seed: int = 0) -> Case:
    data = rng.integers(0, 1 << width, 250)
    return Case(
        f"{name}-{width}x{outputs}-depth{depth}-seed{seed}",
        "forked",
        {"WIDTH": width, "OUTPUTS": outputs, "DEPTH": depth, "SEED": seed},
        width,
        width * outputs,
        words(data, 1, width),
        words(np.repeat(data, outputs), outputs, width),
        interval=None if seed else 1,
    )


def random_fork(index: int, rng: Rng) -> Case:
    width, outputs, depth, seed = (int(rng.integers(*x)) for x in ((1, 20), (2, 5), (2, 6), (0, 9)))
    return fork(f"fork{index}", rng, width, outputs, depth, seed)


def add(
    name: str,
    rng: Rng,
    PE: int,
    a: tuple[int, int],
    b: tuple[int, int],
    seed: int = 0,
) -> Case:
    """`a` and `b`: bits of an element, and 1 for two's complement."""
    ranges = [(-(1 << n - 1), 1 << n - 1) if signed else (0, 1 << n) for n, signed in (a, b)]
    values = [rng.integers(low, high, (200, PE)) for low, high in ranges]
    for x, (low, high) in zip(values, ranges, strict=True):
        x[:2] = [[high - 1], [low]]  # the extremes together
    low, high = (sum(r[i] - i for r in ranges) for i in (0, 1))
    bits = max(a[0], b[0], max(high, -low - 1).bit_length() + (low < 0))
    return Case(
        f"{name}-pe{PE}-a{a[0]}{'us'[a[1]]}-b{b[0]}{'us'[b[1]]}-seed{seed}",
        "added",
        {
            "PE": PE,
            "A_BITS": a[0],
            "A_SIGNED": a[1],
            "B_BITS": b[0],
            "B_SIGNED": b[1],
            "OUT_BITS": bits,
            "SEED": seed,
        },
        PE * (a[0] + b[0]),
        PE * bits,
        [
            pack(x, a[0]) | pack(y, b[0]) << PE * a[0]
            for x, y in zip(*(v.tolist() for v in values), strict=True)
        ],
        words(values[0] + values[1], PE, bits),
        interval=None if seed else 1,
    )


def random_add(index: int, rng: Rng) -> Case:
    kinds = [(int(rng.integers(1, 12)), int(rng.integers(0, 2))) for _ in range(2)]
    return add(f"add{index}", rng, int(rng.integers(1, 6)), *kinds, int(rng.integers(0, 9)))


def acc_pool(
    name: str,
    rng: Rng,
    pixels: int,
    C: int,
    PE: int,
    in_bits: int = 1,
    signed: int = 0,
    bipolar: int = 0,
) -> Case:
    low, high = (-(1 << in_bits - 1), 1 << in_bits - 1) if signed else (0, 1 << in_bits)
    images = rng.integers(low, high, (max(4, 300 // (pixels * C // PE)), pixels, C))
    images[0], images[1] = high - 1, low
    bits = (-pixels * low - 1).bit_length() + 1 if signed else (pixels * (high - 1)).bit_length()
    bits += bipolar
    return Case(
        f"{name}-{pixels}x{C}-pe{PE}-in{in_bits}{'us'[signed]}{bipolar}",
        "acc_pool",
        {
            "PIXELS": pixels,
            "C": C,
            "PE": PE,
            "IN_BITS": in_bits,
            "OUT_BITS": bits,
            "SIGNED": signed,
            "BIPOLAR": bipolar,
        },
        PE * in_bits,
        PE * bits,
        words(images, PE, in_bits),
        words((2 * images - 1 if bipolar else images).sum(1), PE, bits),
        group=C // PE,
        interval=pixels * C // PE,
    )


def random_acc_pool(index: int, rng: Rng) -> Case:
    C, signed = int(rng.integers(1, 13)), int(rng.integers(0, 2))
    bits = int(rng.integers(1, 9))
    PE = pick(rng, divisors(C))
    return acc_pool(f"acc{index}", rng, int(rng.integers(1, 40)), C, PE, bits, signed)


RANDOM = (random_fork, random_add, random_acc_pool)


def chosen(rng: Rng) -> list[Case]:
    """Corners."""
    return [
        fork("even", rng, 8),
        fork("one-bit", rng, 1, outputs=3, seed=3),
        add("popcounts", rng, 4, (7, 0), (7, 0)),
        add("bits", rng, 3, (1, 0), (1, 0), seed=2),
        add("signed-and-not", rng, 2, (5, 1), (5, 0), seed=5),
        acc_pool("bits", rng, 49, 16, 4),
        acc_pool("bipolar", rng, 16, 6, 3, bipolar=1),
        acc_pool("one-pixel", rng, 1, 4, 2, 3),
        acc_pool("whole", rng, 16, 3, 3, 6, 1),
    ]


def sample(seed: int, each: int) -> list[Case]:
    """`each` random cases of every module; the seed decides everything."""
    rng = np.random.default_rng(seed)
    return [make(index, rng) for make in RANDOM for index in range(each)]
