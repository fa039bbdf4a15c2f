"""Networks for the tests: QONNX files written node by node, and brevitas students.

Every parameter is random from a seed, batch norms included (negative scales too), so that a small
network reaches all cases without any training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
Shape = Sequence[int | str]


@dataclass
class Builder:
    """Collects nodes and parameters; tensors are passed on by name."""

    nodes: list[Any] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node, return its last output."""
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        domain = QONNX if op in ("BipolarQuant", "Quant", "MultiThreshold") else ""
        self.nodes.append(
            helper.make_node(
                op, list(inputs), names, name=f"{op}_{len(self.nodes)}", domain=domain, **attributes
            )
        )
        return names[-1]

    def model(self, shape: Shape, output: str, output_shape: Shape, **options: Any) -> ModelProto:
        kind = options.get("input_type", TensorProto.FLOAT)
        output_kind = options.get("output_type", TensorProto.FLOAT)
        inputs = [helper.make_tensor_value_info("image", kind, shape)]
        if options.get("parameters_are_inputs"):
            inputs += [
                helper.make_tensor_value_info(p.name, p.data_type, p.dims) for p in self.parameters
            ]
        graph = helper.make_graph(
            self.nodes,
            "network",
            inputs,
            [helper.make_tensor_value_info(output, output_kind, output_shape)],
            self.parameters,
        )
        opsets = [helper.make_opsetid("", 16), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@dataclass(frozen=True)
class Network:
    """How a QONNX file of a binary MLP is written; see the fields' alternatives."""

    image: tuple[int, ...] = (1, 4, 5)
    hidden: tuple[int, ...] = (12, 9)
    classes: int = 4
    seed: int = 0
    batch: int | str = 1  # or "N": open
    flatten: str = "Reshape"  # Flatten, Shape (computed from the batch), none
    flatten_late: bool = False  # after the input's scaling and quantiser
    scaling: str = "none"  # Div, Mul: the file divides pixels by 255 itself; uint8: and casts
    input: str = "2x-1"  # per pixel: another scale and shift for each
    norm: str = "BatchNormalization"  # Mul/Add, none
    negative: bool = True  # batch norms with negative and zero scales
    quantiser: str = "BipolarQuant"  # Quant, unsigned Quant, MultiThreshold
    activation_scale: float = 1.0
    weights: str = "BipolarQuant"  # Quant, constant (no quantiser node)
    weight_scale: float = 1.0
    scale_a_row: bool = False  # weight_scale times another power of two for each hidden row
    gemm: bool = True  # or MatMul
    tail: str = "scalar"  # negative, none, uniform (vectors of equal numbers), per class
    topk: bool = False
    parameters_are_inputs: bool = False

    def build(self) -> ModelProto:
        rng = np.random.default_rng(self.seed)
        b = Builder()
        tensor = self._flat(b, self._input(b, rng))
        columns = prod(self.image)
        for rows in self.hidden:
            tensor = self._product(b, rng, tensor, rows, columns, hidden=True)
            tensor = self._quantise(b, self._norm(b, rng, tensor, rows, columns))
            columns = rows
        tensor = self._product(b, rng, tensor, self.classes, columns, hidden=False)
        tensor = self._tail(b, rng, tensor)
        output_shape: Shape = (self.batch, self.classes)
        output_type = TensorProto.FLOAT
        if self.topk:
            tensor = b.node("TopK", tensor, b.constant([1], np.int64), outputs=2)
            output_shape, output_type = (self.batch, 1), TensorProto.INT64
        image = self.image if self.flatten != "none" else (prod(self.image),)
        return b.model(
            (self.batch, *image),
            tensor,
            output_shape,
            input_type=TensorProto.UINT8 if self.scaling == "uint8" else TensorProto.FLOAT,
            output_type=output_type,
            parameters_are_inputs=self.parameters_are_inputs,
        )

    def save(self, path: Path) -> Path:
        onnx.save(self.build(), str(path))
        return path

    def images(self, count: int, seed: int = 1) -> np.ndarray:
        """Random uint8 images (N, C, H, W)."""
        rng = np.random.default_rng(seed)
        return rng.integers(0, 256, (count, *self.image), dtype=np.uint8)

    def with_(self, **changes: Any) -> Network:
        return replace(self, **changes)

    def _input(self, b: Builder, rng: np.random.Generator) -> str:
        tensor = "image"
        if not self.flatten_late:
            tensor = self._flatten(b, tensor)
        if self.scaling == "uint8":
            tensor = b.node("Cast", tensor, to=TensorProto.FLOAT)
        if self.scaling in ("Div", "uint8"):
            tensor = b.node("Div", tensor, b.constant(255.0))
        elif self.scaling == "Mul":
            tensor = b.node("Mul", tensor, b.constant(1 / 255))
        scale, shift = np.array(2.0), np.array(1.0)
        if self.input == "per pixel":
            shape = self.image if self.flatten_late else (prod(self.image),)
            scale, shift = rng.uniform(0.5, 2, shape), rng.uniform(0.2, 0.8, shape)
        tensor = b.node("Mul", tensor, b.constant(scale))
        return self._quantise(b, b.node("Sub", tensor, b.constant(shift)))

    def _flat(self, b: Builder, tensor: str) -> str:
        return self._flatten(b, tensor) if self.flatten_late else tensor

    def _flatten(self, b: Builder, tensor: str) -> str:
        if self.flatten == "Reshape":
            first = self.batch if isinstance(self.batch, int) else -1
            target = [first, prod(self.image) if first == -1 else -1]
            return b.node("Reshape", tensor, b.constant(target, np.int64))
        if self.flatten == "Flatten":
            return b.node("Flatten", tensor, axis=1)
        if self.flatten == "Shape":
            batch = b.node("Gather", b.node("Shape", tensor), b.constant(0, np.int64), axis=0)
            batch = b.node("Unsqueeze", batch, b.constant([0], np.int64))
            target = b.node("Concat", batch, b.constant([-1], np.int64), axis=0)
            return b.node("Reshape", tensor, target)
        return tensor

    def _product(
        self, b: Builder, rng: np.random.Generator, tensor: str, rows: int, columns: int,
        hidden: bool,
    ) -> str:  # fmt: skip
        weights = rng.uniform(-1, 1, (rows, columns))
        scale = np.full((rows, 1), self.weight_scale)
        if self.scale_a_row and hidden:
            scale *= 2.0 ** rng.integers(-2, 3, (rows, 1))
        if np.ptp(scale) == 0:
            scale = scale[:1, 0]
        elif not self.gemm:
            scale = scale.T
        if not self.gemm:
            weights = weights.T
        if self.weights == "constant":
            name = b.constant(np.where(weights >= 0, scale, -scale))
        elif self.weights == "Quant":
            name = b.node(
                "Quant", b.constant(weights), b.constant(scale), b.constant(0.0),
                b.constant(1.0), signed=1, narrow=0, rounding_mode="ROUND",
            )  # fmt: skip
        else:
            name = b.node("BipolarQuant", b.constant(weights), b.constant(scale))
        if self.gemm:
            return b.node("Gemm", tensor, name, transB=1)
        return b.node("MatMul", tensor, name)

    def _norm(
        self, b: Builder, rng: np.random.Generator, tensor: str, rows: int, columns: int
    ) -> str:
        scale = rng.uniform(0.5, 1.5, rows)
        if self.negative:
            scale *= rng.choice([-1, 1], rows)
            scale[rng.integers(rows)] = 0
        shift, mean = rng.normal(0, 0.3, rows), rng.normal(0, columns**0.5 / 2, rows)
        mean[rng.integers(rows)] *= 100  # a constant channel
        if self.norm == "none":
            return tensor
        if self.norm == "Mul/Add":
            spread = scale / columns**0.5
            tensor = b.node("Mul", tensor, b.constant(spread))
            return b.node("Add", tensor, b.constant(shift - mean * spread))
        parameters = [b.constant(x) for x in (scale, shift, mean, np.full(rows, columns))]
        return b.node("BatchNormalization", tensor, *parameters, epsilon=1e-5)

    def _quantise(self, b: Builder, tensor: str) -> str:
        scale = self.activation_scale
        if self.quantiser == "MultiThreshold":
            return b.node(
                "MultiThreshold", tensor, b.constant([[0.0]]), out_dtype="BIPOLAR",
                out_scale=2 * scale, out_bias=-scale,
            )  # fmt: skip
        if self.quantiser.endswith("Quant") and self.quantiser != "BipolarQuant":
            signed = int(self.quantiser == "Quant")
            return b.node(
                "Quant", tensor, b.constant(scale), b.constant(0.0), b.constant(1.0),
                signed=signed, narrow=0, rounding_mode="ROUND",
            )  # fmt: skip
        return b.node("BipolarQuant", tensor, b.constant([scale]))

    def _tail(self, b: Builder, rng: np.random.Generator, tensor: str) -> str:
        if self.tail == "none":
            return tensor
        one = np.ones((1, self.classes) if self.tail == "uniform" else 1)
        scale = one * (-1.3 if self.tail == "negative" else 1.3)
        if self.tail == "per class":
            scale = rng.uniform(0.5, 1.5, self.classes)
        tensor = b.node("Sub", tensor, b.constant(one * -0.3))
        tensor = b.node("Div", tensor, b.constant(one * 7.7))
        return b.node("Add", b.node("Mul", tensor, b.constant(scale)), b.constant(one * 0.2))
