"""A saved view beside a waveform: what to look at first, in an order that reads like a solve."""

from pathlib import Path

from amaranth.hdl import Shape

from ohmloop_hdl.chip import Trace
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.macro.pins import MacroPins
from ohmloop_hdl.verilog import TOP

GROUPS: dict[str, tuple[str, ...]] = {
    "host": ("s_axil_awvalid", "s_axil_wvalid", "s_axil_bvalid", "s_axil_arvalid", "s_axil_rvalid", "interrupt"),
    "machine": ("trace_phase", "trace_pc", "trace_instruction", "trace_retired"),
    "array": ("macro.row", "macro.plane", "macro.write", "macro.read"),
    "loop": ("macro.autozero", "macro.close_solve", "macro.close_multiply", "macro.drive_range", "macro.sample",
             "macro.clipped"),
    "conversion": ("macro.mux", "macro.trial", "macro.above", "trace_converted", "trace_codes"),
}
"""Signals of the view by group, below the top module."""


def write_view(waveform: Path, config: ChipConfig) -> Path:
    """Write the GTKWave (and Surfer) save file ``NAME.gtkw`` beside ``waveform`` and return its path."""
    widths = {f"macro.{name}": Shape.cast(member.shape).width for name, member in MacroPins(config).members.items()}
    widths |= {f"trace_{name}": Shape.cast(member.shape).width for name, member in Trace(config).members.items()}
    lines = [f'[dumpfile] "{waveform.name}"', f'[savefile] "{waveform.stem}.gtkw"', "[timestart] 0"]
    for group, signals in GROUPS.items():
        lines += ["@200", f"-{group}"]
        for name in signals:
            width = widths.get(name, 1)
            lines += ["@28" if width == 1 else "@22", f"{TOP}.{name}" + ("" if width == 1 else f"[{width - 1}:0]")]
    view = waveform.with_suffix(".gtkw")
    view.write_text("\n".join(lines) + "\n")
    return view
