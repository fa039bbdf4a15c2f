"""Print the requirements of a lock file that are not installed; status 0 where all are."""

import importlib.metadata
import re
import sys
from pathlib import Path


def missing(lock: Path) -> list[str]:
    """Lines `name==version` of the lock that this interpreter does not have.

    A local version counts as its public one: torch 2.13.0+cpu satisfies torch==2.13.0.
    """
    absent = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        requirement = line.split("#")[0].strip()
        if not (match := re.fullmatch(r"([\w.-]+)==([\w.!+]+)", requirement)):
            if requirement:
                raise ValueError(f"{lock}: not of the form name==version: {line!r}")
            continue
        try:
            installed = importlib.metadata.version(match[1]).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            installed = ""
        if installed != match[2]:
            absent.append(requirement)
    return absent


if __name__ == "__main__":
    absent = missing(Path(sys.argv[1]))
    print(*absent, sep="\n")
    sys.exit(1 if absent else 0)
