"""The rules of AXI4-Lite (hw/formal/axi_lite_rules.sv) hold of axi_lite_slave.sv, by induction."""

from __future__ import annotations

from pathlib import Path

import pytest
from benches import HERE

from flow import tools
from flow.vendor.kernel import FOLDER

RULES = HERE.parents[1] / "hw" / "formal" / "axi_lite_rules.sv"
SLAVE = FOLDER / "axi_lite_slave.sv"
PROOF = """module proof (
  input logic aclk, aresetn, s_axi_awvalid, s_axi_wvalid, s_axi_bready, s_axi_arvalid, s_axi_rready,
  input logic [11:0] s_axi_awaddr, s_axi_araddr,
  input logic [31:0] s_axi_wdata, reg_rdata,
  input logic [3:0] s_axi_wstrb,
  input logic reg_known
);
  logic s_axi_awready, s_axi_wready, s_axi_bvalid, s_axi_arready, s_axi_rvalid;
  logic reg_write, reg_read;
  logic [1:0] s_axi_bresp, s_axi_rresp;
  logic [31:0] s_axi_rdata, reg_wdata;
  logic [9:0] reg_index;
  axi_lite_slave slave (.*);
  axi_lite_rules rules (.*);
endmodule
"""


def prove(folder: Path, fault: tuple[str, str] | None = None) -> None:
    """Raise ToolError where a property fails. fault: old text, new text."""
    text = SLAVE.read_text()
    if fault:
        assert text.count(fault[0]) == 1
        # The helping properties of the module are left out, so that the rules must see it.
        text = text.replace(*fault).replace("ifdef FORMAL", "ifdef NEVER")
    (folder / "slave.sv").write_text(text)
    (folder / "proof.sv").write_text(PROOF)
    how = "-tempinduct-baseonly -maxsteps 12" if fault else "-tempinduct -maxsteps 8"
    script = (
        f"read_verilog -formal -sv {RULES} slave.sv; read_verilog -sv proof.sv;"
        " hierarchy -top proof; proc; flatten; opt_clean; async2sync; dffunmap;"
        " opt -full; chformal -lower; select -assert-min 1 t:$assert;"
        f" sat -verify -prove-asserts -set-assumes {how} proof"
    )
    tools.run("yosys", "-q", "-p", script, cwd=folder, log=folder / "proof.log")


def test_the_bus_rules_hold(tmp_path):
    prove(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        ("s_axi_bvalid ? s_axi_bready : s_axi_rready", "1'b1"),  # an answer falls
        ("s_axi_awvalid && s_axi_wvalid && !(", "s_axi_awvalid && !("),  # data is not waited for
        ("reg_known && strobes_q == 4'b1111;", "reg_known;"),  # a partial write
        ("take_write ? s_axi_awaddr[11:2] : s_axi_araddr[11:2]", "s_axi_awaddr[11:2]"),
        ("default: begin\n        if", "default: begin\n        s_axi_rresp <= OKAY;\n        if"),
    ],
)
def test_faults_are_seen(fault, tmp_path):
    with pytest.raises(tools.ToolError):
        prove(tmp_path, fault)
    assert "proof did fail" in (tmp_path / "proof.log").read_text()
