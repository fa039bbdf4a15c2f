"""Floorplan: which colour a layer has."""

import pytest

from flow.implement import floorplan

LAYERS = ["conv0", "conv0_act", "conv0_window", "image_scale", "shell"]


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("conv0", "conv0"),
        ("conv0_act", "conv0"),  # what serves a product has its colour
        ("conv0_window", "conv0"),
        ("image_scale", "image_scale"),  # no layer is called image
        ("shell", "shell"),
    ],
)
def test_layers_around_a_product_share_its_colour(name, served):
    assert floorplan._served(name, LAYERS) == served


def test_every_placed_cell_has_a_colour(tmp_path):
    places = [
        {"type": kind, "x": 60 + i, "y": 80, "layer": layer}
        for i, layer in enumerate(LAYERS)
        for kind in ("SLICE_LUTX", "SLICE_FFX", "RAMB18E1_RAMB18E1")
    ]
    floorplan.draw(places, "xc7z020clg400-1", tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 5000
