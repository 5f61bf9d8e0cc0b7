"""Vectors, slots, scalars and the vector unit together, and beside them what the golden machine says they hold."""

import numpy as np
from amaranth.hdl import Elaboratable, Module, ResetInserter, Signal
from amaranth.lib import wiring
from verification.unit.simulation import signed

from ohmloop.golden.vector import ONE, Scalar, add_product, dot
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_MAX, EXPONENT_MIN, MANTISSA_BITS, SCALARS, VECTORS
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.vector.banks import VectorBanks
from ohmloop_hdl.vector.scalar import ScalarUnit
from ohmloop_hdl.vector.slots import SlotMemory
from ohmloop_hdl.vector.unit import VectorOperation, VectorUnit

AXPY, MAT, DOT = VectorOperation.AXPY, VectorOperation.MAT, VectorOperation.DOT

ZERO_TERM = 2 * EXPONENT_MIN


class Machine(Elaboratable):
    """The blocks wired together, the state that they should have, and instructions that check themselves.

    ``run`` starts one instruction, watches every clock of it, and compares what is written, and when, with the golden
    arithmetic and the formulas of the clocks; ``check`` compares all registers through the windows.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.banks, self.slot_memory = VectorBanks(config), SlotMemory(config)
        self.scalar_unit, self.unit = ScalarUnit(), VectorUnit(config)
        self.reset = Signal()
        self.mantissas = np.zeros((VECTORS, config.size), np.int64)
        self.exponents = [EXPONENT_MIN] + [0] * (VECTORS - 1)
        self.scalars = [ONE] + [Scalar(0, 0)] * (SCALARS - 1)
        self.slots = np.zeros((config.slots, config.size, config.size), np.int64)
        self.vector_size = config.size
        self.clocks = 0

    def elaborate(self, platform):
        m = Module()
        m.submodules.banks, m.submodules.slots, m.submodules.scalars = self.banks, self.slot_memory, self.scalar_unit
        m.submodules.unit = ResetInserter(self.reset)(self.unit)
        wiring.connect(m, self.unit.read_a, self.banks.a)
        wiring.connect(m, self.unit.read_s, self.banks.s)
        wiring.connect(m, self.unit.write, self.banks.w)
        wiring.connect(m, self.unit.slots, self.slot_memory.read)
        wiring.connect(m, self.unit.read_k, self.scalar_unit.k)
        wiring.connect(m, self.unit.write_k, self.scalar_unit.w)
        return m

    # The host's side

    async def poke(self, ctx, window, words: dict[int, int]):
        ctx.set(window.select, 1)
        ctx.set(window.w_strobe, 0xF)
        for address, word in words.items():
            ctx.set(window.address, address)
            ctx.set(window.w_data, word & 0xFFFF_FFFF)
            await ctx.tick()
        ctx.set(window.w_strobe, 0)
        ctx.set(window.select, 0)

    async def peek(self, ctx, window, addresses) -> list[int]:
        ctx.set(window.select, 1)
        words = []
        for address in addresses:
            ctx.set(window.address, address)
            await ctx.tick()
            words.append(signed(ctx.get(window.r_data), 32))
        ctx.set(window.select, 0)
        return words

    async def load_vector(self, ctx, vector: int, mantissas, exponent: int):
        size = self.config.size
        self.mantissas[vector], self.exponents[vector] = mantissas, exponent
        await self.poke(ctx, self.banks.mantissa_window,
                        {vector * size + element: int(mantissa) for element, mantissa in enumerate(mantissas)})
        await self.poke(ctx, self.banks.exponent_window, {vector: exponent})

    async def load_scalar(self, ctx, index: int, scalar: Scalar):
        self.scalars[index] = scalar
        await self.poke(ctx, self.scalar_unit.mantissa_window, {index: scalar.mantissa})
        await self.poke(ctx, self.scalar_unit.exponent_window, {index: scalar.exponent})

    async def load_slot(self, ctx, slot: int, elements):
        self.slots[slot] = elements
        base = slot * self.config.size ** 2
        await self.poke(ctx, self.slot_memory.window,
                        {base + place: int(element) for place, element in enumerate(np.ravel(elements))})

    async def check(self, ctx):
        """All vectors and scalars are what they should be."""
        mantissas = await self.peek(ctx, self.banks.mantissa_window, range(VECTORS * self.config.size))
        assert mantissas == self.mantissas.ravel().tolist()
        assert await self.peek(ctx, self.banks.exponent_window, range(VECTORS)) == self.exponents
        scalars = zip(await self.peek(ctx, self.scalar_unit.mantissa_window, range(SCALARS)),
                      await self.peek(ctx, self.scalar_unit.exponent_window, range(SCALARS)), strict=True)
        assert [Scalar(*scalar) for scalar in scalars] == self.scalars

    # What should come out

    def _vector(self, vector: int):
        """What an instruction reads: elements inside of the vector, and the exponent of a term."""
        if self.exponents[vector] == EXPONENT_MIN:
            return np.zeros(self.config.size, np.int64), ZERO_TERM
        inside = np.arange(self.config.size) < self.vector_size
        return np.where(inside, self.mantissas[vector], 0), self.exponents[vector]

    def expected(self, operation: VectorOperation, a: int, s: int, k: int, slot: int, negate: int):
        """Mantissas (DOT: one) and exponent, not limited."""
        (addend, addend_exponent), (source, exponent) = self._vector(a), self._vector(s)
        if operation == DOT:
            zero = ZERO_TERM in (addend_exponent, exponent)
            result = dot(addend * (not zero), source * (not zero),
                         ZERO_TERM if zero else addend_exponent + exponent, self.config)
            return [result.mantissa], result.exponent
        if operation == MAT:
            inside = np.arange(self.config.size) < self.vector_size
            products = (self.slots[slot] * inside[:, None]) @ source
        else:
            scalar = self.scalars[k]
            zero = scalar.zero or exponent == ZERO_TERM
            products, exponent = source * (0 if zero else scalar.mantissa), \
                ZERO_TERM if zero else exponent + scalar.exponent
        mantissas, exponent = add_product(addend, addend_exponent, -products if negate else products, exponent,
                                          self.config)
        return mantissas.tolist(), exponent

    def products(self, operation: VectorOperation) -> int:
        """Clocks of pass 1 in which addresses go out."""
        return self.config.block * (self.config.size if operation == MAT else 1)

    def first_write(self, operation: VectorOperation) -> int:
        return self.products(operation) + (self.config.lanes + 6 if operation == DOT else 7)

    # One instruction

    async def last_clock(self, ctx, *instruction, **fields) -> int:
        """Run and judge an instruction that does not end with a fault; clocks from its start to ``done``."""
        assert await self.run(ctx, *instruction, **fields) == TrapCause.NONE
        return self.clocks

    async def run(self, ctx, operation: VectorOperation, d: int, a: int, s: int, k: int = 0, slot: int = 0,
                  negate: int = 0, fault_at: int | None = None, stop_at: int | None = None) -> TrapCause:
        """Run and judge one instruction.

        ``fault_at`` is the clock of the parity fault that it should end with; ``stop_at`` a clock before the first
        write, or that of the fault, in which the unit is reset.
        """
        config, unit = self.config, self.unit
        mantissas, exponent = self.expected(operation, a, s, k, slot, negate)
        first_write = self.first_write(operation)
        writes = 1 if operation == DOT else config.block
        fault, last = TrapCause.NONE, first_write + writes - 1
        if exponent > EXPONENT_MAX:
            fault, last = TrapCause.RANGE, first_write - 1
        if fault_at is not None:
            fault, last = TrapCause.PARITY, fault_at

        case = f"{operation.name} d={d} a={a} s={s} k={k} slot={slot} negate={negate} vector_size={self.vector_size}"
        for signal, value in ((unit.operation, operation), (unit.d, d), (unit.a, a), (unit.sv, s), (unit.k, k),
                              (unit.slot, slot), (unit.negate, negate), (unit.vector_size, self.vector_size),
                              (unit.control.start, 1)):
            ctx.set(signal, value)
        self.clocks = last
        assert ctx.get(unit.control.phase) == Phase.VECTOR
        for clock in range(last + 1):
            ends = clock == last
            ctx.set(self.reset, clock == stop_at)
            assert ctx.get(unit.control.done) == (ends and not fault), (case, clock)
            assert ctx.get(unit.control.fault) == (fault if ends else 0), (case, clock)
            reading = 1 <= clock <= self.products(operation)
            assert ctx.get(unit.read_s.enable) == reading, (case, clock)
            assert ctx.get(unit.slots.enable) == (reading and operation == MAT), (case, clock)
            assert ctx.get(unit.multiplying) == (3 <= clock < 3 + self.products(operation)), (case, clock)
            writing = clock >= first_write and not fault
            assert ctx.get(unit.control.safe) == writing, (case, clock)
            assert ctx.get(unit.write.enable) == (writing and operation != DOT), (case, clock)
            assert ctx.get(unit.write_k.enable) == (writing and operation == DOT), (case, clock)
            assert ctx.get(unit.write.exponent_enable) == (writing and ends and operation != DOT), (case, clock)
            if writing and operation == DOT:
                written = [ctx.get(unit.write_k.index), ctx.get(unit.write_k.mantissa), ctx.get(unit.write_k.exponent)]
                assert written == [d, mantissas[0], exponent], case
            elif writing:
                row = clock - first_write
                assert ctx.get(unit.write.vector) == d and ctx.get(unit.write.index) == row, (case, clock)
                written = [ctx.get(unit.write.mantissas[lane]) for lane in range(config.lanes)]
                assert written == mantissas[row::config.block], (case, row)
                if ends:
                    assert ctx.get(unit.write.exponent) == exponent, case
            await ctx.tick()
            ctx.set(unit.control.start, 0)
            if clock == stop_at:
                break
        if fault and stop_at is None:
            ctx.set(self.reset, 1)
            assert not ctx.get(unit.control.fault)
            await ctx.tick()
        ctx.set(self.reset, 0)
        assert not ctx.get(unit.control.done) and not ctx.get(unit.control.safe) and not ctx.get(unit.control.fault)

        if stop_at is not None:
            return fault
        if not fault and operation == DOT and d:
            self.scalars[d] = Scalar(mantissas[0], exponent)
        elif not fault and operation != DOT and d:
            self.mantissas[d], self.exponents[d] = mantissas, exponent
        return fault


def some_mantissas(random, count: int, bits: int = MANTISSA_BITS) -> list[int]:
    """Mantissas of one kind: any, unnormalised, extreme, of one sign, sparse, zero, or nearly so."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    kind, shift = random.randrange(8), random.randrange(bits)
    if kind == 0:
        return [low] * count
    if kind == 1:
        return [high] * count
    if kind == 2:
        return [random.choice((low, high, -high, 0, 1, -1)) for _ in range(count)]
    if kind == 3:
        return [random.choice((0, -1)) if random.random() < 0.5 else 0 for _ in range(count)]
    if kind == 4:
        return [random.choice((0, 0, 0, 1, -1)) << random.randrange(bits - 1) for _ in range(count)]
    values = [random.randint(low, high) for _ in range(count)]
    return values if kind == 5 else [value >> shift for value in values]


def some_exponent(random, around: int = 0) -> int:
    """Mostly within the reach of the aligner, sometimes at an end of the range or where it reads zero."""
    return random.choice((
        random.randint(-3, 3) + around, random.randint(-70, 70) + around, random.randint(-511, 511),
        random.choice((EXPONENT_MIN, EXPONENT_MIN + 1, EXPONENT_MAX - 1, EXPONENT_MAX))))


def some_scalar(random) -> Scalar:
    """A scalar; often a small odd factor, whose products end in ties when they are rounded."""
    if random.random() < 0.4:
        factor = random.choice((1, -1)) * random.randrange(1, 64, 2) << random.randrange(17)
        return Scalar(factor, some_exponent(random))
    return Scalar(some_mantissas(random, 1, ELEMENT_BITS)[0], some_exponent(random))
