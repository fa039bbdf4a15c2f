"""What is staged for Vivado and Vitis: complete, and its parts say the same.

Scripts run in a Tcl interpreter that records the commands of Vivado. That Vivado takes them cannot
be tested here.
"""

import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from graphs import mlp, randomly_folded
from vendor_tools import TclError, commands, items

from flow.errors import UserError
from flow.implement import boards
from flow.rtl.codegen import generate
from flow.shell import registers
from flow.vendor import alveo, kernel, packaging, vivado

PYNQ, U250, U50 = (boards.load(name) for name in ("pynq-z2", "alveo-u250", "alveo-u50"))
KERNEL = kernel.load()


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    folded = randomly_folded(mlp(3), 3).with_folding({"fc1": {"ram_style": "block"}})
    return generate(folded, tmp_path_factory.mktemp("rtl"))


@pytest.fixture(scope="module")
def project(design, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vivado")
    vivado.stage(design, PYNQ, folder, 100.0)
    return folder


@pytest.fixture(scope="module", params=["alveo-u250", "alveo-u50"])
def card(design, tmp_path_factory, request) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    alveo.stage(design, boards.load(request.param), folder)
    return folder


def called(found, name):
    """The arguments of the only call of a command."""
    matching = [c[1:] for c in found if c[0] == name]
    assert len(matching) == 1, (name, matching)
    return matching[0]


def option(arguments, name):
    return arguments[arguments.index(name) + 1]


def module_ports(path):
    """Direction, range and name of all ports of a Verilog top."""
    text = path.read_text().split(");")[0]
    return re.findall(r"^ *(input|output) wire (\[\d+:0\])? *(\w+)", text, re.M)


# The way through Vivado.


def test_build_script_reads_the_sources_of_the_open_flow(project, design, tmp_path):
    found = commands(project / "build.tcl", str(tmp_path))
    sources = project / "sources"
    assert ["cd", str(sources)] in found
    files = items(called(found, "read_verilog")[1])
    assert files == (sources / "files.f").read_text().split()
    memories = items(called(found, "read_mem")[0])
    assert sorted(memories) == sorted(m.file for m in design.memories)
    assert all((sources / name).is_file() for name in (*files, *memories))
    synthesis = called(found, "synth_design")
    body = json.loads((sources / "parameters.json").read_text())
    assert option(synthesis, "-top") == body["top"] == "pynq_z2"
    assert option(synthesis, "-part") == PYNQ.part
    given = dict(x.split("=") for x in items(option(synthesis, "-generic")))
    values = {k: int(v.removeprefix("32'h"), 16 if "'h" in v else 10) for k, v in given.items()}
    assert values == body["parameters"]


def test_build_script_has_the_constraints_of_the_open_flow(project, tmp_path):
    found = commands(project / "build.tcl", str(tmp_path))
    xdc = Path(called(found, "read_xdc")[0])
    assert xdc.read_text() == PYNQ.constraints.read_text()
    assert option(called(found, "create_clock"), "-period") == "10.000"
    nets = [c[2] for c in found if c[0] == "get_nets"]
    assert nets == list(PYNQ.slow)
    cycles = [(c[1], c[2]) for c in found if c[0] == "set_multicycle_path"]
    assert cycles == [("8", "-setup"), ("7", "-hold")] * len(PYNQ.slow)


def test_build_script_in_order_into_the_folder_asked_for(project, tmp_path):
    out = tmp_path / "results"
    found = commands(project / "build.tcl", str(out))
    assert out.is_dir()
    steps = ["synth_design", "opt_design", "place_design", "route_design", "write_bitstream"]
    order = [c[0] for c in found if c[0] in steps]
    assert order == steps
    files = {Path(option(c, "-file")) for c in found if c[0].startswith("report_")}
    wanted = ("utilization.rpt", "hierarchy.rpt", "timing_summary.rpt", "drc.rpt")
    assert files == {out / name for name in wanted}
    assert called(found, "write_bitstream")[-1] == str(out / "design.bit")
    assert "-bin_file" in called(found, "write_bitstream")
    names = [c[0] for c in found]
    assert names.index("create_clock") > names.index("synth_design")
    assert names.index("report_utilization") > names.index("route_design")


def test_a_slower_clock_is_one_that_the_board_makes(design, tmp_path):
    vivado.stage(design, PYNQ, tmp_path, 99.0)
    found = commands(tmp_path / "build.tcl", str(tmp_path / "out"))
    assert option(called(found, "create_clock"), "-period") == "11.000"


# Packaging, as an IP and as a kernel.


def check_package(found, folder, name, ports):
    """What is common to both: files, top, buses, clocks."""
    files = [Path(f) for f in items(called(found, "add_files")[1])]
    assert all(f.is_file() and f.parent == folder / "sources" for f in files)
    assert {f.name for f in files} >= {"hanbit.v", "hanbit_kernel.sv", "top.sv"}
    assert {f.name for f in files if f.suffix == ".mem"} == {
        f.name for f in (folder / "sources").glob("*.mem")
    }
    tops = [c for c in found if c[:2] == ["set_property", "top"]]
    assert [c[2] for c in tops] == [name]
    buses = {"s_axi_control", "m_axi_gmem"}
    clocked = {
        option(c, "-busif"): option(c, "-clock")
        for c in found
        if c[0] == "ipx::associate_bus_interfaces" and "-busif" in c
    }
    assert clocked == dict.fromkeys(buses, "ap_clk")
    resets = [c for c in found if c[0] == "ipx::associate_bus_interfaces" and "-reset" in c]
    assert [option(c, "-reset") for c in resets] == ["ap_rst_n"]
    assert {"ap_clk", "ap_rst_n"} <= {p[2] for p in ports}
    assert buses == {p[2].rpartition("_")[0] for p in ports if "_axi_" in p[2]}


def offsets(found):
    """Registers as the script adds them: name -> (offset, bits)."""
    names = [c[1] for c in found if c[0] == "ipx::add_register"]
    where = [int(c[2], 16) for c in found if c[:2] == ["set_property", "address_offset"]]
    bits = [int(c[2]) for c in found if c[:2] == ["set_property", "size"]]
    return dict(zip(names, zip(where, bits, strict=True), strict=True))


def test_ip_for_a_block_design(project):
    folder = project / "ip"
    found = commands(folder / "package.tcl")
    ports = module_ports(folder / "sources" / "hanbit.v")
    check_package(found, folder, "hanbit", ports)
    assert ("output", "[31:0]", "m_axi_gmem_araddr") in ports
    shell = registers.load()
    want = {
        f"{b.name}_{r.name}": (b.offset + r.offset, 32) for b in shell.blocks for r in b.registers
    }
    assert offsets(found) == want
    assert not any(c[0] == "package_xo" for c in found)
    assert ".AP_CTRL(0)" in (folder / "sources" / "hanbit.v").read_text()


def test_kernel_package(card):
    found = commands(card / "package.tcl")
    ports = module_ports(card / "sources" / "hanbit.v")
    check_package(found, card, "hanbit", ports)
    xo = called(found, "package_xo")
    assert option(xo, "-kernel_name") == KERNEL.name == "hanbit"
    assert Path(option(xo, "-kernel_xml")) == card / "kernel.xml"
    assert Path(option(xo, "-ip_directory")) == Path(
        option(called(found, "ipx::package_project"), "-root_dir")
    )
    assert ["set_property", "sdx_kernel", "true", "thing"] in found
    arguments = {a.name: (a.offset, 8 * a.size) for a in KERNEL.arguments}
    control = {name: (offset, 32) for name, offset in kernel.PROTOCOL.items()}
    assert offsets(found) == control | arguments
    pointers = [c for c in found if c[0] == "ipx::add_register_parameter"]
    assert len(pointers) == sum(a.pointer for a in KERNEL.arguments) == 2
    assert ".AP_CTRL(1)" in (card / "sources" / "hanbit.v").read_text()


def test_a_missing_bus_stops_the_packaging(card):
    """The script's own check: without the interface there would be an IP of no use."""
    script = card / "package.tcl"
    broken = card / "broken.tcl"
    broken.write_text(
        "proc ipx::get_bus_interfaces {args} {return {}}\n".join(
            ["namespace eval ipx {}\n", script.read_text()]
        )
    )
    with pytest.raises(TclError, match="no bus interface s_axi_control"):
        commands(broken)


def test_verilog_top_has_the_ports_and_parameters_of_the_kernel(card):
    text = (card / "sources" / "hanbit.v").read_text()
    ports = module_ports(card / "sources" / "hanbit.v")
    kernel_text = packaging.TOP_FILE.read_text()
    header = kernel_text.partition("\n) (\n")[2].partition("\n);\n")[0]
    names = re.findall(r"^  (?:input|output) +logic .*?(\w+),?(?: +//.*)?$", header, re.M)
    assert [p[2] for p in ports] == names
    assert all(f".{name}({name})" in text for name in names)
    body = json.loads((card / "sources" / "parameters.json").read_text())
    assert body["top"] == "hanbit_kernel"
    for key, value in body["parameters"].items():
        want = f"32'h{value:08X}" if key == "BUILD" else str(value)
        assert f".{key}({want})" in text
    for key in re.findall(r"parameter +(?:int unsigned|logic \[31:0\]) +(\w+)", kernel_text):
        assert f".{key}(" in text, f"{key} would keep its default"
    assert ("output", "[63:0]", "m_axi_gmem_awaddr") in ports


# The kernel's description.


def test_kernel_xml_agrees_with_ports_and_registers(card):
    root = ET.fromstring((card / "kernel.xml").read_text().encode())
    element = root.find("kernel")
    assert element.get("name") == "hanbit" and element.get("hwControlProtocol") == "ap_ctrl_hs"
    ports = {p.get("name"): p for p in element.iter("port")}
    widths = {p[2]: int(p[1][1:].split(":")[0]) + 1 if p[1] else 1 for p in module_ports(
        card / "sources" / "hanbit.v"
    )}  # fmt: skip
    for name, mode, data in (("s_axi_control", "slave", 32), ("m_axi_gmem", "master", 64)):
        assert ports[name].get("mode") == mode
        assert int(ports[name].get("dataWidth")) == data == widths[f"{name}_wdata"]
    assert int(ports["s_axi_control"].get("range"), 16) == 1 << widths["s_axi_control_awaddr"]
    rtl = kernel.RTL.read_text()
    for number, arg in enumerate(element.iter("arg")):
        assert int(arg.get("id")) == number
        offset, size = int(arg.get("offset"), 16), int(arg.get("size"), 16)
        assert (arg.get("addressQualifier") == "1") == (arg.get("port") == "m_axi_gmem")
        for word in range(size // 4):
            span = f"{arg.get('name')}_q[{32 * word + 31}:{32 * word}]"
            assert f"10'd{offset // 4 + word}: rdata = {span};" in rtl
        after = f"10'd{(offset + size) // 4}: rdata"
        assert after not in rtl, "a reserved word follows each argument"


def test_host_map_agrees_with_kernel_xml(card):
    found: dict = {}
    exec((card / "kernel_map.py").read_text(), found)
    root = ET.fromstring((card / "kernel.xml").read_text().encode())
    args = {
        a.get("name"): (int(a.get("offset"), 16), int(a.get("size"), 16)) for a in root.iter("arg")
    }
    assert found["ARGUMENTS"] == args and list(found["ARGUMENTS"]) == list(args)
    assert found["NAME"] == root.find("kernel").get("name")
    assert (found["SHELL"], found["WINDOW"]) == (KERNEL.shell, KERNEL.window)


def test_a_start_writes_every_register_of_both_dmas(card):
    rtl = (card / "sources" / "kernel_arguments.sv").read_text()
    shell = registers.load()
    steps = [int(x) for x in re.findall(r"\{step_index, step_data\} = \{10'd(\d+)", rtl)]
    want = []
    for name in ("odma0", "idma0"):
        block = shell.block(name)
        at = {r.name: (block.offset + r.offset) // 4 for r in block.registers}
        want += [at[n] for n in ("ADDRESS_LOW", "ADDRESS_HIGH", "BATCH", "CONTROL")]
    assert steps == want


def test_link_script_and_configuration(card):
    board = U250 if "u250" in card.name else U50
    text = (card / "link.cfg").read_text()
    assert f"platform={board.platform}\n" in text and "kernel_frequency=300\n" in text
    assert f"nk={KERNEL.name}:1:{KERNEL.name}_1\n" in text
    memory = "DDR[0]" if board is U250 else "HBM[0]"
    assert f"sp={KERNEL.name}_1.m_axi_gmem:{memory}\n" in text
    script = (card / "build.sh").read_text()
    assert subprocess.run(["sh", "-n", str(card / "build.sh")], check=False).returncode == 0
    assert "hanbit.xo" in script and "--config link.cfg" in script
    # Options before any section: a section's name ends them.
    assert text.index("kernel_frequency") < text.index("[connectivity]")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('["odma0.ADDRESS_HIGH"]', '["odma0.ADDRESS_TOP"]', "no register that can be written"),
        ('["odma0.ADDRESS_HIGH"]', '["shell.TIMEOUT"]', "of a block that is not started"),
        ('["odma0.ADDRESS_HIGH"]', '["odma0.ADDRESS_LOW"]', "written twice"),
        ("shell = 0x800", "shell = 0x100", "must be half of the window"),
        ('start = ["odma0"', 'start = ["odma1"', "no such block"),
    ],
)
def test_mistakes_in_the_description_are_named(tmp_path, old, new, says):
    text = registers.DESCRIPTION.read_text()
    assert old in text
    path = tmp_path / "registers.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=says):
        kernel.load(path)


def test_toolchains_of_a_board():
    assert (PYNQ.toolchain, U50.toolchain) == ("open", "vitis")
    assert boards.built_with(PYNQ, "vivado").toolchain == "vivado"
    assert boards.built_with(U50, None) == U50
    with pytest.raises(UserError, match=r"'vivado' does not build for board alveo-u50; .*: vitis"):
        boards.built_with(U50, "vivado")
    with pytest.raises(
        UserError, match=r"'vitis' does not build for board pynq-z2; .*open, vivado"
    ):
        boards.built_with(PYNQ, "vitis")
