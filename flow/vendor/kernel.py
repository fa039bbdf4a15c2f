"""The accelerator shell as an XRT kernel: its arguments, and all that is made of them.

`load()` reads the table `kernel` of flow/shell/registers.toml. Of it come kernel_arguments.sv and
kernel_map.py in hw/boards/alveo (by `python -m flow.shell.generate`) and kernel.xml.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from flow.errors import UserError
from flow.paths import BOARDS
from flow.shell import registers
from flow.shell.registers import DESCRIPTION, Field, Map, Register

FOLDER = BOARDS / "alveo"
RTL = FOLDER / "kernel_arguments.sv"
MAP = FOLDER / "kernel_map.py"

CONTROL_PORT, MEMORY_PORT = "s_axi_control", "m_axi_gmem"
CLOCK, RESET, INTERRUPT = "ap_clk", "ap_rst_n", "interrupt"
DATA_BITS = 64  # of the memory port
PROTOCOL = {"CONTROL": 0x00, "GIE": 0x04, "IER": 0x08, "ISR": 0x0C}  # ap_ctrl_hs (UG1393)
FIRST = 0x10  # offset of the first argument
STEP_BITS = 4  # of the port `step`
MADE = "from flow/shell/registers.toml"


@dataclass(frozen=True)
class Argument:
    """An argument of the kernel at `offset`: one word, or two for a pointer.

    words: for each of its words the registers, as (block, register), that get a copy at a start.
    """

    name: str
    offset: int
    words: tuple[tuple[tuple[str, str], ...], ...]
    text: str

    @property
    def pointer(self) -> bool:
        return len(self.words) == 2

    @property
    def size(self) -> int:
        """Bytes."""
        return 4 * len(self.words)


@dataclass(frozen=True)
class Kernel:
    """A kernel `name` whose control port has `window` bytes, the shell's registers from `shell` on.

    start: the blocks in the order in which a start writes and starts them.
    """

    name: str
    window: int
    shell: int
    start: tuple[str, ...]
    arguments: tuple[Argument, ...]
    map: Map


def load(path: Path = DESCRIPTION) -> Kernel:
    """Read and check a description; a mistake in it is a UserError that names the argument."""
    found, body = registers.load(path), tomllib.loads(path.read_text())["kernel"]
    arguments, offset = [], FIRST
    for item in body["argument"]:
        words = tuple(tuple(_split(name) for name in word) for word in item["words"])
        arguments.append(Argument(item["name"], offset, words, item["text"]))
        offset += 4 * len(words) + 4
    kernel = Kernel(
        body["name"],
        body["window"],
        body["shell"],
        tuple(body["start"]),
        tuple(arguments),
        found,
    )
    _check(kernel)
    return kernel


def _split(name: str) -> tuple[str, str]:
    block, _, register = name.partition(".")
    return block, register


def _check(kernel: Kernel) -> None:
    def need(condition: bool, where: str, rule: str) -> None:
        if not condition:
            raise UserError(f"registers: kernel {where}: {rule}")

    end = max(b.offset + r.offset + 4 for b in kernel.map.blocks for r in b.registers)
    need(kernel.shell == kernel.window // 2, "shell", "must be half of the window")
    need(end <= kernel.shell, "shell", "the registers do not fit")
    for block in kernel.start:
        need(block in {b.name for b in kernel.map.blocks}, f"start {block}", "no such block")
    taken: set[tuple[str, str]] = set()
    for argument in kernel.arguments:
        need(len(argument.words) in (1, 2), argument.name, "must have one word or two")
        need(argument.offset + argument.size <= kernel.shell, argument.name, "does not fit")
        for target in (t for word in argument.words for t in word):
            where = f"{argument.name}: {'.'.join(target)}"
            register = _register(kernel.map, *target)
            need(
                register is not None and register.writable, where, "no register that can be written"
            )
            need(target[0] in kernel.start, where, "of a block that is not started")
            need(target not in taken, where, "written twice")
            taken.add(target)


def _register(found: Map, block: str, name: str) -> Register | None:
    blocks = [b for b in found.blocks if b.name == block]
    return next((r for b in blocks for r in b.registers if r.name == name), None)


def _index(found: Map, block: str, name: str) -> str:
    register = _register(found, block, name)
    assert register
    return f"10'd{(found.block(block).offset + register.offset) // 4}"


def _field(found: Map, block: str, register: str, name: str) -> Field:
    entry = _register(found, block, register)
    assert entry
    return next(f for f in entry.fields if f.name == name)


def systemverilog(kernel: Kernel) -> str:
    """The module that knows where arguments and the shell's registers lie."""
    found = kernel.map
    words = [
        (f"{a.name}_q[{32 * n + 31}:{32 * n}]", a.offset // 4 + n, targets, a)
        for a in kernel.arguments
        for n, targets in enumerate(a.words)
    ]
    steps = []
    for block in kernel.start:
        for value, _, targets, argument in words:
            for target in (t for t in targets if t[0] == block):
                register = _register(found, *target)
                assert register
                width = max(f.width for f in register.fields)
                if width < 32:  # what does not fit must not become another number
                    high = f"{argument.name}_q[31:{width}]"
                    value = f"(|{high} ? 32'd0 : {value})"
                steps.append((_index(found, *target), value))
        start = _field(found, block, "CONTROL", "START")
        steps.append((_index(found, block, "CONTROL"), f"32'd{start.mask}"))
    assert len(steps) <= 1 << STEP_BITS
    bits = STEP_BITS
    status = {
        name: _field(found, "shell", "STATUS", name)
        for name in ("RESETTING", "ERROR", "IDMA_BUSY", "ODMA_BUSY", "RUNNING")
    }
    busy = " || ".join(f"status[{status[n].low}]" for n in ("IDMA_BUSY", "ODMA_BUSY", "RUNNING"))
    reset = _field(found, "shell", "CONTROL", "SOFT_RESET")
    lines = [
        "// Arguments of the kernel, and where in the shell they go.",
        "//",
        f"// Generated by flow/vendor/kernel.py {MADE}, table `kernel`; a",
        "// change belongs there.",
        "// Writing word `index` takes effect at the clock edge, reading is combinational.",
        "// Step after step, `step_data` to word `step_index` of the shell is what a start means.",
        "// A count that does not fit its register becomes 0, which the shell refuses.",
        "module kernel_arguments (",
        "  input  logic        aclk,",
        "  input  logic        aresetn,",
        "  input  logic [9:0]  index,",
        "  input  logic        write,",
        "  input  logic [31:0] wdata,",
        "  output logic [31:0] rdata,",
        "",
        f"  input  logic [{bits - 1}:0]  step,",
        "  output logic [9:0]  step_index,",
        "  output logic [31:0] step_data,",
        "  output logic        step_last,",
        "",
        "  output logic [9:0]  status_index,",
        "  // verilator lint_off UNUSEDSIGNAL",
        "  input  logic [31:0] status,  // the word read there",
        "  // verilator lint_on UNUSEDSIGNAL",
        "  output logic        resetting,",
        "  output logic        failed,",
        "  output logic        busy,",
        "  output logic [9:0]  reset_index,",
        "  output logic [31:0] reset_data",
        ");",
    ]
    lines += [f"  logic [{8 * a.size - 1}:0] {a.name}_q;" for a in kernel.arguments]
    lines += ["", "  always_ff @(posedge aclk) begin"]
    lines += [f"    if (write && index == 10'd{at}) {name} <= wdata;" for name, at, _, _ in words]
    lines += ["    if (!aresetn) begin"]
    lines += [f"      {a.name}_q <= {8 * a.size}'d0;" for a in kernel.arguments]
    lines += ["    end", "  end", "", "  always_comb begin", "    unique case (index)"]
    lines += [f"      10'd{at}: rdata = {name};" for name, at, _, _ in words]
    lines += ["      default: rdata = 32'd0;", "    endcase", "  end", ""]
    lines += ["  always_comb begin", "    unique case (step)"]
    for n, (index, value) in enumerate(steps):
        lines.append(f"      {bits}'d{n}: {{step_index, step_data}} = {{{index}, {value}}};")
    lines += ["      default: {step_index, step_data} = '0;", "    endcase", "  end"]
    lines += [
        f"  assign step_last = step == {bits}'d{len(steps) - 1};",
        "",
        f"  assign status_index = {_index(found, 'shell', 'STATUS')};",
        f"  assign resetting = status[{status['RESETTING'].low}];",
        f"  assign failed = status[{status['ERROR'].low}];",
        f"  assign busy = {busy};",
        f"  assign reset_index = {_index(found, 'shell', 'CONTROL')};",
        f"  assign reset_data = 32'd{reset.mask};",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def python_map(kernel: Kernel) -> str:
    """A module of literals for the host program: no import, so that it can travel by itself."""
    lines = [
        '"""Registers of the kernel: offsets in bytes within its control port.',
        "",
        f"Generated by flow/vendor/kernel.py {MADE}; changes belong there.",
        '"""',
        "",
        f'NAME = "{kernel.name}"',
        f"WINDOW = 0x{kernel.window:X}",
        "",
        "# ap_ctrl_hs.",
        *(f"{name} = 0x{offset:02X}" for name, offset in PROTOCOL.items()),
        "",
        "# Arguments in order: offset, bytes.",
        "ARGUMENTS = {",
        *(f'    "{a.name}": (0x{a.offset:02X}, {a.size}),' for a in kernel.arguments),
        "}",
        "",
        "# The registers of the shell, which register_map.py has, lie from here on.",
        f"SHELL = 0x{kernel.shell:X}",
        "",
    ]
    return "\n".join(lines)


def xml(kernel: Kernel) -> str:
    """kernel.xml, from which package_xo and XRT learn ports and arguments (UG1393)."""
    root = ET.Element("root", versionMajor="1", versionMinor="6")
    element = ET.SubElement(
        root,
        "kernel",
        name=kernel.name,
        language="ip_c",
        vlnv=f"hanbit:kernel:{kernel.name}:1.0",
        attributes="",
        preferredWorkGroupSizeMultiple="0",
        workGroupSize="1",
        interrupt="true",
        hwControlProtocol="ap_ctrl_hs",
    )
    ports, args = ET.SubElement(element, "ports"), ET.SubElement(element, "args")
    for name, mode, span, bits in (
        (CONTROL_PORT, "slave", kernel.window, 32),
        (MEMORY_PORT, "master", (1 << 64) - 1, DATA_BITS),
    ):
        given = {"range": f"0x{span:X}", "dataWidth": str(bits), "portType": "addressable"}
        ET.SubElement(ports, "port", {"name": name, "mode": mode, **given, "base": "0x0"})
    for number, argument in enumerate(kernel.arguments):
        values: dict[str, Any] = {
            "name": argument.name,
            "addressQualifier": int(argument.pointer),
            "id": number,
            "port": MEMORY_PORT if argument.pointer else CONTROL_PORT,
            "size": f"0x{argument.size:X}",
            "offset": f"0x{argument.offset:X}",
            "type": "void*" if argument.pointer else "uint",
            "hostOffset": "0x0",
            "hostSize": f"0x{argument.size:X}",
        }
        ET.SubElement(args, "arg", {key: str(value) for key, value in values.items()})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
