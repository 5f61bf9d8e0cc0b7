"""What scenarios share: closing and sampling a loop, and reading what it holds from the comparators alone."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import feedback_ratio
from ohmloop.analog.buses import pack
from ohmloop.engines.conformance.looks import GROSS_LSB, PATIENCE, QUARTER_LSB, EarlyLook, Look
from ohmloop.engines.conformance.stimulus import Step, Stimulus

Acts = Iterator[Step | Look | EarlyLook]
"""A scenario: steps, and looks between them."""

LONG = 200
"""Clocks in which every loop of the scenarios settles to rounding."""


class Readings(Stimulus):
    """Building blocks of scenarios; parameters are those of :class:`Stimulus`."""

    def begin(self) -> Iterator[Step]:
        """All pins low for a while: what a scenario starts from."""
        self.pins = type(self.pins)()
        yield from self.hold(PATIENCE)

    def same(self, code: int) -> int:
        """One input code for all outputs."""
        return pack([code] * self.config.size, self.config.dac_bits)

    def each(self, codes: NDArray) -> int:
        """An input code for each output."""
        return pack(codes, self.config.dac_bits)

    @property
    def largest_drive(self) -> int:
        """Largest input code."""
        return (1 << self.config.dac_bits - 1) - 1

    @property
    def lsb_V(self) -> float:
        """Distance of two output codes in volts."""
        return self.macro.die.params.full_scale_V / (1 << self.config.adc_bits - 1)

    def in_lsb(self, outputs_lsb: float) -> int:
        """The input code whose level is so many LSB of an output code, rounded towards 0."""
        code = int(outputs_lsb * 2.0 ** (self.config.dac_bits - self.config.adc_bits))
        return max(-self.largest_drive, min(self.largest_drive, code))

    @property
    def large(self) -> int:
        """An input code that a unit matrix turns into 3/4 of full scale: far from 0 and inside the rails."""
        return self.largest_drive * 3 // 4

    def multiply_drive(self, outputs_lsb: float, feedback: int) -> int:
        """The input code that a unit matrix in multiply mode turns into about so many LSB."""
        code = self.in_lsb(outputs_lsb * feedback_ratio(self.config.size, feedback))
        return code or (1 if outputs_lsb > 0 else -1)

    # The loop

    def solve(self, wait: int = LONG, track: int = 1, **levels: int) -> Iterator[Step]:
        """Close in solve mode (this is edge 1), wait, sample for ``track`` clocks."""
        yield from self.hold(close_solve=1, **levels)
        yield from self.take_sample(wait, track)

    def multiply(self, **levels: int) -> Iterator[Step]:
        """Close in multiply mode, let it settle, sample."""
        yield from self.hold(close_multiply=1, **levels)
        yield from self.take_sample(LONG)

    def solve_once(self, wait: int = LONG, track: int = 1, **levels: int) -> Acts:
        """Solve, read all outputs, open."""
        yield from self.solve(wait, track, **levels)
        yield from self.read_all()
        yield from self.open()

    # Looks

    def look(self, *outputs: str, tolerance_lsb: float = QUARTER_LSB, **levels: int) -> Acts:
        """Leave the pins for a while and look."""
        yield from self.hold(PATIENCE, **levels)
        yield Look(outputs, tolerance_lsb)

    def read_all(self, tolerance_lsb: float = QUARTER_LSB) -> Acts:
        """Compare each held output with the two levels around its code: that says all that a conversion says."""
        config, half = self.config, 1 << self.config.adc_bits - 1
        codes, _ = self.macro.convert()
        for mux in range(config.mux_steps):
            here = codes[mux::config.mux_steps]
            for trial in (np.maximum(here, 1 - half), np.minimum(here + 1, half - 1)):
                yield from self.look("above", mux=mux, trial=pack(trial, config.adc_bits), tolerance_lsb=tolerance_lsb)

    def read_signs(self) -> Acts:
        """Whether each held output is above 0 V."""
        for mux in range(self.config.mux_steps):
            yield from self.look("above", mux=mux, trial=0, tolerance_lsb=GROSS_LSB)

    def trial_of(self, code: int) -> int:
        """One trial code for all converters."""
        return pack([code] * self.config.adcs, self.config.adc_bits)

    def index_signs(self) -> Iterator[NDArray[np.int64]]:
        """Sign patterns (N,) that tell every output from every other: the bits of its number, and their opposites."""
        numbers = np.arange(self.config.size)
        for bit in range(self.config.size.bit_length() - 1):
            signs = np.where(numbers >> bit & 1, 1, -1)
            yield signs
            yield -signs
