"""Event counters: every event alone and all at once, amounts, and the wrap at 32 bits."""

import pytest
from amaranth.hdl import ResetInserter, Signal
from verification.unit.simulation import seeded, simulate

from ohmloop_hdl.events import Event
from ohmloop_hdl.host.counters import EventCounters

MOST = {event: 1 + event % 9 for event in Event}
"""A different largest amount for neighbours."""


def counts(ctx, counters: EventCounters) -> dict[Event, int]:
    return {event: ctx.get(counters.count[event]) for event in Event}


def test_events_are_numbered_from_zero_without_gaps():
    assert list(Event) == list(range(len(Event)))


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name.lower())
def test_an_event_counts_in_its_own_counter_only(event: Event):
    counters = EventCounters(MOST)

    async def bench(ctx):
        total = 0
        for amount in (1, 0, MOST[event], MOST[event], 0):
            ctx.set(counters.amount[event], amount)
            await ctx.tick()
            total += amount
            assert counts(ctx, counters) == dict.fromkeys(Event, 0) | {event: total}

    simulate(counters, bench)


def test_random_amounts_of_all_events_at_once():
    counters, random, totals = EventCounters(MOST), seeded(), dict.fromkeys(Event, 0)

    async def bench(ctx):
        for _ in range(200):
            for event in Event:
                amount = random.randrange(MOST[event] + 1)
                ctx.set(counters.amount[event], amount)
                totals[event] += amount
            await ctx.tick()
        assert counts(ctx, counters) == totals

    simulate(counters, bench)


@pytest.mark.parametrize("amount", [1, 5])
def test_a_counter_wraps_at_32_bits(amount: int):
    counters = EventCounters(MOST | {Event.CONVERTED: 5})
    count, neighbour = counters.count[Event.CONVERTED], counters.count[Event.CLIPPED]

    async def bench(ctx):
        ctx.set(count, (1 << 32) - 3)
        ctx.set(counters.amount[Event.CONVERTED], amount)
        for step in range(1, 5):
            await ctx.tick()
            assert (ctx.get(count), ctx.get(neighbour)) == (((1 << 32) - 3 + step * amount) % (1 << 32), 0)

    simulate(counters, bench)


def test_reset_sets_all_back():
    counters, reset = EventCounters(MOST), Signal()

    async def bench(ctx):
        for event in Event:
            ctx.set(counters.amount[event], MOST[event])
        await ctx.tick()
        assert counts(ctx, counters) == MOST
        ctx.set(reset, 1)
        await ctx.tick()
        assert counts(ctx, counters) == dict.fromkeys(Event, 0)

    simulate(ResetInserter(reset)(counters), bench)
