"""Choose PE and SIMD of every layer: the cheapest circuit that meets a number of cycles an image.

`fold` goes through the chain of layers once and keeps, for every folding of the layer reached, the
best few ways there, by estimated area plus a price on latency (dynamic programming). So converters
between unlike neighbours count as what they cost, and the dense tail is widened where a cycle of
latency is cheap. `sweep` shows what other targets would cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flow.errors import UserError
from flow.graph import Graph, LabelSelect, Layer, MatrixVector, Threshold, divisors
from flow.rtl import supported
from flow.rtl.estimate import (
    Estimate,
    Span,
    after_glue,
    after_layer,
    estimate,
    glue_area,
    layer_area,
)
from flow.rtl.glue import Width, glue

LUTS_A_TARGET = 400.0  # what a latency shorter by `target_cycles` may cost
WAYS = 8  # kept for each folding of a layer
INPUT_BITS = 128  # widest input beat that is chosen without being asked for
TARGETS = (16, 32, 49, 56, 64, 96, 128, 256, 512, 1024, 2048, 4096)  # of a sweep
LUT_WORD = 256  # widest word of weights kept in LUTs: every address line reaches all of them
LUT_LIMIT = 17_000  # a design of this size routes reliably with the open tools


@dataclass(frozen=True)
class _Way:
    """Layers folded so far: their cost, and when the last one's output comes."""

    cost: float
    span: Span
    layers: tuple[Layer, ...]

    def price(self, target: int) -> float:
        """What to choose by: the area, and the latency at a rate that falls with the target."""
        return self.cost + LUTS_A_TARGET / target * self.span.last


def fold(
    graph: Graph,
    target_cycles: int | None,
    input_parallel: int | None = None,
    overrides: dict[str, dict[str, Any]] | None = None,
) -> Graph:
    """Fold a chain so that each image takes at most `target_cycles` of every layer.

    With no target the smallest power of two is taken whose design stays below LUT_LIMIT.
    input_parallel: elements a beat at the input; chosen if None.
    overrides: {layer: {"PE", "SIMD", "ram_style"}}, kept as they are, even where they are slower.
    Raises UserError where nothing meets the target, and names the layer and its fastest folding.
    """
    supported.refuse(graph)
    wanted = {name: dict(values) for name, values in (overrides or {}).items()}
    if input_parallel is not None:
        _set_input(graph, wanted, input_parallel)
    graph.with_folding(wanted)  # says what is wrong with an override
    if target_cycles is None:
        return _fold_to_limit(graph, wanted)
    if target_cycles < 1:
        raise UserError(f"target_cycles={target_cycles} must be at least 1")
    choices = {x.name: _choices(graph, x, target_cycles, wanted.get(x.name, {})) for x in graph}
    # Slower only where an override is.
    limit = max(target_cycles, *(min(c.cycles(graph) for c in x) for x in choices.values()))
    ways = [_Way(0.0, Span(0, 0), ())]
    for layer in graph:
        kept: list[_Way] = []
        for choice in choices[layer.name]:
            cost = _cost(graph, choice)
            after = [w for way in ways if (w := _extend(graph, way, choice, cost, limit))]
            kept += sorted(after, key=lambda way: way.price(target_cycles))[:WAYS]
        if not kept:
            raise UserError(
                f"layer {layer.name}: no folding fits its neighbours within {target_cycles} "
                "cycles; ask for more cycles or fewer overrides"
            )
        ways = kept
    best = min(ways, key=lambda way: way.price(target_cycles))
    return replace(graph, layers=best.layers).check()


def sweep(
    graph: Graph, targets: Sequence[int] = TARGETS, **options: Any
) -> list[tuple[int, Graph, Estimate]]:
    """Fold for several targets; (target, folded graph, its estimate) for those that can be met.

    Targets that lead to the same folding are one row, with the smallest of them.
    """
    rows: list[tuple[int, Graph, Estimate]] = []
    for target in sorted(targets):
        try:
            folded = fold(graph, target, **options)
        except UserError:
            continue
        if not rows or folded.folding != rows[-1][1].folding:
            rows.append((target, folded, estimate(folded)))
    return rows


def sweep_table(rows: list[tuple[int, Graph, Estimate]]) -> str:
    """The sweep as a table in Markdown."""
    lines = [
        "| target | interval | latency | LUT | FF | BRAM36 | PE x SIMD |",
        "|---|---|---|---|---|---|---|",
    ]
    for target, graph, found in rows:
        shapes = [f"{x.PE}x{x.SIMD}" for x in graph if isinstance(x, MatrixVector)]
        lines.append(
            f"| {target} | {found.interval} | {found.latency} | {found.area.lut:.0f} | "
            f"{found.area.ff:.0f} | {found.area.bram36:g} | {', '.join(shapes)} |"
        )
    return "\n".join(lines)


def _fold_to_limit(graph: Graph, overrides: dict[str, dict[str, Any]]) -> Graph:
    target, last = 1, max(layer.cycles(graph) for layer in graph)
    while True:
        try:
            folded = fold(graph, target, overrides=overrides)
            if estimate(folded).area.lut <= LUT_LIMIT or target >= last:
                return folded
        except UserError:
            if target >= last:
                raise
        target *= 2


def _set_input(graph: Graph, wanted: dict[str, dict[str, Any]], parallel: int) -> None:
    first = graph.layers[0]
    key = "SIMD" if isinstance(first, MatrixVector) else "PE"
    given = wanted.setdefault(first.name, {}).setdefault(key, parallel)
    if given != parallel:
        raise UserError(
            f"layer {first.name}: {key}={given}, but input_parallel={parallel}; they are the same"
        )


def _choices(graph: Graph, layer: Layer, target: int, fixed: dict[str, Any]) -> list[Layer]:
    """Every folding of a layer that meets the target and leaves what is fixed."""
    source = graph.streams[layer.source]
    options: list[dict[str, Any]]
    if isinstance(layer, MatrixVector):
        options = [
            {"PE": pe, "SIMD": simd, "ram_style": style}
            for pe in divisors(layer.MH)
            for simd in divisors(layer.MW)
            for style in _ram_styles(layer, pe * simd)
        ]
    elif isinstance(layer, Threshold):
        options = [{"PE": pe} for pe in divisors(layer.channels)]
    elif isinstance(layer, LabelSelect):
        options = [{"PE": pe} for pe in divisors(layer.classes)]
    else:
        raise UserError(f"layer {layer.name}: no folding known for kind {layer.kind}")
    if fixed.get("ram_style") == "auto":
        fixed = {key: value for key, value in fixed.items() if key != "ram_style"}
    options = [o for o in options if all(o.get(k, v) == v for k, v in fixed.items())]
    options = [o | fixed for o in options]
    if "ram_style" in fixed:
        options = [dict(items) for items in dict.fromkeys(tuple(o.items()) for o in options)]
    if layer.source == graph.input and not fixed.keys() & {"PE", "SIMD"}:
        key = "SIMD" if isinstance(layer, MatrixVector) else "PE"
        fitting = [o for o in options if o[key] * source.bits <= INPUT_BITS]
        options = fitting or options
    folded: list[Layer] = [replace(layer, **option) for option in options]
    if {"PE", "SIMD"} & fixed.keys():
        return folded
    fast = [choice for choice in folded if choice.cycles(graph) <= target]
    if not fast:
        quickest = min(folded, key=lambda choice: choice.cycles(graph))
        raise UserError(
            f"layer {layer.name}: needs {quickest.cycles(graph)} cycles an image at its fastest, "
            f"target_cycles={target}; ask for more cycles"
        )
    return fast


def _ram_styles(layer: MatrixVector, width: int) -> tuple[str, ...]:
    """Where weights of `width` bits a word may live."""
    if layer.ram_style != "auto":
        return (layer.ram_style,)
    if LUT_WORD < width < layer.weights.size:
        return ("block",)
    return ("lut", "block")


def _cost(graph: Graph, layer: Layer) -> float:
    source, target = graph.streams[layer.source], graph.streams[layer.target]
    return layer_area(layer, source.bits, source.type.signed(), target.bits).cost


def _extend(graph: Graph, way: _Way, layer: Layer, cost: float, target: int) -> _Way | None:
    """The way with one more layer, or None where a converter would be slower than the target."""
    source = graph.streams[layer.source]
    span, cost = way.span, way.cost + cost
    parallel = way.layers[-1].out_parallel if way.layers else layer.in_parallel
    if not way.layers:
        span = Span(0, source.size // parallel - 1)
    for part in glue(parallel, layer):
        if isinstance(part, Width) and source.size // min(part.before, part.after) > target:
            return None
        cost += glue_area(part, source.bits).cost
        span = after_glue(part, span, source.size)
    return _Way(cost, after_layer(layer, span, source.pixels), (*way.layers, layer))
