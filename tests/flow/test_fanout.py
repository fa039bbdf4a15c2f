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


def few_words(seed, lanes, registers=3):
    """The bits of a memory of few words, one address bit through an inverter, and LUTs of three
    lanes that read three of them; the lanes are nets 50, 51, ..."""
    draw = random.Random(seed)
    cells = {
        f"address{i}": cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 3}, 10 + i, "Q")
        for i in range(registers)
    }
    cells["not"] = cell("INV", {"I": 10}, 9)
    for i in range(lanes):
        inputs = {f"I{n}": net for n, net in enumerate([9, 11, *range(12, 10 + registers)])}
        inputs |= {f"I{n}": "0" for n in range(len(inputs), 6)}
        cells[f"bit{i}"] = cell("LUT6", inputs, 100 + i, INIT=table(draw, 6))
    for i in range(lanes // 3):
        nets = [*range(50 + 3 * i, 53 + 3 * i), *range(100 + 3 * i, 103 + 3 * i)]
        for kind, out in (("sum", 200), ("carry", 300)):
            inputs = {f"I{n}": net for n, net in enumerate(draw.sample(nets, 6))}
            cells[f"{kind}{i}"] = cell("LUT6", inputs, out + i, INIT=table(draw, 6))
    names = {f"core.address{i}": [10 + i] for i in range(registers)}
    return {
        "cells": cells,
        "netnames": {name: {"hide_name": 0, "bits": bits} for name, bits in names.items()},
    }


def not_given(module, net, values):
    """`value`, where an inverter stands for a LUT."""
    values = values | {9: 1 - values[10]}
    return value(module, net, values)


@pytest.mark.parametrize("seed", range(6))
def test_readers_take_in_the_bits_of_a_few_words(seed):
    module = few_words(seed, 12)
    before = copy.deepcopy(module)
    assert fanout.absorb_words(module) == 12
    assert not any(name.startswith("bit") for name in module["cells"])
    for name, cell_ in module["cells"].items():
        if name.startswith(("sum", "carry")):
            read = {bits[0] for pin, bits in cell_["connections"].items() if pin != "O"}
            assert {10, 11, 12} <= read and len(read) == 6
    for _ in range(30):
        values = {
            net: random.Random(_ * net).randrange(2) for net in (*range(10, 13), *range(50, 62))
        }
        for net in (*range(200, 204), *range(300, 304)):
            assert not_given(module, net, values) == not_given(before, net, values)


def too_many_words(module):
    module["cells"]["address3"] = cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 3}, 13, "Q")
    for i in range(6):
        module["cells"][f"bit{i}"]["connections"]["I3"] = [13]


def no_register(module):
    module["cells"]["address1"] = cell("LUT1", {"I0": 3}, 11, INIT="10")


@pytest.mark.parametrize(
    ("change", "keep"), [(too_many_words, []), (no_register, []), (str, ["core.address2"])]
)
def test_other_memories_stay_luts(change, keep):
    module = few_words(1, 6)
    change(module)
    before = copy.deepcopy(module)
    assert fanout.absorb_words(module, keep) == 0
    assert module == before


def test_a_bit_that_something_else_reads_stays():
    module = few_words(2, 6)
    module["cells"]["ff"] = cell("FDRE", {"C": 2, "CE": "1", "R": "0", "D": 100}, 400, "Q")
    assert fanout.absorb_words(module) == 5
    assert "bit0" in module["cells"]
