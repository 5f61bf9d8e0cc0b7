"""Scenarios of arrays, converters and multiply mode: what goes where, with which sign."""

import numpy as np

from ohmloop.analog.buses import pack
from ohmloop.analog.cells import planes_of
from ohmloop.engines.conformance.looks import PATIENCE, EarlyLook
from ohmloop.engines.conformance.readings import Acts, Readings

SIGN_LSB = 16.0
"""Outputs of scenarios that look at signs only."""


class ArrayScenarios(Readings):
    """One method a rule, ``decide_`` and its name."""

    def decide_unknown(self) -> Acts:
        """Everything an output can depend on gets a value; what is unknown afterwards is a breach.

        Outputs are looked at for unknown values in every other scenario too.
        """
        yield from self.program(self.diagonal(0))
        yield from self.take_sample(wait=1)
        yield from self.look("sense", "above", "clipped", tolerance_lsb=float("inf"))

    def decide_sense(self) -> Acts:
        """Random rows in both planes, read back; one row written again; other rows stay; quiet without ``read``."""
        n, c = self.config.size, self.config.code_max
        yield from self.write_planes(self.rng.integers(0, c + 1, (2, n, n)))
        for again in (False, True):
            if again:
                data = pack(self.rng.integers(0, c + 1, n), self.config.cell_bits)
                yield from self.hold(row=2, plane=1, write=1, write_data=data)
                yield from self.hold(write=0)
            for plane in (1, 0):
                for row in range(n):
                    yield from self.look("sense", row=1 << row, plane=plane, read=1)
            yield from self.look("sense", read=0)

    def decide_sense_timing(self) -> Acts:
        """Another row, plane or ``read`` every clock."""
        n, c = self.config.size, self.config.code_max
        full = np.full((n, n), c)
        yield from self.write_planes([np.triu(full), full - np.triu(full)])
        for row in (*range(n), *range(n)):
            for levels in (dict(plane=0, read=1), dict(plane=1, read=1), dict(plane=1, read=0)):
                self.pins = self.pins._replace(row=1 << row, **levels)
                yield EarlyLook(self.pins, ("sense",))

    def decide_comparator(self) -> Acts:
        """0 V, held with an open loop, against levels near and far."""
        yield from self.take_sample(wait=1)
        half = 1 << self.config.adc_bits - 1
        for mux in range(self.config.mux_steps):
            for trial in (1 - half, -half // 2, -1, 0, 1, 2, half // 2, half - 1):
                yield from self.look("above", mux=mux, trial=self.trial_of(trial))

    def decide_comparator_timing(self) -> Acts:
        """0 V against a level far above and one far below, a new one every clock."""
        yield from self.take_sample(wait=1)
        far = 1 << self.config.adc_bits - 2
        yield from self.hold(PATIENCE, trial=self.trial_of(far))
        for trial in (-far, far, -far, far, -far, -far, far, far):
            self.pins = self.pins._replace(trial=self.trial_of(trial))
            yield EarlyLook(self.pins, ("above",))

    def decide_planes(self) -> Acts:
        """Cells in one plane only, then in both: the sign of the outputs, in multiply mode, which always settles."""
        n, c = self.config.size, self.config.code_max
        one = np.eye(n, dtype=np.int64)
        for plus, minus in ((c, 0), (0, c), (c, c // 3), (c // 3, c)):
            yield from self.write_planes([plus * one, minus * one])
            for outputs_lsb in (SIGN_LSB, -SIGN_LSB):
                yield from self.multiply(dac=self.same(self.multiply_drive(outputs_lsb, 0)))
                yield from self.read_signs()
                yield from self.open()

    def decide_mux_order(self) -> Acts:
        """The same drive everywhere; the signs of the rows say the number of each output in binary."""
        for signs in self.index_signs():
            yield from self.program(np.diag(signs * self.config.code_max))
            yield from self.multiply(dac=self.same(self.multiply_drive(SIGN_LSB, 0)))
            yield from self.read_signs()
            yield from self.open()

    def decide_dac_order(self) -> Acts:
        """The same rows; the signs of the drives say the number of each column in binary."""
        yield from self.program(self.diagonal(self.config.code_max))
        for signs in self.index_signs():
            yield from self.multiply(dac=self.each(signs * self.multiply_drive(SIGN_LSB, 0)))
            yield from self.read_signs()
            yield from self.open()

    def decide_multiply(self) -> Acts:
        """Random matrices, symmetric so that rows may stand for columns, and random drives in all feedback ranges."""
        n = self.config.size
        full = 100.0  # LSB, if all cells of the heaviest row pull the same way
        for _ in range(2):
            codes = np.tril(self.random())
            codes = codes + np.tril(codes, -1).T
            yield from self.program(codes)
            planes = planes_of(codes, self.config)
            heaviest = float((planes.sum(axis=0).sum(axis=1) / self.config.code_max).max())
            for feedback in range(4):
                largest = self.multiply_drive(full / heaviest, feedback)
                drives = self.rng.integers(-largest, largest + 1, n)
                yield from self.multiply(feedback=feedback, dac=self.each(drives))
                yield from self.read_all()
                yield from self.open()

    def decide_multiply_range(self) -> Acts:
        """A unit matrix in multiply mode under all settings of the drive range."""
        yield from self.program(self.diagonal(self.config.code_max))
        drive = self.multiply_drive(4.0 * SIGN_LSB, 0)
        for drive_range in (0, 1, 3, 7):
            yield from self.multiply(feedback=0, drive_range=drive_range, dac=self.same(drive))
            yield from self.read_all()
            yield from self.open()
