"""Loop counters."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.isa import COUNTER_BITS, COUNTERS


class LoopCounters(wiring.Component):
    """c0 to c15: set to a number, or counted down by one.

    Members
    -------
    index : In(4)
        Counter.
    set, value : In(1), In(16)
        Set it to ``value``.
    step : In(1)
        Count it down; 0 becomes 65535.
    again : Out(1)
        Counted down, it is not 0; combinational.

    Latency
    -------
    None; the stored value follows in the next clock.
    """

    index: In(range(COUNTERS))
    set: In(1)
    value: In(COUNTER_BITS)
    step: In(1)
    again: Out(1)

    def elaborate(self, platform):
        m = Module()
        memory = m.submodules.memory = Memory(shape=COUNTER_BITS, depth=COUNTERS, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(self.index),
            self.again.eq(read.data != 1),
            write.addr.eq(self.index),
            write.data.eq(Mux(self.set, self.value, read.data - 1)),
            write.en.eq(self.set | self.step),
        ]
        return m
