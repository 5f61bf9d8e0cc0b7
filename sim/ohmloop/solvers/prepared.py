"""Made ready as a whole before it is cut: rows matched to columns, signs flipped, scaled.

What :mod:`ohmloop.plan.preparation` does for one loop each block gets anyway. Before the cut it does more: blocks on
the diagonal are only worth inverting where large elements lie on the diagonal of A; a coarse space of smooth vectors
fits A only when rows and columns are of like size; and only then are pieces of a grid equal matrices that share a loop.
With B = R P A C, P a permutation of rows, R and C diagonal, exact in float64::

    A x = v        B z = R P v        x = C z
"""

import numpy as np

from ohmloop.ensembles import loop_stable
from ohmloop.plan.preparation import Preparation, equilibration, matched_rows, plain
from ohmloop.solvers.blocks import Work, WorkedInverse
from ohmloop.solvers.inverse import Solve

WIDE = 4.0
"""Rows or columns whose largest elements differ by more than this factor are scaled."""


class PreparedInverse:
    """The inverse of A that an inverse of B = R P A C is."""

    def __init__(self, inverse: WorkedInverse, way: Preparation):
        self._inverse, self._way = inverse, way
        self.size, self.blocks, self.loops = inverse.size, inverse.blocks, inverse.loops
        self.work = inverse.work + Work(2 * inverse.size, 0)
        self.reasons = (way.reason, *inverse.reasons)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About A^-1 v, (n,)."""
        way, x = self._way, np.empty(self.size)
        x[way.columns] = way.column_factor * self._inverse.apply(solve, way.row_factor * v[way.rows])
        return x


def whole(matrix: np.ndarray) -> list[Preparation]:
    """A, (n, n), as it is, and where there is something to mend, once more with all of it mended.

    Rows are matched where that makes the product of the diagonal larger, signs flipped where the diagonal then has
    both, rows and columns scaled where their sizes differ by more than :data:`WIDE`: a symmetric matrix to a diagonal
    of ones, another one to largest elements of about one. Rows stay where a loop as large as A would hold it: large
    elements off the diagonal, as those of an oscillator, are then where they should be.

    Errors: :class:`~ohmloop.errors.InputError` for a matrix that is structurally singular.
    """
    n = len(matrix)
    rows = np.arange(n) if loop_stable(matrix) else matched_rows(matrix)
    diagonal, what = np.diagonal(matrix[rows]), []
    signs = np.where(diagonal < 0.0, -1.0, 1.0) if diagonal.min() < 0.0 < diagonal.max() else np.ones(n)
    if not np.array_equal(rows, np.arange(n)):
        what.append("rows are matched to columns")
    if signs.min() < 0.0:
        what.append("signs are flipped")
    size = np.abs(matrix)
    down, across = size.max(axis=0), size.max(axis=1)
    row = column = np.ones(n)
    if max(down.max() / down.min(), across.max() / across.min()) > WIDE:
        what.append("rows and columns are scaled")
        symmetric = np.array_equal(matrix, matrix.T) and bool(diagonal.all())
        row, column = (np.abs(diagonal) ** -0.5,) * 2 if symmetric else equilibration(matrix[rows])
    if not what:
        return [plain(n)]
    return [plain(n), Preparation(rows, np.arange(n), signs * row, column, "as a whole, " + " and ".join(what))]
