"""The chip in the Amaranth simulator around the numpy macro: its bus, its trace, and driver scripts on it."""

from typing import Any

import numpy as np
from amaranth.sim import Simulator

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.pysim import attach
from ohmloop.engines.operations import Operation, Read, Result, Script, Trace, WaitHalt, Write
from ohmloop_hdl.chip import Chip
from ohmloop_hdl.events import Phase
from verification.unit.simulation import Bench, signed


class SimulatedChip:
    """One chip under simulation.

    Members
    -------
    trace : Trace
        What the trace port showed since :meth:`restart_trace`.
    retired : list of (pc, instruction)
        Instructions that retired since then.
    """

    def __init__(self, die: Die):
        self.config = die.config
        self.chip = Chip(die.config)
        self.restart_trace()
        self._simulator = Simulator(self.chip)
        self._simulator.add_clock(2e-8)
        attach(self._simulator, NumpyMacro(die), self.chip.macro)
        self._simulator.add_testbench(self._watch, background=True)

    def run(self, bench: Bench) -> None:
        """Run ``bench`` to its end; it gets the simulation context."""
        self._simulator.add_testbench(bench)
        self._simulator.run()

    def restart_trace(self) -> None:
        """Forget the trace so far."""
        self.trace = Trace()
        self.retired: list[tuple[int, int]] = []
        self._scan: dict[int, int] = {}

    async def _watch(self, ctx):
        config, trace = self.config, self.chip.trace
        while True:
            await ctx.tick()
            phase = Phase(ctx.get(trace.phase))
            if phase is Phase.IDLE:
                continue
            self.trace.phases[phase] += 1
            if ctx.get(trace.retired):
                self.retired.append((ctx.get(trace.pc), ctx.get(trace.instruction)))
            if ctx.get(trace.converted):
                mux, codes = ctx.get(trace.mux), ctx.get(trace.codes)
                for a in range(config.adcs):
                    self._scan[a * config.mux_steps + mux] = signed(codes >> a * config.adc_bits, config.adc_bits)
                if len(self._scan) == config.size:
                    self.trace.scans.append(np.array([self._scan[i] for i in range(config.size)]))
                    self._scan = {}

    async def write(self, ctx, address: int, word: int, strobe: int = 0xF) -> int:
        """One write on the host bus; its response."""
        axil = self.chip.axil
        for name, value in (("awaddr", address), ("awvalid", 1), ("wdata", word), ("wstrb", strobe), ("wvalid", 1),
                            ("bready", 1)):
            ctx.set(getattr(axil, name), value)
        await ctx.tick().until(axil.awready)
        ctx.set(axil.awvalid, 0)
        ctx.set(axil.wvalid, 0)
        (response,) = await ctx.tick().sample(axil.bresp).until(axil.bvalid)
        ctx.set(axil.bready, 0)
        return response

    async def read(self, ctx, address: int) -> tuple[int, int]:
        """One read on the host bus; response and word."""
        axil = self.chip.axil
        for name, value in (("araddr", address), ("arvalid", 1), ("rready", 1)):
            ctx.set(getattr(axil, name), value)
        await ctx.tick().until(axil.arready)
        ctx.set(axil.arvalid, 0)
        response, word = await ctx.tick().sample(axil.rresp, axil.rdata).until(axil.rvalid)
        ctx.set(axil.rready, 0)
        return response, word

    async def execute(self, ctx, script: Script[Result]) -> Result:
        """Carry out a driver script and return its result; no access may be refused."""
        words: Any = None
        try:
            while True:
                words = await self._perform(ctx, script.send(words))
        except StopIteration as stop:
            return stop.value

    async def _perform(self, ctx, operation: Operation) -> list[int]:
        words = []
        match operation:
            case Write(address, data):
                for i, word in enumerate(data):
                    assert await self.write(ctx, address + 4 * i, word) == 0, f"write to {address + 4 * i:#x} refused"
            case Read(address, count):
                for i in range(count):
                    response, word = await self.read(ctx, address + 4 * i)
                    assert response == 0, f"read of {address + 4 * i:#x} refused"
                    words.append(word)
            case WaitHalt(clocks):
                for _ in range(clocks):
                    if ctx.get(self.chip.interrupt):
                        break
                    await ctx.tick()
                else:
                    raise AssertionError(f"no interrupt within {clocks} clocks")
        return words
