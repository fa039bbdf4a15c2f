"""The way from RTL to a bitstream: refusals before place and route, and one tiny design whole."""

import json
from types import SimpleNamespace

import pytest

from flow.bits import fasm
from flow.errors import UserError
from flow.implement import bitstream, boards
from flow.implement.synthesis import synthesise

BOARD = boards.load("pynq-z2")

CORE = """
module top (
  input logic aclk,
  input logic aresetn,
  input logic [31:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [7:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  assign s_axis_tready = !m_axis_tvalid;
  always_ff @(posedge aclk) begin
    if (s_axis_tvalid && s_axis_tready) begin
      m_axis_tdata <= s_axis_tdata[7:0] + s_axis_tdata[15:8] + s_axis_tdata[31:24];
      m_axis_tvalid <= 1'b1;
    end
    if (m_axis_tvalid && m_axis_tready) m_axis_tvalid <= 1'b0;
    if (!aresetn) m_axis_tvalid <= 1'b0;
  end
  EXTRA
endmodule
"""


@pytest.fixture
def design(tmp_path):
    """A core without units that adds three bytes."""
    folder = tmp_path / "rtl"
    folder.mkdir()
    (folder / "top.sv").write_text(CORE.replace("EXTRA", ""))
    return SimpleNamespace(
        folder=folder, files=("top.sv",), in_bits=32, out_bits=8, memories=(), units=()
    )


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
        bitstream.synthesise_design(design, BOARD, tmp_path / "sources")
    assert "\n" not in str(error.value)


def test_a_clock_edge_that_the_tools_get_wrong_is_refused(design, tmp_path):
    falling = "logic q; always_ff @(negedge aclk) q <= s_axis_tvalid; assign unused = q;"
    text = CORE.replace("EXTRA", falling).replace("input logic aclk", "output unused, input aclk")
    (design.folder / "top.sv").write_text(text)
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
    assert area["stage"] == "routed" and 150 < area["lut"] <= 500
    for kind in ("lut", "ff", "bram36"):
        assert sum(layer[kind] for layer in area["layers"]) == area[kind]
    assert timing["clock_mhz"] <= timing["fmax_guarded_mhz"] <= timing["fmax_loaded_mhz"]
    assert timing["fmax_loaded_mhz"] <= timing["fmax_mhz"]
    assert result["pnr_seed"] == 1
    assert (folder / "floorplan.png").stat().st_size > 5000
    # nextpnr's grid is the database's grid: the tiles where cells lie are tiles that are configured
    places = json.loads((folder / "placement.json").read_text())
    spots = {(p["x"], p["y"]) for p in places if p["type"].startswith("SLICE")}
    database = fasm.load(BOARD.part)
    configured = {s.tile for s in fasm.parse(folder / "design.fasm") if ".ZINI" in f".{s.name}"}
    found = {(database.tiles[name].x, database.tiles[name].y) for name in configured}
    assert found and found <= spots
