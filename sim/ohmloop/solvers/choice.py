"""Which inverse for a system? Whatever needs the fewest iterations on models of a few chips that no plan has seen.

A system that fits the array gets one loop for A. Where no plan holds A upright, or only with a shift that leaves little
of it, one for A' A, or where that fits for A beside its transpose. Each may be followed by a digital Jacobi sweep. What
is larger than the array is split (:mod:`ohmloop.solvers.large`). The same iteration without any preconditioner runs
beside them: where it needs no more, the reasons say so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.plan.loop import Loop
from ohmloop.plan.ranking import Inverse as Apply
from ohmloop.plan.search import plan_loop
from ohmloop.plan.stability import UnstableError
from ohmloop.solvers import large
from ohmloop.solvers.around import AugmentedInverse, NormalInverse, SmoothedInverse, Through
from ohmloop.solvers.inverse import Inverse, SingleLoop
from ohmloop.solvers.krylov import fgmres, fgmres_count
from ohmloop.solvers.large import NoSplitError, UnreachedError
from ohmloop.solvers.loops import StaticLoops
from ohmloop_hdl.config import ChipConfig

SEEDS = (4, 5, 6)
"""Chips that inverses are compared on; plans are ranked on others."""

LIMIT = 200
"""Iterations after which an inverse is given up."""

SAVES = 1.0
"""Iterations that a second product in each must save at least."""

LOOSE = 1e-3
"""Relative residual of A' A that ways to split it are compared at: as a preconditioner it need not do better."""

POOR = 0.75
"""A loop that needs more than this of the iterations without one is compared with one for A' A."""


@dataclass(frozen=True, eq=False)
class Choice:
    """An inverse with what is expected of it."""

    inverse: Inverse
    """What to iterate with."""

    iterations: float
    """Predicted, mean over drawn chips; infinite where one did not get there."""

    without: float
    """Iterations of the same method without a preconditioner."""

    reasons: tuple[str, ...]
    """Why this one: one sentence a decision."""


def inverse_for(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *, right_hand_sides: int = 1,
                seed: int = 0, tol: float = 1e-10, bad: np.ndarray | None = None,
                grid: tuple[int, int] | None = None) -> Choice:
    """The inverse for A, (n, n) float64, any n.

    ``right_hand_sides`` share what is set up once. ``seed`` draws right-hand sides that are counted on. ``bad``: (N, N)
    cells to keep under zero codes, for what fits the array. ``grid``: rows and columns that the unknowns of what does
    not fit live on, row by row, where the pattern of A does not show it.

    Errors: :class:`InputError` for a singular matrix and where no plan is stable: the reasons of all that was tried;
    :class:`~ohmloop.solvers.large.UnreachedError` where no inverse reaches the tolerance.
    """
    count = partial(fgmres_count, tol=tol)
    judge = _Judge(matrix, config, params, seed, tol)
    if len(matrix) > config.size:
        if bad is not None and bad.any():
            raise InputError(f"bad cells: can only be kept under zero codes of one matrix, and {len(matrix)} unknowns "
                             f"take more than one array of {config.size}")
        choose = partial(large.choose, config=config, params=params, right_hand_sides=right_hand_sides, seed=seed,
                         plan_loop=large.planned(config, params, tol=tol, seed=seed))
        try:
            return judge.choice(choose(matrix, tolerance=tol, grid=grid), smooth=True)
        except (InputError, UnreachedError) as refusal:
            # A' A has no grid that is known, its pattern may show one.
            return _instead(refusal, judge, [lambda: NormalInverse(matrix, partial(choose, tolerance=LOOSE))])
    plan = partial(plan_loop, config=config, params=params, seed=seed, bad=bad)
    makers: list[Callable[[], Inverse]] = [lambda: _squared(matrix, plan, count)]
    if 2 * len(matrix) <= config.size:
        makers.append(lambda: _augmented(matrix, plan, count))
    try:
        single = judge.choice(SingleLoop(plan(matrix, count=count)), smooth=True)
    except InputError as refusal:
        return _instead(refusal, judge, makers)
    if math.isfinite(single.iterations) and single.iterations <= POOR * single.without:
        return single
    try:
        other = _instead(None, judge, makers)
    except (InputError, UnreachedError):
        return single
    return other if other.iterations < single.iterations else single


def _instead(refusal: InputError | UnreachedError | None, judge: "_Judge",
             makers: Sequence[Callable[[], Inverse]]) -> Choice:
    """The best of what stands in for a loop for A itself; the refusal of A, or the first, where none gets there."""
    if refusal is not None and not _worth_squaring(refusal):
        raise refusal
    found, last = [], refusal
    for make in makers:
        try:
            found.append(judge.choice(make()))
        except (InputError, UnreachedError) as error:
            last = last or error
    if not any(math.isfinite(choice.iterations) for choice in found):
        raise last or UnreachedError(f"matrix: no inverse reaches {judge.tol:g} in {LIMIT} iterations")
    best = min(found, key=lambda choice: choice.iterations)
    return best if refusal is None else replace(best, reasons=(*best.reasons, f"for A itself: {refusal}"))


def _augmented(matrix: np.ndarray, plan: Callable[..., Loop], count: Callable[..., float]) -> AugmentedInverse:
    """A beside its transpose in one loop that is planned for iterations with A."""
    def planned(held: np.ndarray, through: Through) -> Loop:
        def counted(_: np.ndarray, inverse: Apply, c: np.ndarray, limit: int) -> float:
            return count(matrix, partial(through, inverse), matrix @ c[:len(matrix)], limit)
        return plan(held, count=counted)
    return AugmentedInverse(matrix, planned)


def _squared(matrix: np.ndarray, plan: Callable[..., Loop], count: Callable[..., float]) -> NormalInverse:
    """A' A in one loop that is planned for iterations with A."""
    transpose = NormalInverse.scaled_transpose(matrix)

    def invert(gram: np.ndarray) -> Inverse:
        def counted(_: np.ndarray, inverse: Apply, c: np.ndarray, limit: int) -> float:
            # c = A' A x: the right-hand side A x of the same x.
            b = matrix @ np.linalg.solve(gram, c)
            return count(matrix, lambda v: inverse(transpose @ v), b, limit)
        return SingleLoop(plan(gram, count=counted))
    return NormalInverse(matrix, invert)


def _worth_squaring(error: Exception) -> bool:
    """Whether it was stability that A itself was refused for, or that its parts do not make an inverse."""
    return isinstance(error, (UnstableError, NoSplitError, UnreachedError))


class _Judge:
    """Counts iterations of inverses of one matrix."""

    def __init__(self, matrix: np.ndarray, config: ChipConfig, params: AnalogParams, seed: int, tol: float):
        self.matrix, self.config, self.params, self.tol = matrix, config, params, tol
        self.rhs = [matrix @ np.random.default_rng([seed, chip]).standard_normal(len(matrix)) for chip in SEEDS]
        self.without = fgmres_count(matrix, lambda v: v, self.rhs[0], max(LIMIT, 2 * len(matrix)), tol)

    def choice(self, inverse: Inverse, smooth: bool = False) -> Choice:
        """The inverse, or with ``smooth`` the same with a Jacobi sweep after it where that saves iterations."""
        iterations = self._mean(inverse)
        if smooth and np.diagonal(self.matrix).all():
            other = SmoothedInverse(inverse, self.matrix)
            fewer = self._mean(other)
            if math.isfinite(fewer) and fewer <= iterations - SAVES:
                inverse, iterations = other, fewer
        predicted = f"predicted {iterations:.1f} iterations" if math.isfinite(iterations) else \
            f"on models {self.tol:g} was not reached in {LIMIT} iterations"
        without = f"{self.without:.0f}" if math.isfinite(self.without) else "not reached"
        reasons = [*inverse.reasons, f"{predicted}, {without} without the chip"]
        if math.isfinite(iterations) and iterations >= self.without:
            reasons.append("the chip saves no iterations on this system")
        return Choice(inverse, iterations, self.without, tuple(reasons))

    def _mean(self, inverse: Inverse) -> float:
        counts = []
        for chip, b in zip(SEEDS, self.rhs, strict=True):
            loops = StaticLoops(inverse.loops, Die.sample(self.config, replace(self.params, seed=chip)))
            found = fgmres(self.matrix, b, partial(inverse.apply, loops), tol=self.tol, limit=LIMIT, keep=0)
            if not found.solved:
                return math.inf
            counts.append(found.iterations)
        return float(np.mean(counts))
