"""Normalising and rounding, exhaustively at small widths."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.hdl import signed as shape
from verification.unit.simulation import signed, simulate

from ohmloop_hdl.vector.rounding import mantissa_of, normalised, rounds_up


@pytest.mark.parametrize("width", [2, 3, 5, 7, 8, 11])
def test_normalised(width: int):
    m = Module()
    value, result, places = Signal(width), Signal(width), Signal(8)
    expression, count = normalised(value)
    m.d.comb += [result.eq(expression), places.eq(count)]

    async def run(ctx):
        for number in range(1, 1 << width):
            ctx.set(value, number)
            expected = width - number.bit_length()
            assert (ctx.get(result), ctx.get(places)) == (number << expected, expected)
        ctx.set(value, 0)
        assert (ctx.get(result), ctx.get(places)) == (0, (1 << (width - 1).bit_length()) - 1)

    simulate(m, run)


@pytest.mark.parametrize(("width", "bits"), [(3, 2), (5, 4), (7, 3), (9, 4), (10, 8), (11, 2)])
def test_mantissa_of(width: int, bits: int):
    m = Module()
    value, result = Signal(shape(width)), Signal(shape(bits))
    m.d.comb += result.eq(mantissa_of(value, bits))

    async def run(ctx):
        for number in range(1 << width):
            ctx.set(value, number)
            # Python rounds half to even.
            nearest = round(signed(number, width) / (1 << (width - bits)))
            assert ctx.get(result) == min(nearest, (1 << (bits - 1)) - 1)

    simulate(m, run)


@pytest.mark.parametrize("lost", [1, 2, 3, 6])
def test_rounds_up(lost: int):
    m = Module()
    below, odd, rest, result = Signal(lost), Signal(), Signal(), Signal()
    m.d.comb += result.eq(rounds_up(below, odd, rest))

    async def run(ctx):
        for number in range(1 << lost):
            for kept in (2, 3):
                for left in (0, 1):
                    ctx.set(below, number)
                    ctx.set(odd, kept & 1)
                    ctx.set(rest, left)
                    exact = kept + (number + left / 4) / (1 << lost)
                    assert kept + ctx.get(result) == round(exact)

    simulate(m, run)
