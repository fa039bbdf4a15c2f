"""The command line: a wrong input is one line and status 2, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from flow import runs
from flow.cli import main
from flow.paths import ROOT


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    """Runs of presets write below a temporary folder."""
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    return tmp_path / "build"


@pytest.fixture
def signals():
    """`main` takes over the signals of the process; give pytest its own back."""
    held = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


pytestmark = pytest.mark.usefixtures("signals")


def refused(capsys, *arguments):
    """Run the command, which must fail with one line on stderr; return the line."""
    assert main([str(a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("hanbit: ") and not out
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--preset", "tfc"], "no preset 'tfc'; there are"),
        (["lower", "--board", "zybo"], "no board 'zybo'; there are"),
        (["train", "--seed", "-1"], "not a whole number"),
        (["train", "--seed", "one"], "not a whole number"),
        (["train", "--seeds", "0"], "from 1 up"),
        (["train", "--seeds", "2", "--seed", "1"], "not allowed with"),
        (["lower", "--seeds", "2"], "--seeds"),
        (["notebook", "--images", "0"], "from 1 up"),
        (["notebook", "--board", "zybo"], "no board 'zybo'; there are"),
        (["notebook", "--preset", "tfc"], "no preset 'tfc'; there are"),
        (["deploy", "--preset", "tfc"], "no preset 'tfc'; there are"),
        (["deploy", "--validate"], "HOST=xilinx@pynq"),
        (["deploy", "--host", ""], "as ssh takes it"),
        (["lower", "--host", "xilinx@pynq"], "--host"),
        (["fly"], "invalid choice"),
        ([], "required"),
        (["compile", "x.onnx"], "--out"),
    ],
)
def test_mistyped_commands_are_one_line(capsys, build, arguments, says):
    assert says in refused(capsys, *arguments)
    assert not build.exists()


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--board", "zybo"], "no board"),
        (["--labels", "y.npy"], "--data"),
        (["--data", "none.npy"], "no such file"),
        (["--target-cycles", "0"], "from 1 up"),
        (["--folding", "none.json"], "no such file"),
        (["--folding", "text.json"], "not a JSON file"),
        (["--folding", "list.json"], "must look like"),
    ],
)
def test_compile_refuses_before_it_writes(capsys, tmp_path, monkeypatch, extra, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"not read before the options are right")
    (tmp_path / "text.json").write_text("PE = 4")
    (tmp_path / "list.json").write_text("[1]")
    assert says in refused(capsys, "compile", "m.onnx", "--out", "out", *extra)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("body", [b"", b"\x08\x07garbage", b"hello, world\n"])
def test_compile_refuses_what_is_no_onnx_file(capfd, tmp_path, body):
    (tmp_path / "m.onnx").write_bytes(body)
    assert main(["compile", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "out")]) == 2
    err = capfd.readouterr().err
    assert "Traceback" not in err and "not an ONNX file" in err.splitlines()[-1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".lock"]


def test_compile_refuses_a_missing_file(capsys, tmp_path):
    line = refused(capsys, "compile", tmp_path / "m.onnx", "--out", tmp_path / "out")
    assert "no such file" in line


def test_an_output_path_that_is_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"x")
    line = refused(capsys, "compile", tmp_path / "m.onnx", "--out", tmp_path / "m.onnx")
    assert "not a folder" in line


def test_an_interrupted_run_is_one_line_and_resumes(tmp_path):
    """Interrupt a real training in its own process, then see the same command finish it."""
    code = (
        "import sys; from pathlib import Path; from flow import runs; from flow.cli import main;"
        f"runs.BUILD = Path({str(tmp_path)!r}); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "train", "--preset", "mlp-digits"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    folder = tmp_path / "mlp-digits" / "01-train.part"
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment
    )
    for _ in range(1200):
        if (folder / "checkpoint.pt").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "Traceback" not in err and "interrupted" in err.splitlines()[-1]
    assert folder.exists() and not (tmp_path / "mlp-digits" / "01-train").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "mlp-digits" / "pynq-z2" / "report.json").read_text())
    assert report["training"]["epochs"] > 0
    assert "rtl" not in report and "bitstream" not in report
