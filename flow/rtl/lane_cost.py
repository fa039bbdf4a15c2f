"""What one XNOR-popcount lane costs in LUTs: `make bench ONLY=lanes`.

For dot products of D bits, synthesised alone with the flow's own options:

- `countones`: `$countones(~(a ^ w))` and a register, what one would write first;
- `popcount`: hw/rtl/popcount.sv, seven lanes to four bits and 6:3 compressors, pipelined;
- `unit_lut`, `unit_block`: a whole mvu_bin.sv of D columns, all at once, and 64 rows, one by one,
  with its (random) weights in LUTs or block RAM: control, input register and weights included.

`popcount` and `unit_block` are placed and routed too, fed by a shift register of flip-flops, which
takes no LUT. Beside them the published models of two others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from flow import tools, versions
from flow.implement import pairs, placed
from flow.implement.synthesis import Netlist, synthesise
from flow.paths import ROOT
from flow.pipeline import say, write_atomically
from flow.rtl import packing
from flow.rtl.codegen import module_closure

SIZES = (64, 128, 576, 784)
ROUTED = ("popcount", "unit_block")  # forms that are placed and routed ...
ROUTED_SIZES = (64, 576)  # ... at these sizes
ROWS = 64
RTL = ROOT / "hw" / "rtl"
SOURCES = module_closure({"mvu_bin"})
PART = "xc7z020clg400-1"
# Pins of that package, in any order but the first, which takes a clock.
PINS = (
    *("H16", "Y18", "Y19", "Y16", "Y17", "U18", "U19", "W18", "W19", "W14", "Y14", "T11", "T10"),
    *("V16", "W16", "V12", "W13", "R14", "P14", "N16", "M14"),
)

# LUTs of a layer in FINN's HLS cost model, of a dot-product unit of BISMO (Umuroglu et al. 2019).
MODELS = {
    "finn": ("FINN, 6.6 D + 300", lambda lanes: 6.6 * lanes + 300),
    "bismo": ("BISMO, 1.17 D + 44", lambda lanes: 1.17 * lanes + 44),
}
FORMS = {
    "countones": "$countones",
    "popcount": "popcount.sv",
    "unit_lut": "unit, weights in LUTs",
    "unit_block": "unit, weights in block RAM",
}

LANES_PORTS = """module lane_cost (
  input logic aclk, aresetn, enable,
  input logic [{lanes}-1:0] a, w,
  output logic [{bits}-1:0] count
);
"""
BODIES = {
    "countones": LANES_PORTS
    + """
  always_ff @(posedge aclk) if (enable) count <= {bits}'($countones(~(a ^ w)));
endmodule
""",
    "popcount": LANES_PORTS
    + """
  popcount #(.N({lanes})) u_popcount (
    .aclk, .aresetn, .enable, .a, .w, .s_tag(1'b0), .m_count(count), .m_tag());
endmodule
""",
    "unit": """module lane_cost (
  input logic aclk, aresetn, s_axis_tvalid, m_axis_tready,
  input logic [{lanes}-1:0] s_axis_tdata,
  output logic s_axis_tready, m_axis_tvalid,
  output logic [{bits}-1:0] m_axis_tdata
);
  mvu_bin #(
    .MW({lanes}), .MH({rows}), .PE(1), .SIMD({lanes}), .ACC_BITS({bits}), .BLOCK({block}),
    .WEIGHTS("weights.mem")
  ) u_unit (.*);
endmodule
""",
}
# What is placed and routed: as few pins as the package has, so the bits come one by one.
SHIFTED = {
    "popcount": """module routed (
  input logic aclk, aresetn, enable, s_bit,
  output logic [{bits}-1:0] count
);
  logic [2*{lanes}-1:0] bits_q;
  always_ff @(posedge aclk) bits_q <= (2*{lanes})'({{bits_q, s_bit}});
  lane_cost u_lanes (
    .aclk, .aresetn, .enable, .a(bits_q[{lanes}-1:0]), .w(bits_q[{lanes}+:{lanes}]), .count);
endmodule
""",
    "unit": """module routed (
  input logic aclk, aresetn, s_axis_tvalid, m_axis_tready, s_bit,
  output logic s_axis_tready, m_axis_tvalid,
  output logic [{bits}-1:0] m_axis_tdata
);
  logic [{lanes}-1:0] bits_q;
  always_ff @(posedge aclk) bits_q <= {lanes}'({{bits_q, s_bit}});
  lane_cost u_unit (.s_axis_tdata(bits_q), .*);
endmodule
""",
}


def measure(form: str, lanes: int, folder: Path) -> dict[str, float]:
    """Synthesise one form in `folder`; returns its area (lut, ff, bram36, dsp)."""
    return _synthesised(form, lanes, folder).area


def route(form: str, lanes: int, folder: Path) -> dict[str, float]:
    """Synthesise, place and route one form of `ROUTED` in `folder`; returns its area."""
    netlist = _synthesised(form, lanes, folder, SHIFTED[form.partition("_")[0]])
    ports = json.loads(netlist.path.read_text())["modules"][netlist.top]["ports"]
    names = ["aclk"]
    for name, port in ports.items():
        wide = len(port["bits"]) > 1
        bits = [f"{name}[{n}]" for n in range(len(port["bits"]))] if wide else [name]
        names += [bit for bit in bits if bit != "aclk"]
    lines = []
    for name, pin in zip(names, PINS[: len(names)], strict=True):
        lines.append(f"set_property LOC {pin} [get_ports {{{name}}}]")
        lines.append(f"set_property IOSTANDARD LVCMOS33 [get_ports {{{name}}}]")
    (folder / "pins.xdc").write_text("\n".join(lines) + "\n")
    halved, options = pairs.write(netlist.path, folder)
    tools.run(
        "nextpnr-himbaechel-xilinx",
        *("--device", PART, "--json", halved, "--seed", 1, "--freq", 100),
        *options,
        *("-o", "xdc=pins.xdc", "--timing-allow-fail", "--write", "routed.json"),
        cwd=folder,
        log=folder / "nextpnr.log",
    )
    return placed.area(placed.cells(placed.read_netlist(folder / "routed.json")))


def _synthesised(form: str, lanes: int, folder: Path, around: str = "") -> Netlist:
    """`around`: text of a module `routed` that is the top instead."""
    folder.mkdir(parents=True, exist_ok=True)
    kind, _, block = form.partition("_")
    text = (BODIES[kind] + around).format(
        lanes=lanes, bits=lanes.bit_length(), rows=ROWS, block=int(block == "block")
    )
    (folder / "lane_cost.sv").write_text(text)
    for name in SOURCES:
        (folder / f"{name}.sv").write_bytes((RTL / f"{name}.sv").read_bytes())
    weights = np.random.default_rng(lanes).integers(0, 2, (ROWS, lanes))
    words = packing.hex_lines(packing.matrix_words(weights, 1, lanes))
    (folder / "weights.mem").write_text("\n".join(words) + "\n")
    files = ["lane_cost.sv", *(f"{name}.sv" for name in SOURCES)]
    return synthesise(files, "routed" if around else "lane_cost", {}, folder, folder / "yosys.log")


def bench(folder: Path, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """All forms at all sizes, working in `folder`, where what was measured before is kept."""
    wanted = [(form, lanes, False) for lanes in sizes for form in FORMS]
    wanted += [(form, lanes, True) for lanes in sizes for form in ROUTED if lanes in ROUTED_SIZES]
    found = {}
    for number, (form, lanes, routed) in enumerate(wanted, 1):
        stage = "routed" if routed else "synthesised"
        work = folder / f"{form}-{lanes}-{stage}"
        kept = work / "area.json"
        if not kept.is_file():
            say(f"  {number} of {len(wanted)}: {form}, {lanes} lanes, {stage}")
            area = (route if routed else measure)(form, lanes, work)
            write_atomically(kept, json.dumps(area) + "\n")
        found[form, lanes, routed] = json.loads(kept.read_text())
    rows = []
    for lanes in sizes:
        row: dict[str, Any] = {"lanes": lanes}
        for form in FORMS:
            row[form] = _cost(found[form, lanes, False], lanes)
            if (form, lanes, True) in found:
                row[form]["routed"] = _cost(found[form, lanes, True], lanes)
        row |= {name: _cost({"lut": model(lanes)}, lanes) for name, (_, model) in MODELS.items()}
        rows.append(row)
    stage = "synthesised, and routed where it says so; FINN and BISMO: published models"
    return {"stage": stage, "part": PART, "tools": versions.installed(), "rows": rows}


def _cost(area: dict[str, float], lanes: int) -> dict[str, Any]:
    kept = {key: area[key] for key in ("lut", "ff", "bram36") if key in area}
    return kept | {"lut_per_lane": round(area["lut"] / lanes, 3)}


def table(result: dict[str, Any]) -> str:
    """The result as a table in Markdown: LUTs and, in brackets, LUTs a lane."""
    titles = {**FORMS, **{name: title for name, (title, _) in MODELS.items()}}
    lines = [
        "| D | " + " | ".join(titles.values()) + " |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for row in result["rows"]:
        cells = []
        for name in titles:
            text = f"{row[name]['lut']:.0f} ({row[name]['lut_per_lane']:.2f})"
            if routed := row[name].get("routed"):
                text += f", routed {routed['lut']:.0f} ({routed['lut_per_lane']:.2f})"
            if row[name].get("bram36"):
                text += f" + {row[name]['bram36']:g} RAMB36"
            cells.append(text)
        lines.append(f"| {row['lanes']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
