"""One bit a pixel in memory: the network behind its first threshold, which the driver applies."""

import json
from dataclasses import replace

import numpy as np
import pytest
from graphs import mlp, randomly_folded
from hanbit_board.description import Description

from flow import reference
from flow.errors import UserError
from flow.graph import Threshold
from flow.rtl import codegen
from flow.shell import description, layout, packed


def first_levels(graph, levels):
    """The graph with other thresholds in its first layer."""
    first = replace(graph.layers[0], thresholds=levels)
    return replace(graph, layers=(first, *graph.layers[1:]))


@pytest.mark.parametrize("seed", range(6))
def test_the_rest_of_the_network_computes_the_same(seed):
    graph = mlp(seed)
    images = np.random.default_rng(seed).integers(0, 256, (40, 1, 4, 6), np.uint8)
    threshold, rest = packed.split(graph)
    assert rest.streams[rest.input].dtype == "BINARY"
    assert [x.name for x in rest] == [x.name for x in graph][1:]
    bits = packed.bits(images, threshold)
    assert bits.dtype == np.uint8 and set(np.unique(bits)) <= {0, 1}
    assert np.array_equal(reference.labels(rest, bits), reference.labels(graph, images))


def test_what_reads_bits_already_stays_as_it_is():
    graph = mlp(1, in_dtype="BINARY")
    assert packed.split(graph) == (None, graph)
    images = np.eye(24, dtype=np.uint8)
    assert packed.bits(images, None) is images


def test_other_beginnings_are_refused():
    graph = mlp(2)
    rows = np.arange(24)[:, None]
    two = np.broadcast_to([[3, 9]], (24, 2))
    behind = replace(graph, layers=graph.layers[1:], input=graph.layers[0].target)
    streams = {n: replace(s, dtype="UINT2") for n, s in graph.streams.items()}
    sums = replace(behind, streams=streams)
    assert isinstance(graph.layers[0], Threshold)
    for wrong in (first_levels(graph, rows), first_levels(graph, two), sums):
        with pytest.raises(UserError, match="one bit a pixel need a network that first compares"):
            packed.split(wrong)


def test_the_driver_packs_what_the_circuit_reads(tmp_path):
    """From the user's pixels to words, once by the driver, once by the flow."""
    graph = mlp(3)
    threshold, rest = packed.split(graph)
    design = codegen.generate(randomly_folded(rest, 5), tmp_path)
    images = np.random.default_rng(7).integers(0, 256, (9, 24), np.uint8)
    labels = reference.labels(graph, images)[:, None]
    body = description.describe(
        design, (4, 6), [str(n) for n in range(6)], images, labels,
        name="n", build_hash=1, clock_mhz=100, packed=True, threshold=threshold,
    )  # fmt: skip
    found = Description.parse(json.loads(json.dumps(body)))
    words = found.images.pack(found.images.fold(found.test_images.reshape(9, 4, 6)))
    source, _ = layout.of_design(design, packed=True)
    assert np.array_equal(words, source.pack(packed.bits(images, threshold)))
    assert np.array_equal(found.test_results, labels)
