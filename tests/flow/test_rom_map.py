"""The Yosys map for ROMs in LUTs: one LUT6 a bit for 64 words, and the words are the file's."""

import json
from pathlib import Path

import numpy as np
import pytest

from flow.implement.synthesis import synthesise
from flow.paths import RTL
from flow.rtl import packing

WIDTH = 37


class Netlist:
    """Evaluates the LUTs and multiplexers of a mapped ROM; registers are transparent."""

    def __init__(self, path: Path):
        self.module = json.loads(path.read_text())["modules"]["rom"]
        self.driver = {}
        for cell in self.module["cells"].values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    self.driver |= {bit: cell for bit in bits}

    def read(self, address: int) -> int:
        """The word that the data output takes after an edge with this address."""
        values: dict[int | str, int] = {"0": 0, "1": 1, "x": 0}
        for i, bit in enumerate(self.module["ports"]["addr"]["bits"]):
            values[bit] = address >> i & 1
        return sum(
            self.value(bit, values) << i
            for i, bit in enumerate(self.module["ports"]["data"]["bits"])
        )

    def value(self, bit: int | str, values: dict[int | str, int]) -> int:
        if bit not in values:
            values[bit] = self.output(self.driver[bit], values)
        return values[bit]

    def output(self, cell: dict, values: dict[int | str, int]) -> int:
        kind = cell["type"]

        def port(name: str) -> int:
            return self.value(cell["connections"][name][0], values)

        if kind in ("IBUF", "OBUF"):
            return port("I")
        if kind == "FDRE":
            return port("D")
        if kind in ("MUXF7", "MUXF8"):
            return port("I1") if port("S") else port("I0")
        if kind == "INV":
            return 1 - port("I")
        assert kind.startswith("LUT"), kind
        index = sum(port(f"I{i}") << i for i in range(int(kind[3:])))
        return int(cell["parameters"]["INIT"], 2) >> index & 1


@pytest.mark.parametrize(("depth", "luts"), [(10, 1), (64, 1), (100, 2), (200, 4)])
def test_a_mapped_rom_holds_the_words_of_its_file(depth, luts, tmp_path):
    words = np.random.default_rng(depth).integers(0, 2, (depth, WIDTH), dtype=np.uint8)
    words[:, 5] = 0  # a bit that needs no LUT
    (tmp_path / "rom.mem").write_text(packing.mem_text(words))
    (tmp_path / "rom.sv").write_text((RTL / "rom.sv").read_text())
    parameters = {"WIDTH": WIDTH, "DEPTH": depth, "BLOCK": 0}
    mapped = synthesise(["rom.sv"], "rom", parameters, tmp_path, tmp_path / "yosys.log")
    assert mapped.area["lut"] <= luts * (WIDTH - 1)
    rom = Netlist(tmp_path / "netlist.json")
    for address in range(depth):
        assert rom.read(address) == int(packing.hex_lines(words)[address], 16)
