"""Which flip-flops the placer takes first, and that nothing else is changed."""

from copy import deepcopy

from flow.implement import fanout, order

CLOCK, ENABLE, RESET, DATA = 2, 3, 4, 5


def flip_flop(enable: object, reset: object, out: int, kind: str = "FDRE") -> dict:
    pins = {"C": CLOCK, "CE": enable, "D": DATA, "S" if kind == "FDSE" else "R": reset, "Q": out}
    return {
        "type": kind,
        "parameters": {},
        "attributes": {},
        "port_directions": {pin: "output" if pin == "Q" else "input" for pin in pins},
        "connections": {pin: [net] for pin, net in pins.items()},
    }


def lut(read: int, out: int) -> dict:
    return {
        "type": "LUT1",
        "parameters": {"INIT": "10"},
        "attributes": {},
        "port_directions": {"I0": "input", "O": "output"},
        "connections": {"I0": [read], "O": [out]},
    }


def module() -> dict:
    cells = {
        "always": flip_flop("1", "0", 10),
        "enabled": flip_flop(ENABLE, "0", 11),
        "reset": flip_flop("1", RESET, 12),
        "set": flip_flop("1", RESET, 13, "FDSE"),
        "zebra": lut(10, 14),
    }
    return {"cells": cells, "netnames": {}}


def test_flip_flops_that_share_a_pin_come_last_in_the_alphabet():
    before = module()
    after = deepcopy(before)
    assert order.enabled_first(after) == 3
    names = sorted(after["cells"])
    assert names[:2] == ["always", "zebra"]
    assert {name.removeprefix(order.FIRST) for name in names[2:]} == {"enabled", "reset", "set"}
    found = {name.removeprefix(order.FIRST): cell for name, cell in after["cells"].items()}
    assert found == before["cells"]


def test_copies_still_go_with_the_first():
    """`fanout.join` finds the driver that a copy is of by its name."""
    netlist = module()
    readers = {f"reader{i}": lut(11, 100 + i) for i in range(30)}
    netlist["cells"] |= readers
    assert fanout.split(netlist) > 1
    order.enabled_first(netlist)
    fanout.join(netlist)
    assert all(
        cell["connections"]["I0"] == [11]
        for cell in netlist["cells"].values()
        if cell["type"] == "LUT1" and cell["connections"]["O"][0] >= 100
    )
    assert len(netlist["cells"]) == 35
    assert not any(fanout.COPY in name for name in netlist["cells"])
