"""Input levels, thresholds, ties and read noise."""

import numpy as np
import pytest

from ohmloop.analog.cells import Die
from ohmloop.analog.converters import adc_ratios, convert, read_noise
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import CONFIGS

LEVELS = adc_ratios(8) * 0.4
LSB = 0.4 / 128


def test_codes_are_mid_tread_and_saturate():
    held = np.array([0.0, 0.49, -0.49, 0.51, -0.51, 127.4, 200.0, -128.4, -300.0]) * LSB
    assert convert(held, LEVELS)[0].tolist() == [0, 0, 0, 1, -1, 127, 127, -128, -128]


def test_not_a_number_and_infinity_read_the_top_code():
    assert convert(np.array([np.nan, np.inf, -np.inf]), LEVELS)[0].tolist() == [127, 127, -128]


@pytest.mark.parametrize("bits", [6, 8, 14])
def test_an_exact_tie_falls_upward_whatever_the_rounding(bits):
    half = 1 << (bits - 1)
    codes = np.arange(1 - half, half)
    tie = (codes - 0.5) * (0.4 / half)
    for rounded in (tie, tie * (1 + 4e-16), tie * (1 - 4e-16)):
        assert np.array_equal(convert(rounded, adc_ratios(bits) * 0.4)[0], codes)


def test_every_code_is_the_greatest_whose_level_is_not_above_the_input():
    held = np.random.default_rng(0).uniform(-0.5, 0.5, 2000)
    codes, _ = convert(held, LEVELS)
    by_definition = [max([k for k in range(-128, 128) if not v < LEVELS[0, k + 128]], default=-128) for v in held]
    assert codes.tolist() == by_definition


def test_margin_is_the_distance_to_the_nearest_threshold_met():
    held = np.array([0.0, 0.5, 0.25, -0.6, 126.5, 130.5, -140.5]) * LSB
    expected = [0.5, 0.0, 0.25, 0.1, 0.0, 4.0, 13.0]
    assert convert(held, LEVELS)[1] == pytest.approx(expected, abs=2e-6)
    assert (convert((np.arange(-127, 128) - 0.5) * LSB, LEVELS)[1] < 1e-6).all()


def test_drive_range_keeps_every_bit_of_the_code():
    die = Die(CONFIGS["tiny"], AnalogParams())
    codes = np.array([-127, -1, 1, 127])
    assert die.input_V(codes).tolist() == [-127 * LSB, -LSB, LSB, 127 * LSB]
    assert die.input_V(codes, 7).tolist() == (die.input_V(codes) / 128).tolist()


def test_noise_is_white_and_nearly_gaussian():
    noise = np.array([read_noise(11, s, 64, 1e-3) for s in range(2000)]) / 1e-3
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    assert (noise ** 4).mean() == pytest.approx(2.9, abs=0.1)  # twelve uniforms: 3 - 6/(5*12)
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.01
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 0.01


def test_noise_is_a_pure_function_of_seed_sample_and_output():
    assert np.array_equal(read_noise(1, 5, 8, 1.0), read_noise(1, 5, 64, 1.0)[:8])
    assert not np.array_equal(read_noise(1, 5, 8, 1.0), read_noise(2, 5, 8, 1.0))
    assert not np.array_equal(read_noise(1, 5, 8, 1.0), read_noise(1, 6, 8, 1.0))
    assert not read_noise(1, 5, 8, 0.0).any()


def test_noise_of_one_sample_by_plain_integers():
    """The hash spelled out in Python integers, as another body would write it."""
    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2 ** 64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2 ** 64
        return z ^ (z >> 31)

    key = mix((77 + 0x9E3779B97F4A7C15) % 2 ** 64)
    for index in (3, 2):  # sample 3, output 2
        key = mix((key + (index + 1) * 0x9E3779B97F4A7C15) % 2 ** 64)
    total = sum(mix((key + j * 0x9E3779B97F4A7C15) % 2 ** 64) >> 32 for j in range(1, 13))
    assert read_noise(77, 3, 4, 1.0)[2] == total / 2 ** 32 - 6
