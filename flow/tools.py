"""Run the open FPGA tools, each inside the Debian root that holds them.

`make setup` leaves the tools in one of two folders:

- `.tools/debian`: a whole Debian testing root. A tool runs there by chroot in a mount namespace
  of its own, with the host's folders bound at their own paths, so that every absolute path means
  the same inside and outside. Nothing stays mounted and nothing has to be prepared.
- `.tools/patched`: the same packages unpacked, interpreter and library paths rewritten. This
  stands in where mounting or chroot is forbidden; the tools are called directly.

A program that these tools built (a compiled simulator) runs the same way: give `run` its path.

This module needs Python's own library only, since `make setup` uses it before anything else is
installed: `python3 -m flow.tools may-chroot`.
"""

import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from flow.errors import UserError
from flow.paths import ROOT, TOOLS

DEBIAN = TOOLS / "debian"
PATCHED = TOOLS / "patched"

# Folders that belong to the Debian root itself; all other folders of the host's "/" are bound.
_OWNED = {"bin", "boot", "etc", "lib", "lib32", "lib64", "libx32", "run", "sbin", "usr", "var"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A tool sees these variables and what the caller adds: neither make's job server nor the
# virtual environment's paths may reach the compilers inside.
_PASSED = ("HOME", "USER", "LOGNAME", "TERM", "TMPDIR", "TZ")
_TAIL = 12  # lines of a log shown in an error

_ENTER = """
root=$1; cwd=$2; shift 2
while [ "$1" != -- ]; do
  mount --rbind "$1" "$root$1" || echo "hanbit: cannot mount $1" >&2
  shift
done
shift
exec chroot "$root" /bin/sh -c 'cd "$1" || exit 125; shift; exec "$@"' sh "$cwd" "$@"
"""


class ToolMissing(UserError):
    """A tool is not installed; the message says how to install it."""


class ToolError(Exception):
    """A tool failed. `log` is its output's file, `tail` the last lines of it."""

    def __init__(self, tool: str, what: str, log: Path, returncode: int | None):
        self.tool = tool
        self.log = log
        self.returncode = returncode
        self.tail = _last_lines(log)
        super().__init__(f"{tool} {what}; the end of {log}:\n{self.tail}")


class ToolTimeout(ToolError):
    """A tool was stopped, with all its children, because its time was up."""


class ToolCancelled(ToolError):
    """A tool was stopped, with all its children, because its caller needs it no more."""


def run(
    tool: str | Path,
    *args: str | Path | int | float,
    cwd: Path,
    log: Path,
    timeout: float | None = None,
    quiet: float | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool (by name), or a program that the tools built (by path), and wait for it.

    cwd: folder to run in; the caller's temporary folder and the repository are visible too.
    log: file that gets the command, standard output and standard error; replaced if it exists.
    timeout: seconds after which the tool and all its children are killed.
    quiet: seconds without output after which they are killed, too.
    env: variables added to the few that are passed on.
    on_line: called with each line of output as it comes, for progress.
    cancel: when it is set, the tool and all its children are killed.

    Raises ToolMissing where the tool is not installed, ToolTimeout, ToolCancelled, and ToolError
    where the status is not zero. Any exception, Ctrl-C included, kills the children first. Safe in
    threads.
    """
    cwd, log = Path(cwd).resolve(), Path(log).resolve()
    command, environment = _command(tool, [str(a) for a in args], cwd)
    environment.update(env or {})
    name = Path(tool).name
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb", buffering=0) as out:
        out.write(f"$ {shlex.join([str(tool), *map(str, args)])}\n".encode())
        stdout = subprocess.PIPE if on_line else out
        with _child(command, environment, stdout) as process:
            limits = _Limits(process, log, timeout, quiet, cancel)
            limits.start()
            try:
                if on_line and process.stdout:
                    for line in process.stdout:
                        out.write(line)
                        on_line(line.decode(errors="replace").rstrip("\r\n"))
                process.wait()
            finally:
                limits.ended.set()
                limits.join()
    if cancel is not None and cancel.is_set() and process.returncode:
        raise ToolCancelled(name, "was cancelled", log, process.returncode)
    if limits.passed:
        raise ToolTimeout(name, f"was stopped after {limits.passed}", log, process.returncode)
    if process.returncode:
        raise ToolError(name, _status(process.returncode), log, process.returncode)
    return subprocess.CompletedProcess([str(tool), *map(str, args)], 0)


def start(program: Path, *args: str | Path | int, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a program that the tools built, to talk to over its standard input and output.

    It must end when its input does: that is how it ends with this process. log: its standard error.
    Raises ToolMissing where the tools are not installed.
    """
    cwd = Path(cwd).resolve()
    command, environment = _command(program, [str(a) for a in args], cwd, guarded=False)
    with log.open("wb") as errors:
        return subprocess.Popen(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )


# --- children and signals ---------------------------------------------------------------------

_running: set[subprocess.Popen] = set()


@contextlib.contextmanager
def _child(command, environment, stdout):
    """A process in a session of its own, killed with all its children when the block is left."""
    process = subprocess.Popen(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    _running.add(process)
    try:
        yield process
    finally:
        _kill(process)
        process.wait()
        _running.discard(process)
        if process.stdout:
            process.stdout.close()


def _kill(process: subprocess.Popen) -> None:
    """Kill a child's whole process group, unless the child has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class _Limits(threading.Thread):
    """Kills a child that runs or is quiet too long, or is cancelled, until `ended` is set."""

    def __init__(
        self,
        process: subprocess.Popen,
        log: Path,
        timeout: float | None,
        quiet: float | None,
        cancel: threading.Event | None,
    ):
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.passed = ""  # the limit, in words
        self._process, self._log, self._cancel = process, log, cancel
        self._timeout, self._quiet = timeout, quiet

    def run(self) -> None:
        began = heard = time.monotonic()
        size = 0
        while not self.ended.wait(0.2):
            now = time.monotonic()
            if self._log.stat().st_size != size:
                size, heard = self._log.stat().st_size, now
            if self._timeout is not None and now - began > self._timeout:
                self.passed = f"{self._timeout:g} s"
            elif self._quiet is not None and now - heard > self._quiet:
                self.passed = f"{self._quiet:g} s without a word"
            elif self._cancel is None or not self._cancel.is_set():
                continue
            _kill(self._process)
            return


def stop_all() -> None:
    """Kill every tool that runs now, in whichever thread; their callers get a ToolError."""
    for process in list(_running):
        _kill(process)


def stop_all_on_signals() -> None:
    """Make Ctrl-C and SIGTERM end the tools of all threads; call once, in the main thread.

    Python interrupts the main thread only, and a pool of threads then waits for its tools.
    """

    def handler(number: int, _frame: object) -> None:
        stop_all()
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


# --- the way into the root --------------------------------------------------------------------


@functools.cache
def may_chroot() -> bool:
    """Whether this process may mount in a namespace of its own and change its root."""
    if os.geteuid() != 0:
        return False
    probe = ["unshare", "--mount", "sh", "-c", "mount --bind /tmp /tmp && chroot / true"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def root() -> Path:
    """The installed tools: the Debian root where it can be entered, else the patched folder."""
    if DEBIAN.is_dir() and may_chroot():
        return DEBIAN
    if PATCHED.is_dir():
        return PATCHED
    if DEBIAN.is_dir():
        raise ToolMissing(f"{DEBIAN} cannot be entered without mounting: run `make setup`")
    raise ToolMissing(f"no FPGA tools in {TOOLS}: run `make setup`")


def data(path: str) -> Path:
    """A data file of the tools on the host, for example `usr/share/nextpnr`."""
    found = root() / path.lstrip("/")
    if not found.exists():
        raise ToolMissing(f"{found} not found: run `make setup`")
    return found


def _command(
    tool: str | Path, args: list[str], cwd: Path, guarded: bool = True
) -> tuple[list[str], dict[str, str]]:
    """The host's command line for a tool, and its environment. guarded: it dies with its caller."""
    if not cwd.is_dir():
        raise FileNotFoundError(f"folder {cwd} does not exist")
    try:
        base = root()
    except ToolMissing as error:
        raise ToolMissing(f"{Path(tool).name} not found: {error}") from None
    environment = {k: os.environ[k] for k in _PASSED if k in os.environ}
    environment["LC_ALL"] = "C.UTF-8"
    if os.sep in str(tool):
        program = (cwd / tool).resolve()
        if not program.is_file():
            raise FileNotFoundError(f"program {program} does not exist")
    elif not (base / "usr/bin" / tool).exists():
        raise ToolMissing(f"{tool} not found: run `make setup`")
    else:
        program = Path("/usr/bin") / tool
    # The tool dies with this process (or the thread that began it), even when this one is killed.
    has_guard = guarded and shutil.which("setpriv", path=_PATH)
    guard = ["setpriv", "--pdeathsig", "KILL"] if has_guard else []
    if base == PATCHED:
        environment["PATH"] = f"{PATCHED / 'usr/bin'}:{_PATH}"
        if os.sep not in str(tool):
            program = PATCHED / "usr/bin" / tool
        enter = ["sh", "-c", 'cd "$1" || exit 125; shift; exec "$@"', "sh", str(cwd)]
    else:
        environment["PATH"] = _PATH
        binds = _bind_folders(cwd)
        for folder in binds:
            Path(f"{base}{folder}").mkdir(parents=True, exist_ok=True)
        enter = ["unshare", "--mount", "sh", "-c", _ENTER, "sh", str(base), str(cwd), *binds, "--"]
    return [*guard, *enter, str(program), *args], environment


def _bind_folders(cwd: Path) -> list[str]:
    """The host's folders to bind: those of "/" that Debian does not own, and what is needed."""
    binds = [
        str(folder)
        for folder in sorted(Path("/").iterdir())
        if folder.name not in _OWNED and folder.is_dir() and not folder.is_symlink()
    ]
    for needed in (ROOT, Path(tempfile.gettempdir()).resolve(), cwd):
        if needed.parts[1:2] and needed.parts[1] in _OWNED:
            binds.append(str(needed))
    return binds


def _status(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with status {returncode}"
    name = signal.Signals(-returncode).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _last_lines(log: Path) -> str:
    """The last lines of a log that may be large."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16384))
        lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL:])
    return ""


def main(arguments: list[str]) -> int:
    """For `make setup`: whether the tools' root can be entered here, as the exit status."""
    if arguments != ["may-chroot"]:
        print("usage: python3 -m flow.tools may-chroot", file=sys.stderr)
        return 2
    return 0 if may_chroot() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
