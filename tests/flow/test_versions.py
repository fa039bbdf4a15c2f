"""Versions of the tools: read from dpkg's list, refused where not tried, told in reports."""

import sys
from pathlib import Path

import pytest

from flow import versions
from flow.errors import UserError


def status_file(base: Path, found: dict[str, str]) -> Path:
    """A root that holds nothing but dpkg's list of installed packages."""
    status = base / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    records = [
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
        f"Description: a tool\n with: a second line\n"
        for name, version in found.items()
    ]
    records.append("Package: iverilog\nStatus: deinstall ok config-files\nVersion: 13.0-2\n")
    status.write_text("\n".join(records))
    return base


GOOD = {name: f"{tried[0]}-1+b2" for name, tried in versions.TRIED.items()}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.66-1", "0.66"),
        ("4:16.1.0-3+b1", "16.1.0"),
        ("0.11.1+dfsg-5+b1", "0.11.1+dfsg"),
        ("5.048", "5.048"),
    ],
)
def test_upstream_version(version, expected):
    assert versions.upstream(version) == expected


def test_versions_are_read_from_dpkgs_list(tmp_path):
    assert versions.debian(status_file(tmp_path, GOOD)) == GOOD
    assert versions.check(tmp_path) == GOOD


def test_version_not_tried_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.delenv(versions.ALLOW_UNTRIED, raising=False)
    status_file(tmp_path, GOOD | {"yosys": "0.67-1"})
    with pytest.raises(UserError, match=r"yosys 0\.67-1 \(tried: 0\.66\)") as caught:
        versions.check(tmp_path)
    assert versions.ALLOW_UNTRIED in str(caught.value)
    assert "verilator" not in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(versions.ALLOW_UNTRIED, "1")
    assert versions.check(tmp_path)["yosys"] == "0.67-1"


def test_missing_package_is_refused_by_name(tmp_path):
    status_file(tmp_path, {k: v for k, v in GOOD.items() if k != "prjxray"})
    with pytest.raises(UserError, match=r"not installed in .*: prjxray;"):
        versions.check(tmp_path)


def test_check_for_the_setup_scripts(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(versions.ALLOW_UNTRIED, raising=False)
    assert versions.main([str(status_file(tmp_path / "good", GOOD))]) == 0
    assert f"  yosys {GOOD['yosys']}" in capsys.readouterr().out
    bad = status_file(tmp_path / "bad", GOOD | {"verilator": "6.0-1"})
    assert versions.main([str(bad)]) == 2
    assert capsys.readouterr().err.startswith("error: version not tried")
    assert versions.main([]) == 2


def test_versions_for_reports():
    found = versions.installed()
    assert set(versions.TRIED) <= set(found)
    assert set(versions.PYTHON_PACKAGES) <= set(found)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
