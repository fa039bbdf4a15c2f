"""Networks that branch: QONNX file -> dataflow graph, tensor by tensor.

FINN's passes take a graph for a chain of products: of a tensor with two readers they convert one
side and leave the other wrong (finn-plus 1.6.1), and they have no rule for a sum of binary
branches. Here the file is read once from input to output, and each tensor is written as a function
of the integers that flow in the circuit: `table[u - low, c]` is what channel c of the tensor holds
where the stream holds u.

    quantiser        a table of two values: thresholds, and a new stream of bits
    product          windows of bits or numbers: a new stream of popcounts or sums
    a + b            two tables that rise by the same step: a new stream, the sum of both
    average          a table that rises in steps: a new stream, the sum over the pixels

Everything else works on the table alone. So the shortcut of a residual block carries integers: the
sum in front of a block's quantiser, to which the block adds its product. That is exact, whatever
the batch norms in front of the quantisers do, since the sums are formed before them. What is normed
or scaled on the shortcut itself does not rise in the steps of the product, and is refused.

The graph is then compared with the file on images: every tensor of every node.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from flow.branches import AddStreams, GlobalAccPool, integer_type
from flow.errors import UserError
from flow.graph import (
    Depthwise,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Stream,
    Threshold,
    windows_shape,
)
from flow.lowering.branch_values import Value
from flow.lowering.onnx_run import Tensors, dynamic_tensors, run
from flow.lowering.product import FIRST, attribute, border_of, square
from flow.lowering.topology import AVERAGES

PRODUCTS = ("Conv", "Gemm", "MatMul")
COPIES = ("Identity", "Dropout", "Cast")
FLATTENING = ("Reshape", "Flatten")
LIMIT = 2**24  # entries of a table


class Reading:
    """One walk through a file: `graph`, and what each tensor is in terms of its streams.

    `model` is cleaned; `pixels` (256,) are the numbers that stand for pixel values at its input.
    """

    def __init__(self, model: ModelWrapper, pixels: np.ndarray, name: str):
        self.model = model
        dynamic = dynamic_tensors(model)
        constant = [n for n in model.graph.node if n.output[0] not in dynamic]
        found = run(model, {}, 1, constant)
        self.constants: Tensors = {k: v for k, v in found.items() if k not in dynamic}
        self.layers: list[Layer] = []
        self.products: list[str] = []  # names of the layers
        entry = model.graph.input[0].name
        shape = self._shape(entry)
        image = (*shape[2:], shape[1]) if len(shape) == 4 else (prod(shape[1:]),)
        self.streams = {"image": Stream("image", image, "UINT8")}
        table = np.repeat(pixels.astype(np.float64)[:, None], image[-1], axis=1)
        self.values = {entry: Value("image", 0, table, alone=self._one_reader(entry))}
        self.titles: set[str] = {"image"}
        for node in model.graph.node:
            read = [x for x in node.input if x in self.values]
            if read:
                self._node(node, read)
        self.graph = self._finished(name)

    # --- nodes ----------------------------------------------------------------------------------

    def _node(self, node: NodeProto, read: list[str]) -> None:
        where = f"node {node.name or node.output[0]} ({node.op_type})"
        if len(read) > 1:
            value = self._sum(node, where)
        elif node.op_type in PRODUCTS:
            value = self._product(node, self.values[node.input[0]], where)
        else:
            value = self._of_one(node, self.values[read[0]], where)
        target = node.output[-1] if node.op_type == "TopK" else node.output[0]
        alone = value.alone and self._one_reader(target)
        self.values[target] = replace(value, alone=alone)

    def _of_one(self, node: NodeProto, value: Value, where: str) -> Value:
        op = node.op_type
        if op == "TopK" or op in COPIES:
            return value
        if op in FLATTENING:
            shape = self._shape(node.input[0])
            if self._shape(node.output[0]) != (1, prod(shape)):
                raise UserError(f"{where}: supported is flattening to (batch, features)")
            # A vector, and an image of one pixel, have their order already.
            if len(shape) != 4 or prod(shape[2:]) == 1:
                return value
            return replace(value, flattened=(shape[1], shape[2], shape[3]))
        if op in AVERAGES:
            return self._average(node, value, where)
        if op == "MaxPool":
            return self._pool(node, value, where)
        if op == "Pad":
            return self._pad(node, value, where)
        return self._function(node, value, where)

    def _function(self, node: NodeProto, value: Value, where: str) -> Value:
        """A node that works element by element, run on the table."""
        source, target = next(x for x in node.input if x in self.values), node.output[0]
        rows, channels = value.table.shape
        flat = len(self._shape(source)) == 2
        others = [self.constants[x] for x in node.input if x in self.constants]
        shape = (rows, channels) if flat else (rows, channels, 1, 1)
        if value.flattened and any(x.size > 1 for x in others):
            raise UserError(f"{where}: has parameters for each pixel, supported is one number")
        feeds = self.constants | {source: value.table.reshape(shape).astype(np.float32)}
        found = run(self.model, feeds, rows, [node], {source: shape, target: shape})[target]
        if found.shape != shape:
            raise UserError(f"{where}: has parameters for each pixel, supported is one a channel")
        table = found.reshape(rows, channels).astype(np.float64)
        result = replace(value, table=table)
        levels = np.unique(table)
        if rows > 2 and len(levels) <= 2:
            return self._quantised(result, levels, where)
        return result

    def _quantised(self, value: Value, levels: np.ndarray, where: str) -> Value:
        """Bits: 1 where the stream reaches a threshold; levels of a falling channel change places.

        Rows of the product in front are negated instead, where nothing else reads it.
        """
        low, high = levels[0], levels[-1]
        table = value.table
        if (np.abs(np.diff(table == high, axis=0).sum(0, dtype=int)) > 1).any():
            raise UserError(f"{where}: is not a threshold of the integers in front of it")
        falling = table[0] > table[-1]
        if falling.any() and value.alone and self._negate(value.stream, falling):
            table = np.where(falling, table[::-1], table)
            falling = np.zeros_like(falling)
        ones = table == np.where(falling, low, high)
        if low == high:  # always the same: one of -v and +v
            low, high = -abs(low), abs(low)
            ones[:] = levels[0] > 0
        first = np.where(ones.any(0), ones.argmax(0), len(ones))  # ones follow zeros
        stream = self.streams[value.stream]
        title = self._title("in0" if value.stream == "image" else f"{value.stream}_act")
        rows = (value.low + first).astype(np.int64)[:, None]
        self._add(Threshold(title, value.stream, title, rows), stream.shape, "BINARY")
        bits = np.where(falling, [[high], [low]], [[low], [high]])
        return Value(title, 0, bits, value.flattened)

    def _negate(self, stream: str, rows: np.ndarray) -> bool:
        """Turn rows of the product that writes a stream, so that it counts what it did not."""
        for i, layer in enumerate(self.layers):
            if layer.target == stream and isinstance(layer, MatrixVector | Depthwise):
                weights = np.where(rows[:, None], 1 - layer.weights, layer.weights)
                self.layers[i] = replace(layer, weights=weights.astype(np.uint8))
                for name, value in self.values.items():  # all on the way here
                    if value.stream == stream:
                        table = np.where(rows, value.table[::-1], value.table)
                        self.values[name] = replace(value, table=table)
                return True
        return False

    def _pool(self, node: NodeProto, value: Value, where: str) -> Value:
        size = square(node, "kernel_shape")
        self._rising_bits(value, f"{where}: pools")
        height, width, channels = self._image(value, where)
        title = self._title(f"pool{max(0, len(self.products) - 1)}")
        layer = MaxPool(title, value.stream, title, size)
        self._add(layer, (height // size, width // size, channels), "BINARY")
        return replace(value, stream=title)

    def _pad(self, node: NodeProto, value: Value, where: str) -> Value:
        size, border = border_of(self.model, node, FIRST)
        if size == 0:
            return value
        places = (value.table == border).all(1)
        if not places.any():
            shown = ", ".join(f"{x:g}" for x in np.unique(value.table)[:2])
            raise UserError(
                f"{where}: pads with {border:g}, which not every channel takes (they take {shown}"
                "..); pad bits with -1, and keep the batch norm scales behind a sum positive"
            )
        height, width, channels = self._image(value, where)
        title = self._title(f"pad{len(self.products)}")
        number = int(value.low + places.argmax())
        layer = Padding(title, value.stream, title, size, number)
        shape = (height + 2 * size, width + 2 * size, channels)
        self._add(layer, shape, self.streams[value.stream].dtype)
        return replace(value, stream=title)

    def _average(self, node: NodeProto, value: Value, where: str) -> Value:
        """Sums over all pixels; the value's steps, over their number where it is a mean."""
        height, width, channels = self._image(value, where)
        if node.op_type != "GlobalAveragePool":
            axes = attribute(node, "axes", None)
            if axes is None and len(node.input) > 1:
                axes = self.constants[node.input[1]]
            if axes is None or sorted(int(a) % 4 for a in axes) != [2, 3]:
                raise UserError(f"{where}: supported are sums and means over height and width")
        step, offset = value.line(where, exact=False)
        pixels = height * width
        divisor = 1 if node.op_type == "ReduceSum" else pixels
        bits = self.streams[value.stream].dtype == "BINARY"
        title = self._title(f"average{max(0, len(self.products) - 1)}")
        layer = GlobalAccPool(title, value.stream, title, bipolar=bits)
        low, high = layer.range(self.streams[value.stream])
        if not bits:  # the stream's type is wider than what comes
            low, high = pixels * value.low, pixels * (value.low + len(value.table) - 1)
        self._add(layer, (channels,), integer_type(*layer.range(self.streams[value.stream])))
        sums = self._domain(low, high, channels, where)
        # of bits u the stream holds the sum of 2u - 1
        total = (sums + pixels) / 2 if bits else sums
        table = (total[:, None] * step + pixels * offset) / divisor
        return Value(title, low, table)

    def _sum(self, node: NodeProto, where: str) -> Value:
        if node.op_type != "Add" or len({*node.input}) != 2:
            raise UserError(
                f"{where}: joins two branches; supported is Add of two different tensors"
            )
        a, b = (self.values[x] for x in node.input)
        if a.flattened or b.flattened or self._shape(node.input[0]) != self._shape(node.input[1]):
            raise UserError(f"{where}: adds tensors of different shapes")
        if a.stream == b.stream:
            raise UserError(
                f"{where}: adds two functions of {a.stream}; supported are two branches"
            )
        lines = [self._rising(x, where) for x in (a, b)]
        if not np.array_equal(lines[0][0], lines[1][0]):
            steps = " and ".join(
                f"{x[0][0]:g} of {v.stream}" for x, v in zip(lines, (a, b), strict=True)
            )
            raise UserError(
                f"{where}: adds values of different steps ({steps}); supported are branches of one "
                "step, such as two products of bits without a scale or batch norm of their own"
            )
        title = self._title(f"add{sum(isinstance(x, AddStreams) for x in self.layers)}")
        layer = AddStreams(title, a.stream, title, b.stream)
        streams = self.streams[a.stream], self.streams[b.stream]
        self._add(layer, streams[0].shape, integer_type(*AddStreams.range(*streams)))
        low = a.low + b.low
        high = low + len(a.table) + len(b.table) - 2
        sums = self._domain(low, high, a.table.shape[1], where)
        return Value(title, low, sums[:, None] * lines[0][0] + lines[0][1] + lines[1][1])

    def _rising(self, value: Value, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Its line, which must rise in every channel."""
        step, offset = value.line(where)
        if (step <= 0).any():
            raise UserError(
                f"{where}: channel {int(np.argmax(step <= 0))} falls with the integers of "
                f"{value.stream}; keep the scales in front of a sum positive"
            )
        return step, offset

    # --- products -------------------------------------------------------------------------------

    def _product(self, node: NodeProto, value: Value, where: str) -> Value:
        """A new stream of popcounts, or of sums where numbers come in."""
        conv = node.op_type == "Conv"
        title = self._title(f"{'conv' if conv else 'fc'}{len(self.products)}")
        array = self.constants.get(node.input[1])
        if array is None:
            raise UserError(f"{where}: its weights depend on the input")
        depthwise = conv and attribute(node, "group", 1) > 1
        rows = self._rows(node, array, value)
        size = np.abs(rows[:, :1])
        if not (size > 0).all() or not (np.abs(rows) == size).all():
            raise UserError(f"{where}: weights are not of one bit; train with binary weights")
        bits = self.streams[value.stream].dtype == "BINARY"
        step, offset = value.line(where, exact=not bits)
        if np.ptp(np.abs(step)) > 1e-9 * np.abs(step[0]) or not (step != 0).all():
            raise UserError(f"{where}: its channels take values of different steps")
        source = self._columns(node, value, title, conv)
        if depthwise:
            if not bits:
                raise UserError(f"{where}: depthwise products of numbers are not supported")
            own = np.sign(step)[:, None]
            shifts = (np.sign(rows) * offset[:, None]).sum(1)
        else:
            repeated = rows.shape[1] // len(step)
            own = np.tile(np.sign(step), repeated)[None]
            shifts = (np.sign(rows) * np.tile(offset, repeated)).sum(1)
        weights = (np.sign(rows) * own > 0).astype(np.uint8)
        layer = (Depthwise if depthwise else MatrixVector)(title, source, title, weights)
        stream = self.streams[source]
        low, high = 0, weights.shape[1]
        if not bits:
            assert isinstance(layer, MatrixVector)
            most = max(abs(n) for n in layer.range(stream))
            low, high = -most, most  # whatever rows are negated
        height_width = stream.shape[:-1] if conv else ()
        self._add(layer, (*height_width, len(weights)), integer_type(low, high))
        self.products.append(title)
        sums = self._domain(low, high, len(weights), where).astype(np.float64)[:, None]
        if bits:  # sum of w u, from the count of u equal to w
            sums = sums - (weights == 0).sum(1)
        factor = attribute(node, "alpha", 1.0) if node.op_type == "Gemm" else 1.0
        scale = size[:, 0].astype(np.float64) * factor
        bias = np.zeros(len(weights))
        if len(node.input) > 2 and node.op_type in ("Gemm", "Conv"):
            bias = bias + self.constants[node.input[2]] * attribute(node, "beta", 1.0)
        return Value(title, low, scale * (np.abs(step[0]) * sums + shifts) + bias)

    def _rows(self, node: NodeProto, array: np.ndarray, value: Value) -> np.ndarray:
        """Weights (MH, MW), the columns in the order of the streams."""
        if node.op_type == "Conv":
            return array.transpose(0, 2, 3, 1).reshape(len(array), -1)
        rows = array if attribute(node, "transB", 0) else array.T
        if value.flattened is not None:
            rows = rows.reshape(-1, *value.flattened).transpose(0, 2, 3, 1)
        return rows.reshape(len(rows), -1)

    def _columns(self, node: NodeProto, value: Value, title: str, conv: bool) -> str:
        """The stream that a product reads: windows of the image, or all of it as a vector."""
        stream = self.streams[value.stream]
        if not conv:
            self.streams[stream.name] = replace(stream, shape=(stream.size,))
            return stream.name
        kernel, stride = square(node, "kernel_shape"), square(node, "strides")
        if (kernel, stride) == (1, 1):
            return stream.name
        self._image(value, title)
        window = SlidingWindow(f"{title}_window", stream.name, f"{title}_window", kernel, stride)
        return self._add(window, windows_shape(stream.shape, window), stream.dtype)

    # --- the end --------------------------------------------------------------------------------

    def _finished(self, name: str) -> Graph:
        """The graph, with the label of the largest score at its end."""
        end = self.values[self.model.graph.output[0].name]
        scores, classes = end.table, end.table.shape[1]
        other = np.flatnonzero((scores != scores[:, :1]).any(0))
        if len(other):
            raise UserError(
                f"the logits of class {other[0]} are scaled or shifted unlike those of class 0; "
                "only a scale and bias that all classes share can be left out of the hardware"
            )
        steps = np.diff(scores[:, 0])
        if not (steps > 0).all():
            falls = (steps < 0).all() and self._negate(end.stream, np.ones(classes, bool))
            if not falls:
                raise UserError("the logits do not rise with the last layer's sums everywhere")
        dtype = f"UINT{max(1, (classes - 1).bit_length())}"
        self._add(LabelSelect("label", end.stream, "label", classes), (1,), dtype)
        return Graph(name, tuple(self.layers), self.streams, "image", "label").check()

    def _add(self, layer: Layer, shape: tuple[int, ...], dtype: str) -> str:
        self.layers.append(layer)
        self.streams[layer.target] = Stream(layer.target, shape, dtype)
        return layer.target

    def _title(self, wanted: str) -> str:
        """A name that no layer has yet."""
        title, count = wanted, 2
        while title in self.titles:
            title, count = f"{wanted}{'abcdefghij'[count - 1]}", count + 1
        self.titles.add(title)
        return title

    def _domain(self, low: int, high: int, channels: int, where: str) -> np.ndarray:
        if (high - low + 1) * channels > LIMIT:
            raise UserError(f"{where}: gives more sums than can be tried ({LIMIT})")
        return np.arange(low, high + 1)

    def _image(self, value: Value, where: str) -> tuple[int, int, int]:
        shape = self.streams[value.stream].shape
        if len(shape) != 3:
            raise UserError(f"{where}: reads {shape}, needs an image")
        return shape[0], shape[1], shape[2]

    def _rising_bits(self, value: Value, what: str) -> None:
        table = value.table
        if len(table) != 2 or (table[0] >= table[1]).any():
            raise UserError(
                f"{what} more than bits, or bits of a falling threshold; supported is a quantiser "
                "in front of the pooling, with a positive batch norm scale behind a sum"
            )

    def _shape(self, tensor: str) -> tuple[int, ...]:
        return tuple(self.model.get_tensor_shape(tensor) or ())

    def _one_reader(self, tensor: str) -> bool:
        return len(self.model.find_consumers(tensor) or []) <= 1

    def product_nodes(self) -> list[NodeProto]:
        """The file's products, in its order."""
        nodes = self.model.graph.node
        return [n for n in nodes if n.op_type in PRODUCTS and n.output[0] in self.values]

    def products_of_file(self) -> list[tuple[NodeProto, np.ndarray]]:
        """The file's products with their weights (MH, ...), in its order."""
        found = []
        for node in self.model.graph.node:
            if node.op_type in PRODUCTS and node.output[0] in self.values:
                weights = self.constants[node.input[1]]
                found.append((node, weights.T if node.op_type == "MatMul" else weights))
        return found
