"""Rounding, saturation and magnitude as hardware, exhaustively against Python integers at a small width."""

from fractions import Fraction

import pytest
from amaranth.hdl import Module, Signal
from amaranth.hdl import signed as signed_shape

from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN, magnitude, round_half_even, saturate
from verification.unit.simulation import simulate

WIDTH = 7


def evaluate(function, values) -> list[int]:
    """``function`` of an Amaranth expression, for every one of ``values`` of a signed signal of WIDTH bits."""
    m = Module()
    value, result = Signal(signed_shape(WIDTH)), Signal(signed_shape(16))
    m.d.comb += result.eq(function(value))
    results = []

    async def bench(ctx):
        for number in values:
            ctx.set(value, number)
            results.append(ctx.get(result))

    simulate(m, bench)
    return results


ALL = range(-(1 << (WIDTH - 1)), 1 << (WIDTH - 1))


@pytest.mark.parametrize("shift", range(1, WIDTH))
def test_round_half_even(shift: int):
    assert evaluate(lambda value: round_half_even(value, shift), ALL) == [round(Fraction(v, 1 << shift)) for v in ALL]


def test_round_half_even_needs_something_to_round():
    with pytest.raises(ValueError, match="^shift must be at least 1, not 0$"):
        round_half_even(Signal(signed_shape(WIDTH)), 0)


@pytest.mark.parametrize("width", range(2, WIDTH + 2))
def test_saturate(width: int):
    limit = (1 << (width - 1)) - 1
    assert evaluate(lambda value: saturate(value, width), ALL) == [max(-limit, min(limit, v)) for v in ALL]


def test_magnitude():
    symmetric = ALL[1:]
    assert evaluate(magnitude, symmetric) == [abs(v) for v in symmetric]


def test_exponents_have_ten_bits():
    assert (EXPONENT_MIN, EXPONENT_MAX) == (-512, 511)
