"""The mapped netlist: only proven primitives pass, and the PS7's signals begin and end in order."""

import copy

import pytest

from flow.errors import UserError
from flow.implement.netlist_check import check_border, check_primitives


def cell(kind, connections=None, inputs=(), **parameters):
    """A cell as Yosys writes it; ports named in `inputs` are inputs, the others outputs."""
    connections = connections or {}
    return {
        "type": kind,
        "parameters": parameters,
        "attributes": {"src": "core.sv:7.3-9.6|other.sv:1"},
        "connections": connections,
        "port_directions": {p: "input" if p in inputs else "output" for p in connections},
    }


def test_proven_primitives_pass():
    kinds = ["LUT1", "LUT6", "CARRY4", "MUXF7", "MUXF8", "INV", "FDRE", "FDSE", "FDCE", "FDPE"]
    kinds += ["BUFG", "PS7", "IBUF", "OBUF", "GND", "VCC", "$scopeinfo"]
    check_primitives({f"c{n}": cell(kind) for n, kind in enumerate(kinds)})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("SRL16E", "shift registers"),
        ("SRLC32E", "shift registers"),
        ("RAM32M", "LUT RAM"),
        ("RAM64X1D", "LUT RAM"),
        ("DSP48E1", "mode bits"),
        ("LDCE", "latches"),
        ("PLLE2_ADV", "clock managers"),
        ("MMCME2_ADV", "clock managers"),
        ("FDRE_1", "not proven"),
        ("URAM288", "not proven"),
        ("$_DLATCH_P_", "no primitive"),
    ],
)
def test_others_are_refused_by_name(kind, reason):
    cells = {"good": cell("LUT2"), "core.bad": cell(kind)}
    with pytest.raises(UserError, match=reason) as error:
        check_primitives(cells)
    assert str(error.value).startswith(f"netlist: core.bad is a {kind} (core.sv:7.3-9.6): ")


def bits(number):
    return f"{number:032b}"


@pytest.mark.parametrize("kind", ["RAMB18E1", "RAMB36E1"])
@pytest.mark.parametrize("width", [0, 18, 36])
def test_block_ram_of_proven_widths(kind, width):
    parameters = {"READ_WIDTH_A": bits(width), "WRITE_WIDTH_B": bits(width)}
    parameters |= {"DOA_REG": bits(0), "RAM_EXTENSION_A": "NONE", "EN_ECC_READ": "FALSE"}
    check_primitives({"ram": cell(kind, **parameters)})


@pytest.mark.parametrize(
    ("kind", "parameters", "reason"),
    [
        ("RAMB36E1", {"DOA_REG": bits(1)}, "DOA_REG is set"),
        ("RAMB18E1", {"DOB_REG": bits(1)}, "DOB_REG is set"),
        ("RAMB36E1", {"READ_WIDTH_A": bits(9)}, "READ_WIDTH_A is 9"),
        ("RAMB36E1", {"WRITE_WIDTH_A": bits(1)}, "WRITE_WIDTH_A is 1"),
        ("RAMB18E1", {"READ_WIDTH_A": bits(72)}, "READ_WIDTH_A is 72"),
        ("RAMB36E1", {"RAM_EXTENSION_A": "LOWER"}, "RAM_EXTENSION_A is set"),
        ("RAMB36E1", {"EN_ECC_WRITE": "TRUE"}, "EN_ECC_WRITE is set"),
        ("RAMB36E1", {"IS_CLKARDCLK_INVERTED": "1"}, "IS_CLKARDCLK_INVERTED is set"),
        ("FDRE", {"IS_C_INVERTED": "1"}, "IS_C_INVERTED is set"),
        ("FDPE", {"IS_PRE_INVERTED": "1"}, "IS_PRE_INVERTED is set"),
    ],
)
def test_unproven_modes_are_refused(kind, parameters, reason):
    with pytest.raises(UserError, match=reason):
        check_primitives({"c": cell(kind, **parameters)})


# A PS7 with one output and one input in order, and READY through one LUT.
GOOD = {
    "ps7": cell(
        "PS7",
        {"AWVALID": [2], "BREADY": [3], "ARREADY": [4], "ACLK": [5], "IDLEN": ["1"], "FCLK": [6]},
        inputs=("ARREADY", "ACLK", "IDLEN"),
    ),
    "capture": cell("FDRE", {"C": [5], "D": [2], "Q": [10]}, inputs=("C", "D")),
    "ready": cell("LUT2", {"I0": [3], "I1": [12], "O": [11]}, inputs=("I0", "I1")),
    "held": cell("FDRE", {"C": [5], "D": [11], "Q": [12]}, inputs=("C", "D")),
    "send": cell("FDRE", {"C": [5], "D": [10], "Q": [4]}, inputs=("C", "D")),
    "buffer": cell("BUFG", {"I": [6], "O": [5]}, inputs=("I",)),
}


def test_a_registered_border_passes():
    check_border(GOOD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # an output reaches a clock enable
        ({"capture": ("CE", 2)}, r"ps7\.AWVALID does not go straight"),
        # a second LUT on the way of READY
        ({"deep": cell("LUT1", {"I0": [11], "O": [13]}, inputs=("I0",))}, r"ps7\.BREADY does not"),
        # logic in front of an input
        ({"send": cell("LUT1", {"I0": [10], "O": [4]}, inputs=("I0",))}, r"comes from a LUT1"),
        # an input that nothing drives
        ({"send": None}, r"ps7\.ARREADY comes from a nothing"),
    ],
)
def test_an_unregistered_border_is_refused(change, message):
    cells = copy.deepcopy(GOOD)
    for name, new in change.items():
        if new is None:
            del cells[name]
        elif isinstance(new, tuple):
            port, net = new
            cells[name]["connections"][port] = [net]
            cells[name]["port_directions"][port] = "input"
        else:
            cells[name] = new
    with pytest.raises(UserError, match=message):
        check_border(cells)
