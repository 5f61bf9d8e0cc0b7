"""From chip to Verilog: canonical port names, no machine paths, the same text every time."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Instance, Module, Signal, Value
from amaranth.hdl._ir import PortDirection  # the only private import: named flat ports need it
from amaranth.lib import wiring

from ohmloop_hdl.chip import Chip
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.macro.pins import MacroPins

TOP = "ohmloop"
"""Module name of the chip."""

MACRO = "ohmloop_macro"
"""Module name of the analogue macro; its bodies are interchangeable."""

MACRO_SOURCES = ("ohmloop_macro.sv", "ohmloop_contract.sv")
"""The real-number body and the checker that rides along in it."""

MACRO_C = "ohmloop_macro.c"
"""The arithmetic of the real-number body once more in C, for simulators with DPI-C."""

MACRO_DPI = "OHMLOOP_DPI"
"""Preprocessor name that makes the real-number body call :data:`MACRO_C`."""

MACRO_SHELL = "ohmloop_shell.sv"
"""The macro without a body, in place of the first of :data:`MACRO_SOURCES`, for one that drives it from outside."""

BLACK_BOX = "blackbox.v"
"""The macro for a synthesis flow: pins and nothing else."""

PREFIXES = {"axil": "s_axil", "wishbone": "s_wb", "spi": "spi"}
"""What the port names of each host bus begin with."""

WAIVERS = "generated.vlt"
"""Verilator warnings that are waived in the generated chip, with the reasons."""


REAL_FLAGS = ("-ffp-contract=off",)
"""Flags for the compiler of C and of what a simulator makes of SystemVerilog: with fused multiply-add real numbers
differ from one simulator to the other in their last bits."""


@dataclass(frozen=True)
class MacroBuild:
    """What a simulator must be given for the real-number macro."""

    sources: tuple[str, ...]
    """Files of the package ``ohmloop_hdl.macro``, in the order to read them."""

    defines: tuple[str, ...]
    """Preprocessor names to define."""


def macro_build(dpi: bool) -> MacroBuild:
    """The real-number macro, with its arithmetic in C (``dpi``, for a simulator with DPI-C) or in SystemVerilog.

    Both give the same bits when compiled with :data:`REAL_FLAGS`.
    """
    return MacroBuild((*MACRO_SOURCES, MACRO_C), (MACRO_DPI,)) if dpi else MacroBuild(MACRO_SOURCES, ())


class _Top(Elaboratable):
    """The chip with its macro, and the one clock domain of both."""

    def __init__(self, config: ChipConfig, host: str):
        self.config = config
        self.chip = Chip(config, host)
        self.clk, self.rst = Signal(name="clk"), Signal(name="rst")

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = sync = ClockDomain()
        sync.clk, sync.rst = self.clk, self.rst
        m.submodules.chip = self.chip
        config = self.config
        pins = {}
        for name, member in MacroPins(config).members.items():
            direction = "i" if member.flow == wiring.Out else "o"
            pins[f"{direction}_{name}"] = getattr(self.chip.macro, name)
        m.submodules.macro = Instance(
            MACRO,
            p_N=config.size, p_CELL_BITS=config.cell_bits, p_DAC_BITS=config.dac_bits, p_ADC_BITS=config.adc_bits,
            p_ADCS=config.adcs,
            i_clk=ClockSignal(), **pins)
        return m


def _ports(top: _Top) -> dict[str, tuple[Value, PortDirection]]:
    chip = top.chip
    ports: dict[str, tuple[Value, PortDirection]] = {
        "clk": (top.clk, PortDirection.Input),
        "rst": (top.rst, PortDirection.Input),
        "interrupt": (Value.cast(chip.interrupt), PortDirection.Output),
    }
    for prefix, interface in ((PREFIXES[chip.host], getattr(chip, chip.host)), ("s_axis", chip.source),
                              ("m_axis", chip.sink), ("trace", chip.trace)):
        for name, member in interface.signature.members.items():
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            port = f"{prefix}_{name}"
            if chip.host == "wishbone" and prefix == PREFIXES["wishbone"]:
                port = _wishbone_port(name, direction)
            ports[port] = (Value.cast(getattr(interface, name)), direction)
    return ports


def _wishbone_port(name: str, direction: PortDirection) -> str:
    """Wishbone names data by its direction at the port, and every port by it once more."""
    suffix = "i" if direction is PortDirection.Input else "o"
    return f"{PREFIXES['wishbone']}_{name.removesuffix('_w').removesuffix('_r')}_{suffix}"


@cache
def chip_verilog(config: ChipConfig, host: str = "axil") -> str:
    """Verilog of the chip with a host bus (:data:`ohmloop_hdl.chip.HOSTS`), module :data:`TOP`, with an instance of
    :data:`MACRO` inside."""
    top = _Top(config, host)
    text = verilog.convert(top, name=TOP, ports=_ports(top), strip_internal_attrs=True)
    return _woken(_blank(_placeless(text)))


def _placeless(text: str) -> str:
    """Without the places in the source, which Amaranth leaves on memories: they are paths of this machine."""
    return re.sub(r'^ *\(\* src = "[^"]*" \*\)\n', "", text, flags=re.MULTILINE)


def _blank(text: str) -> str:
    """Without initial contents of memories: the chip wipes them itself, and they were two thirds of the lines."""
    return re.sub(r"^  initial begin\n(?:    \S+\[\d+\] = \S+;\n)+  end\n", "", text, flags=re.MULTILINE)


_WAKER = r"\\\$auto\$verilog_backend\S+ "
"""Name of the register that wakes the blocks of a module."""


def _woken(text: str) -> str:
    """Make every ``always @*`` run once at time zero.

    Yosys wakes each of them with a register of its own that is declared with an initial value. Icarus sets declared
    values before any process waits, so there is no event, and a block whose inputs stay as they began stays unknown.
    A nonblocking assignment comes after every process has started. Blocks of one assignment, which Yosys makes for the
    rest of a signal that another block drives in part, have no waker and get that of their module.
    """
    text = re.sub(rf"^  reg ({_WAKER}+)= 0;$", r"  reg \1;\n  initial \1<= 0;", text, flags=re.MULTILINE)
    return "".join(_single_woken(module) for module in re.split(r"(?<=\nendmodule\n)", text))


def _single_woken(module: str) -> str:
    waker = re.search(rf"^  reg ({_WAKER})", module, re.MULTILINE)
    if waker is None:
        return module
    return re.sub(r"^  always @\*\n    (.*;)$", lambda block: (
        f"  always @* begin\n    if ({waker[1]}) begin end\n    {block[1]}\n  end"), module, flags=re.MULTILINE)


def write_project(config: ChipConfig, out: Path, host: str = "axil") -> list[Path]:
    """Write everything a simulator or a synthesis flow needs for ``config`` into the folder ``out``.

    The chip, the black box and the empty shell of the macro and the real-number macro with its checker, the Verilator
    waivers of generated code, and ``files.f``, the list of simulation sources (relative to its own folder);
    ``files_dpi.f`` is the same with the arithmetic of the macro in C. Returns the paths written.
    """
    out.mkdir(parents=True, exist_ok=True)
    texts = {f"{TOP}.v": chip_verilog(config, host)}
    macro = (*macro_build(dpi=True).sources, MACRO_SHELL, BLACK_BOX)
    for package, names in (("ohmloop_hdl.macro", macro), ("ohmloop_hdl", (WAIVERS,))):
        texts |= {name: files(package).joinpath(name).read_text() for name in names}
    for name, build in (("files.f", macro_build(dpi=False)), ("files_dpi.f", macro_build(dpi=True))):
        defines = (f"+define+{define}" for define in build.defines)
        texts[name] = "".join(f"{line}\n" for line in (*defines, WAIVERS, *build.sources, f"{TOP}.v"))
    for name, text in texts.items():
        (out / name).write_text(text)
    return [out / name for name in texts]
