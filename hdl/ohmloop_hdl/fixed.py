"""Fixed-point formats and roundings of the digital half, as hardware expressions.

Formats follow the notation of Amaranth RFC 41: ``SQ(i, f)`` is a signed number of i integer and f fraction bits.
"""

from amaranth.hdl import Mux, Value

MANTISSA_BITS = 32
"""Width of a vector mantissa, SQ(1, 31)."""

EXPONENT_BITS = 10
"""Width of a vector's shared exponent, two's complement."""

EXPONENT_MIN = -(1 << (EXPONENT_BITS - 1))
"""The smallest exponent: a vector that has it reads as zero whatever its mantissas."""

EXPONENT_MAX = (1 << (EXPONENT_BITS - 1)) - 1
"""The largest exponent; a result beyond it traps ``range``."""

VECTORS = 16
"""Vector registers v0 to v15; v0 reads zero."""

ELEMENT_BITS = 24
"""Width of a matrix element in a slot and of a scalar's mantissa, SQ(1, 23): the narrow port of the multipliers."""

SCALARS = 16
"""Scalar registers k0 to k15; k0 reads one."""

ONE_MANTISSA, ONE_EXPONENT = 1 << (ELEMENT_BITS - 2), 1
"""What k0 reads: one half times two, for the format has no one."""

ACCUMULATOR_BITS = 64
"""Width of a sum of products before it is normalised."""

PRODUCT_FRACTION = MANTISSA_BITS + ELEMENT_BITS - 2
"""Fraction bits of a product of a mantissa and an element."""


def guard_bits(size: int) -> int:
    """G: bits by which sums are kept finer than single products, 8 - log2 N; N products and one addend still fit."""
    return 9 - size.bit_length()

OFFSET_FRACTION, OFFSET_BITS = 4, 16
"""A measured offset of an output: signed, in 1/16 LSB."""

GAIN_FRACTION, GAIN_BITS = 15, 16
"""The gain of a converter channel, UQ(1, 15)."""

GAIN_ONE = 1 << GAIN_FRACTION
"""Gain 1, to which ``zeroize`` sets every channel."""


def round_half_even(value: Value, shift: int) -> Value:
    """``value / 2^shift`` rounded to the nearest integer, halves to even; one bit wider than the floor.

    Parameters: a signed ``value`` and a constant ``shift`` of at least 1. Purely combinational.
    """
    if shift < 1:
        raise ValueError(f"shift must be at least 1, not {shift!r}")
    half, odd = value[shift - 1], value[shift]
    sticky = value[:shift - 1].any() if shift > 1 else 0
    return value[shift:].as_signed() + (half & (sticky | odd))


def saturate(value: Value, width: int) -> Value:
    """Signed ``value`` clamped to the symmetric range +-(2^(width-1) - 1), as ``signed(width)``."""
    limit = (1 << (width - 1)) - 1
    clamped = Mux(value > limit, limit, Mux(value < -limit, -limit, value))
    return clamped[:width].as_signed()


def popcount(value: Value) -> Value:
    """Number of ones in ``value``, as a tree of adders."""
    half = len(value) // 2
    return popcount(value[:half]) + popcount(value[half:]) if half else value


def magnitude(value: Value) -> Value:
    """Absolute value of a signed ``value`` in the symmetric range, one bit narrower than ``value``."""
    return Mux(value < 0, -value, value)[:len(value) - 1]
