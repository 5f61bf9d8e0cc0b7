"""Pin-level stimulus for macro bodies: programs, solves, multiplications, and everything that must clip."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import MacroBody, MacroInputs
from ohmloop.analog.buses import pack, unpack
from ohmloop.analog.cells import planes_of


class Step(NamedTuple):
    """Levels of all input pins, and for how many clocks."""

    pins: MacroInputs
    clocks: int


class Stimulus:
    """A sequence of clocks that keeps the contract, made while the reference macro follows it.

    Parameters
    ----------
    macro : MacroBody
        Reference body; whoever consumes a step gives it to ``macro.edge`` before asking for the next one, since
        successive approximation depends on its answers.
    generator : np.random.Generator
        Source of matrices, drives and waits.
    """

    def __init__(self, macro: MacroBody, generator: np.random.Generator):
        self.macro = macro
        self.config = macro.die.config
        self.rng = generator
        self.pins = MacroInputs()
        self.conversions = 0

    # Matrices as signed codes

    def scaled(self, matrix: NDArray) -> NDArray[np.int64]:
        """Codes of a real matrix, its largest entry at full scale."""
        return np.rint(matrix / np.abs(matrix).max() * self.config.code_max).astype(np.int64)

    def definite(self) -> NDArray[np.int64]:
        """A random system with a symmetric positive spectrum."""
        n = self.config.size
        samples = self.rng.standard_normal((2 * n, n))
        return self.scaled(samples.T @ samples / (2 * n) + 0.3 * np.eye(n))

    def skew(self, damping: float) -> NDArray[np.int64]:
        """A random system with a wide imaginary spectrum."""
        n = self.config.size
        k = self.rng.standard_normal((n, n))
        k = (k - k.T) / 2
        return self.scaled(k / np.abs(k).max() + damping * np.eye(n))

    def random(self) -> NDArray[np.int64]:
        """Independent uniform codes: a loop that is nearly always unstable, and any matrix for multiply mode."""
        c, n = self.config.code_max, self.config.size
        return self.rng.integers(-c, c + 1, (n, n))

    def diagonal(self, code: int) -> NDArray[np.int64]:
        """One code along the diagonal."""
        return code * np.eye(self.config.size, dtype=np.int64)

    def drive(self, largest: int) -> int:
        """Random packed input codes of at most this magnitude."""
        codes = self.rng.integers(-largest, largest + 1, self.config.size)
        return pack(codes, self.config.dac_bits)

    # Building blocks

    def hold(self, clocks: int = 1, **levels: int) -> Iterator[Step]:
        """Change some pins and let clocks pass."""
        self.pins = self.pins._replace(**levels)
        yield Step(self.pins, clocks)

    def program(self, codes: NDArray, read_back: bool = False) -> Iterator[Step]:
        """Write the planes of signed codes (N, N) row by row, and read them back."""
        yield from self.write_planes(planes_of(codes, self.config))
        if read_back:
            for plane in (1, 0):
                for row in range(self.config.size):
                    yield from self.hold(row=1 << row, plane=plane, read=1)
            yield from self.hold(read=0, row=0)

    def write_planes(self, planes: Iterable[NDArray]) -> Iterator[Step]:
        """Write magnitude codes (2, N, N) row by row, plane 0 first."""
        for plane, rows in enumerate(planes):
            for row, data in enumerate(rows):
                yield from self.hold(row=1 << row, plane=plane, write=1, write_data=pack(data, self.config.cell_bits))
        yield from self.hold(write=0, row=0)

    def take_sample(self, wait: int, track: int = 1) -> Iterator[Step]:
        """Wait, then let ``sample`` be high for ``track`` clocks and see it fall."""
        if wait:
            yield from self.hold(wait)
        yield from self.hold(track, sample=1)
        yield from self.hold(sample=0)

    def conversion(self) -> Iterator[Step]:
        """Successive approximation of all held outputs; the codes must be those of the shared conversion rule."""
        config = self.config
        codes = np.zeros(config.size, dtype=np.int64)
        for mux in range(config.mux_steps):
            result = np.full(config.adcs, -(1 << (config.adc_bits - 1)))
            for bit in reversed(range(config.adc_bits)):
                trial = pack(result + (1 << bit), config.adc_bits)
                yield from self.hold(mux=mux, trial=trial)
                result += unpack(self.macro.above(trial, mux), config.adcs, 1) << bit
            codes[mux::config.mux_steps] = result
        expected, _ = self.macro.convert()
        assert np.array_equal(codes, expected), f"conversion gave {codes}, the rule gives {expected}"
        self.conversions += config.size

    def open(self, clocks: int = 1) -> Iterator[Step]:
        """All switches off."""
        yield from self.hold(clocks, close_solve=0, close_multiply=0, autozero=0)

    def wait(self, longest: int) -> int:
        """A random wait, short ones as likely as long ones."""
        return int(self.rng.integers(1, 2 + int(longest ** self.rng.random())))

    # Scenarios

    def solves(self, codes: NDArray, bandwidth: int, largest: int) -> Iterator[Step]:
        """One system: early and late samples, drive changes while closed, and a second solve right behind."""
        yield from self.program(codes)
        yield from self.hold(bandwidth=bandwidth, autozero=1)
        yield from self.hold(2, autozero=0)
        drive_range = int(self.rng.integers(0, 3))
        yield from self.hold(close_solve=1, dac=self.drive(largest), drive_range=drive_range)
        yield from self.take_sample(wait=0)
        yield from self.take_sample(self.wait(300), track=3)
        yield from self.conversion()
        yield from self.hold(dac=self.drive(largest))
        yield from self.take_sample(self.wait(50))
        yield from self.hold(dac=self.drive(largest), drive_range=drive_range + 1, sample=1)
        yield from self.hold(sample=0, dac=self.drive(largest))
        yield from self.take_sample(2000)
        yield from self.open()
        yield from self.hold(close_solve=1, dac=self.drive(largest))
        yield from self.take_sample(self.wait(20))
        yield from self.conversion()
        yield from self.open()

    def multiplications(self, codes: NDArray, bandwidth: int) -> Iterator[Step]:
        """One matrix through all feedback settings."""
        yield from self.program(codes)
        for feedback in range(4):
            yield from self.hold(bandwidth=bandwidth, feedback=feedback, close_multiply=1, dac=self.drive(20),
                                 drive_range=5)
            yield from self.take_sample(wait=0)
            yield from self.take_sample(self.wait(40))
            yield from self.conversion()
            yield from self.hold(dac=self.drive(20))
            yield from self.take_sample(300)
            yield from self.open()

    def saturation(self) -> Iterator[Step]:
        """Outputs far beyond the rails: clip, stay clipped under a new drive, clear on opening."""
        yield from self.program(self.diagonal(1))
        full = (1 << (self.config.dac_bits - 1)) - 1
        yield from self.hold(close_solve=1, bandwidth=0, drive_range=0, dac=self.drive(full))
        yield from self.take_sample(3000)
        yield from self.conversion()
        yield from self.hold(dac=0)
        yield from self.take_sample(3000)
        yield from self.open(2)
        yield from self.hold(close_solve=1, dac=0)
        yield from self.take_sample(100)
        yield from self.open()

    def ties(self) -> Iterator[Step]:
        """Outputs exactly between two codes, up to rounding: odd drives times 3/2, 5/2, 1/2 and 15/2.

        Drives 3 and 7 are there because with them some quotients round to just below the tie.
        """
        n, c = self.config.size, self.config.code_max
        yield from self.program(np.diag(np.resize([c // 3, c // 5, c, c // 15], n)))
        for codes in (np.full(n, 3), np.full(n, 7), 2 * self.rng.integers(-8, 8, n) + 1):
            yield from self.hold(close_solve=1, bandwidth=0, drive_range=1, dac=pack(codes, self.config.dac_bits))
            yield from self.take_sample(5000)
            yield from self.conversion()
            yield from self.open()

    def runaway(self, codes: NDArray, bandwidth: int) -> Iterator[Step]:
        """A loop that cannot settle, sampled at once and with nothing driven, must clip."""
        yield from self.program(codes)
        yield from self.hold(close_solve=1, bandwidth=bandwidth, dac=0)
        yield from self.take_sample(wait=0)
        yield from self.conversion()
        yield from self.open()

    def everything(self, systems: int) -> Iterator[Step]:
        """All scenarios; ``systems`` random systems at each bandwidth."""
        yield from self.hold(2)
        yield from self.take_sample(wait=1)
        yield from self.runaway(self.diagonal(0), 0)
        yield from self.program(self.random(), read_back=True)
        for bandwidth in range(4):
            for _ in range(systems):
                yield from self.solves(self.definite(), bandwidth, largest=15)
            yield from self.solves(self.skew(damping=0.4), bandwidth, largest=10)
            yield from self.multiplications(self.random(), bandwidth)
        yield from self.saturation()
        yield from self.ties()
        for codes in (self.diagonal(-self.config.code_max), self.skew(damping=0.0), self.random()):
            yield from self.runaway(codes, bandwidth=0)

    def few(self) -> Iterator[Step]:
        """One system, one multiplication and one runaway: what a large macro gets in a quick run."""
        yield from self.solves(self.definite(), 0, largest=10)
        yield from self.solves(self.skew(damping=0.4), 2, largest=5)
        yield from self.multiplications(self.random(), 1)
        yield from self.runaway(self.skew(damping=0.0), 0)
