"""Ways to make a matrix ready for the arrays, exact on the host: scale it, match rows to columns, flip signs.

Cells hold few bits of the largest entry, so rows and columns of like size round best; and a loop wants its eigenvalues
in the right half plane, so large entries belong on the diagonal, with a positive sign. All of these keep the solution:
they are a permutation and a diagonal on each side (:mod:`ohmloop.plan.loop`), never rounded, not even to powers of
two, which can double a condition number.

======== =============================================================================================================
scale    Ruiz: every row and column is divided by the root of its norm until all norms are one; a symmetric matrix
         stays symmetric (D. Ruiz, RAL-TR-2001-034). In the largest entry, or in the sum of magnitudes
match    the row permutation that makes the product of the diagonal magnitudes largest (Duff and Koster, SIAM J. Matrix
         Anal. Appl. 22, 2001), found as an assignment of least weight
flip     each row times the sign of its diagonal entry
======== =============================================================================================================
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ohmloop.errors import InputError
from ohmloop.plan.loop import Loop
from ohmloop.plan.scaling import Plan

PASSES = 30
"""Passes of the equilibration; norms are within a few percent of one after five."""

EVEN = 1.1
"""A matrix whose row and column norms are within this ratio of one another needs no scaling."""

ATTEMPTS = 20
"""Starts of the search for a permutation that bad cells allow."""

SWAPS = 400
"""Exchanges tried from each start."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """``B[i, j] = row_factor[i] A[rows[i], columns[j]] column_factor[j]``, and in words why."""

    rows: np.ndarray
    columns: np.ndarray
    row_factor: np.ndarray
    column_factor: np.ndarray
    reason: str

    def apply(self, matrix: np.ndarray) -> np.ndarray:
        """B for A, (n, n)."""
        return self.row_factor[:, None] * matrix[np.ix_(self.rows, self.columns)] * self.column_factor

    def permuted(self, order: np.ndarray, reason: str) -> "Preparation":
        """The same with row and column ``order[i]`` of B in place i."""
        return Preparation(self.rows[order], self.columns[order], self.row_factor[order], self.column_factor[order],
                           "; ".join(filter(None, (self.reason, reason))))

    def loop(self, matrix: np.ndarray, plan: Plan) -> Loop:
        """A with a plan that was made for B."""
        return Loop(matrix, plan, self.rows, self.columns, self.row_factor, self.column_factor)


def plain(n: int) -> Preparation:
    """The matrix as it is."""
    return Preparation(np.arange(n), np.arange(n), np.ones(n), np.ones(n), "")


def preparations(matrix: np.ndarray) -> Iterator[Preparation]:
    """Ways that differ: as it is, scaled, scaled in another norm, matched and flipped and scaled. (n, n), no row or
    column all zero; :class:`InputError` for a matrix without a full matching, which is singular."""
    n = len(matrix)
    yield plain(n)
    size = np.abs(matrix)
    uneven = max(_spread(size.max(axis=1)), _spread(size.max(axis=0))) > EVEN
    if uneven:
        yield _scaled(matrix, plain(n), 1, "rows and columns are scaled to largest entries of one")
    if max(_spread(size.sum(axis=1)), _spread(size.sum(axis=0))) > EVEN:
        yield _scaled(matrix, plain(n), 0, "rows and columns are scaled to sums of one")
    rows = matched_rows(matrix)
    signs = np.where(np.diagonal(matrix[rows]) < 0.0, -1.0, 1.0)
    moved, flipped = not np.array_equal(rows, np.arange(n)), bool((signs < 0.0).any())
    if moved or flipped:
        what = " and ".join(["rows are matched to columns"] * moved + ["signs flipped"] * flipped)
        ready = Preparation(rows, np.arange(n), signs, np.ones(n), f"{what} for a positive diagonal")
        yield ready
        for order in (1, 0) if uneven else ():
            yield _scaled(matrix, ready, order, "scaled to " + ("largest entries" if order else "sums") + " of one")


def equilibration(matrix: np.ndarray, largest: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Row and column factors (n,), positive, with which all largest entries (else sums of magnitudes) are near one.

    A matrix of symmetric magnitudes gets the same factors on both sides. A row of zeros keeps its factor.
    """
    size = np.abs(matrix)
    rows, columns = np.ones(matrix.shape[0]), np.ones(matrix.shape[1])
    norm = np.max if largest else np.sum
    for _ in range(PASSES):
        now = rows[:, None] * size * columns
        across, down = norm(now, axis=1), norm(now, axis=0)
        across, down = (np.where(values > 0.0, values, 1.0) for values in (across, down))
        rows, columns = rows / np.sqrt(across), columns / np.sqrt(down)
        if max(_spread(across), _spread(down)) < 1.01:
            break
    return rows, columns


def matched_rows(matrix: np.ndarray) -> np.ndarray:
    """The row for each place of the diagonal, (n,), that makes the product of magnitudes on it largest.

    :class:`InputError` when every choice has a zero on the diagonal: the matrix is structurally singular.
    """
    size = np.abs(matrix)
    held = size > 0.0
    logs = np.log(size, where=held, out=np.zeros_like(size))
    try:
        # Not min_weight_full_bipartite_matching, which does not end on some weights that are not whole numbers.
        rows, columns = linear_sum_assignment(np.where(held, -logs, np.inf))
    except ValueError:
        raise InputError("matrix: structurally singular, no choice of rows puts a number on every place of the "
                         "diagonal") from None
    found = np.empty(len(matrix), dtype=np.int64)
    found[columns] = rows
    # Where the diagonal is as good as the match, leave it.
    own = np.diagonal(logs).sum() if held.diagonal().all() else -np.inf
    return np.arange(len(matrix)) if own >= logs[found, np.arange(len(matrix))].sum() - 1e-9 else found


def around_bad_cells(codes: np.ndarray, bad: np.ndarray, seed: int = 0) -> np.ndarray:
    """An order of the n unknowns, (n,), that puts every bad cell under a zero code: row and column ``order[i]`` of
    ``codes`` (n, n) belong in place i of the array.

    Rows and columns move together, so that eigenvalues stay. ``bad``: (N, N) booleans; those outside the n x n corner
    must be off the diagonal. Found by exchanging pairs as long as fewer cells are hit, from random starts.

    Errors: :class:`InputError` when none is found, with the cells that stay hit.
    """
    n = len(codes)
    used, corner = codes != 0, bad[:n, :n]
    spare = np.flatnonzero(np.diagonal(bad)[n:]) + n
    if len(spare):
        raise InputError(f"bad cells: cell ({spare[0]}, {spare[0]}) on the unused diagonal must conduct")
    order = np.arange(n)
    fewest, start = (used & corner).sum(), order
    random = np.random.default_rng(seed)
    for attempt in range(ATTEMPTS):
        order = np.arange(n) if attempt == 0 else random.permutation(n)
        hits = _hits(used, corner, order)
        for _ in range(SWAPS):
            if not hits:
                return order
            places = np.flatnonzero((used[np.ix_(order, order)] & corner).any(axis=0)
                                    | (used[np.ix_(order, order)] & corner).any(axis=1))
            i, j = random.choice(places), random.integers(n)
            swapped = order.copy()
            swapped[[i, j]] = order[[j, i]]
            now = _hits(used, corner, swapped)
            if now <= hits:
                order, hits = swapped, now
        if hits < fewest:
            fewest, start = hits, order
    places = np.argwhere(used[np.ix_(start, start)] & corner)
    raise InputError(f"bad cells: no order of the unknowns puts all {corner.sum()} bad cells under zero codes; "
                     f"{len(places)} stay, the first at row {places[0][0]}, column {places[0][1]}")


def _hits(used: np.ndarray, bad: np.ndarray, order: np.ndarray) -> int:
    return int((used[np.ix_(order, order)] & bad).sum())


def _scaled(matrix: np.ndarray, base: Preparation, largest: int, reason: str) -> Preparation:
    row, column = equilibration(base.apply(matrix), bool(largest))
    return Preparation(base.rows, base.columns, base.row_factor * row, base.column_factor * column,
                       "; ".join(filter(None, (base.reason, reason))))


def _spread(values: np.ndarray) -> float:
    low = float(values.min())
    return float(values.max()) / low if low > 0.0 else np.inf
