"""SPI target."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.bus import RegisterBus

READ, WRITE = 0x1, 0x2
"""Commands: the high half of the command byte."""

ADDRESS_BYTES = 3
"""Bytes of a frame's address."""

ACCEPTED, REFUSED = 0xA0, 0xA1
"""Values of the status byte; they differ in the last bit sent."""

WORD, STATUS_AND_WORD = 32, 40
"""Bits that a word takes: of a write, and of the header; of a read."""


class Spi(wiring.Signature):
    """SPI as the controller drives it; ``cipo_enable`` is high where the target drives ``cipo``."""

    def __init__(self):
        super().__init__({
            "sck": Out(1), "cs_n": Out(1), "copi": Out(1), "cipo": In(1), "cipo_enable": In(1),
        })


class SpiTarget(wiring.Component):
    """Turns SPI frames into accesses of the register bus.

    1. A frame lasts from the fall of ``cs_n`` to its rise. Bytes go most significant bit first, addresses and words
       most significant byte first.
    2. The controller sends a command byte, three address bytes, and then any number of words of consecutive addresses.
       The low two address bits are ignored. ::

           write    copi   2s  a2  a1  a0  w3  w2  w1  w0  w3  w2  w1  w0  --
                    cipo   st  st  st  st  st  st  st  st  st  st  st  st  st

           read     copi   10  a2  a1  a0  --  --  --  --  --  --  --  --  --  --
                    cipo   st  st  st  st  st  r3  r2  r1  r0  st  r3  r2  r1  r0

    3. Command 2s writes the bytes chosen by the strobes s: bit i stands for bits 8i to 8i + 7 of every word. A word is
       written when its last bit has come; a word that the frame's end cuts short changes nothing.
    4. Command 10 reads; its low half is ignored. Each word follows a byte of status, and is read when the first bit of
       that byte has come: nothing is read that the controller does not go on to ask for.
    5. Whenever the target does not send a word it sends the status. A0: all accepted so far. A1: an access of this
       frame was refused, or the command is unknown. Anything else is no status: no chip answers.
    6. From a refused access on, a frame does nothing more; words read from there on mean nothing. The words before the
       first A1 are written, or good.
    7. The status of a word written is in the byte behind it, which may be the first of the next word. After the last
       word the controller clocks one byte more, which rule 3 makes harmless.
    8. A frame under way at a reset is refused to its end.

    Members
    -------
    spi : In(Spi)
        The pins: mode 0 (or mode 3, which has the same edges), not synchronous to ``clk``.
    bus : Out(RegisterBus)
        To the windows and registers.

    Latency
    -------
    A rising edge of ``sck`` moves ``cipo`` on between two and three clocks later. At a quarter of ``clk`` the bit so
    stands one clock before the edge that takes it and two clocks behind. Requires:

    * ``sck`` is at most ``clk`` / 4, high and low for more than a clock each;
    * ``copi`` stands from the rising edge until a clock behind it;
    * ``cs_n`` falls more than a clock before the first rising edge, rises more than a clock after the last, and stays
      high for more than three clocks.

    One turnaround byte is enough for a read at any ``sck``: its access begins with the first bit of the byte and takes
    two clocks, and only the last bit of the byte, and the word behind it, depend on the outcome.
    """

    spi: In(Spi())
    bus: Out(RegisterBus())

    def elaborate(self, platform):
        m = Module()
        spi, bus = self.spi, self.bus
        sck, sck_before, copi, deselected = Signal(), Signal(), Signal(), Signal()
        m.submodules.sck_synchronizer = FFSynchronizer(spi.sck, sck)
        m.submodules.copi_synchronizer = FFSynchronizer(spi.copi, copi)
        m.submodules.cs_n_synchronizer = FFSynchronizer(spi.cs_n, deselected, reset_less=False)
        m.d.sync += sck_before.eq(sck)

        taken = Signal()
        """A bit comes in."""
        bit = Signal(range(STATUS_AND_WORD))
        """Bits of this word or header that follow the one on the wire."""
        last = taken & (bit == 0)
        shift = Signal(32)
        """Header and written words on their way in, read words on their way out."""
        shifted = Cat(copi, shift[:-1])
        command = shifted[-4:]
        refused = Signal(init=1)
        """Something was refused in this frame. A reset refuses the rest of one that is under way."""
        m.d.comb += [
            taken.eq(sck & ~sck_before & ~deselected),
            spi.cipo.eq(Mux(refused, REFUSED, ACCEPTED).bit_select(bit[:3], 1)),
            # Straight from the pin: the wire is free as soon as another chip may be selected.
            spi.cipo_enable.eq(~spi.cs_n),
            # Two rising edges are never seen in consecutive clocks, so an access is over before the register moves.
            bus.w_data.eq(shift),
        ]
        with m.If(bus.done):
            m.d.sync += [bus.r_stb.eq(0), bus.w_stb.eq(0), bus.address.eq(bus.address + 4), refused.eq(bus.error)]
        with m.If(taken):
            m.d.sync += bit.eq(bit - 1)
        with m.FSM(name="spi", init="WRITE"):
            with m.State("HEADER"):
                with m.If(taken):
                    m.d.sync += shift.eq(shifted)
                with m.If(last):
                    m.d.sync += [
                        bit.eq(WORD - 1),
                        bus.address.eq(shifted[:8 * ADDRESS_BYTES]),
                        bus.w_strobe.eq(shifted[-8:-4]),
                        refused.eq((command != READ) & (command != WRITE)),
                    ]
                    m.next = "WRITE"
                    with m.If(command == READ):
                        m.d.sync += bit.eq(STATUS_AND_WORD - 1)
                        m.next = "READ"
            with m.State("WRITE"):
                with m.If(taken):
                    m.d.sync += shift.eq(shifted)
                with m.If(last):
                    m.d.sync += [bit.eq(WORD - 1), bus.w_stb.eq(~refused)]
                with m.If(deselected):
                    m.next = "HEADER"
            with m.State("READ"):
                with m.If(taken & (bit == STATUS_AND_WORD - 1)):
                    m.d.sync += bus.r_stb.eq(~refused)
                with m.If(bus.done):
                    m.d.sync += shift.eq(bus.r_data)
                with m.If(bit < WORD):
                    m.d.comb += spi.cipo.eq(shift[-1])
                    with m.If(taken):
                        m.d.sync += shift.eq(shifted)
                with m.If(last):
                    m.d.sync += bit.eq(STATUS_AND_WORD - 1)
                with m.If(deselected):
                    m.next = "HEADER"
        with m.If(deselected):
            m.d.sync += [bit.eq(WORD - 1), refused.eq(0)]
        return m
