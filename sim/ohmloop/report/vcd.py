"""The timeline as a waveform: a VCD file with analogue signals as ``real``, and a saved view for GTKWave.

===================================== ==================================================================================
``machine.phase``, ``phase_name``     what the machine is doing, by number and by name
``machine.pc``, ``instruction``       of the instruction that runs, with its text in ``text``
``loop.*``                            switches, and the settings that a closing was closed with
``conversion.mux``, ``code_<i>``      step of the multiplexer, and the code of output i as it is stored
``analog.output_V_<i>``               output i after each clock, without read noise, 0 while the loop is open
``analog.held_V_<i>``                 output i as held at the last fall of ``sample``, with read noise
===================================== ==================================================================================
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vcd import VCDWriter
from vcd.gtkw import GTKWFlag, GTKWSave

from ohmloop.report.timeline import SWITCHES, Timeline
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase

SCOPE = "ohmloop"
STEP_V = 1e-5
"""An output that moves less between two clocks is not written anew; a 128th of a code's step at 8 bits and more."""

VIEWED_OUTPUTS = 4
"""Outputs in the saved view; the waveform holds all."""

_CHANGE = tuple[int, str, Any]


def write_waveform(path: Path, timeline: Timeline, config: ChipConfig) -> Path:
    """Write the waveform to ``path``, and the saved view beside it as ``.gtkw``, whose path is returned.

    Time is in picoseconds; clock c begins at c times the period.
    """
    period = round(timeline.clock_s * 1e12)
    sizes = _signals(config)
    with path.open("w", encoding="ascii") as file:
        writer = VCDWriter(file, timescale="1 ps", date="", version="ohmloop report")
        variables = {}
        for name, (kind, size, init) in sizes.items():
            scope, _, signal = name.partition(".")
            variables[name] = writer.register_var(f"{SCOPE}.{scope}", signal, kind, size, init)
        # The sort keeps the order of changes in one clock: a bar that ends stands before one that begins.
        for clock, name, value in sorted(_changes(timeline, config), key=lambda change: change[0]):
            writer.change(variables[name], clock * period, value)
        writer.close(timeline.clocks * period)
    view = path.with_suffix(".gtkw")
    _write_view(view, path, sizes)
    return view


def _signals(config: ChipConfig) -> dict[str, tuple[str, int | None, Any]]:
    """Kind, size and first value of every signal."""
    sizes: dict[str, tuple[str, int | None, Any]] = {
        "machine.phase": ("reg", 4, 0), "machine.phase_name": ("string", None, "idle"), "machine.pc": ("reg", 8, 0),
        "machine.instruction": ("reg", 32, 0), "machine.text": ("string", None, "idle")}
    sizes |= {f"loop.{name}": ("wire", 1, 0) for name in SWITCHES}
    sizes |= {"loop.drive_range": ("reg", 3, 0), "loop.feedback": ("reg", 2, 0), "loop.bandwidth": ("reg", 2, 0),
              "conversion.mux": ("reg", config.mux_bits, 0)}
    for i in range(config.size):
        sizes |= {f"conversion.code_{i}": ("integer", 32, 0), f"analog.output_V_{i}": ("real", 64, 0.0),
                  f"analog.held_V_{i}": ("real", 64, 0.0)}
    return sizes


def _changes(timeline: Timeline, config: ChipConfig) -> Iterator[_CHANGE]:
    """All changes: those of one signal in order of time."""
    for bar in timeline.phases:
        yield bar.start, "machine.phase", Phase[bar.name.upper()].value
        yield bar.start, "machine.phase_name", bar.name
    yield timeline.clocks, "machine.phase", Phase.IDLE.value
    yield timeline.clocks, "machine.phase_name", "idle"
    for bar, retired in zip(timeline.instructions, timeline.retired, strict=False):
        yield bar.start, "machine.pc", retired.pc
        yield bar.start, "machine.instruction", retired.instruction
    for bar in timeline.instructions:
        yield bar.start, "machine.text", bar.name
    yield timeline.clocks, "machine.text", "idle"
    for name, bars in timeline.switches.items():
        for bar in bars:
            yield bar.start, f"loop.{name}", 1
            yield bar.end, f"loop.{name}", 0
    for closing in timeline.closings:
        yield closing.closed, "loop.drive_range", closing.drive_range
        yield closing.closed, "loop.feedback", closing.feedback
        yield closing.closed, "loop.bandwidth", closing.bandwidth
    for step in timeline.conversions:
        yield step.start, "conversion.mux", step.mux
        for adc, code in enumerate(step.codes):
            yield step.end, f"conversion.code_{adc * config.mux_steps + step.mux}", int(code)
    for sample in timeline.samples:
        for i, held_V in enumerate(sample.held_V):
            yield sample.clock, f"analog.held_V_{i}", float(held_V)
    yield from _outputs(timeline)


def _outputs(timeline: Timeline) -> Iterator[_CHANGE]:
    for transient in timeline.transients:
        for i, volts_V in enumerate(transient.volts_V.T):
            last_V = 0.0
            for clock, value_V in enumerate(volts_V, transient.start):
                if abs(value_V - last_V) >= STEP_V:
                    last_V = float(value_V)
                    yield clock, f"analog.output_V_{i}", last_V
            yield transient.start + len(volts_V), f"analog.output_V_{i}", 0.0


def _write_view(view: Path, waveform: Path, sizes: dict[str, tuple[str, int | None, Any]]) -> None:
    """What to look at first: instructions, switches, conversions, a few outputs drawn as curves."""
    outputs = [i for i in range(VIEWED_OUTPUTS) if f"analog.output_V_{i}" in sizes]
    groups = {
        "machine": ["machine.text", "machine.phase_name", "machine.pc"],
        "loop": [*(f"loop.{name}" for name in SWITCHES), "loop.drive_range", "loop.bandwidth"],
        "conversion": ["conversion.mux", *(f"conversion.code_{i}" for i in outputs)],
        "analog": [name for i in outputs for name in (f"analog.output_V_{i}", f"analog.held_V_{i}")],
    }
    with view.open("w", encoding="ascii") as file:
        save = GTKWSave(file)
        save.dumpfile(waveform.name, abspath=False)
        save.savefile(view.name, abspath=False)
        save.timestart(0)
        for group, names in groups.items():
            with save.group(group):
                for name in names:
                    _view_signal(save, name, *sizes[name][:2])


def _view_signal(save: GTKWSave, name: str, kind: str, size: int | None) -> None:
    full = f"{SCOPE}.{name}"
    if kind == "real":
        save.trace(full, datafmt="real", extraflags=GTKWFlag.analog_interpolated | GTKWFlag.analog_fullscale)
        save.blank(analog_extend=True)
        save.blank(analog_extend=True)
    elif kind == "string":
        save.trace(full, datafmt="ascii")
    elif kind == "integer":
        save.trace(f"{full}[31:0]", datafmt="signed")
    else:
        save.trace(full if size == 1 else f"{full}[{(size or 1) - 1}:0]", datafmt="dec")
