"""A Python body of the macro on the pins of a chip under cocotb, through the empty ``ohmloop_shell.sv``.

It costs nothing while only the clock moves. The shell shows all pins as one vector and counts rising edges; this side
sleeps until the vector changes, then looks at falling edges until it has stopped changing. At each look:

1. the edges since the last one all saw the pins as they were then: the body takes them;
2. what the outputs are from here on is driven: ``clipped`` and the held values as those edges left them, ``above`` and
   ``sense`` of the pins as they are now, in time for the next rising edge.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import cocotb
from amaranth.hdl import Shape
from cocotb.triggers import FallingEdge

from ohmloop.analog.body import MacroBody, MacroInputs
from ohmloop.analog.macro import NumpyMacro
from ohmloop.analog.spice.live import SpiceMacro
from ohmloop.engines.simulator import BODY_VARIABLE, DIE_VARIABLE
from ohmloop.engines.tools import find
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.macro.pins import MacroPins

EDGES = 1 << 32
"""The shell's counter wraps around here."""


class AttachedMacro:
    """Answers the pins of one shell.

    Parameters
    ----------
    body : MacroBody
        What answers.
    shell, clock
        cocotb handles of the shell and of its clock.
    """

    def __init__(self, body: MacroBody, shell: Any, clock: Any):
        self.body = body
        self._inputs, self._edges, self._clock = shell.inputs, shell.edges, clock
        self._outputs = {name: getattr(shell, name) for name in ("above", "sense", "clipped")}
        self._driven = dict.fromkeys(self._outputs, 0)
        self._widths = pin_widths(body.die.config)
        self._pins: MacroInputs | None = None
        self._levels = -1
        self._taken = 0

    async def run(self) -> None:
        """Answer until the simulation ends. Raises what the body raises."""
        await FallingEdge(self._clock)
        while True:
            while self._look():
                await FallingEdge(self._clock)
            await self._inputs.value_change
            await FallingEdge(self._clock)

    def _look(self) -> bool:
        """Take the edges that passed, drive the outputs; whether the pins have changed since the last look."""
        body, count = self.body, int(self._edges.value)
        passed, self._taken = (count - self._taken) % EDGES, count
        if passed and self._pins is not None:
            body.edge(self._pins)
            body.advance(passed - 1)
        value = self._inputs.value
        if not value.is_resolvable:
            return False
        levels = value.to_unsigned()
        changed, self._levels = levels != self._levels, levels
        if changed:
            self._pins = unpacked(levels, self._widths)
        pins = self._pins
        assert pins is not None
        self._drive("above", body.above(pins.trial, pins.mux))
        self._drive("sense", body.sense(pins.row, pins.plane, pins.read))
        self._drive("clipped", body.clipped_bits)
        return changed

    def _drive(self, name: str, levels: int) -> None:
        if levels != self._driven[name]:
            self._driven[name] = levels
            self._outputs[name].value = levels


def pin_widths(config: ChipConfig) -> list[int]:
    """Widths of the pins towards the macro, in the order of :class:`MacroInputs`."""
    members = MacroPins(config).members
    return [Shape.cast(members[name].shape).width for name in MacroInputs._fields]


def unpacked(levels: int, widths: list[int]) -> MacroInputs:
    """Pins out of the shell's vector, the first of them lowest."""
    pins = []
    for width in widths:
        pins.append(levels & (1 << width) - 1)
        levels >>= width
    return MacroInputs(*pins)


def attach(body: MacroBody, shell: Any, clock: Any) -> None:
    """Let ``body`` answer the pins of ``shell`` from now on; what goes wrong in it fails the running test."""
    cocotb.start_soon(AttachedMacro(body, shell, clock).run())


def body_asked_for() -> MacroBody | None:
    """The body that the environment asks for; None where the macro is SystemVerilog."""
    name = os.environ.get(BODY_VARIABLE)
    if name is None:
        return None
    die = pickle.loads(Path(os.environ[DIE_VARIABLE]).read_bytes())
    return NumpyMacro(die) if name == "numpy" else SpiceMacro(die, find("libngspice").path)
