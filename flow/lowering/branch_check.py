"""A network that branches on images: its file, the graph read from it, the trained network."""

from __future__ import annotations

import numpy as np

from flow import reference
from flow.errors import MismatchError
from flow.lowering.branched import Reading
from flow.lowering.onnx_run import Tensors, run
from flow.lowering.topology import tail_end
from flow.lowering.traces import Traces


def compare(reading: Reading, inputs: np.ndarray, images: np.ndarray, golden: Traces) -> int:
    """Every tensor of the file on `inputs` against the graph on `images`, both of N.

    Two-valued tensors must be equal, others within a hundredth of a step; then the file's products
    and labels against the trained network's. Returns how many numbers were compared;
    `MismatchError` at the first that differs.
    """
    model = reading.model
    streams = reference.execute(reading.graph, images)
    tensors = run(model, {model.graph.input[0].name: inputs}, len(inputs))
    compared = 0
    for node in model.graph.node:
        name = node.output[0]
        if name not in reading.values or node.op_type == "TopK":
            continue
        value, found = reading.values[name], tensors[name]
        u = streams[value.stream].reshape(len(inputs), -1, value.table.shape[1])
        rows = (u - value.low).reshape(-1, u.shape[-1])
        expected = np.take_along_axis(value.table, rows, axis=0).reshape(u.shape)
        last = found.reshape(len(inputs), *(value.flattened or found.shape[1:]))
        last = last.reshape(*last.shape[:2], -1).transpose(0, 2, 1)
        levels = np.unique(value.table)
        slack = 0.0 if len(levels) <= 2 else 0.01 * np.diff(levels).max()
        wrong = np.argwhere(~(np.abs(last - expected) <= slack))
        if len(wrong):
            image, pixel, channel = map(int, wrong[0])
            raise MismatchError(
                f"node {node.name} ({node.op_type}): image {image} pixel {pixel} channel "
                f"{channel} is {last[image, pixel, channel]:g}, the graph's {value.stream} "
                f"stands for {expected[image, pixel, channel]:g}",
                node.name,
            )
        compared += last.size
    return compared + _network(reading, tensors, streams["label"], golden)


def _network(reading: Reading, tensors: Tensors, labels: np.ndarray, golden: Traces) -> int:
    """The products by their weights, wherever they stand, and the labels."""
    compared = 0
    for node, weights in reading.products_of_file():
        same = [np.array_equal(np.sign(w), np.sign(weights)) for w in golden.weights]
        if not any(same):
            raise MismatchError(f"node {node.name}: no product of the network", node.name)
        found = tensors[node.output[0]]
        outputs = [golden.outputs[i] for i in np.flatnonzero(same)]
        if not any(np.allclose(found, x, rtol=1e-5, atol=1e-3) for x in outputs):
            raise MismatchError(
                f"node {node.name} ({node.op_type}) gives other numbers than the network", node.name
            )
        compared += found.size
    wrong = np.flatnonzero(labels.reshape(-1) != golden.labels)
    if len(wrong):
        raise MismatchError(f"image {wrong[0]}: another label than the network's", "label")
    return compared + len(labels)


def traces(reading: Reading, inputs: np.ndarray, images: np.ndarray) -> Traces:
    """What the file, run by qonnx, computes for `inputs`, which stand for `images`, both of N."""
    model = reading.model
    tensors = run(model, {model.graph.input[0].name: inputs}, len(inputs))
    products = reading.products_of_file()
    outputs = tuple(tensors[node.output[0]] for node, _ in products)
    scores = tensors[tail_end(model)]
    return Traces(images, tuple(weights for _, weights in products), outputs, scores)
