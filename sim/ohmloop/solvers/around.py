"""What is done digitally around the loops of an inverse, in float64 and without a further analogue solve."""

from collections.abc import Callable

import numpy as np

from ohmloop.plan.loop import Loop
from ohmloop.plan.preparation import equilibration
from ohmloop.solvers.inverse import Inverse, Solve


class NormalInverse:
    """A^-1 = (A' A)^-1 A' with A' A in the loop, which is symmetric and positive and so always has a stable plan.

    For what no plan can hold upright: matrices with eigenvalues in both half planes. The condition number is squared, so
    it takes more iterations than a loop for A itself, where there is one.

    Parameters
    ----------
    matrix : np.ndarray
        A, (n, n).
    plan_loop : Callable[[np.ndarray], Loop]
        Plans A' A of A with its rows scaled.
    """

    def __init__(self, matrix: np.ndarray, plan_loop: Callable[[np.ndarray], Loop]):
        rows, _ = equilibration(matrix)
        self._transpose = (rows[:, None] * matrix).T * rows
        loop = plan_loop(self._transpose @ matrix)
        self.size, self.loops = len(matrix), (loop,)
        self.reasons = ("no plan holds the matrix itself stable or well: the loop holds A' A, and A' is multiplied "
                        "with digitally", *loop.plan.reasons)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """One product, one solve."""
        return solve(0, self._transpose @ v)


class SmoothedInverse:
    """Another inverse and one Jacobi sweep after it: z = M^-1 v, z + D^-1 (v - A z). One product more, no solve.

    Parameters
    ----------
    inverse : Inverse
        What comes first.
    matrix : np.ndarray
        A, (n, n), without zeros on the diagonal.
    """

    def __init__(self, inverse: Inverse, matrix: np.ndarray):
        self._inverse, self._matrix, self._diagonal = inverse, matrix, np.diagonal(matrix).copy()
        self.size, self.loops = inverse.size, inverse.loops
        self.reasons = (*inverse.reasons, "a Jacobi sweep after each solve saves iterations")

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """What the other one takes, and a product."""
        z = self._inverse.apply(solve, v)
        return z + (v - self._matrix @ z) / self._diagonal
