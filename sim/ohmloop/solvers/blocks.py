"""Inverses of systems larger than the array, made of solves with blocks that fit: elimination, sweeps, a border.

**Elimination.** With M = [[A11, A12], [A21, A22]] and the Schur complement S = A22 - A21 A11^-1 A12::

    y1 = A11^-1 b1        x2 = S^-1 (b2 - A21 y1)        x1 = y1 - A11^-1 A12 x2

is exact when the solves are. Each inverse may again be such a cut, until blocks fit. Two shapes of cuts, three ways
back (:class:`RecursiveInverse`); with m blocks, m = 2^d for halves, an application takes

=========== ===================== ============== =================================================================
way back    halves                chain          x1 =
=========== ===================== ============== =================================================================
full        3^d solves            2m - 1 solves  y1 - A11^-1 (A12 x2), one more solve with A11: BlockAMC (2401.10042)
kept        2^d                   m              y1 - W x2, W = A11^-1 A12 kept as float64 numbers
triangular  2^d                   m              y1: the inverse of [[A11, 0], [A21, S]]
=========== ===================== ============== =================================================================

and, in one array, solves - 1 writings where it ends with the block it begins with (full), else one a solve. Halves cut
the blocks in two; a chain cuts off the first block, then the next. The errors of a solve with A11 pass through two
other solves in halves, as in a chain; the chain needs fewer of them.

**S is computed digitally**, exactly in float64: W from LU factors of A11, only for the columns of A12 that are not all
zero. Through the loop every such column is a system of its own to be solved to S's precision, some ten applications of
the inverse of A11 each, about 3,300 solves for n = 512 on a grid; and an S with the error of the cells spoils all that
come after it. What the digital way costs is in :attr:`Work.setup`, and it is the cost of a sparse, or dense,
factorisation of A: this pays for right-hand sides by the hundred, or where few columns couple.

**Sweeps** need no Schur complement and no set-up: :class:`GaussSeidel`. **A border** of a few rows, n = N + few, is
one cut with W kept and S^-1 a few digits wide: :class:`Bordered`, one solve an application.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ohmloop.errors import InputError
from ohmloop.plan.loop import Loop
from ohmloop.readers import require_square
from ohmloop.solvers.inverse import Inverse, Solve

PlanLoop = Callable[[np.ndarray], Loop]
"""A matrix that fits the array to the loop for it; raises :class:`~ohmloop.errors.InputError` when there is none."""

FORMS = ("full", "kept", "triangular")
"""Ways back of an elimination."""

CUTS = ("halves", "chain")
"""Shapes of an elimination."""

NOISE = 1e-12
"""Blocks whose elements differ by at most this much of the largest are the same matrix, computed twice."""

BORDER_MAX = 8
"""Rows that are worth keeping digitally: an analogue solve costs some hundred clocks, a row n / L each."""


@dataclass(frozen=True)
class Work:
    """Digital work in multiply-adds of float64."""

    application: int
    """Each time the inverse is applied, without the residual of the iteration around it."""

    setup: int
    """Once a matrix."""

    kept: int = 0
    """Numbers that are kept from the set-up, beside the matrix."""

    def __add__(self, other: "Work") -> "Work":
        return Work(self.application + other.application, self.setup + other.setup, self.kept + other.kept)


class WorkedInverse(Inverse, Protocol):
    """An inverse that knows its digital work."""

    blocks: int
    """Blocks that it is made of, those done digitally not counted."""

    @property
    def work(self) -> Work:
        """Multiply-adds of an application and of the set-up."""
        ...


class Loops:
    """The loops of an inverse, each matrix once: equal blocks share a loop, and the array need not be written anew."""

    def __init__(self, plan_loop: PlanLoop):
        self.found: list[Loop] = []
        self._plan_loop = plan_loop

    def number(self, matrix: np.ndarray) -> int:
        """The number of the loop for this matrix, planned when it is new."""
        for k, loop in enumerate(self.found):
            if loop.matrix.shape == matrix.shape and np.abs(loop.matrix - matrix).max() <= NOISE * np.abs(matrix).max():
                return k
        self.found.append(self._plan_loop(np.ascontiguousarray(matrix)))
        return len(self.found) - 1


class Columns:
    """A matrix of which few columns are not zero: (n, m) as (n, few) numbers and their places."""

    def __init__(self, dense: np.ndarray):
        self.places = np.flatnonzero(dense.any(axis=0))
        self.numbers = dense[:, self.places]

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        return self.numbers @ v[self.places]

    @property
    def work(self) -> int:
        """Multiply-adds of a product."""
        return int(np.count_nonzero(self.numbers))


class Leaf:
    """A block that fits: one solve."""

    def __init__(self, k: int):
        self.k, self.work = k, Work(0, 0)

    def run(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About A^-1 v."""
        return solve(self.k, v)


class Digits:
    """A block that is solved digitally, by its inverse."""

    def __init__(self, matrix: np.ndarray):
        n = len(matrix)
        self.inverse, self.work = np.linalg.inv(matrix), Work(n * n, n ** 3, n * n)

    def run(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """A^-1 v."""
        return self.inverse @ v


class Cut:
    """One elimination of A = [[A11, A12], [A21, A22]] behind its first ``n1`` unknowns (module docstring).

    ``first``, ``second``: make nodes of A11 and of S.
    """

    def __init__(self, matrix: np.ndarray, n1: int, form: str, first: Callable[[np.ndarray], "Node"],
                 second: Callable[[np.ndarray], "Node"]):
        self.n1, self.form = n1, form
        a11, a12, a21, a22 = matrix[:n1, :n1], matrix[:n1, n1:], matrix[n1:, :n1], matrix[n1:, n1:]
        self.first = first(a11)
        w, self.a21, self.a12 = np.zeros_like(a12), Columns(a21), Columns(a12)
        try:
            w[:, self.a12.places] = np.linalg.solve(a11, self.a12.numbers)
        except np.linalg.LinAlgError:
            raise InputError(f"matrix: its first {n1} unknowns alone are singular; another order may serve") from None
        self.kept = Columns(w)
        self.second = second(a22 - a21 @ w)
        coupled = len(self.a12.places)
        rows = int(a21.any(axis=1).sum())
        setup = n1 ** 3 // 3 + n1 ** 2 * coupled + rows * len(self.a21.places) * coupled
        back = {"full": self.a12.work, "kept": self.kept.work, "triangular": 0}[form]
        again = self.first.work.application if form == "full" else 0
        self.work = self.first.work + self.second.work + Work(
            self.a21.work + back + again, setup, self.kept.work if form == "kept" else 0)

    def run(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About A^-1 v, or that of its lower triangle."""
        y1 = self.first.run(solve, v[:self.n1])
        x2 = self.second.run(solve, v[self.n1:] - self.a21 @ y1)
        if self.form == "full":
            y1 = y1 - self.first.run(solve, self.a12 @ x2)
        elif self.form == "kept":
            y1 = y1 - self.kept @ x2
        return np.concatenate([y1, x2])


Node = Leaf | Digits | Cut
"""A part of an elimination; each has ``run`` and ``work``."""


class RecursiveInverse:
    """Elimination over blocks (module docstring).

    Parameters
    ----------
    matrix : np.ndarray
        A, (n, n).
    blocks : sequence of np.ndarray
        A partition of the unknowns (:mod:`ohmloop.solvers.partition`), eliminated in this order.
    plan_loop : PlanLoop
        Makes a loop of each leaf.
    form : str
        One of :data:`FORMS`.
    cut : str
        One of :data:`CUTS`.

    Errors: :class:`InputError` where a leading block is singular or a leaf has no plan.
    """

    def __init__(self, matrix: np.ndarray, blocks: Sequence[np.ndarray], plan_loop: PlanLoop, *,
                 form: str = "full", cut: str = "chain"):
        if form not in FORMS or cut not in CUTS:
            raise InputError(f"elimination: form must be one of {', '.join(FORMS)} and cut one of {', '.join(CUTS)}, "
                             f"not {form!r}, {cut!r}")
        self.size, self.blocks, self.form, self.cut = len(matrix), len(blocks), form, cut
        self._order = ordered(matrix, blocks)
        loops = Loops(plan_loop)
        sizes = [len(block) for block in blocks]

        def node(part: np.ndarray, sizes: Sequence[int]) -> Node:
            if len(sizes) == 1:
                return Leaf(loops.number(part))
            at = 1 if cut == "chain" else (len(sizes) + 1) // 2
            return Cut(part, sum(sizes[:at]), form, lambda a11: node(a11, sizes[:at]),
                       lambda schur: node(schur, sizes[at:]))

        self._root = node(matrix[np.ix_(self._order, self._order)], sizes)
        self.loops = tuple(loops.found)
        self.work = self._root.work
        self.reasons = (f"{len(sizes)} blocks of at most {max(sizes)} unknowns, eliminated "
                        f"{'in halves' if cut == 'halves' else 'one after the other'}, way back {form}: "
                        f"{elimination_solves(len(sizes), form, cut)} solves an application",)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About A^-1 v, (n,)."""
        x = np.empty(self.size)
        x[self._order] = self._root.run(solve, v[self._order])
        return x


def elimination_solves(blocks: int, form: str, cut: str) -> int:
    """Analogue solves of an application: the table of the module docstring, for any number of blocks."""
    if form != "full":
        return blocks
    if cut == "chain":
        return 2 * blocks - 1
    if blocks == 1:
        return 1
    first = (blocks + 1) // 2
    return 2 * elimination_solves(first, form, cut) + elimination_solves(blocks - first, form, cut)


class GaussSeidel:
    """A sweep over blocks: x_i = A_ii^-1 (v_i - sum over j before i of A_ij x_j), one solve a block.

    This is the inverse of the lower block triangle D + L of A = L + D + U. No set-up. ``matrix``, ``blocks``,
    ``plan_loop`` and errors as :class:`RecursiveInverse`.
    """

    def __init__(self, matrix: np.ndarray, blocks: Sequence[np.ndarray], plan_loop: PlanLoop):
        self.size, self.blocks = len(matrix), len(blocks)
        ordered(matrix, blocks)
        loops = Loops(plan_loop)
        self._diagonal = [(block, loops.number(matrix[np.ix_(block, block)])) for block in blocks]
        self._before = []
        for i, block in enumerate(blocks):
            rows = np.zeros((len(block), self.size))
            for other in blocks[:i]:
                rows[:, other] = matrix[np.ix_(block, other)]
            self._before.append(Columns(rows))
        self.loops = tuple(loops.found)
        self.work = Work(sum(c.work for c in self._before), 0)
        self.reasons = (f"a sweep over {len(blocks)} blocks of at most {max(map(len, blocks))} unknowns: {len(blocks)} "
                        "solves an application, nothing to set up",)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About (D + L)^-1 v, (n,)."""
        x = np.zeros(self.size)
        for (block, k), before in zip(self._diagonal, self._before, strict=True):
            x[block] = solve(k, v[block] - before @ x)
        return x


class Bordered:
    """One block in the array and a few unknowns beside it, done digitally and exactly: one solve an application.

    A11^-1 A12, N x few, and S^-1, few x few, are kept as float64 numbers::

        y1 = solve(b1)        x2 = S^-1 (b2 - A21 y1)        x1 = y1 - (A11^-1 A12) x2

    ``border``: the unknowns outside the array, at most :data:`BORDER_MAX`; the last n - ``largest`` by default. Which
    they are matters: A11 is what is left. ``matrix``, ``plan_loop`` and errors as :class:`RecursiveInverse`.
    """

    def __init__(self, matrix: np.ndarray, largest: int, plan_loop: PlanLoop, *,
                 border: Sequence[int] | None = None):
        require_square(matrix)
        n, self.blocks = len(matrix), 1
        self.size = n
        few = n - largest if border is None else len(border)
        if not (0 < few <= BORDER_MAX and n - few <= largest):
            raise InputError(f"border: {n} unknowns with {few} beside an array of {largest}; allowed are 1 to "
                             f"{BORDER_MAX} that leave at most {largest}")
        chosen = np.arange(n - few, n) if border is None else np.asarray(border)
        inside = np.setdiff1d(np.arange(n), chosen)
        self._order = ordered(matrix, [inside, chosen])
        loops = Loops(plan_loop)
        self._root = Cut(matrix[np.ix_(self._order, self._order)], n - few, "kept",
                         lambda a11: Leaf(loops.number(a11)), _digits)
        self.loops = tuple(loops.found)
        self.work = self._root.work
        self.reasons = (f"{n - few} unknowns in the array, {few} beside it digitally: 1 solve an application",)

    def apply(self, solve: Solve, v: np.ndarray) -> np.ndarray:
        """About A^-1 v, (n,)."""
        x = np.empty(self.size)
        x[self._order] = self._root.run(solve, v[self._order])
        return x


def ordered(matrix: np.ndarray, blocks: Sequence[np.ndarray]) -> np.ndarray:
    """The unknowns in the order of their blocks, (n,).

    Errors: :class:`InputError` unless A is square and every unknown is in one block.
    """
    require_square(matrix)
    order = np.concatenate([np.asarray(block, dtype=np.int64) for block in blocks])
    if not np.array_equal(np.sort(order), np.arange(len(matrix))):
        raise InputError(f"blocks: must hold each of the {len(matrix)} unknowns once, they hold {len(order)} numbers, "
                         f"{len(np.unique(order))} of them different")
    return order


def _digits(schur: np.ndarray) -> Digits:
    if not np.linalg.cond(schur) < 1.0 / np.finfo(float).eps:
        raise InputError("border: its Schur complement is singular; choose other unknowns for the border")
    return Digits(schur)
