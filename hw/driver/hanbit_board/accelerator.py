"""A network in the FPGA as an object with `execute`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from . import errors
from .board import Board
from .buffers import Buffers
from .description import Description
from .figures import figures
from .port_test import checksum, port_test
from .register_map import ID
from .shell import Counters, Shell

LOCK_SECONDS = 60.0  # to wait for other threads
BUFFER_BYTES = 2**24  # of images in one batch; more are split
PAIRS = 2  # one is packed while the other is computed
CLOCK_TOLERANCE = 0.01
IMAGES_MOST = 2**20 - 1  # of BATCH.IMAGES
STALL_CYCLES = 1_000_000  # without movement that are an error, at least

_orphans: list[Any] = []  # buffers that a DMA may yet write to; never freed


class Accelerator:
    """The network of `bitfile`, whose description lies beside it as .json.

    device: pynq's, the active one by default. through: "overlay" needs a .hwh, "bitstream" none;
    by default what the files allow. download=False: the bitstream is loaded already.
    timeout_cycles: without any movement on the accelerator's buses, after which it gives up.
    set_width: set HP0 to 64 bits where it is not, instead of an error.
    """

    def __init__(
        self,
        bitfile: str | Path,
        device: Any = None,
        *,
        through: str | None = None,
        download: bool = True,
        timeout_cycles: int | None = None,
        set_width: bool = False,
    ) -> None:
        path = Path(bitfile).resolve()
        self.description = Description.beside(path)
        self._board = Board(path, device, through)
        self._timeout = timeout_cycles or max(STALL_CYCLES, 20 * self.description.interval)
        self._set_width = set_width
        self._lock = threading.Lock()
        self._free = threading.Semaphore(PAIRS)
        self._pairs: list[Buffers] = []
        self._workers: ThreadPoolExecutor | None = None
        self._closed = False
        self.counters: Counters | None = None
        self._open(download)

    def _open(self, download: bool) -> None:
        """Load and check; the processing system first: a register without a clock hangs it."""
        wanted = self.description
        if download:
            self._board.load(wanted.clock_mhz)
        else:
            self._board.attach()
        if self._board.cut_off():
            raise errors.NotLoadedError(errors.NotLoadedError.__doc__)
        if self._set_width:
            self._board.widen()
        if narrow := self._board.narrow_sides():
            raise errors.PortWidthError(
                f"HP0 is set to 32 bits for {' and '.join(narrow)}; set_width=True sets it to 64"
            )
        clock = self._board.clock_mhz()
        if abs(clock - wanted.clock_mhz) > CLOCK_TOLERANCE * wanted.clock_mhz:
            raise errors.ClockError(f"FCLK0 runs at {clock:g} MHz, not at {wanted.clock_mhz:g}")
        self._shell = shell = Shell(self._board.blocks())
        if (found := shell.read("shell", "ID")) != ID:
            raise errors.IdError(f"ID is 0x{found:08X}, not 0x{ID:08X}: another bitstream")
        if (found := shell.read("shell", "BUILD")) != wanted.build:
            raise errors.BuildError(
                f"the bitstream is 0x{found:08X}, its description 0x{wanted.build:08X}"
            )
        images, results = wanted.images, wanted.results
        layout = {
            "INPUT": {"WORDS": images.words, "BITS": images.memory_bits},
            "OUTPUT": {
                "BYTES": results.bytes,
                "BITS": results.memory_bits,
                "SIGNED": int(results.signed),
            },
        }
        for register, expected in layout.items():
            if (fields := shell.fields("shell", register)) != expected:
                raise errors.LayoutError(f"{register} is {fields}, the description says {expected}")
        shell.ready()
        shell.write("shell", "TIMEOUT", self._timeout)

    @property
    def clock_mhz(self) -> float:
        """The clock as the processing system is set."""
        with self._held():
            return self._board.clock_mhz()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.description.classes

    def execute(self, images: np.ndarray) -> np.ndarray:
        """Labels (n,) or scores (n, classes) of images (n, ...), which are split as needed."""
        return self._execute(images)

    def _execute(self, images: np.ndarray, verify: bool = False) -> np.ndarray:
        layout, results = self.description.images, self.description.results
        folded = layout.fold(images)
        most = min(IMAGES_MOST, max(1, BUFFER_BYTES // layout.bytes))
        parts = []
        for start in range(0, len(folded), most):
            some = folded[start : start + most]
            with self._pair(len(some)) as buffers:
                self.pack(some, buffers)
                self._run(buffers, len(some), verify)
                parts.append(results.unpack(buffers.output, len(some)))
        empty = np.empty((0, results.count), results.dtype)
        return results.unfold(np.concatenate(parts) if parts else empty)

    def execute_async(self, images: np.ndarray) -> Future[np.ndarray]:
        """`execute` in the background. Of two calls, one packs while the other computes.

        `images` must stay as they are until the result is there.
        """
        if self._closed:
            raise errors.ClosedError("the accelerator is closed")
        if self._workers is None:
            self._workers = ThreadPoolExecutor(PAIRS, "accelerator")
        return self._workers.submit(self.execute, images)

    def allocate(self, images: int) -> Buffers:
        """Buffers of the caller's own, for `pack` and `run`."""
        with self._held():
            return self._allocate(images)

    def _allocate(self, images: int) -> Buffers:
        sizes = (self.description.images.bytes, self.description.results.bytes)
        source, target = (self._board.allocate(images * size) for size in sizes)
        pair = Buffers(source, target, images)
        pair.input.flush()  # lines left dirty would later overwrite what the accelerator writes
        pair.output.flush()
        return pair

    def pack(self, images: np.ndarray, buffers: Buffers) -> None:
        """Images into the buffer, as the accelerator reads them."""
        layout = self.description.images
        folded, count = layout.fold(images), len(images)
        if count > buffers.images:
            raise errors.ImagesError(f"{count} images for a buffer of {buffers.images}")
        buffers.check()
        memory = np.asarray(buffers.input)[: count * layout.bytes]
        layout.pack(folded, memory.reshape(count, layout.bytes))

    def run(self, buffers: Buffers, images: int) -> Counters:
        """The accelerator over packed images. Afterwards the results are in `buffers.output`."""
        return self._run(buffers, images)[0]

    def _run(
        self, buffers: Buffers, images: int, verify: bool = False
    ) -> tuple[Counters, tuple[float, ...]]:
        """Also the host's seconds: flush, accelerator, invalidate. verify: that it read the images.

        The accelerator's sum of what it read is compared with that of the buffer.
        """
        if not 0 < images <= min(buffers.images, IMAGES_MOST):
            raise errors.ImagesError(f"{images} images of a buffer of {buffers.images}")
        with self._held():
            buffers.check()
            wanted = self.description
            source = buffers.input[: images * wanted.images.bytes]
            target = buffers.output[: images * wanted.results.bytes]
            cycles = images * max(wanted.interval, wanted.images.words)
            marks = [time.perf_counter()]
            source.flush()
            target.invalidate()
            marks.append(time.perf_counter())
            with self._watched(buffers):
                self.counters = self._shell.run(
                    {
                        "odma0": (target.device_address, images),
                        "idma0": (source.device_address, images),
                    },
                    10 * cycles + 2 * self._timeout,
                    cycles / (1e6 * wanted.clock_mhz),
                )
            marks.append(time.perf_counter())
            target.invalidate()
            marks.append(time.perf_counter())
            if verify:
                words = np.asarray(source).view("<u8")
                if self._shell.read("shell", "CHECKSUM") != checksum(words):
                    raise errors.ChecksumError(errors.ChecksumError.__doc__)
            return self.counters, tuple(np.diff(marks))

    def throughput_test(self, batch_size: int = 1000) -> dict[str, float]:
        """FINN's figures for random images.

        runtime[ms] and what follows from it are the accelerator's own count of cycles; the host's
        time for the same run is host_runtime[ms], and the other times are the host's as well.
        """
        wanted = self.description
        layout, results = wanted.images, wanted.results
        images = np.random.default_rng(0).integers(
            *layout.limits, (batch_size, *layout.shape), layout.dtype
        )
        buffers = self.allocate(batch_size)
        try:
            marks = [time.perf_counter()]
            folded = layout.fold(images)
            marks.append(time.perf_counter())
            self.pack(folded, buffers)
            marks.append(time.perf_counter())
            counters, (flush, run, invalidate) = self._run(buffers, batch_size)
            marks.append(time.perf_counter())
            unpacked = results.unpack(buffers.output, batch_size)
            marks.append(time.perf_counter())
            results.unfold(unpacked)
            marks.append(time.perf_counter())
        finally:
            self._release(buffers)
        fold, pack, _, unpack, unfold = np.diff(marks)
        steps = {
            "fold_input": fold,
            "pack_input": pack,
            "copy_input_data_to_device": flush,
            "copy_output_data_from_device": invalidate,
            "unpack_output": unpack,
            "unfold_output": unfold,
            "host_runtime": run,
        }
        return figures(batch_size, self.clock_mhz, counters, layout, results, steps)

    def validate(
        self,
        images: np.ndarray | None = None,
        expected: np.ndarray | None = None,
        labels: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Compare with what the model computes; without arguments with the description's test.

        Also that the accelerator read what was packed; ChecksumError where it did not.

        expected: the model's results; the report has `mismatches`, which must be 0, and the first.
        labels: the true ones; the report has `accuracy`.
        """
        if images is None:
            images, expected = self.description.test_images, self.description.test_results
        found = self._execute(images, verify=True)
        report: dict[str, Any] = {"images": len(images)}
        rows = found.reshape(len(found), self.description.results.count)
        if expected is not None:
            wrong = np.flatnonzero((rows != np.reshape(expected, rows.shape)).any(axis=1))
            report["mismatches"] = len(wrong)
            report["first_mismatch"] = int(wrong[0]) if len(wrong) else None
        if labels is not None:
            given = found if found.ndim == 1 else rows.argmax(axis=1)
            report["accuracy"] = float((given == np.reshape(labels, -1)).mean())
        return report

    def memory_test(self, images: int = 64) -> dict[str, Any]:
        """Read and copy the memory of so many images, without the network."""
        wanted = self.description
        size = images * wanted.images.bytes
        with self._held():
            memory = Buffers(self._board.allocate(size), self._board.allocate(size), images)
            try:
                with self._watched(memory):
                    return port_test(
                        self._shell,
                        memory.input,
                        memory.output,
                        wanted.images.bytes,
                        wanted.results.bytes,
                        100 * size + 2 * self._timeout,
                    )
            finally:
                self._release(memory)

    def reset(self) -> None:
        """Soft reset, waited for; calls after an error do it themselves."""
        with self._held():
            self._shell.reset()

    def reload(self) -> None:
        """Load the bitstream anew and check it again, where a soft reset no longer helps."""
        with self._held():
            self._open(download=True)

    def close(self) -> None:
        """Wait for what is running, free the buffers. Twice is harmless."""
        if self._workers is not None:
            self._workers.shutdown()
        self._take_lock()
        try:
            self._closed = True
            pairs, self._pairs = self._pairs, []
        finally:
            self._lock.release()
        for pair in pairs:
            self._release(pair)

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        wanted = self.description
        return f"<{wanted.name} 0x{wanted.build:08X}, {wanted.clock_mhz:g} MHz, {wanted.images}>"

    def _take_lock(self) -> None:
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise errors.BusyError(f"another thread held the accelerator for {LOCK_SECONDS:g} s")

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._take_lock()
        try:
            if self._closed:
                raise errors.ClosedError("the accelerator is closed")
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _pair(self, images: int) -> Iterator[Buffers]:
        """One of the driver's own pairs of buffers, large enough."""
        if not self._free.acquire(timeout=LOCK_SECONDS):
            raise errors.BusyError(f"no buffer became free within {LOCK_SECONDS:g} s")
        pair = None
        try:
            with self._held():
                pair = self._pairs.pop() if self._pairs else None
                if pair is not None and pair.images < images:
                    self._release(pair)
                    pair = None
                pair = pair or self._allocate(images)
            yield pair
        finally:
            if pair is not None and self._closed:
                self._release(pair)
            elif pair is not None and not self._orphaned(pair):
                self._pairs.append(pair)
            self._free.release()

    @staticmethod
    @contextmanager
    def _watched(buffers: Buffers) -> Iterator[None]:
        """Keep the buffers for ever where the accelerator may not have let go of them."""
        try:
            yield
        except (errors.ResetError, errors.ClockError):
            _orphans.append(buffers)
            raise

    @staticmethod
    def _orphaned(pair: Buffers) -> bool:
        return any(pair is orphan for orphan in _orphans)

    def _release(self, pair: Buffers) -> None:
        if not self._orphaned(pair):
            pair.free()
