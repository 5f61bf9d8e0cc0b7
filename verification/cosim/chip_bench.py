"""What every bench of the whole chip shares: clock, reset, bus master, and the question to the contract checker."""

import functools
import json
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase

CONFIG_VARIABLE = "OHMLOOP_CONFIG"
"""Environment variable with the configuration of the chip, as JSON of its fields."""

SEED_VARIABLE = "OHMLOOP_SEED"
"""Environment variable with the seed of everything random."""

PUBLIC = {
    "ohmloop_contract": ["violations"],
    "ohmloop_macro": ["row", "write", "read", "autozero", "close_solve", "close_multiply"],
}
"""Signals below the top level that benches look at."""

CLOCK_NS = 20
ACCESS_CLOCKS = 4000
"""No access takes longer, whatever the back-pressure of these benches: a bus that hangs fails here."""


class Chip:
    """The chip under test with the master on its bus."""

    def __init__(self, dut: SimHandleBase):
        self.dut: Any = dut
        self.config = ChipConfig(**json.loads(os.environ[CONFIG_VARIABLE]))
        self.rng = random.Random(int(os.environ[SEED_VARIABLE]))
        dut.rst.value = 1
        self.master: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)

    async def reset(self, clocks: int = 2):
        """Reset for a few clocks, from falling edge to falling edge."""
        self.dut.rst.value = 1
        await self.clocks(clocks)
        self.dut.rst.value = 0
        await self.clocks(1)

    async def clocks(self, count: int):
        """Let clocks pass, up to a falling edge."""
        await ClockCycles(self.dut.clk, count, FallingEdge)

    async def write(self, address: int, data: bytes) -> bool:
        """Write bytes; whether every word of them was accepted."""
        return _okay((await self._bounded(self.master.write(address, data))).resp)

    async def read(self, address: int, length: int) -> tuple[bool, bytes]:
        """Read bytes; whether every word of them was answered, and what came."""
        response = await self._bounded(self.master.read(address, length))
        return _okay(response.resp), bytes(response.data)

    async def _bounded(self, access: Awaitable) -> Any:
        return await with_timeout(access, ACCESS_CLOCKS * CLOCK_NS, "ns")

    async def write_words(self, address: int, words: list[int]):
        """Write words that must be accepted."""
        assert await self.write(address, np.array(words, dtype="<u4").tobytes()), f"write at {address:#x} refused"

    async def read_word(self, address: int) -> int:
        """Read a word that must be answered."""
        okay, data = await self.read(address, 4)
        assert okay, f"read at {address:#x} refused"
        return int.from_bytes(data, "little")

    async def reach(self, phase: Phase, within: int = 20000):
        """Wait, clock by clock, until the machine is in a phase."""
        for _ in range(within):
            if int(self.dut.trace_phase.value) == phase:
                return
            await FallingEdge(self.dut.clk)
        raise AssertionError(f"phase {phase.name} not reached within {within} clocks")

    def closed(self) -> bool:
        """A switch of the loop is closed, at the pins of the macro."""
        macro = self.dut.macro
        return bool(int(macro.close_solve.value) or int(macro.close_multiply.value))

    def quiet(self) -> bool:
        """Nothing is selected, written, read, zeroed or closed, at the pins of the macro."""
        pins = (getattr(self.dut.macro, name) for name in ("row", "write", "read", "autozero"))
        return not self.closed() and not any(int(pin.value) for pin in pins)


def chip_test(body: Callable[[Chip], Awaitable[None]]):
    """A cocotb test on a chip fresh from reset; it also fails when the macro contract was broken meanwhile."""
    @cocotb.test()
    @functools.wraps(body)
    async def bench(dut: SimHandleBase):
        Clock(dut.clk, CLOCK_NS, "ns").start()
        chip = Chip(dut)
        await chip.reset(3)
        await body(chip)
        violations = int(chip.dut.macro.contract.violations.value)
        assert violations == 0, f"the macro contract was broken {violations} times; see CONTRACT lines"
    return bench


def _okay(response: AxiResp) -> bool:
    assert response in (AxiResp.OKAY, AxiResp.SLVERR), f"response is {response!r}"
    return response == AxiResp.OKAY
