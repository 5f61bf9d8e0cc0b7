"""What stands beside every count of ours: the same iteration without the chip, with nothing, Jacobi or ILU(0).

A Krylov method finishes without the chip too; a count without these three says nothing.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from ohmloop.solvers.krylov import Inverse, fgmres


class BreakdownError(ArithmeticError):
    """A preconditioner does not exist for this matrix; the message says where it broke down."""


def jacobi(matrix: Any) -> Inverse:
    """v -> v / diagonal. :class:`BreakdownError` where the diagonal has a zero."""
    diagonal = np.asarray(matrix.diagonal(), dtype=np.float64)
    zeros = np.flatnonzero(diagonal == 0.0)
    if len(zeros):
        raise BreakdownError(f"the diagonal is zero in row {zeros[0] + 1}")
    return lambda v: v / diagonal


def ilu0(matrix: Any) -> Inverse:
    """Incomplete LU factors on the pattern of A itself (Meijerink and van der Vorst, 1977), row by row (Saad 10.4).

    No pivoting and no fill: where A has a zero, so have L and U. On a dense matrix it is the whole factorisation.
    :class:`BreakdownError` where a pivot is zero: not on the pattern, or cancelled.
    """
    csr: Any = scipy.sparse.csr_array(matrix, dtype=np.float64, copy=True)
    csr.eliminate_zeros()
    csr.sort_indices()
    n, start, column, value = csr.shape[0], csr.indptr, csr.indices, csr.data
    places = np.full(n, -1)
    diagonal = np.full(n, -1)
    for i in range(n):
        row = slice(start[i], start[i + 1])
        places[column[row]] = np.arange(start[i], start[i + 1])
        for p in range(start[i], start[i + 1]):
            k = column[p]
            if k >= i:
                break
            value[p] /= value[diagonal[k]]
            # Row k right of its diagonal, where row i has a place for it.
            rest = slice(diagonal[k] + 1, start[k + 1])
            held = places[column[rest]]
            kept = held >= 0
            value[held[kept]] -= value[p] * value[rest][kept]
        diagonal[i] = places[i]
        places[column[row]] = -1
        if diagonal[i] < 0 or value[diagonal[i]] == 0.0 or not np.isfinite(value[diagonal[i]]):
            raise BreakdownError(f"ILU(0) breaks down in row {i + 1}: the pivot is zero")
    lower = scipy.sparse.csr_array(scipy.sparse.tril(csr, -1) + scipy.sparse.eye_array(n))
    upper = scipy.sparse.csr_array(scipy.sparse.triu(csr))

    def apply(v: np.ndarray) -> np.ndarray:
        half = scipy.sparse.linalg.spsolve_triangular(lower, v, lower=True, unit_diagonal=True)
        return scipy.sparse.linalg.spsolve_triangular(upper, half, lower=False)

    return apply


BASELINES: dict[str, Callable[[Any], Inverse] | None] = {"none": None, "Jacobi": jacobi, "ILU(0)": ilu0}
"""By the name they are printed with."""


def baseline_counts(matrix: Any, b: np.ndarray, *, tol: float = 1e-10,
                    limit: int | None = None) -> dict[str, int | str]:
    """Iterations of flexible GMRES to a relative residual of ``tol`` with each of :data:`BASELINES`, or why none.

    ``matrix`` dense or sparse (n, n), ``b`` (n,); most iterations 2 n, at least 100, unless told otherwise.
    """
    counts: dict[str, int | str] = {}
    limit = max(100, 2 * len(b)) if limit is None else limit
    for name, make in BASELINES.items():
        try:
            found = fgmres(matrix, b, make(matrix) if make else None, tol=tol, limit=limit, keep=0)
        except BreakdownError as error:
            counts[name] = str(error)
            continue
        counts[name] = found.iterations if found.solved else f"not in {found.iterations}"
    return counts
