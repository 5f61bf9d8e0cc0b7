"""What is done digitally around the loops of an inverse, in float64 and without a further analogue solve."""

from collections.abc import Callable

import numpy as np

from ohmloop.plan.loop import Loop
from ohmloop.plan.preparation import equilibration
from ohmloop.solvers.inverse import Inverse, Solve

Through = Callable[[Callable[[np.ndarray], np.ndarray], np.ndarray], np.ndarray]
"""(inverse of a matrix that stands for A, v) to about A^-1 v."""

AUGMENTED_WEIGHT = 0.3
"""Weight of the identity beside entries up to one: less costs stability, more costs condition."""


class NormalInverse:
    """A^-1 = (A' R^2 A)^-1 A' R^2 with an inverse of A' R^2 A, R the factors that scale the rows of A.

    That matrix is symmetric and positive, so it always has a stable plan: for what no plan can hold upright, matrices
    with eigenvalues in both half planes. The condition number is squared, so it takes more iterations than a loop for
    A itself, where there is one.

    Parameters
    ----------
    matrix : np.ndarray
        A, (n, n).
    invert : Callable[[np.ndarray], Inverse]
        Makes an inverse of A' R^2 A, (n, n).
    """

    def __init__(self, matrix: np.ndarray, invert: Callable[[np.ndarray], Inverse]):
        self.transpose = self.scaled_transpose(matrix)
        gram = self.transpose @ matrix
        self._inverse = invert((gram + gram.T) / 2)
        self.size, self.loops = len(matrix), self._inverse.loops
        self.reasons = ("no plan holds the matrix itself stable or well: the loop holds A' A, and A' is multiplied "
                        "with digitally", *self._inverse.reasons)

    @staticmethod
    def scaled_transpose(matrix: np.ndarray) -> np.ndarray:
        """A' R^2, (n, n)."""
        rows, _ = equilibration(matrix)
        return (rows[:, None] * matrix).T * rows

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """A product, and what the inverse of A' R^2 A takes."""
        return self._inverse.apply(solve, self.transpose @ v)


class AugmentedInverse:
    """A^-1 by way of [[w I, S], [-S', 0]] with S = R A C scaled, twice as large: for n <= N/2.

    From w s + S u = R v and S' s = 0 follows s = 0 and A C u = v, for any w. Its eigenvalues lie in the right half
    plane whatever those of A do. A singular value of S above w stays what it is; one below, c, shows as c^2 / w, where
    A' A has c^2 for all of them.

    Parameters
    ----------
    matrix : np.ndarray
        A, (n, n).
    plan_loop : Callable[[np.ndarray, Through], Loop]
        Plans the matrix of twice the size; told how an inverse of that serves as one of A.
    """

    def __init__(self, matrix: np.ndarray, plan_loop: Callable[[np.ndarray, Through], Loop]):
        self._rows, self._columns = equilibration(matrix)
        n = self.size = len(matrix)
        scaled = self._rows[:, None] * matrix * self._columns
        held = np.block([[AUGMENTED_WEIGHT * np.eye(n), scaled], [-scaled.T, np.zeros((n, n))]])
        loop = plan_loop(held, self._through)
        self.loops = (loop,)
        self.reasons = ("no plan holds the matrix itself stable or well: the loop holds it beside its transpose, "
                        "twice as large and always stable", *loop.plan.reasons)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """One solve."""
        return self._through(lambda rhs: solve(0, rhs), v)

    def _through(self, inverse: Callable[[np.ndarray], np.ndarray], v: np.ndarray) -> np.ndarray:
        return self._columns * inverse(np.concatenate([self._rows * v, np.zeros(self.size)]))[self.size:]


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
