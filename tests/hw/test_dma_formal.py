"""The rules of the memory bus (hw/formal/axi_rules.sv) hold of both DMAs, by induction."""

from __future__ import annotations

from pathlib import Path

import pytest
from benches import HERE, RTL

from flow import tools

RULES = HERE.parents[1] / "hw" / "formal" / "axi_rules.sv"
NAMES = ("dma_read.sv", "dma_write.sv")
# Small where only data is carried: 20 address bits hold a 4 KiB border, 12 bits count the words.
PROOF = """module proof (
  input logic aclk, aresetn, clear_n, start_r, start_w, stop, m_axi_arready, m_axi_rvalid,
  input logic m_axi_awready, m_axi_wready, m_axi_bvalid, s_axis_tvalid, m_axis_tready,
  input logic [63:0] m_axi_rdata, s_axis_tdata,
  input logic [1:0] m_axi_rresp, m_axi_bresp,
  input logic [19:0] address,
  input logic [11:0] count
);
  logic m_axi_arvalid, m_axi_rready, m_axi_awvalid, m_axi_wvalid, m_axi_wlast, m_axi_bready;
  logic [19:0] m_axi_araddr, m_axi_awaddr;
  logic [3:0] m_axi_arlen, m_axi_awlen;
  logic [63:0] m_axi_wdata, m_axis_tdata;
  logic [7:0] m_axi_wstrb;
  logic m_axis_tvalid, s_axis_tready;
  dma_read #(.ADDR_BITS(20), .WORD_BITS(12), .DEPTH(32)) r (
    .start(start_r), .words(count), .busy(), .failed(), .moved(), .checksum(), .*);
  dma_write #(.ADDR_BITS(20), .BYTE_BITS(12), .DEPTH(16)) w (
    .start(start_w), .bytes(count), .busy(), .failed(), .moved(), .*);
  always_comb if (start_w) assume (count != 12'd0);  // a run has one byte at least
  axi_rules #(.ADDR_BITS(20)) rules (.*);
endmodule
"""


def prove(folder: Path, fault: tuple[str, str, str] | None = None) -> None:
    """Raise ToolError where a property fails. fault: file, old text, new text."""
    files = [RTL / "axis_fifo.sv", RTL / "axis_reg.sv", RULES]
    for name in NAMES:
        text = (RTL / name).read_text()
        if fault and fault[0] == name:
            assert text.count(fault[1]) == 1
            # The helping properties of the module are left out, so that the rules must see it.
            text = text.replace(fault[1], fault[2]).replace("ifdef FORMAL", "ifdef NEVER")
        (folder / name).write_text(text)
        files.append(folder / name)
    (folder / "proof.sv").write_text(PROOF)
    how = "-tempinduct-baseonly -maxsteps 12" if fault else "-tempinduct -maxsteps 6"
    script = (
        f"read_verilog -formal -sv -defer {' '.join(map(str, files))};"
        " read_verilog -formal -sv proof.sv;"
        " hierarchy -top proof; proc; flatten; opt_clean; memory_map; async2sync; dffunmap;"
        " opt -full; chformal -lower; select -assert-min 1 t:$assert;"
        f" sat -verify -prove-asserts -set-assumes {how} proof"
    )
    tools.run("yosys", "-q", "-p", script, cwd=folder, log=folder / "proof.log")


def test_the_bus_rules_hold(tmp_path):
    prove(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        ("dma_read.sv", "(m_axi_arvalid && !m_axi_arready) || issue", "issue"),
        ("dma_read.sv", "5'd16 - {1'b0, address_q[6:3]}", "5'd16"),
        ("dma_write.sv", "if (!m_axi_wvalid) begin", "begin"),
    ],
)
def test_faults_are_seen(fault, tmp_path):
    with pytest.raises(tools.ToolError):
        prove(tmp_path, fault)
    assert "proof did fail" in (tmp_path / "proof.log").read_text()
