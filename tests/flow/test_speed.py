"""The bench of simulators: the same labels from all three, and a table that says what is what."""

import numpy as np
import pytest
from convolutions import ConvNetwork

from flow.errors import MismatchError
from flow.lowering import foreign
from flow.lowering.lower import lower
from flow.rtl import speed
from models.presets import Hardware


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    network = ConvNetwork(channels=(3,), kernels=(3,), strides=(1,), pools=(2,))
    path = network.save(tmp_path_factory.mktemp("speed") / "net.onnx")
    return lower(path, foreign.golden(path, network.images(4))).graph, path, network.images(30)


def test_all_three_are_run_and_compared(small, tmp_path):
    graph, path, images = small
    found = speed.bench("net", graph, path, Hardware(max_lut=900), (images, "random"), tmp_path)
    assert found["rtl"]["images"] == found["reference"]["images"] == 30
    assert found["rtl"]["interval_cycles"] == found["rtl"]["estimated_interval_cycles"]
    assert found["qonnx"]["images"] == 29 and found["qonnx"]["seconds_an_image"] > 0
    text = speed.table(found)
    assert "| RTL, with stalls | 30 |" in text and "0 mismatches" in text
    assert "times as fast as qonnx" in text


def test_another_label_of_qonnx_is_found(small):
    _, path, images = small
    wrong = (foreign.labels(path, images) + 1) % 4
    with pytest.raises(MismatchError, match="image 0: qonnx gives another label"):
        speed.one_by_one(path, images, wrong)


def test_without_the_data_set_random_images_are_named_as_such(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    images, which = speed.held_out("cifar10", 5)
    assert images.shape == (5, 3, 32, 32) and images.dtype == np.uint8
    assert which.startswith("random, as of cifar10 (")
