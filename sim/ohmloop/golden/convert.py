"""Roundings between vectors and codes, in plain integers."""

import numpy as np

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import GAIN_FRACTION, MANTISSA_BITS, OFFSET_BITS, OFFSET_FRACTION

Integers = np.ndarray
"""An array of int64."""


def round_half_even(values: Integers, shift: int) -> Integers:
    """``values / 2^shift`` to the nearest integer, halves to even; ``shift`` at least 1."""
    half = np.int64(1) << np.int64(shift - 1)
    floor = values >> shift
    rest = values - (floor << shift)
    return floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))


def saturate(values: Integers, bits: int) -> Integers:
    """Clamp to the symmetric range +-(2^(bits-1) - 1)."""
    limit = (1 << (bits - 1)) - 1
    return np.clip(values, -limit, limit)


def input_codes(mantissas: Integers, config: ChipConfig) -> Integers:
    """DAC codes of Q1.31 mantissas."""
    return saturate(round_half_even(mantissas, MANTISSA_BITS - config.dac_bits), config.dac_bits)


def result_codes(raw: Integers, config: ChipConfig) -> Integers:
    """Codes as the converter bank stores them: clamped to the symmetric range, then negated once."""
    return -saturate(raw, config.adc_bits)


def result_mantissas(codes: Integers, config: ChipConfig) -> Integers:
    """Q1.31 mantissas of stored codes."""
    return codes << (MANTISSA_BITS - config.adc_bits)


def corrected_codes(codes: Integers, offsets: Integers, gains: Integers, config: ChipConfig) -> Integers:
    """Stored codes (N,) less their offsets (N,) in 1/16 LSB, times the gain (adcs,) UQ1.15 of their converter."""
    fine = ((codes << OFFSET_FRACTION) - offsets) * np.repeat(gains, config.mux_steps)
    return saturate(round_half_even(fine, OFFSET_FRACTION + GAIN_FRACTION), config.adc_bits)


def measured_offsets(codes: Integers) -> Integers:
    """Offsets in 1/16 LSB of codes that a loop with zero drive gave."""
    return saturate(codes << OFFSET_FRACTION, OFFSET_BITS)
