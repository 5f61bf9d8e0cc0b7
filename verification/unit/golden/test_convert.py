"""Roundings of the golden machine, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from verification.unit.simulation import seeded

from ohmloop.golden.convert import input_codes, result_codes, result_mantissas, round_half_even, saturate
from ohmloop_hdl.config import ChipConfig


@pytest.mark.parametrize("shift", [1, 2, 3, 8, 18, 24, 26, 31])
def test_round_half_even(shift: int):
    random = seeded(shift)
    half = 1 << (shift - 1)
    ties = [k * half + d for k in range(-9, 10) for d in (-1, 0, 1)]
    values = ties + [random.randrange(-(1 << 31), 1 << 31) for _ in range(200)] + [-(1 << 31), (1 << 31) - 1]
    assert round_half_even(np.array(values), shift).tolist() == [round(Fraction(v, 1 << shift)) for v in values]


def test_saturate_is_symmetric():
    values = np.arange(-140, 140)
    assert saturate(values, 8).tolist() == [max(-127, min(127, v)) for v in range(-140, 140)]


@pytest.mark.parametrize(("mantissa", "code"), [
    (0, 0), (1 << 23, 0), ((1 << 23) + 1, 1), (3 << 23, 2), (5 << 23, 2), (-(1 << 23), 0), (-(1 << 23) - 1, -1),
    (-(3 << 23), -2), ((1 << 31) - 1, 127), (-(1 << 31), -127), (127 << 24, 127), ((127 << 24) + (1 << 23), 127),
])
def test_input_codes_of_the_reference(mantissa: int, code: int):
    assert input_codes(np.array([mantissa]), ChipConfig()).tolist() == [code]


@pytest.mark.parametrize("bits", [6, 8, 14])
def test_result_codes_are_negated_once_and_symmetric(bits: int):
    config, top = ChipConfig(adc_bits=bits), 1 << (bits - 1)
    raw = np.array([-top, 1 - top, -1, 0, 1, top - 1])
    codes = result_codes(raw, config)
    assert codes.tolist() == [top - 1, top - 1, 1, 0, -1, 1 - top]
    assert result_mantissas(codes, config).tolist() == [code * 2 ** (32 - bits) for code in codes.tolist()]
