"""Passive checkers that ride along on every chip: the rules of its buses and streams, looked at between two clocks.

Models drive behind a rising edge, so what stands at the falling edge is what the next rising edge sees. A checker
sleeps while nothing is valid.
"""

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer
from cocotb.utils import get_sim_time


class Handshake:
    """One channel: once ``valid`` is high it stays, with the same payload, until ``ready``.

    ``count``: beats since reset. ``behind``: channels that must have had a beat more before this one is valid, as a
    request before its response.
    """

    def __init__(self, dut: Any, prefix: str, payload: tuple[str, ...], behind: tuple["Handshake", ...] = ()):
        self.name, self.count, self.behind = prefix, 0, behind
        self._dut = dut
        self._valid, self._ready = getattr(dut, f"{prefix}valid"), getattr(dut, f"{prefix}ready")
        self._payload = [getattr(dut, prefix + name) for name in payload]
        self._excused_until_ns = -1.0
        cocotb.start_soon(self._watch())

    def excuse(self, clocks: int = 100):
        """Somebody asked for a flush or a wipe: for so long what waits may go without having been taken."""
        self._excused_until_ns = get_sim_time("ns") + 20 * clocks

    async def _watch(self):
        between, held = FallingEdge(self._dut.clk), None
        while True:
            if not self._high():
                assert held is None or get_sim_time("ns") < self._excused_until_ns, \
                    f"{self.name}: {held} went before it was taken"
                held = None
                await RisingEdge(self._valid)
            await between
            if int(self._dut.rst.value):
                self.count, held = 0, None
            elif self._high():
                held = self._beat(held)

    def _beat(self, held: list[str] | None) -> list[str] | None:
        """A clock in which something is valid; what must stay."""
        now = [str(signal.value) for signal in self._payload]
        assert held in (None, now), f"{self.name}: {held} became {now} before it was taken"
        if held is None:
            early = [other.name for other in self.behind if other.count <= self.count]
            assert not early, f"{self.name}: valid before a beat of {early}"
        if not int(self._ready.value):
            return now
        self.count += 1
        return None

    def _high(self) -> bool:
        return self._valid.value.is_resolvable and bool(int(self._valid.value))


def stream(dut: Any, prefix: str) -> Handshake:
    """The rules of AXI4-Stream."""
    return Handshake(dut, f"{prefix}_t", ("data", "last"))


def axil(dut: Any):
    """The rules of AXI4-Lite: five channels, and no response that nobody asked for."""
    address, data = Handshake(dut, "s_axil_aw", ("addr", "prot")), Handshake(dut, "s_axil_w", ("data", "strb"))
    Handshake(dut, "s_axil_b", ("resp",), behind=(address, data))
    Handshake(dut, "s_axil_r", ("data", "resp"), behind=(Handshake(dut, "s_axil_ar", ("addr", "prot")),))


def wishbone(dut: Any):
    """The rules of a Wishbone target: one answer a cycle, for one clock, and only while there is a cycle."""
    async def watch():
        between, answers = FallingEdge(dut.clk), (dut.s_wb_ack_o, dut.s_wb_err_o)
        while True:
            await First(*(RisingEdge(answer) for answer in answers))
            await between
            ack, err = (int(answer.value) for answer in answers)
            assert not (ack and err), "ack and err together"
            assert not (ack or err) or int(dut.s_wb_cyc_i.value) and int(dut.s_wb_stb_i.value), "an answer to nobody"
            if ack or err:
                await between
                assert not any(int(answer.value) for answer in answers), "an answer of two clocks"

    cocotb.start_soon(watch())


def spi(dut: Any):
    """The rule of an SPI target: it drives the wire while it is selected, and no longer."""
    async def watch():
        while True:
            await dut.spi_cs_n.value_change
            await Timer(1, "ns")
            assert int(dut.spi_cipo_enable.value) != int(dut.spi_cs_n.value)

    cocotb.start_soon(watch())


RULES = {"axil": axil, "wishbone": wishbone, "spi": spi}
"""Checkers by the name of the chip's host bus."""
