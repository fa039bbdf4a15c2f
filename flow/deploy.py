"""`make deploy`: all that a board needs in one archive, copied to the board where a host is given.

The archive has the same bytes whenever its content is the same: no times, no owners, sorted names.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from flow import reference, runs
from flow.errors import UserError
from flow.implement import boards
from flow.paths import BOARDS, ROOT, shown
from flow.pipeline import Pipeline, say, write_atomically
from flow.stages import Work, pipeline

DRIVER = ROOT / "hw" / "driver" / "hanbit_board"
NOTEBOOK = "accuracy_and_latency.ipynb"
BITSTREAM_FILES = ("design.bit", "design.bin", "design.hwh", "design.json")
FROM_BOARD = {NOTEBOOK: NOTEBOOK, "bringup.py": "bringup.py", "BOARD.md": "README.md"}
SSH_OPTIONS = ("-o", "ConnectTimeout=20")
VALIDATION = "validation.json"


def deploy(
    preset: str,
    board: str,
    host: str | None = None,
    validate: bool = False,
    seed: int | None = None,
    train: bool = False,
) -> Path:
    """Write the archive of a preset, building what it needs; the path of the archive.

    host: `user@name` of a board, to which it is copied by ssh and unpacked there. validate: run
    the bring-up and all test images there, and bring `validation.json` back.
    """
    if validate and not host:
        raise UserError("validation runs on a board: give its host too (HOST=xilinx@pynq)")
    if host is not None and (host.startswith("-") or not host or any(c.isspace() for c in host)):
        raise UserError(f"host {host!r}: give it as ssh takes it, for example xilinx@pynq")
    check_board(board)
    work = runs.preset_work(preset, board, seed, train)
    folder = runs.BUILD / preset / board
    report = runs.run(work, "bitstream", folder)
    name = f"{preset}-{board}"
    archive = folder / f"{name}.tar.gz"
    write_bytes(archive, pack(contents(work, report), name))
    print(f"archive: {shown(archive)} ({archive.stat().st_size / 1e6:.1f} MB)")
    if host:
        send(archive, name, host)
    if host and validate:
        validate_there(name, host, folder / VALIDATION)
    return archive


def check_board(board: str) -> None:
    """`UserError` for a board that no driver of ours runs on."""
    boards.load(board)
    if not (BOARDS / board / NOTEBOOK).is_file():
        able = sorted(path.parent.name for path in BOARDS.glob(f"*/{NOTEBOOK}"))
        raise UserError(f"board {board} has no driver and notebook; there are: {', '.join(able)}")


def contents(work: Work, report: dict[str, Any], images: int | None = None) -> dict[str, bytes]:
    """What lies on the board: name -> content. images: so many test images, all by default."""
    line = pipeline(work)
    files = {name: line.folder("bitstream") / name for name in BITSTREAM_FILES}
    files |= {target: BOARDS / work.board.name / name for name, target in FROM_BOARD.items()}
    files |= {name: line.folder("lower") / name for name in ("graph.json", "graph.npz")}
    files |= {f"{DRIVER.name}/{path.name}": path for path in DRIVER.glob("*.py")}
    found = {name: path.read_bytes() for name, path in files.items()}
    found["test_images.npz"] = _test_images(work, line, images)
    board = work.board
    fpga = {"title": board.title, "part": board.part, "resources": board.resources}
    found["report.json"] = (json.dumps(report | {"fpga": fpga}, indent=1) + "\n").encode()
    description = json.loads(found["design.json"])
    said = {
        "{preset}": work.name,
        "{folder}": f"{work.name}-{board.name}",
        "{build}": description["build"],
        "{clock}": f"{description['clock_mhz']:g}",
    }
    text = found["README.md"].decode()
    for mark, value in said.items():
        text = text.replace(mark, value)
    return found | {"README.md": text.encode()}


def _test_images(work: Work, line: Pipeline, count: int | None) -> bytes:
    """Test images as the driver takes them, labels, and what the integer model computes."""
    pixels, labels = work.test_set()
    if labels is None:
        raise UserError(f"{work.name}: the test images have no labels")
    pixels, labels = pixels[:count], labels[:count]
    shape = json.loads((line.folder("bitstream") / "design.json").read_text())["images"]["shape"]
    graph = work.graph
    arrays = {
        "images": graph.arrange(pixels).reshape(len(pixels), *shape),
        "labels": labels.astype(np.int64),
        "results": reference.labels(graph, pixels)[:, None],
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def pack(files: dict[str, bytes], folder: str) -> bytes:
    """A .tar.gz of files in one folder; the same bytes for the same content."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode = len(files[name]), 0o644
            archive.addfile(info, io.BytesIO(files[name]))
    return gzip.compress(tar.getvalue(), 9, mtime=0)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader never sees half of it."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def send(archive: Path, name: str, host: str) -> None:
    """Copy the archive and unpack it, in the folder of notebooks where the board has one."""
    say(f"copying to {host}")
    _call("scp", "-q", *SSH_OPTIONS, str(archive), f"{host}:")
    # Over what is there: notebooks run as root and leave what only root may remove. -m: with all
    # times alike Python would take the compiled files of the driver before.
    there = _there(
        f"cd {_FOLDER} && tar xzmf ~/{archive.name} && rm ~/{archive.name} && cd {name} && pwd"
    )
    where = _call("ssh", *SSH_OPTIONS, host, there).strip()
    print(f"on {host}: {where}")


def validate_there(name: str, host: str, target: Path) -> None:
    """Run the bring-up with all test images on the board and bring its JSON here."""
    say(f"bring-up on {host}; sudo may ask for the password of the board")
    command = f"cd {_FOLDER}/{name} && sudo bash -lc 'python3 bringup.py --validate'"
    try:
        status = subprocess.run(["ssh", "-t", *SSH_OPTIONS, host, _there(command)]).returncode
    except FileNotFoundError:
        raise UserError("ssh: not found; install an ssh client") from None
    if status == SSH_FAILED:
        raise UserError(f"ssh {host}: the connection failed, see the line above")
    if status:
        raise UserError(f"bring-up on {host} failed; the lines above say in which step")
    text = _call("ssh", *SSH_OPTIONS, host, _there(f"cat {_FOLDER}/{name}/{VALIDATION}"))
    try:
        body = json.loads(text)
        summary = (
            f"{body['images']} images, {body['mismatches']} mismatches, "
            f"{body['accuracy']:.2f} % right, "
            f"{body['throughput_test']['throughput[images/s]']:,.0f} images/s"
        )
        device = body["device"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{VALIDATION} of {host} is not what bringup.py writes: {error}") from error
    write_atomically(target, text)
    print(f"{host} ({device}): {summary}")
    print(f"validation: {shown(target)}")


SSH_FAILED = 255  # ssh's own status; any other is that of the command
_FOLDER = '"$([ -w ~/jupyter_notebooks ] && echo ~/jupyter_notebooks || echo ~)"'


def _there(command: str) -> str:
    """A command for the login shell there, whichever it is."""
    return "sh -c '" + command.replace("'", "'\\''") + "'"


def _call(program: str, *arguments: str) -> str:
    """Run ssh or scp; its output, or its last line of complaint as a `UserError`."""
    try:
        done = subprocess.run([program, *arguments], capture_output=True)
    except FileNotFoundError:
        raise UserError(f"{program}: not found; install an ssh client") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1].strip() if lines else f"exit status {done.returncode}"
        raise UserError(f"{program} failed: {said}")
    return done.stdout.decode(errors="replace")
