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
        "$auto$1": flip_flop("1", "0", 10),
        "$auto$2": flip_flop(ENABLE, "0", 11),
        "$auto$3": flip_flop("1", RESET, 12),
        "$auto$4": flip_flop("1", RESET, 13, "FDSE"),
        "$auto$5": flip_flop("1", "0", 15),
        "$abc$1": lut(10, 14),
        "core.lut": lut(11, 16),
    }
    return {"cells": cells, "netnames": {}}


def test_always_enabled_flip_flops_come_before_the_others_in_the_alphabet():
    before = module()
    after = deepcopy(before)
    assert order.enabled_first(after) == 2
    original = [name.removeprefix(order.LATER) for name in sorted(after["cells"])]
    assert original == ["$abc$1", "$auto$1", "$auto$5", "$auto$2", "$auto$3", "$auto$4", "core.lut"]
    found = {name.removeprefix(order.LATER): cell for name, cell in after["cells"].items()}
    assert found == before["cells"]


def test_copies_still_go_with_the_first():
    """`fanout.join` finds the driver that a copy is of by its name."""
    netlist = module()
    for net in (10, 11):
        netlist["cells"] |= {f"reader{net}-{i}": lut(net, 100 * net + i) for i in range(30)}
    assert fanout.split(netlist) > 2
    order.enabled_first(netlist)
    fanout.join(netlist)
    readers = {k: cell for k, cell in netlist["cells"].items() if k.startswith("reader")}
    assert all(cell["connections"]["I0"] == [int(k[6:8])] for k, cell in readers.items())
    assert len(netlist["cells"]) == 67
