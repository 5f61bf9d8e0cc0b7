"""Converters of the macro: input levels, output thresholds, and the read noise that all bodies share bit for bit."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

TIE_LSB = 2.0 ** -20
"""How far below the mid-tread position every threshold sits. An exact tie, which structured matrices with infinite gain
produce, then falls upward in every body, whatever its rounding."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_DRAWS = 12


def dac_levels(codes: NDArray, dac_bits: int, full_scale_V: float, drive_range: int = 0) -> Array:
    """Input drive in volts of signed codes: d / 2^(B-1) * full scale / 2^drive_range, same shape as ``codes``.

    The range is a smaller input conductance, which acts on the loop exactly like a smaller voltage. It has no effect in
    multiply mode: pass 0 there.
    """
    return np.asarray(codes) * (full_scale_V / (1 << (dac_bits - 1)) / (1 << drive_range))


def adc_levels(adc_bits: int, full_scale_V: float) -> Array:
    """Threshold in volts of every code from -2^(B-1) to 2^(B-1)-1, ascending: (k - 1/2 - 2^-20) LSB."""
    half = 1 << (adc_bits - 1)
    return (np.arange(-half, half) - 0.5 - TIE_LSB) * (full_scale_V / half)


def convert(held_V: Array, levels: Array) -> NDArray[np.int64]:
    """Raw codes of held voltages: the greatest code whose level is not above the input.

    Parameters
    ----------
    held_V : Array
        Held outputs, any shape. Not a number reads as the top code.
    levels : Array
        (2^B,) from :func:`adc_levels`.

    Returns
    -------
    NDArray[np.int64]
        Codes from -2^(B-1) to 2^(B-1)-1; replacing -2^(B-1) and negating are up to the digital half.
    """
    below = np.searchsorted(levels, held_V, side="right")
    return np.maximum(below, 1) - 1 - len(levels) // 2


def threshold_distance(held_V: Array, levels: Array) -> Array:
    """Distance in LSB of each held voltage to the nearest threshold between two codes; below 1e-6 counts as a tie."""
    lsb = levels[1] - levels[0]
    between = levels[1:]
    above = np.clip(np.searchsorted(between, held_V), 0, len(between) - 1)
    below = np.maximum(above - 1, 0)
    held_V = np.asarray(held_V)
    return np.minimum(np.abs(held_V - between[above]), np.abs(held_V - between[below])) / lsb


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One scramble of 64-bit words, wrapping (the finaliser of splitmix64, Steele et al., OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def read_noise(seed: int, sample: int, size: int, sigma_V: float) -> Array:
    """Noise in volts that sample number ``sample`` adds to each of ``size`` outputs, shape (size,).

    A key is scrambled in turn with the seed, the sample, the output i and the draw j, each step adding
    (1 + index) * 0x9E3779B97F4A7C15 modulo 2^64. The top halves of twelve draws are summed as integers, so that every
    body computes the same number: (sum 2^-32 - 6) sigma, close to Gaussian with unit variance before the factor.
    """
    if sigma_V == 0.0:
        return np.zeros(size)
    with np.errstate(over="ignore"):
        key = _mix(np.array([seed], dtype=np.uint64) + _GOLDEN)
        key = _mix(key + np.uint64(sample + 1) * _GOLDEN)
        key = _mix(key + np.arange(1, size + 1, dtype=np.uint64) * _GOLDEN)
        draws = _mix(key[:, None] + np.arange(1, _DRAWS + 1, dtype=np.uint64) * _GOLDEN)
    total = (draws >> np.uint64(32)).sum(axis=1)
    return (total * 2.0 ** -32 - 6.0) * sigma_V
