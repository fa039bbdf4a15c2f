"""The host program of the Alveo kernel over a fake pyxrt that computes what the reference does."""

import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import vendor_tools
from graphs import images as random_images
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st

from flow import reference
from flow.implement import boards
from flow.rtl.codegen import generate
from flow.shell import description
from flow.shell.layout import of_design
from flow.vendor import alveo

CLASSES = list("abcdef")


def staged(folder, graph):
    """A card's folder with the description that the flow writes, and what the card computes."""
    design = generate(graph, folder / "rtl")
    card = folder / "card"
    card.mkdir()
    written = alveo.stage(design, boards.load("alveo-u250"), card)
    images = random_images(graph, 5)
    body = description.describe(
        design, (4, 6), CLASSES, images, run_reference(graph, images), name="net",
        build_hash=written.build_hash, clock_mhz=300.0, interval=24,
    )  # fmt: skip
    description.write(body, card / "hanbit.xclbin")
    (card / "hanbit.xclbin").write_bytes(b"xclbin")
    source, target = of_design(design)
    assert source.plain  # so that words are images

    def compute(words):
        found = run_reference(graph, words[:, : source.beats * source.elements].astype(np.int32))
        return found.astype(target.dtype)

    return card, vendor_tools.Card(compute, 8 * source.words)


def run_reference(graph, images):
    return reference.execute(graph, images)[graph.output].reshape(len(images), -1)


def load(card, monkeypatch):
    """host.py of a staged folder as a module, with kernel_map.py from beside it."""
    monkeypatch.syspath_prepend(str(card))
    monkeypatch.delitem(sys.modules, "kernel_map", raising=False)
    spec = importlib.util.spec_from_file_location("host", card / "host.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=[True, False], ids=["labels", "scores"])
def made(tmp_path, monkeypatch, request):
    graph = mlp(4, label=request.param).with_folding({"quantise": {"PE": 8}, "fc0": {"SIMD": 8}})
    card, fake = staged(tmp_path, graph)
    fake.install(monkeypatch)
    return graph, card, fake, load(card, monkeypatch)


def test_self_test_and_images(made, capsys, tmp_path):
    graph, card, fake, host = made
    images = random_images(graph, 33, seed=1).astype(np.uint8)
    np.save(tmp_path / "images.npy", images.reshape(33, 4, 6))
    out = tmp_path / "results.npy"
    arguments = ["--images", str(tmp_path / "images.npy"), "--results", str(out)]
    assert host.main([str(card / "hanbit.xclbin"), *arguments]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["self_test"], body["mismatches"], body["images"]) == (5, 0, 33)
    want = run_reference(graph, images.astype(np.int32))
    assert np.array_equal(np.load(out).reshape(33, -1), want)
    assert fake.kernels == [("hanbit", "exclusive")]
    assert [call[2] for call in fake.calls] == [5, 33]


def test_mismatches_are_counted(made, capsys):
    _, card, fake, host = made
    compute = fake.compute
    fake.compute = lambda words: compute(words) ^ 1
    assert host.main([str(card / "hanbit.xclbin")]) == 1
    assert json.loads(capsys.readouterr().out)["mismatches"] > 0


def test_a_batch_without_all_its_results_is_an_error(made, capsys):
    _, card, fake, host = made
    compute = fake.compute
    fake.compute = lambda words: compute(words)[:3]
    assert host.main([str(card / "hanbit.xclbin")]) == 2
    out, err = capsys.readouterr()
    assert err == "host.py: 2 of 5 images have no result; the batch failed\n" and not out


def test_a_kernel_that_does_not_end(made, capsys):
    _, card, fake, host = made
    fake.state = "TIMEOUT"
    assert host.main([str(card / "hanbit.xclbin")]) == 2
    assert "the kernel ended with TIMEOUT after at most 10000 ms" in capsys.readouterr().err


def test_wrong_input_is_one_line(made, capsys, tmp_path, monkeypatch):
    _, card, _, host = made
    xclbin = str(card / "hanbit.xclbin")
    np.save(tmp_path / "small.npy", np.zeros((2, 5), np.uint8))
    for arguments, says in (
        ([str(tmp_path / "none.xclbin")], "no such xclbin"),
        ([xclbin, "--images", str(tmp_path / "none.npy")], "none.npy"),
        ([xclbin, "--images", str(tmp_path / "small.npy")], "images of shape (2, 5)"),
    ):
        assert host.main(arguments) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and says in err
    monkeypatch.setitem(sys.modules, "pyxrt", None)
    assert host.main([xclbin]) == 2
    assert "source setup.sh of XRT first" in capsys.readouterr().err


def test_large_requests_are_split(made, monkeypatch):
    graph, card, fake, host = made
    description = host.Description.beside(card / "hanbit.xclbin")
    accelerator = host.Card(card / "hanbit.xclbin", description)

    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 500))
    def split(count, most, chunk):
        fake.calls.clear()
        monkeypatch.setattr(host, "MOST", most)
        monkeypatch.setattr(host, "CHUNK", chunk)
        images = random_images(graph, count, seed=count).astype(np.uint8)
        found = accelerator.execute(images)
        want = run_reference(graph, images.astype(np.int32))
        assert np.array_equal(found.reshape(count, -1), want)
        assert sum(call[2] for call in fake.calls) == count
        assert max(call[2] for call in fake.calls) <= most
        assert all(call[0] <= chunk or call[2] == 1 for call in fake.calls)

    split()
    none = np.empty((0, 24), np.uint8)
    assert len(accelerator.execute(none)) == 0


def test_it_runs_from_its_own_folder_alone(made, tmp_path):
    """Nothing of the repository is needed on the card's machine; there, only pyxrt is missing."""
    _, card, _, _ = made
    alone = tmp_path / "alone"
    shutil.copytree(card, alone)
    command = [sys.executable, "-I", "-c", "import runpy, sys; sys.path.insert(0, '.');"
               " sys.argv = ['host.py', 'hanbit.xclbin'];"
               " runpy.run_path('host.py', run_name='__main__')"]  # fmt: skip
    done = subprocess.run(command, cwd=alone, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("host.py: No module named 'pyxrt'")
