"""Scalars: registers and windows, and quotients and comparisons against the golden machine, clock by clock."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from amaranth.hdl import ResetInserter, Signal
from verification.unit.simulation import seeded, signed, simulate

from ohmloop.golden.vector import ONE, Scalar, divide, not_above
from ohmloop_hdl.events import Phase
from ohmloop_hdl.fixed import EXPONENT_MAX, EXPONENT_MIN, SCALARS
from ohmloop_hdl.sequencer.traps import TrapCause
from ohmloop_hdl.vector.scalar import ScalarUnit

DIVIDE_CLOCKS, COMPARE_CLOCKS, ZERO_DIVISOR_CLOCKS = 29, 2, 1
"""Clocks from the start of an instruction to its last."""

MIN, MAX = -(1 << 23), (1 << 23) - 1


@dataclass
class Ended:
    """How an instruction ended: clocks from its start, fault, branch, clocks in which it wrote."""

    clocks: int
    fault: TrapCause
    taken: bool
    written: list[int]


class ScalarBench:
    """A scalar unit with the accesses of the host, of the vector unit and of the sequencer."""

    def __init__(self):
        self.unit, self.reset = ScalarUnit(), Signal()
        self.top = ResetInserter(self.reset)(self.unit)

    async def write(self, ctx, index: int, scalar: Scalar):
        w = self.unit.w
        for signal, value in ((w.index, index), (w.mantissa, scalar.mantissa), (w.exponent, scalar.exponent),
                              (w.enable, 1)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(w.enable, 0)

    def read(self, ctx, index: int) -> tuple[Scalar, int]:
        k = self.unit.k
        ctx.set(k.index, index)
        return Scalar(ctx.get(k.mantissa), ctx.get(k.exponent)), ctx.get(k.zero)

    async def poke(self, ctx, window, address: int, word: int, strobe: int = 0xF):
        for signal, value in ((window.select, 1), (window.address, address), (window.w_data, word),
                              (window.w_strobe, strobe)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(window.w_strobe, 0)
        ctx.set(window.select, 0)

    async def peek(self, ctx, window, address: int) -> int:
        ctx.set(window.select, 1)
        ctx.set(window.address, address)
        await ctx.tick()
        ctx.set(window.select, 0)
        ctx.set(window.address, ~address)
        return ctx.get(window.r_data)

    async def run(self, ctx, i: int, j: int, d: int = 0, compare: int = 0, imm: int = 0) -> Ended:
        """One instruction; the operands stay until its last clock, and the clock after it is idle."""
        unit, control = self.unit, self.unit.control
        for signal, value in ((unit.i, i), (unit.j, j), (unit.d, d), (unit.compare, compare), (unit.imm, imm),
                              (control.start, 1)):
            ctx.set(signal, value)
        written = []
        assert ctx.get(control.phase) == Phase.SCALAR
        for clock in range(100):
            if ctx.get(control.safe):
                written.append(clock)
            done, fault, taken = ctx.get(control.done), TrapCause(ctx.get(control.fault)), bool(ctx.get(unit.taken))
            await ctx.tick()
            ctx.set(control.start, 0)
            if done or fault:
                assert done != bool(fault)
                for signal in (unit.i, unit.j, unit.d, unit.compare, unit.imm):
                    ctx.set(signal, 0)
                assert not ctx.get(control.done) and not ctx.get(control.fault) and not ctx.get(control.safe)
                return Ended(clock, fault, taken, written)
        raise AssertionError("the instruction did not end")

    async def divide(self, ctx, i: Scalar, j: Scalar):
        """k3 = i / j from k1 and k2, judged by the golden machine."""
        before = Scalar(0x123456, -77)
        for index, scalar in ((1, i), (2, j), (3, before)):
            await self.write(ctx, index, scalar)
        ended = await self.run(ctx, 1, 2, 3)
        expected = before
        if j.zero:
            assert ended == Ended(ZERO_DIVISOR_CLOCKS, TrapCause.DIVIDE, ended.taken, []), (i, j)
        elif divide(i, j).exponent > EXPONENT_MAX:
            assert ended == Ended(DIVIDE_CLOCKS, TrapCause.RANGE, ended.taken, []), (i, j)
        else:
            assert ended == Ended(DIVIDE_CLOCKS, TrapCause.NONE, ended.taken, [DIVIDE_CLOCKS]), (i, j)
            expected = divide(i, j)
        assert [self.read(ctx, index)[0] for index in (1, 2, 3)] == [i, j, expected], (i, j)

    async def compare(self, ctx, i: Scalar, j: Scalar, imm: int):
        await self.write(ctx, 1, i)
        await self.write(ctx, 2, j)
        ended = await self.run(ctx, 1, 2, 3, compare=1, imm=imm)
        assert ended == Ended(COMPARE_CLOCKS, TrapCause.NONE, not_above(i, j, imm), []), (i, j, imm)


def value(scalar: Scalar) -> Fraction:
    return Fraction(0) if scalar.zero else Fraction(scalar.mantissa) * Fraction(2) ** (scalar.exponent - 23)


def some_scalar(random, exponents: int = 511) -> Scalar:
    """A scalar of any content: normalised, unnormalised, extreme, or zero in one of the two ways."""
    mantissa = random.choice((
        random.randrange(MIN, MAX + 1), random.randrange(MIN, MAX + 1) >> random.randrange(24),
        random.choice((MIN, MAX, -MAX, MIN // 2, 1, -1, 0, MAX // 2, MIN // 2 - 1)),
        random.choice((1, -1)) << random.randrange(23)))
    exponent = random.choice((random.randint(-exponents, exponents), random.randint(-3, 3), EXPONENT_MIN))
    return Scalar(mantissa, exponent)


EDGES = [Scalar(mantissa, exponent)
         for mantissa in (MIN, MIN + 1, MIN // 2, MIN // 2 - 1, -3, -1, 0, 1, 2, 1 << 22, (1 << 22) + 1, MAX - 1, MAX)
         for exponent in (EXPONENT_MIN, EXPONENT_MIN + 1, -1, 0, EXPONENT_MAX)]


def test_quotients_and_comparisons_of_the_edges():
    """Many pairs of extreme mantissas and exponents: overflow, underflow, zeros, both signs."""
    bench = ScalarBench()
    random = seeded()
    pairs = [(i, j) for i in EDGES for j in EDGES]

    async def run(ctx):
        for i, j in random.sample(pairs, 400):
            await bench.divide(ctx, i, j)
        for i, j in random.sample(pairs, 1500):
            await bench.compare(ctx, i, j, random.choice((-64, -1, 0, 1, 63)))

    simulate(bench.top, run)


def test_quotients_of_random_scalars():
    bench, random = ScalarBench(), seeded()

    async def run(ctx):
        for _ in range(400):
            await bench.divide(ctx, some_scalar(random, 60), some_scalar(random, 60))

    simulate(bench.top, run)


def test_quotients_round_half_to_even():
    """Exact halves of both parities and signs, what is just off them, and quotients as near to one as they come."""
    bench = ScalarBench()
    # Quotients with one bit too many, of a divisor that is a power of two: a tie, there being nothing below it.
    ties = [(Scalar(sign * (mantissa | 1), 0), Scalar(1 << 22, 3))
            for mantissa in (0x400000, 0x7FFFFE, 0x5A5A5A, 0x400002, 0x7FFFFC) for sign in (1, -1)]
    near_one = [(Scalar(sign * i, 0), Scalar(j, 0))
                for i, j in ((MAX, MAX - 1), (MAX - 1, MAX), (MAX, MAX), (MAX, 1 << 22), (MIN + 1, MAX), (MIN, MAX))
                for sign in (1, -1) if MIN <= sign * i <= MAX]
    near_two = [(Scalar(MAX, 0), Scalar(1 << 23 - shift, 0)) for shift in range(1, 24)]

    async def run(ctx):
        for i, j in ties + near_one + near_two:
            await bench.divide(ctx, i, j)

    simulate(bench.top, run)


def test_a_quotient_is_the_nearest_mantissa():
    """The golden machine itself, against exact fractions: nearest, ties to even, none rounds up to the next power."""
    random = seeded()
    for _ in range(3000):
        i, j = some_scalar(random, 40), some_scalar(random, 40)
        if j.zero:
            continue
        exact, result = value(i) / value(j), divide(i, j)
        if not exact:
            assert (result.mantissa, result.exponent) == (0, EXPONENT_MIN)
            continue
        scaled = exact * Fraction(2) ** (23 - result.exponent)
        nearest = round(scaled)
        assert result.mantissa == nearest and 1 << 22 <= abs(nearest) < 1 << 23


def test_comparisons_are_exact():
    """Random pairs, half of them equal or one unit apart after the scaling."""
    bench, random = ScalarBench(), seeded()

    async def run(ctx):
        for _ in range(1200):
            i, imm = some_scalar(random, 60), random.randrange(-64, 64)
            j = some_scalar(random, 60)
            if random.random() < 0.6:
                # The same value, written another way.
                shift = random.randrange(24)
                exponent = i.exponent - imm + shift
                if i.mantissa >> shift << shift == i.mantissa and EXPONENT_MIN < exponent <= EXPONENT_MAX:
                    mantissa = (i.mantissa >> shift) + random.choice((-1, 0, 0, 1))
                    if MIN <= mantissa <= MAX:
                        j = Scalar(mantissa, exponent)
            assert not_above(i, j, imm) == (value(i) <= Fraction(2) ** imm * value(j))
            await bench.compare(ctx, i, j, imm)

    simulate(bench.top, run)


def test_k0_reads_one_and_cannot_be_written():
    bench = ScalarBench()
    unit = bench.unit

    async def run(ctx):
        await bench.write(ctx, 0, Scalar(5, 5))
        await bench.poke(ctx, unit.mantissa_window, 0, 7)
        await bench.poke(ctx, unit.exponent_window, 0, 7)
        await bench.write(ctx, 4, Scalar(3 << 20, 9))
        await bench.run(ctx, 4, 4, 0)
        assert bench.read(ctx, 0) == (ONE, 0)
        assert await bench.peek(ctx, unit.mantissa_window, 0) == ONE.mantissa
        assert await bench.peek(ctx, unit.exponent_window, 0) == ONE.exponent
        await bench.run(ctx, 4, 0, 5)
        assert bench.read(ctx, 5) == (Scalar(6 << 20, 8), 0), "divided by one"
        await bench.run(ctx, 0, 0, 6)
        assert bench.read(ctx, 6) == (ONE, 0)
        assert (await bench.run(ctx, 0, 0, compare=1)).taken
        assert not (await bench.run(ctx, 0, 0, compare=1, imm=-1)).taken

    simulate(bench.top, run)


def test_a_quotient_may_replace_its_operands():
    bench = ScalarBench()

    async def run(ctx):
        for i, j, d in ((1, 2, 1), (1, 2, 2), (1, 1, 1), (15, 14, 15)):
            left, right = Scalar(0x654321, 3), Scalar(-0x3456, -20)
            await bench.write(ctx, i, left)
            await bench.write(ctx, j, right)
            expected = divide(right if i == j else left, right)
            await bench.run(ctx, i, j, d)
            assert bench.read(ctx, d)[0] == expected

    simulate(bench.top, run)


def test_registers_by_both_windows():
    bench, random = ScalarBench(), seeded()
    unit = bench.unit
    scalars = {index: Scalar(random.randrange(MIN, MAX + 1), random.randrange(-512, 512))
               for index in range(1, SCALARS)}

    async def run(ctx):
        for index, scalar in scalars.items():
            await bench.poke(ctx, unit.mantissa_window, index, scalar.mantissa & 0xFFFF_FFFF)
            await bench.poke(ctx, unit.exponent_window, index, scalar.exponent & 0xFFFF_FFFF)
        for index, scalar in scalars.items():
            assert bench.read(ctx, index) == (scalar, scalar.zero)
            assert await bench.peek(ctx, unit.mantissa_window, index) == scalar.mantissa & 0xFFFF_FFFF, "sign-extended"
            assert await bench.peek(ctx, unit.exponent_window, index) == scalar.exponent & 0xFFFF_FFFF
            await bench.write(ctx, index, Scalar(~scalar.mantissa, ~scalar.exponent))
        for index, scalar in scalars.items():
            assert await bench.peek(ctx, unit.mantissa_window, index) == ~scalar.mantissa & 0xFFFF_FFFF
            assert bench.read(ctx, index)[0] == Scalar(~scalar.mantissa, ~scalar.exponent)

    simulate(bench.top, run)


@pytest.mark.parametrize("strobe", range(16))
def test_strobes_choose_the_bytes(strobe: int):
    bench = ScalarBench()
    unit = bench.unit
    mask = sum(0xFF << 8 * byte for byte in range(3) if strobe >> byte & 1)
    exponent_mask = mask & 0x3FF

    async def run(ctx):
        await bench.poke(ctx, unit.mantissa_window, 9, 0x112233)
        await bench.poke(ctx, unit.mantissa_window, 9, 0x7FB6_C7D8, strobe)
        await bench.poke(ctx, unit.exponent_window, 9, 0x155)
        await bench.poke(ctx, unit.exponent_window, 9, 0xFFFF_FEAA, strobe)
        assert bench.read(ctx, 9)[0] == Scalar(signed(0x112233 & ~mask | 0xB6C7D8 & mask, 24),
                                               signed(0x155 & ~exponent_mask | 0x2AA & exponent_mask, 10))

    simulate(bench.top, run)


@pytest.mark.parametrize(("scalar", "zero"), [
    (Scalar(0, 5), 1), (Scalar(5, EXPONENT_MIN), 1), (Scalar(1, EXPONENT_MIN + 1), 0), (Scalar(-1, 511), 0),
    (Scalar(MIN, 0), 0), (Scalar(MIN, EXPONENT_MIN), 1), (Scalar(0, EXPONENT_MIN), 1)])
def test_zero_by_exponent_or_by_mantissa(scalar: Scalar, zero: int):
    bench = ScalarBench()

    async def run(ctx):
        await bench.write(ctx, 7, scalar)
        assert bench.read(ctx, 7) == (scalar, zero)

    simulate(bench.top, run)


def test_a_reset_before_the_write_changes_nothing():
    """In every clock until then; the next instruction finds the unit as new."""
    bench = ScalarBench()
    unit, before = bench.unit, Scalar(77, 7)

    async def run(ctx):
        await bench.write(ctx, 1, Scalar(0x654321, 3))
        await bench.write(ctx, 2, Scalar(-0x3456, -20))
        for stop_at in range(DIVIDE_CLOCKS):
            await bench.write(ctx, 3, before)
            for signal, value in ((unit.i, 1), (unit.j, 2), (unit.d, 3), (unit.control.start, 1)):
                ctx.set(signal, value)
            for clock in range(stop_at + 1):
                ctx.set(bench.reset, clock == stop_at)
                assert not ctx.get(unit.control.safe)
                await ctx.tick()
                ctx.set(unit.control.start, 0)
            ctx.set(bench.reset, 0)
            await ctx.tick().repeat(3)
            assert bench.read(ctx, 3)[0] == before
            await bench.divide(ctx, Scalar(0x345678, -4), Scalar(stop_at + 1, 2))
            await bench.write(ctx, 1, Scalar(0x654321, 3))
            await bench.write(ctx, 2, Scalar(-0x3456, -20))

    simulate(bench.top, run)
