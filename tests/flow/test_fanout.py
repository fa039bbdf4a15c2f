"""Copies of busy drivers: no load above the limit, the same function at every pin."""

import copy
import random

import pytest

from flow.implement import fanout


def cell(kind, inputs, output, port="O", **parameters):
    connections = inputs | {port: [output]}
    directions = dict.fromkeys(inputs, "input") | {port: "output"}
    return {
        "type": kind,
        "parameters": parameters,
        "connections": {k: v if isinstance(v, list) else [v] for k, v in connections.items()},
        "port_directions": directions,
    }


def design(seed, leaves):
    """A register that enables and addresses many LUTs and flip-flops; one net to be kept."""
    draw = random.Random(seed)
    cells = {
        "in": cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 3}, 4, "Q"),
        "enable": cell("LUT2", {"I0": 4, "I1": 5}, 6, INIT="1000"),
        "reset": cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 3}, 7, "Q"),
    }
    names = {"core.a.enable": [6], "core.reset": [7]}
    for i in range(leaves):
        out, kind = 100 + i, draw.choice(["LUT", "FF"])
        if kind == "LUT":
            cells[f"lut{i}"] = cell("LUT2", {"I0": 4, "I1": 6}, out, INIT="0110")
        else:
            cells[f"ff{i}"] = cell("FDRE", {"C": 2, "CE": 6, "R": 7, "D": 4}, out, "Q")
        names[f"core.a.leaf[{i}]"] = [out]
    nets = {name: {"hide_name": 0, "bits": bits} for name, bits in names.items()}
    return {"cells": cells, "netnames": nets}


def function(module, bit, depth=4):
    """What drives a net, written out over `depth` cells, whatever the cells are called."""
    for item in module["cells"].values():
        for port, bits in item["connections"].items():
            if item["port_directions"][port] == "output" and bit in bits:
                if not depth:
                    return item["type"]
                inputs = {
                    p: [function(module, b, depth - 1) for b in bs]
                    for p, bs in item["connections"].items()
                    if item["port_directions"][p] == "input"
                }
                return (item["type"], sorted(item["parameters"].items()), sorted(inputs.items()))
    return bit


@pytest.mark.parametrize("leaves", [3, 50, 400])
def test_loads_are_limited_and_every_pin_keeps_its_function(leaves):
    module = design(1, leaves)
    before = copy.deepcopy(module)
    added = fanout.split(module, keep=["core.reset"], limit=16)
    assert added == len(module["cells"]) - len(before["cells"])
    sinks, drivers = fanout._sinks(module), fanout._drivers(module)
    for bit in drivers:
        if bit != 7:
            assert sum(s.load for s in sinks.get(bit, [])) <= 16 + 1
    for name, item in before["cells"].items():
        for port, bits in item["connections"].items():
            for index, bit in enumerate(bits):
                now = module["cells"][name]["connections"][port][index]
                if item["port_directions"][port] == "input":
                    assert function(before, bit) == function(module, now)
                else:
                    assert now == bit


@pytest.mark.parametrize("leaves", [3, 50, 400])
def test_join_undoes_split(leaves):
    module = design(5, leaves)
    before = copy.deepcopy(module)
    fanout.split(module, limit=4)
    fanout.join(module)
    assert module == before


def test_a_kept_net_is_left_alone():
    module = design(2, 300)
    fanout.split(module, keep=["core.reset"], limit=8)
    assert [n for n in module["cells"] if n.startswith("reset")] == ["reset"]
    loads = fanout._sinks(module)[7]
    assert {s.port for s in loads} == {"R"}


def test_copies_carry_a_name_of_their_layer():
    module = design(3, 100)
    fanout.split(module, limit=16)
    copied = [n for n in module["netnames"] if "_copy" in n]
    assert copied and all(n.startswith(("core.a.", "core.reset")) for n in copied)


def test_small_designs_stay_as_they_are():
    module = design(4, 5)
    before = copy.deepcopy(module)
    assert fanout.split(module) == 0
    assert module == before


@pytest.mark.parametrize("before", range(14))
def test_the_write_enables_of_a_block_ram_stay_on_one_driver(before):
    module = design(2, before)
    for name in ("ram0", "ram1"):
        module["cells"][name] = {
            "type": "RAMB36E1",
            "parameters": {},
            "connections": {"WEBWE": [6] * 8, "WEA": ["0"] * 4, "DOADO": [len(name)]},
            "port_directions": {"WEBWE": "input", "WEA": "input", "DOADO": "output"},
        }
    fanout.split(module)
    drivers = [set(module["cells"][name]["connections"]["WEBWE"]) for name in ("ram0", "ram1")]
    assert [len(bits) for bits in drivers] == [1, 1]
    if before == 13:
        assert drivers[0] != drivers[1]  # but two of them may have two


def rows(seed, readers):
    """Two registers, a LUT of them that many rows read, and the rows, of one to six inputs."""
    draw = random.Random(seed)
    cells = {
        "a": cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 3}, 4, "Q"),
        "b": cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 3}, 5, "Q"),
        "shared": cell("LUT2", {"I0": 4, "I1": 5}, 6, INIT=table(draw, 2)),
    }
    for i in range(readers):
        width = draw.randint(1, 5)
        nets = draw.sample([4, 5, "1", *range(50, 60)], width - 1)
        nets.insert(draw.randrange(width), 6)
        inputs = {f"I{n}": net for n, net in enumerate(nets)}
        cells[f"row{i}"] = cell(f"LUT{width}", inputs, 100 + i, INIT=table(draw, width))
    names = {"core.a": [4], "core.b": [5], "core.shared": [6]}
    nets = {name: {"hide_name": 0, "bits": bits} for name, bits in names.items()}
    return {"cells": cells, "netnames": nets}


def table(draw, inputs):
    return "".join(draw.choice("01") for _ in range(2**inputs))


def value(module, bit, values):
    """A net's value where those of flip-flops and of nets that nothing drives are given."""
    if bit in values:
        return values[bit]
    if isinstance(bit, str):
        return int(bit)
    lut = next(c for c in module["cells"].values() if c["connections"].get("O") == [bit])
    pins = [lut["connections"][f"I{i}"][0] for i in range(int(lut["type"][3:]))]
    row = sum(value(module, net, values) << i for i, net in enumerate(pins))
    return int(lut["parameters"]["INIT"][::-1][row])


@pytest.mark.parametrize("seed", range(8))
def test_readers_compute_what_a_busy_lut_computed(seed):
    module = rows(seed, 30)
    before = copy.deepcopy(module)
    assert fanout.absorb(module, limit=12) == 1
    assert "shared" not in module["cells"]
    draw = random.Random(seed)
    for _ in range(20):
        values = {net: draw.randrange(2) for net in (4, 5, *range(50, 60))}
        for i in range(30):
            assert value(module, 100 + i, values) == value(before, 100 + i, values)


def test_a_busy_lut_stays_for_readers_without_room():
    module = rows(1, 30)
    wide = {f"I{i}": net for i, net in enumerate([6, *range(50, 55)])}
    module["cells"]["wide"] = cell("LUT6", wide, 200, INIT="01" * 32)
    module["cells"]["ff"] = cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 6}, 201, "Q")
    assert fanout.absorb(module, limit=12) == 0
    assert {sink.cell for sink in fanout._sinks(module)[6]} == {"wide", "ff"}


def unbusy(module):
    for i in range(20):
        del module["cells"][f"row{i}"]


def behind_a_lut(module):
    module["cells"]["a"] = cell("LUT1", {"I0": 3}, 4, INIT="10")


@pytest.mark.parametrize(("change", "keep"), [(unbusy, []), (behind_a_lut, []), (str, ["core.b"])])
def test_other_luts_are_not_absorbed(change, keep):
    module = rows(2, 30)
    change(module)
    before = copy.deepcopy(module)
    assert fanout.absorb(module, keep, limit=12) == 0
    assert module == before
