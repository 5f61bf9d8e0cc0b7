"""Converters of the macro: input levels, output thresholds, and the read noise that all bodies share bit for bit."""

from collections.abc import Callable

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


def dac_ratios(dac_bits: int, element_sigma: float = 0.0, count: int = 1,
               generator: np.random.Generator | None = None) -> Array:
    """Level over full scale of every signed code from -2^(B-1) on, d / 2^(B-1), shape (count, 2^B).

    A binary-weighted converter: bit b is 2^b unit elements of spread ``element_sigma``, so its weight has the error
    element_sigma sqrt(2^b) LSB; the sign bit is the largest. Ends are what they turn out to be: errors of gain and
    offset are in the levels. ``generator`` draws the elements.
    """
    return _weighted(dac_bits, element_sigma, count, generator) / (1 << dac_bits - 1)


def adc_ratios(adc_bits: int, element_sigma: float = 0.0, count: int = 1,
               generator: np.random.Generator | None = None) -> Array:
    """Threshold over full scale of every code from -2^(B-1) on, (k - 1/2 - 2^-20) / 2^(B-1), shape (count, 2^B).

    The elements are those of :func:`dac_ratios`: the converter inside makes the levels that the input is compared with.
    """
    return (_weighted(adc_bits, element_sigma, count, generator) - 0.5 - TIE_LSB) / (1 << adc_bits - 1)


def _weighted(bits: int, sigma: float, count: int, generator: np.random.Generator | None) -> Array:
    """Sums in LSB of the elements that each code switches on, less half of all of them, (count, 2^bits)."""
    half = 1 << bits - 1
    codes = np.arange(-half, half)
    if sigma == 0.0 or generator is None:
        return np.broadcast_to(codes.astype(np.float64), (count, 2 * half))
    weights = 2.0 ** np.arange(bits)
    error = sigma * np.sqrt(weights) * generator.standard_normal((count, bits))
    switched = (codes + half)[:, None] >> np.arange(bits) & 1
    # Element errors count from mid-scale, so that code 0 is 0 V: the output stage is differential.
    steps = error @ switched.T
    return codes + steps - steps[:, half, None]


def convert(held_V: Array, levels_V: Array, noise_V: Callable[[NDArray[np.int64]], Array] | None = None,
            ) -> tuple[NDArray[np.int64], Array]:
    """Successive approximation of held voltages, bit by bit as the converter bank does it.

    With ascending levels and no noise the code is the greatest one whose level is not above the input.

    Parameters
    ----------
    held_V : Array
        (N,) held outputs. Not a number reads as the top code.
    levels_V : Array
        (N or 1, 2^B) thresholds of the converter of each output.
    noise_V : callable, optional
        Trial codes (N,) to the noise in volts of the comparisons with them.

    Returns
    -------
    codes : NDArray[np.int64]
        (N,) from -2^(B-1) to 2^(B-1)-1; replacing -2^(B-1) and negating are up to the digital half.
    margin : Array
        (N,) smallest distance in LSB of any decision from its threshold; below 1e-6 counts as a tie.
    """
    half = levels_V.shape[1] >> 1
    lsb = (levels_V[:, -1:] - levels_V[:, :1]) / (2 * half - 1)
    row = np.arange(len(held_V)) if len(levels_V) > 1 else np.zeros(len(held_V), dtype=np.int64)
    codes = np.full(len(held_V), -half)
    margin = np.full(len(held_V), np.inf)
    bit = half
    while bit:
        trial = codes + bit
        excess = held_V - levels_V[row, trial + half]
        if noise_V is not None:
            excess = excess + noise_V(trial)
        codes = np.where(excess < 0.0, codes, trial)
        margin = np.fmin(margin, np.abs(excess))
        bit >>= 1
    return codes, margin / lsb[row, 0]


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One scramble of 64-bit words, wrapping (the finaliser of splitmix64, Steele et al., OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def hash_words(seed: int, *indices: int | NDArray) -> NDArray[np.uint64]:
    """64-bit words that look random and depend on nothing but the seed and the indices, which broadcast.

    A key is scrambled in turn with the seed, to which 0x9E3779B97F4A7C15 is added, and with one index after the other,
    each step adding (1 + index) times that number, modulo 2^64.
    """
    with np.errstate(over="ignore"):
        key = _mix(np.array(seed, dtype=np.uint64) + _GOLDEN)
        for index in indices:
            key = _mix(key + (np.asarray(index, dtype=np.uint64) + np.uint64(1)) * _GOLDEN)
    return key


def gaussian(seed: int, *indices: int | NDArray) -> Array:
    """Numbers close to Gaussian of mean 0 and variance 1 that depend on nothing but seed and indices.

    Every body computes the same: the top halves of twelve words, drawn from the key of the indices with j = 0 to 11 as
    one more index, are summed as integers; the number is sum 2^-32 - 6.
    """
    key = hash_words(seed, *indices)
    with np.errstate(over="ignore"):
        draws = _mix(key[..., None] + np.arange(1, _DRAWS + 1, dtype=np.uint64) * _GOLDEN)
    return (draws >> np.uint64(32)).sum(axis=-1) * 2.0 ** -32 - 6.0


def read_noise(seed: int, sample: int, size: int, sigma_V: float) -> Array:
    """Noise in volts that sample number ``sample`` adds to each of ``size`` outputs, shape (size,)."""
    if sigma_V == 0.0:
        return np.zeros(size)
    return gaussian(seed, sample, np.arange(size)) * sigma_V
