"""After every pass: the graph, executed, against the trained network.

On the images every activation, accumulator, logit and label is compared. Beyond the images, the
weights are compared one by one and every activation function is run over all values that can
arrive; when those agree too, the graph equals the network for all inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from flow.chain import Chain, Encoding, domain_of, tables
from flow.errors import MismatchError
from flow.golden import Golden, activation_name, first_difference, layer_name
from flow.onnx_run import run

LOGIT_TOLERANCE = 1e-4  # of the largest logit; the scalar tail is float arithmetic until absorbed


@dataclass(frozen=True, eq=False)
class Checker:
    """Compares graphs with `golden`. `pixels` are the graph's numbers for pixel values 0..255."""

    golden: Golden

    def check(
        self, model: ModelWrapper, name: str, pixels: np.ndarray, whole_domain: bool
    ) -> dict[str, int | str]:
        """Raise `MismatchError` at the first difference, or return the pass's record.

        `whole_domain`: also demand equal activation functions for values that no image brings.
        """
        golden = self.golden
        chain = Chain.of(model)
        if len(chain.products) != len(golden.weights):
            raise MismatchError(
                f"pass {name}: the graph has {len(chain.products)} matrix products, "
                f"the network {len(golden.weights)}",
                name,
            )
        sources, encodings, scores = tables(chain, golden.weights, pixels)
        images = pixels.astype(np.float32)[golden.images]
        tensors = run(model, {model.graph.input[0].name: images}, len(images))
        for i, encoding in enumerate(encodings):
            self._activations(name, chain, i, encoding, tensors[chain.products[i].source])
            self._weights(name, chain, i, encoding)
            if whole_domain:
                self._table(name, chain, i, encoding, sources[i])
            self._accumulators(name, chain, i, encoding, tensors[chain.products[i].target])
        self._scores(name, chain, encodings[-1], tensors)
        if whole_domain:
            self._tail(name, chain, encodings[-1], scores)
        labels = chain.labels_of(tensors)
        if labels is not None and not np.array_equal(labels, golden.labels):
            image = int(np.argmax(labels != golden.labels))
            raise _mismatch(
                name,
                "label",
                chain.node_in_front(-1),
                f"image {image}: label {labels[image]} instead of {golden.labels[image]}",
            )
        return {"pass": name, "images": len(golden), "mismatches": 0}

    def _activations(
        self, name: str, chain: Chain, i: int, encoding: Encoding, values: np.ndarray
    ) -> None:
        bits = encoding.activations(values)
        if not np.array_equal(bits, self.golden.activations[i]):
            place = first_difference(bits, self.golden.activations[i])
            raise _mismatch(name, activation_name(i), chain.node_in_front(i), place)

    def _weights(self, name: str, chain: Chain, i: int, encoding: Encoding) -> None:
        if encoding.sign.all():
            return
        row = int(np.argmin(np.abs(encoding.sign)))
        own = self.golden.weights[i]
        if encoding.bits.shape != own.shape:
            what = f"weights are {encoding.bits.shape} instead of {own.shape}"
        else:
            wrong = np.flatnonzero(encoding.bits[row] != own[row])
            if 2 * len(wrong) > own.shape[1]:  # nearer to the negated row
                wrong = np.flatnonzero(encoding.bits[row] == own[row])
            what = f"weight of row {row} column {wrong[0]} is flipped ({len(wrong)} in this row)"
        raise _mismatch(name, layer_name(i), chain.products[i].node.name, what)

    def _table(
        self, name: str, chain: Chain, i: int, encoding: Encoding, values: np.ndarray
    ) -> None:
        bits = encoding.activations(values)
        table = self.golden.tables[i]
        if np.array_equal(bits, table):
            return
        value, channel = np.argwhere(bits != table)[0]
        arriving = value if i == 0 else domain_of(self.golden.weights[i - 1].shape[1])[value]
        what = "pixel" if i == 0 else "accumulator"
        raise _mismatch(
            name,
            activation_name(i),
            chain.node_in_front(i),
            f"channel {channel} gives {bits[value, channel]} instead of {table[value, channel]} "
            f"for {what} {arriving}",
        )

    def _accumulators(
        self, name: str, chain: Chain, i: int, encoding: Encoding, values: np.ndarray
    ) -> None:
        sums = encoding.accumulators(values)
        if not np.array_equal(sums, self.golden.accumulators[i]):
            place = first_difference(sums, self.golden.accumulators[i])
            raise _mismatch(name, layer_name(i), chain.products[i].node.name, place)

    def _scores(self, name: str, chain: Chain, encoding: Encoding, tensors: dict) -> None:
        """The logits, as long as the graph computes them."""
        if chain.tail_end == chain.products[-1].target:
            return  # the tail is absorbed: scores are accumulators, compared already
        scores = tensors[chain.tail_end]
        error = np.abs(scores - self.golden.logits)
        if error.max() > LOGIT_TOLERANCE * np.abs(self.golden.logits).max():
            image, label = np.unravel_index(error.argmax(), error.shape)
            raise _mismatch(
                name,
                "logits",
                chain.node_in_front(-1),
                f"image {image} class {label}: {scores[image, label]} instead of "
                f"{self.golden.logits[image, label]}",
            )
        if not np.array_equal(scores.argmax(1), self.golden.labels):
            raise _mismatch(name, "logits", chain.node_in_front(-1), "another logit is largest")

    def _tail(self, name: str, chain: Chain, encoding: Encoding, scores: np.ndarray) -> None:
        """The scores must be one function for all classes, ascending with the network's logits."""
        same = (scores == scores[:, :1]).all()
        rising = np.diff(scores[:, 0]) > 0
        if not same or not np.array_equal(rising, np.diff(self.golden.tail[:, 0]) > 0):
            raise _mismatch(
                name,
                "logits",
                chain.node_in_front(-1),
                "scores do not rise with the network's logits for every accumulator",
            )


def _mismatch(name: str, layer: str, node: str, what: str) -> MismatchError:
    return MismatchError(f"pass {name}: {layer} (node {node}) differs: {what}", f"{name}/{layer}")
