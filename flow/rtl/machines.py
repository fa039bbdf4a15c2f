"""The units of a design as machines that only count: when beats come and go, not what they hold.

Each is a mirror of its module in hw/rtl, a `step` the clock's edge; tests/flow/test_cycles.py
compares whole networks with their RTL. `state` is what tells one moment from another.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Any

from flow.graph import Graph
from flow.rtl.area import few_words, late_weights, number_places, result_places
from flow.rtl.codegen import Unit
from flow.rtl.trees import adder_tree, compressor_tree

Parameters = dict[str, Any]


class Machine:
    def state(self) -> tuple:
        return tuple(v for v in vars(self).values() if isinstance(v, (int, tuple)))

    def answer(
        self, valid: list[bool], ready: list[bool], sources: list[int], targets: list[int]
    ) -> None:
        """Set `ready` of the sources."""
        raise NotImplementedError


class Single(Machine):
    """One stream in, one out.

    valid: of the output, a register in every module. ready: of the input. step: the clock's edge.
    """

    valid = False

    def ready(self, taken: bool) -> bool:
        """taken: the output is, if there is one."""
        return taken or not self.valid

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        raise NotImplementedError

    def answer(
        self, valid: list[bool], ready: list[bool], sources: list[int], targets: list[int]
    ) -> None:
        ready[sources[0]] = self.ready(ready[targets[0]])


class Queue(Single):
    """`axis_reg` and all that ends in one, and `axis_fifo` in registers."""

    def __init__(self, places: int):
        self.places, self.held, self.valid = places, 0, False

    def ready(self, taken: bool) -> bool:
        return self.held < self.places

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        self.held += (offered and ready) - (self.valid and taken)
        self.valid = self.held > 0


class Ring(Single):
    """`axis_fifo` in block RAM."""

    def __init__(self, places: int):
        self.places, self.held, self.valid = places, 0, False

    def ready(self, taken: bool) -> bool:
        return self.held < self.places

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        pull = self.held > 0 and (taken or not self.valid)
        self.held += (offered and ready) - pull
        self.valid = pull or (self.valid and not taken)


class Up(Single):
    """`axis_width` to a wider stream."""

    def __init__(self, ratio: int):
        self.ratio, self.beat, self.valid = ratio, 0, False

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        if ready:
            self.beat = (self.beat + offered) % self.ratio
            self.valid = offered and self.beat == 0


class Down(Single):
    """`axis_width` to a narrower stream."""

    def __init__(self, ratio: int):
        self.ratio, self.beat, self.valid = ratio, 0, False

    def ready(self, taken: bool) -> bool:
        return not self.valid or (taken and self.beat == self.ratio - 1)

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        if self.valid and taken:
            self.beat = (self.beat + 1) % self.ratio
        if ready:
            self.valid = offered


class Fork(Machine):
    def __init__(self, outputs: int):
        self.taken = (False,) * outputs

    def answer(
        self, valid: list[bool], ready: list[bool], sources: list[int], targets: list[int]
    ) -> None:
        ready[sources[0]] = all(
            ready[target] or taken for target, taken in zip(targets, self.taken, strict=True)
        )

    def step(self, offered: bool, taken: list[bool]) -> None:
        if offered:
            now = tuple(a or b for a, b in zip(self.taken, taken, strict=True))
            self.taken = (False,) * len(now) if all(now) else now


class Sum(Machine):
    def __init__(self) -> None:
        self.out = Queue(2)

    def state(self) -> tuple:
        return self.out.state()

    def answer(
        self, valid: list[bool], ready: list[bool], sources: list[int], targets: list[int]
    ) -> None:
        one, other = sources
        room = self.out.held < self.out.places
        ready[one], ready[other] = room and valid[other], room and valid[one]


class Pipeline(Single):
    """Of the steps taken up, some `close` a result, which comes out `delay` cycles later.

    ends: the places where results wait, so that the stages never stall; None: they do.
    """

    def __init__(self, delay: int, ends: Queue | Ring | None = None):
        self.last, self.ends = 1 << (delay - 1), ends
        self.stages = 0  # a bit for each, the first stage lowest
        self.kept, self.valid = 0, False  # places, from the closing step on

    def state(self) -> tuple:
        return super().state() + (self.ends.state() if self.ends else ())

    def takes_up(self, closes: bool, taken: bool) -> bool:
        """Whether a step may be taken up."""
        if self.ends is None:
            return taken or not self.valid
        return not closes or self.kept < self.ends.places

    def shift(self, closed: bool, taken: bool) -> None:
        moved = (self.stages << 1 | closed) & (2 * self.last - 1)
        if self.ends is not None:
            self.kept += closed - (self.valid and taken)
            self.ends.step(bool(self.stages & self.last), True, taken)
            self.stages, self.valid = moved, self.ends.valid
        elif taken or not self.valid:
            self.stages, self.valid = moved, bool(moved & self.last)


class MatrixVector(Pipeline):
    def __init__(self, NF: int, SF: int, delay: int, ends: Queue | Ring | None):
        super().__init__(delay, ends)
        self.NF, self.SF, self.nf, self.sf = NF, SF, 0, 0

    def ready(self, taken: bool) -> bool:
        return self.nf == 0 and self.takes_up(self.sf == self.SF - 1, taken)

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        closes = self.sf == self.SF - 1
        step = (ready and offered) if self.nf == 0 else self.takes_up(closes, taken)
        if step:
            self.sf += 1
            if closes:
                self.sf, self.nf = 0, (self.nf + 1) % self.NF
        self.shift(step and closes, taken)


class Depthwise(Pipeline):
    def __init__(self, p: Parameters, delay: int):
        super().__init__(delay)
        self.whole = p["SIMD"] > 1
        self.folds, self.groups = p["C"] // p["PE"], p["K"] // p["SIMD"]
        self.at = 0

    def ready(self, taken: bool) -> bool:
        return (taken or not self.valid) and (self.at == 0 or not self.whole)

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        if self.whole:
            step = (ready and offered) if self.at == 0 else (taken or not self.valid)
            closes = self.at % self.groups == self.groups - 1
        else:
            step = ready and offered
            closes = self.at >= (self.groups - 1) * self.folds
        self.at = (self.at + step) % (self.folds * self.groups)
        self.shift(step and closes, taken)


class Label(Pipeline):
    def __init__(self, beats: int, levels: int):
        super().__init__(levels + 1)
        self.beats, self.at = beats, 0

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        step = ready and offered
        self.at = (self.at + step) % self.beats
        self.shift(step and self.at == 0, taken)


class Average(Queue):
    def __init__(self, p: Parameters):
        super().__init__(2)
        folds = p["C"] // p["PE"]
        self.beats, self.at = folds * p["PIXELS"], 0
        self.first = self.beats - folds  # beat that gives a sum

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        super().step(offered and self.at >= self.first, ready, taken)
        self.at = (self.at + (offered and ready)) % self.beats


class Pool(Queue):
    def __init__(self, p: Parameters):
        super().__init__(2)
        size = p["SIZE"]
        self.gives = [
            y % size == size - 1 and x % size == size - 1
            for y in range(p["HEIGHT"])
            for x in range(p["WIDTH"])
            for _ in range(p["C"] // p["PE"])
        ]
        self.at = 0

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        super().step(offered and self.gives[self.at], ready, taken)
        self.at = (self.at + (offered and ready)) % len(self.gives)


class Padding(Single):
    def __init__(self, p: Parameters):
        pad, height, width = p["PAD"], p["HEIGHT"], p["WIDTH"]
        self.inside = [
            pad <= y < pad + height and pad <= x < pad + width
            for y in range(height + 2 * pad)
            for x in range(width + 2 * pad)
            for _ in range(p["C"] // p["SIMD"])
        ]
        self.at, self.begun, self.valid = 0, False, False

    def ready(self, taken: bool) -> bool:
        return (taken or not self.valid) and self.inside[self.at]

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        if taken or not self.valid:
            inside = self.inside[self.at]
            self.valid = offered or (self.begun and not inside)
            self.begun = self.begun or (offered and inside)
            self.at += self.valid
            if self.at == len(self.inside):
                self.at, self.begun = 0, False


class Window(Single):
    def __init__(self, p: Parameters):
        kernel, stride, width, height = p["KERNEL"], p["STRIDE"], p["WIDTH"], p["HEIGHT"]
        folds, self.parallel = p["C"] // p["SIMD"], p["PARALLEL"] == 1
        line, row = width * folds, (width - kernel) // stride + 1
        self.rows = (height - kernel) // stride + 1
        last_lines = height - (self.rows - 1) * stride
        run = folds if self.parallel else kernel * folds
        self.groups = (row - 1) * stride + kernel if self.parallel else row
        self.next = (1 if self.parallel else stride) * folds
        to_last = (self.groups - 1) * self.next
        self.row_frees, self.image_frees = stride * line, last_lines * line
        self.to_row, self.to_image = self.row_frees - to_last, self.image_frees - to_last
        self.words, self.kernel, self.stride = run * kernel, kernel, stride
        self.ahead = -((kernel - 1) * line + run)
        self.room = (kernel + max(last_lines, stride)) * line - 1
        self.word = self.group = self.row = 0
        self.freed = 0  # words that are room a cycle later
        self.fetched = self.completes = self.valid = False
        self.missing = kernel - 1

    def ready(self, taken: bool) -> bool:
        return self.room >= 0

    def step(self, offered: bool, ready: bool, taken: bool) -> None:
        # The fetched word leaves: it is the output, or goes into the window.
        leaves = self.fetched and (taken or (self.parallel and not self.valid))
        fetches = self.ahead >= 0 and (leaves or not self.fetched)
        if self.parallel:
            self.valid = self.completes if leaves else self.valid and not taken
        wrote = offered and ready
        self.ahead += wrote
        self.room += self.freed - wrote
        self.freed = 0
        if fetches:
            self._fetch()
        self.fetched = fetches or (self.fetched and not leaves)
        if not self.parallel:
            self.valid = self.fetched

    def _fetch(self) -> None:
        self.word += 1
        self.completes = self.word == self.words and self.missing == 0
        if self.word < self.words:
            return
        self.word, self.group = 0, self.group + 1
        self.missing = self.stride - 1 if self.missing == 0 else self.missing - 1
        if self.group < self.groups:
            self.ahead -= self.next
            return
        self.group, self.row, self.missing = 0, self.row + 1, self.kernel - 1
        ends = self.row == self.rows
        self.ahead -= self.to_image if ends else self.to_row
        self.freed = self.image_frees if ends else self.row_frees
        if ends:
            self.row = 0


def machine_of(graph: Graph, unit: Unit) -> Any:
    """The machine of an instance, by its module and parameters."""
    p: Parameters = unit.parameters
    layer: Any = graph.layer(unit.layer)
    if unit.module == "axis_width":
        narrow, wide = sorted((p["IN_BITS"], p["OUT_BITS"]))
        return (Up if p["IN_BITS"] == narrow else Down)(wide // narrow)
    if unit.module == "axis_fifo":
        return (Ring if p["BLOCK"] else Queue)(p["DEPTH"])
    if unit.module in ("mvu_bin", "mvu_int"):
        NF, SF = layer.MH // layer.PE, layer.MW // layer.SIMD
        ends: Queue | Ring | None = None
        if unit.module == "mvu_bin":
            tree = compressor_tree(layer.SIMD, few_words(layer))[1] + late_weights(layer)
            if places := result_places(layer, p["ACC_BITS"]):
                ends = Queue(places)
        else:
            tree = adder_tree(layer.SIMD, p["IN_BITS"])[1]
            if places := number_places(layer, p["ACC_BITS"]):
                ends = Ring(places)
        return MatrixVector(NF, SF, 1 + tree + (SF > 1), ends)
    if unit.module == "vvu_bin":
        folds, groups = p["C"] // p["PE"], p["K"] // p["SIMD"]
        return Depthwise(p, 1 + compressor_tree(p["SIMD"], folds * groups == 1)[1] + (groups > 1))
    if unit.module == "label_select":
        return Label(p["CLASSES"] // p["PE"], ceil(log2(p["PE"])))
    if unit.module == "axis_fork":
        return Fork(p["OUTPUTS"])
    if unit.module == "add_streams":
        return Sum()
    if unit.module == "threshold":
        return Queue(2)
    by_name = {
        "acc_pool": Average,
        "max_pool": Pool,
        "padding": Padding,
        "sliding_window": Window,
    }
    return by_name[unit.module](p)
