"""The arithmetic of one lane: multiply, accumulate, align, and normalise."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import ACCUMULATOR_BITS, ELEMENT_BITS, MANTISSA_BITS, PRODUCT_FRACTION, guard_bits
from ohmloop_hdl.vector.exponent import MAX_SHIFT
from ohmloop_hdl.vector.rounding import mantissa_of


def sum_bits(config: ChipConfig) -> int:
    """Width of a sum of products before the guard bits are put below it."""
    return ACCUMULATOR_BITS - guard_bits(config.size)


class Lane(wiring.Component):
    """Sums of products, kept with 64 bits until the largest of all lanes is known, then normalised and rounded.

    Pass 1 stores, for each row of the lane's block, ::

        t = (addend 2^23 + (sum of wide narrow, or its negative)) 2^G

    with the term that has the smaller exponent shifted down first, towards minus infinity. Pass 2 reads these back,
    shifts them up and rounds them. Both passes use the same shifter: up is down with the bits in reverse.

    To subtract, the sum starts at -1 and all its bits are inverted in the end: ~(x - 1) = -x.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    wide, narrow : In(signed(32)), In(signed(24))
        Factors.
    accumulate, first, negate : In(1)
        Take the product of the clock before last's factors into the sum; it is the first of it; the sum counts
        negative.
    chain, neighbour : In(1), In(signed(64 - G))
        Take the sum of the next lane instead of a product.
    sum : Out(signed(64 - G))
        The sum.
    store, store_row, read, read_row : In
        Store the sum with the addend (pass 1); read it (pass 2).
    addend : In(signed(32))
        What is added to the sum that is stored in the next clock.
    addend_is_smaller : In(1)
        The addend is the term that is shifted down (pass 1).
    normalise, shift : In(1), In(6)
        0 shifts a term down, 1 shifts the row up that was read in the clock before; by how many places.
    magnitude : Out(64)
        Bits of what would be stored in which it differs from its sign, and above them the sign.
    normalised, mantissa : Out(signed(64)), Out(signed(32))
        The row that was shifted up in the clock before, and its top bits, rounded.

    Latency
    -------
    Factors in clock t; product in t+1; accumulated in t+2, and the addend taken; stored in t+3.
    A row read in clock t is normalised in t+1, and a mantissa in t+2.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "wide": In(signed(MANTISSA_BITS)),
            "narrow": In(signed(ELEMENT_BITS)),
            "accumulate": In(1),
            "first": In(1),
            "negate": In(1),
            "chain": In(1),
            "neighbour": In(signed(sum_bits(config))),
            "sum": Out(signed(sum_bits(config))),
            "store": In(1),
            "store_row": In(range(config.block)),
            "read": In(1),
            "read_row": In(range(config.block)),
            "addend": In(signed(MANTISSA_BITS)),
            "addend_is_smaller": In(1),
            "normalise": In(1),
            "shift": In(range(MAX_SHIFT + 1)),
            "magnitude": Out(ACCUMULATOR_BITS),
            "normalised": Out(signed(ACCUMULATOR_BITS)),
            "mantissa": Out(signed(MANTISSA_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        self._multiply_accumulate(m)
        self._align_normalise(m)
        return m

    def _multiply_accumulate(self, m: Module):
        wide, narrow = Signal.like(self.wide), Signal.like(self.narrow)
        product = Signal(signed(MANTISSA_BITS + ELEMENT_BITS))
        m.d.sync += [wide.eq(self.wide), narrow.eq(self.narrow), product.eq(wide * narrow)]
        before = Mux(self.first, self.negate.replicate(len(self.sum)).as_signed(), self.sum)
        with m.If(self.accumulate):
            m.d.sync += self.sum.eq(before + Mux(self.chain, self.neighbour, product))

    def _align_normalise(self, m: Module):
        guard = guard_bits(self.config.size)
        products, addend, smaller, larger, total = (
            Signal(signed(ACCUMULATOR_BITS), name=name)
            for name in ("products", "addend", "smaller", "larger", "total"))
        m.d.sync += addend.eq(self.addend << (guard + PRODUCT_FRACTION - MANTISSA_BITS + 1))
        m.d.comb += [
            products.eq((self.sum ^ self.negate.replicate(len(self.sum))) << guard),
            smaller.eq(Mux(self.addend_is_smaller, addend, products)),
            larger.eq(Mux(self.addend_is_smaller, products, addend)),
        ]

        rows = m.submodules.rows = Memory(
            shape=ACCUMULATOR_BITS, depth=self.config.block, init=[], attrs={"no_rw_check": "1"})
        write, read = rows.write_port(), rows.read_port()
        sign = total[-1]
        shifted = Signal(ACCUMULATOR_BITS)
        m.d.comb += [
            shifted.eq(Cat(Mux(self.normalise, read.data[::-1], smaller),
                           Mux(self.normalise, 0, smaller[-1])).as_signed() >> self.shift),
            total.eq(larger + shifted.as_signed()),
            self.magnitude.eq(total ^ Cat(sign.replicate(ACCUMULATOR_BITS - 1), 0)),
            write.addr.eq(self.store_row),
            write.data.eq(total),
            write.en.eq(self.store),
            read.addr.eq(self.read_row),
            read.en.eq(self.read),
            self.mantissa.eq(mantissa_of(self.normalised, MANTISSA_BITS)),
        ]
        m.d.sync += self.normalised.eq(shifted[::-1])
