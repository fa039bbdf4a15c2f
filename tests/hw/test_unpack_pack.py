"""Memory words to beats and results to memory words, against flow.shell.layout, with all stalls."""

import benches
import numpy as np
import pytest
from benches import Case

from flow import tools
from flow.shell.layout import Input, Output

# elements, bits, memory_bits, beats
INPUTS = [
    Input(8, 8, 8, 8),
    Input(16, 8, 8, 49),
    Input(1, 8, 8, 3),  # a word is left early
    Input(7, 8, 8, 4),  # a slot wider than its beat
    Input(49, 1, 1, 16),
    Input(784, 1, 1, 1),
    Input(1, 1, 1, 70),
    Input(16, 8, 1, 5),  # a bit of memory a pixel of eight
    Input(25, 8, 8, 3),
    Input(3, 5, 5, 6),
]
# elements, bits, memory_bits, signed, beats
OUTPUTS = [
    Output(1, 4, 8, False, 1),
    Output(1, 7, 8, True, 10),
    Output(10, 7, 8, False, 1),
    Output(5, 11, 16, True, 2),
    Output(2, 8, 8, True, 3),
    Output(3, 12, 16, True, 1),
    Output(1, 40, 64, True, 2),
    Output(2, 20, 32, False, 4),
]
IMAGES = [1, 3]

# Batches follow each other: a start whenever the one before has been taken whole.
REPEATED = """
module pack_repeated #(
  parameter int unsigned ELEMENTS = 1, ELEMENT_BITS = 4, MEMORY_BITS = 8, SIGNED = 0, BEATS = 1,
  parameter int unsigned IN_BITS = 8, IMAGES = 1
) (
  input logic aclk, aresetn, s_axis_tvalid, m_axis_tready,
  input logic [IN_BITS-1:0] s_axis_tdata,
  output logic s_axis_tready, m_axis_tvalid,
  output logic [63:0] m_axis_tdata
);
  logic [19:0] images;
  logic start;
  assign images = 20'(IMAGES);
  assign start = !u.open_q;
  pack #(.ELEMENTS(ELEMENTS), .ELEMENT_BITS(ELEMENT_BITS), .MEMORY_BITS(MEMORY_BITS),
         .SIGNED(SIGNED), .BEATS(BEATS), .IN_BITS(IN_BITS)) u (.*);
endmodule
"""


def whole_bytes(bits: int) -> int:
    return -(-bits // 8) * 8


def input_case(layout: Input, draw: np.random.Generator) -> Case:
    count, size = 6, layout.beats * layout.elements
    top = 1 if layout.memory_bits == 1 else (1 << layout.bits) - 1
    images = draw.integers(0, top, (count, size), endpoint=True)
    memory = layout.pack(images)
    assert memory.shape == (count, 8 * layout.words)
    if layout.memory_bits < layout.bits:
        images = images * ((1 << layout.bits) - 1)
    out_bits = whole_bytes(layout.elements * layout.bits)
    return Case(
        name=f"unpack_{layout.elements}x{layout.bits}of{layout.memory_bits}x{layout.beats}",
        module="unpack",
        parameters={
            "ELEMENTS": layout.elements,
            "MEMORY_BITS": layout.memory_bits,
            "ELEMENT_BITS": layout.bits,
            "BEATS": layout.beats,
            "OUT_BITS": out_bits,
        },
        in_bits=64,
        out_bits=out_bits,
        stimulus=[int(word) for word in memory.view("<u8").ravel()],
        expected=benches.words(images, layout.elements, layout.bits),
        group=layout.beats,
        interval=max(layout.beats, layout.words),
    )


def output_case(layout: Output, images: int, draw: np.random.Generator) -> Case:
    batches = 4
    low = -(1 << (layout.bits - 1)) if layout.signed else 0
    shape = (batches, images * layout.results)
    results = draw.integers(low, low + (1 << layout.bits) - 1, shape, endpoint=True)
    stored = results.astype(layout.dtype).view(np.uint8)
    padded = np.zeros((batches, -(-stored.shape[1] // 8) * 8), np.uint8)
    padded[:, : stored.shape[1]] = stored
    first = layout.unpack(padded[0], images)
    assert np.array_equal(first.ravel(), results[0])
    in_bits = whole_bytes(layout.elements * layout.bits)
    return Case(
        name=f"pack_{layout.elements}x{layout.bits}to{layout.memory_bits}x{layout.beats}x{images}",
        module="pack_repeated",
        parameters={
            "ELEMENTS": layout.elements,
            "ELEMENT_BITS": layout.bits,
            "MEMORY_BITS": layout.memory_bits,
            "SIGNED": int(layout.signed),
            "BEATS": layout.beats,
            "IN_BITS": in_bits,
            "IMAGES": images,
        },
        in_bits=in_bits,
        out_bits=64,
        stimulus=benches.words(results, layout.elements, layout.bits),
        expected=[int(word) for word in padded.view("<u8").ravel()],
        group=padded.shape[1] // 8,
    )


def test_beats_and_words_are_as_the_layout_says(tmp_path):
    draw = np.random.default_rng(21)
    cases = [input_case(layout, draw) for layout in INPUTS]
    cases += [output_case(layout, images, draw) for layout in OUTPUTS for images in IMAGES]
    (tmp_path / "repeated.sv").write_text(REPEATED)
    results = benches.run(cases, tmp_path, [tmp_path / "repeated.sv"])
    assert not {name: r.first_error for name, r in results.items() if r.errors}
    slow = {c.name: results[c.name].interval for c in cases if c.interval}
    assert slow == {c.name: c.interval for c in cases if c.interval}


@pytest.mark.parametrize(
    ("layout", "words", "plain"),
    [
        (Input(16, 8, 8, 49), 98, True),
        (Input(8, 8, 8, 8), 8, True),
        (Input(49, 1, 1, 16), 16, False),
        (Input(784, 1, 1, 1), 13, False),
        (Input(1, 8, 8, 3), 1, False),
    ],
)
def test_size_of_an_image(layout, words, plain):
    assert (layout.words, layout.plain) == (words, plain)


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        ("unpack", {"MEMORY_BITS": 2}, "MEMORY_BITS must be 1 or ELEMENT_BITS"),
        ("unpack", {"OUT_BITS": 56}, "OUT_BITS must hold a beat"),
        ("pack", {"ELEMENT_BITS": 9, "IN_BITS": 16}, "MEMORY_BITS must be 8, 16, 32 or 64"),
        ("pack", {"ELEMENTS": 3}, "IN_BITS must hold a beat"),
        ("dma_read", {"DEPTH": 48}, "DEPTH must be a power of two"),
        ("dma_read", {"ADDR_BITS": 65}, "ADDR_BITS must be 12 to 64"),
        ("dma_write", {"DEPTH": 8}, "DEPTH must be at least 16"),
        ("accelerator_shell", {"ADDR_BITS": 40}, "ADDR_BITS must be 32 or 64"),
        ("accelerator_shell", {"IN_BEATS": 5000}, "4095 words"),
    ],
)
def test_illegal_parameters_are_refused(tmp_path, module, parameters, message):
    sources = sorted(benches.RTL.glob("*.sv"))
    given = [f"-G{key}={value}" for key, value in parameters.items()]
    log = tmp_path / "lint.log"
    with pytest.raises(tools.ToolError):
        tools.run(
            "verilator", "--lint-only", "--top-module", module, *given, *sources,
            cwd=tmp_path, log=log,
        )  # fmt: skip
    assert message in log.read_text()
