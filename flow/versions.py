"""Versions of all that a result depends on: the Debian tools, of which only tried ones are taken.

This module needs Python's own library only, since `make setup` uses it before anything else is
installed: `python3 -m flow.versions ROOT` prints and checks the tools in a root.
"""

import contextlib
import importlib.metadata
import os
import sys
from pathlib import Path

from flow import tools
from flow.errors import UserError

# Upstream versions with which the whole way, from RTL to a bitstream read back, was tried. Debian's
# testing suite moves; a tool that writes wrong bits silently is worse than one that is refused.
TRIED: dict[str, tuple[str, ...]] = {
    "yosys": ("0.66",),
    "nextpnr-himbaechel-xilinx": ("0.11.1+dfsg",),
    "prjxray": ("0.1+git3356.gc9f02d85+~db20211214.g0a0added",),
    "prjxray-database": ("0.1+git3356.gc9f02d85+~db20211214.g0a0added",),
    "verilator": ("5.048",),
}
ALLOW_UNTRIED = "HANBIT_ALLOW_UNTRIED"

PYTHON_PACKAGES = ("torch", "brevitas", "qonnx", "finn-plus", "numpy", "onnxruntime")


def debian(base: Path) -> dict[str, str]:
    """Versions of the tools' Debian packages installed in a root, from dpkg's own list."""
    status = base / "var/lib/dpkg/status"
    try:
        text = status.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise tools.ToolMissing(f"{status} not found: run `make setup`") from None
    found = {}
    for record in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line)
        if fields.get("Package") in TRIED and "installed" in fields.get("Status", "").split():
            found[fields["Package"]] = fields["Version"]
    return found


def upstream(version: str) -> str:
    """A Debian version without epoch and Debian revision: `4:16.1.0-3+b1` -> `16.1.0`."""
    return version.split(":", 1)[-1].rsplit("-", 1)[0]


def check(base: Path) -> dict[str, str]:
    """The Debian tools' versions; a UserError names each that is missing or was not tried."""
    found = debian(base)
    if missing := [name for name in TRIED if name not in found]:
        raise tools.ToolMissing(f"not installed in {base}: {', '.join(missing)}; run `make setup`")
    untried = [
        f"{name} {version} (tried: {', '.join(TRIED[name])})"
        for name, version in found.items()
        if upstream(version) not in TRIED[name]
    ]
    if untried and not os.environ.get(ALLOW_UNTRIED):
        raise UserError(
            f"version not tried with this project: {'; '.join(untried)}; set {ALLOW_UNTRIED}=1 "
            "to use it all the same, and trust no bitstream before `make test-all` passes"
        )
    return found


def installed() -> dict[str, str]:
    """Versions of all that a result depends on: Debian tools and Python packages, for reports.

    What is not installed is left out.
    """
    found = {}
    with contextlib.suppress(tools.ToolMissing):
        found.update(debian(tools.root()))
    found["python"] = ".".join(map(str, sys.version_info[:3]))
    for name in PYTHON_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def main(arguments: list[str]) -> int:
    """Print the versions of the tools in a root; 2 if one is missing or was not tried."""
    if len(arguments) != 1:
        print("usage: python3 -m flow.versions ROOT", file=sys.stderr)
        return 2
    try:
        for name, version in check(Path(arguments[0])).items():
            print(f"  {name} {version}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
