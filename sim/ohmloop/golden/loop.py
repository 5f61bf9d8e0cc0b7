"""INV and MUL in the golden machine."""

import numpy as np

from ohmloop.analog.body import MacroBody
from ohmloop.golden import cycles
from ohmloop.golden.convert import corrected_codes, input_codes, measured_offsets, result_codes, result_mantissas
from ohmloop.golden.record import Closing
from ohmloop.golden.run import Clock, Result, Scan, Trapped
from ohmloop.golden.settings import Settings
from ohmloop.golden.state import State
from ohmloop_hdl.events import Event, Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN
from ohmloop_hdl.macro.pins import DRIVE_RANGES, FEEDBACKS
from ohmloop_hdl.sequencer.traps import TrapCause


class LoopModel:
    """One INV or MUL.

    Parameters
    ----------
    state, macro, settings, clock
        Of the machine and its run.
    multiply : bool
        MUL.
    """

    def __init__(self, state: State, macro: MacroBody, settings: Settings, clock: Clock, *, multiply: bool):
        self.state, self.macro, self.settings, self.clock, self.multiply = state, macro, settings, clock, multiply
        self.config, self.events = state.config, clock.run.events
        elements = np.arange(self.config.size)
        self.in_loop = elements < settings.loop_size
        self.counts = elements < min(settings.loop_size, settings.vector_size)

    def run(self, d: int, s: int, calibrate: bool) -> Result | None:
        """Scale, drive, close, settle, convert, correct, store."""
        config, state, settings = self.config, self.state, self.settings
        mantissas, s_exponent = state.vector(s)
        dac = np.where(self.counts & (not calibrate), input_codes(mantissas, config), 0)
        self._walk_in(calibrate)
        codes = self._settled_codes(dac)
        shift = config.size.bit_length() - 5 + 2 * settings.feedback if self.multiply else settings.drive_range
        if not calibrate:
            self._range_down(np.abs(codes[self.in_loop]).max(initial=0))
        self.clock.spend(Phase.STORE, cycles.store_cycles(config), safe=True)
        if calibrate:
            state.offsets[:] = measured_offsets(codes)
            state.wrong_offsets[:] = False
            return None
        corrected = np.where(self.counts, corrected_codes(
            codes, 0 * state.offsets if self.multiply else state.offsets, state.gains, config), 0)
        return self._store(d, corrected, s_exponent + shift)

    def _store(self, d: int, corrected: np.ndarray, exponent: int) -> Result:
        state, config = self.state, self.config
        mantissas, result = result_mantissas(corrected, config), EXPONENT_MIN
        if corrected.any():
            if exponent > EXPONENT_MAX:
                raise Trapped(TrapCause.RANGE)
            result = max(exponent, EXPONENT_MIN)
        written = exponent <= EXPONENT_MAX
        if written:
            self.events[Event.VECTOR_WRITTEN] += config.size
        if d:
            state.exponents[d] = result
            if written:
                state.mantissas[d] = mantissas
        return Result(f"v{d}", result, tuple(int(m) for m in mantissas) if written else None)

    def _walk_in(self, calibrate: bool) -> None:
        """Read the vector and the correction words that will be used."""
        config, state = self.config, self.state
        wrong = np.repeat(state.wrong_gains, config.mux_steps) | (state.wrong_offsets & (not self.multiply))
        wrong = wrong.reshape(config.lanes, config.block).any(axis=0) & (not calibrate)
        if wrong.any():
            raise self.clock.fault(Phase.DRIVE, cycles.drive_parity_cycles(int(wrong.argmax())), TrapCause.PARITY)
        self.clock.spend(Phase.DRIVE, cycles.drive_cycles(config))
        self.events[Event.VECTOR_READ] += config.size
        self.events[Event.DAC_UPDATED] += config.size

    def _settled_codes(self, dac: np.ndarray) -> np.ndarray:
        """Close, wait for two scans that agree, open; move the range up and try again on a clip."""
        config, settings = self.config, self.settings
        hidden = cycles.drive_cycles(config)  # the first preparation goes on while the DACs are loaded
        self.macro.set_bandwidth(settings.bandwidth)
        while True:
            prepare = cycles.prepare_cycles(settings.dead, settings.autozero)
            prepared = self.clock.run.cycles - hidden
            self.clock.spend(Phase.PREPARE, max(0, prepare - hidden))
            hidden = 0
            self.macro.autozero()
            self.macro.close(self.multiply, dac, settings.drive_range, settings.feedback)
            self.events[Event.LOOP_CLOSED] += 1
            closing = self._note_closing(prepared, dac)
            before = self._closed_clocks()
            try:
                codes = self._attempt()
            finally:
                self.macro.open()
                self.events[Event(Event.CLOSED_CLOCK_0 + settings.bandwidth)] += self._closed_clocks() - before
                closing.opened = self.clock.run.cycles
            if codes is not None:
                return codes
            self.events[Event.CLIPPED] += 1
            self._range_up()

    def _note_closing(self, prepared: int, dac: np.ndarray) -> Closing:
        run, settings = self.clock.run, self.settings
        closing = Closing(prepared, run.cycles, self.multiply, dac, settings.drive_range, settings.feedback,
                          settings.bandwidth, len(run.scans))
        if run.record is not None:
            run.record.closings.append(closing)
        return closing

    def _closed_clocks(self) -> int:
        phases = self.clock.run.phases
        return phases[Phase.SETTLE] + phases[Phase.CONVERT]

    def _attempt(self) -> np.ndarray | None:
        """One closing; the settled codes, or None on a clip."""
        config, settings = self.config, self.settings
        interval = settings.multiply_interval if self.multiply else settings.solve_interval
        clock, wait = 0, cycles.first_sample(interval)
        idle, previous = wait - 1, None
        while True:
            self.clock.spend(Phase.SETTLE, idle)
            self.macro.advance(wait)
            clock += wait
            held_V, clipped = self.macro.hold()
            self.clock.spend(Phase.CONVERT, cycles.scan_cycles(config) - cycles.JUDGE)
            raw, margin_lsb = self.macro.convert()
            codes = result_codes(raw, config)
            self.clock.run.scans.append(Scan(clock, held_V, codes, margin_lsb, len(self.clock.run.retired),
                                             bool(clipped.any())))
            self.events[Event.SAMPLED] += 1
            self.events[Event.CONVERTED] += config.size
            self.clock.spend(Phase.CONVERT, cycles.JUDGE)
            if clipped[self.in_loop].any():
                return None
            if previous is not None and np.abs(codes - previous)[self.in_loop].max(initial=0) <= settings.tolerance:
                return codes
            if clock + cycles.conversion_cycles(config) + 1 >= settings.timeout:
                raise Trapped(TrapCause.SETTLE)
            previous = codes
            wait = cycles.sample_spacing(config, interval)
            idle = wait - cycles.scan_cycles(config)

    def _range_up(self) -> None:
        """A clip moves the range for another attempt, unless it is the last."""
        settings = self.settings
        if self.multiply and settings.feedback < FEEDBACKS - 1:
            settings.feedback += 1
        elif not self.multiply and settings.drive_range < DRIVE_RANGES - 1:
            settings.drive_range += 1
        else:
            raise Trapped(TrapCause.CLIP)
        self.events[Event.RANGE_MOVED] += 1

    def _range_down(self, peak: int) -> None:
        """A small result moves the range of the next run."""
        settings, full_scale = self.settings, 1 << (self.config.adc_bits - 1)
        if self.multiply and settings.feedback > 0 and peak < full_scale // 8:
            settings.feedback -= 1
        elif not self.multiply and settings.drive_range > 0 and peak < full_scale // 4:
            settings.drive_range -= 1
        else:
            return
        self.events[Event.RANGE_MOVED] += 1
