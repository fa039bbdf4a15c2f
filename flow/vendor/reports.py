"""Reading Vivado's and Vitis' text reports: utilisation and timing.

The formats are those of `report_utilization` (UG906: tables between bars, 7-series rows named
"Slice LUTs", later devices "CLB LUTs"), of it with `-hierarchical`, of `report_timing_summary`, and
of Vitis' kernel_util_routed.rpt. Columns are found by their titles, since versions add some
("Prohibited").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow.errors import UserError
from flow.implement.area import JOINTS, SHELL

Row = dict[str, str]
RULE = re.compile(r"^\+[-+]+\+$")
NUMBER = re.compile(r"-?[\d,]*\.?\d+")


def tables(text: str) -> list[list[Row]]:
    """All tables between bars, as rows of title -> cell; cells keep their leading spaces."""
    found: list[list[Row]] = []
    titles: list[str] | None = None
    rules = 0
    for line in text.splitlines():
        line = line.strip()
        if RULE.match(line):
            rules = rules % 3 + 1
            if rules == 1:
                titles = None
            continue
        if not line.startswith("|") or not line.endswith("|") or len(line) < 3 or not rules:
            rules = 0
            continue
        cells = line[1:-1].split("|")
        if titles is None:
            titles = [cell.strip() for cell in cells]
            found.append([])
        elif len(cells) == len(titles):
            found[-1].append({t: c.rstrip() for t, c in zip(titles, cells, strict=True)})
    return [table for table in found if table]


def number(cell: str) -> float:
    """The first number of a cell: "1,234", "12.5", "192064 [ 16.25%]", "<0.1"."""
    found = NUMBER.search(cell)
    if not found:
        raise ValueError(f"no number in {cell!r}")
    return float(found[0].replace(",", ""))


def tool_version(text: str) -> str:
    """The version in a report's head, as "2023.2"; empty where there is none."""
    found = re.search(r"Tool Version\s*:\s*Vivado v\.(\S+)", text)
    return found[1] if found else ""


KINDS = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "ff": ("Slice Registers", "CLB Registers"),
    "bram36": ("Block RAM Tile",),
    "dsp": ("DSPs",),
}


def utilisation(path: Path) -> dict[str, float]:
    """LUTs, flip-flops, block RAMs of 36 kbit and DSPs of a `report_utilization` file."""
    used: dict[str, float] = {}
    for table in tables(_read(path)):
        if "Used" not in table[0]:
            continue
        for row in table:
            name = next(iter(row.values())).strip().rstrip("*")
            for kind, names in KINDS.items():
                if name in names:
                    used.setdefault(kind, _plain(number(row["Used"])))
    return _whole(used, KINDS.keys(), path)


HIERARCHY = {"lut": "Total LUTs", "ff": "FFs", "ramb36": "RAMB36", "ramb18": "RAMB18"}


def hierarchy(path: Path) -> dict[str, dict[str, float]]:
    """Area of every instance of a `report_utilization -hierarchical` file, by its path.

    The top is "", an instance in it "core", one in that "core/fc0". Logic of a module itself, which
    the report lists in brackets, is part of the module's own row and left out.
    """
    found: dict[str, dict[str, float]] = {}
    for table in tables(_read(path)):
        if not {"Instance", *HIERARCHY.values()} <= table[0].keys():
            continue
        above: list[str] = []
        for row in table:
            cell = row["Instance"].removeprefix(" ")
            depth, name = (len(cell) - len(cell.lstrip())) // 2, cell.strip()
            if name.startswith("("):
                continue
            above = [*above[:depth], name]
            count = {kind: number(row[title]) for kind, title in HIERARCHY.items()}
            found["/".join(above[1:])] = {
                "lut": _plain(count["lut"]),
                "ff": _plain(count["ff"]),
                "bram36": count["ramb36"] + count["ramb18"] / 2,
            }
    if not found:
        raise UserError(f"{path}: no table of instances, as `report_utilization -hierarchical` has")
    return found


def by_layer(
    instances: Mapping[str, dict[str, float]], layer_of: Mapping[str, str], core: str = "core"
) -> list[dict[str, Any]]:
    """Area of every layer and of the rest, as flow.implement.area.by_layer has it.

    instances: of `hierarchy`. layer_of: the layer that each unit of the core serves. What of the
    core no unit accounts for is its joints; what is not the core's is the shell's.
    """
    kinds = ("lut", "ff", "bram36")
    table = {name: dict.fromkeys(kinds, 0.0) for name in layer_of.values()}
    for unit, layer in layer_of.items():
        for kind, value in instances.get(f"{core}/{unit}", {}).items():
            table[layer][kind] += value
    units = {kind: sum(row[kind] for row in table.values()) for kind in kinds}
    # LUTs that two units share can make the units more than the core.
    whole = {kind: max(units[kind], instances.get(core, units)[kind]) for kind in kinds}
    if whole != units:
        table[JOINTS] = {kind: whole[kind] - units[kind] for kind in kinds}
    table[SHELL] = {kind: instances[""][kind] - whole[kind] for kind in kinds}
    return [
        {"name": name, "lut": int(row["lut"]), "ff": int(row["ff"]), "bram36": row["bram36"]}
        for name, row in table.items()
    ]


def kernel_utilisation(path: Path, unit: str) -> dict[str, float]:
    """The same of one compute unit in Vitis' kernel_util_routed.rpt."""
    titles = {"lut": "LUT", "ff": "REG", "bram36": "BRAM", "dsp": "DSP"}
    for table in tables(_read(path)):
        if not {"Name", *titles.values()} <= table[0].keys():
            continue
        for row in table:
            if row["Name"].strip() == unit:
                return {kind: _plain(number(row[title])) for kind, title in titles.items()}
    raise UserError(f"{path}: no row for {unit}")


@dataclass(frozen=True)
class Timing:
    """wns_ns: the worst slack of set-up times. The path is that of the worst slack."""

    wns_ns: float
    whs_ns: float
    path: str
    clocks: dict[str, float]  # name -> period, ns


def timing_summary(path: Path) -> Timing:
    """What a `report_timing_summary` file says of the whole design."""
    text = _read(path)
    rest = text.partition("| Design Timing Summary")[2]
    lines = rest.splitlines()
    values: dict[str, float] = {}
    for n, line in enumerate(lines):
        titles = re.split(r"\s{2,}", line.strip())
        if titles[0] == "WNS(ns)":
            row = next((x for x in lines[n + 1 :] if not set(x) <= set("- \t")), "")
            cells = row.split()
            values = {t: float(c) for t, c in zip(titles, cells, strict=False) if c != "NA"}
            break
    if "WNS(ns)" not in values:
        raise UserError(f"{path}: no Design Timing Summary with a WNS; was a clock defined?")
    clocks = {
        m[1]: float(m[2])
        for m in re.finditer(r"^\s*(\S+)\s+\{[\d. -]+\}\s+([\d.]+)\s+[\d.]+\s*$", rest, re.M)
    }
    return Timing(values["WNS(ns)"], values.get("WHS(ns)", 0.0), _worst_path(rest), clocks)


def _worst_path(text: str) -> str:
    """One line that names the set-up path of least slack; empty where none is listed."""
    paths: list[tuple[float, str]] = []
    for part in re.split(r"^Slack \(", text, flags=re.M)[1:]:
        fields = dict(re.findall(r"^\s+([A-Z][\w ]+):\s+(\S.*)$", part, re.M))
        slack = re.match(r"\w+\)\s*:\s*(-?[\d.]+)ns", part)
        if not slack or "Setup" not in fields.get("Path Type", ""):
            continue
        delay = fields.get("Data Path Delay", "").split("ns")[0]
        levels = fields.get("Logic Levels", "0").split()[0]
        ends = (
            f"{fields.get('Source', '?').split()[0]} -> {fields.get('Destination', '?').split()[0]}"
        )
        paths.append((float(slack[1]), f"{ends}, {delay} ns over {levels} levels of logic"))
    return min(paths)[1] if paths else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; the tool wrote no such report") from error


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _whole(used: dict[str, float], kinds: Any, path: Path) -> dict[str, float]:
    if missing := [kind for kind in kinds if kind not in used]:
        raise UserError(f"{path}: says nothing of {', '.join(missing)}")
    return used
