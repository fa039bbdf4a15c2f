"""Run the accelerator on an Alveo card, by pyxrt of XRT.

    python3 host.py hanbit.xclbin [--images images.npy] [--results results.npy] [--device 0]

It runs the self-test of hanbit.json, then the images. It prints one line of JSON and ends with
status 1 where a result of the self-test differs from the reference. Needs NumPy, and beside it
kernel_map.py, hanbit.json and the folder hanbit_board.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import kernel_map
import numpy as np
from hanbit_board import register_map
from hanbit_board.description import Description
from hanbit_board.errors import AcceleratorError

CHUNK = 64 << 20  # bytes of images given to the card at a time
MOST = (1 << register_map.REGISTERS["idma0"]["BATCH"][1]["IMAGES"][1]) - 1  # images at a time
UNWRITTEN = 0x80  # what result bytes hold before a batch
SECONDS = 10  # beyond ten times the expected time, until a batch counts as stuck


class CardError(AcceleratorError):
    """The card did not do what was asked."""


class Card:
    """The accelerator on a card. `description` says how images and results lie in memory.

    pyxrt cannot read a kernel's registers, and ap_ctrl_hs has no word for an error. So result
    buffers are filled beforehand with a value that no result has, where one is left.
    """

    def __init__(self, xclbin: Path, description: Description, device: int = 0) -> None:
        import pyxrt  # XRT's own, in its installation

        self.xrt, self.description = pyxrt, description
        self.device = pyxrt.device(device)
        uuid = self.device.load_xclbin(str(xclbin))
        mode = pyxrt.kernel.exclusive
        self.kernel = pyxrt.kernel(self.device, uuid, kernel_map.NAME, mode)

    def execute(self, images: np.ndarray) -> np.ndarray:
        """Images (n, ...) of integers -> labels (n,) or scores (n, results)."""
        layout, results = self.description.images, self.description.results
        folded = layout.fold(images)
        count = max(1, min(MOST, CHUNK // max(layout.bytes, results.bytes)))
        parts = [self._batch(folded[i : i + count]) for i in range(0, len(folded), count)]
        empty = np.empty((0, results.count), results.dtype)
        return results.unfold(np.concatenate(parts) if parts else empty)

    def _batch(self, folded: np.ndarray) -> np.ndarray:
        layout, results, count = self.description.images, self.description.results, len(folded)
        directions = self.xrt.xclBOSyncDirection
        packed = layout.pack(folded)
        room = np.full(count * results.bytes, UNWRITTEN, np.uint8)
        source, target = self._buffer(0, packed.nbytes), self._buffer(1, room.nbytes)
        for buffer, content in ((source, packed), (target, room)):
            buffer.write(content, 0)
            buffer.sync(directions.XCL_BO_SYNC_BO_TO_DEVICE, content.nbytes, 0)
        run = self.kernel(source, target, count)
        cycles = count * max(self.description.interval, layout.words)
        milliseconds = 1000 * SECONDS + int(10 * cycles / (1000 * self.description.clock_mhz))
        state = run.wait(milliseconds)
        if state != self.xrt.ert_cmd_state.ERT_CMD_STATE_COMPLETED:
            raise CardError(f"the kernel ended with {state} after at most {milliseconds} ms")
        target.sync(directions.XCL_BO_SYNC_BO_FROM_DEVICE, room.nbytes, 0)
        memory = np.asarray(target.read(room.nbytes, 0)).view(np.uint8)
        found = results.unpack(memory, count)
        if results.bits < results.memory_bits:
            nothing = np.full(results.memory_bits // 8, UNWRITTEN, np.uint8).view(results.dtype)
            if missing := int((found == nothing).any(axis=1).sum()):
                raise CardError(f"{missing} of {count} images have no result; the batch failed")
        return found

    def _buffer(self, argument: int, size: int):
        bank = self.kernel.group_id(argument)
        return self.xrt.bo(self.device, size, self.xrt.bo.normal, bank)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the accelerator on an Alveo card.")
    parser.add_argument("xclbin", type=Path)
    parser.add_argument("--images", type=Path, help="an array of them (.npy)")
    parser.add_argument("--results", type=Path, help="where to write what comes out (.npy)")
    parser.add_argument("--device", type=int, default=0, help="number of the card")
    options = parser.parse_args(arguments)
    try:
        description = Description.beside(Path(__file__).with_name("hanbit.bit"))
        card = Card(options.xclbin, description, options.device)
        test = description.results.unfold(description.test_results)
        mismatches = int((card.execute(description.test_images) != test).sum())
        body = {"self_test": len(test), "mismatches": mismatches}
        if options.images:
            images = np.load(options.images)
            start = time.perf_counter()
            results = card.execute(images)
            body |= {"images": len(images), "host_seconds": time.perf_counter() - start}
            if options.results:
                np.save(options.results, results)
    except ImportError as error:
        print(f"host.py: {error}; source setup.sh of XRT first", file=sys.stderr)
        return 2
    except (AcceleratorError, OSError, ValueError) as error:
        print(f"host.py: {error}", file=sys.stderr)
        return 2
    print(json.dumps(body))
    return int(mismatches > 0)


if __name__ == "__main__":
    sys.exit(main())
