"""Parsers of Vivado's and Vitis' reports, on samples written by hand (vendor_samples/README.md)."""

from pathlib import Path

import pytest

from flow.errors import UserError
from flow.vendor import reports, vivado

SAMPLES = Path(__file__).with_name("vendor_samples")
LAYERS = {"fc0": "fc0", "fc0_by8": "fc0", "fc1": "fc1"}


def changed(folder, name, *pairs):
    """A sample with texts replaced."""
    text = (SAMPLES / name).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text)
    return path


def test_utilisation_of_7_series():
    found = reports.utilisation(SAMPLES / "utilization.rpt")
    assert found == {"lut": 2321, "ff": 3104, "bram36": 3.5, "dsp": 0}


def test_utilisation_of_ultrascale_and_an_older_version():
    found = reports.utilisation(SAMPLES / "utilization_us.rpt")
    assert found == {"lut": 120345, "ff": 190123, "bram36": 190, "dsp": 4}


def test_numbers():
    assert [reports.number(c) for c in ("  1,234 ", "192064 [ 16.25%]", "<0.1", "-1.5")] == [
        1234,
        192064,
        0.1,
        -1.5,
    ]


def test_versions():
    assert reports.tool_version((SAMPLES / "utilization.rpt").read_text()) == "2023.2"
    assert reports.tool_version("nothing") == ""


def test_an_unknown_format_is_named(tmp_path):
    path = changed(tmp_path, "utilization.rpt", ("| DSPs ", "| Arithmetic "))
    with pytest.raises(UserError, match=r"utilization\.rpt: says nothing of dsp"):
        reports.utilisation(path)
    with pytest.raises(UserError, match="missing; the tool wrote no such report"):
        reports.utilisation(tmp_path / "none.rpt")


def test_hierarchy():
    found = reports.hierarchy(SAMPLES / "hierarchy.rpt")
    assert found[""] == {"lut": 2321, "ff": 3104, "bram36": 3.5}
    assert found["core/fc0"] == {"lut": 400, "ff": 700, "bram36": 0.5}
    assert found["core/fc0/gen.weights"]["lut"] == 40
    assert "core" in found and not any("(" in name for name in found)


def test_layers_add_up_to_the_whole():
    rows = reports.by_layer(reports.hierarchy(SAMPLES / "hierarchy.rpt"), LAYERS)
    assert [row["name"] for row in rows] == ["fc0", "fc1", "joints", "shell"]
    assert rows[0] == {"name": "fc0", "lut": 450, "ff": 760, "bram36": 0.5}
    assert rows[2] == {"name": "joints", "lut": 50, "ff": 81, "bram36": 0.0}
    assert rows[3] == {"name": "shell", "lut": 1321, "ff": 1663, "bram36": 2.0}
    assert sum(row["lut"] for row in rows) == 2321
    assert sum(row["bram36"] for row in rows) == 3.5


def test_timing_summary():
    found = reports.timing_summary(SAMPLES / "timing_summary.rpt")
    assert (found.wns_ns, found.whs_ns, found.clocks) == (1.5, 0.031, {"fclk0": 10.0})
    assert found.path == (
        "core/fc0/count/sum_reg[2]/C -> core/fc0_act/out_reg[0]/D, 8.300 ns over 7 levels of logic"
    )


def test_timing_section():
    found = vivado.timing(SAMPLES / "timing_summary.rpt", 100.0)
    assert found["fmax_mhz"] == round(1000 / 8.5, 2)
    assert found["source"] == "Vivado"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "      1.500        0.000",
            "     -0.250      -12.000",
            "100 MHz is not met: worst set-up",
        ),
        ("        0.031        0.000", "       -0.031       -1.000", "worst hold slack -0.031 ns"),
        ("      1.500  ", "         NA  ", "no Design Timing Summary with a WNS"),
        ("| Design Timing Summary", "| Timing", "no Design Timing Summary with a WNS"),
    ],
)
def test_a_missed_clock_is_refused(tmp_path, old, new, says):
    path = changed(tmp_path, "timing_summary.rpt", (old, new))
    with pytest.raises(UserError, match=says):
        vivado.timing(path, 100.0)


def test_kernel_utilisation():
    found = reports.kernel_utilisation(SAMPLES / "kernel_util_routed.rpt", "hanbit_1")
    assert found == {"lut": 3210, "ff": 4567, "bram36": 4, "dsp": 0}
    with pytest.raises(UserError, match="no row for hanbit_2"):
        reports.kernel_utilisation(SAMPLES / "kernel_util_routed.rpt", "hanbit_2")
