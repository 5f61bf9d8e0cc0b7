"""Which inverse for a system larger than the array? All that might serve are tried on a model; the clocks decide.

A is taken as it is and mended (:mod:`ohmloop.solvers.prepared`), every way to split the unknowns
(:mod:`ohmloop.solvers.partition`) with every way to put the blocks together
(:mod:`ohmloop.solvers.blocks`, :mod:`ohmloop.solvers.schwarz`). Each then runs the iteration that is meant to run,
flexible GMRES, on settled models of a few drawn chips and a right-hand side drawn from a seed, and is charged with
(:mod:`ohmloop.plan.cost`)::

    iterations (T_solve solves + T_write writings + digital) + what is done once / right-hand sides

A block that has no stable plan rules a candidate out, with the planner's reason; another split may still serve. What
could not win even if its blocks were the best there can be is not planned at all.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.plan import search
from ohmloop.plan.cost import Cost, application_cost, digital_cycles, writing_cycles, writings
from ohmloop.plan.loop import Loop
from ohmloop.plan.planner import plan_system
from ohmloop.plan.preparation import Preparation
from ohmloop.plan.scaling import check_magnitude
from ohmloop.readers import require_square
from ohmloop.solvers import partition
from ohmloop.solvers.blocks import BORDER_MAX, Bordered, GaussSeidel, PlanLoop, RecursiveInverse, WorkedInverse
from ohmloop.solvers.inverse import Inverse
from ohmloop.solvers.krylov import fgmres, fgmres_count
from ohmloop.solvers.loops import StaticLoops
from ohmloop.solvers.prepared import PreparedInverse, whole
from ohmloop.solvers.schwarz import Schwarz, aggregates, bilinear
from ohmloop_hdl.config import ChipConfig

_LOG = logging.getLogger(__name__)

TOLERANCE = 1e-10
"""Relative residual that is counted up to."""

DRAWS = 2
"""Chips that a candidate runs on; their mean counts. Their seeds are behind those that plans are ranked on."""

LIMIT = 200
"""Iterations after which a candidate is given up."""

GAUSS_SEIDEL, SCHWARZ, BORDER = "block Gauss-Seidel", "two-level Schwarz", "digital border"
ELIMINATIONS = {
    "elimination, W kept": ("kept", "chain"),
    "elimination, triangular": ("triangular", "chain"),
    "elimination, full": ("full", "chain"),
    "recursion into halves, triangular": ("triangular", "halves"),
    "recursion into halves, full": ("full", "halves"),
}
"""Method to form and cut (:class:`ohmloop.solvers.blocks.RecursiveInverse`)."""

METHODS = (BORDER, SCHWARZ, GAUSS_SEIDEL, *ELIMINATIONS)
"""Methods by the names that reasons call them by."""


class NoSplitError(InputError):
    """No split has a stable plan for every block."""


class UnreachedError(NotSolvedError):
    """No inverse reaches the tolerance on models of chips."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to split the unknowns and to put the blocks together."""

    method: str
    """One of :data:`METHODS`."""

    split: str
    """The partition by name: boxes, pairs, bisection, band, natural; "prepared" where A was mended first."""

    build: Callable[[PlanLoop], WorkedInverse]
    """Makes the inverse; raises :class:`~ohmloop.errors.InputError` where a block cannot be had."""

    @property
    def name(self) -> str:
        """Method and split."""
        return f"{self.method} ({self.split})"


@dataclass(frozen=True, eq=False)
class Measured:
    """A candidate that ran on models of chips."""

    candidate: Candidate
    inverse: WorkedInverse
    iterations: tuple[int, ...]
    """On each chip, none behind the first where it did not get there, which has up to :data:`LIMIT`."""

    solved: bool
    """Whether it got there on every chip."""

    cost: Cost
    """Of the first right-hand side, iterations rounded up from the mean, the set-up not in it."""

    later_clocks: int
    """Of each further one: less where an array still holds what is asked for."""

    setup_clocks: int
    """Of the digital set-up, for all right-hand sides together."""

    @property
    def mean(self) -> float:
        """Iterations, mean over the chips."""
        return sum(self.iterations) / len(self.iterations)

    def clocks(self, right_hand_sides: int = 1) -> float:
        """Clocks a right-hand side, with its share of what is done once; infinite where it does not get there."""
        once = self.setup_clocks + self.cost.clocks - self.later_clocks
        return self.later_clocks + once / right_hand_sides if self.solved else math.inf

    def sentence(self) -> str:
        """All that decided, in one sentence."""
        reached = f"{self.mean:.3g} iterations" if self.solved else f"not solved in {max(self.iterations)} iterations"
        arrays = f"{self.cost.writings} writing{'s' * (self.cost.writings != 1)} of an array"
        return (f"{self.candidate.name}: {reached}, {self.cost.solves} solves, {arrays}, "
                f"{thousands(self.cost.clocks)} clocks for the first right-hand side, {thousands(self.later_clocks)} "
                f"for each further one, {thousands(self.setup_clocks)} to set up")


@dataclass(frozen=True, eq=False)
class Ranking:
    """What became of all candidates."""

    measured: tuple[Measured, ...]
    """Fewest clocks first."""

    refused: tuple[tuple[Candidate, str], ...]
    """Those without a stable plan for every block, each with the reason."""

    hopeless: tuple[tuple[Candidate, float], ...]
    """Those that were not tried, each with the clocks that it would need at least."""


def candidates(matrix: np.ndarray, config: ChipConfig, *, grid: tuple[int, int] | None = None,
               methods: Sequence[str] = METHODS) -> Iterator[Candidate]:
    """The ways to split A, (n, n) with n > N, and to put the blocks together.

    ``grid``: rows and columns, where A lives on a grid, row by row, that its pattern does not show. ``methods``: of
    :data:`METHODS`.

    Errors: :class:`InputError` for a matrix that is not square or not finite, one that fits the array, a grid that does
    not have n points.
    """
    require_square(matrix)
    check_magnitude(matrix, "matrix")
    if len(matrix) <= config.size:
        raise InputError(f"matrix: size {len(matrix)} fits the array of {config.name}, which holds 1 to {config.size}")
    if not (matrix.any(axis=0).all() and matrix.any(axis=1).all()):
        raise InputError("matrix: singular, a row or column is zero")
    for way in whole(matrix):
        for candidate in _splits(way.apply(matrix), config.size, grid, methods):
            yield candidate if not way.reason else replace(
                candidate, split=f"{candidate.split}, prepared", build=partial(_prepared, candidate.build, way))


def _splits(matrix: np.ndarray, largest: int, grid: tuple[int, int] | None,
            methods: Sequence[str]) -> Iterator[Candidate]:
    """Candidates for a matrix as it is."""
    grid = grid or partition.grid_in(matrix)
    if len(matrix) <= largest + BORDER_MAX and BORDER in methods:
        yield Candidate(BORDER, "last rows", partial(Bordered, matrix, largest))
    for split, blocks in partition.partitions(matrix, largest, grid).items():
        makers: dict[str, Callable[[PlanLoop], WorkedInverse]] = {
            GAUSS_SEIDEL: partial(GaussSeidel, matrix, blocks)}
        if grid is not None or partition.is_sparse(matrix):
            makers[SCHWARZ] = partial(_schwarz, matrix, blocks, grid)
        for method, (form, cut) in ELIMINATIONS.items():
            makers[method] = partial(RecursiveInverse, matrix, blocks, form=form, cut=cut)
        yield from (Candidate(method, split, build) for method, build in makers.items() if method in methods)


def measure(candidate: Candidate, inverse: WorkedInverse, matrix: np.ndarray, config: ChipConfig,
            params: AnalogParams, *, tolerance: float = TOLERANCE, arrays: int = 1, seed: int = 0,
            chips: Sequence[int] = range(search.CHIPS, search.CHIPS + DRAWS), limit: int = LIMIT) -> Measured:
    """Run one on chips, by their seeds, each with its own right-hand side A x, x Gaussian drawn from ``seed`` and that
    of the chip, to a relative residual; the first that it does not reach ends that."""
    counts, solved = [], True
    for chip in chips:
        loops = StaticLoops(inverse.loops, Die.sample(config, replace(params, seed=chip)))
        b = matrix @ np.random.default_rng([seed, chip]).standard_normal(len(matrix))
        ended = fgmres(matrix, b, partial(inverse.apply, loops), tol=tolerance, limit=limit, keep=0)
        counts.append(ended.iterations)
        solved = ended.solved
        if not solved:
            break
    return charged(candidate, inverse, tuple(counts), solved, matrix, config, params, arrays)


def charged(candidate: Candidate, inverse: WorkedInverse, iterations: tuple[int, ...], solved: bool, matrix: np.ndarray,
            config: ChipConfig, params: AnalogParams, arrays: int = 1) -> Measured:
    """What these iterations cost with so many arrays."""
    times = math.ceil(sum(iterations) / len(iterations))
    cost = iterations_cost(inverse, times, matrix, config, params, arrays)
    asked = calls(inverse)
    again = writings(asked, arrays, 2 * times) - writings(asked, arrays, times)
    return Measured(candidate, inverse, iterations, solved, cost,
                    cost.clocks - (cost.writings - again) * writing_cycles(config),
                    digital_cycles(inverse.work.setup, params))


def iterations_cost(inverse: WorkedInverse, times: int, matrix: np.ndarray, config: ChipConfig, params: AnalogParams,
                    arrays: int = 1) -> Cost:
    """The cost of so many iterations: the inverse, a product with A, two Gram-Schmidt passes over all earlier ones."""
    around = times * int(np.count_nonzero(matrix)) + 2 * len(matrix) * times ** 2
    return application_cost(calls(inverse), [loop.plan for loop in inverse.loops], config, params, times=times,
                            arrays=arrays, multiply_adds=times * inverse.work.application + around)


def fewest_iterations(tolerance: float, config: ChipConfig) -> int:
    """Iterations that no inverse made of solves goes below: one gains no more bits than its converters have."""
    return math.ceil(-math.log2(tolerance) / min(config.dac_bits, config.adc_bits))


def ranked(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *, grid: tuple[int, int] | None = None,
           tolerance: float = TOLERANCE, right_hand_sides: int = 1, arrays: int = 1, seed: int = 0,
           methods: Sequence[str] = METHODS, plan_loop: PlanLoop | None = None, exhaustive: bool = False) -> Ranking:
    """All candidates, by clocks a right-hand side.

    Candidates are tried in the order of the least that they can cost: :func:`fewest_iterations` of them, with blocks
    that settle as soon as the identity does. The first whose least is above what another one needs ends the search,
    unless it is ``exhaustive``.

    ``right_hand_sides``: how many share the set-up. ``arrays``: chips that hold a loop each. ``seed`` draws
    right-hand sides. ``plan_loop``: makes loops of blocks, :func:`planned` unless told otherwise. Errors: as
    :func:`candidates`.
    """
    plan, quickest = plan_loop or planned(config, params), plan_system(np.eye(1), config, params)
    least, refused, found, hopeless = [], [], [], []
    for candidate in candidates(matrix, config, grid=grid, methods=methods):
        try:
            outline = candidate.build(lambda block: Loop.plain(block, quickest))
        except InputError as refusal:
            refused.append((candidate, str(refusal)))
            continue
        at_least = charged(candidate, outline, (fewest_iterations(tolerance, config),), True, matrix, config, params,
                           arrays)
        least.append((at_least.clocks(right_hand_sides), candidate))
    best = math.inf
    for number, (clocks, candidate) in enumerate(sorted(least, key=lambda item: item[0]), start=1):
        if clocks > best and not exhaustive:
            hopeless.append((candidate, clocks))
            continue
        _LOG.info("way %d of %d to split them: %s", number, len(least), candidate.name)
        try:
            inverse = candidate.build(plan)
        except InputError as refusal:
            refused.append((candidate, str(refusal)))
            continue
        found.append(measure(candidate, inverse, matrix, config, params, tolerance=tolerance, arrays=arrays,
                             seed=seed, limit=LIMIT))
        best = min(best, found[-1].clocks(right_hand_sides))
    found.sort(key=lambda measured: measured.clocks(right_hand_sides))
    return Ranking(tuple(found), tuple(refused), tuple(hopeless))


def choose(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *, grid: tuple[int, int] | None = None,
           tolerance: float = TOLERANCE, right_hand_sides: int = 1, seed: int = 0,
           plan_loop: PlanLoop | None = None) -> "Chosen":
    """The inverse with the fewest clocks a right-hand side; its ``reasons`` say why, with the numbers of the losers.

    Parameters as :func:`ranked`. Errors: :class:`InputError`, as :func:`candidates`; :class:`NoSplitError` when no
    split has a stable plan for every block, :class:`UnreachedError` when none gets there in :data:`LIMIT` iterations.
    """
    ranking = ranked(matrix, config, params, grid=grid, tolerance=tolerance, right_hand_sides=right_hand_sides,
                     seed=seed, plan_loop=plan_loop)
    if not ranking.measured:
        candidate, why = ranking.refused[0]
        raise NoSplitError(f"matrix: of {len(ranking.refused)} ways to split {len(matrix)} unknowns none has a stable "
                           f"plan for every block; {candidate.name}: {why}")
    if not ranking.measured[0].solved:
        raise UnreachedError(f"matrix: none of {len(ranking.measured)} ways to split {len(matrix)} unknowns reaches a "
                             f"relative residual of {tolerance:g} in {LIMIT} iterations")
    return Chosen(ranking.measured[0].inverse, explanation(ranking, matrix, params, right_hand_sides))


class Chosen:
    """An inverse with the reasons for it."""

    def __init__(self, inverse: WorkedInverse, reasons: tuple[str, ...]):
        self.inverse, self.size, self.blocks = inverse, inverse.size, inverse.blocks
        self.loops, self.work = inverse.loops, inverse.work
        self.reasons = (*inverse.reasons, *reasons)

    def apply(self, solve: Callable[[int, np.ndarray], np.ndarray], v: np.ndarray) -> np.ndarray:
        """As the inverse does."""
        return self.inverse.apply(solve, v)


def explanation(ranking: Ranking, matrix: np.ndarray, params: AnalogParams, right_hand_sides: int) -> tuple[str, ...]:
    """The winner, the best of every other method, what was refused or not tried, and the digital yardstick."""
    best: dict[str, Measured] = {}
    for measured in ranking.measured:
        best.setdefault(measured.candidate.method, measured)
    winner, *losers = best.values()
    all_of_them = sum(map(len, (ranking.measured, ranking.refused, ranking.hopeless)))
    reasons = [f"chosen of {all_of_them} for {right_hand_sides} right-hand side{'s' * (right_hand_sides > 1)}: "
               + winner.sentence()]
    reasons += [f"not {loser.sentence()}" for loser in losers]
    reasons += [f"not tried {candidate.name}: at least {thousands(clocks)} clocks"
                for candidate, clocks in ranking.hopeless]
    reasons += [f"refused {candidate.name}: {why}" for candidate, why in ranking.refused]
    n = len(matrix)
    factor, solve = digital_cycles(n ** 3 // 3, params), digital_cycles(n * n, params)
    reasons.append(f"a dense float64 factorisation on the host would take the time of {thousands(factor)} clocks once "
                   f"and {thousands(solve)} a right-hand side")
    return tuple(reasons)


def calls(inverse: Inverse) -> tuple[int, ...]:
    """The loops that an application asks for, in order."""
    asked: list[int] = []

    def solve(k: int, v: np.ndarray) -> np.ndarray:
        asked.append(k)
        return v

    inverse.apply(solve, np.zeros(inverse.size))
    return tuple(asked)


def planned(config: ChipConfig, params: AnalogParams, *, tol: float = TOLERANCE, seed: int = 0) -> PlanLoop:
    """Plans loops for blocks, for the fewest iterations to ``tol`` on the block alone
    (:func:`ohmloop.plan.search.plan_loop`), with a right-hand side drawn from ``seed``.

    Blocks that are equal, or multiples of one another, but for rounding noise are planned once.
    """
    known: dict[bytes, tuple[float, Loop | InputError]] = {}

    def plan_loop(block: np.ndarray) -> Loop:
        peak = float(np.abs(block).max(initial=1e-300))
        key = (np.round(block / peak, 10) + 0.0).tobytes()
        if key not in known:
            try:
                known[key] = peak, search.plan_loop(block, config, params, seed=seed,
                                                    count=partial(fgmres_count, tol=tol))
            except InputError as refusal:
                known[key] = peak, refusal
        first, loop = known[key]
        if isinstance(loop, InputError):
            raise loop
        # A multiple of a block that is known: the same codes, its rows scaled back to it.
        return replace(loop, matrix=block, row_factor=loop.row_factor * (first / peak))
    return plan_loop


def thousands(clocks: float) -> str:
    """A number of clocks, in thousands from ten thousand on."""
    return f"{clocks:.0f}" if clocks < 1e4 else f"{clocks / 1e3:.0f} thousand"


def _prepared(build: Callable[[PlanLoop], WorkedInverse], way: Preparation, plan_loop: PlanLoop) -> PreparedInverse:
    return PreparedInverse(build(plan_loop), way)


def _schwarz(matrix: np.ndarray, blocks: partition.Blocks, grid: tuple[int, int] | None,
             plan_loop: PlanLoop) -> Schwarz:
    coarse = bilinear(grid) if grid is not None else aggregates(matrix, blocks)
    return Schwarz(matrix, blocks, coarse, plan_loop)
