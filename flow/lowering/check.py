"""After every pass: the graph, executed, against the trained network.

On the images every activation, accumulator, logit and label is compared. Beyond the images, the
weights are compared one by one, windows and pooling by their sizes, and every activation function
is run over all values that can arrive; when those agree too, the graph equals the network for all
inputs. What is pooled is of one bit (`Chain.evaluate` sees to it), so that pooling is an OR.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from flow.errors import MismatchError, UserError
from flow.lowering.chain import Chain
from flow.lowering.encoding import Encoding, tables, windows_of
from flow.lowering.golden import Golden, activation_name, first_difference, layer_name
from flow.lowering.onnx_run import Tensors, run

LOGIT_TOLERANCE = 1e-4  # of the largest logit; the scalar tail is float arithmetic until absorbed


def check(
    model: ModelWrapper, golden: Golden, name: str, pixels: np.ndarray, whole_domain: bool
) -> dict[str, int | str]:
    """Raise `MismatchError` at the first difference, or return the record of pass `name`.

    `pixels` are the graph's numbers for pixel values 0..255. `whole_domain`: also demand equal
    activation functions for values that no image brings. The record counts the images, the values
    compared on them, and the differences, which are none.
    """
    try:
        chain = Chain.of(model)
        if len(chain.products) != len(golden.weights):
            raise UserError(
                f"{len(chain.products)} matrix products where the network has {len(golden.weights)}"
            )
        functions, encodings, scores = tables(chain, golden.weights, pixels)
        windows = windows_of(chain, encodings)
        if (found := _first_unlike(windows, golden.windows)) is not None:
            raise UserError(
                f"{layer_name(golden.windows, found)} reads {windows[found]} instead of "
                f"{golden.windows[found]}"
            )
    except UserError as fault:  # the file was accepted: a pass made this of it
        raise MismatchError(f"pass {name}: {fault}", name) from fault
    images = chain.input_of(pixels.astype(np.float32)[golden.images])
    tensors = run(model, {model.graph.input[0].name: images}, len(images))
    comparison = _Comparison(golden, name, chain, encodings, tensors)
    for i, function in enumerate(functions):
        comparison.activations(i)
        comparison.weights(i)
        if whole_domain:
            comparison.activation_function(i, function)
        comparison.accumulators(i)
    comparison.scores()
    if whole_domain:
        comparison.score_function(scores)
    comparison.labels()
    return {"pass": name, "images": len(golden), "values": comparison.compared, "mismatches": 0}


@dataclass(eq=False)
class _Comparison:
    """One graph against the golden values; each method raises where they differ."""

    golden: Golden
    name: str
    chain: Chain
    encodings: list[Encoding]
    tensors: Tensors
    compared: int = field(default=0)

    def activations(self, i: int) -> None:
        arriving = self.chain.products[i].source_values(self.tensors)
        bits, expected = self.encodings[i].activations(arriving), self.golden.activations[i]
        self._equal(bits, expected, self._activation(i), self._in_front(i))

    def accumulators(self, i: int) -> None:
        product = self.chain.products[i]
        sums = self.encodings[i].accumulators(product.target_values(self.tensors))
        self._equal(sums, self.golden.accumulators[i], self._layer(i), product.node.name)

    def weights(self, i: int) -> None:
        """Each row of weights is the network's own or its negative."""
        encoding, own = self.encodings[i], self.golden.weights[i]
        if encoding.sign.all():
            return
        if encoding.bits.shape != own.shape:
            what = f"weights are {encoding.bits.shape} instead of {own.shape}"
        else:
            row = int(np.argmin(np.abs(encoding.sign)))
            wrong = np.flatnonzero(encoding.bits[row] != own[row])
            if 2 * len(wrong) > own.shape[1]:  # nearer to the negated row
                wrong = np.flatnonzero(encoding.bits[row] == own[row])
            what = f"weight of row {row} column {wrong[0]} is flipped ({len(wrong)} in this row)"
        raise self._mismatch(self._layer(i), self.chain.products[i].node.name, what)

    def activation_function(self, i: int, values: np.ndarray) -> None:
        """`values` (D, C) is what the graph makes of all that can arrive."""
        bits, table = self.encodings[i].activations(values), self.golden.tables[i]
        if np.array_equal(bits, table):
            return
        row, channel = np.argwhere(bits != table)[0]
        arriving = f"accumulator {self.golden.domain(i - 1)[row]}" if i else f"pixel {row}"
        raise self._mismatch(
            self._activation(i),
            self._in_front(i),
            f"channel {channel} gives {bits[row, channel]} instead of {table[row, channel]} "
            f"for {arriving}",
        )

    def scores(self) -> None:
        """The logits, as long as the graph computes them; then they are accumulators."""
        if self.chain.tail_end == self.chain.products[-1].target:
            return
        scores, logits = self.tensors[self.chain.tail_end], self.golden.logits
        error = np.abs(scores - logits)
        if not error.max() <= LOGIT_TOLERANCE * np.abs(logits).max():
            image, label = np.unravel_index(error.argmax(), error.shape)
            raise self._mismatch(
                "logits",
                self._in_front(-1),
                f"image {image} class {label}: {scores[image, label]} instead of "
                f"{logits[image, label]}",
            )
        if not np.array_equal(scores.argmax(1), self.golden.labels):
            raise self._mismatch("logits", self._in_front(-1), "another logit is largest")
        self.compared += scores.size

    def score_function(self, scores: np.ndarray) -> None:
        """`scores` (D, classes): one function for all classes, rising where the logits do."""
        rising = np.diff(scores[:, 0]) > 0
        expected = np.diff(self.golden.tail[:, 0]) > 0
        if not (scores == scores[:, :1]).all() or not np.array_equal(rising, expected):
            raise self._mismatch(
                "logits",
                self._in_front(-1),
                "scores do not rise with the network's logits for every accumulator",
            )

    def labels(self) -> None:
        labels = self.chain.labels_of(self.tensors)
        if labels is not None:
            expected = self.golden.labels[:, None]
            self._equal(labels[:, None], expected, "label", self._in_front(-1))

    def _layer(self, i: int) -> str:
        return layer_name(self.golden.windows, i)

    def _activation(self, i: int) -> str:
        return activation_name(self.golden.windows, i)

    def _equal(self, actual: np.ndarray, expected: np.ndarray, layer: str, node: str) -> None:
        if not np.array_equal(actual, expected):
            raise self._mismatch(layer, node, first_difference(actual, expected))
        self.compared += actual.size

    def _mismatch(self, layer: str, node: str, what: str) -> MismatchError:
        where = f"{self.name}/{layer}"
        return MismatchError(f"pass {self.name}: {layer} (node {node}) differs: {what}", where)

    def _in_front(self, i: int) -> str:
        return self.chain.node_in_front(i)


def _first_unlike(found: tuple, expected: tuple) -> int | None:
    """The first place where two tuples differ, or None."""
    places = [i for i, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]]
    return places[0] if places else None
