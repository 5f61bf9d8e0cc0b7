"""Scenarios of clipping and of loops that run away."""

import math

import numpy as np

from ohmloop.engines.conformance.looks import Look
from ohmloop.engines.conformance.readings import LONG, Acts, Readings


class ClipScenarios(Readings):
    """One method a rule, ``decide_`` and its name. Most use a diagonal of a third: V = -3 u."""

    def third(self) -> Acts:
        """Program the diagonal."""
        yield from self.program(self.diagonal(self.third_code))

    @property
    def third_code(self) -> int:
        """About a third of the largest code."""
        return self.config.code_max // 3

    def around_rail(self) -> tuple[int, int]:
        """The largest input code whose output is an LSB inside the rail, and the smallest an LSB outside."""
        params, config = self.macro.die.params, self.config
        rail = params.swing_V / params.full_scale_V * (1 << config.dac_bits - 1)
        lsb = 2.0 ** (config.dac_bits - config.adc_bits)
        ratio = self.third_code / config.code_max
        return math.floor((rail - lsb) * ratio), math.ceil((rail + lsb) * ratio)

    @property
    def beyond(self) -> int:
        """An input code that takes an output far beyond the rails."""
        return self.around_rail()[1] * 2

    def decide_clip(self) -> Acts:
        """Drives an LSB inside and outside of both rails, in patterns that name every output."""
        inside, outside = self.around_rail()
        yield from self.third()
        for signs in self.index_signs():
            magnitudes = np.where(signs > 0, outside, inside)
            for drives in (magnitudes, -magnitudes, magnitudes * signs):
                yield from self.solve(dac=self.each(drives))
                yield from self.look("clipped")
                yield from self.open()

    def decide_clip_moment(self) -> Acts:
        """Far beyond the rails for long, seen by no sample; then during a sample, and at its fall."""
        yield from self.third()
        yield from self.hold(LONG, close_solve=1, dac=self.same(self.beyond))
        yield Look(("clipped",))
        yield from self.hold(2, sample=1)
        yield Look(("clipped",))
        yield from self.hold(sample=0)
        yield Look(("clipped",))
        yield from self.open()

    def decide_clip_latches(self) -> Acts:
        """After the first flags another drive, under which other outputs, or none, would clip."""
        odd = np.arange(self.config.size) & 1
        yield from self.third()
        for later in (0, self.each(self.beyond * (1 - odd))):
            yield from self.solve(dac=self.each(self.beyond * odd))
            yield from self.look("clipped")
            yield from self.hold(dac=later)
            yield from self.take_sample(LONG)
            yield from self.look("clipped")
            yield from self.read_all()
            yield from self.open()

    def decide_clip_clears(self) -> Acts:
        """Open after a clip, close without drive, sample."""
        yield from self.third()
        yield from self.solve(dac=self.same(self.beyond))
        yield from self.open()
        yield from self.look("clipped")
        yield from self.solve(dac=0)
        yield from self.look("clipped")
        yield from self.open()

    def decide_runaway(self) -> Acts:
        """Matrices of every kind that cannot settle: sampled at once, and after a while; driven or not."""
        c = self.config.code_max
        one = self.diagonal(c)
        one[1, 1] = -c
        for codes in (self.diagonal(-c), self.diagonal(0), one, self.skew(damping=0.0), self.skew(damping=-0.2)):
            yield from self.program(codes)
            for wait, drive in ((0, 0), (40, 0), (1, self.in_lsb(1.0))):
                yield from self.solve(wait, dac=self.same(drive))
                yield from self.look("clipped")
                yield from self.open()

    def decide_nan_reads_top(self) -> Acts:
        """What a runaway loop holds, against low, middle and the highest level."""
        half = 1 << self.config.adc_bits - 1
        yield from self.program(self.diagonal(-self.config.code_max))
        for wait in (0, LONG):
            yield from self.solve(wait, dac=0)
            for mux in range(self.config.mux_steps):
                for trial in (1 - half, 0, 1, half // 2, half - 1):
                    yield from self.look("above", mux=mux, trial=self.trial_of(trial))
            yield from self.open()
