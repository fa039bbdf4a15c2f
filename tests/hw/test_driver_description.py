"""The .json that the flow writes, read by the driver, whose batches then equal the reference."""

import sys
from pathlib import Path

import numpy as np
import pytest
from test_driver_model import Shell, install  # puts the driver on the path

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

# isort: split
from graphs import images as random_images
from graphs import mlp, randomly_folded
from hanbit_board import Accelerator, Description

from flow import reference
from flow.errors import UserError
from flow.graph import Graph
from flow.rtl.codegen import Design, generate
from flow.shell import description
from flow.shell.layout import of_design

HASH = 0xCAFE0001
CLASSES = list("abcdef")


def results(graph: Graph, images: np.ndarray) -> np.ndarray:
    return reference.execute(graph, images)[graph.output].reshape(len(images), -1)


def written(graph: Graph, design: Design, folder: Path, **options) -> Path:
    images = random_images(graph, 7)
    bitfile = folder / "net.bit"
    bitfile.write_bytes(b"")
    body = description.describe(
        design,
        (24,),
        CLASSES,
        images,
        results(graph, images),
        name="net",
        build_hash=HASH,
        clock_mhz=100.0,
        interval=24,
        **options,
    )
    description.write(body, bitfile)
    return bitfile


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("in_dtype", ["UINT8", "BINARY"])
def test_written_and_read(tmp_path, monkeypatch, in_dtype, label, packed):
    graph = randomly_folded(mlp(4, in_dtype=in_dtype, label=label), 4)
    design = generate(graph, tmp_path / "rtl")
    bitfile = written(graph, design, tmp_path, packed=packed)
    found = Description.beside(bitfile)
    source, target = of_design(design, packed)
    assert (found.images.words, found.results.bytes) == (source.words, target.bytes)
    assert (found.build, found.name, found.interval) == (HASH, "net", 24)
    assert found.results.kind == ("labels" if label else "scores")
    assert list(found.classes) == CLASSES
    images = random_images(graph, 7)
    assert np.array_equal(found.test_images, images.reshape(7, -1))
    assert np.array_equal(found.test_results, results(graph, images))

    if packed and in_dtype != "BINARY":
        images = np.where(images > 0, 255, 0).astype(np.uint8)  # what the core can be given
    known = dict(
        zip(
            map(bytes, source.pack(images.reshape(7, -1))),
            results(graph, images),
            strict=True,
        )
    )
    shell = Shell(
        found.images, found.results, lambda rows: np.array([known[bytes(r)] for r in rows]), HASH
    )
    install(monkeypatch, shell)
    with Accelerator(bitfile) as net:
        expected = results(graph, images)
        assert np.array_equal(net.execute(images), expected[:, 0] if label else expected)


def test_what_does_not_fit_is_refused(tmp_path):
    graph = randomly_folded(mlp(5), 5)
    design = generate(graph, tmp_path)
    with pytest.raises(UserError, match="threshold"):
        written(graph, design, tmp_path, threshold=3)
    images, given = random_images(graph, 7), results(graph, random_images(graph, 7))
    more = {"name": "net", "build_hash": HASH, "clock_mhz": 100.0}
    for shape, pixels, expected, text in (
        ((24,), images, given[:5], "self-test"),
        ((23,), images, given, "shape"),
        ((24,), images.astype(int) + 256, given, "8 bits"),
    ):
        with pytest.raises(UserError, match=text):
            description.describe(design, shape, CLASSES, pixels, expected, **more)
