"""nextpnr's netlist after routing: places, physical LUTs, and the pins that it renamed."""

import copy

import pytest

from flow.implement import placed
from flow.implement.placed import PlacementFault


def lut(bel, inputs, output="O6", output_net=90):
    """A placed LUT: inputs are {physical pin: (net, original inputs or None)}."""
    connections = {pin: [net] for pin, (net, _) in inputs.items()} | {output: [output_net]}
    origins = {f"X_ORIG_PORT_{p}": origin for p, (_, origin) in inputs.items() if origin}
    return {
        "type": "SLICE_LUTX",
        "attributes": {"NEXTPNR_BEL": bel, f"X_ORIG_PORT_{output}": "O"} | origins,
        "port_directions": dict.fromkeys(inputs, "input") | {output: "output"},
        "connections": connections,
    }


def other(kind, bel):
    return {
        "type": kind,
        "attributes": {"NEXTPNR_BEL": bel},
        "port_directions": {},
        "connections": {},
    }


def design(cells, routing=None):
    """routing: {net: wires as nextpnr lists them}."""
    nets = {
        f"n{net}": {"bits": [net], "attributes": {"ROUTING": wires}}
        for net, wires in (routing or {}).items()
    }
    return {"modules": {"top": {"cells": cells, "netnames": nets}}}


# Two LUTs in one. The router reaches the input that was A1 at pin A3, and A2 at pin A5; nextpnr
# then lists both nets at both halves, with the origin only where they belong.
SHARED = design(
    {
        "upper": lut("X5Y7/SLICE_X0Y0.B6LUT", {"A3": (1, "I0"), "A5": (2, None), "A6": (9, None)}),
        "lower": lut("X5Y7/SLICE_X0Y0.B5LUT", {"A3": (1, None), "A5": (2, "I0 I1")}, "O5", 91),
        "ff": other("SLICE_FFX", "X5Y7/SLICE_X0Y0.BFF"),
        "ram": other("RAMB18E1_RAMB18E1", "X59Y20/RAMB18_X0Y0.RAMB18E1"),
        "ram36": other("RAMB36E1_RAMB36E1", "X59Y25/RAMB36_X0Y0.RAMB36E1"),
        "$PACKER_VCC_DRV": other("PSEUDO_VCC", "X0Y0/PSEUDO_VCC"),
    },
    {
        1: "X4Y7/IMUX3;;1;X5Y7/SLICE_X0Y0.B1;X5Y7/SLICE_X0Y0.B1/CLBLM_M_B3;1;X9Y9/W;X9Y9/W/V;1",
        2: "X5Y7/SLICE_X0Y0.B2;X5Y7/SLICE_X0Y0.B2/CLBLM_M_B5;1",
    },
)


def test_cells_and_area():
    cells = placed.cells(SHARED)
    assert {(c.name, c.x, c.y) for c in cells} == {
        ("upper", 5, 7),
        ("lower", 5, 7),
        ("ff", 5, 7),
        ("ram", 59, 20),
        ("ram36", 59, 25),
    }
    assert [c.upper for c in cells[:2]] == [True, False]
    assert placed.area(cells) == {"lut": 1, "ff": 1, "bram36": 1.5, "dsp": 0}


def test_logical_pins_come_back():
    netlist = copy.deepcopy(SHARED)
    placed.logical_netlist(netlist)
    cells = netlist["modules"]["top"]["cells"]
    assert cells["upper"]["connections"] == {"A1": [1], "O6": [90]}
    assert cells["lower"]["connections"] == {"A2": [2], "O5": [91]}
    assert cells["lower"]["attributes"]["X_ORIG_PORT_A2"] == "I0 I1"
    assert cells["upper"]["port_directions"] == {"A1": "input", "O6": "output"}


def test_pins_in_order_pass():
    placed.check_pins(SHARED)


@pytest.mark.parametrize("origin", ["I1I3 ", "I0I2", "", "I0 ", "X"])
def test_inputs_run_together_are_refused(origin):
    netlist = copy.deepcopy(SHARED)
    netlist["modules"]["top"]["cells"]["lower"]["attributes"]["X_ORIG_PORT_A5"] = origin
    with pytest.raises(PlacementFault, match="lower: nextpnr lost which inputs pin A5 serves"):
        placed.check_pins(netlist)
