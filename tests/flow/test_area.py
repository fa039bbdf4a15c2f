"""Area by layer: every placed cell has one owner, and the parts add up to the whole."""

from flow.implement import area, placed
from flow.implement.placed import PlacedCell


def names(**nets):
    return {
        name.replace("__", "."): {"bits": bits, "hide_name": 0, "attributes": {}}
        for name, bits in nets.items()
    }


def test_unit_of_a_name():
    assert area.unit_of("core.fc1.sum_q") == "fc1"
    assert area.unit_of("core.fc1.popcount.level_q") == "fc1"
    assert area.unit_of("core.x1_tdata") == area.JOINTS
    assert area.unit_of("bridge.state_q") == area.SHELL
    assert area.unit_of("aclk") == area.SHELL


def test_a_net_belongs_to_the_unit_that_drives_it():
    nets = names(core__x1_tdata=[5], core__fc1__m_axis_tdata=[5], core__sign1__s_axis_tdata=[5]) | {
        "$hidden.core.other": {"bits": [5], "hide_name": 1}
    }
    assert area.net_owners(nets) == {5: "fc1"}


def cell(kind, **ports):
    """Ports: capital letters O and Q are outputs."""
    directions = {p: "output" if p in ("O", "Q", "O5", "O6") else "input" for p in ports}
    connections = {port: [net] for port, net in ports.items()}
    return {
        "type": kind,
        "connections": connections,
        "port_directions": directions,
        "attributes": {},
    }


MAPPED = {
    "ff1": cell("FDRE", D=2, Q=3),
    "ff2": cell("FDRE", D=4, Q=5),
    "ffs": cell("FDRE", D=6, Q=7),
    "lut1": cell("LUT2", I0=3, O=2),  # fc1: drives it
    "lut2": cell("LUT2", I0=3, O=8),  # two of fc2's neighbours
    "lut3": cell("LUT2", I0=8, O=4),
    "ram": cell("RAMB36E1", A=5, O=9),
}
NAMES = names(core__fc1__a=[3], core__fc2__b=[5], registers__c=[7], core__fc2__rom__word=[9])


def test_owners_and_layers_add_up():
    kinds = {"FDRE": "SLICE_FFX", "LUT2": "SLICE_LUTX", "RAMB36E1": "RAMB36E1_RAMB36E1"}
    top = {n: dict(c, type=kinds[c["type"]]) for n, c in MAPPED.items()}
    # nextpnr adds a LUT for a carry chain's input; it drives nothing that has a name
    top["extra$LUT7"] = cell("SLICE_LUTX", A1=5, O6=99)
    netlist = {"modules": {"top": {"cells": top, "netnames": {}}}}
    sites = {"lut1": ("S.A", True), "lut2": ("S.A", False), "lut3": ("S.B", False)}
    cells = [
        PlacedCell(name, c["type"], 1, 1, *sites.get(name, (f"S.{name}", True)))
        for name, c in top.items()
    ]
    owner = area.owners(cells, netlist, MAPPED, NAMES)
    assert owner == {
        "ff1": "fc1",
        "ff2": "fc2",
        "ffs": "shell",
        "lut1": "fc1",
        "lut2": "fc2",
        "lut3": "fc2",
        "ram": "fc2",
        "extra$LUT7": "fc2",
    }
    layers = area.by_layer(cells, owner, {"fc1": "first", "fc2": "second"})
    assert layers == [
        {"name": "first", "lut": 1, "ff": 1, "bram36": 0.0},
        {"name": "second", "lut": 2, "ff": 1, "bram36": 1.0},
        {"name": "shell", "lut": 0, "ff": 1, "bram36": 0.0},
    ]
    assert area.parts(layers) == {
        "shell": {"lut": 0, "ff": 1, "bram36": 0.0},
        "core": {"lut": 3, "ff": 2, "bram36": 1.0},
    }
    whole = placed.area(cells)
    for kind in ("lut", "ff", "bram36"):
        assert sum(row[kind] for row in layers) == whole[kind]


def test_packed_cells_follow_the_cell_they_were_made_from():
    base = area._base
    assert base("add.carry4$split$muxcy0$PACKED_CARRY4$") == "add.carry4"
    assert base("$iopadmap$top.led$intcell$OBUF") == "$iopadmap$top.led"
