"""Loops on models of a chip: what counts solves for the planner and for tests, at the speed of numpy."""

from collections.abc import Sequence

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.plan.loop import Loop
from ohmloop.plan.ranking import StaticInverse


class StaticLoops:
    """The k-th of some loops on the settled model of one chip (:class:`ohmloop.plan.ranking.StaticInverse`).

    Called as ``solve(k, v)`` with v (n,) in the user's unit; answers about A_k^-1 v, (n,).

    Parameters
    ----------
    loops : Sequence[Loop]
        What is programmed, one at a time.
    die : Die
        The chip; its seed draws cells, offsets and noise.

    Members
    -------
    solves : int
        Analogue solves so far.
    reprogrammings : int
        Times that the arrays were written: once a change of k, the first included.
    """

    def __init__(self, loops: Sequence[Loop], die: Die):
        self._loops, self._die = tuple(loops), die
        self._models: dict[int, StaticInverse] = {}
        self._programmed: int | None = None
        self.solves = self.reprogrammings = 0

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
