"""The `.hwh` beside a `.bit`, from which PYNQ learns the address map and the clocks.

The least that pynq 3.0.1 and 3.1 read: the processing system with its clocks, and each block of the
register description as an instance of its own, so that an Overlay has `shell`, `idma0`, `odma0`
with their register maps, as FINN's overlays have their DMAs.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from flow.errors import UserError
from flow.shell.registers import Block, Map, Register

PART = ("zynq", "xc7z020", "clg400", "-1")
VERSION = "1.0"
PLL_MHZ = 1000
MAX_DIVISOR = 63


def hwh(found: Map, name: str, clock_mhz: float) -> str:
    """The text for a design `name` whose FCLK0 runs at `clock_mhz`."""
    root = ET.Element(
        "EDKSYSTEM", EDWVERSION="1.2", TIMESTAMP="", VIVADOVERSION="none", GENERATOR="hanbit"
    )
    arch, device, package, grade = PART
    ET.SubElement(
        root,
        "SYSTEMINFO",
        ARCH=arch,
        DEVICE=device,
        NAME=name,
        PACKAGE=package,
        SPEEDGRADE=grade,
    )
    ET.SubElement(root, "EXTERNALPORTS")
    ET.SubElement(root, "EXTERNALINTERFACES")
    modules = ET.SubElement(root, "MODULES")
    _processor(modules, found, clock_mhz)
    for block in found.blocks:
        _module(modules, block)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n' + ET.tostring(
        root, encoding="unicode"
    )


def divisors(clock_mhz: float) -> tuple[int, int]:
    """Two divisors of the PLL that give a clock; a UserError where none do."""
    for first in range(1, MAX_DIVISOR + 1):
        for second in range(1, first + 1):
            if abs(PLL_MHZ / (first * second) - clock_mhz) < 1e-6 * clock_mhz:
                return first, second
    raise UserError(f"FCLK0: no two divisors up to {MAX_DIVISOR} of 1000 MHz give {clock_mhz} MHz")


def _parameters(parent: ET.Element, values: dict[str, object]) -> None:
    element = ET.SubElement(parent, "PARAMETERS")
    for key, value in values.items():
        ET.SubElement(element, "PARAMETER", NAME=key, VALUE=str(value))


def _processor(modules: ET.Element, found: Map, clock_mhz: float) -> None:
    module = ET.SubElement(
        modules,
        "MODULE",
        COREREVISION="1",
        FULLNAME="/ps7",
        HWVERSION="5.5",
        INSTANCE="ps7",
        IPTYPE="PROCESSOR",
        IS_ENABLE="1",
        IS_PL="FALSE",
        MODCLASS="PROCESSOR",
        MODTYPE="processing_system7",
        NAME="ps7",
        VLNV="xilinx.com:ip:processing_system7:5.5",
    )
    first, second = divisors(clock_mhz)
    values: dict[str, object] = {}
    for n in range(4):
        values[f"PCW_FPGA_FCLK{n}_ENABLE"] = int(n == 0)
        values[f"PCW_FCLK{n}_PERIPHERAL_CLKSRC"] = "IO PLL"
        values[f"PCW_FCLK{n}_PERIPHERAL_DIVISOR0"] = first if n == 0 else 10
        values[f"PCW_FCLK{n}_PERIPHERAL_DIVISOR1"] = second if n == 0 else 1
    values["PCW_FPGA0_PERIPHERAL_FREQMHZ"] = f"{clock_mhz:g}"
    values["PCW_S_AXI_HP0_DATA_WIDTH"] = 64
    _parameters(module, values)
    ET.SubElement(module, "PORTS")
    interfaces = ET.SubElement(module, "BUSINTERFACES")
    ET.SubElement(
        interfaces, "BUSINTERFACE", BUSNAME="gp0", DATAWIDTH="32", NAME="M_AXI_GP0",
        TYPE="MASTER", VLNV="xilinx.com:interface:aximm:1.0",
    )  # fmt: skip
    memory = ET.SubElement(module, "MEMORYMAP")
    for block in found.blocks:
        base = found.base + block.offset
        ET.SubElement(
            memory,
            "MEMRANGE",
            ADDRESSBLOCK="reg0",
            BASENAME="C_BASEADDR",
            BASEVALUE=f"0x{base:08X}",
            HIGHNAME="C_HIGHADDR",
            HIGHVALUE=f"0x{base + block.size - 1:08X}",
            INSTANCE=block.name,
            IS_DATA="TRUE",
            IS_INSTRUCTION="FALSE",
            MASTERBUSINTERFACE="M_AXI_GP0",
            MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE="s_axi",
        )


def _module(modules: ET.Element, block: Block) -> None:
    module = ET.SubElement(
        modules,
        "MODULE",
        COREREVISION="1",
        FULLNAME=f"/{block.name}",
        HWVERSION=VERSION,
        INSTANCE=block.name,
        IPTYPE="PERIPHERAL",
        IS_ENABLE="1",
        IS_PL="TRUE",
        MODCLASS="PERIPHERAL",
        MODTYPE=block.name,
        NAME=block.name,
        VLNV=f"hanbit:hw:{block.name.rstrip('0')}:{VERSION}",
    )
    blocks = ET.SubElement(module, "ADDRESSBLOCKS")
    address = ET.SubElement(
        blocks, "ADDRESSBLOCK", ACCESS="read-write", INTERFACE="s_axi", NAME="reg0",
        RANGE=str(block.size), USAGE="register",
    )  # fmt: skip
    registers = ET.SubElement(address, "REGISTERS")
    for register in block.registers:
        _register(registers, register)
    _parameters(module, {})
    ET.SubElement(module, "PORTS")
    interfaces = ET.SubElement(module, "BUSINTERFACES")
    ET.SubElement(
        interfaces, "BUSINTERFACE", BUSNAME="gp0", DATAWIDTH="32", NAME="s_axi", TYPE="SLAVE",
        VLNV="xilinx.com:interface:aximm:1.0",
    )  # fmt: skip


ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only"}


def _register(parent: ET.Element, register: Register) -> None:
    entry = ET.SubElement(parent, "REGISTER", NAME=register.name)
    _properties(entry, register.text, register.offset, 32, register.access)
    ET.SubElement(entry, "PROPERTY", NAME="IS_ENABLED", VALUE="true")
    fields = ET.SubElement(entry, "FIELDS")
    for field in () if register.whole else register.fields:
        one = ET.SubElement(fields, "FIELD", NAME=field.name)
        _properties(one, field.text, field.low, field.width, field.access, "BIT_OFFSET")


def _properties(
    parent: ET.Element, text: str, offset: int, width: int, access: str, at: str = "ADDRESS_OFFSET"
) -> None:
    values = {"DESCRIPTION": text, at: offset, "SIZE" if at != "BIT_OFFSET" else "BIT_WIDTH": width}
    for key, value in (values | {"ACCESS": ACCESS[access]}).items():
        ET.SubElement(parent, "PROPERTY", NAME=key, VALUE=str(value))
