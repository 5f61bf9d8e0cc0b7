"""A lane by itself: every shift of both passes, subtraction, and the chain."""

import pytest
from verification.unit.simulation import SHAPES, seeded, signed, simulate

from ohmloop_hdl.fixed import PRODUCT_FRACTION, guard_bits
from ohmloop_hdl.vector.lane import Lane, sum_bits

CONFIG = SHAPES["unshared"]
GUARD = guard_bits(CONFIG.size)
LOW, HIGH = -(1 << 31), (1 << 31) - 1


class LaneBench:
    """A lane and the clocks of its stages."""

    def __init__(self):
        self.lane = Lane(CONFIG)

    async def accumulate(self, ctx, factors: list[tuple[int, int]], negate: int = 0):
        """A sum of products, one product a clock."""
        lane = self.lane
        ctx.set(lane.negate, negate)
        for clock in range(len(factors) + 2):
            wide, narrow = factors[clock] if clock < len(factors) else (LOW, LOW >> 8)
            ctx.set(lane.wide, wide)
            ctx.set(lane.narrow, narrow)
            ctx.set(lane.first, clock == 2)
            ctx.set(lane.accumulate, clock >= 2)
            await ctx.tick()
        ctx.set(lane.accumulate, 0)

    async def store(self, ctx, row: int, addend: int, addend_is_smaller: int, shift: int) -> int:
        """Store the sum with an addend; its magnitude and sign."""
        lane = self.lane
        ctx.set(lane.addend, addend)
        await ctx.tick()
        for signal, value in ((lane.store_row, row), (lane.addend, ~addend), (lane.shift, shift),
                              (lane.addend_is_smaller, addend_is_smaller), (lane.store, 1)):
            ctx.set(signal, value)
        magnitude = ctx.get(lane.magnitude)
        await ctx.tick()
        ctx.set(lane.store, 0)
        return magnitude

    async def normalise(self, ctx, row: int, shift: int) -> int:
        lane = self.lane
        for signal, value in ((lane.read_row, row), (lane.read, 1)):
            ctx.set(signal, value)
        await ctx.tick()
        for signal, value in ((lane.read_row, ~row), (lane.read, 0), (lane.normalise, 1), (lane.shift, shift)):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(lane.normalise, 0)
        return ctx.get(lane.normalised)


@pytest.mark.parametrize("negate", [0, 1])
def test_every_distance_of_the_terms(negate: int):
    bench, random = LaneBench(), seeded(negate)

    async def run(ctx):
        for shift in range(64):
            for addend_is_smaller in (0, 1):
                factors = [(random.randint(LOW, HIGH) >> random.randrange(32), random.randint(LOW, HIGH) >> 8)
                           for _ in range(random.randint(1, 4))]
                addend = random.randint(LOW, HIGH) >> random.randrange(32)
                products = sum(wide * narrow for wide, narrow in factors) << GUARD
                terms = [-products if negate else products, addend << (PRODUCT_FRACTION - 31 + GUARD)]
                terms[addend_is_smaller] >>= shift
                row = random.randrange(CONFIG.block)
                await bench.accumulate(ctx, factors, negate)
                magnitude = await bench.store(ctx, row, addend, addend_is_smaller, shift)
                total = sum(terms)
                assert magnitude == (total if total >= 0 else ~total | 1 << 63)
                assert await bench.normalise(ctx, row, 0) == total

    simulate(bench.lane, run)


def test_every_place_of_the_largest_bit():
    """Rows keep their sums, and all are shifted up by the places that the largest has to spare."""
    bench, random = LaneBench(), seeded()

    async def run(ctx):
        for length in range(55):
            rows = []
            for row in range(CONFIG.block):
                narrow = random.choice((1, -1)) << min(length, 23)
                wide = random.choice((1, -1)) * random.randrange(1 << max(length - 23, 0), 2 << max(length - 23, 0))
                await bench.accumulate(ctx, [(max(LOW, min(wide, HIGH)), max(LOW >> 8, min(narrow, HIGH >> 8)))])
                await bench.store(ctx, row, 0, 1, 0)
                rows.append(signed(ctx.get(bench.lane.sum) << GUARD, 64))
            largest = max((total if total >= 0 else ~total).bit_length() for total in rows)
            for row, total in enumerate(rows):
                for shift in {63 - largest, random.randrange(64 - largest)}:
                    assert await bench.normalise(ctx, row, shift) == total << shift

    simulate(bench.lane, run)


def test_a_sum_is_kept_while_nothing_is_taken_and_goes_on_with_the_neighbour():
    bench, random = LaneBench(), seeded()
    lane = bench.lane

    async def run(ctx):
        await bench.accumulate(ctx, [(3, 5), (-7, 11)])
        await ctx.tick().repeat(3)
        assert ctx.get(lane.sum) == 15 - 77
        neighbour = random.randrange(1 << 40)
        ctx.set(lane.neighbour, neighbour)
        ctx.set(lane.chain, 1)
        ctx.set(lane.accumulate, 1)
        await ctx.tick()
        assert ctx.get(lane.sum) == 15 - 77 + neighbour
        ctx.set(lane.first, 1)
        ctx.set(lane.neighbour, -neighbour)
        await ctx.tick()
        assert ctx.get(lane.sum) == -neighbour
        ctx.set(lane.neighbour, signed(1 << sum_bits(CONFIG) - 1, sum_bits(CONFIG)))
        await ctx.tick()
        assert ctx.get(lane.sum) == -(1 << sum_bits(CONFIG) - 1)

    simulate(lane, run)
