"""The results table of README.md, made from the reports kept in models/zoo.

    python -m flow.readme keep mlp-digits pynq-z2    keep a run's report and weights in the zoo
    python -m flow.readme                            write the table into README.md

The table stands between two comment lines; a test compares it with the reports.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import Any

from flow.errors import UserError
from flow.paths import BUILD, ROOT
from flow.pipeline import write_atomically

ZOO = ROOT / "models" / "zoo"
README = ROOT / "README.md"
START, END = "<!-- results: made by `python -m flow.readme` -->", "<!-- end of results -->"

COLUMNS = (
    "preset",
    "accuracy (integer)",
    "images/s",
    "latency",
    "LUT",
    "block RAM",
    "clock",
    "whole way",
)


def keep(preset: str, board: str) -> None:
    """Copy a finished run's report, and its weights and thresholds (packed), into the zoo."""
    report = json.loads((BUILD / preset / board / "report.json").read_text())
    if "bitstream" not in report:
        raise UserError(f"the run of {preset} is not finished; run `make report PRESET={preset}`")
    if report["commit"].endswith("+changes"):
        raise UserError("the run was made with changes that are not committed; commit, run again")
    folder = ZOO / preset
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("graph.json", "graph.npz"):
        shutil.copyfile(BUILD / preset / "03-lower" / name, folder / name)
    write_atomically(folder / "report.json", json.dumps(report, indent=1) + "\n")


def table() -> str:
    """The reports in the zoo as a Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [row(json.loads(path.read_text())) for path in sorted(ZOO.glob("*/report.json"))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def row(report: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    rtl, area, timing = report["rtl"], report["area"], report["timing"]
    clock = timing["clock_mhz"]
    return (
        f"[{report['preset']}](models/zoo/{report['preset']}/report.json)",
        f"{report['accuracy']['integer']:.2f} % of {report['accuracy']['images']}",
        f"{clock * 1e6 / rtl['interval_cycles']:,.0f}",
        f"{rtl['latency_cycles']} cycles, {rtl['latency_cycles'] / clock:.2f} µs",
        f"{area['lut']:,}",
        f"{area['bram36']:g}",
        f"{clock:g} MHz ({timing['fmax_mhz']:.0f} estimated, {timing['fmax_guarded_mhz']:.0f} "
        "guarded)",
        f"{sum(report['seconds'].values()):.0f} s, {report['seconds']['train']:.0f} s of it "
        "training",
    )


def updated(text: str) -> str:
    """README text with the table of today between its marks."""
    before, mark, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise UserError(f"{README.name}: the marks of the results table are missing")
    return f"{before}{START}\n{table()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keep", nargs="*", metavar="keep PRESET BOARD")
    arguments = parser.parse_args().keep
    try:
        if len(arguments) == 3 and arguments[0] == "keep":
            keep(*arguments[1:])
        elif arguments:
            raise UserError("usage: python -m flow.readme [keep PRESET BOARD]")
        write_atomically(README, updated(README.read_text()))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
