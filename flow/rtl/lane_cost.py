"""What one XNOR-popcount lane costs in LUTs, by synthesis: `python -m rtl.lane_cost --out FILE`.

For dot products of D bits, synthesised alone with the flow's own options:

- `countones`: `$countones(~(a ^ w))` and a register, what one would write first;
- `popcount`: hw/rtl/popcount.sv, three lanes to two bits and 6:3 compressors, pipelined;
- `unit_lut`, `unit_block`: a whole mvu_bin.sv of D columns, all at once, and 64 rows, one by one,
  with its (random) weights in LUTs or block RAM: control, input register and weights included.

Beside them the published models of two others. FILE gets JSON, FILE with the ending .md the table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from flow import tools
from flow.implement.synthesis import synthesise
from flow.paths import ROOT
from flow.rtl import packing

SIZES = (64, 128, 576, 784)
ROWS = 64
RTL = ROOT / "hw" / "rtl"
SOURCES = ("axis_fifo", "axis_reg", "compress", "lut6", "mvu_bin", "popcount", "rom")

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


def measure(form: str, lanes: int, folder: Path) -> dict[str, float]:
    """Synthesise one form in `folder`; returns its area (lut, ff, bram36, dsp)."""
    folder.mkdir(parents=True, exist_ok=True)
    kind, _, block = form.partition("_")
    text = BODIES[kind].format(
        lanes=lanes, bits=lanes.bit_length(), rows=ROWS, block=int(block == "block")
    )
    (folder / "lane_cost.sv").write_text(text)
    for name in SOURCES:
        (folder / f"{name}.sv").write_bytes((RTL / f"{name}.sv").read_bytes())
    weights = np.random.default_rng(lanes).integers(0, 2, (ROWS, lanes))
    words = packing.hex_lines(packing.matrix_words(weights, 1, lanes))
    (folder / "weights.mem").write_text("\n".join(words) + "\n")
    files = ["lane_cost.sv", *(f"{name}.sv" for name in SOURCES)]
    return synthesise(files, "lane_cost", {}, folder, folder / "yosys.log").area


def bench(folder: Path, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """All forms at all sizes, working in `folder`; see the module's text."""
    rows = []
    for lanes in sizes:
        row: dict[str, Any] = {"lanes": lanes}
        for form in FORMS:
            area = measure(form, lanes, folder / f"{form}-{lanes}")
            row[form] = {"lut": area["lut"], "ff": area["ff"], "bram36": area["bram36"]}
        row |= {name: {"lut": model(lanes)} for name, (_, model) in MODELS.items()}
        for cost in row.values():
            if isinstance(cost, dict):
                cost["lut_per_lane"] = round(cost["lut"] / lanes, 3)
        rows.append(row)
    return {"schema": 1, "stage": "synthesised", "tools": tools.versions(), "rows": rows}


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
            if row[name].get("bram36"):
                text += f" + {row[name]['bram36']:g} RAMB36"
            cells.append(text)
        lines.append(f"| {row['lanes']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the table goes beside")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bits a dot product")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lane-cost-") as folder:
        result = bench(Path(folder), tuple(options.sizes))
    text = table(result)
    for path, body in (
        (options.out, json.dumps(result, indent=1) + "\n"),
        (options.out.with_suffix(".md"), text),
    ):
        partial = path.with_name(path.name + ".partial")
        partial.write_text(body)
        partial.replace(path)
    print(text, end="")


if __name__ == "__main__":
    main()
