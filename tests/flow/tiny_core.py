"""A core small enough for every bench of the board: the sum of four beats of elements."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

BEATS = 4

CORE = """
module top (
  input logic aclk,
  input logic aresetn,
  input logic [{in_top}:0] s_axis_tdata,
  input logic s_axis_tvalid,
  output logic s_axis_tready,
  output logic [{out_top}:0] m_axis_tdata,
  output logic m_axis_tvalid,
  input logic m_axis_tready
);
  // Each beat's bits are one number; the sum of four, modulo both widths.
  logic [{in_top}:0] sum_q;
  logic [1:0] count_q;
  logic full_q;
  assign s_axis_tready = !full_q;
  assign m_axis_tvalid = full_q;
  assign m_axis_tdata = {out_bits}'(sum_q);
  always_ff @(posedge aclk) begin
    if (s_axis_tvalid && s_axis_tready) begin
      sum_q <= (count_q == 2'd0 ? '0 : sum_q) + s_axis_tdata;
      count_q <= count_q + 2'd1;
      full_q <= count_q == 2'd3;
    end
    if (full_q && m_axis_tready) full_q <= 1'b0;
    if (!aresetn) begin
      count_q <= 2'd0;
      full_q <= 1'b0;
    end
  end
  EXTRA
endmodule
"""


def tiny_core(folder: Path, parallel: int, bits: int, out_bits: int, extra: str = "") -> object:
    """A design as flow.rtl.codegen leaves one: `parallel` elements of `bits` bits a beat in.

    parallel * bits and out_bits are multiples of 8. extra: SystemVerilog to add.
    """
    folder.mkdir(parents=True, exist_ok=True)
    in_bits = parallel * bits
    text = CORE.format(in_top=in_bits - 1, out_top=out_bits - 1, out_bits=out_bits)
    (folder / "top.sv").write_text(text.replace("EXTRA", extra))
    taps = (
        SimpleNamespace(bits=bits, parallel=parallel, beats=BEATS, signed=False),
        SimpleNamespace(bits=out_bits, parallel=1, beats=1, signed=False),
    )
    return SimpleNamespace(
        folder=folder,
        files=("top.sv",),
        in_bits=in_bits,
        out_bits=out_bits,
        memories=(),
        units=(),
        taps=taps,
    )


def images(design, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Random images (count, BEATS * parallel) and their results (count, 1)."""
    tap, out = design.taps
    drawn = np.random.default_rng(seed).integers(0, 1 << tap.bits, (count, BEATS * tap.parallel))
    sums = []
    for image in drawn.reshape(count, BEATS, tap.parallel).tolist():
        beats = [sum(e << (i * tap.bits) for i, e in enumerate(beat)) for beat in image]
        sums.append(sum(beats) % (1 << design.in_bits) % (1 << out.bits))
    return drawn, np.array(sums, np.uint64)[:, None]
