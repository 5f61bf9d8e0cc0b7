"""Problems that are not one square real system, turned into one: complex, least squares, ridge, generalised.

========================= ================================== ====================== ===================================
problem                   matrix                             right-hand side        solution
========================= ================================== ====================== ===================================
(Re + i Im) z = c         [[Re, -Im], [Im, Re]]              [Re c; Im c]           z = x + i y
least squares             [[I, X], [-X', 0]]                 [y; 0]                 lower part
ridge, weight mu          [[I, X], [-X', mu I]]              [y; 0]                 lower part
generalised, noise R      [[R, X], [-X', mu I]]              [y; 0]                 lower part
any of these, normal form X' R^-1 X + mu I                   X' R^-1 y              as it is
fewer rows than columns   X X' + mu I                        y                      X' times it (least norm)
========================= ================================== ====================== ===================================

With the minus sign the augmented matrix is stable in the loop, with +X' it is not, though its solutions are the same.
The normal form has the square of the condition number of X, the augmented one only for singular values below one; the
normal one is as large as X has columns, though, and symmetric and positive. For minimising ||y - X x|| the true measure
of an answer is the residual of the normal equations, X' R^-1 (y - X x) - mu x, which is zero where y - X x cannot get
smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

from ohmloop.errors import InputError

EPS = 2.0 ** -52
"""Relative spacing of float64."""


@dataclass(frozen=True, eq=False)
class Posed:
    """A square real system B z = c that stands for a problem, and the ways between the two, for any y."""

    matrix: np.ndarray
    """B, (n, n), float64."""

    rhs: Callable[[np.ndarray], np.ndarray]
    """c (n,) from y."""

    answer: Callable[[np.ndarray], np.ndarray]
    """The problem's unknowns from z (n,)."""

    residual: Callable[[np.ndarray, np.ndarray], float]
    """The relative residual of the problem for unknowns and y, in the 2-norm."""

    what: str
    """The form in words, empty for a square real system."""

    slack: Callable[[np.ndarray, np.ndarray], np.ndarray | float] = lambda x, y: 0.0
    """Bound on what rounding did to B z - c when B and c were made, (n,), for z and y: where the fit explains little of
    y, the sums of X' y cancel and c holds few digits."""

    orthogonality: Callable[[np.ndarray, np.ndarray], float] = lambda x, y: np.inf
    """||X' r|| / (||X|| ||r||), least squares only, for unknowns and y: zero where the residual r is orthogonal to the
    span of X, however little of y the fit explains (Paige, Saunders, ACM TOMS 8, 1982)."""

    unit: float = 1.0
    """z over the problem's unknowns, in the normal form: X is scaled by a power of two, so that X' X neither overflows
    nor underflows."""


def square(matrix: np.ndarray) -> Posed:
    """A x = b, real (n, n), as it is."""
    return Posed(matrix, lambda y: y, lambda z: z, lambda x, y: ratio(y - matrix @ x, y), "")


def realified(matrix: Any) -> Any:
    """[[Re, -Im], [Im, Re]] of a complex matrix (m, n), dense or sparse; a real one as it is."""
    if not np.iscomplexobj(matrix):
        return matrix
    stack = scipy.sparse.block_array if scipy.sparse.issparse(matrix) else np.block
    return stack([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])


def stacked(b: np.ndarray) -> np.ndarray:
    """[Re b; Im b] of b (m,) or (m, k)."""
    return np.concatenate([np.real(b), np.imag(b)])


def joined(x: np.ndarray) -> np.ndarray:
    """The complex vectors (n,) or (n, k) of [Re; Im] (2n,) or (2n, k)."""
    half = len(x) // 2
    return x[:half] + 1j * x[half:]


def normal(x: np.ndarray, *, ridge: float = 0.0, noise: np.ndarray | None = None) -> Posed:
    """X' R^-1 X + mu I for X (m, n), or X X' + mu I where m < n, R = I then.

    ``ridge`` mu >= 0; ``noise`` R: (m,) variances or (m, m) symmetric and positive definite.
    """
    m, n = x.shape
    _check(m, ridge, noise)
    weigh, unit = _weigher(noise), _unit(x, ridge)
    gradient, cosine = _gradient(x, ridge, weigh), _cosine(x, ridge, weigh)
    x, weight = x / unit, ridge / unit / unit
    if m < n:
        if noise is not None:
            raise InputError("noise: weighs equations that contradict one another; with fewer rows than columns "
                             "none do")
        return Posed(x @ x.T + weight * np.eye(m), lambda y: y, lambda z: x.T @ z / unit,
                     gradient if ridge else lambda found, y: ratio(y - unit * x @ found, y),
                     f"least norm: X X' for {m} equations in {n} unknowns" + _named(ridge, None),
                     lambda z, y: (n + 1) * EPS * (np.abs(x) @ (np.abs(x).T @ np.abs(z))))
    weighted = weigh(x)
    gram = weighted.T @ x
    return Posed((gram + gram.T) / 2 + weight * np.eye(n), lambda y: weighted.T @ y, lambda z: z / unit, gradient,
                 f"normal equations of {m} equations in {n} unknowns" + _named(ridge, noise),
                 lambda z, y: (m + 1) * EPS * (np.abs(weighted).T @ (np.abs(y) + np.abs(x) @ np.abs(z))),
                 cosine, unit)


def augmented(x: np.ndarray, *, ridge: float = 0.0, noise: np.ndarray | None = None) -> Posed:
    """[[R, X], [-X', mu I]] for X (m, n), m >= n; arguments as :func:`normal`.

    With s the largest variance and g the largest column norm, the system is [[R/s, X/g], [-X'/g, s mu/g^2 I]] for
    s R^-1 (y - X x) above g x: entries of like size, for cells that hold few bits.
    """
    m, n = x.shape
    _check(m, ridge, noise)
    if m < n:
        raise InputError(f"augmented form: must have as many rows as columns at least, not {m} x {n}")
    r = np.eye(m) if noise is None else np.diag(noise) if noise.ndim == 1 else noise
    spread, size = float(np.abs(np.diagonal(r)).max()), float(np.linalg.norm(x, axis=0).max()) or 1.0
    matrix = np.block([[r / spread, x / size], [-x.T / size, spread * ridge / size**2 * np.eye(n)]])
    return Posed(matrix, lambda y: np.concatenate([y, np.zeros(n)]), lambda z: z[m:] / size,
                 _gradient(x, ridge, _weigher(noise)), f"augmented system of {m} + {n} unknowns" + _named(ridge, noise),
                 orthogonality=_cosine(x, ridge, _weigher(noise)))


def ratio(r: np.ndarray, b: np.ndarray) -> float:
    """||r|| / ||b||, or ||r|| where b is zero."""
    peak = float(np.abs(b).max(initial=0.0)) or 1.0
    return float(np.linalg.norm(r / peak) / (np.linalg.norm(b / peak) or 1.0))


def _check(m: int, ridge: float, noise: np.ndarray | None) -> None:
    if not (ridge >= 0.0 and np.isfinite(ridge)):
        raise InputError(f"ridge: must be a finite number, 0 or above, not {ridge}")
    if noise is None:
        return
    if noise.shape not in ((m,), (m, m)) or not np.isfinite(noise).all():
        raise InputError(f"noise: must be {m} variances, or {m} x {m}, finite, not of shape {noise.shape}")
    if noise.ndim == 1 and not (noise > 0.0).all():
        raise InputError("noise: every variance must be above 0")
    if noise.ndim == 2:
        try:
            np.linalg.cholesky(noise)
        except np.linalg.LinAlgError:
            raise InputError("noise: must be symmetric and positive definite") from None


def _weigher(noise: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    """v -> R^-1 v."""
    if noise is None:
        return lambda v: v
    if noise.ndim == 1:
        return lambda v: v / (noise if v.ndim == 1 else noise[:, None])
    factor = scipy.linalg.cho_factor(noise)
    return lambda v: scipy.linalg.cho_solve(factor, v)


def _unit(x: np.ndarray, ridge: float) -> float:
    """A power of two near the largest entry of X, or near sqrt(mu) where that is larger."""
    return 2.0 ** round(np.log2(max(float(np.abs(x).max()), np.sqrt(ridge))))


def _gradient(x: np.ndarray, ridge: float, weigh: Callable[[np.ndarray], np.ndarray]
              ) -> Callable[[np.ndarray, np.ndarray], float]:
    """||X' R^-1 (y - X x) - mu x|| / ||X' R^-1 y||, both over the unit of X."""
    unit = _unit(x, ridge)
    held = x / unit
    return lambda found, y: ratio(held.T @ weigh(y - x @ found) - ridge / unit * found, held.T @ weigh(y))


def _cosine(x: np.ndarray, ridge: float, weigh: Callable[[np.ndarray], np.ndarray]
            ) -> Callable[[np.ndarray, np.ndarray], float]:
    """||X' R^-1 r - mu x|| / (||X|| ||R^-1 r||), r = y - X x, Frobenius norm."""
    unit = _unit(x, ridge)
    held = x / unit
    norm = float(np.linalg.norm(held))

    def cosine(found: np.ndarray, y: np.ndarray) -> float:
        left = weigh(y - x @ found)
        peak = float(np.abs(left).max()) or 1.0
        left = left / peak
        slope = np.linalg.norm(held.T @ left - ridge / unit / peak * found)
        return float(slope) / (norm * float(np.linalg.norm(left)) or 1.0)
    return cosine


def _named(ridge: float, noise: np.ndarray | None) -> str:
    return (f", ridge {ridge:g}" if ridge else "") + (", weighed by the noise" if noise is not None else "")
