"""The address map: elaborates ``registers.rdl`` for one configuration. Gateware and driver both read it from here."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from systemrdl.compiler import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode, MemNode, RegNode
from systemrdl.rdltypes.builtin_enums import OnWriteType

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import SCALARS, VECTORS
from ohmloop_hdl.isa import PROGRAM_WORDS

RDL_FILE = Path(__file__).with_name("registers.rdl")

ADDRESS_BITS = 24
"""Width of a byte address on the host buses."""

WINDOW_LOW = 20
"""Address bits from here up choose the registers (0) or a window (1 and above)."""


@dataclass(frozen=True)
class Window:
    """A memory on the bus: byte address of its first word, words, whether it can be written, and whether a lock closes
    its read-back."""

    name: str
    address: int
    words: int
    writable: bool
    secret: bool

    @property
    def number(self) -> int:
        """What the address bits from :data:`WINDOW_LOW` up hold."""
        return self.address >> WINDOW_LOW


@dataclass(frozen=True)
class Field:
    """A register field: byte address of its register, its bits, and its reset value (0 where hardware drives it);
    whether software reads and writes it, whether it stores what is written, and what a write does (None: replaces)."""

    register: str
    name: str
    address: int
    low: int
    width: int
    reset: int
    readable: bool
    writable: bool
    stored: bool
    onwrite: OnWriteType | None

    @property
    def mask(self) -> int:
        """Bits of the register word that the field occupies."""
        return ((1 << self.width) - 1) << self.low


def rdl_parameters(config: ChipConfig) -> dict[str, int]:
    """Parameters of ``registers.rdl`` for a configuration."""
    return {
        "SIZE": config.size,
        "CELL_BITS": config.cell_bits,
        "DAC_BITS": config.dac_bits,
        "ADC_BITS": config.adc_bits,
        "ADCS": config.adcs,
        "LANES": config.lanes,
        "CODES_PER_WORD": config.codes_per_word,
        "MAP_WORDS": max(1, config.size // 32),
        "PROGRAM_WORDS": PROGRAM_WORDS,
        "VECTORS": VECTORS,
        "SCALAR_COUNT": SCALARS,
        "SLOT_COUNT": config.slots,
    }


@cache
def elaborate_rdl(config: ChipConfig) -> AddrmapNode:
    """The elaborated register description."""
    compiler = RDLCompiler()
    compiler.compile_file(str(RDL_FILE))
    root = compiler.elaborate("ohmloop", parameters={**rdl_parameters(config)})
    top = root.top
    assert isinstance(top, AddrmapNode)
    return top


@dataclass(frozen=True)
class AddressMap:
    """All registers and windows by name: ``map.fields["STATUS.halted"]``, ``map.windows["CODES"]``."""

    registers: dict[str, int]
    fields: dict[str, Field]
    windows: dict[str, Window]


@cache
def address_map(config: ChipConfig) -> AddressMap:
    """The address map of a configuration."""
    registers, fields, windows = {}, {}, {}
    for node in elaborate_rdl(config).children():
        if isinstance(node, RegNode):
            registers[node.inst_name] = node.absolute_address
            for field in node.fields():
                fields[field_key(field)] = Field(
                    node.inst_name, field.inst_name, node.absolute_address, field.low, field.width,
                    reset_value(field), field.is_sw_readable, field.is_sw_writable, field.implements_storage,
                    field.get_property("onwrite"))
        elif isinstance(node, MemNode):
            windows[node.inst_name] = Window(
                node.inst_name, node.absolute_address, node.get_property("mementries"), node.is_sw_writable,
                bool(node.get_property("secret")))
    return AddressMap(registers, fields, windows)


def field_key(field: FieldNode) -> str:
    """The name of a field among those of all registers: ``REGISTER.field``."""
    return f"{field.parent.inst_name}.{field.inst_name}"


def reset_value(field: FieldNode) -> int:
    """The reset value of a field, 0 where it has none."""
    value = field.get_property("reset")
    return value if isinstance(value, int) else 0
