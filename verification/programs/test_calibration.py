"""Calibration through the RTL: what it mends, that both simulators give the same bits, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.engines.simulator import SimulatorEngine, builds_folder
from ohmloop.errors import NotSolvedError
from ohmloop.host.calibration import calibrate, measure_gains, measure_offsets
from ohmloop.host.driver import Driver
from ohmloop.plan.planner import plan_system
from ohmloop_hdl.config import CONFIGS
from verification.programs.calibration import BETTER, NEAR, SYSTEMS, Bench, measure

LAB, CHIP64 = CONFIGS["lab"], CONFIGS["chip64"]
DESIGN = AnalogParams(mismatch_sigma=0.0)


def test_calibration_mends_what_it_claims():
    """Medians of three chips of 16: a share of ``make calibration``."""
    outcome = measure("verilator", LAB, "Poisson 16", 3)
    assert outcome.better >= BETTER, outcome
    assert outcome.near <= NEAR, outcome
    assert outcome.errors["raw"] > outcome.errors["zeroed"] > outcome.errors["calibrated"]


def test_one_chip_of_full_size():
    errors = Bench("verilator", CHIP64, SYSTEMS["Toeplitz 64"]()).errors(1)
    assert errors["raw"] > BETTER * errors["calibrated"] and errors["calibrated"] < 1.5 * errors["neither"], errors


def test_both_simulators_give_the_same_errors():
    by_simulator = [Bench(engine, LAB, SYSTEMS["heat plate 64"]()).errors(3) for engine in ("icarus", "verilator")]
    assert by_simulator[0] == by_simulator[1]


def test_gains_and_offsets_are_found():
    """Gains within what cell mismatch leaves, offsets within a fifth of an LSB of the loop's operating point."""
    params = replace(DESIGN, offset_sigma_V=20e-3, adc_gain_sigma=0.05, read_noise_V=0.0, seed=6)
    die = Die.sample(LAB, params)
    plan = plan_system(np.eye(16), LAB, DESIGN)
    with SimulatorEngine("verilator", die, builds_folder()) as chip:
        gains = chip.execute(measure_gains(Driver(LAB), DESIGN))
        offsets = chip.execute(measure_offsets(Driver(LAB), plan))
    slopes = (die.adc_V[:, -1] - die.adc_V[:, 0]) / (255 / 128 * 0.4)  # 1 / gain of each converter
    assert gains / 32768 == pytest.approx(slopes, abs=3e-3)
    assert np.ptp(gains) > 1000
    load = 2.0
    expected = -load * die.zeroed_V / (1 + load * params.inverse_gain) / (0.4 / 128) / np.repeat(slopes, 4)
    assert np.abs(offsets / 16 - expected).max() < 0.2
    assert np.abs(expected).max() > 1


def test_a_converter_beyond_correction_is_refused():
    ratio = Die(LAB, DESIGN).adc_ratio * np.array([[1.0], [1.0], [2.5], [1.0]])
    die = Die(LAB, DESIGN, adc_ratio=ratio)
    plan = plan_system(np.eye(16), LAB, DESIGN)
    with SimulatorEngine("verilator", die, builds_folder()) as chip, \
            pytest.raises(NotSolvedError, match="converter 2 reads 0.4 of the drive"):
        chip.execute(calibrate(Driver(LAB), plan, DESIGN))


def test_a_loop_that_does_not_settle_is_said():
    die = Die(LAB, replace(DESIGN, rail_V=1e-3))
    plan = plan_system(np.eye(16), LAB, DESIGN)
    with SimulatorEngine("verilator", die, builds_folder()) as chip, \
            pytest.raises(NotSolvedError, match="calibration: the chip trapped: clip"):
        chip.execute(calibrate(Driver(LAB), plan, DESIGN))
