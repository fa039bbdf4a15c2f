"""Synthesis: SystemVerilog -> a netlist of Xilinx primitives, by Yosys.

Fixed choices: `-abc9` (fewer LUTs than the default mapper), flat, and none of the primitives that
the later tools get wrong (see netlist_check.py). Weight memories are placed by attributes in
the RTL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flow import tools
from flow.errors import UserError
from flow.implement import fanout, order
from flow.implement.netlist_check import FLIP_FLOPS, Cells, check_border, check_primitives
from flow.paths import ROOT

ROM_MAP = ROOT / "hw" / "yosys" / "rom_lut.v"
OPTIONS = "-flatten -abc9 -nodsp -nosrl -nolutram -arch xc7"


@dataclass(frozen=True)
class Netlist:
    """A mapped and checked module: `path` is what nextpnr reads."""

    path: Path
    top: str
    cells: Cells
    names: dict[str, Any]
    """Nets by name, as Yosys lists them: {"bits": [...], "hide_name": 0 or 1}."""

    @property
    def area(self) -> dict[str, float]:
        """LUT cells, flip-flops, block RAMs (of 36 kbit; half a one counts 0.5) and DSPs.

        Inverters count as LUTs, a LUT6_2 with its two outputs as one. The figure after placement
        differs: two LUT cells may share one LUT, and carry chains take some.
        """
        count = Counter(cell["type"] for cell in self.cells.values())
        return {
            "lut": count["INV"] + count["LUT6_2"] + sum(count[f"LUT{n}"] for n in range(1, 7)),
            "ff": sum(count[kind] for kind in FLIP_FLOPS),
            "bram36": count["RAMB36E1"] + 0.5 * count["RAMB18E1"],
            "dsp": sum(n for kind, n in count.items() if kind.startswith("DSP")),
        }

    def drivers(self, nets: Iterable[str]) -> set[str]:
        """The cells that drive the nets of these names; a name that is not there is an error."""
        wanted = {bit for name in nets for bit in self.names[name]["bits"]}
        return {
            name
            for name, cell in self.cells.items()
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output" and wanted & set(bits)
        }

    @cached_property
    def labels(self) -> dict[str, str]:
        """For every cell that drives a net with a name from the RTL: that name."""
        names: dict[int, str] = {}
        for name, net in self.names.items():
            if net.get("hide_name") or name.startswith("$"):
                continue
            for index, bit in enumerate(net["bits"]):
                label = f"{name}[{index}]" if len(net["bits"]) > 1 else name
                # Of several names the deepest; it is nearest to the register that is meant.
                if bit not in names or label.count(".") > names[bit].count("."):
                    names[bit] = label
        found = {}
        for cell_name, cell in self.cells.items():
            driven = (
                names[bit]
                for port, bits in cell["connections"].items()
                if cell["port_directions"][port] == "output"
                for bit in bits
                if bit in names
            )
            if first := next(driven, None):
                found[cell_name] = first
        return found


def synthesise(
    files: list[str],
    top: str,
    parameters: dict[str, int],
    folder: Path,
    log: Path,
    slow: Sequence[str] = (),
) -> Netlist:
    """Map `top` and check what came out; the netlist is `netlist.json` in `folder`.

    files: relative to `folder`, in which Yosys runs, so that names in the netlist are the same
    wherever the folder lies. parameters: of the top module. slow: nets that are timed apart, whose
    drivers are not copied.
    """
    script = folder / "synthesis.ys"
    given = " ".join(f"-chparam {key} {value}" for key, value in parameters.items())
    # Deferred, since a memory file's default name stands for no file.
    lines = [f"read_verilog -sv -defer {' '.join(files)}"]
    lines += [f"hierarchy -top {top} {given}"]
    lines += [
        f"synth_xilinx {OPTIONS} -top {top} -run begin:map_memory",
        # ROMs in LUTs, before Yosys makes trees of multiplexers of them.
        f"techmap -autoproc -map {ROM_MAP} t:$mem_v2 a:rom_style=block a:ram_style=block %u %d",
        f"techmap -map {ROM_MAP} t:$__rom_group",
        "opt_clean",
        f"techmap -map {ROM_MAP} t:$__rom_table",
        f"synth_xilinx {OPTIONS} -top {top} -run map_memory:",
        "write_json netlist.json",
    ]
    script.write_text("\n".join(lines) + "\n")
    try:
        tools.run("yosys", "-q", script.name, cwd=folder, log=log)
    except tools.ToolError as error:
        line = next((x for x in error.tail.splitlines() if "ERROR" in x), error.tail[-200:])
        raise UserError(f"synthesis failed: {line.strip()} (all of it: {log})") from error
    path = folder / "netlist.json"
    body = json.loads(path.read_text())
    fanout.absorb_words(body["modules"][top], slow)
    fanout.absorb(body["modules"][top], slow)
    fanout.split(body["modules"][top], slow)
    order.enabled_first(body["modules"][top])
    path.write_text(json.dumps(body))
    netlist = read_netlist(path, top)
    check_primitives(netlist.cells)
    check_border(netlist.cells)
    return netlist


def read_netlist(path: Path, top: str) -> Netlist:
    """Read what Yosys' write_json wrote."""
    module = json.loads(path.read_text())["modules"][top]
    return Netlist(path, top, module["cells"], module["netnames"])
