"""Dataflow graph -> a folder that simulates and synthesises by itself.

`generate` writes `top.sv` (one instance a layer, named after it), the memory files of weights and
thresholds, copies of the modules of hw/rtl that are used, and the one file list `files.f`. All
paths are relative, so every tool runs in that folder. Neighbours that differ in elements a beat
get a width converter between them; where no integer ratio joins the two widths, two: up to their
least common multiple and down again.

The same graph always gives the same bytes, and a file that would not change is not written.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path

import numpy as np

from flow.errors import UserError
from flow.graph import (
    Depthwise,
    Graph,
    Layer,
    MatrixVector,
    Threshold,
)
from flow.paths import RTL
from flow.pipeline import write_atomically
from flow.rtl import deadlock, packing, supported
from flow.rtl.area import fifo_uses_block_ram
from flow.rtl.glue import Width, glue, producer
from flow.rtl.parameters import module_of, parameters_of
from flow.rtl.top import top_text

DESIGN = "design.json"
FILE_LIST = "files.f"
TOP = "top"


@dataclass(frozen=True)
class Tap:
    """A stream as nets `<net>_tdata`, `_tvalid`, `_tready` in top.sv; it carries `tensor`."""

    net: str
    tensor: str
    bits: int  # of one element
    signed: bool
    parallel: int  # elements a beat
    beats: int  # an image

    @property
    def width(self) -> int:
        return self.bits * self.parallel


@dataclass(frozen=True)
class Unit:
    """An instance in top.sv between taps. `layer` is the graph's layer it is or serves."""

    name: str
    module: str
    layer: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: dict[str, int | str]


@dataclass(frozen=True)
class Memory:
    """A file of weights or thresholds: `array` of `layer`, `depth` words of `width` bits."""

    file: str
    layer: str
    array: str
    depth: int
    width: int


@dataclass(frozen=True)
class Design:
    """What the stages after code generation need to know of the generated folder."""

    folder: Path = field(metadata={"saved": False})
    top: str
    graph: str
    files: tuple[str, ...]
    in_bits: int  # of s_axis_tdata, a multiple of 8
    out_bits: int  # of m_axis_tdata, a multiple of 8
    in_beats: int  # an image
    out_beats: int  # an image
    taps: tuple[Tap, ...]
    units: tuple[Unit, ...]
    memories: tuple[Memory, ...]

    def tap(self, net: str) -> Tap:
        return next(t for t in self.taps if t.net == net)

    def layer_unit(self, layer: str) -> Unit:
        """The instance that is the layer itself, not a converter in front of it."""
        return next(u for u in self.units if u.layer == layer and u.module not in GLUE)

    def save(self) -> None:
        body = {"schema": 1} | {k: v for k, v in asdict(self).items() if k != "folder"}
        write_if_changed(self.folder / DESIGN, json.dumps(body, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Design:
        """Read what `generate` wrote into `folder`."""
        try:
            body = json.loads((folder / DESIGN).read_text())
        except FileNotFoundError as error:
            raise UserError(f"{folder}: no {DESIGN}; generate the RTL first") from error
        parts = {"taps": Tap, "units": Unit, "memories": Memory}
        for key, kind in parts.items():
            body[key] = tuple(kind(**_tuples(item)) for item in body[key])
        names = {f.name for f in fields(cls)} - {"folder"}
        body["files"] = tuple(body["files"])
        return cls(folder=folder, **{k: body[k] for k in names})


def _tuples(item: dict) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}


GLUE = ("axis_width", "axis_fifo", "axis_fork")


def generate(graph: Graph, folder: Path) -> Design:
    """Write the RTL of a folded graph into `folder`; return what it consists of."""
    graph.check()
    supported.refuse(graph)
    supported.refuse_folding(graph)
    deadlock.refuse(graph)
    builder = _Builder(graph)
    builder.build()
    folder.mkdir(parents=True, exist_ok=True)
    for memory, words in builder.memories:
        write_if_changed(folder / memory.file, packing.mem_text(words))
    modules = module_closure({unit.module for unit in builder.units})
    for module in modules:
        write_if_changed(folder / f"{module}.sv", (RTL / f"{module}.sv").read_text())
    first, last = builder.taps[0], builder.taps[-1]
    design = Design(
        folder=folder,
        top=TOP,
        graph=graph.name,
        files=(*(f"{module}.sv" for module in modules), f"{TOP}.sv"),
        in_bits=_whole_bytes(first.width),
        out_bits=_whole_bytes(last.width),
        in_beats=first.beats,
        out_beats=last.beats,
        taps=tuple(builder.taps),
        units=tuple(builder.units),
        memories=tuple(memory for memory, _ in builder.memories),
    )
    write_if_changed(folder / f"{TOP}.sv", top_text(graph, design))
    write_if_changed(folder / FILE_LIST, "\n".join(design.files) + "\n")
    design.save()
    return design


def outline(graph: Graph) -> tuple[list[Tap], list[Unit]]:
    """The streams and instances of a folded graph's design, in the order of the stream."""
    builder = _Builder(graph)
    builder.build()
    return builder.taps, builder.units


def memory_words(graph: Graph, memory: Memory) -> np.ndarray:
    """What a memory file must hold: (depth, width) of bits."""
    layer = graph.layer(memory.layer)
    if isinstance(layer, MatrixVector):
        return packing.matrix_words(layer.weights, layer.PE, layer.SIMD)
    if isinstance(layer, Depthwise):
        return packing.depthwise_words(layer.weights, layer.PE, layer.SIMD)
    if isinstance(layer, Threshold):
        source = graph.streams[layer.source]
        uniform = layer.uniform
        thresholds = layer.thresholds[:1] if uniform else layer.thresholds
        PE = 1 if uniform else layer.PE
        return packing.threshold_words(thresholds, PE, source.bits, source.type.signed())
    raise TypeError(f"layer {layer.name} of kind {layer.kind} has no memory")


class _Builder:
    """Walks the graph once and collects taps, units and memories in the order of the stream."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.instance_names: set[str] = set()
        self.net_names: set[str] = set()
        self.taps: list[Tap] = []
        self.units: list[Unit] = []
        self.memories: list[tuple[Memory, np.ndarray]] = []
        self.at: dict[tuple[str, str], Tap] = {}  # (tensor, layer) -> the tap at which it reads

    def build(self) -> None:
        graph, layers = self.graph, self.graph.layers
        if layers[-1].target != graph.output:
            raise UserError(f"graph {graph.name}: its last layer does not write {graph.output}")
        for name in (graph.input, *(layer.target for layer in layers)):
            if bool(graph.readers(name)) == (name == graph.output):
                what = "is read again" if name == graph.output else "is read by nothing"
                raise UserError(f"graph {graph.name}: stream {name} {what}")
        self.instances = {layer.name: _unique(layer.name, self.instance_names) for layer in layers}
        self._hand_on(self._tap(graph.input, graph.readers(graph.input)[0].in_parallel))
        for layer in layers:
            sources = [self._joined(layer, source) for source in layer.sources]
            target = self._tap(layer.target, layer.out_parallel)
            parameters = parameters_of(graph, layer, self._memory)
            name = self.instances[layer.name]
            self._unit(name, module_of(graph, layer), layer, sources, [target], parameters)
            self._hand_on(target)

    def _hand_on(self, tap: Tap) -> None:
        """Note where the readers of a stream find it: at the tap, or behind a fork of it."""
        readers = self.graph.readers(tap.tensor)
        taps = [tap] * len(readers)
        if len(readers) > 1:
            taps = [self._tap(tap.tensor, tap.parallel, f"for_{x.name}") for x in readers]
            name = _unique(f"{tap.tensor}_fork", self.instance_names)
            parameters = {"WIDTH": tap.width, "OUTPUTS": len(readers)}
            self._unit(name, "axis_fork", readers[0], [tap], taps, parameters)
        self.at |= {(tap.tensor, x.name): t for x, t in zip(readers, taps, strict=True)}

    def _joined(self, layer: Layer, source: str) -> Tap:
        """The tap at which the layer reads, behind the converters and the FIFO it needs."""
        tap = self.at[source, layer.name]
        before = producer(self.graph, layer, source)
        for part in glue(tap.parallel, layer, before, layer.depth(source)):
            if isinstance(part, Width):
                module, suffix = "axis_width", f"by{part.after}"
                after = self._tap(source, part.after, suffix)
                parameters = {"IN_BITS": tap.width, "OUT_BITS": after.width}
            else:
                module, suffix = "axis_fifo", "queued"
                after = self._tap(source, part.parallel, suffix)
                block = int(fifo_uses_block_ram(part, after.bits))
                parameters = {"WIDTH": after.width, "DEPTH": part.depth, "BLOCK": block}
            name = _unique(f"{self.instances[layer.name]}_{suffix}", self.instance_names)
            self._unit(name, module, layer, [tap], [after], parameters)
            tap = after
        return tap

    def _tap(self, tensor: str, parallel: int, suffix: str = "") -> Tap:
        stream = self.graph.streams[tensor]
        wanted = f"{tensor}_{suffix}" if suffix else tensor
        tap = Tap(
            net=_unique(wanted, self.net_names),
            tensor=tensor,
            bits=stream.bits,
            signed=stream.type.signed(),
            parallel=parallel,
            beats=stream.size // parallel,
        )
        self.taps.append(tap)
        return tap

    def _unit(
        self,
        name: str,
        module: str,
        layer: Layer,
        sources: list[Tap],
        targets: list[Tap],
        parameters: dict,
    ) -> None:
        read, written = (tuple(tap.net for tap in taps) for taps in (sources, targets))
        self.units.append(Unit(name, module, layer.name, read, written, parameters))

    def _memory(self, layer: Layer, array: str) -> str:
        file = f"{self.instances[layer.name]}_{array}.mem"
        words = memory_words(self.graph, Memory(file, layer.name, array, 0, 0))
        self.memories.append((Memory(file, layer.name, array, *words.shape), words))
        return file


def _unique(wanted: str, taken: set[str]) -> str:
    """A legal SystemVerilog name, without "__", that is not taken yet; takes it.

    Instances and nets may share a name, as layer and stream often do: a net in top.sv is never
    called that alone, but `<name>_tdata` and so on, and no instance ends like this.
    """
    base = re.sub(r"_{2,}", "_", re.sub(r"\W", "_", wanted, flags=re.ASCII)).strip("_")
    if not re.match(r"[A-Za-z]", base):
        base = f"n{base}"
    name, count = base, 2
    while name.lower() in taken or name in _RESERVED or re.search(r"_t(data|valid|ready)$", name):
        name, count = f"{base}_{count}", count + 1
    taken.add(name.lower())
    return name


# Words that a layer or tensor could be called and SystemVerilog keeps for itself, and our ports.
_WORDS = """
alias always and assign begin bind bit buf byte case cell class config const cover disable do
edge else end enum event export extends extern final first for force forever fork function
global if import initial inout input inside instance int integer interface join let library
local logic longint matches module nand new nor not null or output package packed parameter
primitive priority program property protected pure rand real ref reg release repeat return
sequence shortint shortreal signed small solve specify static string strong struct super table
tagged task this time timeunit tri type typedef union unique unsigned use var vectored virtual
void wait wand weak while wildcard wire with within wor xnor xor aclk aresetn s_axis m_axis top
"""
_RESERVED = frozenset(_WORDS.split())


# --- files --------------------------------------------------------------------------------------


def write_if_changed(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all, unless it is there already."""
    if not path.is_file() or path.read_text() != text:
        write_atomically(path, text)


@cache
def _instantiated(module: str) -> frozenset[str]:
    """Modules of hw/rtl that a module of hw/rtl instantiates."""
    code = re.sub(r"//.*", "", (RTL / f"{module}.sv").read_text())
    known = {path.stem for path in RTL.glob("*.sv")}
    return frozenset(set(re.findall(r"\b(\w+)\s*#\s*\(", code)) & known - {module})


def module_closure(modules: set[str]) -> tuple[str, ...]:
    """The modules and all they instantiate, in alphabetical order."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= _instantiated(module) - found
    return tuple(sorted(found))


def _whole_bytes(bits: int) -> int:
    return -(-bits // 8) * 8
