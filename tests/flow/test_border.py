"""Which flip-flops are placed beside the PS7's pins, and how nextpnr is told."""

from flow.implement import boards, border


def cell(kind, inputs, **outputs):
    connections = {f"I{i}": [bit] for i, bit in enumerate(inputs)}
    connections |= {port: [bit] for port, bit in outputs.items()}
    directions = dict.fromkeys(connections, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "connections": connections, "port_directions": directions}


CELLS = {
    "ps7": {
        "type": "PS7",
        "connections": {
            "MAXIGP0RVALID": [1],
            "MAXIGP0RREADY": [2],
            "SAXIHP0WDATA": [3, "0"],
            "SAXIHP0ACLK": [4],
            "FCLKRESETN": [9],
        },
        "port_directions": {
            "MAXIGP0RVALID": "input",
            "MAXIGP0RREADY": "output",
            "SAXIHP0WDATA": "input",
            "SAXIHP0ACLK": "input",
            "FCLKRESETN": "output",
        },
    },
    "out": cell("FDRE", [5], Q=1),
    "lut": cell("LUT3", [2, 5], O=6),
    "after": cell("FDRE", [6], Q=5),
    "lut2": cell("LUT2", [6], O=7),
    "too_far": cell("FDRE", [7], Q=8),
    "data": cell("FDSE", [8], Q=3),
    "clock": cell("BUFG", [9], O=4),
    "reset": cell("FDRE", [9], Q=10),
}


def test_the_flip_flops_of_each_port():
    found = border.flip_flops(CELLS, ["MAXIGP0", "SAXIHP0"])
    assert found == {"MAXIGP0": {"out", "after"}, "SAXIHP0": {"data"}}


def test_the_script_names_regions_and_cells():
    assert border.script(CELLS, {"SAXIHP0": (1, 2, 3, 4)}) == (
        "ctx.createRectangularRegion('SAXIHP0', 1, 2, 3, 4)\n"
        "ctx.constrainCellToRegion('data', 'SAXIHP0')\n"
    )
    assert border.script(CELLS, {}) == "\n"


def test_the_board_names_its_ports():
    assert boards.load("pynq-z2").border.keys() == {"MAXIGP0", "SAXIHP0"}
