"""cocotb bench of ``counter.sv``, run by ``test_cosim.py``; some of its tests fail on purpose."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from ohmloop.errors import OhmloopError


async def _count(dut, clocks: int):
    dut.enable.value = 0
    Clock(dut.clk, 10, "ns").start()
    await FallingEdge(dut.clk)
    dut.enable.value = 1
    await ClockCycles(dut.clk, clocks)
    await FallingEdge(dut.clk)


@cocotb.test()
async def counts(dut):
    """The top level counts clocks, wraps at its width, and the bench sees our packages and its environment."""
    clocks = int(os.environ["CLOCKS"])
    await _count(dut, clocks)
    assert int(dut.total.value) == clocks % (1 << len(dut.total))
    assert issubclass(OhmloopError, Exception)


@cocotb.test()
async def sees_inside(dut):
    """A signal below the top level that was named as public."""
    before = int(dut.core.next_count.value)
    await _count(dut, 1)
    assert int(dut.core.next_count.value) == (before + 1) % (1 << len(dut.total))


@cocotb.test()
async def fails(dut):
    """Fails on purpose."""
    await _count(dut, 1)
    assert int(dut.total.value) == -1, "the counter was asked to fail"


@cocotb.test()
async def hangs(dut):
    """Never ends: whoever runs it has to stop it."""
    Clock(dut.clk, 10, "ns").start()
    while True:
        await ClockCycles(dut.clk, 1000)
