"""The loop that an iteration on the host needs least often: preparations x full scale x shift x rounding x digits.

What a candidate is worth is not read off the matrix: the iteration that is meant to run is run, on settled models of a
few chips (:class:`ohmloop.plan.ranking.StaticInverse`), and counted. The function that counts is handed in, so that a
plan can be made for any method. Candidates that lean on matching cells come after all others, the fewest iterations
come first, and of those alike to half an iteration the one with the shortest closing. A first round looks at all
candidates on one chip, a second one at the best and their neighbours on several.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.plan import planner, ranking, scaling, stability
from ohmloop.plan.loop import Loop
from ohmloop.plan.preparation import Preparation, around_bad_cells, equilibration, preparations
from ohmloop.plan.rounding import rounded_for_inverse
from ohmloop.plan.scaling import Candidate
from ohmloop_hdl.config import ChipConfig

Count = Callable[[np.ndarray, ranking.Inverse, np.ndarray, int], float]
"""(A (n, n), v -> about A^-1 v in the unit of A, right-hand side (n,), most iterations) to iterations; fractions tell
how soon within the last one; infinite where it does not get there."""

SHIFTS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Shifts of the diagonal, in codes, of the first round."""

FULL_SCALES = (1.0, 14 / 15)
"""Full-scale codes over the largest, of the first round; a shifted diagonal needs room."""

NEAREST = 4
"""Unshifted roundings of the first round, of least error."""

SMALL_SCALES = (1.0, 0.8, 0.6, 0.45, 0.33, 0.25)
"""Full-scale codes over the largest that are tried when nothing is stable: room for a large shift."""

SECOND_ROUND = 6
"""Candidates that enter the second round."""

FINE = 2
"""How many of them bring their neighbours along."""

FINISHED = 8
"""Candidates of the second round that are asked, in turn, whether they keep their margin on every drawn chip."""

FRAIL = 0.5
"""A candidate whose inverse mismatch changes by more (:func:`ohmloop.plan.ranking.mismatch_error`) comes after all
others. Twice what programs on the chip are allowed: an iteration that keeps its directions bears a poor one."""

CHIPS = 4
"""Chips of the second round; the first also serves the first round."""

ITERATIONS_MAX = 80
"""Iterations after which a candidate is given up."""


@dataclass(frozen=True, eq=False)
class _Choice:
    """A candidate with the way there, and what was counted."""

    preparation: Preparation
    digits: int
    shift: float
    bent: bool
    candidate: Candidate
    frail: bool = False
    iterations: float = math.inf
    clocks: float = 0.0

    @property
    def key(self) -> tuple[bool, float, float]:
        halves = self.iterations if math.isinf(self.iterations) else math.ceil(2 * self.iterations) / 2
        return self.frail, halves, self.clocks


def plan_loop(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *, count: Count = ranking.gcr_count,
              digits: int | None = None, tolerance: int = 1, seed: int = 0, bad: np.ndarray | None = None) -> Loop:
    """The loop for A, n x n with n <= N, with which ``count`` counts the fewest iterations.

    ``digits``: 1 or 2 cell codes an element; both are tried where two fit (n <= N/2) unless told. ``tolerance``: LSB by
    which two settling conversions may differ. ``seed`` draws the right-hand side that is counted on. ``bad``: (N, N)
    booleans, cells known not to hold a code; they are kept under zero codes by an order of the unknowns.

    Errors: :class:`InputError` (not square, too large, not finite, singular, bad cells that cannot be avoided),
    :class:`UnstableError` when no permitted plan is stable.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    planner.check(matrix, config, tolerance, digits or 1, condition=False)
    row, column = equilibration(matrix)
    condition = np.linalg.cond(row[:, None] * matrix * column)
    if not condition <= planner.CONDITION_MAX:
        raise InputError(f"matrix: numerically singular, condition number {condition:.1e} when scaled; "
                         f"at most {planner.CONDITION_MAX:.0e} is allowed")
    b = matrix @ np.random.default_rng(seed).standard_normal(len(matrix))
    search = _Search(matrix, b, config, params, count)
    widths = (digits,) if digits else (1, 2) if 2 * len(matrix) <= config.size and not _any(bad) else (1,)
    ways = list(preparations(matrix))
    first = [choice for way in ways for width in widths for choice in search.candidates(way, width)]
    refusal: InputError | None = None
    # What keeps its margin at the first round may not on every drawn chip: a far shift serves both.
    for lazily in (lambda: first, lambda: [choice for way in ways for choice in search.far_shifted(way)]):
        best = search.best(lazily(), 1, SECOND_ROUND)
        near = [other for choice in best[:FINE] for other in search.neighbours(choice)]
        for choice in search.best([*best, *near], CHIPS, FINISHED) or best:
            try:
                loop = search.finished(choice, tolerance, bad)
            except InputError as error:
                refusal = error
                continue
            if loop is not None:
                return loop
    worst = scaling.rank_candidates(ways[-1].apply(matrix), config, 1, 1)[0]
    raise refusal or planner.refusal(worst, None, config, params, 1)


def _any(bad: np.ndarray | None) -> bool:
    return bad is not None and bool(bad.any())


class _Search:
    """One matrix, one right-hand side, one set of drawn chips."""

    def __init__(self, matrix: np.ndarray, b: np.ndarray, config: ChipConfig, params: AnalogParams, count: Count):
        self.matrix, self.b, self.config, self.params, self.count = matrix, b, config, params, count
        self.dies = [Die.sample(config, replace(params, seed=draw)) for draw in range(CHIPS)]
        self.seen: set[tuple[int, int, bytes, bytes]] = set()

    def candidates(self, way: Preparation, digits: int) -> Iterator[_Choice]:
        """Roundings of the first round for one preparation."""
        prepared = way.apply(self.matrix)
        nearest = scaling.rank_candidates(prepared, self.config, digits, NEAREST)
        yield from (_Choice(way, digits, 0.0, False, candidate) for candidate in nearest)
        if nearest[0].exact:
            return
        for scale in FULL_SCALES:
            for shift in SHIFTS:
                for bent in (False, True):
                    yield from self.rounded(way, digits, round(self.config.code_max ** digits * scale), shift, bent)

    def far_shifted(self, way: Preparation) -> Iterator[_Choice]:
        """Roundings with room on the diagonal for the smallest shift that makes them stable."""
        prepared, top = way.apply(self.matrix), self.config.code_max
        for c_max in dict.fromkeys(max(1, round(top * scale)) for scale in SMALL_SCALES):
            codes = scaling.code_at(prepared, c_max)
            steps = stability.smallest_shift(codes, self.config, self.params, planner.SHIFT_MARGIN)
            for more in (0, 1, 2) if steps is not None else ():
                yield from self.rounded(way, 1, c_max, float((steps or 0) + more), False)

    def neighbours(self, choice: _Choice) -> Iterator[_Choice]:
        """The same with a little more or less shift and full scale."""
        c_max = choice.candidate.c_max
        less = max(1, round(c_max / self.config.code_max))
        for other, shift in ((c_max, choice.shift + 0.5), (c_max, choice.shift - 0.5), (c_max - less, choice.shift),
                             (c_max + less, choice.shift), (c_max, 1.5 * choice.shift)):
            if shift >= 0.0 and 0 < other <= self.config.code_max ** choice.digits:
                yield from self.rounded(choice.preparation, choice.digits, other, shift, choice.bent)

    def rounded(self, way: Preparation, digits: int, c_max: int, shift: float, bent: bool) -> Iterator[_Choice]:
        """One rounding of a shifted matrix, to nearest or ``bent`` for the inverse; nothing where that is singular."""
        prepared, top = way.apply(self.matrix), self.config.code_max ** digits
        target = prepared / np.abs(prepared).max() * c_max + shift * np.eye(len(prepared))
        if bent and planner.singular(target):
            return
        codes = rounded_for_inverse(target, top) if bent else \
            np.clip(np.rint(target), -top, top).astype(np.int64)
        if codes.any():
            error = scaling.rounding_error(prepared, codes, c_max)
            yield _Choice(way, digits, shift, bent, Candidate(c_max, codes, error))

    def best(self, choices: list[_Choice], chips: int, most: int) -> list[_Choice]:
        """The ``most`` best stable ones with their counts on so many chips, best first.

        Eigenvalues take longer than all the rest: they are asked for in the order of counts, until enough are found.
        """
        judged = (self.judged(choice, chips) for choice in choices)
        counted = sorted(filter(None, judged), key=lambda choice: choice.key)
        found: list[_Choice] = []
        for choice in counted:
            if len(found) == most:
                break
            codes = scaling.embed(choice.candidate.codes, self.config, choice.digits)
            rest = stability.rest_eigenvalue(codes, self.config, self.params).real + self.params.inverse_gain
            if rest > 0.0:
                found.append(replace(choice, clocks=planner.iteration_cycles(rest, self.config, self.params)))
        return sorted(found, key=lambda choice: choice.key)

    def judged(self, choice: _Choice, chips: int) -> _Choice | None:
        """The choice with its counts; None where it is singular or was judged on as many chips before."""
        candidate, way = choice.candidate, choice.preparation
        name = (chips, candidate.c_max, candidate.codes.tobytes(), way.row_factor.tobytes() + way.rows.tobytes())
        if name in self.seen or planner.singular(candidate.codes):
            return None
        self.seen.add(name)
        codes = scaling.embed(candidate.codes, self.config, choice.digits)
        frail = ranking.mismatch_error(codes, self.config, self.params) > FRAIL
        counts = [self._counted(choice, codes, die) for die in self.dies[:chips]]
        return replace(choice, frail=frail, iterations=float(np.mean(counts)))

    def _counted(self, choice: _Choice, codes: np.ndarray, die: Die) -> float:
        way = choice.preparation
        prepared_peak = float(np.abs(way.apply(self.matrix)).max())
        alpha = scaling.matrix_factor(prepared_peak, choice.candidate.c_max, self.config, choice.digits)
        model = ranking.StaticInverse(codes, len(self.matrix), die)

        def inverse(v: np.ndarray) -> np.ndarray:
            x = np.empty_like(v)
            x[way.columns] = way.column_factor * model(way.row_factor * v[way.rows]) / alpha
            return x

        return self.count(self.matrix, inverse, self.b, ITERATIONS_MAX)

    def finished(self, choice: _Choice, tolerance: int, bad: np.ndarray | None) -> Loop | None:
        """The loop of a choice, or None when it has no setting that keeps its margin on every drawn chip."""
        candidate, way = choice.candidate, choice.preparation
        if bad is not None and _any(bad):
            order = around_bad_cells(candidate.codes, bad)
            moved = "" if np.array_equal(order, np.arange(len(order))) else \
                "the unknowns are reordered so that bad cells lie under zero codes"
            way = way.permuted(order, moved)
            candidate = Candidate(candidate.c_max, candidate.codes[np.ix_(order, order)], candidate.error)
        codes = scaling.embed(candidate.codes, self.config, choice.digits)
        setting = stability.choose_bandwidth(codes, self.config, self.params)
        if setting is None:
            return None
        prepared = way.apply(self.matrix)
        plan = planner.finish(prepared, candidate, choice.shift, setting, self.config, tolerance, choice.digits)
        reasons = [way.reason] if way.reason else []
        reasons += plan.reasons
        if choice.bent:
            reasons.append("codes are rounded so that the inverse suffers least, not to the nearest")
        reasons.append(f"of {len(self.seen)} plans simulated this one needs the fewest iterations, "
                       f"{choice.iterations:.1f} on drawn chips" if math.isfinite(choice.iterations) else
                       f"none of {len(self.seen)} plans simulated got there in {ITERATIONS_MAX} iterations")
        if choice.frail:
            reasons.append("it leans on matching cells: chips may differ much in iterations")
        return way.loop(self.matrix, replace(plan, reasons=tuple(reasons)))
