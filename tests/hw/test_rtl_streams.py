"""Every stream module against NumPy: corners and random parameters, gaps, back-pressure, resets."""

from __future__ import annotations

from pathlib import Path

import branch_cases
import cases
import image_cases
import numpy as np
import pytest
from benches import HERE, Case, Result, run

MODULES = (cases, image_cases, branch_cases)
CASES = [
    case
    for module in MODULES
    for case in module.chosen(np.random.default_rng(11)) + module.sample(seed=3, each=5)
]
MANY = [case for module in MODULES for case in module.sample(seed=4, each=40)]
FAULTS = {
    1: "valid_dropped",
    2: "data_changed",
    3: "data_changed",
    4: "wrong_word",
    5: "extra_word",
    6: "deadlock",
    7: "wrong_word",
}


def check(case: Case, result: Result) -> None:
    assert result.errors == 0, f"{case.name}: {result.errors} errors, first {result.first_error}"
    if case.interval is not None:
        assert result.interval == pytest.approx(case.interval, abs=0.01), case.name


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, Result]:
    return run(CASES, tmp_path_factory.mktemp("benches"), [branch_cases.SOURCE])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_module_equals_numpy(case: Case, results: dict[str, Result]) -> None:
    check(case, results[case.name])


@pytest.mark.slow
def test_many_random_parameters(tmp_path: Path) -> None:
    results = run(MANY, tmp_path, [branch_cases.SOURCE])
    for case in MANY:
        check(case, results[case.name])


def test_bench_sees_faults(tmp_path: Path) -> None:
    """A bench that cannot fail proves nothing: each fault of broken.sv is named."""
    data = [(37 * i + 5) & 255 for i in range(120)]
    broken = [
        Case(f"fault{fault}", "broken", {"FAULT": fault}, 8, 8, data, data)
        for fault in (0, *FAULTS)
    ]
    flipped = list(data)
    flipped[60] ^= 4
    broken.append(Case("expectation", "broken", {"FAULT": 0}, 8, 8, data, flipped))
    results = run(broken, tmp_path, [HERE / "broken.sv"])
    assert results["fault0"].errors == 0
    for fault, name in FAULTS.items():
        assert results[f"fault{fault}"].first_error.startswith(name), fault
    assert results["expectation"].first_error == "wrong_word@phase0,word60"
