"""Binary convolutions in training, bit by bit: several times as fast on a CPU.

Sums are counted by XOR and popcount and are exact. Backwards, the gradient at each convolution's
sums is rounded to a multiple of `STEP` times its root mean square, up or down at random so that it
is right in the mean (short of 127 steps, where it ends); much of it is then zero, and only what is
not is followed to the weights and to the activations in front, in integers. Norms, signs and pools
have the gradients they have in `models.ensemble`. Random rounding that keeps the mean: Gupta et
al., ICML 2015; sparse gradients by it: Ye et al., "Accelerating CNN training by pruning activation
gradients", ECCV 2020.

The kernels (`models/kernels`) are compiled on first use; where there is AVX-512, they use it. Any
number of threads gives the same bits.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from flow import tools
from flow.errors import UserError
from flow.paths import BUILD
from models import students
from models.presets import Student

if TYPE_CHECKING:
    from models.ensemble import Norm, Students

STEP = 0.5  # of the rounding, in root mean squares of the gradient
WORD = 64
KERNELS = Path(__file__).with_name("kernels")
FLAGS = [
    *("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    "-fno-exceptions",  # whose runtime, of a newer compiler, the machine may not have
    "-Wno-uninitialized",  # of GCC 12's own headers
]
ESTIMATORS = ("clipped", "polynomial")  # which the kernels know, by number
LARGEST_SUM = 32767  # of 16 bits
LARGEST_KERNEL = 5  # the largest of a convolution


class Shape(ctypes.Structure):
    """A convolution as the kernels see it."""

    _fields_ = [
        (name, ctypes.c_int)
        for name in ("images", "height", "width", "channels", "kernel", "outputs", "pool")
    ]

    @property
    def sums(self) -> tuple[int, int, int]:
        """(rows, columns, outputs) of what it gives, pooled where it is."""
        rows, columns = self.height - self.kernel + 1, self.width - self.kernel + 1
        return (
            (rows // 2, columns // 2, self.outputs) if self.pool else (rows, columns, self.outputs)
        )


def fits(channels: int, student: Student) -> bool:
    """Whether the kernels know a student's convolutions, of images of so many channels."""
    layers = students.convolutions(channels, student)
    return (
        student.input == "pixels"
        and not (student.padding or student.separable or student.shortcuts or student.average)
        and len(layers) > 0
        and all(layer.outputs % WORD == 0 for layer in layers)
        and student.kernel <= LARGEST_KERNEL
        and student.kernel**2 * max(128 * channels, *(c.inputs for c in layers)) <= LARGEST_SUM
    )


@cache
def kernels() -> ctypes.CDLL:
    """The kernels for this processor; `UserError` without a C++ compiler.

    They use OMP_NUM_THREADS threads, as many as there are processors where that is not set.
    """
    found = compiled(FLAGS)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    count = int(wanted) if wanted.isdecimal() else 0
    _threads_of(found).value = count or len(os.sched_getaffinity(0))
    return found


def _threads_of(library: ctypes.CDLL) -> ctypes.c_int:
    return ctypes.c_int.in_dll(library, "kernel_threads")


@contextmanager
def kernel_threads(count: int) -> Iterator[None]:
    """Let the kernels use so many threads within."""
    threads = _threads_of(kernels())
    before, threads.value = threads.value, count
    try:
        yield
    finally:
        threads.value = before


def compiled(flags: Sequence[str]) -> ctypes.CDLL:
    """The kernels as a C++ compiler makes them with these options, kept in the build folder.

    The compiler is CXX where that is set, that of `make setup`, or the machine's own g++.
    """
    made_of = hashlib.sha256(" ".join([*flags, _processor()]).encode())
    for file in sorted(KERNELS.iterdir()):
        made_of.update(file.read_bytes())
    library = BUILD / "bitwise" / f"{made_of.hexdigest()[:16]}.so"
    if not library.is_file():
        library.parent.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}")
        try:
            sources = map(str, sorted(KERNELS.glob("*.cpp")))
            _compile([*flags, *sources, "-o", str(part)], library.with_suffix(".log"))
            part.replace(library)
        finally:
            part.unlink(missing_ok=True)
    return ctypes.CDLL(str(library))


def _compile(arguments: list[str], log: Path) -> None:
    """Compile; `UserError` without a compiler."""
    own = os.environ.get("CXX")
    try:
        if not own:
            tools.run("g++", *arguments, cwd=log.parent, log=log)
            return
    except tools.ToolMissing:
        pass  # a machine that only trains
    compiler = shutil.which(own or "g++")
    if compiler is None:
        raise UserError(
            f"[training] bitwise takes a C++ compiler, and there is no {own or 'g++'}: "
            "`make setup`, or name one in CXX, or set bitwise = false"
        )
    subprocess.run([compiler, *arguments], check=True)


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith("flags")), platform.machine())


def features(network: Students, images: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """What the students' convolutions make of uint8 images (N, S * C, H, W), seed by seed.

    `weights` as of `Students.weights`. Returns (N, S * C' * H' * W') of -1 and +1.
    """
    count, found = network.convolutions, []
    norms = [cast("Norm", norm) for norm in network.norms[:count]]
    noted: list[list[Tensor]] = []
    layers = zip(weights[:count], norms, strict=True)
    parameters = [p.unbind(0) for w, norm in layers for p in (w, norm.weight, norm.bias)]
    for seed, own in enumerate(images.chunk(network.seeds, 1)):
        draws = network.rounding[seed] if network.rounding else None  # this pass's own
        way = _Way(network, seed, draws, [])
        found.append(_Features.apply(way, own, *(p[seed] for p in parameters)))
        noted.append(way.noted)
    for norm, *notes in zip(norms, *noted, strict=True) if network.training else ():
        norm.noted.append(torch.stack(notes, 1))
    return torch.cat([x.flatten(1) for x in found], 1)


@dataclass
class _Block:
    """One convolution with its norm and sign, as the way back needs it."""

    shape: Shape
    inputs: Tensor  # bits, or pixels of the first
    by_output: Tensor | None  # weights as bits
    sums: Tensor  # int16 (N, rows, columns, outputs)
    where: Tensor | None  # which of each four was the largest
    scale: Tensor  # of the sums before gamma and beta
    offset: Tensor
    gamma: Tensor
    beta: Tensor


@dataclass
class _Way:
    """One seed's way through the convolutions; `noted`: mean and variance (2, C) of each norm."""

    network: Students
    seed: int
    draws: torch.Generator | None  # of the way back
    noted: list[Tensor]


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx, way: _Way, images: Tensor, *parameters: Tensor) -> Tensor:  # type: ignore[override]
        network = way.network
        x = images.permute(0, 2, 3, 1).contiguous()
        blocks: list[_Block] = []
        for i in range(network.convolutions):
            weight, gamma, beta = (p.detach() for p in parameters[3 * i : 3 * i + 3])
            sums, where, by_output, shape = _sums(x, weight, i in network.pooled, first=i == 0)
            scale, offset = _normalise(cast("Norm", network.norms[i]), sums, way)
            block = _Block(shape, x, by_output, sums, where, scale, offset, gamma, beta)
            x = _signs(block)
            blocks.append(block)
        ctx.blocks, ctx.way = blocks, way
        return _unpacked(x)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Any:  # type: ignore[override]
        way = ctx.way
        polynomial = ESTIMATORS.index(way.network.options.estimator)
        above: Tensor = gradients[0].permute(0, 2, 3, 1).contiguous().float()
        unit = 1.0
        found: list[Tensor] = []
        for block in reversed(ctx.blocks):
            seed = int(torch.randint(2**31, (1,), generator=way.draws))
            values, unit, at_norm = _rounded(block, above, unit, polynomial, seed)
            above, at_weight = _gradients(block, values, unit)
            found = [at_weight, *at_norm, *found]
        return None, None, *found


def _sums(
    x: Tensor, weight: Tensor, pool: bool, first: bool
) -> tuple[Tensor, Tensor | None, Tensor | None, Shape]:
    """Sums of a convolution, (pooled) int16 (N, rows, columns, outputs)."""
    outputs, inputs, kernel, _ = weight.shape
    shape = Shape(*x.shape[:3], inputs, kernel, outputs, pool)
    sums = torch.empty((len(x), *shape.sums), dtype=torch.int16)
    if first:
        _call("sums_of_pixels", shape, x, weight.contiguous(), sums)
        return sums, None, None, shape
    size = outputs * kernel * kernel * inputs // WORD
    by_tap, by_output = (torch.empty(size, dtype=torch.int64) for _ in range(2))
    _call("pack_weights", shape, weight.contiguous(), by_tap, by_output)
    where = torch.empty(sums.shape, dtype=torch.uint8) if pool else None
    _call("sums_of_bits", shape, x, by_tap, sums, where)
    return sums, where, by_output, shape


def _normalise(norm: Norm, sums: Tensor, way: _Way) -> tuple[Tensor, Tensor]:
    """Scale and offset of a norm before its own parameters; in training of the batch itself."""
    count, channels = sums.numel() // sums.shape[-1], sums.shape[-1]
    if norm.training:
        noted, (scale, offset) = torch.empty(2, 2, channels)
        _call("moments", sums, count, channels, norm.eps, noted, scale, offset)
        way.noted.append(noted)
        return scale, offset
    mean, var = norm.running_mean[way.seed].double(), norm.running_var[way.seed].double()
    factor = 1 / (var + norm.eps).sqrt()
    return factor.float(), (-mean * factor).float()


def _affine(block: _Block) -> tuple[Tensor, ...]:
    return block.scale, block.offset, block.gamma, block.beta


def _signs(block: _Block) -> Tensor:
    """Bits (N, rows, columns, words) behind a block's norm."""
    count, channels = block.sums.numel() // block.sums.shape[-1], block.sums.shape[-1]
    bits = torch.empty((*block.sums.shape[:3], channels // WORD), dtype=torch.int64)
    _call("signs", block.sums, count, channels, *_affine(block), bits)
    return bits


def _unpacked(bits: Tensor) -> Tensor:
    """Bits (N, H, W, words) as -1 and +1, (N, C, H, W)."""
    ones = (bits[..., None] >> torch.arange(WORD)) & 1
    return (2 * ones - 1).flatten(3).permute(0, 3, 1, 2).float()


def _rounded(
    block: _Block, above: Tensor, unit: float, polynomial: int, seed: int
) -> tuple[Tensor, float, list[Tensor]]:
    """The rounded gradient at a block's sums and its unit; the gradients at gamma and beta.

    `above`: the gradient at the block's activations, in multiples of `unit`.
    """
    sums = block.sums
    count, channels = sums.numel() // sums.shape[-1], sums.shape[-1]
    integers, floats = (above, None) if above.dtype == torch.int16 else (None, above)
    inputs = (sums, integers, floats, count, channels, *_affine(block), polynomial)
    totals = torch.empty(2, channels, dtype=torch.float64)
    squares = torch.empty(channels, dtype=torch.float64)
    _call("gradient_moments", *inputs, totals, squares)
    step = STEP * float(squares.mean().sqrt()) or 1.0
    values = torch.empty(sums.shape, dtype=torch.int8)
    _call("rounded", *inputs, totals, step, seed, values)
    at_beta, at_gamma = (unit * totals).float()
    return values, step * unit, [at_gamma, at_beta]


def _gradients(block: _Block, values: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Gradients at a block's inputs (int16, in multiples of `unit`) and at its weights."""
    shape = block.shape
    at_weights = torch.empty(shape.outputs, shape.channels, shape.kernel, shape.kernel)
    if block.by_output is None:
        _call("gradients_of_pixels", shape, block.inputs, values, unit, at_weights)
        return torch.empty(0, dtype=torch.int16), at_weights
    size = (shape.images, shape.height, shape.width, shape.channels)
    at_inputs = torch.empty(size, dtype=torch.int16)
    bits = (block.inputs, block.by_output, values, block.where)
    _call("gradients_of_bits", shape, *bits, unit, at_inputs, at_weights)
    return at_inputs, at_weights


def _call(name: str, *arguments: Any) -> None:
    """Call a kernel: tensors by their memory, None as none."""
    converted: list[Any] = []
    for a in arguments:
        if isinstance(a, Tensor):
            assert a.is_contiguous()
            converted.append(ctypes.c_void_p(a.data_ptr()))
        elif isinstance(a, Shape):
            converted.append(ctypes.byref(a))
        elif a is None:
            converted.append(ctypes.c_void_p(None))
        elif isinstance(a, float):
            converted.append(ctypes.c_double(a))
        else:
            converted.append(ctypes.c_int64(int(a)))
    function = getattr(kernels(), name)
    function.restype = None
    function(*converted)
