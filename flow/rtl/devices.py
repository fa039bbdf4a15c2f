"""What devices offer: LUTs, flip-flops and block RAMs of 36 kbit (DS190, DS891)."""

from __future__ import annotations

from flow.errors import UserError

DEVICES = {
    "xc7z010": {"lut": 17_600, "ff": 35_200, "bram36": 60},
    "xc7z020": {"lut": 53_200, "ff": 106_400, "bram36": 140},
    "xc7z030": {"lut": 78_600, "ff": 157_200, "bram36": 265},
    "xc7z045": {"lut": 218_600, "ff": 437_200, "bram36": 545},
    "xczu3eg": {"lut": 70_560, "ff": 141_120, "bram36": 216},
    "xczu7ev": {"lut": 230_400, "ff": 460_800, "bram36": 312},
    "xczu9eg": {"lut": 274_080, "ff": 548_160, "bram36": 912},
}


def resources(name: str) -> dict[str, int]:
    """What a device offers; `name` may be a whole part number, as xc7z020clg400-1."""
    for device, offered in DEVICES.items():
        if name.lower().startswith(device):
            return offered
    raise UserError(f"no device {name!r}; there are {', '.join(DEVICES)}")
