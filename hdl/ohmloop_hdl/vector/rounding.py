"""Normalising and rounding of block floating point, as hardware expressions. Purely combinational."""

from amaranth.hdl import Cat, Const, Mux, Value


def normalised(value: Value) -> tuple[Value, Value]:
    """``value`` shifted up until its top bit is set, and by how many places.

    Zero stays zero; its count is the largest that fits, which is the width where that is 2^k - 1.
    """
    counts: list[Value] = []
    for k in reversed(range((len(value) - 1).bit_length())):
        step = 1 << k
        empty = ~value[-step:].any()
        value = Mux(empty, Cat(Const(0, step), value[:-step]), value)
        counts.insert(0, empty)
    return value, Cat(counts)


def rounds_up(below: Value, odd: Value, rest: Value | int = 0) -> Value:
    """Whether half-to-even rounding adds one to a number that loses the bits ``below``.

    ``odd`` is the lowest bit that is kept; ``rest`` says that something is left below the last of the lost bits.
    """
    return below[-1] & (below[:-1].any() | rest | odd)


def mantissa_of(value: Value, bits: int) -> Value:
    """Top ``bits`` of a signed ``value``, rounded half to even; what would round up to one stays below it."""
    below, kept = value[:-bits], value[-bits:]
    largest = kept == (1 << (bits - 1)) - 1
    return (kept.as_signed() + (rounds_up(below, kept[0]) & ~largest))[:bits].as_signed()
