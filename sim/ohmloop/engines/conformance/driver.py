"""Drives one stimulus into a simulated macro and its reference at once, at the pins."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from ohmloop.analog.body import MacroBody, MacroInputs

PERIOD_NS = 20
"""Clock period. Pins change at falling edges, so that no body can see them too early or too late."""


async def start(dut: Any) -> None:
    """All pins low, clock running, at a falling edge."""
    for name in MacroInputs._fields:
        getattr(dut, name).value = 0
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False))
    await FallingEdge(dut.clk)


class Driver:
    """The same pins for both, clock by clock.

    Parameters
    ----------
    dut
        cocotb handle of the simulated ``ohmloop_macro``.
    macro : MacroBody
        The reference, which follows.

    Members
    -------
    driven : dict[str, int]
        Levels that the pins have now, by name.
    clocks : int
        Rising edges so far.
    """

    def __init__(self, dut: Any, macro: MacroBody):
        self.dut = dut
        self.macro = macro
        self.driven: dict[str, int] = {}
        self.clocks = 0

    def present(self, pins: MacroInputs) -> None:
        """Put levels on the pins; no clock passes."""
        for name, level in pins._asdict().items():
            if self.driven.get(name) != level:
                getattr(self.dut, name).value = level
                self.driven[name] = level

    async def clock(self, pins: MacroInputs, clocks: int) -> None:
        """Levels on the pins for some rising edges; ends at the falling edge behind the last."""
        self.present(pins)
        for _ in range(clocks):
            self.macro.edge(pins)
        await ClockCycles(self.dut.clk, clocks, FallingEdge)
        self.clocks += clocks
