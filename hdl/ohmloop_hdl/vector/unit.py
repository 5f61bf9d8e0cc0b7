"""The vector unit: sums of vectors, products with a matrix, dot products."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.enum import Enum
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, MANTISSA_BITS
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.sequencer.unit import Unit
from ohmloop_hdl.vector.banks import VECTOR_BITS, VectorRead, VectorWrite
from ohmloop_hdl.vector.exponent import ZERO_EXPONENT, BlockExponent
from ohmloop_hdl.vector.lane import Lane
from ohmloop_hdl.vector.passes import VectorPasses
from ohmloop_hdl.vector.registers import INDEX_BITS
from ohmloop_hdl.vector.rounding import mantissa_of
from ohmloop_hdl.vector.scalar import ScalarRead, ScalarWrite
from ohmloop_hdl.vector.slots import SlotRead


class VectorOperation(Enum, shape=2):
    """What the vector unit computes."""

    AXPY = 0
    """d = a +- k s: a sum of one product an element."""
    MAT = 1
    """d = a +- M s: a sum of N products a row."""
    DOT = 2
    """k_d = <a, s>: one sum."""


class VectorUnit(wiring.Component):
    """Block floating point in two passes: the first only reads and sums, the second normalises and only writes.

    The lanes do the arithmetic (:class:`Lane`), :class:`BlockExponent` finds what they shift by, :class:`VectorPasses`
    says what happens in which clock; here are the operands and the results.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.

    Members
    -------
    control : In(Unit)
        Start and end. ``PARITY`` comes two clocks after the address of the word; ``RANGE``, for an exponent above the
        largest, with the first normalisation. Nothing was written then, and the unit must be reset, in this clock or
        the next. ``safe`` is high from the first write to the last.
    operation, negate : In(VectorOperation), In(1)
        What to compute; subtract the product (never with ``DOT``).
    d, a, sv, k, slot : In
        Destination, addend or first factor, source, scalar factor, matrix slot.
    vector_size : In(range(N + 1))
        Elements from this one on read zero, and so do rows of the matrix.
    multiplying : Out(1)
        Every lane takes a product in this clock.
    read_a, read_s, write, slots, read_k, write_k : Out
        Ports of the vectors, the slots and the scalars.

    Latency
    -------
    Clocks after ``start``, whatever ``vector_size``: AXPY 2 N/L + 6, MAT N^2/L + N/L + 6, DOT N/L + L + 6.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "control": In(Unit()),
            "operation": In(VectorOperation),
            "negate": In(1),
            "d": In(VECTOR_BITS),
            "a": In(VECTOR_BITS),
            "sv": In(VECTOR_BITS),
            "k": In(INDEX_BITS),
            "slot": In(bits_for(config.slots)),
            "vector_size": In(range(config.size + 1)),
            "multiplying": Out(1),
            "read_a": Out(VectorRead(config)),
            "read_s": Out(VectorRead(config)),
            "write": Out(VectorWrite(config)),
            "slots": Out(SlotRead(config)),
            "read_k": Out(ScalarRead()),
            "write_k": Out(ScalarWrite()),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        self.passes = m.submodules.passes = VectorPasses(config)
        self.block = m.submodules.block = BlockExponent(config)
        self.lanes = [Lane(config) for _ in range(config.lanes)]
        for number, lane in enumerate(self.lanes):
            m.submodules[f"lane{number}"] = lane
        self.is_axpy, self.is_mat, self.is_dot, self.product_is_zero = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.is_axpy.eq(self.operation == VectorOperation.AXPY),
            self.is_mat.eq(self.operation == VectorOperation.MAT),
            self.is_dot.eq(self.operation == VectorOperation.DOT),
            self.product_is_zero.eq(
                self.read_s.zero | (self.is_axpy & self.read_k.zero) | (self.is_dot & self.read_a.zero)),
            self.passes.start.eq(self.control.start),
            self.passes.is_mat.eq(self.is_mat),
            self.passes.is_dot.eq(self.is_dot),
            self.passes.vector_size.eq(self.vector_size),
        ]
        self._addresses(m)
        self._operands(m)
        self._sums(m)
        self._exponents(m)
        self._results(m)
        return m

    def _addresses(self, m: Module):
        """``a`` is read as a factor by DOT, and otherwise just in time to be added to a sum."""
        address, product, column = self.passes.address, self.passes.product, self.passes.column
        m.d.comb += [
            self.read_s.vector.eq(self.sv),
            self.read_s.enable.eq(address.valid),
            self.read_s.index.eq(Mux(self.is_mat, column, address.row)),
            self.read_a.vector.eq(self.a),
            self.read_a.enable.eq(Mux(self.is_dot, address.valid, product.valid & product.last)),
            self.read_a.index.eq(Mux(self.is_dot, address.row, product.row)),
            self.slots.enable.eq(address.valid & self.is_mat),
            self.slots.slot.eq(self.slot),
            self.slots.row.eq(address.row),
            self.slots.column.eq(column),
            self.read_k.index.eq(self.k),
        ]

    def _operands(self, m: Module):
        """The wide factor of MAT is one element of s for all lanes; a factor outside of the vector is zero."""
        config, passes = self.config, self.passes
        owner, column_is_inside, broadcast = Signal(bits_for(config.lanes)), Signal(), Signal(signed(MANTISSA_BITS))
        m.d.sync += [owner.eq(passes.column // config.block), column_is_inside.eq(passes.column < self.vector_size)]
        with m.Switch(owner):
            for number in range(config.lanes):
                with m.Case(number):
                    m.d.comb += broadcast.eq(self.read_s.mantissas[number])
        for number, lane in enumerate(self.lanes):
            with m.If(passes.operand.inside[number] & column_is_inside & ~self.product_is_zero):
                m.d.comb += lane.wide.eq(Mux(self.is_mat, broadcast, self.read_s.mantissas[number]))
            with m.Switch(self.operation):
                with m.Case(VectorOperation.AXPY):
                    m.d.comb += lane.narrow.eq(self.read_k.mantissa)
                with m.Case(VectorOperation.MAT):
                    m.d.comb += lane.narrow.eq(self.slots.elements[number])
                with m.Case(VectorOperation.DOT):
                    m.d.comb += lane.narrow.eq(self.read_a.mantissas[number] >> (MANTISSA_BITS - ELEMENT_BITS))

    def _sums(self, m: Module):
        """A dot product's sums move from lane to lane into lane 0, which adds them; the others then hold zero."""
        passes = self.passes
        neighbours = [lane.sum for lane in self.lanes[1:]] + [0]
        for number, (lane, neighbour) in enumerate(zip(self.lanes, neighbours, strict=True)):
            m.d.comb += [
                lane.accumulate.eq(passes.sum.valid | passes.chain),
                lane.first.eq(Mux(passes.chain, number != 0, passes.sum.first)),
                lane.negate.eq(self.negate),
                lane.chain.eq(passes.chain),
                lane.neighbour.eq(neighbour),
                lane.store.eq(passes.store.valid),
                lane.store_row.eq(passes.store.row),
                lane.read.eq(passes.read),
                lane.read_row.eq(passes.row),
                lane.addend_is_smaller.eq(self.block.addend_is_smaller),
                lane.normalise.eq(passes.normalise),
                lane.shift.eq(self.block.shift),
            ]
            with m.If(passes.sum.inside[number] & ~self.read_a.zero & ~self.is_dot):
                m.d.comb += lane.addend.eq(self.read_a.mantissas[number])
        m.d.comb += self.multiplying.eq(passes.product.valid)

    def _exponents(self, m: Module):
        """Of the two terms; a term that reads zero has the smallest there is."""
        block, passes, a, s, k = self.block, self.passes, self.read_a, self.read_s, self.read_k
        factor = Mux(self.is_mat, 0, Mux(self.is_dot, a.exponent, k.exponent))
        m.d.comb += [
            block.align.eq(passes.address.valid),
            block.addend.eq(Mux(a.zero | self.is_dot, ZERO_EXPONENT, a.exponent)),
            block.product.eq(Mux(self.product_is_zero, ZERO_EXPONENT, s.exponent + factor)),
            block.add.eq(passes.store.valid),
            block.magnitude.eq(reduce(or_, (lane.magnitude for lane in self.lanes))),
            block.encode.eq(passes.encode),
            passes.overflow.eq(block.overflow),
        ]

    def _results(self, m: Module):
        passes, block, write, write_k, control = self.passes, self.block, self.write, self.write_k, self.control
        parity_error, overflow = Signal(), passes.normalise & block.overflow
        m.d.sync += parity_error.eq(passes.operand.valid & self.is_mat & self.slots.parity_error & ~parity_error)
        m.d.comb += [
            control.phase.eq(Phase.VECTOR),
            control.fault.eq(Mux(parity_error, TrapCause.PARITY, Mux(overflow, TrapCause.RANGE, TrapCause.NONE))),
            control.done.eq(passes.done),
            control.safe.eq(passes.writing),
            write.vector.eq(self.d),
            write.index.eq(passes.written_row),
            write.enable.eq(passes.writing & ~self.is_dot),
            write.mantissas.eq(Cat(lane.mantissa for lane in self.lanes)),
            write.exponent_enable.eq(passes.done & ~self.is_dot),
            write.exponent.eq(block.exponent),
            write_k.index.eq(self.d),
            write_k.enable.eq(passes.writing & self.is_dot),
            write_k.mantissa.eq(mantissa_of(self.lanes[0].normalised, ELEMENT_BITS)),
            write_k.exponent.eq(block.exponent),
        ]
