"""The shared exponent of a result, and the shifts that lead to it."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import (
    ACCUMULATOR_BITS,
    EXPONENT_BITS,
    EXPONENT_MAX,
    EXPONENT_MIN,
    PRODUCT_FRACTION,
    guard_bits,
)
from ohmloop_hdl.vector.rounding import normalised

MAX_SHIFT = ACCUMULATOR_BITS - 1
"""Longest shift of a sum; a longer one down would give the same."""

TERM_EXPONENT = signed(EXPONENT_BITS + 2)
"""Exponent of a term or of a result before it is limited, or a difference of two."""

ZERO_EXPONENT = 2 * EXPONENT_MIN
"""Exponent of a term that reads zero: below that of every other term, so a zero never costs the other term bits."""


class BlockExponent(wiring.Component):
    """What all lanes have in common: how far their terms are shifted down, and their sums up.

    Sums are on the grid 2^(E - 54 - G), E the larger exponent of the two terms. The bitwise OR of all sums has the bit
    length l of the largest one; shifted up by 63 - l they fill their mantissas, and the exponent is E - 54 - G + l. It
    is the smallest where all sums are zero, and where it would be smaller than that.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    align, addend, product : In(1), In(signed(12)), In(signed(12))
        Take the exponents of the two terms.
    add, magnitude : In(1), In(64)
        Take sums: the bits in which any of them differs from its sign, and above them whether one is negative.
    encode : In(1)
        All sums are taken.
    addend_is_smaller, shift : Out(1), Out(6)
        Which term is shifted down; from ``align`` to ``encode`` how far it is, then how far sums are shifted up.
    exponent, overflow : Out(signed(10)), Out(1)
        From ``encode`` on: exponent of the result, unless it is above the largest.

    Latency
    -------
    One clock from ``align``, ``add`` and ``encode`` to what they change.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "align": In(1),
            "addend": In(TERM_EXPONENT),
            "product": In(TERM_EXPONENT),
            "add": In(1),
            "magnitude": In(ACCUMULATOR_BITS),
            "encode": In(1),
            "addend_is_smaller": Out(1),
            "shift": Out(range(MAX_SHIFT + 1)),
            "exponent": Out(signed(EXPONENT_BITS)),
            "overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        grid, difference, exponent = Signal(TERM_EXPONENT), Signal(TERM_EXPONENT), Signal(TERM_EXPONENT)
        magnitude = Signal(ACCUMULATOR_BITS)
        _, places = normalised(magnitude[:MAX_SHIFT])
        # With all 63 places to spare the sums are 0 or -1.
        all_zero = ~magnitude.any()
        distance = Mux(difference < 0, -difference, difference)
        m.d.comb += difference.eq(self.product - self.addend)
        with m.If(self.align):
            m.d.sync += [
                self.addend_is_smaller.eq(difference >= 0),
                grid.eq(Mux(difference >= 0, self.product, self.addend)),
                self.shift.eq(Mux(distance > MAX_SHIFT, MAX_SHIFT, distance)),
            ]
        with m.If(self.add):
            m.d.sync += magnitude.eq(magnitude | self.magnitude)
        with m.If(self.encode):
            largest = MAX_SHIFT - PRODUCT_FRACTION - guard_bits(self.config.size)
            m.d.sync += [
                self.shift.eq(places),
                exponent.eq(Mux(all_zero, EXPONENT_MIN, grid + largest - places)),
                magnitude.eq(0),
            ]
        m.d.comb += [
            self.exponent.eq(Mux(exponent < EXPONENT_MIN, EXPONENT_MIN, exponent)),
            self.overflow.eq(exponent > EXPONENT_MAX),
        ]
        return m
