"""What a preconditioner made of loops is: which matrices go into the arrays, and what is done with their answers.

The same object runs on a model that counts iterations for the planner, on the golden machine, in a simulator or on a
board: it only ever asks for ``solve(k, v)``, one analogue solve with its k-th loop.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ohmloop.plan.loop import Loop

Solve = Callable[[int, np.ndarray], np.ndarray]
"""(number of the loop, right-hand side (n,) in the user's unit) to about A^-1 v, (n,): one analogue solve."""


class Inverse(Protocol):
    """An approximate inverse made of analogue solves and exact digital work."""

    size: int
    """Unknowns of the system it is an inverse of."""

    loops: tuple[Loop, ...]
    """What is programmed, in the order in which ``apply`` first asks for it."""

    reasons: tuple[str, ...]
    """Why this one: one sentence a decision."""

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About M^-1 v, (size,), for v (size,): a few calls of ``solve`` and some digital products."""
        ...


class SingleLoop:
    """The inverse that one loop is, for a system that fits the array."""

    def __init__(self, loop: Loop):
        self.size = len(loop.matrix)
        self.loops = (loop,)
        self.reasons = loop.plan.reasons

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """One solve."""
        return solve(0, v)
