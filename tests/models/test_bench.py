"""The comparison of training speeds: fair turns, sums by hand, and a report."""

import json

import numpy as np
import pytest
import torch

from flow.errors import UserError
from models import bench, data, presets, students


def test_ratios_and_their_spread_by_hand():
    """Each ratio is of one turn; six seeds show six times as many images."""
    times = {bench.THEIRS: [(8.0, 4.0), (6.0, 3.0)], "own": [(2.0, 1.0), (3.0, 3.0)]}
    assert bench.ratios(times, "own", 1, 0) == [4, 2]
    assert bench.ratios(times, "own", 6, 1) == [24, 6]
    assert bench.ratios(times, bench.THEIRS, 1, 0) == [1, 1]
    assert bench.spread([3.0, 1.0, 2.00049]) == {"median": 2.0, "low": 1.0, "high": 3.0}


def test_contestants_take_turns():
    order = []
    contestants = {name: lambda name=name: order.append(name) for name in "ab"}
    times = bench.take_turns(contestants, 3)
    assert order == list("ababab")
    assert [len(found) for found in times.values()] == [3, 3]
    assert all(wall >= 0 and cpu >= 0 for found in times.values() for wall, cpu in found)


def test_without_mnist_random_images_are_used_and_said_to_be(monkeypatch):
    def missing(name):
        raise UserError("no MNIST here")

    monkeypatch.setattr(data, "read", missing)
    rest, test, source = bench.given("mnist", 5100)
    assert source.startswith("random") and "no MNIST here" in source
    assert len(rest) == 5100 and rest.images.shape[1:] == (1, 28, 28)
    rest.check("mnist", (1, 28, 28), 10)
    before = data.DATASETS["mnist"]
    with pytest.raises(KeyError), bench.kept("mnist", rest, test):
        assert data.DATASETS["mnist"].read() == (rest, test)
        raise KeyError
    assert data.DATASETS["mnist"] is before


def test_a_network_that_brevitas_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"no network of Brevitas is 'mlp-digits'; there are tfc"):
        bench.bench("mlp-digits")


def test_both_train_the_same_topology():
    """Shapes of all products, and one bit everywhere."""
    bench.define_operators()
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    for name, network in bench.NETWORKS.items():
        model, _ = model_with_cfg(network, pretrained=False)
        theirs = [tuple(p.weight.shape) for p in model.modules() if hasattr(p, "quant_weight")]
        ours = students.build(presets.load(name))
        assert theirs == [
            tuple(p.weight.shape) for p in ours.modules() if hasattr(p, "quant_weight")
        ]


def test_a_whole_comparison_on_random_images(tmp_path, monkeypatch):
    seen = []
    real = bench.train.one_epoch
    monkeypatch.setattr(data, "read_mnist", lambda: pytest.fail("MNIST was read"))
    drawn = bench.Images(
        np.random.default_rng(0).integers(0, 256, (5300, 1, 28, 28), np.uint8), np.arange(5300) % 10
    )
    monkeypatch.setattr(bench, "given", lambda name, needed: (drawn, drawn, "random"))
    monkeypatch.setattr(
        bench.train, "one_epoch", lambda run, *rest: seen.append(run) or real(run, *rest)
    )
    report = bench.bench("tfc-mnist", images=300, turns=2)
    assert report["images_in_a_turn"] == 256 and report["batch_size"] == 128
    assert len(seen) == 4 * 3  # one turn is not counted
    assert {(r.preset.distillation.mode, len(r.feed.seeds)) for r in seen} == {
        ("none", 1),
        ("none", 6),
        ("online", 1),
        ("online", 6),
    }
    assert all(r.feed.steps == 2 for r in seen)
    assert report["rows"][0]["ratio"]["median"] == 1
    assert all(row["images_per_second"]["low"] > 0 for row in report["rows"])
    assert torch.get_num_threads() >= 1 and report["threads"] == 1

    (tmp_path / "report.json").write_text(json.dumps({"other": 1}))
    bench.write(tmp_path, report)
    assert json.loads((tmp_path / "report.json").read_text()) == {"other": 1, "training": report}
    assert (tmp_path / "training.md").read_text().count("\n|") == 7


def test_convolutions_bit_by_bit_beside_torchs(monkeypatch):
    def missing():
        raise UserError("no CIFAR-10 here")

    real = bench.replace(bench.DATASETS["cifar10"], validation=800, read=missing)
    monkeypatch.setitem(bench.DATASETS, "cifar10", real)
    seen = []
    monkeypatch.setattr(bench, "epochs_of", lambda run: lambda: seen.append(run))
    two_batches = 2 * bench.presets.load(bench.CONVOLUTIONAL).training.batch_size
    report = bench.bench_bits(images=two_batches, turns=2)
    assert [run.student.bitwise for run in seen] == [False, True] * 3
    assert all(run.feed.steps == 2 and run.preset.distillation.mode == "none" for run in seen)
    assert report["images"].startswith("random, of the shape of cifar10 (no CIFAR-10 here")
    assert [row["name"] for row in report["rows"]] == [bench.BY_TORCH, bench.BY_BITS]
    assert report["rows"][0]["ratio"] == {"median": 1, "low": 1, "high": 1}
