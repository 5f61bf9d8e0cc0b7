"""One timeline of a recorded run: instructions, phases, switches, samples, conversions and outputs on one clock axis.

Everything that shows time is made of it: the picture on the page, the trace for Perfetto, the waveform. Clocks are
numbered from the start of the run; a bar ``[start, end)`` holds the clocks in which something is high or goes on. Where
a switch moves follows from the record and the cycle model::

    autozero    [prepared + dead, prepared + dead + autozero)                         of each closing
    close       [closed, opened)
    sample      the clock in front of its fall, at closed + clocks of the scan
    conversion  step j of M: (B_adc + 1) clocks from fall + 1 + j (B_adc + 1)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.energy.recorded import scans_of
from ohmloop.golden.assembler import disassemble
from ohmloop.golden.record import Closing
from ohmloop.golden.run import Retired, Run
from ohmloop.golden.settings import Settings
from ohmloop.report.pictures import SettlingTrace

SWITCHES = ("autozero", "close_solve", "close_multiply", "sample")
"""Control pins of the macro that are shown, named as on :class:`ohmloop_hdl.macro.pins.MacroPins`."""

OUTPUTS_SHOWN = 4
"""Outputs that pictures show."""


@dataclass(frozen=True)
class Bar:
    """Something that lasts from clock ``start`` up to, and not with, clock ``end``."""

    start: int
    end: int
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Conversion:
    """One step of the multiplexer: ADC a converts output a N/adcs + ``mux``; codes (adcs,) stand at ``end``."""

    start: int
    end: int
    mux: int
    codes: np.ndarray


@dataclass(frozen=True)
class Sample:
    """A fall of ``sample``: held voltages (N,) in volts with read noise, and whether any amplifier was at a rail."""

    clock: int
    held_V: np.ndarray
    clipped: bool


@dataclass(frozen=True)
class Transient:
    """Outputs (clocks, N) in volts after each clock of a closing, without read noise, from clock ``start`` on."""

    start: int
    volts_V: np.ndarray


@dataclass(frozen=True)
class Timeline:
    """What :func:`timeline_of` makes of a run; ``closings`` as recorded, with their ranges."""

    clocks: int
    clock_s: float
    retired: tuple[Retired, ...]
    instructions: tuple[Bar, ...]
    phases: tuple[Bar, ...]
    switches: dict[str, tuple[Bar, ...]]
    samples: tuple[Sample, ...]
    conversions: tuple[Conversion, ...]
    transients: tuple[Transient, ...]
    closings: tuple[Closing, ...]


def timeline_of(run: Run, settings: Settings, codes: np.ndarray, die: Die) -> Timeline:
    """The timeline of a recorded run.

    Parameters
    ----------
    run : Run
        Of a machine with ``record``.
    settings : Settings
        The registers that it ran under.
    codes : np.ndarray
        (N, N) signed cell codes in the arrays while the loop was closed.
    die : Die
        The chip: outputs between samples are computed once more, without noise.
    """
    record, config = run.record, die.config
    assert record is not None, "a run is recorded by Machine(..., record=True)"
    dead, autozero = max(1, settings.dead), max(1, settings.autozero)
    switches: dict[str, list[Bar]] = {name: [] for name in SWITCHES}
    samples, conversions = [], []
    for number, closing in enumerate(record.closings):
        begin = closing.prepared + dead
        switches["autozero"].append(Bar(begin, begin + autozero, "autozero"))
        name = "close_multiply" if closing.multiply else "close_solve"
        where = f"feedback {closing.feedback}" if closing.multiply else f"drive range {closing.drive_range}"
        switches[name].append(Bar(closing.closed, closing.opened, name,
                                  f"closing {number + 1}, {where}, bandwidth {closing.bandwidth}"))
        for scan in scans_of(run, closing):
            fall, step = closing.closed + scan.clock, config.adc_bits + 1
            switches["sample"].append(Bar(fall - 1, fall, "sample", f"{scan.clock} clocks after closing"))
            samples.append(Sample(fall, scan.held_V, scan.clipped))
            for mux in range(config.mux_steps):
                start = fall + 1 + mux * step
                conversions.append(Conversion(start, start + step, mux, scan.codes[mux::config.mux_steps]))
    return Timeline(
        clocks=record.clocks,
        clock_s=die.params.clock_s,
        retired=tuple(run.retired),
        instructions=tuple(_instructions(run)),
        phases=tuple(Bar(span.start, span.end, span.phase.name.lower()) for span in record.spans),
        switches={name: tuple(bars) for name, bars in switches.items()},
        samples=tuple(samples),
        conversions=tuple(conversions),
        transients=tuple(_transients(record.closings, codes, die)),
        closings=tuple(record.closings),
    )


def _instructions(run: Run) -> Iterator[Bar]:
    """Bars of instructions that retired, and of the one that a trap stopped."""
    start = 0
    for retired in run.retired:
        wrote = f", wrote {retired.result.register}" if retired.result else ""
        yield Bar(start, retired.cycles, disassemble(retired.instruction), f"address {retired.pc}{wrote}")
        start = retired.cycles
    if start < run.cycles:
        yield Bar(start, run.cycles, f"trap {run.trap.name.lower()}", f"address {run.pc}")


def _transients(closings: list[Closing], codes: np.ndarray, die: Die) -> Iterator[Transient]:
    """The outputs of every closing, computed clock by clock on a copy of the chip.

    Without noise, and without rails, which the chip only judges at its samples; what is beyond a rail is shown at it.
    """
    macro = NumpyMacro(replace(die, params=replace(die.params, read_noise_V=0.0, rail_V=1e9)))
    for row, line in enumerate(codes):
        for plane, sign in ((0, 1), (1, -1)):
            macro.write_row(plane, row, np.maximum(sign * line, 0))
    swing_V = die.params.swing_V
    for closing in closings:
        macro.set_bandwidth(closing.bandwidth)
        macro.autozero()
        macro.close(closing.multiply, closing.dac, closing.drive_range, closing.feedback)
        volts = []
        for _ in range(closing.opened - closing.closed - 1):
            macro.advance(1)
            volts.append(macro.hold()[0])
        macro.open()
        yield Transient(closing.closed + 1, np.clip(np.nan_to_num(volts), -swing_V, swing_V))


def shown_outputs(count: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` outputs out of the first ``count``, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def settling_of(timeline: Timeline, outputs: np.ndarray) -> SettlingTrace | None:
    """Some outputs of the last closing; None where the loop never closed."""
    if not timeline.transients or not len(outputs):
        return None
    closing, transient = timeline.closings[-1], timeline.transients[-1]
    volts_V = np.vstack([np.zeros(len(outputs)), transient.volts_V[:, outputs]])
    return SettlingTrace(
        times_s=np.arange(len(volts_V)) * timeline.clock_s, volts_V=volts_V,
        labels=tuple(f"output {i}" for i in outputs),
        samples_s=tuple((sample.clock - closing.closed) * timeline.clock_s for sample in timeline.samples
                        if sample.clock > closing.closed))
