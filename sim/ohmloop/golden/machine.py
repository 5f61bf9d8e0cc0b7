"""The golden machine: runs programs bit for bit and clock for clock as the chip must."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace

import numpy as np

from ohmloop.analog.cells import planes_of
from ohmloop.analog.converters import adc_levels, convert, threshold_distance
from ohmloop.analog.macro import NumpyMacro
from ohmloop.errors import NotSolvedError
from ohmloop.golden import cycles
from ohmloop.golden.convert import input_codes, result_codes, result_mantissas
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN, VECTORS
from ohmloop_hdl.host.map import address_map
from ohmloop_hdl.isa import HALT, INV, MUL, PROG, PROGRAM_WORDS, decode
from ohmloop_hdl.macro.pins import DRIVE_RANGES, FEEDBACKS
from ohmloop_hdl.sequencer.traps import TrapCause

RUN_LIMIT_CLOCKS = 1 << 28
"""Clocks after which a run is given up: one INV with every attempt at the longest time-out takes half of it."""


@dataclass
class Settings:
    """The configuration registers that a program runs under; names and resets are those of ``registers.rdl``.

    ``loop_size`` and ``vector_size`` in elements, ``*_interval``, ``timeout``, ``dead``, ``autozero`` and
    ``write_cycles`` in clocks, ``tolerance`` in LSB, ``bandwidth``, ``drive_range`` and ``feedback`` as switch codes.
    """

    loop_size: int
    vector_size: int
    solve_interval: int
    multiply_interval: int
    timeout: int
    tolerance: int
    dead: int
    autozero: int
    write_cycles: int
    retries: int
    bad_limit: int
    bandwidth: int
    drive_range: int
    feedback: int

    @classmethod
    def reset(cls, config: ChipConfig, **changes: int) -> "Settings":
        """The reset values of the registers, with ``changes``."""
        table = address_map(config).fields
        values = {name: table[SETTING_FIELDS[name]].reset for name in SETTING_FIELDS}
        return cls(**(values | changes))

    def copy(self) -> "Settings":
        """A copy to run with: auto-ranging moves the ranges."""
        return replace(self)


SETTING_FIELDS = {
    "loop_size": "SIZES.loop_size",
    "vector_size": "SIZES.vector_size",
    "solve_interval": "SOLVE_INTERVAL.clocks",
    "multiply_interval": "MULTIPLY_INTERVAL.clocks",
    "timeout": "TIMEOUT.clocks",
    "tolerance": "TOLERANCE.lsb",
    "dead": "SWITCHES.dead",
    "autozero": "SWITCHES.autozero",
    "write_cycles": "ARRAY.write_cycles",
    "retries": "ARRAY.retries",
    "bad_limit": "ARRAY.bad_limit",
    "bandwidth": "BANDWIDTH.k",
    "drive_range": "RANGES.drive_range",
    "feedback": "RANGES.feedback",
}
"""The register field behind each setting."""

assert set(SETTING_FIELDS) == {f.name for f in fields(Settings)}


@dataclass
class Scan:
    """One scan of all outputs: clocks since closing, held voltages (N,), stored codes (N,)."""

    clock: int
    held_V: np.ndarray
    codes: np.ndarray

    def ties(self, levels_V: np.ndarray, within_lsb: float = 1e-6) -> np.ndarray:
        """Outputs whose held voltage is so close to a threshold that rounding may decide the code."""
        return threshold_distance(self.held_V, levels_V) < within_lsb


@dataclass
class Run:
    """What a run did: how it stopped, and everything that the chip's trace and registers must show."""

    trap: TrapCause = TrapCause.NONE
    halt_code: int = 0
    pc: int = 0
    phases: Counter[Phase] = field(default_factory=Counter)
    scans: list[Scan] = field(default_factory=list)

    @property
    def cycles(self) -> int:
        """Clocks from start to halt."""
        return self.phases.total()


class _Trap(Exception):
    def __init__(self, cause: TrapCause):
        self.cause = cause


class Machine:
    """The chip's digital half in integers, around a numpy macro.

    Parameters
    ----------
    config : ChipConfig
        The same as the macro's.
    macro : NumpyMacro
        A die of its own: its noise and its arrays have a history.

    State, as the windows show it: ``program`` (256,), ``mantissas`` (16, N), ``exponents`` (16,), ``codes`` (N, N)
    signed, ``bad_map`` (N, N) of bool, and ``settings``.
    """

    def __init__(self, config: ChipConfig, macro: NumpyMacro):
        self.config = config
        self.macro = macro
        self.settings = Settings.reset(config)
        self.program = np.zeros(PROGRAM_WORDS, dtype=np.int64)
        self.mantissas = np.zeros((VECTORS, config.size), dtype=np.int64)
        self.exponents = np.zeros(VECTORS, dtype=np.int64)
        self.exponents[0] = EXPONENT_MIN
        self.codes = np.zeros((config.size, config.size), dtype=np.int64)
        self.bad_map = np.zeros((config.size, config.size), dtype=bool)
        self.levels_V = adc_levels(config.adc_bits, macro.die.params.full_scale_V)

    def run(self, entry: int = 0) -> Run:
        """Run from ``entry`` until HALT or a trap.

        Errors: :class:`NotSolvedError` for a program that is not at its end after :data:`RUN_LIMIT_CLOCKS`.
        """
        run = Run(pc=entry)
        try:
            while not self._step(run):
                run.pc = (run.pc + 1) % PROGRAM_WORDS
                if run.cycles > RUN_LIMIT_CLOCKS:
                    raise NotSolvedError(f"the program does not halt within {RUN_LIMIT_CLOCKS} clocks")
        except _Trap as trap:
            run.trap = trap.cause
        return run

    def _step(self, run: Run) -> bool:
        """One instruction; True when it halts."""
        run.phases[Phase.ISSUE] += cycles.ISSUE
        decoded = decode(int(self.program[run.pc]))
        if decoded is None:
            raise _Trap(TrapCause.ILLEGAL)
        instruction, operands = decoded
        if instruction is HALT:
            run.halt_code = operands[0]
        elif instruction is PROG:
            self._program(run)
        elif instruction in (INV, MUL):
            self._loop(run, *operands, multiply=instruction is MUL)
        return instruction is HALT

    def _program(self, run: Run):
        settings, config = self.settings, self.config
        planes = planes_of(np.maximum(self.codes, -config.code_max), config)
        self.bad_map[:] = False
        for row in range(config.size):
            run.phases[Phase.PROGRAM] += cycles.row_cycles(config, settings.write_cycles)
            for plane in (0, 1):
                wanted = planes[plane, row]
                for attempt in range(settings.retries + 1):
                    self.macro.write_row(plane, row, wanted)
                    bad = self.macro.read_row(plane, row) != wanted
                    if attempt:
                        run.phases[Phase.PROGRAM] += cycles.attempt_cycles(settings.write_cycles)
                    if not bad.any():
                        break
                self.bad_map[row] |= bad
        run.phases[Phase.PROGRAM] += cycles.PROGRAM_END
        if self.bad_map.sum() > settings.bad_limit:
            raise _Trap(TrapCause.VERIFY)

    def _loop(self, run: Run, d: int, s: int, multiply: bool):
        config, settings = self.config, self.settings
        elements = np.arange(config.size)
        loop, result = elements < settings.loop_size, elements < min(settings.loop_size, settings.vector_size)
        run.phases[Phase.DRIVE] += cycles.drive_cycles(config)
        driven = result & (self.exponents[s] != EXPONENT_MIN)
        codes = self._settled_codes(run, np.where(driven, input_codes(self.mantissas[s], config), 0), loop, multiply)

        shift = config.size.bit_length() - 5 + 2 * settings.feedback if multiply else settings.drive_range
        peak = np.abs(codes[loop]).max(initial=0)
        self._range_down(multiply, peak)
        exponent = int(self.exponents[s]) + shift
        if not codes[result].any():
            exponent = EXPONENT_MIN
        elif exponent > EXPONENT_MAX:
            raise _Trap(TrapCause.RANGE)
        run.phases[Phase.STORE] += cycles.store_cycles(config)
        if d:
            self.mantissas[d] = result_mantissas(np.where(result, codes, 0), config)
            self.exponents[d] = max(exponent, EXPONENT_MIN)

    def _settled_codes(self, run: Run, dac: np.ndarray, loop: np.ndarray, multiply: bool) -> np.ndarray:
        """Close, wait for two scans that agree, open; move the range up and try again on a clip."""
        config, settings = self.config, self.settings
        interval = settings.multiply_interval if multiply else settings.solve_interval
        hidden = cycles.drive_cycles(config)  # the first preparation goes on while the DACs are loaded
        self.macro.set_bandwidth(settings.bandwidth)
        while True:
            run.phases[Phase.PREPARE] += max(0, cycles.prepare_cycles(settings.dead, settings.autozero) - hidden)
            hidden = 0
            self.macro.close(multiply, dac, settings.drive_range, settings.feedback)
            try:
                codes = self._attempt(run, interval, loop)
            finally:
                self.macro.open()
            if codes is not None:
                return codes
            if multiply and settings.feedback < FEEDBACKS - 1:
                settings.feedback += 1
            elif not multiply and settings.drive_range < DRIVE_RANGES - 1:
                settings.drive_range += 1
            else:
                raise _Trap(TrapCause.CLIP)

    def _attempt(self, run: Run, interval: int, loop: np.ndarray) -> np.ndarray | None:
        """One closing; the settled codes, or None on a clip."""
        config, settings = self.config, self.settings
        clock, wait = 0, cycles.first_sample(interval)
        idle, previous = wait - 1, None
        while True:
            run.phases[Phase.SETTLE] += idle
            run.phases[Phase.CONVERT] += cycles.scan_cycles(config)
            self.macro.advance(wait)
            clock += wait
            held_V, clipped = self.macro.hold()
            codes = result_codes(convert(held_V, self.levels_V), config)
            run.scans.append(Scan(clock, held_V, codes))
            if clipped[loop].any():
                return None
            if previous is not None and np.abs(codes - previous)[loop].max(initial=0) <= settings.tolerance:
                return codes
            if clock + cycles.conversion_cycles(config) + 1 >= settings.timeout:
                raise _Trap(TrapCause.SETTLE)
            previous = codes
            wait = cycles.sample_spacing(config, interval)
            idle = wait - cycles.scan_cycles(config)

    def _range_down(self, multiply: bool, peak: int):
        """A small result moves the range of the next run."""
        settings, full_scale = self.settings, 1 << (self.config.adc_bits - 1)
        if multiply:
            settings.feedback -= settings.feedback > 0 and peak < full_scale // 8
        else:
            settings.drive_range -= settings.drive_range > 0 and peak < full_scale // 4
