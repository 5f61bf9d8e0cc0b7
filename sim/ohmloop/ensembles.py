"""Named families of test matrices, each drawn reproducibly from a seed, and small integer matrices with exact ties.

Every member is loop-stable before it is quantised: with the largest entry scaled to one, every eigenvalue of U A has
a positive real part (U = 1 / (row sums of |A| + 1), the loop with input conductance G0 and ideal amplifiers).
Families whose definition does not ensure that for every draw are drawn again until it holds, or raised until it does.

A plain Gaussian matrix is in no family: at n = 64 none in 200 is loop-stable, so it tests refusal, not accuracy.
"""

from collections.abc import Callable

import numpy as np
import scipy.linalg

from ohmloop.errors import InputError

Family = Callable[[int, float, np.random.Generator], np.ndarray]


def ensemble(name: str, n: int, cond: float = 30.0, seed: int = 0) -> np.ndarray:
    """One member of a named family: float64, shape (n, n).

    ``name``: one of :data:`ENSEMBLES`. ``cond``: the 2-norm condition number, above 1, for the families that take one
    (:data:`CONDITIONED`); the others have the condition their definition gives. ``seed``: the same (name, n, cond,
    seed) is the same matrix.

    Errors: :class:`InputError` for an unknown name, n below 2, odd n where halves are needed, cond not above 1.
    """
    if name not in ENSEMBLES:
        raise InputError(f"ensemble: must be one of {' '.join(ENSEMBLES)}, not {name!r}")
    if n < 2:
        raise InputError(f"ensemble {name}: n must be at least 2, not {n}")
    if not cond > 1:
        raise InputError(f"ensemble {name}: cond must be above 1, not {cond}")
    return ENSEMBLES[name](n, cond, np.random.default_rng(seed))


def spdlog(n: int, cond: float, rng: np.random.Generator) -> np.ndarray:
    """Symmetric, Q diag(e) Q': e log-uniform in [1, cond] with both ends taken, Q a uniformly random rotation."""
    e = np.exp(rng.uniform(0.0, np.log(cond), n))
    e[0], e[-1] = 1.0, cond
    q = _orthogonal(n, rng)
    return _symmetric(q * e @ q.T)


def wishart(n: int, cond: float, rng: np.random.Generator) -> np.ndarray:
    """Symmetric, X' X / 2n + mu I: X Gaussian 2n x n, mu (of either sign) such that the condition number is cond."""
    x = rng.standard_normal((2 * n, n))
    return _shifted_to(x.T @ x / (2 * n), cond)


def diagdom(n: int, cond: float, rng: np.random.Generator) -> np.ndarray:
    """Unsymmetric, uniform in [-1, 1] off the diagonal, plus t I.

    t is the smallest (found by bisection between 0 and a value that surely serves) with a condition number of at most
    cond and a stable loop; where stability decides, the condition number is below cond.
    """
    off = rng.uniform(-1.0, 1.0, (n, n))
    np.fill_diagonal(off, 0.0)

    def serves(t: float) -> bool:
        matrix = off + t * np.eye(n)
        return np.linalg.cond(matrix) <= cond and loop_stable(matrix)

    low, high = 0.0, float(n)
    while not serves(high):
        high *= 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return off + high * np.eye(n)


def svdlog(n: int, cond: float, rng: np.random.Generator) -> np.ndarray:
    """Unsymmetric, S expm(K): S from :func:`spdlog`, K random and skew-symmetric with 2-norm 0.5.

    The rotation leaves the singular values, so the condition number is cond. Drawn again until loop-stable.
    """
    while True:
        matrix = spdlog(n, cond, rng) @ scipy.linalg.expm(_small_skew(n, rng))
        if loop_stable(matrix):
            return matrix


def sparse5(n: int, cond: float, rng: np.random.Generator) -> np.ndarray:
    """Symmetric, about five non-zeros a row (the diagonal and four Gaussian neighbours), shifted to cond."""
    upper = np.triu(rng.random((n, n)) < 4.0 / (n - 1), 1) * rng.standard_normal((n, n))
    return _shifted_to(upper + upper.T + np.diag(rng.standard_normal(n)), cond)


def heat(n: int) -> np.ndarray:
    """The five-point stencil of heat conduction, 4 on the diagonal and -1 a neighbour, edges held at zero.

    The grid is the rectangle of n points nearest a square (:func:`grid_of`): 8 x 8 at n = 64, a line when n is prime.
    """
    rows, columns = grid_of(n)
    laplace = np.kron(tridiagonal(rows), np.eye(columns)) + np.kron(np.eye(rows), tridiagonal(columns))
    return laplace


def oscillator(n: int) -> np.ndarray:
    """One implicit time step of a lightly damped chain, [[I, -h I], [h K, I]], h = 1.5, K = tridiag(-1, 2, -1).

    The unknowns are n/2 places, then n/2 speeds. Requires: n even.
    """
    half = _half("oscillator", n)
    h, eye = 1.5, np.eye(half)
    return np.block([[eye, -h * eye], [h * tridiagonal(half), eye]])


def skew(n: int, rng: np.random.Generator) -> np.ndarray:
    """(K - K')/2 scaled to a largest entry of one, plus 0.4 I; K Gaussian. Its eigenvalues are 0.4 + i w."""
    k = rng.standard_normal((n, n))
    k = (k - k.T) / 2
    return k / np.abs(k).max() + 0.4 * np.eye(n)


def impedance(n: int, rng: np.random.Generator) -> np.ndarray:
    """The complex system R + jX as a real one, [[R, -X], [X, R]]: R = 0.4 I, X = (Q + Q') / sqrt(n/2), Q Gaussian.

    The unknowns are n/2 real parts, then n/2 imaginary parts. Requires: n even.
    """
    half = _half("impedance", n)
    q = rng.standard_normal((half, half))
    x, r = (q + q.T) / np.sqrt(half), 0.4 * np.eye(half)
    return np.block([[r, -x], [x, r]])


ENSEMBLES: dict[str, Family] = {
    "spdlog": spdlog,
    "wishart": wishart,
    "diagdom": diagdom,
    "svdlog": svdlog,
    "sparse5": sparse5,
    "heat": lambda n, cond, rng: heat(n),
    "oscillator": lambda n, cond, rng: oscillator(n),
    "skew": lambda n, cond, rng: skew(n, rng),
    "impedance": lambda n, cond, rng: impedance(n, rng),
}
"""Name to family, all with one signature (n, cond, generator)."""

CONDITIONED = ("spdlog", "wishart", "diagdom", "svdlog", "sparse5")
"""The families whose condition number is chosen by ``cond``."""


def identity(n: int) -> np.ndarray:
    """The identity, float64, shape (n, n)."""
    return np.eye(n)


def tridiagonal(n: int) -> np.ndarray:
    """tridiag(-1, 2, -1), shape (n, n): one-dimensional Poisson; exact in codes that are multiples of two to one."""
    return 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def circulant(n: int) -> np.ndarray:
    """Small integers on rotated rows, 5 2 0 ... 0 -1: unsymmetric, diagonally dominant. Requires: n at least 3."""
    return 5 * np.eye(n) + 2 * np.roll(np.eye(n), 1, axis=1) - np.roll(np.eye(n), -1, axis=1)


STRUCTURED: dict[str, Callable[[int], np.ndarray]] = {
    "identity": identity, "tridiagonal": tridiagonal, "heat": heat, "circulant": circulant}
"""Integer matrices that codes hold exactly, so that solutions lie exactly on converter thresholds."""


def structured(name: str, n: int) -> np.ndarray:
    """An integer-valued matrix of :data:`STRUCTURED`, float64, shape (n, n).

    With infinite gain and an input on the grid these give exact ties at the converter's thresholds: the test that
    every body of the macro lets a tie fall the same way. Errors: :class:`InputError` for an unknown name or n below 3.
    """
    if name not in STRUCTURED:
        raise InputError(f"structured: must be one of {' '.join(STRUCTURED)}, not {name!r}")
    if n < 3:
        raise InputError(f"structured {name}: n must be at least 3, not {n}")
    return STRUCTURED[name](n)


def grid_of(n: int) -> tuple[int, int]:
    """Rows and columns of the rectangle of n points nearest a square; rows is the largest divisor up to sqrt(n)."""
    rows = next(r for r in range(int(np.sqrt(n)), 0, -1) if n % r == 0)
    return rows, n // rows


def loop_stable(matrix: np.ndarray) -> bool:
    """Whether U A has all eigenvalues right of zero, A scaled to a largest entry of one, U = 1/(row sums |A| + 1)."""
    scaled = matrix / np.abs(matrix).max()
    load = np.abs(scaled).sum(axis=1) + 1.0
    return bool(np.linalg.eigvals(scaled / load[:, None]).real.min() > 0.0)


def _orthogonal(n: int, rng: np.random.Generator) -> np.ndarray:
    """A rotation (or reflection) uniform over the orthogonal group: QR of a Gaussian, signs of R taken out."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


def _small_skew(n: int, rng: np.random.Generator) -> np.ndarray:
    k = rng.standard_normal((n, n))
    k -= k.T
    return 0.5 * k / np.linalg.norm(k, 2)


def _shifted_to(matrix: np.ndarray, cond: float) -> np.ndarray:
    """``matrix`` + mu I with (e_max + mu) / (e_min + mu) = cond for the extreme eigenvalues e of a symmetric matrix."""
    matrix = _symmetric(matrix)
    e = np.linalg.eigvalsh(matrix)
    return matrix + (e[-1] - cond * e[0]) / (cond - 1) * np.eye(len(matrix))


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _half(name: str, n: int) -> int:
    if n % 2:
        raise InputError(f"ensemble {name}: n must be even, not {n}")
    return n // 2
