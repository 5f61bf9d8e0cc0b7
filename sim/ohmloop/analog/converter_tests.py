"""Tests of converters as the field does them: transfer curves, code density, sine fit.

Methods and names follow IEEE Std 1241 (ADCs), 1658 (DACs) and 1057 (sine fit). All errors are in LSB; INL is from the
straight line through the ends of the curve.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Linearity:
    """Differential and integral nonlinearity in LSB: (codes,) a step, and a level."""

    dnl: Array
    inl: Array

    @property
    def worst(self) -> tuple[float, float]:
        """Largest magnitudes of DNL and INL."""
        return float(np.abs(self.dnl).max()), float(np.abs(self.inl).max())


def linearity(levels: Array) -> Linearity:
    """Of the output levels of a DAC or the thresholds of an ADC, ascending by code, in any unit; (L,) with L > 2.

    The LSB is the mean step. DNL has L - 1 entries, INL L, the first and last of them zero.
    """
    levels = np.asarray(levels, dtype=np.float64)
    step = (levels[-1] - levels[0]) / (len(levels) - 1)
    return Linearity(np.diff(levels) / step - 1.0, (levels - levels[0]) / step - np.arange(len(levels)))


def sine(samples: int, cycles: int, amplitude: float, offset: float = 0.0, phase: float = 0.1) -> Array:
    """``samples`` values of a sine with a whole number of cycles, which shares no factor with their number.

    Then no two samples have the same phase. Errors: ``ValueError`` where they do.
    """
    if math.gcd(samples, cycles) != 1:
        raise ValueError(f"cycles must share no factor with the {samples} samples, {cycles} does")
    return offset + amplitude * np.sin(2.0 * np.pi * cycles * np.arange(samples) / samples + phase)


def code_density(codes: NDArray, adc_bits: int, amplitude: float, offset: float = 0.0) -> Array:
    """Thresholds of an ADC from how often each code comes up on a sine, in the unit of ``amplitude``.

    A sine is below T for the part arccos(-(T - offset)/amplitude)/pi of the time, so with H_k the share of codes below
    k::

        T_k = offset - amplitude cos(pi H_k)

    ``codes``: raw codes of :func:`sine`, which must go beyond the ends. Returns (2^B - 1,): the thresholds of the codes
    -2^(B-1) + 1 to 2^(B-1) - 1. With S samples one threshold is good to about amplitude pi / S at the middle.
    """
    half = 1 << adc_bits - 1
    histogram = np.bincount(np.asarray(codes) + half, minlength=2 * half)
    if not (histogram[0] and histogram[-1]):
        raise ValueError("the sine must go beyond both ends of the converter")
    below = np.cumsum(histogram)[:-1] / len(codes)
    return offset - amplitude * np.cos(np.pi * below)


@dataclass(frozen=True)
class SineFit:
    """Least-squares sine of a known number of cycles, and what it leaves."""

    amplitude: float
    offset: float
    rms_error: float

    @property
    def sinad_dB(self) -> float:
        """Signal to noise and distortion, decibels."""
        return 20.0 * math.log10(self.amplitude / math.sqrt(2.0) / self.rms_error)

    def enob(self, full_scale: float) -> float:
        """Effective bits of a converter that spans +-``full_scale``: log2(2 full_scale / (sqrt(12) rms_error)).

        It is (SINAD - 1.76 dB) / 6.02 dB for a sine that fills the range.
        """
        return math.log2(2.0 * full_scale / (self.rms_error * math.sqrt(12.0)))


def sine_fit(values: Array, cycles: int) -> SineFit:
    """Three-parameter fit: offset, and amplitudes of sine and cosine."""
    angle = 2.0 * np.pi * cycles * np.arange(len(values)) / len(values)
    basis = np.stack([np.sin(angle), np.cos(angle), np.ones(len(values))], axis=1)
    found = np.linalg.lstsq(basis, np.asarray(values, dtype=np.float64), rcond=None)[0]
    error = values - basis @ found
    return SineFit(float(np.hypot(*found[:2])), float(found[2]), float(np.sqrt(np.mean(error ** 2))))
