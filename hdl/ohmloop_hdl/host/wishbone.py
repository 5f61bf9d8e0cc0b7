"""Wishbone target."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.bus import RegisterBus
from ohmloop_hdl.host.map import ADDRESS_BITS


class Wishbone(wiring.Signature):
    """Wishbone B4 classic, standard handshake, as the master drives it: 32-bit data, byte addresses."""

    def __init__(self):
        super().__init__({
            "cyc": Out(1), "stb": Out(1), "we": Out(1), "adr": Out(ADDRESS_BITS), "dat_w": Out(32), "sel": Out(4),
            "dat_r": In(32), "ack": In(1), "err": In(1),
        })


class WishboneTarget(wiring.Component):
    """Turns Wishbone cycles into accesses of the register bus, one at a time.

    1. A cycle is under way while ``cyc`` and ``stb`` are high. It ends with ``ack``, or with ``err`` where the access
       was refused. With ``stb`` high in the clock after that, a new cycle begins.
    2. The low two bits of ``adr`` are ignored. ``sel`` chooses the bytes of a write; a read brings the whole word.
    3. A cycle that the master drops is carried out once or not at all, and never answered; the next cycle gets its own
       answer.
    4. ``ack`` and ``err`` are high only while ``cyc`` and ``stb`` are, so answers of several targets may be ORed.

    Members
    -------
    wishbone : In(Wishbone)
        From the master.
    bus : Out(RegisterBus)
        To the windows and registers.

    Latency
    -------
    Answered in the third clock of the cycle, reads of a window in the fourth; a new cycle may begin in the clock
    after. ::

        cyc & stb   _/~~~~~~~~~~~\\_
        r_stb       _____/~~~\\_____
        done        _____/~~~\\_____
        ack         _________/~~~\\_
    """

    wishbone: In(Wishbone())
    bus: Out(RegisterBus())

    def elaborate(self, platform):
        m = Module()
        wishbone, bus = self.wishbone, self.bus
        asked = wishbone.cyc & wishbone.stb
        kept = Signal()
        """The master has not dropped the cycle."""
        refused = Signal()

        with m.FSM(name="wishbone"):
            with m.State("IDLE"):
                with m.If(asked):
                    m.d.sync += [
                        kept.eq(1), bus.r_stb.eq(~wishbone.we), bus.w_stb.eq(wishbone.we),
                        bus.address.eq(wishbone.adr), bus.w_data.eq(wishbone.dat_w), bus.w_strobe.eq(wishbone.sel),
                    ]
                    m.next = "ACCESS"
            with m.State("ACCESS"):
                # The register bus wants a request held until it is done, whatever the master does.
                with m.If(~asked):
                    m.d.sync += kept.eq(0)
                with m.If(bus.done):
                    m.d.sync += [
                        bus.r_stb.eq(0), bus.w_stb.eq(0), wishbone.dat_r.eq(bus.r_data), refused.eq(bus.error),
                    ]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [wishbone.ack.eq(asked & kept & ~refused), wishbone.err.eq(asked & kept & refused)]
                m.next = "IDLE"
        return m
