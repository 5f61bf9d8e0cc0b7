"""What every bench of the whole chip shares: clock, reset, a master on its bus, streams, and the passive checkers."""

import functools
import json
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.handle import SimHandleBase
from cocotb.triggers import ClockCycles, FallingEdge, SimTimeoutError, Timer, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource
from verification.cosim import checkers
from verification.cosim.buses import BUSES, CLOCK_NS, WORD

from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.events import Phase

CONFIG_VARIABLE = "OHMLOOP_CONFIG"
"""Environment variable with the configuration of the chip, as JSON of its fields."""

HOST_VARIABLE = "OHMLOOP_HOST"
"""Environment variable with the chip's host bus."""

SEED_VARIABLE = "OHMLOOP_SEED"
"""Environment variable with the seed of everything random."""

AMOUNT_VARIABLE = "OHMLOOP_AMOUNT"
"""Environment variable with the accesses or beats of the long tests: a share in the test run, all in a campaign."""

COUNTED = "counted: "
"""What the lines begin with in which a bench says what it counted."""

PUBLIC = {
    "ohmloop_contract": ["violations"],
    "ohmloop_macro": ["row", "write", "read", "autozero", "close_solve", "close_multiply"],
}
"""Signals below the top level that benches look at."""

WIPE_CLOCKS = 100_000
"""No wipe takes longer."""


class Chip:
    """The chip under test with a master on its bus; its streams offer and take nothing until connected."""

    def __init__(self, dut: SimHandleBase):
        self.dut: Any = dut
        self.config = ChipConfig(**json.loads(os.environ[CONFIG_VARIABLE]))
        self.rng = random.Random(int(os.environ[SEED_VARIABLE]))
        self.amount = int(os.environ.get(AMOUNT_VARIABLE, "0"))
        dut.rst.value = 1
        for name in ("s_axis_tvalid", "s_axis_tlast", "s_axis_tdata", "m_axis_tready"):
            getattr(dut, name).value = 0
        host = os.environ[HOST_VARIABLE]
        self.bus: Any = BUSES[host](dut, self.rng)
        checkers.RULES[host](dut)
        self.beats_in, self.beats_out = checkers.stream(dut, "s_axis"), checkers.stream(dut, "m_axis")

    def connect(self) -> tuple[Any, Any]:
        """Models on both streams that carry whole words; they never pause unless told to."""
        source = AxiStreamSource(AxiStreamBus.from_prefix(self.dut, "s_axis"), self.dut.clk, self.dut.rst, byte_lanes=1)
        sink = AxiStreamSink(AxiStreamBus.from_prefix(self.dut, "m_axis"), self.dut.clk, self.dut.rst, byte_lanes=1)
        return source, sink

    def excuse(self):
        """The streams are about to be flushed or wiped."""
        self.beats_in.excuse()
        self.beats_out.excuse()

    async def reset(self, clocks: int = 2):
        """Reset for a few clocks, from falling edge to falling edge; the chip then wipes itself."""
        await self.clocks(1)
        self.dut.rst.value = 1
        await self.clocks(clocks)
        self.dut.rst.value = 0
        await self.clocks(1)

    async def ready(self) -> int:
        """Wait until the chip has wiped itself; clocks that this took."""
        await self.reach(Phase.WIPE, 5)
        begun = self.time()
        await self.reach(Phase.IDLE, WIPE_CLOCKS)
        return self.time() - begun

    def time(self) -> int:
        """Clocks since the simulation began."""
        return round(get_sim_time("ns") / CLOCK_NS)

    async def clocks(self, count: int):
        """Let clocks pass, up to a falling edge."""
        await ClockCycles(self.dut.clk, count, FallingEdge)

    async def write_words(self, address: int, words: list[int]):
        """Write words that must be accepted."""
        data = b"".join(word.to_bytes(WORD, "little") for word in words)
        assert await self.bus.write(address, data), f"write at {address:#x} refused"

    async def read_words(self, address: int, count: int) -> list[int]:
        """Read words that must be answered."""
        okay, data = await self.bus.read(address, WORD * count)
        assert okay, f"read at {address:#x} refused"
        return [int.from_bytes(data[place:place + WORD], "little") for place in range(0, len(data), WORD)]

    async def read_word(self, address: int) -> int:
        """Read a word that must be answered."""
        return (await self.read_words(address, 1))[0]

    @property
    def phase(self) -> Phase:
        """What the machine is doing."""
        return Phase(int(self.dut.trace_phase.value))

    async def reach(self, phase: Phase, within: int = 20000):
        """Wait, up to a falling edge, until the machine is in a phase."""
        try:
            await with_timeout(self._reach(phase), within * CLOCK_NS, "ns")
        except SimTimeoutError:
            raise AssertionError(f"phase {phase.name} not reached within {within} clocks") from None

    async def _reach(self, phase: Phase):
        while self.phase != phase:
            await self.dut.trace_phase.value_change
            await FallingEdge(self.dut.clk)

    def closed(self) -> bool:
        """A switch of the loop is closed, at the pins of the macro."""
        macro = self.dut.macro
        return bool(int(macro.close_solve.value) or int(macro.close_multiply.value))

    def quiet(self) -> bool:
        """Nothing is selected, written, read, zeroed or closed, at the pins of the macro."""
        pins = (getattr(self.dut.macro, name) for name in ("row", "write", "read", "autozero"))
        return not self.closed() and not any(int(pin.value) for pin in pins)


def chip_test(body: Callable[[Chip], Awaitable[None]]):
    """A cocotb test on a chip that has wiped itself after a reset; fails also when the macro contract was broken."""
    @cocotb.test()
    @functools.wraps(body)
    async def bench(dut: SimHandleBase):
        Clock(dut.clk, CLOCK_NS, "ns").start()
        # Models set pins at once when they are made; Icarus loses gates behind pins that are set before time begins.
        await Timer(1, "ns")
        chip = Chip(dut)
        await chip.reset(3)
        await chip.ready()
        await body(chip)
        violations = int(chip.dut.macro.contract.violations.value)
        assert violations == 0, f"the macro contract was broken {violations} times; see CONTRACT lines"
    return bench
