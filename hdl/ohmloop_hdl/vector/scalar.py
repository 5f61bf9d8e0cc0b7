"""Scalar registers, their quotients and their comparisons."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import (
    ELEMENT_BITS,
    EXPONENT_BITS,
    EXPONENT_MAX,
    EXPONENT_MIN,
    ONE_EXPONENT,
    ONE_MANTISSA,
)
from ohmloop_hdl.host.window import WindowPort
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.sequencer.unit import Unit
from ohmloop_hdl.vector.registers import INDEX_BITS, RegisterFile
from ohmloop_hdl.vector.rounding import normalised, rounds_up

QUOTIENT_BITS = ELEMENT_BITS + 2
"""Bits of a quotient of two numbers in [1/2, 1): one integer bit, and at least two to round by."""

IMM_BITS = 7
"""Width of the power of two in a comparison."""

OPERAND = data.StructLayout({
    "fraction": ELEMENT_BITS + 1,
    "exponent": signed(EXPONENT_BITS + 2),
    "negative": 1,
    "zero": 1,
})
"""A normalised scalar, +-f * 2^e with f in [1/2, 1) or zero; one bit of room for the rest of a division, and exponents
wide enough for a difference."""


class ScalarRead(wiring.Signature):
    """Reading a scalar, as the reader holds it; combinational.

    Members
    -------
    index : Out(4)
        Register.
    mantissa, exponent, zero : In(signed(24)), In(signed(10)), In(1)
        What it holds, and whether it reads zero, by its exponent or by its mantissa.
    """

    def __init__(self):
        super().__init__({
            "index": Out(INDEX_BITS),
            "mantissa": In(signed(ELEMENT_BITS)),
            "exponent": In(signed(EXPONENT_BITS)),
            "zero": In(1),
        })


class ScalarWrite(wiring.Signature):
    """Writing a scalar, as the writer holds it.

    Members
    -------
    index, enable, mantissa, exponent : Out
        Store one register.
    """

    def __init__(self):
        super().__init__({
            "index": Out(INDEX_BITS),
            "enable": Out(1),
            "mantissa": Out(signed(ELEMENT_BITS)),
            "exponent": Out(signed(EXPONENT_BITS)),
        })


class ScalarUnit(wiring.Component):
    """Scalars k0 to k15, value m * 2^(e - 23); k0 reads one and cannot be written. Divides and compares them.

    The operands come one after the other through one read port and one normaliser, i a clock before j. Normalised they
    are f * 2^e with f in [1/2, 1). A quotient takes one clock a bit: from the rest R, which starts as f_i, ::

        bit = R >= f_j,  R <- 2 (R - bit f_j)

    and 26 bits of it, with R for what is left below, round half to even. ::

        clock       0       1           2           3 .. 28     29
        divide      start   DIVISOR     NORMALISE   DIVIDE      ROUND: done, or fault
        compare     start   DIVISOR     NORMALISE: done

    Members
    -------
    control : In(Unit)
        Start and end. ``DIVIDE`` comes in clock 1, ``RANGE`` in clock 29, and nothing was written. ``safe`` is high
        while a quotient is written.
    compare : In(1)
        1 compares, 0 divides.
    i, j, d : In(4)
        Left side or dividend, right side or divisor, destination.
    imm : In(signed(7))
        Power of two that scales the right side.
    taken : Out(1)
        Valid with ``control.done``: k_i <= 2^imm k_j.
    k, w : In(ScalarRead), In(ScalarWrite)
        The vector unit's ports, used while no instruction runs here.
    written : Out(ScalarWrite)
        What an instruction writes in this clock, here or in the vector unit.
    mantissa_window, exponent_window : In(WindowPort)
        Word address ``scalar``.

    Latency
    -------
    Division 29 clocks after ``start``, comparison 2, a zero divisor 1; reads none.
    """

    def __init__(self):
        super().__init__({
            "control": In(Unit()),
            "compare": In(1),
            "i": In(INDEX_BITS),
            "j": In(INDEX_BITS),
            "d": In(INDEX_BITS),
            "imm": In(signed(IMM_BITS)),
            "taken": Out(1),
            "k": In(ScalarRead()),
            "w": In(ScalarWrite()),
            "written": Out(ScalarWrite()),
            "mantissa_window": In(WindowPort(INDEX_BITS)),
            "exponent_window": In(WindowPort(INDEX_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        control = self.control
        right = self._normalise(m)
        # The left side; in a division its fraction is the rest, and its sign and exponent become the quotient's.
        left, divisor = Signal(OPERAND), Signal(ELEMENT_BITS)
        # A one goes ahead of the quotient's bits; where it arrives, all of them are there.
        quotient = Signal(QUOTIENT_BITS + 1)
        index, overflow = Signal(INDEX_BITS), Signal()
        self._registers(m, index, *self._rounded(m, left, quotient, overflow))
        m.d.comb += [
            control.phase.eq(Phase.SCALAR),
            index.eq(self.k.index),
            self.taken.eq(self._not_above(left, right)),
        ]

        with m.FSM(name="scalar"):
            with m.State("IDLE"):
                with m.If(control.start):
                    m.d.comb += index.eq(self.i)
                    m.next = "DIVISOR"
            with m.State("DIVISOR"):
                m.d.comb += index.eq(self.j)
                m.d.sync += left.eq(right)
                m.next = "NORMALISE"
                with m.If(self.k.zero & ~self.compare):
                    m.d.comb += control.fault.eq(TrapCause.DIVIDE)
                    m.next = "IDLE"
            with m.State("NORMALISE"):
                m.d.comb += control.done.eq(self.compare)
                m.d.sync += [
                    divisor.eq(right.fraction),
                    left.exponent.eq(left.exponent - right.exponent),
                    left.negative.eq(left.negative ^ right.negative),
                    quotient.eq(1),
                ]
                m.next = "DIVIDE"
                with m.If(self.compare):
                    m.next = "IDLE"
            with m.State("DIVIDE"):
                difference = left.fraction - divisor
                bit = difference >= 0
                m.d.sync += [
                    left.fraction.eq(Mux(bit, difference, left.fraction) << 1),
                    quotient.eq(Cat(bit, quotient)),
                ]
                with m.If(quotient[QUOTIENT_BITS - 1]):
                    m.next = "ROUND"
            with m.State("ROUND"):
                m.d.comb += [
                    control.fault.eq(Mux(overflow, TrapCause.RANGE, TrapCause.NONE)),
                    control.done.eq(~overflow),
                    control.safe.eq(~overflow),
                ]
                m.next = "IDLE"
        return m

    def _registers(self, m: Module, index: Signal, mantissa: Value, exponent: Value):
        """The registers: reads of ``index``, and writes of the quotient or of the vector unit."""
        k, w, written, divided = self.k, self.w, self.written, self.control.safe
        mantissas = m.submodules.mantissas = RegisterFile(signed(ELEMENT_BITS), constant=ONE_MANTISSA, readers=1)
        exponents = m.submodules.exponents = RegisterFile(signed(EXPONENT_BITS), constant=ONE_EXPONENT, readers=1)
        wiring.connect(m, wiring.flipped(self.mantissa_window), mantissas.window)
        wiring.connect(m, wiring.flipped(self.exponent_window), exponents.window)
        m.d.comb += [
            written.index.eq(Mux(divided, self.d, w.index)),
            written.enable.eq(divided | w.enable),
            written.mantissa.eq(Mux(divided, mantissa, w.mantissa)),
            written.exponent.eq(Mux(divided, exponent, w.exponent)),
        ]
        for file, value in ((mantissas, written.mantissa), (exponents, written.exponent)):
            m.d.comb += [
                file.index[0].eq(index),
                file.w_index.eq(written.index),
                file.w_value.eq(value),
                file.w_enable.eq(written.enable),
            ]
        m.d.comb += [
            k.mantissa.eq(mantissas.value[0]),
            k.exponent.eq(exponents.value[0]),
            k.zero.eq((k.exponent == EXPONENT_MIN) | (k.mantissa == 0)),
        ]

    def _normalise(self, m: Module) -> data.View:
        """The scalar that was read in the clock before."""
        k = self.k
        magnitude, exponent, right = Signal(ELEMENT_BITS), Signal(signed(EXPONENT_BITS)), Signal(OPERAND)
        m.d.sync += [
            magnitude.eq(Mux(k.mantissa < 0, -k.mantissa, k.mantissa)),
            exponent.eq(k.exponent),
            right.negative.eq((k.mantissa < 0) & ~k.zero),
            right.zero.eq(k.zero),
        ]
        fraction, places = normalised(magnitude)
        m.d.comb += [right.fraction.eq(Mux(right.zero, 0, fraction)), right.exponent.eq(exponent - places)]
        return right

    def _not_above(self, left: data.View, right: data.View) -> Value:
        """left <= 2^imm right."""
        def size(operand: data.View, exponent: Value) -> Value:
            return Cat(operand.fraction, exponent[:EXPONENT_BITS + 2]).as_signed()

        sizes = size(left, left.exponent), size(right, right.exponent + self.imm)
        same_sign = Mux(left.negative, sizes[0] >= sizes[1], sizes[0] <= sizes[1])
        other_is_zero = right.zero | (left.negative != right.negative)
        return Mux(left.zero, ~right.negative, Mux(other_is_zero, left.negative, same_sign))

    def _rounded(self, m: Module, left: data.View, quotient: Signal, overflow: Signal) -> tuple[Value, Value]:
        """Mantissa and exponent of the quotient, and whether it is too large for them."""
        above_one, bits = quotient[QUOTIENT_BITS - 1], Signal(QUOTIENT_BITS)
        m.d.comb += bits.eq(Mux(above_one, quotient, quotient << 1))
        below, kept = bits[:-ELEMENT_BITS + 1], bits[-ELEMENT_BITS + 1:]
        # The quotient of two numbers of 23 bits is too far below a power of two to round up to it.
        up = rounds_up(below, kept[0], left.fraction.any())
        # -(kept + up) = ~kept + ~up + 1 with an up of one bit.
        mantissa = (Cat(kept, 0) ^ left.negative.replicate(ELEMENT_BITS)) + (up ^ left.negative)
        exponent = Signal(signed(EXPONENT_BITS + 2))
        m.d.comb += [
            exponent.eq(left.exponent + above_one),
            overflow.eq((exponent > EXPONENT_MAX) & ~left.zero),
        ]
        return mantissa[:ELEMENT_BITS], Mux(left.zero | (exponent < EXPONENT_MIN), EXPONENT_MIN, exponent)
