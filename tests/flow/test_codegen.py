"""Code generation: what is written, that it stands alone, is stable, and passes lint and Yosys."""

import re
from dataclasses import replace

import numpy as np
import pytest
from graphs import levels, mlp, randomly_folded

from flow import tools
from flow.errors import UserError
from flow.graph import Graph
from flow.rtl import packing
from flow.rtl.codegen import Design, generate, memory_words


def text(folder) -> str:
    return (folder / "top.sv").read_text()


def test_every_layer_is_one_instance_named_after_it(tmp_path):
    graph = randomly_folded(mlp(0), 0)
    design = generate(graph, tmp_path)
    for layer in graph:
        assert design.layer_unit(layer.name).name == layer.name
        assert len(re.findall(rf"^  \) {layer.name} \($", text(tmp_path), re.M)) == 1
    assert [u.layer for u in design.units if u.name == u.layer] == [x.name for x in graph]


def test_the_folder_stands_alone(tmp_path):
    design = generate(randomly_folded(mlp(1), 1), tmp_path)
    listed = (tmp_path / "files.f").read_text().split()
    assert listed == list(design.files)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {*listed, "files.f", "design.json", *(m.file for m in design.memories)}
    assert not any("/" in name for name in listed)
    defined = set(
        re.findall(r"^module (\w+)", "".join((tmp_path / x).read_text() for x in listed), re.M)
    )
    assert {unit.module for unit in design.units} <= defined


def test_the_same_graph_gives_the_same_bytes_and_nothing_is_written_twice(tmp_path):
    graph = randomly_folded(mlp(2), 2)
    generate(graph, tmp_path / "a")
    generate(graph, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    generate(graph, tmp_path / "a")
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "a").iterdir())


def test_a_design_is_read_back(tmp_path):
    design = generate(randomly_folded(mlp(3), 3), tmp_path)
    assert Design.load(tmp_path) == design
    with pytest.raises(UserError, match="generate the RTL first"):
        Design.load(tmp_path / "nowhere")


def test_the_border_is_padded_to_whole_bytes(tmp_path):
    graph = mlp(4, sizes=(9, 4), in_dtype="UINT3").with_folding({"quantise": {"PE": 3}})
    design = generate(graph, tmp_path)
    assert (design.in_bits, design.in_beats) == (16, 3)
    assert (design.out_bits, design.out_beats) == (8, 1)
    assert "s_axis_tdata[8:0]" in text(tmp_path)
    assert "{5'd0, label_tdata}" in text(tmp_path)


def test_converters_join_any_two_widths(tmp_path):
    graph = mlp(5, sizes=(12, 4)).with_folding({"quantise": {"PE": 4}, "fc0": {"SIMD": 6, "PE": 4}})
    design = generate(graph, tmp_path)
    parts = [u for u in design.units if u.layer == "fc0" and u.module == "axis_width"]
    assert [(u.parameters["IN_BITS"], u.parameters["OUT_BITS"]) for u in parts] == [
        (4, 12),
        (12, 6),
    ]
    equal = generate(graph.with_folding({"quantise": {"PE": 6}}), tmp_path / "equal")
    assert not any(u.module == "axis_width" for u in equal.units if u.layer == "fc0")


def test_a_layer_that_reads_its_input_twice_has_a_fifo_for_one_vector(tmp_path):
    graph = mlp(6, sizes=(12, 4)).with_folding({"fc0": {"SIMD": 3, "PE": 2}})
    fifos = [u for u in generate(graph, tmp_path).units if u.module == "axis_fifo"]
    assert [(u.layer, u.parameters["DEPTH"]) for u in fifos] == [("fc0", 4)]
    for folding in ({"SIMD": 12, "PE": 1}, {"SIMD": 1, "PE": 4}):
        design = generate(graph.with_folding({"fc0": folding}), tmp_path / "other")
        assert not any(u.module == "axis_fifo" for u in design.units)


def test_memory_files_hold_the_graph(tmp_path):
    graph = randomly_folded(mlp(7, uniform=False), 7)
    design = generate(graph, tmp_path)
    assert {m.layer for m in design.memories} == {x.name for x in graph if x.kind != "label_select"}
    for memory in design.memories:
        layer = graph.layer(memory.layer)
        words = packing.read_mem(tmp_path / memory.file, memory.depth, memory.width)
        assert (words == memory_words(graph, memory)).all()
        if memory.array == "weights":
            back = packing.matrix_from_words(words, layer.MH, layer.MW, layer.PE, layer.SIMD)
            assert (back == layer.weights).all()
        else:
            source = graph.streams[layer.source]
            back = packing.thresholds_from_words(words, layer.levels, source.bits, False)
            assert (back == layer.thresholds).all()


def test_equal_thresholds_become_one_word(tmp_path):
    design = generate(mlp(8), tmp_path)
    memory = next(m for m in design.memories if m.layer == "quantise")
    assert (memory.depth, memory.width) == (1, 9)
    assert design.layer_unit("quantise").parameters["UNIFORM"] == 1


def renamed(graph: Graph, names: dict[str, str], streams: dict[str, str]) -> Graph:
    layers = tuple(
        replace(
            x,
            name=names.get(x.name, x.name),
            source=streams.get(x.source, x.source),
            target=streams.get(x.target, x.target),
        )
        for x in graph
    )
    moved = {
        streams.get(k, k): replace(s, name=streams.get(k, k)) for k, s in graph.streams.items()
    }
    return Graph(graph.name, layers, moved, streams.get(graph.input, graph.input), graph.output)


def test_names_that_are_no_identifiers_are_made_so(tmp_path):
    names = {"quantise": "Multi/Threshold__0", "fc0": "module", "fc1": "FC_2", "fc2": "fc_2"}
    graph = renamed(mlp(9), names, {"image": "global in:0", "fc0": "0", "bits": "größe"})
    design = generate(graph, tmp_path)
    instances = [u.name for u in design.units]
    nets = [t.net for t in design.taps]
    for group in (instances, nets):
        assert len({name.lower() for name in group}) == len(group)
        assert all(
            re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and "__" not in name for name in group
        )
    assert "module" not in instances
    lint(design)


def test_a_branch_is_refused(tmp_path):
    graph = mlp(10)
    fc1 = replace(graph.layer("fc1"), source="bits", weights=np.zeros((8, 24), np.uint8))
    streams = graph.streams | {"fc1": replace(graph.streams["fc1"], dtype="UINT5")}
    layers = tuple(fc1 if x.name == "fc1" else x for x in graph)
    with pytest.raises(UserError, match="stream fc0_act is read by nothing"):
        generate(Graph("branch", layers, streams, "image", "label"), tmp_path)


def lint(design: Design) -> None:
    tools.run(
        "verilator",
        "--lint-only",
        "-Wall",
        "--top-module",
        design.top,
        *design.files,
        cwd=design.folder,
        log=design.folder / "lint.log",
    )


CASES = {
    "mlp": randomly_folded(mlp(11), 11),
    "bits in": randomly_folded(mlp(12, sizes=(16, 10), in_dtype="BINARY"), 12),
    "scores out": randomly_folded(mlp(13, sizes=(15, 6, 4), uniform=False, label=False), 13),
    "levels": randomly_folded(levels(14), 14),
}


@pytest.mark.parametrize("name", CASES)
def test_lint_is_clean(name, tmp_path):
    lint(generate(CASES[name], tmp_path))


def test_yosys_reads_it(tmp_path):
    design = generate(CASES["mlp"], tmp_path)
    script = [
        "read_verilog -lib +/xilinx/cells_sim.v",
        f"read_verilog -sv -defer {' '.join(design.files)}",
        f"hierarchy -check -top {design.top}",
    ]
    (tmp_path / "check.ys").write_text("\n".join(script) + "\n")
    tools.run("yosys", "-q", "check.ys", cwd=tmp_path, log=tmp_path / "yosys.log")
