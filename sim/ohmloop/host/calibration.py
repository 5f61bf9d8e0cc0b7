"""Digital calibration: what auto-zero leaves of the offsets, and the gains of the shared converters.

Both are measured through the chip's own instructions, as scripts for any engine, and end up in the correction memory:
corrected = (code - offset) gain.

**Gain of a converter.** The arrays hold the identity, at which every output is minus its drive. Known drives of both
signs go in; half the difference of the codes, over the drive, is the gain of the converter times what the cell of that
output is off by. The mean over the M outputs of a converter leaves s / sqrt(M) of a cell mismatch s. Shifted diagonals
would give more equations, but a cyclic shift is a root of unity, which is not stable in solve mode.

**Offset of an output.** The arrays hold the matrix that will be solved, for offsets come out multiplied by A^-1 L. Half
the sum of the codes of two drives of opposite sign is the offset. ``INV cal`` does the same with no drive at all, and
so knows it to half an LSB only; a dozen small drives that differ by eighths of an LSB spread the rounding, and the mean
is good to a tenth.
"""

from dataclasses import dataclass, replace

import numpy as np

from ohmloop.analog.params import AnalogParams
from ohmloop.engines.operations import Script
from ohmloop.errors import NotSolvedError
from ohmloop.golden.assembler import assemble
from ohmloop.golden.settings import Settings
from ohmloop.host.driver import Driver
from ohmloop.host.system import settings_of
from ohmloop.plan.planner import plan_system
from ohmloop.plan.scaling import Plan
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import GAIN_BITS, GAIN_FRACTION, MANTISSA_BITS, OFFSET_BITS, OFFSET_FRACTION
from ohmloop_hdl.sequencer.traps import TrapCause

DRIVE, READING = 1, 2
"""Vector registers of a measurement: the drive, and what INV makes of it."""

GAIN_DRIVES = 8
"""Drives of each sign for the gains, from 56 to 78 % of full scale: a converter 15 % off does not clip."""

OFFSET_DRIVES = 12
"""Drives of each sign for the offsets."""

OFFSET_RANGE = 3
"""Drive range in which offsets are measured: a step of the drive is an eighth of what it is in the first."""

_PROGRAM = f"""
        PROG
        HALT 0
        INV  v{READING}, v{DRIVE}
        HALT 0
"""
_PROGRAM_ARRAYS, _MEASURE = 0, 2


@dataclass(frozen=True)
class Corrections:
    """Content of the correction memory: ``offsets`` (N,) in 1/16 LSB, ``gains`` (adcs,) UQ1.15."""

    offsets: np.ndarray
    gains: np.ndarray

    @classmethod
    def none(cls, config: ChipConfig) -> "Corrections":
        """As after reset: no offset, gains of one."""
        return cls(np.zeros(config.size, dtype=np.int64), np.full(config.adcs, 1 << GAIN_FRACTION, dtype=np.int64))

    def load(self, driver: Driver) -> Script[None]:
        """Put them into the chip."""
        yield from driver.load_correction(self.offsets, self.gains)


def calibrate(driver: Driver, plan: Plan, params: AnalogParams, seed: int = 1) -> Script[Corrections]:
    """Measure gains, then offsets with the plan's matrix, and load both; the arrays hold the plan's codes at the end.

    ``params``: design figures that the waiting times are planned from; ``seed`` draws the small drives.

    Errors: :class:`NotSolvedError` when a measurement traps, or a gain is beyond what the correction can hold.
    """
    gains = yield from measure_gains(driver, params)
    offsets = yield from measure_offsets(driver, plan, seed)
    found = Corrections(offsets, gains)
    yield from found.load(driver)
    return found


def measure_gains(driver: Driver, params: AnalogParams) -> Script[np.ndarray]:
    """Gains (adcs,) UQ1.15 that make all converters read what the drives say."""
    config = driver.config
    settings = yield from _prepare(driver, plan_system(np.eye(config.size), config, params))
    half = 1 << config.dac_bits - 1
    drives = np.unique(np.linspace(0.56 * half, 0.78 * half, GAIN_DRIVES).astype(np.int64))
    read = np.zeros(config.size)
    for drive in drives:
        for sign in (1, -1):
            read += sign / 2 * (yield from _codes(driver, settings, sign * np.full(config.size, drive)))
    per_converter = read.reshape(config.adcs, config.mux_steps).mean(axis=1)
    wanted = drives.sum() * 2.0 ** (config.adc_bits - config.dac_bits)
    with np.errstate(divide="ignore"):
        gains = np.rint((1 << GAIN_FRACTION) * wanted / per_converter)
    if not ((gains > 0) & (gains < 1 << GAIN_BITS)).all():
        raise NotSolvedError(f"calibration: converter {int(np.argmin(np.abs(per_converter)))} reads "
                             f"{per_converter.min() / wanted:.3g} of the drive, gains from 0.5 on can be corrected")
    return gains.astype(np.int64)


def measure_offsets(driver: Driver, plan: Plan, seed: int = 1) -> Script[np.ndarray]:
    """Offsets (N,) in 1/16 LSB of the outputs with the plan's matrix in the arrays."""
    config, rng = driver.config, np.random.default_rng(seed)
    settings = replace((yield from _prepare(driver, plan)), drive_range=OFFSET_RANGE)
    used = np.arange(config.size) < plan.n
    # Small drives: outputs move by some codes, and stay in range even where the inverse is large.
    largest = max(2, (1 << config.dac_bits - 1) >> 2)
    total = np.zeros(config.size)
    for _ in range(OFFSET_DRIVES):
        drive = np.where(used, rng.integers(-largest, largest + 1, config.size), 0)
        for sign in (1, -1):
            total += (yield from _codes(driver, settings, sign * drive)) / 2
    limit = (1 << OFFSET_BITS - 1) - 1
    return np.clip(np.rint(total / OFFSET_DRIVES * (1 << OFFSET_FRACTION)), -limit, limit).astype(np.int64)


def _prepare(driver: Driver, plan: Plan) -> Script[Settings]:
    """A plan's matrix in the arrays, nothing corrected; the settings it runs with."""
    settings = settings_of(plan, driver.config)
    yield from driver.ready()
    yield from driver.configure(settings)
    yield from Corrections.none(driver.config).load(driver)
    yield from driver.load_program(assemble(_PROGRAM))
    yield from driver.load_codes(np.asarray(plan.codes))
    yield from _run(driver, _PROGRAM_ARRAYS)
    return settings


def _codes(driver: Driver, settings: Settings, drive: np.ndarray) -> Script[np.ndarray]:
    """Codes (N,) that INV makes of a drive (N,) in DAC codes."""
    # Again each time: ranges move by themselves.
    yield from driver.configure(settings)
    yield from driver.load_vector(DRIVE, drive << MANTISSA_BITS - driver.config.dac_bits, 0)
    yield from _run(driver, _MEASURE)
    mantissas, _ = yield from driver.read_vector(READING)
    return (mantissas >> MANTISSA_BITS - driver.config.adc_bits).astype(float)


def _run(driver: Driver, entry: int) -> Script[None]:
    status = yield from driver.run(entry)
    if status.trap is not TrapCause.NONE:
        raise NotSolvedError(f"calibration: the chip trapped: {status.trap.name.lower()}")
