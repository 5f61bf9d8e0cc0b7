"""Iterations in float64 around an approximate inverse that is noisy and not linear: flexible GMRES and flexible CG.

An analogue solve rounds its input, its output and its matrix, and adds noise: no two calls are one linear map. Flexible
methods keep what the inverse answered, z_j, beside what it was asked, v_j, and need nothing of it but directions::

    z_j = M^-1 v_j,    A z_j = [v_1 .. v_j+1] h_j,     x = x_0 + Z y,    ||r_0 - A Z y|| least          (FGMRES)
    z_j = M^-1 r_j,    p_j = z_j made A-orthogonal to the earlier p,  x <- x + (p' r) / (p' A p) p      (FCG)

(Saad, SIAM J. Sci. Comput. 14, 1993; Notay, SIAM J. Sci. Comput. 22, 2000.) The accuracy of the answer is that of
float64 and of the residual b - A x, whatever the inverse is worth; the inverse decides how many iterations it takes.

Orthogonalisation is classical Gram-Schmidt, done twice: two products with a matrix each, as stable as the modified one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmloop.solvers.recycle import KEPT, Space, harmonic_space

Inverse = Callable[[np.ndarray], np.ndarray]
"""v (n,) to about A^-1 v, (n,)."""

OnIteration = Callable[[int, float], None]
"""Told the number of the iteration, from 1, and the relative residual it is believed to have reached."""

HAPPY = 1e-14
"""A new direction this much shorter than the product it is left of is rounding noise: the space is closed."""

FLAT = 1e-15
"""A curvature p' A p / p' p this far below the largest is rounding noise."""

STALLED = 0.5
"""A cycle that leaves more than this of the true residual has stalled; after the second one in a row it is given up."""


@dataclass(frozen=True, eq=False)
class Krylov:
    """How an iteration ended."""

    x: np.ndarray
    """The best answer, (n,)."""

    relative_residual: float
    """||b - A x|| / ||b||, computed with x at the end; 0 for b = 0."""

    residuals: np.ndarray
    """Relative residual before the first iteration and after each, as the recurrence has them; (iterations + 1,)."""

    iterations: int
    """Calls of the inverse, and products with A but for those of the true residuals."""

    solved: bool
    """Whether ``relative_residual`` is at most the tolerance."""

    unanswered: int
    """Calls of the inverse that brought zero or no finite numbers; v itself was taken in their place."""

    space: Space | None
    """What to hand to the next right-hand side as ``recycled``."""


def fgmres(matrix: Any, b: np.ndarray, inverse: Inverse | None, *, tol: float = 1e-10, limit: int | None = None,
           start: np.ndarray | None = None, recycled: Space | None = None,
           keep: int = KEPT, on_iteration: OnIteration | None = None) -> Krylov:
    """Flexible GMRES for A x = b until ||b - A x|| <= tol ||b||.

    ``matrix``: anything with ``matrix @ x`` for x (n,). ``inverse``: None for no preconditioner. ``limit``: most
    iterations (n, at least 50, unless told otherwise). ``start``: first x, (n,).
    ``recycled``: the ``space`` of an earlier result for the same matrix; ``keep`` directions are handed on. At the end
    of a cycle the true residual decides, and another cycle starts from it when it is above the tolerance.
    """
    n, size = len(b), float(np.linalg.norm(b))
    limit = max(50, n) if limit is None else limit
    x = np.zeros(n) if start is None else np.array(start, dtype=np.float64)
    if size == 0.0:
        return Krylov(np.zeros(n), 0.0, np.zeros(1), 0, True, 0, recycled)
    r = b - matrix @ x if start is not None else b.astype(np.float64)
    goal, space, stalls, unanswered = tol * size, recycled, 0, 0
    reached = float(np.linalg.norm(r))
    best, history = (x, reached), [reached / size]
    while reached > goal and len(history) <= limit and stalls < 2:
        # More than n directions there are not.
        cycle = _Cycle(matrix, r, recycled, min(n, limit + 1 - len(history)))
        for estimate in cycle.run(inverse, goal):
            history.append(estimate / size)
            if on_iteration:
                on_iteration(len(history) - 1, history[-1])
        unanswered += cycle.unanswered
        x = x + cycle.step()
        if cycle.count:
            space = cycle.space(keep) or space
        before, r = reached, b - matrix @ x
        reached = float(np.linalg.norm(r))
        if not math.isfinite(reached) or not cycle.count and reached > goal and (
                recycled is None or reached > STALLED * before):
            break
        if reached < best[1]:
            best = x, reached
        stalls = stalls + 1 if reached > STALLED * before else 0
    x, reached = best
    return Krylov(x, reached / size, np.array(history), len(history) - 1, reached <= goal, unanswered, space)


def fcg(matrix: Any, b: np.ndarray, inverse: Inverse | None, *, tol: float = 1e-10, limit: int | None = None,
        start: np.ndarray | None = None, recycled: Space | None = None, keep: int = KEPT,
        on_iteration: OnIteration | None = None) -> Krylov:
    """Flexible conjugate gradients for A x = b, A symmetric and positive definite, until ||b - A x|| <= tol ||b||.

    Arguments as for :func:`fgmres`. Every direction is made A-orthogonal to all earlier ones, and recycled directions
    are the first of them; the error falls in the A-norm, so that residuals may rise between. A curvature p' A p that is
    not positive ends the iteration: the matrix is not positive definite, or rounding is all that is left.
    """
    n, size = len(b), float(np.linalg.norm(b))
    limit = max(50, n) if limit is None else limit
    x = np.zeros(n) if start is None else np.array(start, dtype=np.float64)
    if size == 0.0:
        return Krylov(np.zeros(n), 0.0, np.zeros(1), 0, True, 0, recycled)
    r = b - matrix @ x if start is not None else b.astype(np.float64)
    goal, first, count, unanswered, steepest = tol * size, 0, 0, 0, 0.0
    room = min(n, limit) + (0 if recycled is None else len(recycled))
    p, q, v = (np.empty((room, n)) for _ in range(3))
    if recycled is not None:
        # U A U' = L L': the rows of L^-1 U are A-orthonormal.
        try:
            factor = np.linalg.cholesky(recycled.directions @ recycled.images.T)
            first = len(recycled)
            p[:first] = np.linalg.solve(factor, recycled.directions)
            q[:first] = np.linalg.solve(factor, recycled.images)
            v[:first] = np.linalg.solve(factor, recycled.inputs)
            part = p[:first] @ r
            x, r = x + part @ p[:first], r - part @ q[:first]
        except np.linalg.LinAlgError:
            pass
    reached, history = float(np.linalg.norm(r)), [float(np.linalg.norm(r)) / size]
    while reached > goal and count < limit:
        z = r if inverse is None else np.asarray(inverse(r), dtype=np.float64)
        if not np.isfinite(z).all() or not z.any():
            z, unanswered = r, unanswered + 1
        k, fed = first + count, r
        if k == len(p):
            p, q, v = (np.vstack([rows, np.empty((k, n))]) for rows in (p, q, v))
        for _ in range(2):
            part = q[:k] @ z
            z, fed = z - part @ p[:k], fed - part @ v[:k]
        image = matrix @ z
        curvature, square = float(z @ image), float(z @ z)
        steepest = max(steepest, curvature / square if square else 0.0)
        if not curvature > FLAT * steepest * square:
            break
        root = math.sqrt(curvature)
        p[k], q[k], v[k] = z / root, image / root, fed / root
        along = float(p[k] @ r)
        x, r = x + along * p[k], r - along * q[k]
        count, reached = count + 1, float(np.linalg.norm(r))
        history.append(reached / size)
        if on_iteration:
            on_iteration(count, history[-1])
        if reached <= goal:
            # The recurrence believes so; the true residual decides, and is gone on with.
            r = b - matrix @ x
            before, reached = reached, float(np.linalg.norm(r))
            if reached > goal and reached > 1e3 * before:
                break
    reached = float(np.linalg.norm(b - matrix @ x))
    k = first + count
    space = harmonic_space(p[:k], q[:k], v[:k], keep) if count else recycled
    return Krylov(x, reached / size, np.array(history), count, reached <= goal, unanswered, space)


class _Cycle:
    """One cycle of FGMRES from a residual r (n,), at most ``most`` iterations, orthogonal to a recycled space."""

    def __init__(self, matrix: Any, r: np.ndarray, recycled: Space | None, most: int):
        n = len(r)
        self.matrix, self.recycled, self.count, self.unanswered = matrix, recycled, 0, 0
        self.first = np.zeros(n)
        if recycled is not None:
            part = recycled.images @ r
            self.first = part @ recycled.directions
            r = r - part @ recycled.images
            self.border = np.zeros((most, len(recycled)))
        self.size = float(np.linalg.norm(r))
        self.v, self.z = np.empty((most + 1, n)), np.empty((most, n))
        self.h, self.triangle = np.zeros((most, most + 1)), np.zeros((most, most))
        self.rotations = np.eye(most + 1)
        self.g = np.zeros(most + 1)
        self.g[0] = self.size
        if self.size > 0.0:
            self.v[0] = r / self.size

    def run(self, inverse: Inverse | None, goal: float):
        """Iterate until the residual is believed to be at most ``goal``; yields it after every iteration."""
        while self.size > goal and self.count < len(self.z):
            k = self.count
            v = self.v[k]
            z = v if inverse is None else np.asarray(inverse(v), dtype=np.float64)
            if not np.isfinite(z).all() or not z.any():
                z, self.unanswered = v, self.unanswered + 1
            closed = self._expand(z, k)
            yield abs(float(self.g[k + 1]))
            if closed or abs(self.g[k + 1]) <= goal:
                return

    def _expand(self, z: np.ndarray, k: int) -> bool:
        w = self.matrix @ z
        length = float(np.linalg.norm(w))
        if self.recycled is not None:
            images = self.recycled.images
            self.border[k] = images @ w
            w = w - self.border[k] @ images
            again = images @ w
            self.border[k] += again
            w = w - again @ images
        basis, h = self.v[:k + 1], self.h[k]
        part = basis @ w
        w = w - part @ basis
        again = basis @ w
        w -= again @ basis
        h[:k + 1] = part + again
        left = float(np.linalg.norm(w))
        closed = not left > HAPPY * length
        h[k + 1] = 0.0 if closed else left
        self.v[k + 1] = 0.0 if closed else w / left
        self.z[k] = z
        # Column k of the triangle: earlier rotations at once, then the one that clears its last element.
        turned = self.rotations[:k + 2, :k + 2] @ h[:k + 2]
        top = math.hypot(turned[k], turned[k + 1])
        if top == 0.0:
            # A z lies in what was there already: no new direction.
            self.g[k + 1] = self.g[k]
            return True
        c, s = turned[k] / top, turned[k + 1] / top
        rows = self.rotations[k:k + 2, :k + 2]
        self.rotations[k:k + 2, :k + 2] = np.array([[c, s], [-s, c]]) @ rows
        self.triangle[k, :k], self.triangle[k, k] = turned[:k], top
        self.g[k], self.g[k + 1] = c * self.g[k], -s * self.g[k]
        self.count = k + 1
        return closed

    def step(self) -> np.ndarray:
        """What to add to x, (n,)."""
        k = self.count
        if k == 0:
            return self.first
        y = np.linalg.solve(self.triangle[:k, :k].T, self.g[:k])
        step = self.first + y @ self.z[:k]
        if self.recycled is not None:
            step -= (y @ self.border[:k]) @ self.recycled.directions
        return step

    def space(self, keep: int) -> Space | None:
        """The directions of this cycle and of the recycled space that are worth keeping."""
        k = self.count
        directions, images, inputs = self.z[:k], self.h[:k, :k + 1] @ self.v[:k + 1], self.v[:k]
        if self.recycled is not None:
            old, border = self.recycled, self.border[:k]
            directions = np.vstack([old.directions, directions - border @ old.directions])
            images = np.vstack([old.images, images])
            inputs = np.vstack([old.inputs, inputs - border @ old.inputs])
            return harmonic_space(directions, images, inputs, max(keep, len(old)))
        return harmonic_space(directions, images, inputs, keep)


def fgmres_count(matrix: Any, inverse: Inverse, b: np.ndarray, limit: int, tol: float = 1e-10) -> float:
    """Iterations of :func:`fgmres` to ``tol``, as the planner ranks candidates by.

    The fraction is how soon within the last one, on a logarithmic scale, the tolerance was met. Extrapolated, or
    infinite, where ``limit`` is not enough.
    """
    found = fgmres(matrix, b, inverse, tol=tol, limit=limit, keep=0)
    sizes = found.residuals
    last = float(sizes[-1])
    if not found.solved:
        return (len(sizes) - 1) * math.log(tol) / math.log(last) if tol < last < 0.5 else math.inf
    before = float(sizes[-2]) if len(sizes) > 1 else 1.0
    floor = max(last, 1e-3 * tol)
    part = math.log(before / tol) / math.log(before / floor) if before > floor else 1.0
    return len(sizes) - 2 + min(1.0, max(0.0, part))
