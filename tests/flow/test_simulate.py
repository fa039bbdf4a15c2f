"""The simulation: equal to the reference on random networks, and every kind of fault is named."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from graphs import images, levels, mlp, randomly_folded

from flow import reference
from flow.errors import MismatchError, UserError
from flow.graph import Graph
from flow.rtl.codegen import Design, generate
from flow.rtl.estimate import estimate
from flow.rtl.simulate import simulate
from flow.rtl.verilate import compile_simulator


@dataclass(frozen=True)
class Bench:
    graph: Graph
    design: Design

    def run(self, count: int = 40, **options):
        return simulate(self.design, self.graph, images(self.graph, count), **options)


def bench(graph: Graph, folder: Path) -> Bench:
    return Bench(graph, generate(graph, folder))


# --- equality -----------------------------------------------------------------------------------

GRAPHS = {
    # Reads its input in several beats and again for other rows; weights in LUTs and block RAM.
    "folded both ways": mlp(20, uniform=False).with_folding(
        {
            "quantise": {"PE": 6},
            "fc0": {"PE": 4, "SIMD": 8, "ram_style": "block"},
            "fc1": {"PE": 2, "SIMD": 3},
        }
    ),
    # No input threshold, scores of several elements a beat out, no label.
    "bits to scores": randomly_folded(
        mlp(21, sizes=(70, 9, 6), in_dtype="BINARY", label=False), 21
    ),
    # Signed elements of an odd width, several levels.
    "levels": randomly_folded(levels(22), 1),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_rtl_equals_the_reference_with_and_without_stalls(name, tmp_path):
    here = bench(GRAPHS[name], tmp_path)
    free = here.run(60)
    pixels = images(here.graph, 60)
    expected = reference.execute(here.graph, pixels)[here.graph.output]
    assert (free.outputs == expected).all()
    assert (free.images, free.checked_images, free.mismatches) == (60, 60, 0)
    for seed in range(4):
        stalled = here.run(60, stall_seed=seed)
        assert (stalled.outputs == expected).all()
        assert stalled.report() == {"stalled_images": 60, "stalled_mismatches": 0}
    for layer in free.layers:
        assert layer["cycles"] == layer["expected"], layer
    predicted = estimate(here.graph)
    assert free.interval_cycles == predicted.interval
    assert free.latency_cycles == predicted.latency


# --- one network, broken in many ways ------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Bench:
    graph = mlp(23, sizes=(16, 12, 8, 4)).with_folding(
        {
            "quantise": {"PE": 8},
            "fc0": {"PE": 2, "SIMD": 16},
            "fc0_act": {"PE": 2},
            "fc1": {"PE": 8, "SIMD": 2},
            "fc1_act": {"PE": 8},
            "fc2": {"PE": 1, "SIMD": 8},
        }
    )
    made = bench(graph, tmp_path_factory.mktemp("sound"))
    made.run()
    return made


@pytest.fixture
def copy(sound, tmp_path) -> Bench:
    """The sound design with its compiled program, for a test to break."""
    folder = tmp_path / "rtl"
    shutil.copytree(sound.design.folder, folder)
    return Bench(sound.graph, Design.load(folder))


def flip(path: Path, address: int, bit: int) -> None:
    lines = path.read_text().split()
    word = int(lines[address], 16) ^ (1 << bit)
    lines[address] = f"{word:0{len(lines[address])}x}"
    path.write_text("\n".join(lines) + "\n")


def test_figures_of_speed(sound):
    result = sound.run(60)
    cycles = {layer["name"]: layer["cycles"] for layer in result.layers}
    assert cycles == {x.name: x.cycles(sound.graph) for x in sound.graph}
    assert result.interval_cycles == max(cycles.values())
    assert result.latency_cycles > result.interval_cycles
    report = result.report()
    assert report["latency_cycles"] == result.latency_cycles
    assert [x["name"] for x in report["layers"]] == [x.name for x in sound.graph]


def test_a_single_image_has_a_latency_and_no_interval(sound):
    result = sound.run(1)
    assert result.latency_cycles == sound.run(60).latency_cycles
    assert "interval_cycles" not in result.report()
    assert all("cycles" not in layer for layer in result.report()["layers"])


@pytest.mark.parametrize("stall_seed", [None, 5])
def test_one_flipped_weight_bit_is_found_and_named(copy, stall_seed):
    flip(copy.design.folder / "fc1_weights.mem", 2, 11)
    with pytest.raises(MismatchError) as error:
        copy.run(stall_seed=stall_seed)
    assert error.value.where == "layer fc1"
    message = str(error.value)
    assert "first at layer fc1: image 0" in message
    # Word 2 is step sf=2 of the only fold; bit 11 is row 5, lane 1, of two lanes.
    assert "fc1_weights.mem differs from the graph in 1 bit(s)" in message
    assert "word 2 bit 11: weight of neuron 5, input 5" in message


def visible_threshold(graph: Graph, pixels: np.ndarray) -> tuple[int, int, np.ndarray]:
    """A channel of fc0_act and a bit of its threshold; which images the flipped bit shows in.

    Some images show it and more do not.
    """
    sums = reference.execute(graph, pixels)["fc0"]
    for channel, threshold in enumerate(graph.layer("fc0_act").thresholds[:, 0]):
        for bit in range(graph.streams["fc0"].bits + 1):
            flipped = int(threshold) ^ (1 << bit)
            shown = (sums[:, channel] >= threshold) != (sums[:, channel] >= flipped)
            if 0 < shown.sum() < len(pixels) // 2:
                return channel, bit, shown
    raise AssertionError("no such threshold; choose another seed")


def flip_threshold(bench: Bench, channel: int, bit: int) -> str:
    """Flip the bit in the memory file; what the error must say of it."""
    PE, bits = bench.graph.layer("fc0_act").PE, bench.graph.streams["fc0"].bits + 1
    address, position = channel // PE, channel % PE * bits + bit
    flip(bench.design.folder / "fc0_act_thresholds.mem", address, position)
    return f"word {address} bit {position}: threshold 0 of channel {channel}"


def test_one_flipped_threshold_bit_is_found_and_named(copy):
    channel, bit, _ = visible_threshold(copy.graph, images(copy.graph, 40))
    place = flip_threshold(copy, channel, bit)
    with pytest.raises(MismatchError, match="first at layer fc0_act: image") as error:
        copy.run(40)
    assert error.value.where == "layer fc0_act"
    assert place in str(error.value)


def test_a_fault_that_no_image_shows_is_found_in_the_memory_file(copy):
    graph = copy.graph
    blank = np.zeros((5, *graph.streams[graph.input].shape), np.int32)
    flip(copy.design.folder / "quantise_thresholds.mem", 0, 8)  # 256 more: never reached
    threshold = graph.layer("quantise").thresholds[0, 0]
    assert threshold > 0
    with pytest.raises(MismatchError, match="no image of 5 shows it") as error:
        simulate(copy.design, graph, blank)
    assert error.value.where == "layer quantise"


def test_a_wrong_expectation_is_found_whichever_layer_it_is_in(sound):
    for stream in ("bits", "fc0", "fc0_act", "fc1_act", "label"):

        def execute(graph: Graph, pixels: np.ndarray, stream: str = stream):
            values = reference.execute(graph, pixels)
            values[stream] = values[stream].copy()
            values[stream][17, -1] ^= 1
            return values

        with pytest.raises(MismatchError) as error:
            sound.run(execute=execute)
        size = sound.graph.streams[stream].size
        assert f"image 17, element {size - 1} of {stream} is" in str(error.value)


def test_an_output_is_wrong_beyond_the_images_whose_streams_are_compared(copy, monkeypatch):
    size = sum(s.size for s in copy.graph.streams.values())
    monkeypatch.setattr("flow.rtl.simulate.CHECKED_ELEMENTS", 10 * size)
    assert copy.run().checked_images == 10
    pixels = images(copy.graph, 40)
    channel, bit, shown = visible_threshold(copy.graph, pixels)
    flip_threshold(copy, channel, bit)
    order = np.argsort(shown, kind="stable")  # images that show the fault come last

    def wrong_label_last(graph: Graph, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """The reference, but for the label of the last image, whether or not the fault shows."""
        values = reference.execute(graph, chosen)
        last = (chosen == pixels[order[-1]]).all(axis=1)
        values["label"] = np.where(last[:, None], 3 - values["label"], values["label"])
        return values

    with pytest.raises(MismatchError) as error:
        simulate(copy.design, copy.graph, pixels[order], execute=wrong_label_last)
    assert error.value.where == "layer fc0_act"
    assert "first at layer fc0_act: image 3" in str(error.value)


def test_a_bit_order_fault_of_the_memory_files_is_seen(copy, monkeypatch):
    """The stimulus is packed elsewhere, so a fault common to all of rtl.packing is a mismatch."""
    from flow.rtl import packing

    right = packing.matrix_words

    def reversed_lanes(weights, PE, SIMD):
        return right(weights, PE, SIMD)[:, ::-1]

    monkeypatch.setattr(packing, "matrix_words", reversed_lanes)
    generate(copy.graph, copy.design.folder)
    with pytest.raises(MismatchError, match="first at layer fc0"):
        copy.run()


def test_images_of_another_shape_are_refused(sound):
    with pytest.raises(UserError, match="the graph takes"):
        simulate(sound.design, sound.graph, np.zeros((3, 15), np.int32))
    with pytest.raises(UserError, match="the graph takes"):
        simulate(sound.design, sound.graph, np.zeros((0, 16), np.int32))


def test_nothing_is_compiled_twice(sound):
    program = compile_simulator(sound.design, sound.graph)
    before = program.stat().st_mtime_ns
    assert compile_simulator(sound.design, sound.graph).stat().st_mtime_ns == before
    assert not list(program.parent.glob("run-*"))


# --- a unit that misbehaves ----------------------------------------------------------------------

# Passes bits on; beat 20 suffers what fault.mem says.
FAULTY = """/* verilator lint_off UNUSEDPARAM */
module threshold #(
  parameter int unsigned C = 1, PE = 1, LEVELS = 1, IN_BITS = 1, OUT_BITS = 1, SIGNED = 0,
  parameter int unsigned UNIFORM = 0, BLOCK = 0,
  parameter THRESHOLDS = ""
) (
  input logic aclk, input logic aresetn,
  input logic [PE*IN_BITS-1:0] s_axis_tdata, input logic s_axis_tvalid, output logic s_axis_tready,
  output logic [PE*OUT_BITS-1:0] m_axis_tdata, output logic m_axis_tvalid,
  input logic m_axis_tready
);
  logic [3:0] fault[1];
  initial $readmemh("fault.mem", fault);
  logic [7:0] count_q;  // beats taken
  logic toggle_q;
  logic hit;
  assign hit = count_q == 8'd20;
  logic silent;
  assign silent = hit && (fault[0] == 1 || fault[0] == 3);
  assign m_axis_tvalid = (s_axis_tvalid && !silent) || (hit && fault[0] == 2);
  assign s_axis_tready = m_axis_tready && !(hit && (fault[0] == 1 || fault[0] == 2))
      || (hit && fault[0] == 3);
  assign m_axis_tdata = s_axis_tdata ^ (PE*IN_BITS)'(toggle_q && fault[0] == 4);
  always_ff @(posedge aclk) begin
    toggle_q <= m_axis_tvalid && !m_axis_tready && !toggle_q;
    if (!aresetn) count_q <= '0;
    else if (s_axis_tvalid && s_axis_tready) count_q <= count_q + 8'd1;
    else if (hit && fault[0] == 2 && m_axis_tready) count_q <= 8'd21;
  end
endmodule
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> Bench:
    """One layer of thresholds on bits, by the module above; 4 beats an image."""
    graph = mlp(24, sizes=(8, 2), in_dtype="UINT1", label=False)
    quantise = graph.layers[0]
    object.__setattr__(quantise, "thresholds", np.ones_like(quantise.thresholds))
    streams = {k: graph.streams[k] for k in ("image", "bits")}
    graph = Graph("faulty", (quantise,), streams, "image", "bits")
    made = bench(graph.with_folding({"quantise": {"PE": 2}}), tmp_path_factory.mktemp("faulty"))
    (made.design.folder / "threshold.sv").write_text(FAULTY)
    return made


def misbehave(faulty: Bench, fault: int, count: int, **options):
    (faulty.design.folder / "fault.mem").write_text(f"{fault}\n")
    if options.get("execute") is all_zero:
        pixels = np.zeros((count, *faulty.graph.streams["image"].shape), np.int32)
        return simulate(faulty.design, faulty.graph, pixels, **options)
    return faulty.run(count, **options)


def test_the_faulty_unit_is_sound_without_a_fault(faulty):
    misbehave(faulty, 0, 10)
    misbehave(faulty, 0, 10, stall_seed=1)


def test_a_design_that_stops_is_an_error_that_names_the_place(faulty):
    with pytest.raises(MismatchError, match="5 of 10 images came out") as error:
        misbehave(faulty, 1, 10)
    assert "the design stopped at" in str(error.value)


def test_an_invented_beat_is_found(faulty):
    with pytest.raises(MismatchError):
        misbehave(faulty, 2, 10)
    # As the very last beat, nothing compares it any more: one output too many.
    with pytest.raises(MismatchError, match="layer quantise: wrote more than 5 outputs"):
        misbehave(faulty, 2, 5)


def all_zero(graph: Graph, pixels: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.zeros((len(pixels), *s.shape), int) for name, s in graph.streams.items()}


def test_a_swallowed_beat_is_found(faulty):
    with pytest.raises(MismatchError):
        misbehave(faulty, 3, 10)
    # As the very last but one beat: nothing is wrong but that an output is missing.
    with pytest.raises(MismatchError, match="stopped at layer quantise") as error:
        misbehave(faulty, 3, 6, execute=all_zero)
    assert "5 of 6 images came out" in str(error.value)


def test_data_that_changes_while_it_waits_is_found(faulty):
    misbehave(faulty, 4, 10)  # nothing waits in a free run
    with pytest.raises(MismatchError, match="layer quantise"):
        misbehave(faulty, 4, 10, stall_seed=3)
