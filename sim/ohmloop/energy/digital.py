"""What a digital machine spends on the same system: the comparison that has a row in which it wins.

Integer multiply-accumulates in 90 nm, in the bits that are asked for, on an n x n system::

    fresh LU          n^3 / 3 + n^2 of them: factor, then two triangular solves
    cached inverse    n^2 of them: the matrix has not changed since somebody inverted it
    of b bits         E_mac = 3.6 (multiply_b + add_b)
    with memory       three words more each: two reads and a write of an 8-kB SRAM

At n = 64 and 8 bits: 91,477 times 0.83 pJ is 76 nJ, with memory 1.3 uJ; 4,096 times 0.83 pJ is 3.4 nJ, with memory 59
nJ. A machine that keeps sums in registers and blocks its loops lies between the two rows. Pivoting, division, control
and leakage are not in it, which favours the digital side.
"""

from dataclasses import dataclass

from ohmloop.energy.figures import in_our_node

WIDTHS = (8, 32)
"""Bits for which there are figures."""


@dataclass(frozen=True)
class Row:
    """One line of the comparison: what is done, joules of arithmetic alone, and with its memory traffic."""

    name: str
    arithmetic_J: float
    with_memory_J: float


def digital_rows(n: int, bits: int) -> tuple[Row, Row]:
    """A fresh LU of n x n, and a multiply by a cached inverse; ``bits`` out of :data:`WIDTHS`."""
    return (_row("fresh digital LU", n ** 3 / 3 + n ** 2, bits),
            _row("digital multiply by a cached inverse", n ** 2, bits))


def _row(name: str, operations: float, bits: int) -> Row:
    if bits not in WIDTHS:
        raise ValueError(f"bits must be one of {', '.join(map(str, WIDTHS))}, not {bits!r}")
    arithmetic_J = in_our_node(f"int_multiply_{bits}") + in_our_node(f"int_add_{bits}")
    memory_J = 3 * bits / 32 * in_our_node("sram_word")
    return Row(f"{name}, {bits} bits", operations * arithmetic_J, operations * (arithmetic_J + memory_J))
