"""The chip in the Amaranth simulator around the numpy macro, as an engine."""

import numpy as np
from amaranth.sim import Simulator

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.pysim import attach
from ohmloop.engines.operations import Operation, Read, Script, Trace, WaitHalt, Write
from ohmloop_hdl.chip import Chip
from ohmloop_hdl.events import Phase


def run_scripts(die: Die, scripts: list[Script]) -> tuple[list, list[Trace]]:
    """Run scripts one after the other on a fresh chip; their results and traces."""
    chip, macro = Chip(die.config), NumpyMacro(die)
    results, traces = [], [Trace() for _ in scripts]
    current = [traces[0]]
    simulator = Simulator(chip)
    simulator.add_clock(2e-8)
    attach(simulator, macro, chip.macro)
    bits, steps = die.config.adc_bits, die.config.mux_steps

    async def trace(ctx):
        partial = {}
        watched = (chip.trace.phase, chip.trace.converted, chip.trace.mux, chip.trace.codes)
        async for _, _, phase, converted, mux, codes in ctx.tick().sample(*watched):
            if phase:
                current[0].phases[Phase(phase)] += 1
            if converted:
                for a in range(die.config.adcs):
                    code = codes >> a * bits & (1 << bits) - 1
                    partial[a * steps + mux] = code - ((code >> bits - 1) << bits)
                if len(partial) == die.config.size:
                    current[0].scans.append(np.array([partial[i] for i in range(die.config.size)]))
                    partial = {}

    async def access(ctx, write: bool, address: int, word: int = 0, strobe: int = 0xF):
        axil = chip.axil
        if write:
            for name, value in (("awaddr", address), ("awvalid", 1), ("wdata", word), ("wstrb", strobe), ("wvalid", 1)):
                ctx.set(getattr(axil, name), value)
            await ctx.tick().until(axil.awready)
            ctx.set(axil.awvalid, 0)
            ctx.set(axil.wvalid, 0)
            ctx.set(axil.bready, 1)
            (response,) = await ctx.tick().sample(axil.bresp).until(axil.bvalid)
            ctx.set(axil.bready, 0)
            return response, 0
        ctx.set(axil.araddr, address)
        ctx.set(axil.arvalid, 1)
        await ctx.tick().until(axil.arready)
        ctx.set(axil.arvalid, 0)
        ctx.set(axil.rready, 1)
        response, data = await ctx.tick().sample(axil.rresp, axil.rdata).until(axil.rvalid)
        ctx.set(axil.rready, 0)
        return response, data

    async def perform(ctx, operation: Operation) -> list[int]:
        words = []
        if isinstance(operation, Write):
            for i, word in enumerate(operation.words):
                response, _ = await access(ctx, True, operation.address + 4 * i, word)
                assert response == 0, f"write to {operation.address + 4 * i:#x} refused"
        elif isinstance(operation, Read):
            for i in range(operation.count):
                response, word = await access(ctx, False, operation.address + 4 * i)
                assert response == 0, f"read of {operation.address + 4 * i:#x} refused"
                words.append(word)
        elif isinstance(operation, WaitHalt):
            for _ in range(operation.clocks):
                if ctx.get(chip.interrupt):
                    return []
                await ctx.tick()
            raise AssertionError(f"no interrupt within {operation.clocks} clocks")
        return words

    async def bench(ctx):
        await ctx.tick()
        for script, trace_of_script in zip(scripts, traces, strict=True):
            current[0] = trace_of_script
            words = None
            try:
                while True:
                    operation = script.send(words)  # type: ignore[arg-type]
                    words = await perform(ctx, operation)
            except StopIteration as stop:
                results.append(stop.value)

    simulator.add_testbench(trace, background=True)
    simulator.add_testbench(bench)
    simulator.run()
    return results, traces
