"""Block floating point in plain integers: what the vector unit and the scalar unit must compute, bit for bit."""

from dataclasses import dataclass

import numpy as np

from ohmloop.golden.convert import Integers, round_half_even
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import (
    ACCUMULATOR_BITS,
    ELEMENT_BITS,
    EXPONENT_MIN,
    MANTISSA_BITS,
    ONE_EXPONENT,
    ONE_MANTISSA,
    PRODUCT_FRACTION,
    guard_bits,
)

ZERO_EXPONENT = 2 * EXPONENT_MIN
"""Exponent of a term that reads zero: below that of every other term, so a zero never costs the other term bits."""

MAX_ALIGN = ACCUMULATOR_BITS - 1
"""Longest shift of a term; a longer one would give the same."""

QUOTIENT_FRACTION = ELEMENT_BITS + 1
"""Fraction bits of a quotient before it is rounded: the result's, and two more to round by."""


@dataclass(frozen=True)
class Scalar:
    """A scalar register: mantissa SQ(1, 23) and exponent; value mantissa * 2^(exponent - 23)."""

    mantissa: int
    exponent: int

    @property
    def zero(self) -> bool:
        """Reads zero by its exponent or by its mantissa."""
        return self.exponent == EXPONENT_MIN or self.mantissa == 0

    @property
    def normal(self) -> tuple[int, int]:
        """Magnitude with its top bit (of 24) set, and the exponent that goes with it; not for zero."""
        magnitude = abs(self.mantissa)
        shift = ELEMENT_BITS - magnitude.bit_length()
        return magnitude << shift, self.exponent - shift


ONE = Scalar(ONE_MANTISSA, ONE_EXPONENT)


def block(sums: Integers, grid: int, bits: int, size: int) -> tuple[Integers, int]:
    """Round sums of products to a block with one exponent.

    ``sums`` are int64 on the grid 2^(``grid`` - 54 - G). All are shifted by what puts the top bit of the largest
    (by the bits in which any of them differs from its sign) below the sign of a ``bits``-bit mantissa, rounded half to
    even and saturated, never shifted again. Returns mantissas and exponent; the exponent is not limited here, and is
    the smallest where all sums are zero.
    """
    if not sums.any():
        return np.zeros_like(sums), EXPONENT_MIN
    length = int(np.bitwise_or.reduce(sums ^ (sums >> MAX_ALIGN))).bit_length()
    rounded = round_half_even(sums << (MAX_ALIGN - length), ACCUMULATOR_BITS - bits)
    exponent = grid - PRODUCT_FRACTION - guard_bits(size) + length
    return np.minimum(rounded, (1 << (bits - 1)) - 1), max(exponent, EXPONENT_MIN)


def add_product(addend: Integers, addend_exponent: int, products: Integers, product_exponent: int,
                config: ChipConfig) -> tuple[Integers, int]:
    """``addend + products`` as a vector: mantissas (N,) and exponent.

    ``addend``: mantissas (N,), zero where their exponent says so; ``products``: finished sums of products (N,), signed
    as they are to be added. The term with the smaller exponent is shifted down, towards minus infinity.
    """
    guard = guard_bits(config.size)
    sums, products = addend << (PRODUCT_FRACTION - MANTISSA_BITS + 1 + guard), products << guard
    grid = max(addend_exponent, product_exponent)
    sums = (sums >> min(grid - addend_exponent, MAX_ALIGN)) + (products >> min(grid - product_exponent, MAX_ALIGN))
    return block(sums, grid, MANTISSA_BITS, config.size)


def dot(a: Integers, s: Integers, exponent: int, config: ChipConfig) -> Scalar:
    """<a, s> of mantissas (N,) with exponents that add up to ``exponent``; a gives its top 24 bits."""
    total = np.sum((a >> (MANTISSA_BITS - ELEMENT_BITS)) * s) << guard_bits(config.size)
    mantissas, result = block(np.atleast_1d(total), exponent, ELEMENT_BITS, config.size)
    return Scalar(int(mantissas[0]), result)


def divide(i: Scalar, j: Scalar) -> Scalar:
    """i / j rounded half to even; j is not zero. The exponent may be above the largest."""
    if i.zero:
        return Scalar(0, EXPONENT_MIN)
    (dividend, dividend_exponent), (divisor, divisor_exponent) = i.normal, j.normal
    quotient, rest = divmod(dividend << QUOTIENT_FRACTION, divisor)
    shift = quotient.bit_length() - (ELEMENT_BITS - 1)
    half, kept = 1 << (shift - 1), quotient >> shift
    below = quotient & ((1 << shift) - 1)
    kept += below > half or (below == half and (rest > 0 or kept & 1 == 1))
    mantissa = min(kept, (1 << (ELEMENT_BITS - 1)) - 1)
    negative = (i.mantissa < 0) != (j.mantissa < 0)
    exponent = dividend_exponent - divisor_exponent + shift - 2
    return Scalar(-mantissa if negative else mantissa, max(exponent, EXPONENT_MIN))


def not_above(i: Scalar, j: Scalar, power: int) -> bool:
    """i <= 2^power j, exactly."""
    def key(scalar: Scalar, power: int) -> tuple[int, int, int]:
        if scalar.zero:
            return 0, 0, 0
        magnitude, exponent = scalar.normal
        sign = -1 if scalar.mantissa < 0 else 1
        return sign, sign * (exponent + power), sign * magnitude

    return key(i, 0) <= key(j, power)
