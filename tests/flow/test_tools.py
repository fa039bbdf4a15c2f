"""The way into the tools' root: logs, errors, timeouts, children."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from pathlib import Path

import pytest

from flow import tools, versions
from flow.errors import UserError
from flow.paths import ROOT


def script(folder: Path, text: str) -> Path:
    """An executable shell script, which stands for a program that the tools built."""
    path = folder / "program"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text))
    path.chmod(0o755)
    return path


def running(mark: str) -> list[int]:
    """Live processes, this one left out, whose command line holds `mark`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if mark in line and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def wait_for(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture
def mark(request) -> str:
    """Seconds to sleep that no other process sleeps: names the children of one test."""
    return f"61{os.getpid() % 1000:03d}.{zlib.crc32(request.node.name.encode()) % 10**6:06d}"


# --- running ----------------------------------------------------------------------------------


def test_tool_runs_in_its_folder_with_a_log(tmp_path):
    (tmp_path / "in.v").write_text("module t(input a, output b); assign b = a; endmodule\n")
    done = tools.run(
        "yosys",
        *("-p", "read_verilog in.v; write_json out.json"),
        cwd=tmp_path,
        log=tmp_path / "logs" / "yosys.log",
    )
    assert done.returncode == 0
    assert '"t"' in (tmp_path / "out.json").read_text()
    log = (tmp_path / "logs" / "yosys.log").read_text()
    assert log.startswith("$ yosys -p 'read_verilog in.v;")
    assert "Executing Verilog-2005 frontend" in log


def test_every_tool_of_the_flow_is_installed(tmp_path):
    for name in ("nextpnr-himbaechel-xilinx", "verilator", "g++", "iverilog"):
        argument = "-V" if name == "iverilog" else "--version"
        tools.run(name, argument, cwd=tmp_path, log=tmp_path / "log")
    for name in ("xc7frames2bit", "bitread"):
        with pytest.raises(tools.ToolError):  # no arguments: they show their usage and fail
            tools.run(name, cwd=tmp_path, log=tmp_path / "log")
    part = tools.data("usr/share/prjxray/database")
    assert list(part.rglob("xc7z020clg400-1/part.yaml"))


def test_nothing_stays_mounted(tmp_path):
    before = Path("/proc/self/mountinfo").read_text()
    tools.run("yosys", "-V", cwd=tmp_path, log=tmp_path / "log")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_program_by_path_and_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-j --jobserver-auth=3,4")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    script(tmp_path, 'echo "$PWD,$1,$MORE,$MAKEFLAGS,$PYTHONPATH"')
    tools.run("./program", 7, cwd=tmp_path, log=tmp_path / "log", env={"MORE": "more"})
    assert (tmp_path / "log").read_text().splitlines()[1] == f"{tmp_path},7,more,,"


def test_folder_below_one_of_debians_own(tmp_path):
    folder = Path("/var/tmp") / f"hanbit test {os.getpid()}"
    folder.mkdir()
    try:
        program = script(folder, "pwd; ls")
        tools.run(program, cwd=folder, log=tmp_path / "log")
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert (tmp_path / "log").read_text().splitlines()[1:] == [str(folder), "program"]


def test_lines_come_while_the_tool_runs(tmp_path):
    program = script(tmp_path, "echo one; while [ ! -e seen ]; do sleep 0.05; done; echo two")
    lines = []

    def on_line(line: str) -> None:
        lines.append(line)
        (tmp_path / "seen").touch()

    tools.run(program, cwd=tmp_path, log=tmp_path / "log", on_line=on_line, timeout=60)
    assert lines == ["one", "two"]
    assert (tmp_path / "log").read_text().splitlines()[1:] == lines


# --- failing ----------------------------------------------------------------------------------


def test_missing_tool_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^yosis not found: run `make setup`$"):
        tools.run("yosis", "-V", cwd=tmp_path, log=tmp_path / "log")


def test_missing_tools_altogether(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(tools, "PATCHED", tmp_path / "patched")
    with pytest.raises(UserError, match=r"^yosys not found: no FPGA tools in .*: run `make setup`"):
        tools.run("yosys", "-V", cwd=tmp_path, log=tmp_path / "log")
    assert "yosys" not in versions.installed()


def test_root_that_cannot_be_entered(tmp_path, monkeypatch):
    (tmp_path / "debian").mkdir()
    monkeypatch.setattr(tools, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(tools, "PATCHED", tmp_path / "patched")
    monkeypatch.setattr(tools, "may_chroot", lambda: False)
    with pytest.raises(UserError, match="cannot be entered"):
        tools.run("yosys", "-V", cwd=tmp_path, log=tmp_path / "log")


def test_failure_names_log_and_shows_its_end(tmp_path):
    with pytest.raises(tools.ToolError, match="status 1") as caught:
        tools.run("yosys", "-p", "nonsense", cwd=tmp_path, log=tmp_path / "y.log")
    assert not isinstance(caught.value, UserError)
    assert caught.value.log == tmp_path / "y.log"
    assert "No such command: nonsense" in caught.value.tail
    assert str(tmp_path / "y.log") in str(caught.value)


def test_killed_tool_is_told_apart(tmp_path):
    with pytest.raises(tools.ToolError, match="was killed by SIGKILL"):
        tools.run(script(tmp_path, "kill -9 $$"), cwd=tmp_path, log=tmp_path / "log")


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tools.run("yosys", "-V", cwd=tmp_path / "nowhere", log=tmp_path / "log")


# --- children ---------------------------------------------------------------------------------


def test_timeout_kills_all_children(tmp_path, mark):
    program = script(tmp_path, f"sleep {mark} & echo started; sleep {mark}")
    with pytest.raises(tools.ToolTimeout, match=r"stopped after 0\.5 s"):
        tools.run(program, cwd=tmp_path, log=tmp_path / "log", timeout=0.5)
    assert wait_for(lambda: not running(mark))


def test_silence_kills_all_children(tmp_path, mark):
    program = script(tmp_path, f"for i in 1 2 3 4; do echo $i; sleep 0.3; done; sleep {mark}")
    with pytest.raises(tools.ToolTimeout, match=r"stopped after 0\.9 s without a word") as caught:
        tools.run(program, cwd=tmp_path, log=tmp_path / "log", quiet=0.9, timeout=60)
    assert "4" in caught.value.tail
    assert wait_for(lambda: not running(mark))


def test_exception_kills_all_children(tmp_path, mark):
    program = script(tmp_path, f"sleep {mark} & echo started; sleep {mark}")

    def interrupt(_line: str) -> None:
        assert wait_for(lambda: running(f"sleep {mark}"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tools.run(program, cwd=tmp_path, log=tmp_path / "log", on_line=interrupt)
    assert wait_for(lambda: not running(mark))


def test_cancel_kills_all_children(tmp_path, mark):
    program = script(tmp_path, f"sleep {mark} & echo started; sleep {mark}")
    cancel = threading.Event()
    with pytest.raises(tools.ToolCancelled, match="was cancelled"):
        tools.run(
            program,
            cwd=tmp_path,
            log=tmp_path / "log",
            cancel=cancel,
            on_line=lambda _line: cancel.set(),
        )
    assert wait_for(lambda: not running(mark))


def test_stop_all_ends_the_tools_of_other_threads(tmp_path, mark):
    program = script(tmp_path, f"sleep {mark}")
    errors = []

    def work(number: int) -> None:
        try:
            tools.run(program, cwd=tmp_path, log=tmp_path / f"log{number}")
        except tools.ToolError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    assert wait_for(lambda: len(running(f"sleep {mark}")) == 2)
    tools.stop_all()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 2
    assert wait_for(lambda: not running(mark))  # the kernel ends them some time after the call


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signal_to_the_caller_ends_tools_of_its_threads(tmp_path, mark, number):
    script(tmp_path, f"sleep {mark}")
    caller = f"""
        import concurrent.futures, pathlib
        from flow import tools, versions
        here = pathlib.Path({str(tmp_path)!r})
        tools.stop_all_on_signals()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            jobs = [pool.submit(tools.run, "./program", cwd=here, log=here / f"log{{n}}")
                    for n in range(2)]
            concurrent.futures.wait(jobs)
    """
    python = [sys.executable, "-c", textwrap.dedent(caller)]
    with subprocess.Popen(python, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        assert wait_for(lambda: len(running(f"sleep {mark}")) == 2)
        process.send_signal(number)
        process.wait(20)
    assert process.returncode != 0
    # A killed caller cannot clean up: the kernel ends the programs it started, and for a shell
    # script those are the shells.
    assert wait_for(lambda: not running(str(tmp_path / "program")))
    if number != signal.SIGKILL:
        assert wait_for(lambda: not running(mark))
    else:
        for child in running(f"sleep {mark}"):
            os.kill(child, signal.SIGKILL)


def test_a_program_to_talk_to(tmp_path):
    """It lives beyond the thread that began it, and ends when its input does."""
    program = script(tmp_path, 'echo "$1" >&2\nwhile read line; do echo "said $line"; done')
    started = []

    def begin() -> None:
        started.append(tools.start(program, "here", cwd=tmp_path, log=tmp_path / "log"))

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    (child,) = started
    for word in (b"one", b"two"):
        child.stdin.write(word + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"said " + word + b"\n"
    child.stdin.close()
    assert child.wait(20) == 0
    child.stdout.close()
    assert (tmp_path / "log").read_text() == "here\n"
    with pytest.raises(FileNotFoundError, match="no-program"):
        tools.start(tmp_path / "no-program", cwd=tmp_path, log=tmp_path / "log")
