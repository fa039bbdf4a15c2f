"""The report of a study: the figures of every arm, the comparisons, and what they say in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from flow import report as flow_report
from flow import versions
from models import arms, calibration, curves, statistics
from models.arms import Arm
from models.presets import Preset
from models.workers import Task

SCHEMA = 1
CURVES = ("temperature", "teacher_entropy", "student_entropy", "distance")
SIGNIFICANT = 0.05


def report(
    preset: Preset,
    seeds: Sequence[int],
    catalogue: Mapping[str, Arm],
    finished: Mapping[str, Task],
    command: str,
) -> dict[str, Any]:
    """All that is known of the finished arms. Accuracies are in percent, one a seed."""
    names = [name for name in catalogue if name in finished]  # in the catalogue's order
    runs = {name: _read(finished[name].folder) for name in names}
    found = {name: _arm(catalogue[name], finished[name], runs[name]) for name in names}
    chosen = _choose(found)
    body = {
        "schema": SCHEMA,
        "preset": preset.name,
        "commit": flow_report.commit(),
        "command": command,
        "seeds": list(seeds),
        "epochs": preset.training.epochs,
        "device": sorted({run["device"] for run in runs.values()}),
        "threads": sorted({run["threads"] for run in runs.values()}),
        "tools": versions.installed() | {"scipy": scipy.__version__},
        "arms": found,
        "chosen": chosen,
        "comparisons": _comparisons(found, chosen),
        "calibration": {name: _calibration(finished[name].folder) for name in names},
        "cost": _cost(runs),
    }
    return body | {"conclusion": conclusion(body)}


def _read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def _arm(arm: Arm, task: Task, run: dict[str, Any]) -> dict[str, Any]:
    def each(key: str) -> list[float]:
        return [_short(one["accuracy"][key]) for one in run["per_seed"]]

    kept = task.folder / "integer.json"
    integer = json.loads(kept.read_text()) if kept.is_file() else None
    taught = run["per_seed"][0]["accuracy"]["teacher_test"] is not None
    means = {key: curves.values(run["history"], key) for key in CURVES}
    return {
        "about": arm.about,
        "family": arm.family,
        "distillation": asdict(task.preset.distillation),
        "fingerprint": run["fingerprint"],
        "seeds": run["seeds"],
        "accuracy": each("test"),
        "validation": each("validation"),
        "integer": [_short(integer[str(seed)]) for seed in run["seeds"]] if integer else None,
        "teacher": each("teacher_test") if taught else None,
        "best_epoch": [one["best_epoch"] for one in run["per_seed"]],
        "curves": {
            key: None if mean is None else [_short(x) for x in mean.mean(1)]
            for key, mean in means.items()
        },
    }


@cache  # a finished folder does not change
def _calibration(folder: Path) -> dict[str, list[float] | None]:
    with np.load(folder / "outputs.npz") as outputs:
        found: dict[str, Any] = calibration.measure(
            (outputs["validation_logits"], outputs["validation_labels"]),
            (outputs["test_logits"], outputs["test_labels"]),
        )
        found["agreement"] = None
        if "teacher_test_labels" in outputs:
            labels = outputs["teacher_test_labels"]
            found["agreement"] = calibration.agreement(outputs["test_logits"], labels).tolist()
    return {key: value and [_short(x) for x in value] for key, value in found.items()}


def _cost(runs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Seconds of training, of all seeds together and for each; as a multiple of no teacher's."""
    found = {}
    for name, run in runs.items():
        found[name] = {
            "seconds": run["seconds"],
            "seconds_a_seed": _short(run["seconds"] / len(run["seeds"])),
        }
        if arms.NONE in runs and runs[arms.NONE]["seconds"]:
            found[name]["of_none"] = _short(run["seconds"] / runs[arms.NONE]["seconds"])
    return found


def _choose(found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Of each family the arm of the best mean validation accuracy; of equals the first."""
    families: dict[str, list[str]] = {}
    for name, arm in found.items():
        if arm["family"]:
            families.setdefault(arm["family"], []).append(name)
    return {
        family: {"arm": max(names, key=lambda n: np.mean(found[n]["validation"])), "of": names}
        for family, names in families.items()
    }


def _comparisons(
    found: Mapping[str, dict[str, Any]], chosen: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Two families, each Holm-corrected: the study's questions, and every arm against fixed T."""
    of = {family: choice["arm"] for family, choice in chosen.items()}
    fixed, adaptive = of.get("fixed"), of.get("adaptive")
    asked: list[tuple[str, str | None, str | None]] = [
        ("adaptive over fixed", adaptive, fixed),
        ("adaptive over replay", arms.ADAPTIVE, arms.REPLAY),
        ("adaptive over none", adaptive, arms.NONE),
        ("fixed over none", fixed, arms.NONE),
    ]
    for mode in ("frozen", "online"):
        pair = (of.get(f"{mode}_adaptive"), of.get(f"{mode}_fixed"))
        asked.append((f"{mode}: adaptive over fixed", *pair))
        pair = (f"{mode}_{arms.ADAPTIVE}", f"{mode}_{arms.REPLAY}")
        asked.append((f"{mode}: adaptive over replay", *pair))
    groups: dict[str, list[tuple[str, str | None, str | None]]] = {
        "questions": asked,
        "arms": [(f"{name} over fixed", name, fixed) for name in found if name != fixed],
    }
    compared = []
    for group, questions in groups.items():
        rows = []
        for question, a, b in questions:
            if a and b and a in found and b in found:
                figures = statistics.compare(_by_seed(found[a]), _by_seed(found[b]))
                rows.append({"group": group, "question": question, "a": a, "b": b} | figures)
        for row, p in zip(rows, statistics.holm([row["p"] for row in rows]), strict=True):
            compared.append(row | {"p_holm": p})
    return compared


def _by_seed(arm: Mapping[str, Any]) -> dict[int, float]:
    return dict(zip(arm["seeds"], arm["accuracy"], strict=True))


def _short(value: float) -> float:
    """Six digits are more than any of these figures has."""
    return float(f"{value:.6g}")


# --- in words -------------------------------------------------------------------------------------


def conclusion(body: Mapping[str, Any]) -> str:
    """What entropy adaptation adds, in one paragraph made from the numbers alone."""
    rows = {row["question"]: row for row in body["comparisons"] if row["group"] == "questions"}
    seeds, found = len(body["seeds"]), body["arms"]
    if not rows:
        return "The arms that have run answer none of the study's questions."
    said = [
        f"{body['preset']}, {seeds} paired seeds, {body['epochs']} epochs, accuracy on the test "
        "images (differences in points, 95 % bootstrap interval, exact sign-flip p, Holm-corrected "
        f"over {len(rows)} questions; {seeds} seeds cannot give a p below {2 / 2**seeds:.3g} "
        "before correction)."
    ]
    if row := rows.get("adaptive over fixed"):
        said.append(
            f"The temperature that follows the entropies, tuned on validation images "
            f"({_of(body, 'adaptive')}), reaches {_percent(found[row['a']])}, the fixed one tuned "
            f"likewise ({_of(body, 'fixed')}) {_percent(found[row['b']])}: what adaptation adds "
            f"over a tuned fixed T is {_said(row)}."
        )
    if row := rows.get("adaptive over replay"):
        said.append(
            f"Over a replay of its own mean curve ({row['a']} against {row['b']}), which looks at "
            f"no entropy, it adds {_said(row)}."
        )
    if row := rows.get("adaptive over none"):
        said.append(f"Over no teacher at all it adds {_said(row)}.")
    if row := rows.get("fixed over none"):
        said.append(f"The tuned fixed T adds {_said(row)} over no teacher.")
    for mode in ("frozen", "online"):
        with_teacher = f"With {'a frozen' if mode == 'frozen' else 'an online'} teacher adaptation"
        if row := rows.get(f"{mode}: adaptive over fixed"):
            a, b = (_of(body, f"{mode}_{family}") for family in ("adaptive", "fixed"))
            said.append(f"{with_teacher} ({a}) adds {_said(row)} over a fixed T ({b}).")
        if row := rows.get(f"{mode}: adaptive over replay"):
            said.append(f"{with_teacher} ({row['a']}) adds {_said(row)} over its replay.")
    return " ".join(said)


def _of(body: Mapping[str, Any], family: str) -> str:
    choice = body["chosen"][family]
    return f"{choice['arm']}, of {len(choice['of'])}"


def _percent(arm: Mapping[str, Any]) -> str:
    return f"{np.mean(arm['accuracy']):.2f} %"


def _said(row: Mapping[str, Any]) -> str:
    """A difference with its interval and p, and whether it can be told from zero."""
    text = _signed(row["mean"])
    if row["interval"] is None:
        return f"{text} (one seed, no interval)"
    low, high = row["interval"]
    text += f" ({_signed(low)} to {_signed(high)}, p = {row['p_holm']:.3g})"
    if row["p_holm"] >= SIGNIFICANT or low <= 0 <= high:
        text += ", not told apart from zero"
    return text


# --- as a page ------------------------------------------------------------------------------------

PICTURES = {
    "differences.png": "difference from the tuned fixed T, seed by seed, with intervals",
    "accuracy.png": "test accuracy of every run",
    "curves.png": "temperature, entropies and distance of every arm",
    "adaptation.png": "one run: the entropies and the temperature that follows them",
    "calibration.png": "calibration before and after temperature scaling",
    "cost.png": "seconds of training",
}


def pictures(body: Mapping[str, Any]) -> dict[str, str]:
    """The pictures that a report has something for, and what they show."""
    needs = {"differences.png": bool(body["chosen"].get("fixed")) and len(body["arms"]) > 1}
    needs["adaptation.png"] = arms.ADAPTIVE in body["arms"]
    return {name: about for name, about in PICTURES.items() if needs.get(name, True)}


def page(body: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    found, fixed = body["arms"], body["chosen"].get("fixed", {}).get("arm")
    rows = {row["a"]: row for row in body["comparisons"] if row["group"] == "arms"}
    title = "over the tuned fixed T" if fixed is None else f"over {fixed}"
    head: tuple[str, ...] = (
        "arm",
        "what",
        "test %",
        "integer %",
        "validation %",
        title,
        "p (Holm)",
    )
    head += ("ECE % -> scaled", "NLL -> scaled", "agreement %", "s a seed")
    table: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for name, arm in found.items():
        row, c, cost = rows.get(name), body["calibration"][name], body["cost"][name]
        table.append(
            (
                name,
                arm["about"],
                _spread(arm["accuracy"]),
                _spread(arm["integer"]),
                _spread(arm["validation"]),
                _difference(row) if row else "",
                f"{row['p_holm']:.3g}" if row else "",
                f"{100 * np.mean(c['ece']):.2f} -> {100 * np.mean(c['ece_scaled']):.2f}",
                f"{np.mean(c['nll']):.3f} -> {np.mean(c['nll_scaled']):.3f}",
                "" if c["agreement"] is None else f"{np.mean(c['agreement']):.2f}",
                f"{cost['seconds_a_seed']:.1f}",
            )
        )
    questions: list[tuple[str, ...]] = [
        ("question", "a", "b", "a - b", "p", "p (Holm)"),
        ("---",) * 6,
    ]
    for row in body["comparisons"]:
        if row["group"] == "questions":
            p = (f"{row['p']:.3g}", f"{row['p_holm']:.3g}")
            questions.append((row["question"], row["a"], row["b"], _difference(row), *p))
    parts = [
        f"# Study of {body['preset']}: {len(found)} arms, seeds {_list(body['seeds'])}, "
        f"{body['epochs']} epochs",
        body["conclusion"],
        _markdown(questions),
        _markdown(table),
        "Means over seeds, +- their standard deviation; differences in points with their 95 % "
        "interval; seconds without a frozen teacher's own training. Chosen on validation images: "
        + (
            _list(f"{k} {v['arm']} (of {_list(v['of'])})" for k, v in body["chosen"].items()) or "-"
        ),
        *(f"{name} failed: {why}" for name, why in body["failed"].items()),
        *(f"![{about}]({name})" for name, about in pictures(body).items()),
        f"Commit {body['commit']}; `{body['command']}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _spread(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    spread = f" +- {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def _difference(row: Mapping[str, Any]) -> str:
    interval = row["interval"] and f" [{', '.join(map(_signed, row['interval']))}]"
    return _signed(row["mean"]) + (interval or "")


def _signed(points: float) -> str:
    return f"{round(points, 2) + 0.0:+.2f}"  # and no -0.00


def _list(items: Any) -> str:
    return ", ".join(map(str, items))


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
