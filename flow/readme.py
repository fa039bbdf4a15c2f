"""What README.md says of results, made from the reports kept in models/zoo.

    python -m flow.readme keep mlp-digits pynq-z2    keep a run's report and weights in the zoo
    python -m flow.readme study tfc-mnist            keep a study's report and pictures there
    python -m flow.readme speeds                     keep `make bench ONLY=speeds` there
    python -m flow.readme                            write all three into README.md

They stand between comment lines; a test compares them with the reports.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from flow.errors import UserError
from flow.paths import BUILD, ROOT, ZOO
from flow.pipeline import say, write_atomically
from flow.rtl import speeds as speeds_bench
from flow.seeds import shown_spread
from flow.training import TRAIN
from models import presets, train, zoo

README = ROOT / "README.md"
SPEEDS = "speeds.json"
USAGE = "keep PRESET BOARD | study PRESET | speeds"
MADE = "made by `python -m flow.readme`"
# Accuracy of Brevitas' own W1A1 networks of the same topology, from the table of
# https://github.com/Xilinx/brevitas/tree/master/src/brevitas_examples/bnn_pynq, in percent.
PUBLISHED = {"tfc-mnist": 93.17, "sfc-mnist": 97.81, "lfc-mnist": 98.88, "cnv-cifar10": 84.22}

COLUMNS = (
    "preset",
    "accuracy (integer)",
    "seeds: mean ± sd",
    "published",
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
    zoo's own weights renews their report and leaves them. Of a preset that has the weights of
    another (`weights_of`), the report alone is kept.
    """
    chosen, folder = presets.load(preset), ZOO / preset
    own = chosen.name == preset  # its weights are not another preset's
    if chosen.student.average:  # sums of fractions, which `zoo.pack` does not go through
        raise UserError(f"the zoo keeps no networks that average, and {preset} does")
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
    before = zoo.find(chosen.name)
    if report["training"]["source"] == "zoo" or not own:
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
    if own:
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
    rows += [row(_entry(path)) for path in sorted(ZOO.glob(f"*/{zoo.REPORT}"))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _entry(path: Path) -> zoo.Entry:
    """A report in the zoo; the weights that it is of may lie in another preset's folder."""
    return zoo.find(path.parent.name) or zoo.Entry(path.parent, json.loads(path.read_text()))


def row(entry: zoo.Entry) -> tuple[str, ...]:
    """One line of the table; dashes for what the report does not reach."""
    report = entry.report
    published = PUBLISHED.get(presets.load(report["preset"]).name)
    seeds, hardware = "-", ("-",) * 5
    if (count := len(report.get("seeds", {}).get("seeds", ()))) > 1:
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
        f"{published:.2f} %" if published else "-",
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
    start = f" from {name}" if (name := training.get("start", "")) else ""
    return f"{training['seconds']:.0f} s training{device}{seeds}{start}, {after:.0f} s {last}"


def keep_study(preset: str) -> None:
    """Copy a finished study's report, table and pictures into the zoo."""
    source, target = BUILD / preset / "study", ZOO / preset / "study"
    report = _read(source / zoo.REPORT)
    if not report or report["failed"] or report["open"]:
        raise UserError(f"{source}: no finished study; run `make study PRESET={preset}`")
    if report["commit"].endswith("+changes"):
        raise UserError(f"{source}: made with changes that are not committed; commit, run again")
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.suffix in (".json", ".md", ".png"):
            shutil.copyfile(path, target / path.name)


def studies() -> str:
    """What the studies in the zoo conclude, as Markdown."""
    parts = []
    for path in sorted(ZOO.glob(f"*/study/{zoo.REPORT}")):
        report, folder = json.loads(path.read_text()), path.parent.relative_to(ROOT)
        parts.append(
            f"**{report['preset']}** ([all arms]({folder}/study.md), `{report['command']}`). "
            f"{report['conclusion']}"
        )
        parts.append(f"![{report['preset']}: difference of every arm]({folder}/differences.png)")
    return "\n\n".join(parts)


def keep_speeds() -> None:
    """Copy what `make bench ONLY=speeds` measured, and its picture, to the network it is of."""
    source = BUILD / "bench"
    report = _read(source / zoo.REPORT) or {}
    found = report.get("speeds")
    if not found or found["stale"]:
        raise UserError(f"{source}: no speeds of the code as it is; run `make bench ONLY=speeds`")
    if found["commit"].endswith("+changes"):
        raise UserError(f"{source}: made with changes that are not committed; commit, run again")
    target = ZOO / found["network"]
    write_atomically(
        target / SPEEDS, json.dumps(found | {"tools": report["tools"]}, indent=1) + "\n"
    )
    shutil.copyfile(source / "speeds" / "front.png", target / "speeds.png")


def speeds() -> str:
    """The networks that were folded for several speeds, as Markdown."""
    parts = []
    for path in sorted(ZOO.glob(f"*/{SPEEDS}")):
        found, folder = json.loads(path.read_text()), path.parent.relative_to(ROOT)
        parts.append(speeds_bench.table(found).rstrip())
        parts.append(
            f"`make bench ONLY=speeds` at {found['commit'][:7]} ([report]({folder}/{SPEEDS}))."
        )
        parts.append(f"![{found['network']}: images a second against LUTs]({folder}/speeds.png)")
    return "\n\n".join(parts)


def updated(text: str) -> str:
    """README text with the results, speeds and studies of today between their marks."""
    for name, made in (("results", table()), ("speeds", speeds()), ("studies", studies())):
        start, stop = f"<!-- {name}: {MADE} -->", f"<!-- end of {name} -->"
        before, mark, rest = text.partition(start)
        _, end, after = rest.partition(stop)
        if not mark or not end:
            raise UserError(f"{README.name}: the marks of the {name} are missing")
        text = f"{before}{start}\n{made}\n{stop}{after}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", metavar=USAGE)
    try:
        match parser.parse_args().what:
            case ["keep", preset, board]:
                keep(preset, board)
            case ["study", preset]:
                keep_study(preset)
            case ["speeds"]:
                keep_speeds()
            case [_, *_]:
                raise UserError(f"usage: python -m flow.readme [{USAGE}]")
        write_atomically(README, updated(README.read_text()))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
