"""What an answer is worth: backward error, condition estimate, forward bound.

All in the infinity norm, for A x = b with r = b - A x computed in float64, eps = 2^-52 (n + 1 of them cover the
rounding of r itself)::

    backward error     ||r|| / (||A|| ||x|| + ||b||)           the least relative change of A and b that makes x exact
    componentwise      max_i |r|_i / (|A| |x| + |b|)_i         the same, entry by entry: blind to the scale of rows
    condition          ||A^-1|| ||A||, ||A^-1|| estimated
    forward bound      SAFETY || |A^-1| f || / ||x||,          f = |r| + (n + 1) eps (|A| |x| + |b|) + slack

|| |A^-1| f || = ||A^-1 diag(f)|| is estimated with a few solves, as LAPACK's xGERFS does (Hager, SIAM J. Sci. Stat.
Comput. 5, 1984; Higham, ACM TOMS 14, 1988; Arioli, Demmel, Duff, SIAM J. Matrix Anal. Appl. 10, 1989): the estimate is
from below, rarely by more than a factor of three, hence the safety. A factorisation on the host serves for these
solves, at once cheaper than any doubt about the answer, and independent of how it was found.

For least squares the bound is that of the normal equations, with their matrix X' X; the slack is what rounding may have
done to X' X and X' y when they were made (:attr:`ohmloop.solvers.remap.Posed.slack`).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

EPS = float(np.finfo(np.float64).eps)

SAFETY = 3.0
"""What the estimate of the forward error is multiplied by: estimates of a norm from below are rarely off by more."""

ESTIMATE_STEPS = 5
"""Steps of the norm estimate; two or three are the rule."""


@dataclass(frozen=True)
class Certificate:
    """Relative measures of one answer; infinity norm."""

    backward_error: float
    """||r|| / (||A|| ||x|| + ||b||)."""

    componentwise_backward_error: float
    """max_i |r|_i / (|A| |x| + |b|)_i; infinite where a zero row leaves a residual."""

    condition: float
    """Estimate of ||A|| ||A^-1||, from below."""

    forward_bound: float
    """Bound on ||x - exact|| / ||x||; infinite when A is singular to working precision."""

    @property
    def digits(self) -> float:
        """Decimal digits of x that the bound vouches for; 0 at least."""
        if not self.forward_bound < 1.0:
            return 0.0
        return float(-np.log10(max(self.forward_bound, EPS)))

    def warning(self, wanted: float) -> str | None:
        """One sentence when the bound does not vouch for a relative error of ``wanted``."""
        if self.forward_bound <= wanted:
            return None
        held = f"{self.digits:.1f} digits" if self.digits else "no digit"
        return (f"the residual is small, but with condition number {self.condition:.1e} the answer is sure to "
                f"{held} only (forward bound {self.forward_bound:.1e}), not to the {-np.log10(wanted):.0f} asked for")


class Factors:
    """LU factors of a square matrix, dense or sparse, that solve with it and its transpose.

    Parameters
    ----------
    matrix : np.ndarray | scipy sparse
        (n, n) float64.

    Members
    -------
    singular : bool
        A pivot is zero or not finite: nothing can be solved.
    """

    def __init__(self, matrix: Any):
        self._sparse = None
        if scipy.sparse.issparse(matrix):
            try:
                self._sparse = scipy.sparse.linalg.splu(scipy.sparse.csc_matrix(matrix))
                pivots = self._sparse.U.diagonal()
            except RuntimeError:
                pivots = np.zeros(1)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
                self._dense = scipy.linalg.lu_factor(matrix, check_finite=False)
            pivots = np.diagonal(self._dense[0])
        self.singular = not (np.isfinite(pivots).all() and np.abs(pivots).min() > 0.0)

    def solve(self, v: np.ndarray, transposed: bool = False) -> np.ndarray:
        """A^-1 v or A^-T v, (n,)."""
        if self._sparse is not None:
            return self._sparse.solve(v, "T" if transposed else "N")
        return scipy.linalg.lu_solve(self._dense, v, trans=int(transposed), check_finite=False)


def certify(matrix: Any, b: np.ndarray, x: np.ndarray, factors: Factors | None = None,
            slack: np.ndarray | float = 0.0) -> Certificate:
    """The certificate of x (n,) for A x = b, A dense or sparse, real.

    ``factors``: those of A when they are there already. ``slack``: how far A x - b is from that of the problem, (n,).
    """
    n = len(b)
    r = b - matrix @ x
    magnitude = abs(matrix)
    scale = magnitude @ np.abs(x) + np.abs(b)
    norm = float(np.max(magnitude @ np.ones(n)))
    size = float(np.abs(x).max(initial=0.0))
    worst = float(np.abs(r).max(initial=0.0))
    denominator = norm * size + float(np.abs(b).max(initial=0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(np.abs(r) > 0.0, np.abs(r) / scale, 0.0)
    factors = factors or Factors(matrix)
    if factors.singular:
        condition = bound = np.inf
    else:
        f = np.abs(r) + (n + 1) * EPS * scale + slack
        condition = norm * inverse_norm(factors, np.ones(n))
        error = inverse_norm(factors, f)
        bound = SAFETY * error / size if size else (0.0 if error == 0.0 else np.inf)
    return Certificate(worst / denominator if denominator else 0.0, float(ratios.max(initial=0.0)),
                       float(condition), float(bound))


def inverse_norm(factors: Factors, weights: np.ndarray) -> float:
    """An estimate from below of ||A^-1 diag(w)|| in the infinity norm, w >= 0, (n,).

    It is the 1-norm of diag(w) A^-T, found by Hager's ascent: from x = 1/n to the unit vector that promises most, until
    none does; Higham's alternating vector guards against cancellation.
    """
    n = len(weights)

    def forward(v: np.ndarray) -> np.ndarray:
        return weights * factors.solve(v, transposed=True)

    return one_norm(forward, lambda v: factors.solve(weights * v), n)


def one_norm(forward: Callable[[np.ndarray], np.ndarray], back: Callable[[np.ndarray], np.ndarray], n: int) -> float:
    """An estimate from below of the 1-norm of a linear map (n,) to (n,), given with its transpose."""
    x, best, place = np.full(n, 1.0 / n), 0.0, -1
    signs = np.zeros(n)
    for _ in range(ESTIMATE_STEPS):
        y = forward(x)
        size = float(np.abs(y).sum())
        if not np.isfinite(size):
            return np.inf
        now = np.where(y >= 0.0, 1.0, -1.0)
        if size <= best or np.array_equal(now, signs):
            best = max(best, size)
            break
        best, signs = size, now
        gradient = back(now)
        found = int(np.argmax(np.abs(gradient)))
        if found == place or abs(gradient[found]) <= gradient @ x:
            break
        place = found
        x = np.zeros(n)
        x[place] = 1.0
    ramp = np.where(np.arange(n) % 2 == 0, 1.0, -1.0) * (1.0 + np.arange(n) / max(1, n - 1))
    return max(best, 2.0 * float(np.abs(forward(ramp)).sum()) / (3.0 * n))
