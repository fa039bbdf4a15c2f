"""The way from RTL to a bitstream: refusals before place and route, and one tiny design whole."""

import json
from types import SimpleNamespace

import pytest
from tiny_core import tiny_core

from flow.bits import bitfile, fasm
from flow.errors import UserError
from flow.implement import bitstream, boards
from flow.implement.sources import write_sources
from flow.implement.synthesis import synthesise

BOARD = boards.load("pynq-z2")


@pytest.fixture
def design(tmp_path):
    """A core without units."""
    return tiny_core(tmp_path / "rtl", 4, 8, 8)


def test_a_design_that_does_not_fit():
    used = {"lut": 60000, "ff": 10, "bram36": 2.5, "dsp": 0}
    with pytest.raises(UserError, match=r"takes 60000 lut \(synthesised\), and pynq-z2 has 53200"):
        bitstream.check_fits(used, BOARD, "synthesised")
    bitstream.check_fits(used | {"lut": 53200}, BOARD, "synthesised")


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(bitstream.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(OSError) as error:
        bitstream.check_room(tmp_path)
    assert error.value.errno == 28


def test_rtl_that_does_not_parse(design, tmp_path):
    (design.folder / "top.sv").write_text("module top (input logic aclk\n")
    with pytest.raises(UserError, match=r"synthesis failed: top\.sv:1: ERROR.*yosys\.log") as error:
        bitstream.synthesise_sources(write_sources(design, BOARD, tmp_path / "sources"))
    assert "\n" not in str(error.value)


def test_a_clock_edge_that_the_tools_get_wrong_is_refused(design, tmp_path):
    falling = "logic q; always_ff @(negedge aclk) q <= s_axis_tvalid; assign unused = q;"
    tiny_core(tmp_path / "rtl", 4, 8, 8, falling)
    text = (design.folder / "top.sv").read_text()
    (design.folder / "top.sv").write_text(
        text.replace("input logic aclk", "output unused, input aclk")
    )
    with pytest.raises(UserError, match=r"is a FDRE_1 .*this kind of flip-flop is not proven"):
        synthesise(["top.sv"], "top", {}, design.folder, tmp_path / "yosys.log")


@pytest.mark.slow
def test_a_tiny_design_to_a_bitstream_read_back(design, tmp_path):
    folder = tmp_path / "out"
    result = bitstream.build(design, BOARD, folder, 100.0, seeds=(1,))
    area, timing, bit = result["area"], result["timing"], result["bitstream"]
    assert bit["readback"]["missing"] == bit["readback"]["extra"] == 0
    assert bit["readback"]["features"] > 5000
    assert (folder / bit["path"]).stat().st_size == bit["bytes"]
    assert area["stage"] == "routed" and 1000 < area["lut"] <= 2500 and area["dsp"] == 0
    for kind in ("lut", "ff", "bram36"):
        assert sum(layer[kind] for layer in area["layers"]) == area[kind]
        assert area["shell"][kind] + area["core"][kind] == area[kind]
    assert timing["clock_mhz"] <= timing["fmax_guarded_mhz"] <= timing["fmax_loaded_mhz"]
    assert timing["clock_mhz"] <= timing["fmax_mhz"]
    assert result["pnr_seed"] == 1
    payload = bitfile.read(folder / "design.bit").payload
    assert (folder / "design.bin").read_bytes()[::-1][:4] == payload[-4:]
    assert len(payload) == (folder / "design.bin").stat().st_size
    assert (folder / "floorplan.png").stat().st_size > 5000
    # nextpnr's grid is the database's grid: the tiles where cells lie are tiles that are configured
    places = json.loads((folder / "placement.json").read_text())
    spots = {(p["x"], p["y"]) for p in places if p["type"].startswith("SLICE")}
    database = fasm.load(BOARD.part)
    configured = {s.tile for s in fasm.parse(folder / "design.fasm") if s.name.endswith("FF.ZINI")}
    found = {(database.tiles[name].x, database.tiles[name].y) for name in configured}
    assert found and found <= spots
