"""Windows: the chip's memories on the register bus."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.host.bus import RegisterBus
from ohmloop_hdl.host.map import WINDOW_LOW, address_map
from ohmloop_hdl.host.window import WindowPort


class Windows(wiring.Component):
    """Splits the register bus: registers at the bottom, one window a memory above.

    Windows exist only while ``halted`` is high; an access to one while a program runs, a write to a read-only window,
    and an access beyond a window's last word end with ``error`` and change nothing.

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
    halted : In(1)
        No program runs.
    program, mantissas, exponents, codes, bad_map : Out(WindowPort)
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
        } | {
            name.lower(): Out(WindowPort((window.words - 1).bit_length())) for name, window in self.windows.items()
        })

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        word = bus.address[2:WINDOW_LOW]
        m.d.comb += [
            self.registers.address.eq(bus.address),
            self.registers.w_data.eq(bus.w_data),
            self.registers.w_strobe.eq(bus.w_strobe),
        ]
        with m.FSM(name="windows"):
            with m.State("REQUEST"):
                with m.Switch(bus.address[WINDOW_LOW:]):
                    with m.Case(0):
                        m.d.comb += [
                            self.registers.r_stb.eq(bus.r_stb),
                            self.registers.w_stb.eq(bus.w_stb),
                            bus.r_data.eq(self.registers.r_data),
                            bus.done.eq(self.registers.done),
                            bus.error.eq(self.registers.error),
                        ]
                    for name, window in self.windows.items():
                        port = getattr(self, name.lower())
                        with m.Case(window.address >> WINDOW_LOW):
                            exists = self.halted & (word < window.words)
                            with m.If(bus.r_stb & exists):
                                m.next = "READ"
                            with m.Elif(bus.r_stb | bus.w_stb):
                                m.d.comb += [bus.done.eq(1), bus.error.eq(~(exists & window.writable))]
                            with m.If(bus.w_stb & exists & window.writable):
                                m.d.comb += port.w_strobe.eq(bus.w_strobe)
                    with m.Default():
                        m.d.comb += [bus.done.eq(bus.r_stb | bus.w_stb), bus.error.eq(bus.done)]
            with m.State("READ"):
                m.d.comb += bus.done.eq(1)
                with m.Switch(bus.address[WINDOW_LOW:]):
                    for name, window in self.windows.items():
                        with m.Case(window.address >> WINDOW_LOW):
                            m.d.comb += bus.r_data.eq(getattr(self, name.lower()).r_data)
                m.next = "REQUEST"
        for name in self.windows:
            port = getattr(self, name.lower())
            m.d.comb += [
                port.select.eq(self.halted),
                port.address.eq(word),
                port.w_data.eq(bus.w_data),
            ]
        return m
