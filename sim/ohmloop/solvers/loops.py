"""Loops on models of a chip: ``solve(k, v)`` for what is iterated with, counting as it goes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.macro import NumpyMacro
from ohmloop.errors import InputError
from ohmloop.golden.machine import Machine
from ohmloop.host.job import predict
from ohmloop.host.system import solve_job
from ohmloop.plan.loop import Loop
from ohmloop.plan.ranking import StaticInverse
from ohmloop.plan.scaling import scale_rhs, unscale


class CountingSolve(Protocol):
    """Analogue solves with some loops, one programmed at a time; called with the number of the loop and v (n,)."""

    solves: int
    """Analogue solves so far."""

    reprogrammings: int
    """Times that the arrays were written: once a change of loop, the first included."""

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
        self.solves += 1
        rhs = loop.rhs(v)
        if not rhs.any():
            return np.zeros_like(v)
        return loop.solution(self._models[k](rhs) / loop.plan.alpha)


class MachineLoops:
    """Loops on the golden machine around the numpy macro: every solve is a run of the program ``solve``.

    Parameters
    ----------
    loops : Sequence[Loop]
        What is programmed, one at a time.
    die : Die
        The chip.

    Members
    -------
    solves, reprogrammings, counters
        As :class:`CountingSolve`; counters are clocks, and solves that ended in a trap by its cause.
    """

    def __init__(self, loops: Sequence[Loop], die: Die):
        self._loops, self._config = tuple(loops), die.config
        self._machine = Machine(die.config, NumpyMacro(die))
        self._programmed: int | None = None
        self.solves = self.reprogrammings = 0
        self.counters: dict[str, int] = {"clocks": 0}

    def __call__(self, k: int, v: np.ndarray) -> np.ndarray:
        """One run with loop k; zero where it ends in a trap."""
        loop = self._loops[k]
        self.reprogrammings += self._programmed != k
        self._programmed = k
        self.solves += 1
        rhs = scale_rhs(loop.rhs(v), self._config)
        outcome, _ = predict(self._machine, solve_job(loop.plan, rhs, self._config))
        self.counters["clocks"] += outcome.status.cycles
        if outcome.status.trap:
            name = f"trap {outcome.status.trap.name.lower()}"
            self.counters[name] = self.counters.get(name, 0) + 1
            return np.zeros_like(v)
        return loop.solution(unscale(loop.plan, rhs, outcome.mantissas, outcome.exponent))


ENGINES = {"static": StaticLoops, "model": MachineLoops}
"""By name: the settled model alone, and the golden machine around the numpy macro."""


def loops_on(engine: str, loops: Sequence[Loop], die: Die) -> CountingSolve:
    """Loops on an engine of :data:`ENGINES`; :class:`InputError` lists the names when there is none."""
    if engine not in ENGINES:
        raise InputError(f"engine: must be one of {', '.join(ENGINES)}, not {engine!r}")
    return ENGINES[engine](loops, die)
