"""The network in NumPy that ships with the driver against the flow's reference."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

# isort: split
from convolutions import conv_graph
from graphs import images as random_images
from graphs import levels, mlp
from hanbit_board import network
from hanbit_board.errors import DescriptionError

from flow import reference

GRAPHS = {
    "bytes": lambda: mlp(1),
    "bits": lambda: mlp(2, in_dtype="BINARY"),
    "own thresholds": lambda: mlp(3, uniform=False, label=False),
    "scores": lambda: mlp(4, label=False),
    "levels": lambda: levels(5),
    "convolutions": lambda: conv_graph(3),
    "strides": lambda: conv_graph(7, (9, 8, 3), stride=2),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_equals_the_reference(tmp_path, monkeypatch, name):
    graph = GRAPHS[name]()
    graph.save(tmp_path)
    images = random_images(graph, 23)
    expected = reference.execute(graph, images)[graph.output].reshape(23, -1)
    monkeypatch.setattr(network, "BATCH", 10)
    found = network.Network.load(tmp_path).execute(images)
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 2}, "schema 2"),
        ({"output": "fc0"}, "not with fc0"),
        ({"input": "fc0"}, "not a chain"),
        ({"layers": [{"kind": "softmax"}]}, "KeyError"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path, change, says):
    mlp(1).save(tmp_path)
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DescriptionError, match=says):
        network.Network.load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DescriptionError, match=r"graph\.json"):
        network.Network.load(tmp_path)
