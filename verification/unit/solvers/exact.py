"""What the tests of inverses share: loops that need no plan, and solves that are exact."""

from collections.abc import Callable

import numpy as np

from ohmloop.analog.params import AnalogParams
from ohmloop.plan.loop import Loop
from ohmloop.plan.planner import plan_system
from ohmloop.solvers.inverse import Inverse
from ohmloop_hdl.config import CONFIGS

CHIP64, LAB, REFERENCE = CONFIGS["chip64"], CONFIGS["lab"], AnalogParams.reference()

ANY_PLAN = plan_system(np.eye(1), CONFIGS["tiny"], AnalogParams.ideal())
"""Stands where a plan is carried along and never looked at."""


def unplanned(block: np.ndarray) -> Loop:
    """A loop of any size."""
    return Loop.plain(block, ANY_PLAN)


def exact(inverse: Inverse) -> Callable[[int, np.ndarray], np.ndarray]:
    """Solves without error."""
    return lambda k, v: np.linalg.solve(inverse.loops[k].matrix, v)


def matrix_of(inverse: Inverse) -> np.ndarray:
    """The matrix (n, n) that the inverse is when solves are exact."""
    solve = exact(inverse)
    return np.stack([inverse.apply(solve, column) for column in np.eye(inverse.size)], axis=1)


def system(n: int, seed: int) -> np.ndarray:
    """Unsymmetric, no zeros, its leading blocks far from singular, (n, n)."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (n, n)) + n / 3 * np.eye(n)
