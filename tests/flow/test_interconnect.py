"""Delays of routed wires: what nextpnr writes of its routes, X-Ray's figures, and Elmore's sum."""

import pytest

from flow.implement import interconnect
from flow.implement.interconnect import Connection, Fabric, Route, delays, read_routes

ROUTES = (
    "N\tcore.a\tQ\n"
    "W\tX1Y1/out\t\t\n"
    "W\tX1Y2/end\tX1Y1/begin/out\tX1Y1/out\n"
    "U\tcore.b\tD\tX1Y2/end\n"
    "N\tpad\tOUT\n"
    "U\tled\tPAD\tX9Y9/pad\n"
)


@pytest.fixture(scope="module")
def fabric():
    return Fabric("xc7z020clg400-1")


def test_routes_are_read(tmp_path):
    (tmp_path / "routes.txt").write_text(ROUTES)
    net, pad = read_routes(tmp_path / "routes.txt")
    assert net == Route(
        ("core.a", "Q"),
        "X1Y1/out",
        {"X1Y2/end": ("X1Y1/out", "X1Y1/begin/out")},
        [(("core.b", "D"), "X1Y2/end")],
    )
    assert pad.users == [(("led", "PAD"), "X9Y9/pad")]
    assert delays(pad, None) == {("led", "PAD"): 0.0}  # pins on each other need no figures


def test_a_wire_counts_in_all_tiles_it_crosses(fabric):
    """A long line has 2.8 ohm and 13 fF in each of its 19 tiles, from either end."""
    assert fabric.wire("X52Y7/LV18") == pytest.approx((53.2, 247.0))
    assert fabric.wire("X52Y25/LV0") == pytest.approx((53.2, 247.0))
    assert fabric.wire("X52Y25/SLICE_X0Y0.A1") == (0.0, 0.0)


def test_connections_have_xrays_figures(fabric):
    long = Connection(301.0, 756.9375, 13.478)
    assert fabric.connection("X52Y7/LV18/NN6END0") == long
    assert fabric.connection("X52Y25/LVB0/LVB12") == long  # of a connection that goes both ways
    assert fabric.connection("X52Y25/LVB12/LVB0") == long
    into_a_tile = fabric.connection("X53Y25/CLBLM_M_SR/CLBLM_CTRL1")
    assert into_a_tile == Connection(0.0, buffered=False)


def test_what_drives_a_wire_out_of_a_site_has_a_resistance(fabric):
    assert fabric.connection("X54Y25/CLBLL_LL_CMUX/SLICE_X0Y0.CMUX") == Connection(
        interconnect.SITE_PS, 1826.7858125
    )
    assert fabric.connection("X54Y25/SLICE_X0Y0.SR/CLBLL_LL_SR") == Connection(interconnect.SITE_PS)


@pytest.mark.parametrize(("pin", "delay"), [("A1", 516.0), ("A5", 112.0), ("C6", 0.0)])
def test_the_pins_of_a_lut_have_delays_of_their_own(fabric, pin, delay):
    into = fabric.connection(f"X54Y25/SLICE_X0Y0.A3/CLBLL_LL_{pin}")  # for the LUT's third input
    assert into == Connection(interconnect.SITE_PS + delay)


def test_the_way_through_a_lut_takes_its_pin_and_the_lut(fabric):
    through = fabric.connection("X54Y25/CLBLL_LL_A/CLBLL_LL_A1")
    assert through == Connection(516.0 + 124.0, 1326.1875)


def test_branches_off_a_long_line_load_its_driver(fabric):
    """By hand: 757 and 53 ohm, 247 fF and 13.478 for each of two branches."""
    route = Route(
        ("a", "Q"),
        "X52Y7/NN6END0",
        {
            "X52Y25/LV0": ("X52Y7/NN6END0", "X52Y7/LV18/NN6END0"),
            "X52Y25/LVB0": ("X52Y25/LV0", "X52Y25/LVB0/LV0"),
            "X52Y25/LVB12": ("X52Y25/LV0", "X52Y25/LVB12/LV0"),
        },
        [(("b", "D"), "X52Y25/LV0")],
    )
    branches = 2 * 13.478
    by_hand = 301 + 0.7569375 * (247 + branches) + 0.0532 * (247 / 2 + branches)
    assert delays(route, fabric)[("b", "D")] == pytest.approx(by_hand)


WIRES = {"root": (0, 0), "trunk": (100, 50), "leaf": (0, 20), "tap": (0, 30)}
INTO = {
    "trunk": Connection(10, resistance=1000, load=5),
    "leaf": Connection(7, resistance=2000, load=8),
    "tap": Connection(0, resistance=0, buffered=False),
}


class Figures:
    """A fabric of a few wires: resistance and capacitance, and the connections into them."""

    def wire(self, name):
        return WIRES[name]

    def connection(self, name):
        return INTO[name]


@pytest.mark.parametrize("tapped", [False, True])
def test_elmore_by_hand(tapped):
    route = Route(
        ("a", "Q"),
        "root",
        {"trunk": ("root", "trunk"), "leaf": ("trunk", "leaf")},
        [(("b", "D"), "leaf")],
    )
    if tapped:  # all the capacitance behind what has no buffer is charged by the driver before it
        route.before["tap"] = ("trunk", "tap")
        route.users.append((("c", "D"), "tap"))
    charge = 50 + 8 + (30 if tapped else 0)
    trunk = 10 + 1000 * charge / 1000 + 100 * (charge - 50 / 2) / 1000
    found = delays(route, Figures())
    assert found.pop(("b", "D")) == pytest.approx(trunk + 7 + 2000 * 20 / 1000)
    assert found == ({("c", "D"): pytest.approx(trunk)} if tapped else {})


def test_a_pin_that_no_wire_reaches_has_no_delay():
    route = Route(("a", "Q"), "root", {}, [(("b", "D"), "leaf"), (("c", "D"), "root")])
    assert delays(route, Figures()) == {("c", "D"): 0.0}
