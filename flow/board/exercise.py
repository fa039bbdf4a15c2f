"""Every call of the driver on a simulated board, compared with what the model of the network says.

`python -m flow.board exercise` runs this module with BITSTREAM BOARD IMAGES OUT COUNT in pynq's
environment. IMAGES: an .npz with `images`, `results` of the reference model and, where known,
`labels`; COUNT: the first so many of them, 0: all. Writes OUT/exercise.json and prints it; status 1
where a result is wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pynq
from hanbit_board import Accelerator

from flow.board.device import SimulatedDevice
from flow.pipeline import write_atomically


def exercise(
    bitstream: Path, images: np.ndarray, results: np.ndarray, labels: np.ndarray | None = None
) -> dict[str, Any]:
    """images (n, ...), results (n, results) or (n,); through Overlay, then Bitstream and MMIO."""
    found: dict[str, Any] = {"device": "simulated board", "pynq": pynq.__version__}
    results = np.asarray(results).reshape(len(images), -1)
    with Accelerator(bitstream / "design.bit", through="overlay") as net:
        overlay = net._board.overlay
        found["blocks"] = sorted(overlay.ip_dict)
        found["ID"] = f"0x{int(overlay.shell.register_map.ID):08X}"
        found["clock_mhz"] = net.clock_mhz
        found["validate"] = net.validate(images, results, labels)
        found["execute"] = _wrong(net.execute(images), results)
        halves = np.array_split(np.arange(len(images)), 2)
        futures = [(net.execute_async(images[half]), half) for half in halves]
        found["execute_async"] = sum(_wrong(f.result(), results[half]) for f, half in futures)
        found["throughput_test"] = net.throughput_test(len(images))
        found["memory_test"] = net.memory_test()
    with Accelerator(bitstream / "design.bit", through="bitstream") as net:
        found["without_hwh"] = net.validate()
    return found


def _wrong(found: np.ndarray, expected: np.ndarray) -> int:
    return int((found.reshape(expected.shape) != expected).any(axis=1).sum())


def right(found: dict[str, Any]) -> bool:
    """Whether nothing differed."""
    memory = found["memory_test"]
    return (
        found["validate"]["mismatches"] == found["without_hwh"]["mismatches"] == 0
        and found["execute"] == found["execute_async"] == 0
        and memory["read_correct"]
        and memory["wrong_bytes"] == 0
    )


def main() -> int:
    bitstream, board, images, out = map(Path, sys.argv[1:5])
    with np.load(images) as arrays:
        some = {name: arrays[name][: int(sys.argv[5]) or None] for name in arrays.files}
    SimulatedDevice(board).activate()
    found = exercise(bitstream, some["images"], some["results"], some.get("labels"))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "exercise.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if right(found) else 1


if __name__ == "__main__":
    sys.exit(main())
