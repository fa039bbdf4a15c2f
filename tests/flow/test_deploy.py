"""The archive for the board, its bring-up on the driver's register model, and the way there."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from staged import COUNT, REPORT, bit, build, small_board, small_work

from flow import deploy, reference, runs
from flow.errors import UserError

NAME = "net-pynq-z2"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A run up to the bitstream, which is not run again."""
    found = small_work(tmp_path / "build" / "net")
    (found.root / "pynq-z2").mkdir()
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    monkeypatch.setattr(runs, "preset_work", lambda *_: found)
    monkeypatch.setattr(runs, "run", lambda *_: REPORT)
    return found


@pytest.fixture
def unpacked(work, tmp_path):
    with tarfile.open(deploy.deploy("net", "pynq-z2")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / NAME


def test_what_the_archive_holds(work, unpacked):
    found = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    assert found >= {
        *deploy.BITSTREAM_FILES,
        *("README.md", "bringup.py", "accuracy_and_latency.ipynb", "report.json"),
        *("test_images.npz", "graph.json", "graph.npz"),
        *("hanbit_board/__init__.py", "hanbit_board/accelerator.py", "hanbit_board/network.py"),
    }
    assert not any("__pycache__" in name for name in found)
    with np.load(unpacked / "test_images.npz") as test:
        graph, images = work.graph, test["images"]
        assert images.shape == (COUNT, 4, 6) and images.dtype == np.uint8
        results = reference.execute(graph, images.reshape(COUNT, 24))[graph.output]
        assert np.array_equal(test["results"], results) and len(test["labels"]) == COUNT
    report = json.loads((unpacked / "report.json").read_text())
    assert report["fpga"]["resources"]["lut"] == 53200
    text = (unpacked / "README.md").read_text()
    assert build(work) in text and "{" not in text
    assert len(text.splitlines()) < 70


def test_the_same_content_gives_the_same_bytes(work):
    first = deploy.deploy("net", "pynq-z2").read_bytes()
    assert deploy.deploy("net", "pynq-z2").read_bytes() == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}
    (work.root / "06-bitstream-pynq-z2" / "design.bin").write_bytes(b"other")
    assert deploy.deploy("net", "pynq-z2").read_bytes() != first


def test_nothing_half_written_stays(work, monkeypatch):
    target = work.root / "pynq-z2"
    whole = deploy.deploy("net", "pynq-z2").read_bytes()

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        deploy.deploy("net", "pynq-z2")
    monkeypatch.undo()
    assert [p.name for p in target.iterdir()] == [f"{NAME}.tar.gz"]
    assert (target / f"{NAME}.tar.gz").read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"board": "zybo"}, "no board 'zybo'"),
        ({"validate": True}, "HOST=xilinx@pynq"),
        ({"host": "-oProxyCommand=x"}, "as ssh takes it"),
        ({"host": "a b"}, "as ssh takes it"),
        ({"host": ""}, "as ssh takes it"),
    ],
)
def test_refused_before_anything_is_built(work, monkeypatch, options, says):
    monkeypatch.setattr(runs, "run", lambda *_: pytest.fail("built"))
    with pytest.raises(UserError, match=says):
        deploy.deploy(**{"preset": "net", "board": "pynq-z2"} | options)


# --- the bring-up ---------------------------------------------------------------------------------


def bringup(folder: Path, *arguments: str) -> int:
    """Run the script of an unpacked archive in this process."""
    spec = importlib.util.spec_from_file_location("bringup", folder / "bringup.py")
    module = importlib.util.module_from_spec(spec)
    writes = sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
        return module.main(list(arguments))
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(folder))


def test_every_step_passes(work, unpacked, monkeypatch, capsys):
    small_board(monkeypatch, work, "Pynq-Z2 (simulated board)")
    assert bringup(unpacked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*"12345", "all"]
    assert all(" ... OK: " in line for line in lines[:5]) and "simulated board" in lines[5]
    assert not (unpacked / "validation.json").exists()
    assert bringup(unpacked, "--validate") == 0
    body = json.loads((unpacked / "validation.json").read_text())
    assert (body["images"], body["mismatches"], body["accuracy"]) == (COUNT, 0, 75.0)
    assert (body["device"], body["build"]) == ("simulated board", build(work))


def stuck(shell):
    """One register bit that does not keep what is written."""
    write = shell.write
    shell.write = lambda address, value: write(address, value & ~(1 << 7))


def stale(shell):
    """Reads that bring something else than what was flushed."""
    at = shell.memory.at
    shell.memory.at = lambda address, size: at(address, size) ^ np.uint8(size > 64)


def lost(shell):
    """Writes that do not arrive."""
    move = shell.move
    shell.move = lambda route: move(2 if route == 1 else route)


def wrong(shell):
    """A network that computes something else."""
    golden = shell.golden
    shell.golden = lambda rows: (golden(rows) + 1) % 6


@pytest.mark.parametrize(
    ("step", "fault", "says"),
    [
        (1, lambda shell: shell.read_only.update(ID=0), "ID reads 0x00000000"),
        (1, lambda shell: shell.read_only.update(BUILD=1), "BUILD reads 0x00000001"),
        (2, stuck, "SCRATCH reads"),
        (2, lambda shell: shell.read_only.update(INPUT=1), "1 words an image"),
        (2, lambda shell: setattr(shell, "step", 0), "CYCLES stands still"),
        (3, lambda shell: setattr(shell, "fault", "READ"), "READ"),
        (3, stale, "CHECKSUM"),
        (4, lost, "bytes are wrong"),
        (5, wrong, "7 of 7 images differ"),
    ],
)
def test_the_first_failure_ends_it(work, unpacked, monkeypatch, capsys, step, fault, says):
    shell = small_board(monkeypatch, work, "Pynq-Z2 (simulated board)")
    fault(shell)
    (unpacked / "validation.json").write_text("of an earlier run")
    assert bringup(unpacked, "--validate") == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == step + 2 and lines[step - 1].endswith("... FAILED")
    assert says in lines[step] and lines[step + 1].startswith("  check ")
    assert not (unpacked / "validation.json").exists()


def test_a_narrow_port_is_widened(work, unpacked, monkeypatch, capsys):
    shell = small_board(monkeypatch, work, "Pynq-Z2 (simulated board)")
    shell.narrow = {0x00: 1, 0x14: 1}
    assert bringup(unpacked) == 0
    assert "is now 64" in capsys.readouterr().out and not any(shell.narrow.values())


# --- over ssh, with programs in place of ssh, scp and sudo ----------------------------------------

VALIDATION = {
    "device": "board",
    "images": 4,
    "mismatches": 0,
    "accuracy": 75.0,
    "throughput_test": {"throughput[images/s]": 1e6},
}
OPTIONS = 'while [ "${1#-}" != "$1" ]; do [ "$1" = -o ] && shift; shift; done\n'
SCP = (
    OPTIONS + '[ "$2" = xilinx@pynq: ] || { echo "lost connection" >&2; exit 1; }\ncp "$1" "$HOME"'
)
SSH = OPTIONS + 'shift; exec sh -c "$1"'
SUDO = f"""[ "$*" = "bash -lc python3 bringup.py --validate" ] || exit 9
[ -f design.bit ] && echo '{json.dumps(VALIDATION)}' > validation.json"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The board's home; its programs can be replaced."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    for folder in (home, programs):
        folder.mkdir()
    for name, text in {"scp": SCP, "ssh": SSH, "sudo": SUDO}.items():
        program(programs / name, text)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(home))
    return home


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("notebooks", [True, False])
def test_copied_validated_and_brought_back(work, there, capsys, notebooks):
    folder = there / "jupyter_notebooks" if notebooks else there
    folder.mkdir(exist_ok=True)
    for _ in range(2):  # the second time over the first
        deploy.deploy("net", "pynq-z2", "xilinx@pynq", validate=True)
        assert (folder / NAME / "design.bit").read_bytes() == bit()
        assert not list(there.glob("*.tar.gz"))
        assert (folder / NAME / "hanbit_board" / "shell.py").stat().st_mtime > 0
    target = work.root / "pynq-z2" / "validation.json"
    assert json.loads(target.read_text()) == VALIDATION
    out = capsys.readouterr().out
    assert f"on xilinx@pynq: {folder / NAME}" in out
    assert "(board): 4 images, 0 mismatches, 75.00 % right" in out


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "scp",
            "echo noise >&2; echo 'pynq: Name not known' >&2; exit 1",
            "scp failed: pynq: Name",
        ),
        ("ssh", "exit 255", "ssh failed: exit status 255"),
        ("ssh", OPTIONS + 'case $2 in *sudo*) exit 255;; esac; sh -c "$2"', "connection failed"),
        ("sudo", "exit 1", "bring-up on xilinx@pynq failed"),
        ("sudo", "echo '{' > validation.json", "not what bringup.py writes"),
        ("sudo", "true", "ssh failed: cat: "),
    ],
)
def test_what_goes_wrong_there_is_one_line(work, there, name, text, says):
    program(there.parent / "bin" / name, text)
    with pytest.raises(UserError, match=says) as error:
        deploy.deploy("net", "pynq-z2", "xilinx@pynq", validate=True)
    assert "\n" not in str(error.value)
    assert not (work.root / "pynq-z2" / "validation.json").exists()


def test_without_an_ssh_client(work, there, monkeypatch):
    monkeypatch.setenv("PATH", str(there))
    with pytest.raises(UserError, match="scp: not found"):
        deploy.deploy("net", "pynq-z2", "xilinx@pynq")
