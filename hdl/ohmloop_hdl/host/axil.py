"""AXI4-Lite target."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmloop_hdl.host.bus import RegisterBus
from ohmloop_hdl.host.map import ADDRESS_BITS

OKAY, SLVERR = 0, 2
"""AXI responses."""


class AxiLite(wiring.Signature):
    """AXI4-Lite as the manager drives it, with the canonical signal names and 32-bit data."""

    def __init__(self):
        super().__init__({
            "awaddr": Out(ADDRESS_BITS), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(ADDRESS_BITS), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
            "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
        })


class AxiLiteTarget(wiring.Component):
    """Turns AXI4-Lite transactions into accesses of the register bus, one at a time.

    A write is taken when its address and data are both there. Where a read and a write wait together they take turns.
    A refused access answers SLVERR. ``awprot`` and ``arprot`` are ignored.

    Members
    -------
    axil : In(AxiLite)
        From the manager.
    bus : Out(RegisterBus)
        To the windows and registers.

    Latency
    -------
    A transaction is taken in the clock after it is there and answered in the clock after that; reads of a window are
    answered one clock later.
    """

    axil: In(AxiLite())
    bus: Out(RegisterBus())

    def elaborate(self, platform):
        m = Module()
        axil, bus = self.axil, self.bus
        read_next = Signal()
        """Whose turn it is when both wait."""
        write_waits = axil.awvalid & axil.wvalid

        # Registered, so that no path leads from an input of the bus to an output.
        m.d.sync += [axil.awready.eq(0), axil.wready.eq(0), axil.arready.eq(0)]
        with m.FSM(name="axil"):
            with m.State("IDLE"):
                with m.If(axil.arvalid & (read_next | ~write_waits)):
                    m.d.sync += [axil.arready.eq(1), bus.address.eq(axil.araddr), bus.r_stb.eq(1), read_next.eq(0)]
                    m.next = "READ"
                with m.Elif(write_waits):
                    m.d.sync += [
                        axil.awready.eq(1), axil.wready.eq(1), read_next.eq(1),
                        bus.address.eq(axil.awaddr), bus.w_stb.eq(1), bus.w_data.eq(axil.wdata),
                        bus.w_strobe.eq(axil.wstrb),
                    ]
                    m.next = "WRITE"
            with m.State("READ"):
                with m.If(bus.done):
                    m.d.sync += [
                        bus.r_stb.eq(0), axil.rvalid.eq(1), axil.rdata.eq(bus.r_data),
                        axil.rresp.eq(Mux(bus.error, SLVERR, OKAY)),
                    ]
                    m.next = "READ_RESPONSE"
            with m.State("READ_RESPONSE"):
                with m.If(axil.rready):
                    m.d.sync += axil.rvalid.eq(0)
                    m.next = "IDLE"
            with m.State("WRITE"):
                with m.If(bus.done):
                    m.d.sync += [bus.w_stb.eq(0), axil.bvalid.eq(1), axil.bresp.eq(Mux(bus.error, SLVERR, OKAY))]
                    m.next = "WRITE_RESPONSE"
            with m.State("WRITE_RESPONSE"):
                with m.If(axil.bready):
                    m.d.sync += axil.bvalid.eq(0)
                    m.next = "IDLE"
        return m
