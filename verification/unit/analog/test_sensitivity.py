"""Each imperfection alone against its first-order formula, on the settled numpy macro."""

import math
from dataclasses import replace

import numpy as np
import pytest
from verification.spice.effects import ALONE
from verification.unit.analog.test_macro import programmed

from ohmloop.analog.body import feedback_ratio
from ohmloop.analog.cells import Die
from ohmloop.analog.converters import adc_ratios, convert, dac_ratios
from ohmloop.analog.params import AnalogParams
from ohmloop.analog.sensitivity import first_order_change, ideal_outputs
from ohmloop.ensembles import heat
from ohmloop_hdl.config import CONFIGS

CHIP64 = CONFIGS["chip64"]
IDEAL = AnalogParams.ideal()
PLATE = (heat(64) * 3).astype(int)
DAC = np.random.default_rng(3).integers(-8, 9, 64)

def settled(params: AnalogParams) -> np.ndarray:
    """Outputs of the plate after auto-zero and a long wait."""
    macro = programmed(PLATE, CHIP64, params)
    macro.autozero()
    macro.close(False, DAC)
    macro.advance(100_000)
    held_V, clipped = macro.hold()
    assert not clipped.any()
    return held_V


@pytest.mark.parametrize("name", ALONE)
def test_each_effect_alone_is_its_first_order(name: str):
    changes, second_order = ALONE[name]
    params = replace(IDEAL, **changes)
    exact = settled(params) - ideal_outputs(PLATE, DAC, Die(CHIP64, IDEAL))
    predicted = first_order_change(PLATE, DAC, Die.sample(CHIP64, params))
    assert np.linalg.norm(exact) > 1e-5, "an effect that is not there agrees with anything"
    assert np.linalg.norm(exact - predicted) <= (second_order + 1e-7) * np.linalg.norm(exact)


def test_gain_of_70_decibels_by_its_formula():
    """dV = -A^-1 L V / A0 spelled out."""
    change = first_order_change(PLATE, DAC, Die.sample(CHIP64, replace(IDEAL, gain_dB=70.0)))
    V0 = ideal_outputs(PLATE, DAC, Die(CHIP64, IDEAL))
    A, L = PLATE / 15, (np.abs(PLATE) / 15).sum(axis=1) + 1
    assert change == pytest.approx(-np.linalg.solve(A, L * V0) * 10 ** -3.5, rel=1e-9)


def test_ideal_is_ideal():
    assert settled(IDEAL) == pytest.approx(ideal_outputs(PLATE, DAC, Die(CHIP64, IDEAL)), abs=1e-12)


def test_a_stuck_cell_is_a_change_of_rank_one():
    """Sherman-Morrison: V changes by -A^-1 e_i dA_ij V_j / (1 + dA_ij (A^-1)_ji)."""
    macro = programmed(PLATE, CHIP64, IDEAL, stuck=((0, 20, 20, 10),))
    macro.close(False, DAC)
    macro.advance(100_000)
    A, V = PLATE / 15, ideal_outputs(PLATE, DAC, Die(CHIP64, IDEAL))
    inverse, change = np.linalg.inv(A), -2 / 15
    expected = V - inverse[:, 20] * change * V[20] / (1 + change * inverse[20, 20])
    assert macro.hold()[0] == pytest.approx(expected, abs=1e-12)


def test_upsets_come_at_their_rate_and_stuck_cells_do_not_flip():
    params = replace(IDEAL, upset_probability=1e-3)
    macro = programmed(PLATE, CHIP64, params, stuck=((0, 5, 5, 3),))
    flips = 0
    for _ in range(20):
        before = macro._codes.copy()
        macro.close(False, DAC)
        macro.open()
        flips += sum(int(d).bit_count() for d in (before ^ macro._codes).ravel())
        assert macro._codes[0, 5, 5] == 3
    expected = 20 * 2 * 64 * 64 * 4 * 1e-3
    assert abs(flips - expected) < 5 * math.sqrt(expected)


@pytest.mark.parametrize("bits", [8, 10])
def test_a_binary_weighted_converter_has_the_nonlinearity_of_its_elements(bits: int):
    """At mid-scale all bits change: DNL there has sigma sqrt(2^B - 1); INL is largest in the middle, sigma sqrt(2^B)/2.

    End-point fit; the ratio is to LSB.
    """
    sigma, count = 0.02, 4000
    levels = dac_ratios(bits, sigma, count, np.random.default_rng(1)) * 2 ** (bits - 1)
    half = 1 << bits - 1
    step = levels[:, half] - levels[:, half - 1] - 1
    assert step.std() == pytest.approx(sigma * math.sqrt(2 ** bits - 1), rel=0.05)
    assert (levels[:, half] == 0.0).all()
    line = np.linspace(levels[:, 0], levels[:, -1], 2 * half, axis=1)
    inl = (levels - line)[:, half - 1]
    assert inl.std() == pytest.approx(sigma * math.sqrt(2 ** bits) / 2, rel=0.05)


def test_gain_and_offset_of_a_converter_move_its_codes():
    params = replace(IDEAL, adc_gain_sigma=0.05, comparator_offset_V=5e-3)
    die = Die.sample(CHIP64, params)
    thresholds = die.adc_V
    lsb = 0.4 / 128
    gain = 1 / np.diff(thresholds, axis=1).mean(axis=1) * lsb
    assert gain.std() == pytest.approx(0.05, rel=0.8) and np.ptp(gain) > 0.05
    held = np.linspace(-0.3, 0.3, 64)
    codes, _ = convert(held, np.repeat(thresholds, 8, axis=0))
    offset = -(thresholds[:, 128] + lsb * (0.5 + 2 ** -20) / gain) / lsb * gain
    predicted = held / lsb * np.repeat(gain, 8) + np.repeat(offset, 8)
    assert np.abs(codes - predicted).max() <= 0.5 + 1e-4
    assert np.abs(codes - held / lsb).max() > 2


def test_noise_of_decisions_blurs_a_code():
    """A held value half an LSB off any threshold reads its code but for the tail of the noise: Q(0.5 LSB / sigma)."""
    params = replace(IDEAL, comparator_noise_V=1.5e-3)
    macro = programmed(np.zeros((64, 64), dtype=int), CHIP64, params)
    wrong = 0
    for _ in range(200):
        macro.hold()
        wrong += int((macro.convert()[0] != 0).sum())
    tail = math.erfc(0.5 * 3.125 / 1.5 / math.sqrt(2)) / 2
    expected = 2 * tail * 200 * 64
    assert wrong == pytest.approx(expected, rel=0.15)


def test_levels_without_errors_are_the_nominal_ones():
    assert np.array_equal(dac_ratios(8)[0], np.arange(-128, 128) / 128)
    assert np.array_equal(adc_ratios(8)[0], (np.arange(-128, 128) - 0.5 - 2.0 ** -20) / 128)
    assert feedback_ratio(64, 2) == 64.0
