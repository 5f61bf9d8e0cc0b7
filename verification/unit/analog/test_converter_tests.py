"""The field's converter tests: on converters whose errors are known, on the models of the chip, on the SAR in RTL."""

import math
from dataclasses import replace

import numpy as np
import pytest
from verification.unit.simulation import simulate

from ohmloop.analog.cells import Die
from ohmloop.analog.converter_tests import code_density, linearity, sine, sine_fit
from ohmloop.analog.converters import convert
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import CONFIGS
from ohmloop_hdl.convert.bank import ConverterBank

TINY = CONFIGS["tiny"]
IDEAL = AnalogParams.ideal()
LSB = 0.4 / 128
FULL = 128 * LSB
DETAILED = replace(IDEAL, adc_element_sigma=0.03, dac_element_sigma=0.03, seed=4)


def test_linearity_of_a_curve_with_one_step_too_long():
    levels = np.array([0.0, 1.0, 2.0, 3.5, 4.5, 5.5])
    found = linearity(levels * 7)
    assert found.dnl == pytest.approx(np.array([1, 1, 1.5, 1, 1]) / 1.1 - 1)
    assert found.inl == pytest.approx(levels / 1.1 - np.arange(6)) and found.worst[1] == pytest.approx(2 - 2 / 1.1)


@pytest.mark.parametrize("bits", [6, 8, 10])
def test_an_ideal_converter_has_its_bits(bits: int):
    """A mid-tread quantiser leaves LSB/sqrt(12), but for the correlation with a sine that ends on its ends."""
    config = replace(TINY, adc_bits=bits)
    values = sine(1 << 16, 1013, FULL * (1 - 2.0 ** (1 - bits)))
    codes, _ = convert(values, Die(config, IDEAL).adc_V)
    assert sine_fit(codes * FULL / (1 << bits - 1), 1013).enob(FULL) == pytest.approx(bits, abs=0.06)


def test_noise_costs_the_bits_that_its_power_says():
    """Error power LSB^2/12 + sigma^2: 8 - log2(sqrt(1 + 12 sigma^2/LSB^2)) bits."""
    sigma = 0.8 * LSB
    noise = sigma * np.random.default_rng(1).standard_normal(1 << 16)
    codes, _ = convert(sine(1 << 16, 1013, 0.9 * FULL) + noise, Die(TINY, IDEAL).adc_V)
    expected = 8 - math.log2(math.sqrt(1 + 12 * 0.8 ** 2))
    assert sine_fit(codes * LSB, 1013).enob(FULL) == pytest.approx(expected, abs=0.02)


def test_the_fit_finds_the_sine():
    fit = sine_fit(sine(1000, 37, 0.3, offset=-0.02, phase=1.0), 37)
    assert (fit.amplitude, fit.offset) == (pytest.approx(0.3), pytest.approx(-0.02)) and fit.rms_error < 1e-12
    assert replace(fit, rms_error=0.3 / math.sqrt(2) / 100).sinad_dB == pytest.approx(40.0)


@pytest.mark.parametrize("adc", range(2))
def test_code_density_finds_the_thresholds_of_a_model(adc: int):
    levels_V = Die.sample(TINY, DETAILED).adc_V[adc:adc + 1]
    amplitude = 1.03 * FULL
    codes, _ = convert(sine(1 << 18, 10007, amplitude), levels_V)
    found = code_density(codes, 8, amplitude)
    assert np.abs(found - levels_V[0, 1:]).max() < 0.02 * LSB
    by_density, by_levels = linearity(found), linearity(levels_V[0, 1:])
    assert by_levels.worst[1] > 0.2, "nothing to find"
    assert by_density.inl == pytest.approx(by_levels.inl, abs=0.03)
    assert by_density.dnl == pytest.approx(by_levels.dnl, abs=0.03)


def test_distortion_of_a_dac_costs_bits():
    """The error of a sine through the DAC is its INL at the codes met, and half an LSB of rounding."""
    die = Die.sample(TINY, replace(DETAILED, dac_element_sigma=0.1))
    wanted = sine(1 << 14, 1013, 127 * LSB)
    codes = np.rint(wanted / LSB).astype(int)
    ideal, real = codes * LSB, die.dac_V[0, codes + 128]
    fit = sine_fit(real, 1013)
    assert fit.enob(FULL) < sine_fit(ideal, 1013).enob(FULL) - 0.3
    inl = linearity(die.dac_V[0]).inl[codes + 128]
    assert fit.rms_error / LSB == pytest.approx(math.sqrt(1 / 12 + np.var(inl)), rel=0.25)


def test_cycles_with_a_common_factor_are_refused():
    with pytest.raises(ValueError, match="no factor"):
        sine(1000, 25, 1.0)
    with pytest.raises(ValueError, match="beyond both ends"):
        code_density(np.array([0, 1, 2]), 8, 0.1)


def test_the_successive_approximation_in_rtl_is_the_converter_of_the_model():
    """A sine through the converter bank, two different ADCs behind its trial codes: codes, linearity and bits."""
    die = Die.sample(TINY, DETAILED)
    bank, levels_V = ConverterBank(TINY), die.adc_V
    # Each output sees every fourth sample; 4 * 509 samples, 37 cycles: coherent for each output alone as well.
    scans, cycles, amplitude = 509, 37, 0.97 * FULL
    values = sine(4 * scans, cycles, amplitude).reshape(scans, 4)
    held_V, rows = values[0], []

    async def comparators(ctx):
        async for trial, mux in ctx.changed(bank.trial, bank.mux):
            above = 0
            for a in range(TINY.adcs):
                code = (trial >> 8 * a & 0xFF ^ 0x80)
                above |= int(not held_V[a * TINY.mux_steps + mux] < levels_V[a, code]) << a
            ctx.set(bank.above, above)

    async def bench(ctx):
        nonlocal held_V
        for held in values:
            held_V = held
            ctx.set(bank.start, 1)
            await ctx.tick()
            ctx.set(bank.start, 0)
            await ctx.tick().until(bank.done)
            row = []
            for index in range(4):
                ctx.set(bank.index, index)
                row.append(-ctx.get(bank.codes[0]))
            rows.append(row)

    simulate(bank, bench, comparators)
    codes = np.array(rows)
    expected = np.stack([convert(held, np.repeat(levels_V, 2, axis=0))[0] for held in values])
    assert np.array_equal(codes, np.maximum(expected, -127))
    for output in range(4):
        by_rtl = sine_fit(codes[:, output] * LSB, cycles)
        assert by_rtl == sine_fit(expected[:, output] * LSB, cycles)
        assert 6.5 < by_rtl.enob(FULL) < 7.97, "elements that are 3 % off cost a part of a bit"
