"""Loop counters: every counter alone, counting down, and 0 that becomes 65535."""

import pytest
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.isa import COUNTER_BITS, COUNTERS
from ohmloop_hdl.sequencer.counters import LoopCounters


class OpenLoopCounters(LoopCounters):
    """Counters whose stored values a test can see."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.inside = m.submodules.memory
        return m


async def set_counter(ctx, counters: LoopCounters, index: int, value: int):
    for signal, number in ((counters.index, index), (counters.value, value), (counters.set, 1)):
        ctx.set(signal, number)
    await ctx.tick()
    ctx.set(counters.set, 0)


async def step(ctx, counters: LoopCounters, index: int) -> int:
    """Count down; whether the loop goes on, which must be there in the same clock."""
    ctx.set(counters.index, index)
    ctx.set(counters.step, 1)
    again = ctx.get(counters.again)
    await ctx.tick()
    ctx.set(counters.step, 0)
    return again


@pytest.mark.parametrize("count", [1, 2, 3, 17, 256])
def test_a_loop_goes_round_as_often_as_the_counter_says(count: int):
    counters = LoopCounters()

    async def bench(ctx):
        await set_counter(ctx, counters, 3, count)
        for rest in range(count, 0, -1):
            assert await step(ctx, counters, 3) == (rest > 1)
        assert await step(ctx, counters, 3) == 1, "0 becomes 65535"
        assert await step(ctx, counters, 3) == 1

    simulate(counters, bench)


def test_every_bit_of_the_width_counts():
    counters = OpenLoopCounters()

    async def bench(ctx):
        stored = counters.inside.data[15]
        for value in [1 << bit for bit in range(COUNTER_BITS)] + [0, 65535]:
            await set_counter(ctx, counters, 15, value)
            assert ctx.get(stored) == value
            await step(ctx, counters, 15)
            assert ctx.get(stored) == (value - 1) % 65536

    simulate(counters, bench)


def test_counters_start_at_zero_and_nothing_moves_unasked():
    counters = LoopCounters()

    async def bench(ctx):
        ctx.set(counters.value, 1)
        for index in range(COUNTERS):
            ctx.set(counters.index, index)
            for _ in range(3):
                assert ctx.get(counters.again)
                await ctx.tick()
        await set_counter(ctx, counters, 4, 1)
        for _ in range(3):
            assert not ctx.get(counters.again)
            await ctx.tick()

    simulate(counters, bench)


def test_random_use_of_all_counters():
    counters, random, values = LoopCounters(), seeded(), [0] * COUNTERS

    async def bench(ctx):
        for _ in range(2000):
            index = random.randrange(COUNTERS)
            if random.random() < 0.15:
                values[index] = random.choice([0, 1, 2, 65535, random.randrange(6)])
                await set_counter(ctx, counters, index, values[index])
            else:
                values[index] = (values[index] - 1) % 65536
                assert await step(ctx, counters, index) == (values[index] != 0)

    simulate(counters, bench)
