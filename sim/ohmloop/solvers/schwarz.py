"""Two-level Schwarz: boxes of unknowns solved in the arrays, and a small coarse system that is solved digitally.

Boxes repair what is rough; what is smooth over many boxes they hardly see, and iterations would grow with the number of
boxes. So a coarse space P, n x m with m of about n/16, takes care of it, exactly in float64 (E = P' A P)::

    x = P E^-1 P' v,  then box by box  x_i += A_ii^-1 (v - A x)_i

One solve a box and application, nothing else analogue. Boxes that hold equal matrices share a loop: all boxes of a
Poisson grid are one loop, and the array is written once for the whole iteration.

Digital work an application: 2 nnz(P) + m^2 for the coarse step, and all rows of A, a box at a time. To set up: the
products of P' A P and m^3 for E^-1.

(Toselli, Widlund, Domain Decomposition Methods, 2005, chapters 2 and 3; Vanek, Mandel, Brezina, Computing 56, 1996.)
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from ohmloop.errors import InputError
from ohmloop.solvers.blocks import Loops, PlanLoop, Work, ordered
from ohmloop.solvers.inverse import Solve
from ohmloop.solvers.partition import bisected

SPACING = 4
"""Points of a grid from one coarse point to the next; unknowns of an aggregate are its square."""

DAMPING = 2 / 3
"""Of the Jacobi step that smooths aggregates: 4/3 over the largest eigenvalue of D^-1 A, which is about two."""


class Schwarz:
    """Boxes and a coarse space (module docstring).

    Parameters
    ----------
    matrix : np.ndarray
        A, (n, n).
    blocks : sequence of np.ndarray
        A partition of the unknowns into boxes that fit the array (:mod:`ohmloop.solvers.partition`).
    coarse : np.ndarray or None
        P, (n, m), by :func:`bilinear` or :func:`aggregates`; None for one level.
    plan_loop : PlanLoop
        Makes a loop of each box.

    Errors: :class:`InputError` where a box has no plan or E is singular.
    """

    def __init__(self, matrix: np.ndarray, blocks: Sequence[np.ndarray], coarse: np.ndarray | None,
                 plan_loop: PlanLoop):
        self.size, self.blocks = len(matrix), len(blocks)
        ordered(matrix, blocks)
        loops = Loops(plan_loop)
        self._boxes = [(box, loops.number(matrix[np.ix_(box, box)])) for box in blocks]
        self._rows = [csr_matrix(matrix[box]) for box in blocks]
        self.loops = tuple(loops.found)
        elements = int(np.count_nonzero(matrix))
        self.work = Work(elements, 0)
        self._coarse: csr_matrix | None = None
        self.coarse_size = 0
        if coarse is not None:
            self._coarse, self.coarse_size = csr_matrix(coarse), coarse.shape[1]
            self._inverse = _galerkin_inverse(matrix, coarse)
            nonzero, m = self._coarse.nnz, self.coarse_size
            setup = math.ceil(nonzero / self.size) * elements + m * nonzero + m ** 3
            self.work += Work(2 * nonzero + m * m, setup, m * m)
        level = f"a coarse system of {self.coarse_size} solved digitally" if self.coarse_size else "no coarse system"
        alike = "all alike" if len(self.loops) == 1 else f"{len(self.loops)} of them different"
        self.reasons = (f"one after the other, {len(blocks)} boxes of at most {max(map(len, blocks))} unknowns, "
                        f"{alike}, and {level}: {len(blocks)} solves an application",)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About A^-1 v, (n,)."""
        x = np.zeros(self.size)
        if self._coarse is not None:
            x = self._coarse @ (self._inverse @ (self._coarse.T @ v))
        for (box, k), rows in zip(self._boxes, self._rows, strict=True):
            x[box] += solve(k, v[box] - rows @ x)
        return x


def bilinear(grid: tuple[int, int], spacing: int = SPACING) -> np.ndarray:
    """P for a grid of rows x columns, numbered row by row, zero beyond its edge: products of hat functions.

    Along each side of r points stand max(1, round((r + 1) / spacing) - 1) coarse points at equal distances h from
    each other and from the zeros beyond the edge; a hat is 1 there and falls to 0 within h. (n, m).
    """
    down, across = (_hats(side, spacing) for side in grid)
    return np.kron(down, across)


def aggregates(matrix: np.ndarray, blocks: Sequence[np.ndarray], spacing: int = SPACING) -> np.ndarray:
    """P for any sparse A: each block in aggregates of at most spacing^2 unknowns, smoothed by a step of Jacobi.

    P = (I - w D^-1 A) P0, w = 2/3, where P0 is 1 for the unknowns of an aggregate. (n, m).

    Errors: :class:`InputError` for a zero on the diagonal of A.
    """
    diagonal = np.diag(matrix)
    if not diagonal.all():
        row = int(np.flatnonzero(diagonal == 0)[0]) + 1
        raise InputError(f"matrix: row {row} of the diagonal is zero; aggregates need it, use one level")
    pieces = [block[piece] for block in blocks for piece in bisected(matrix[np.ix_(block, block)], spacing ** 2)]
    constant = np.zeros((len(matrix), len(pieces)))
    for column, piece in enumerate(pieces):
        constant[piece, column] = 1.0
    return constant - DAMPING * (matrix @ constant) / diagonal[:, None]


def _hats(points: int, spacing: int) -> np.ndarray:
    """Hat functions on 1..points, zero at 0 and points + 1, (points, count)."""
    count = max(1, round((points + 1) / spacing) - 1)
    h = (points + 1) / (count + 1)
    distance = np.abs(np.arange(1, points + 1)[:, None] / h - np.arange(1, count + 1))
    return np.maximum(0.0, 1.0 - distance)


def _galerkin_inverse(matrix: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """E^-1, (m, m)."""
    galerkin = coarse.T @ (matrix @ coarse)
    if not np.linalg.cond(galerkin) < 1.0 / np.finfo(float).eps:
        raise InputError(f"matrix: the coarse system of {len(galerkin)} unknowns is singular; use one level")
    return np.linalg.inv(galerkin)
