"""Running a vendor's tool that is on PATH, or saying in one line how to run it elsewhere."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from flow.errors import UserError


def need(programs: tuple[str, ...], staged: Path, command: str) -> None:
    """UserError, one line, if a program is not on PATH: what lies where, and how to go on.

    staged: the folder with all that the tools need. command: to be run in it.
    """
    if missing := [name for name in programs if shutil.which(name) is None]:
        raise UserError(
            f"{' and '.join(missing)} not found on PATH; the project is complete in "
            f"{_shown(staged)}: on a machine with {' and '.join(programs)}, run "
            f"`cd {shlex.quote(_shown(staged))} && {command}`"
        )


def run(command: list[str], folder: Path, log: Path) -> None:
    """Run a program of PATH in a folder, its output into `log`; UserError where it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith(("ERROR", "CRITICAL"))] or lines[-1:]
        said = errors[0].strip() if errors else "it said nothing"
        raise UserError(f"{command[0]} ended with status {status}: {said} (all of it: {log})")


def _shown(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
