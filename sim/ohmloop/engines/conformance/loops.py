"""Scenarios of solve mode: where the loop settles, when, and what a clock edge counts for."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ohmloop.engines.conformance.looks import GROSS_LSB, Look
from ohmloop.engines.conformance.readings import LONG, Acts, Readings

SLOWEST = 3
"""Setting of `bandwidth` at which a clock is a small step."""


class LoopScenarios(Readings):
    """One method a rule, ``decide_`` and its name."""

    def unit(self) -> Acts:
        """Program a unit matrix: V = -u, and every output alike."""
        yield from self.program(self.diagonal(self.config.code_max))

    def decide_held_voltage(self) -> Acts:
        """Diagonal systems under drives that stay inside the rails."""
        c = self.config.code_max
        for code in (c, c - c // 4, c // 2):
            largest = self.large * code // c
            yield from self.program(self.diagonal(code))
            for drive in (largest, -largest, largest // 3, 1, 0, -(largest // 7)):
                yield from self.solve_once(dac=self.same(drive))

    def decide_rows_columns(self) -> Acts:
        """Triangular systems, which always settle and are far from their transposes."""
        n, c = self.config.size, self.config.code_max
        chain = self.diagonal(c) + np.diag(np.full(n - 1, c // 2), -1)
        corner = self.diagonal(c)
        corner[0, n - 1] = -(c // 2)
        for codes in (chain, chain.T, corner):
            yield from self.program(codes)
            for _ in range(2):
                drives = self.rng.integers(-self.large // 3, self.large // 3 + 1, n)
                yield from self.solve_once(dac=self.each(drives))

    def decide_drive_range(self) -> Acts:
        """A large drive in all ranges."""
        yield from self.unit()
        for drive_range in range(8):
            for drive in (self.large, -self.large):
                yield from self.solve_once(drive_range=drive_range, dac=self.same(drive))

    def decide_clock_count(self) -> Acts:
        """Samples in the first clocks after closing, where each one moves the outputs by many LSB."""
        yield from self.unit()
        for wait, track in ((0, 1), (1, 1), (0, 2), (2, 1), (0, 3), (1, 3)):
            yield from self.solve_once(wait, track, dac=self.same(self.large))
        # `sample` rises with the switch: the edge that closes is the only one that counts.
        yield from self.hold(close_solve=1, sample=1)
        yield from self.hold(sample=0)
        yield from self.read_all()
        # A second sample of the same loop goes on counting where the first one was.
        yield from self.take_sample(wait=0)
        yield from self.read_all()
        yield from self.open()

    def decide_hold_edge(self) -> Acts:
        """Outputs on the other side of 0 V wait for their sample: it shows at once, and nothing shows before."""
        yield from self.unit()
        yield from self.solve(dac=self.same(self.large))
        yield from self.open()
        for drive in (-self.large, self.large, -self.large):
            yield from self.hold(LONG, close_solve=1, dac=self.same(drive), trial=0, mux=0)
            yield Look(("above",), GROSS_LSB)
            yield from self.hold(sample=1)
            yield from self.hold(sample=0)
            yield Look(("above",), GROSS_LSB)
            yield from self.open()

    def decide_bandwidth(self) -> Acts:
        """The first clocks after closing in all settings."""
        yield from self.unit()
        for bandwidth in (1, 2, SLOWEST, 0):
            for wait in (0, 1, 4):
                yield from self.solve_once(wait, bandwidth=bandwidth, dac=self.same(self.large))

    def decide_drive_change(self) -> Acts:
        """A new drive, a new range, both at the edge that also samples, and two new drives in a row."""
        yield from self.unit()
        high, low = self.same(self.large), self.same(-self.large)
        for change in (dict(dac=low), dict(drive_range=2)):
            for wait in (0, 1, 2):
                yield from self.settled(dac=high, drive_range=0)
                yield from self.hold(**change)
                yield from self.take_sample(wait)
                yield from self.read_all()
                yield from self.open()
            yield from self.settled(dac=high, drive_range=0)
            yield from self.hold(sample=1, **change)
            yield from self.hold(sample=0)
            yield from self.read_all()
            yield from self.open()
        yield from self.settled(dac=high, drive_range=0)
        yield from self.hold(dac=low)
        yield from self.hold(dac=high)
        yield from self.take_sample(wait=0)
        yield from self.read_all()
        yield from self.open()

    def settled(self, **levels: int) -> Acts:
        """Close in solve mode and wait."""
        yield from self.hold(LONG, close_solve=1, **levels)

    def decide_reset(self) -> Acts:
        """Settle, open for one clock, close again: the first clocks are those from zero. The same with auto-zero.

        With auto-zero the look is a rough one, since it moves the offsets: after one clock outputs cannot be where they
        had settled.
        """
        yield from self.unit()
        yield from self.settled(dac=self.same(-self.large))
        yield from self.open()
        yield from self.solve_once(wait=0, dac=self.same(-self.large))
        yield from self.settled(dac=self.same(-self.large))
        yield from self.hold(close_solve=0, autozero=1)
        yield from self.hold(close_solve=1, autozero=0, sample=1)
        yield from self.hold(sample=0)
        between = self.large * 17 // 20 * 2 ** self.config.adc_bits // 2 ** self.config.dac_bits
        for mux in range(self.config.mux_steps):
            yield from self.look("above", mux=mux, trial=self.trial_of(between), tolerance_lsb=GROSS_LSB)
        yield from self.open()

    def decide_autozero(self) -> Acts:
        """A small diagonal, which makes offsets large, without auto-zero, with it, and again without."""
        yield from self.program(self.diagonal(max(1, self.config.code_max // 12)))
        for zeroes in (False, True, False):
            if zeroes:
                yield from self.hold(2, autozero=1)
                yield from self.hold(autozero=0)
            yield from self.solve_once(dac=0)

    def decide_open_holds(self) -> Acts:
        """Outputs far from 0 V, then samples with an open loop and while auto-zero is high."""
        yield from self.unit()
        for levels in (dict(), dict(autozero=1)):
            yield from self.solve(dac=self.same(self.large))
            yield from self.open()
            yield from self.hold(**levels)
            yield from self.take_sample(wait=2)
            yield from self.read_all()
            yield from self.open()
        # Uses up the auto-zero.
        yield from self.solve(dac=0)
        yield from self.open()

    def decide_held_survives(self) -> Acts:
        """Held outputs are read after opening, after writes, and while the next loop settles elsewhere."""
        yield from self.unit()
        yield from self.solve(dac=self.same(self.large))
        yield from self.open()
        yield from self.read_all()
        yield from self.program(self.diagonal(self.config.code_max // 2))
        yield from self.read_all()
        yield from self.settled(dac=self.same(-(self.large // 3)))
        yield from self.read_all()
        yield from self.open()

    def decide_tie(self) -> Acts:
        """Outputs in the middle between two codes, or less than 2^-20 LSB below it, read as above it."""
        n, c = self.config.size, self.config.code_max
        # Quotients whose rounding may fall on either side.
        yield from self.program(np.diag(np.resize([c // 3, c // 5, c, max(1, c // 15)], n)))
        for codes in self.tie_drives():
            yield from self.solve(drive_range=1, dac=self.each(codes))
            yield from self.read_all(tolerance_lsb=0.0)
            yield from self.open()
        yield from self.unit()
        # From below, so close that only the shift of the thresholds makes it a tie.
        middle = 3.5
        drive = self.in_lsb(-2 * middle)
        for wait in self.waits(middle):
            yield from self.solve(wait, bandwidth=SLOWEST, drive_range=1, dac=self.same(drive))
            for mux in range(self.config.mux_steps):
                yield from self.look("above", mux=mux, trial=self.trial_of(math.ceil(middle)), tolerance_lsb=0.0)
            yield from self.open()
        # Next to the middle by 2^-7 LSB, on both sides: no shift beyond 2^-20.
        side = 1 << 6
        for drive in (side - 1, side + 1, 1 - side, -side - 1):
            yield from self.solve(bandwidth=0, drive_range=7, dac=self.same(self.in_lsb(drive)))
            yield from self.read_all(tolerance_lsb=0.0)
            yield from self.open()

    def tie_drives(self) -> Iterator[NDArray[np.int64]]:
        """Odd input codes (N,)."""
        n = self.config.size
        yield np.full(n, 3)
        yield np.full(n, 7)
        yield 2 * self.rng.integers(-8, 8, n) + 1

    def waits(self, target_lsb: float) -> list[int]:
        """Clocks after which a unit matrix at the lowest bandwidth is 2^-22 to 2^-30 LSB short of ``target_lsb``.

        V = V0 (1 - exp(-k w T / L)) without node capacitance; L = 2 counts the cell and the input branch.
        """
        params = self.macro.die.params
        load = 2.0 + params.gpar_S / params.g0_S
        rate = 2.0 * math.pi * params.warm_gbw_Hz * params.clock_s / 2 ** SLOWEST / load
        return [round(math.log(target_lsb * 2.0 ** power) / rate) for power in (22, 25, 30)]
