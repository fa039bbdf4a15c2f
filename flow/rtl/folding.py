"""Choose PE and SIMD of every layer: the cheapest circuit that does what is asked for.

Asked for is a `Wish`: an interval, a latency, bounds of LUTs and block RAMs. `fold` searches all
foldings of all layers (flow/rtl/search.py). Within the interval the cheapest is taken, by LUTs and
block RAMs at the rate in which they are offered, and latency at a small price, so that the dense
tail, whose layers run one after the other, is widened where a cycle is cheap. Without an interval
the fastest is taken that stays within the bounds. `sweep` shows what other intervals would cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Any

from flow.errors import UserError
from flow.graph import (
    AddStreams,
    Depthwise,
    GlobalAccPool,
    Graph,
    LabelSelect,
    Layer,
    MatrixVector,
    MaxPool,
    Padding,
    SlidingWindow,
    Threshold,
    divisors,
    folding_of,
    windows_shape,
)
from flow.rtl import branch_search, supported
from flow.rtl.area import fits_block_ram
from flow.rtl.estimate import Estimate, estimate, forecast
from flow.rtl.glue import joint_cycles, producer
from flow.rtl.search import Point, front
from flow.rtl.trees import LUTS_A_BLOCK_RAM

LUTS_A_TARGET = 400.0  # what a latency shorter by the interval may cost
DEARER = tuple(2.0**n for n in range(1, 17))  # multiples of that price, until a latency is met
INPUT_BITS = 128  # widest input beat that is chosen without being asked for
TARGETS = (16, 32, 49, 56, 64, 96, 128, 256, 512, 1024, 2048, 4096)  # of a sweep
LUT_WORD = 256  # widest word of weights kept in LUTs: every address line reaches all of them ...
LUT_DEPTH = 32  # ... but for so few words
LUT_LIMIT = 17_000  # a design of this size routes reliably with the open tools

TRIES = 4  # foldings that are counted cycle by cycle, until one is as fast as was asked for

Choices = dict[str, list[Layer]]


@dataclass(frozen=True)
class Wish:
    """What a folding is asked for; None: whatever comes."""

    interval: int | None = None  # cycles between two images, at most
    latency: int | None = None  # cycles from an image's first beat to its result, at most
    lut: int | None = None
    bram36: float | None = None

    def __post_init__(self) -> None:
        names = {"interval": "target_cycles", "latency": "latency", "lut": "LUTs"}
        for key, name in names.items():
            value = getattr(self, key)
            if value is not None and value < 1:
                raise UserError(f"{name}={value} must be at least 1")

    @property
    def rate(self) -> float:
        """LUTs that a block RAM is worth: as they are offered, of LUTs what can be routed."""
        if self.lut and self.bram36:
            return min(self.lut, LUT_LIMIT) / self.bram36
        return LUTS_A_BLOCK_RAM

    def fits(self, point: Point) -> bool:
        return (
            point.lut <= (self.lut or inf)
            and point.bram36 <= (inf if self.bram36 is None else self.bram36)
            and point.latency <= (self.latency or inf)
        )


def fold(
    graph: Graph,
    target_cycles: int | None,
    input_parallel: int | None = None,
    overrides: dict[str, dict[str, Any]] | None = None,
    *,
    latency: int | None = None,
    max_lut: int | None = None,
    max_bram36: float | None = None,
) -> Graph:
    """Fold a chain so that each image takes at most `target_cycles` of every layer.

    With no target the fastest folding is taken within max_lut (LUT_LIMIT if None) and max_bram36.
    latency: cycles of one image at most. input_parallel: elements a beat at the input; chosen if
    None. overrides: {layer: {"PE", "SIMD", "ram_style", ..}}, kept as they are, even where they are
    slower. Raises UserError where nothing does what is asked, naming the layers that stand against
    it and the nearest folding that fits.
    """
    supported.refuse(graph)
    wish = Wish(target_cycles, latency, max_lut, max_bram36)
    wanted = {name: dict(values) for name, values in (overrides or {}).items()}
    if input_parallel is not None:
        _set_input(graph, wanted, input_parallel)
    graph.with_folding(wanted)  # says what is wrong with an override
    every = {layer.name: _choices(graph, layer, wanted.get(layer.name, {})) for layer in graph}
    if target_cycles is None:
        return _fastest(graph, every, replace(wish, lut=max_lut or LUT_LIMIT))
    for layer in graph:
        quickest = min(choice.cycles(graph) for choice in every[layer.name])
        # Slower only where an override is.
        if quickest > target_cycles and not {"PE", "SIMD"} & wanted.get(layer.name, {}).keys():
            raise UserError(
                f"layer {layer.name}: needs {quickest} cycles an image at its fastest, "
                f"target_cycles={target_cycles}; ask for more cycles"
            )
    if found := _cheapest(graph, every, wish):
        return _in_time(graph, every, wish, found)
    raise UserError(_refusal(graph, every, wish))


def cycles_of(images_per_second: float, clock_mhz: float) -> int:
    """Cycles that an image may take, to reach so many a second."""
    cycles = int(clock_mhz * 1e6 / images_per_second) if images_per_second > 0 else 0
    if cycles < 1:
        raise UserError(
            f"{images_per_second:g} images a second at {clock_mhz:g} MHz: must be more than 0 and "
            "at most one a cycle"
        )
    return cycles


def cycles_in(microseconds: float | None, clock_mhz: float) -> int | None:
    """Whole cycles in so many microseconds, at least one."""
    return None if microseconds is None else max(1, int(microseconds * clock_mhz))


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


def refuse_overflow(graph: Graph, resources: dict[str, int], device: str) -> None:
    """`UserError` before anything long is run, if a folded graph's estimate exceeds the device.

    Names the layers that cost most and the fastest folding that does fit.
    """
    found = forecast(graph)
    for kind, there in resources.items():
        used = getattr(found.area, kind, 0)
        if used > there:
            wish = Wish(ceil(found.interval), None, resources["lut"], resources["bram36"])
            every = {layer.name: _choices(graph, layer, {}) for layer in graph}
            raise UserError(
                f"about {used:.0f} {kind} are needed, {device} has {there} "
                f"({_largest(found, kind)}); {_nearest(graph, every, wish)}"
            )


# --- one wish -----------------------------------------------------------------------------------


def _cheapest(graph: Graph, every: Choices, wish: Wish) -> Graph | None:
    """The cheapest folding within the wish's interval, or None where none is within its bounds.

    Latency is priced: not at all where otherwise too many LUTs are taken, and higher and higher
    until it is met.
    """
    assert wish.interval
    limit = max(
        wish.interval, *(min(c.cycles(graph) for c in choices) for choices in every.values())
    )
    fast = [[c for c in every[x.name] if c.cycles(graph) <= limit] for x in graph]
    for dear in (1.0, *[0.0] * (wish.lut is not None), *DEARER * (wish.latency is not None)):
        price = dear * LUTS_A_TARGET / wish.interval
        search = branch_search.front if graph.branches else front
        points = search(graph, fast, limit, price, inf if wish.bram36 is None else wish.bram36)
        fitting = [point for point in points if wish.fits(point)]
        if fitting:
            best = min(fitting, key=lambda p: p.lut + wish.rate * p.bram36 + price * p.latency)
            return replace(graph, layers=best.layers).check()
        if not points:
            return None
    return None


def _in_time(graph: Graph, every: Choices, wish: Wish, found: Graph) -> Graph:
    """`found`, or a faster folding where it is slower than the search forecast it to be.

    So it is where bursts make the slowest layer wait. The search is then asked for less, a few
    times; where that does not help either, `estimate` tells.
    """
    assert wish.interval
    asked, interval = wish, wish.interval
    for _ in range(TRIES):
        hoped, exact = forecast(found), estimate(found)
        limit = max(wish.interval, hoped.interval)  # an override may be slower
        if exact.interval > limit:
            interval = int(interval * limit / exact.interval)
            asked = replace(asked, interval=interval)
        elif wish.latency and exact.latency > wish.latency:
            asked = replace(asked, latency=hoped.latency - (exact.latency - wish.latency))
        else:
            break
        if min(interval, asked.latency or 1) < 1:
            break
        found = _cheapest(graph, every, asked) or found
    return found


def _fastest(graph: Graph, every: Choices, wish: Wish) -> Graph:
    """The folding of the shortest interval within the wish's bounds."""
    found = _within(graph, every, wish, 1)
    if found is None:
        raise UserError(_refusal(graph, every, replace(wish, interval=None)))
    return found


def _within(graph: Graph, every: Choices, wish: Wish, least: int) -> Graph | None:
    """The folding of the shortest interval from `least` on within the wish's bounds, or None."""
    slowest = max(min(c.cycles(graph) for c in choices) for choices in every.values())
    targets = sorted(c for c in _intervals(graph, every) if c >= max(slowest, least))
    low, high, best = 0, len(targets) - 1, None
    while low <= high:
        middle = (low + high) // 2
        if found := _cheapest(graph, every, replace(wish, interval=targets[middle])):
            best, high = found, middle - 1
        else:
            low = middle + 1
    return best


def _intervals(graph: Graph, every: Choices) -> set[int]:
    """Every interval that a layer can set, alone or with the sliding window in front of it."""
    found = {c.cycles(graph) for choices in every.values() for c in choices}
    for layer in graph:
        before = producer(graph, layer)
        if isinstance(before, SlidingWindow):
            windows = [w for w in every[before.name] if getattr(w, "parallel_window", 0)]
            found |= {joint_cycles(graph, c, w) for c in every[layer.name] for w in windows}
    return found


def _refusal(graph: Graph, every: Choices, wish: Wish) -> str:
    """Why nothing fits: the cheapest within the interval, its largest layers, what would fit."""
    interval = wish.interval or max(c.cycles(graph) for x in every.values() for c in x)
    bounds = {"LUTs": wish.lut, "block RAMs": wish.bram36, "cycles of latency": wish.latency}
    asked = ", ".join(f"{v:g} {k}" for k, v in bounds.items() if v is not None)
    free = _cheapest(graph, every, Wish(interval))
    if free is None:
        return (
            f"no folding within {interval} cycles an image joins its neighbours; "
            "ask for more cycles or fewer overrides"
        )
    found = forecast(free)
    return (
        f"no folding within {interval} cycles an image stays within {asked}; the cheapest takes "
        f"about {found.area.lut:.0f} LUTs, {found.area.bram36:g} block RAMs and "
        f"{found.latency} cycles of latency ({_largest(found, 'lut')}); "
        f"{_nearest(graph, every, wish)}"
    )


def _nearest(graph: Graph, every: Choices, wish: Wish) -> str:
    found = _within(graph, every, wish, wish.interval or 1)
    if found is None:
        return "nothing slower fits either"
    guess = forecast(found)
    return (
        f"the fastest that fits takes {guess.interval} cycles an image, with "
        f"{guess.area.lut:.0f} LUTs and {guess.area.bram36:g} block RAMs"
    )


def _largest(found: Estimate, kind: str) -> str:
    """The layers that cost most of `kind`."""
    by_size = sorted(found.layers, key=lambda name: -getattr(found.layers[name], kind))
    return "most: " + ", ".join(f"{n} {getattr(found.layers[n], kind):.0f}" for n in by_size[:3])


# --- the foldings of a layer --------------------------------------------------------------------


def _set_input(graph: Graph, wanted: dict[str, dict[str, Any]], parallel: int) -> None:
    first = graph.layers[0]
    key = "SIMD" if "SIMD" in folding_of(first) else "PE"
    given = wanted.setdefault(first.name, {}).setdefault(key, parallel)
    if given != parallel:
        raise UserError(
            f"layer {first.name}: {key}={given}, but input_parallel={parallel}; they are the same"
        )


def _choices(graph: Graph, layer: Layer, fixed: dict[str, Any]) -> list[Layer]:
    """Every folding of a layer that there is RTL for and that leaves what is fixed."""
    source = graph.streams[layer.source]
    options = _options(graph, layer)
    if fixed.get("ram_style") == "auto":
        fixed = {key: value for key, value in fixed.items() if key != "ram_style"}
    kept = [o for o in options if all(o.get(k, v) == v for k, v in fixed.items())]
    if "ram_style" in fixed:  # asked for, though it would not have been chosen
        shape = fixed.keys() & {"PE", "SIMD", "parallel_window"}
        others = [o | fixed for o in options if all(o[k] == fixed[k] for k in shape)]
        kept = [dict(items) for items in dict.fromkeys(tuple(o.items()) for o in others)]
    if layer.source == graph.input and not fixed.keys() & {"PE", "SIMD"}:
        key = "PE" if "SIMD" not in kept[0] else "SIMD"
        kept = [o for o in kept if o[key] * source.bits <= INPUT_BITS] or kept
    depths = {"fifo": fixed["fifo"]} if "fifo" in fixed else {}
    found = [replace(layer, **option, **depths) for option in kept]
    return _legal(graph, layer, found)


def _options(graph: Graph, layer: Layer) -> list[dict[str, Any]]:
    source = graph.streams[layer.source]
    if isinstance(layer, MatrixVector):
        return [
            {"PE": pe, "SIMD": simd, "ram_style": style}
            for pe in divisors(layer.MH)
            for simd in divisors(layer.MW)
            for style in _ram_styles(layer, pe * simd)
        ]
    if isinstance(layer, SlidingWindow):
        whole = windows_shape(source.shape, layer)[-1]
        return [
            {"SIMD": simd, "parallel_window": parallel}
            for simd in divisors(source.channels)
            for parallel in (0, whole)
        ]
    if isinstance(layer, Depthwise):
        return [
            {"PE": pe, "SIMD": simd}
            for pe in divisors(layer.channels)
            for simd in divisors(layer.places)
        ]
    if isinstance(layer, Padding):
        return [{"SIMD": simd} for simd in divisors(source.channels)]
    if isinstance(layer, Threshold | MaxPool | AddStreams | GlobalAccPool):
        return [{"PE": pe} for pe in divisors(source.channels)]
    if isinstance(layer, LabelSelect):
        return [{"PE": pe} for pe in divisors(layer.classes)]
    raise UserError(f"layer {layer.name}: no folding known for kind {layer.kind}")


def _legal(graph: Graph, layer: Layer, found: list[Layer]) -> list[Layer]:
    """Those that there is RTL for; if none, the first is refused by name."""
    kept = []
    refused: UserError | None = None
    for choice in found:
        try:
            supported.refuse_folding(replace(graph, layers=(choice,)))
            kept.append(choice)
        except UserError as error:
            refused = refused or error
    if not kept and refused:
        raise refused
    return kept


def _ram_styles(layer: MatrixVector, width: int) -> tuple[str, ...]:
    """Where weights of `width` bits a word may live."""
    depth = layer.weights.size // width
    if layer.ram_style != "auto":
        return (layer.ram_style,)
    if depth == 1 or not fits_block_ram(width, depth):
        return ("lut",)
    return ("block",) if width > LUT_WORD and depth > LUT_DEPTH else ("lut", "block")
