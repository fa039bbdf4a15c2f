"""The results table of README.md, made from the reports kept in models/zoo.

    python -m flow.readme keep mlp-digits pynq-z2    keep a run's report and weights in the zoo
    python -m flow.readme                            write the table into README.md

The table stands between two comment lines; a test compares it with the reports.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from flow.errors import UserError
from flow.paths import BUILD, ROOT, ZOO
from flow.pipeline import say, write_atomically
from flow.seeds import shown_spread
from flow.training import TRAIN
from models import presets, train, zoo

README = ROOT / "README.md"
START, END = "<!-- results: made by `python -m flow.readme` -->", "<!-- end of results -->"

COLUMNS = (
    "preset",
    "accuracy (integer)",
    "seeds: mean ± sd",
    "images/s",
    "latency",
    "LUT",
    "block RAM",
    "clock",
    "whole way",
)


def keep(preset: str, board: str) -> None:
    """Copy a run's report, and its weights and thresholds (packed), into the zoo.

    With a report of several seeds in `build/<preset>/seeds`, the chosen seed is what is kept: with
    the report of the whole way where a run used its weights, else up to lowering. A run on the
    zoo's own weights renews their report and leaves them.
    """
    chosen, folder = presets.load(preset), ZOO / preset
    seeds = _read(BUILD / preset / "seeds" / zoo.REPORT)
    report = _read(BUILD / preset / board / zoo.REPORT)
    source = BUILD / preset
    if seeds:
        best = BUILD / preset / "seeds" / f"seed-{seeds['chosen']}"
        lowered = _read(best / zoo.REPORT)
        if not lowered:
            raise UserError(f"{best}: no report; run `make train PRESET={preset} SEEDS=..` again")
        if not report or "lowering" not in report or _weights(report) != _weights(lowered):
            report, source = lowered, best
    if not report or "lowering" not in report:
        raise UserError(f"no lowered run of {preset} to keep; run `make report PRESET={preset}`")
    for made in (report, seeds or report):
        if made["commit"].endswith("+changes"):
            raise UserError(
                f"the run of {preset} was made with changes that are not committed; commit, then "
                "run again"
            )
    before = zoo.find(preset)
    if report["training"]["source"] == "zoo":
        student = zoo.load(chosen)
    else:
        student = train.load_student(source / TRAIN.folder, chosen, report["seed"])
    arrays = zoo.pack(student)
    if zoo.digest(arrays) != _weights(report):
        raise UserError(
            f"the report of {preset} is of other weights than there are now; run "
            f"`make report PRESET={preset}`"
        )
    if seeds:
        report["seeds"] = seeds
    elif before and "seeds" in before.report and _weights(before.report) == _weights(report):
        report["seeds"] = before.report["seeds"]
    folder.mkdir(parents=True, exist_ok=True)
    zoo.save(folder / zoo.WEIGHTS, arrays)
    write_atomically(folder / zoo.REPORT, json.dumps(report, indent=1) + "\n")
    if "bitstream" not in report:
        say(f"{preset}: kept up to lowering; a run of the whole way on these weights adds the rest")


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _weights(report: dict[str, Any]) -> str | None:
    """Which weights a report is of."""
    return report.get("training", {}).get("weights")


def table() -> str:
    """The reports in the zoo as a Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [row(entry) for entry in map(zoo.find, sorted(p.name for p in ZOO.iterdir())) if entry]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def row(entry: zoo.Entry) -> tuple[str, ...]:
    """One line of the table; dashes for what the report does not reach."""
    report = entry.report
    seeds, hardware = "-", ("-",) * 5
    if "seeds" in report:
        count = len(report["seeds"]["seeds"])
        seeds = f"{shown_spread(report['seeds']['integer'])} % ({count} seeds)"
    if "timing" in report:
        rtl, area, timing = report["rtl"], report["area"], report["timing"]
        clock = timing["clock_mhz"]
        hardware = (
            f"{clock * 1e6 / rtl['interval_cycles']:,.0f}",
            f"{rtl['latency_cycles']} cycles, {rtl['latency_cycles'] / clock:.2f} µs",
            f"{area['lut']:,}",
            f"{area['bram36']:g}",
            f"{clock:g} MHz ({timing['fmax_mhz']:.0f} estimated, "
            f"{timing['fmax_guarded_mhz']:.0f} guarded)",
        )
    return (
        f"[{report['preset']}](models/zoo/{report['preset']}/report.json)",
        f"{report['accuracy']['integer']:.2f} % of {report['accuracy']['images']}",
        seeds,
        *hardware,
        _way(entry),
    )


def _way(entry: zoo.Entry) -> str:
    """Seconds of training, and of the stages after it that the report has."""
    training, seconds = entry.training, entry.report["seconds"]
    together = training.get("seeds_together", 1)
    seeds = f" ({together} seeds together)" if together > 1 else ""
    device = "" if training["device"] == "cpu" else f" on {training['device']}"
    after = sum(v for stage, v in seconds.items() if stage not in ("train", "zoo"))
    last = "to the bitstream" if "timing" in entry.report else "to the integer network"
    return f"{training['seconds']:.0f} s training{device}{seeds}, {after:.0f} s {last}"


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
