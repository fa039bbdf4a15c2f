"""Where things live in the repository and in the build folder."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RTL = ROOT / "hw" / "rtl"
SIM = ROOT / "hw" / "sim"
BOARDS = ROOT / "hw" / "boards"
PRESETS = ROOT / "models" / "presets"
ZOO = ROOT / "models" / "zoo"
TOOLS = ROOT / ".tools"
BUILD = ROOT / "build"


def shown(path: Path) -> str:
    """A path as a user would type it: relative where it lies below the current folder."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
