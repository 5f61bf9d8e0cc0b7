"""The numpy macro inside an Amaranth simulation."""

from typing import Any

from amaranth.hdl import Signal
from amaranth.sim import Simulator

from ohmloop.analog.body import MacroBody, MacroInputs


def attach(simulator: Simulator, macro: MacroBody, pins: Any, domain: str = "sync") -> None:
    """Let ``macro`` answer the pins of a design under simulation.

    Parameters
    ----------
    simulator : Simulator
        Simulator of the design, before it runs.
    macro : MacroBody
        Body that answers.
    pins : interface object of MacroPins
        As the digital half holds it: its outputs are read, ``sense``, ``above`` and ``clipped`` are driven.
    domain : str
        Clock domain of the digital half.

    Latency
    -------
    ``clipped`` and the held values behind ``above`` change right after the clock edge, like registers; ``above`` and
    ``sense`` follow their pins within the same instant.
    """
    edges = Signal()
    inputs = [getattr(pins, name) for name in MacroInputs._fields]

    async def clocked(ctx):
        parity = 0
        async for _, _, *levels in ctx.tick(domain).sample(*inputs):
            macro.edge(MacroInputs(*levels))
            ctx.set(pins.clipped, macro.clipped_bits)
            parity ^= 1
            ctx.set(edges, parity)

    async def combinational(ctx):
        async for trial, mux, row, plane, read, _ in ctx.changed(pins.trial, pins.mux, pins.row, pins.plane, pins.read,
                                                                 edges):
            ctx.set(pins.above, macro.above(trial, mux))
            ctx.set(pins.sense, macro.sense(row, plane, read))

    simulator.add_process(clocked)
    simulator.add_process(combinational)
