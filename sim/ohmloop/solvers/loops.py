"""Loops on a chip or a model of one: ``solve(k, v)`` for what is iterated with, counting as it goes."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.host.device import Device, TrapError
from ohmloop.plan.loop import Loop
from ohmloop.plan.ranking import StaticInverse


class CountingSolve(Protocol):
    """Analogue solves with some loops, one programmed at a time; called with the number of the loop and v (n,)."""

    @property
    def solves(self) -> int:
        """Analogue solves so far."""
        ...

    @property
    def reprogrammings(self) -> int:
        """Times that the arrays were written: once a change of loop, the first included."""
        ...

    @property
    def counters(self) -> dict[str, int]:
        """What else was counted, by name."""
        ...

    def __call__(self, k: int, v: np.ndarray) -> np.ndarray:
        """About A_k^-1 v, (n,), in the user's unit; zero where the chip has no answer."""
        ...


class StaticLoops:
    """Loops on the settled model of one chip (:class:`ohmloop.plan.ranking.StaticInverse`), at the speed of numpy.

    Parameters
    ----------
    loops : Sequence[Loop]
        What is programmed, one at a time.
    die : Die
        The chip; its seed draws cells, offsets and noise.

    Members
    -------
    solves, reprogrammings, counters
        As :class:`CountingSolve`.
    """

    def __init__(self, loops: Sequence[Loop], die: Die):
        self._loops, self._die = tuple(loops), die
        self._models: dict[int, StaticInverse] = {}
        self._programmed: int | None = None
        self.solves = self.reprogrammings = 0
        self.counters: dict[str, int] = {}

    def __call__(self, k: int, v: np.ndarray) -> np.ndarray:
        """One analogue solve with loop k; zero where no range is large enough."""
        loop = self._loops[k]
        if k not in self._models:
            self._models[k] = StaticInverse(np.asarray(loop.plan.codes), loop.plan.n, self._die)
        self.reprogrammings += self._programmed != k
        self._programmed = k
        rhs = loop.rhs(v)
        if not rhs.any():
            # No more does a chip close its loop for nothing.
            return np.zeros_like(v)
        self.solves += 1
        return loop.solution(self._models[k](rhs) / loop.plan.alpha)


class DeviceLoops:
    """Loops on a chip: each solve is an INV, behind a PROG where another loop is in the arrays.

    Parameters
    ----------
    loops : Sequence[Loop]
        What is programmed, one at a time.
    device : Device
        The chip, whoever ends it.

    Members
    -------
    solves, reprogrammings, counters
        As :class:`CountingSolve`; counters are clocks, and solves that ended in a trap by its cause.
    """

    def __init__(self, loops: Sequence[Loop], device: Device):
        self._loops, self._device = tuple(loops), device
        self._traps: Counter[str] = Counter()
        self._begin = device.counters

    def __call__(self, k: int, v: np.ndarray) -> np.ndarray:
        """One solve with loop k; zero where it ends in a trap."""
        loop = self._loops[k]
        self._device.load(loop.plan)
        # A vector has no unit on the chip; what is too small for the host's arithmetic is none of its business.
        peak = float(np.abs(v).max(initial=0.0))
        if peak == 0.0:
            return np.zeros_like(v)
        try:
            return peak * loop.solution(self._device.invert(loop.rhs(v / peak)))
        except TrapError as trap:
            self._traps[f"trap {trap.cause.name.lower()}"] += 1
            return np.zeros_like(v)

    @property
    def solves(self) -> int:
        """Analogue solves so far."""
        return self._device.counters.analogue_solves - self._begin.analogue_solves

    @property
    def reprogrammings(self) -> int:
        """Times that the arrays were written so far."""
        return self._device.counters.reprogrammings - self._begin.reprogrammings

    @property
    def counters(self) -> dict[str, int]:
        """Clocks of the chip and solves that ended in a trap."""
        return {"clocks": self._device.counters.clock_cycles - self._begin.clock_cycles, **self._traps}


STATIC = "static"
"""Name of the engine that is only the settled model: no digital half, no clocks."""


def loops_on(engine: str, loops: Sequence[Loop], die: Die, device: Device | None, stack: ExitStack) -> CountingSolve:
    """Loops on a device, or on a new one of an engine (or :data:`STATIC`) that ends with ``stack``."""
    if device is None and engine == STATIC:
        return StaticLoops(loops, die)
    return DeviceLoops(loops, device or stack.enter_context(Device(die.config, engine, die)))
