"""Event counters."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from ohmloop_hdl.events import Event

COUNTER_BITS = 32


class EventCounters(wiring.Component):
    """One counter an event: adds ``amount[event]`` in every clock, wraps, and is only set back by reset.

    Parameters
    ----------
    most : dict of Event to int
        Largest amount that an event can have in one clock.

    Tables
    ------
    amount[event]
        How often the event happens in this clock.
    count[event]
        How often it happened before, 32 bits.
    """

    def __init__(self, most: dict[Event, int]):
        super().__init__({})
        self.amount = {event: Signal(range(most[event] + 1), name=f"{event.name.lower()}_amount") for event in Event}
        self.count = {event: Signal(COUNTER_BITS, name=event.name.lower()) for event in Event}

    def elaborate(self, platform):
        m = Module()
        for event in Event:
            m.d.sync += self.count[event].eq(self.count[event] + self.amount[event])
        return m
