"""Windows: the chip's memories on the register bus, and the two others who reach them word by word."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig, bits_for
from ohmloop_hdl.fixed import GAIN_ONE
from ohmloop_hdl.host.bus import RegisterBus
from ohmloop_hdl.host.map import ADDRESS_BITS, WINDOW_LOW, address_map
from ohmloop_hdl.host.window import WindowPort

WORD_BITS = WINDOW_LOW - 2
"""Width of a word address within a window."""

NUMBER_BITS = ADDRESS_BITS - WINDOW_LOW
"""Width of a window's number."""


class WindowAccess(wiring.Signature):
    """Word access to any window from inside the chip, while a program runs.

    Members
    -------
    enable, number, address : Out
        Own the window ``number`` (:attr:`ohmloop_hdl.host.map.Window.number`) in this clock; word address.
    write, w_data : Out(1), Out(32)
        Write a whole word in this clock.
    r_data : In(32)
        Word at the ``number`` and ``address`` of the clock before.
    """

    def __init__(self):
        super().__init__({
            "enable": Out(1), "number": Out(NUMBER_BITS), "address": Out(WORD_BITS),
            "write": Out(1), "w_data": Out(32), "r_data": In(32),
        })


class Windows(wiring.Component):
    """Splits the register bus: registers at the bottom, one window a memory above.

    For the bus, windows exist only while ``halted`` is high; an access to one while a program runs, a write to a
    read-only window, a read of a locked one, and an access beyond a window's last word end with ``error`` and change
    nothing; a read of a word with wrong parity ends with ``error`` too. The stream unit reaches a window through
    ``inside``. While ``wipe`` is high every word at ``wipe_address`` is cleared, gains set to one.

    Parameters
    ----------
    config : ChipConfig
        Sizes; the addresses come from the register description.

    Members
    -------
    bus : In(RegisterBus)
        From the host interface.
    registers : Out(RegisterBus)
        To the register bank.
    halted, locked : In(1)
        No program runs; secret windows do not read back.
    inside : In(WindowAccess)
        From the stream unit; only while not halted.
    wipe, wipe_address : In(1), In(18)
        Clear; only while not halted.
    written : Out(1)
        With ``number`` and ``address``: the bus writes a window in this clock.
    number, address : Out
        Window and word of the access on the bus.
    program, mantissas, exponents, codes, bad_map, ... : Out(WindowPort)
        To the memories; the name of a window in the register description, in lower case.

    Latency
    -------
    Registers and writes none, reads of a window one clock.
    """

    def __init__(self, config: ChipConfig):
        self.windows = address_map(config).windows
        super().__init__({
            "bus": In(RegisterBus()),
            "registers": Out(RegisterBus()),
            "halted": In(1),
            "locked": In(1),
            "inside": In(WindowAccess()),
            "wipe": In(1),
            "wipe_address": In(WORD_BITS),
            "written": Out(1),
            "number": Out(NUMBER_BITS),
            "address": Out(WORD_BITS),
        } | {
            name.lower(): Out(WindowPort(bits_for(window.words))) for name, window in self.windows.items()
        })

    @property
    def wipe_words(self) -> int:
        """Words of the longest window: so many addresses wipe every memory."""
        return max(window.words for window in self.windows.values())

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        r_data, r_error = Signal(32), Signal()
        m.d.comb += [
            self.number.eq(bus.address[WINDOW_LOW:]),
            self.address.eq(bus.address[2:WINDOW_LOW]),
            self.registers.address.eq(bus.address),
            self.registers.w_data.eq(bus.w_data),
            self.registers.w_strobe.eq(bus.w_strobe),
        ]
        with m.FSM(name="windows"):
            with m.State("REQUEST"):
                with m.Switch(self.number):
                    with m.Case(0):
                        m.d.comb += [
                            self.registers.r_stb.eq(bus.r_stb),
                            self.registers.w_stb.eq(bus.w_stb),
                            bus.r_data.eq(self.registers.r_data),
                            bus.done.eq(self.registers.done),
                            bus.error.eq(self.registers.error),
                        ]
                    for window in self.windows.values():
                        with m.Case(window.number):
                            exists = self.halted & (self.address < window.words)
                            readable = exists & ~(self.locked & window.secret)
                            writes = bus.w_stb & exists & window.writable
                            m.d.comb += self.written.eq(writes & bus.w_strobe.any())
                            with m.If(bus.r_stb & readable):
                                m.next = "READ"
                            with m.Elif(bus.r_stb | bus.w_stb):
                                m.d.comb += [bus.done.eq(1), bus.error.eq(~writes)]
                    with m.Default():
                        m.d.comb += [bus.done.eq(bus.r_stb | bus.w_stb), bus.error.eq(bus.done)]
            with m.State("READ"):
                m.d.comb += [bus.done.eq(1), bus.r_data.eq(r_data), bus.error.eq(r_error)]
                m.next = "REQUEST"
        self._own(m)
        self._read(m, r_data, r_error)
        return m

    def _own(self, m: Module):
        """Who has the memories in this clock: the bus all, the wipe all, or the stream unit one."""
        bus, inside = self.bus, self.inside
        address, w_data = Signal(WORD_BITS), Signal(32)
        with m.If(self.halted):
            m.d.comb += [address.eq(self.address), w_data.eq(bus.w_data)]
        with m.Elif(self.wipe):
            m.d.comb += address.eq(self.wipe_address)
        with m.Else():
            m.d.comb += [address.eq(inside.address), w_data.eq(inside.w_data)]
        for name, window in self.windows.items():
            port = getattr(self, name.lower())
            m.d.comb += [port.address.eq(address), port.w_data.eq(w_data)]
            with m.If(self.halted):
                m.d.comb += port.select.eq(1)
                with m.If(self.written & (self.number == window.number)):
                    m.d.comb += port.w_strobe.eq(bus.w_strobe)
            with m.Elif(self.wipe):
                m.d.comb += [port.select.eq(1), port.w_strobe.eq(0xF if window.writable else 0)]
                if name == "GAINS":
                    m.d.comb += port.w_data.eq(GAIN_ONE)
            with m.Elif(inside.enable & (inside.number == window.number)):
                m.d.comb += [port.select.eq(1), port.w_strobe.eq(inside.write.replicate(4))]

    def _read(self, m: Module, r_data: Signal, r_error: Signal):
        """The word that was addressed in the clock before, for whoever has the memories."""
        number = Signal(NUMBER_BITS)
        m.d.sync += number.eq(Mux(self.halted, self.number, self.inside.number))
        m.d.comb += self.inside.r_data.eq(r_data)
        with m.Switch(number):
            for name, window in self.windows.items():
                with m.Case(window.number):
                    port = getattr(self, name.lower())
                    m.d.comb += [r_data.eq(port.r_data), r_error.eq(port.r_error)]
