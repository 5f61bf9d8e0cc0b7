"""The chip as a linear operator of scipy: a preconditioner for iterations that others wrote."""

import numpy as np
import scipy.sparse.linalg

from ohmloop.solvers.inverse import Inverse, Solve


class ChipOperator(scipy.sparse.linalg.LinearOperator):
    """About A^-1, (n, n), as ``M`` for ``scipy.sparse.linalg.gmres`` and others. Real vectors only.

    It is noisy and not linear: a method that is not flexible loses its way near the precision of the loop, and its own
    residual is not to be believed. :func:`ohmloop.solvers.krylov.fgmres` is made for it.

    Parameters
    ----------
    inverse : Inverse
        What is done with the loops, as :func:`ohmloop.solvers.choice.inverse_for` finds it.
    solve : Solve
        Solves with its loops: a :class:`~ohmloop.solvers.loops.DeviceLoops` or a model.
    """

    def __init__(self, inverse: Inverse, solve: Solve):
        super().__init__(dtype=np.dtype(np.float64), shape=(inverse.size, inverse.size))
        self._inverse, self._solve = inverse, solve

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._inverse.apply(self._solve, np.asarray(x, dtype=np.float64).ravel())
