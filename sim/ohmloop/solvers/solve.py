"""The front door: from a system and a tolerance to an answer that was checked, with a certificate and the reasons.

::

    matrix, right-hand sides --> one square real system (remap) --> an inverse of loops (choice, plan)
        --> flexible GMRES or CG in float64 around analogue solves --> true residual --> certificate --> Solution

An answer is called solved when ||b - A x|| / ||b||, computed from the answer in float64, is within the tolerance. For
least squares that is ||X' r|| / ||X' y||, r = y - X x; where it stays above because y has next to no share in the span
of X, ||X' r|| / (||X|| ||r||) decides (Paige, Saunders, ACM TOMS 8, 1982). Anything else raises. How good the answer is
beyond the residual, the certificate says.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from ohmloop.analog.cells import Die
from ohmloop.analog.measured import die_named
from ohmloop.analog.params import ParamsError
from ohmloop.engines.named import ENGINES
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.host.device import PROGRAMS, Device
from ohmloop.solvers import remap
from ohmloop.solvers.certificate import Certificate, Factors, certify
from ohmloop.solvers.choice import inverse_for
from ohmloop.solvers.krylov import Inverse, Krylov, OnIteration, fcg, fgmres
from ohmloop.solvers.loops import STATIC, CountingSolve, loops_on
from ohmloop.solvers.on_chip import OnChip, choice_for
from ohmloop.solvers.posing import Planned, Source, posed
from ohmloop.solvers.problem import (
    check_lines,
    checked_bad,
    checked_grid,
    checked_matrix,
    checked_noise,
    checked_number,
    checked_rhs,
)
from ohmloop.solvers.recycle import KEPT, Space
from ohmloop_hdl.config import ChipConfig, ConfigError, config_named

TOL_MIN = 1e-15
"""Smallest tolerance: float64 itself is off by a tenth of that."""

ROUNDS = 5
"""Times that an iteration is resumed with a smaller tolerance because the residual that counts is not there yet."""

DIGITS_LOST = 3.0
"""Decimal digits between tolerance and forward bound that are taken for granted, unless told how many are wanted."""

METHODS: Mapping[str, Callable[..., Krylov]] = {"fgmres": fgmres, "fcg": fcg}
"""Iterations by name; ``fcg`` for symmetric and positive definite systems only."""

FORMS = ("auto", "normal", "augmented")
"""Square matrices that least squares can be posed as (:mod:`ohmloop.solvers.remap`)."""


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Answers that meet the tolerance, and how they came about. Tuples have an entry a right-hand side."""

    x: np.ndarray
    """(n,) or (n, k), as the right-hand side was; complex where that is, or where the matrix has imaginary parts."""

    relative_residuals: tuple[float, ...]
    """What decided that it is solved (module docstring)."""

    certificates: tuple[Certificate, ...]
    """Backward error, condition estimate, forward bound of the square real system."""

    iterations: tuple[int, ...]
    """Iterations, each with one application of the inverse."""

    histories: tuple[np.ndarray, ...]
    """Relative residuals of the iteration, before the first one and after each; resumed where they jump up."""

    analogue_solves: int
    """For all right-hand sides together, set-up included."""

    reprogrammings: int
    """Times that the arrays were written."""

    predicted_iterations: float
    """What the planner expected for one right-hand side; infinite where it expected none to do."""

    predicted_without: float
    """The same iteration without the chip."""

    reasons: tuple[str, ...]
    """Why it was solved this way: one sentence a decision."""

    warnings: tuple[str, ...]
    """What a reader of x must know."""

    counters: Mapping[str, int]
    """What the engine counted."""

    planned: Planned
    """What to hand to :func:`solve` for other right-hand sides with the same matrix: nothing is planned anew, and
    directions are recycled."""

    @property
    def certificate(self) -> Certificate:
        """The one with the largest forward bound."""
        return max(self.certificates, key=lambda found: found.forward_bound)

    def __repr__(self) -> str:
        iterations = ", ".join(map(str, self.iterations))
        return (f"<Solution: x {self.x.shape}, {iterations} iterations, {self.analogue_solves} analogue solves, "
                f"relative residual {max(self.relative_residuals):.1e}, forward bound "
                f"{self.certificate.forward_bound:.1e}, {len(self.warnings)} warnings>")


def solve(matrix: Any, b: Any, *, config: str | ChipConfig = "chip64", engine: str = "model",
          chip: str | Die = "reference", device: Device | None = None,
          tol: float = 1e-10, method: str = "fgmres", form: str = "auto", ridge: float = 0.0,
          noise: np.ndarray | None = None, digits: float | None = None, limit: int | None = None, keep: int = KEPT,
          seed: int | None = None, bad: np.ndarray | None = None, grid: tuple[int, int] | None = None,
          planned: Planned | None = None, on_iteration: OnIteration | None = None) -> Solution:
    """Solve A x = b, or the least squares problem min ||b - A x|| (of least norm, with fewer rows than columns).

    Parameters
    ----------
    matrix : array or scipy sparse
        A, (m, n), real or complex.
    b : array
        (m,) or (m, k): k right-hand sides, the later of which gain from the first.
    config, engine, chip : str
        What :class:`~ohmloop.host.device.Device` takes, ``seed`` too; the engine ``static`` is the settled model alone.
    device : Device
        A chip to use in place of a new one; it stays open.
    tol : float
        Relative residual to reach.
    method, form : str
        One of :data:`METHODS`, or of :data:`~ohmloop.host.device.PROGRAMS`, which iterate inside the chip; for
        least squares one of :data:`FORMS`, which square systems ignore. ``fcg`` takes the normal form.
    ridge, noise : float, array
        Least squares with ``ridge`` ||x||^2 added, and weighed by the variances (m,) or covariance (m, m) ``noise``.
    digits : float
        Decimal digits of x that are wanted: a warning is given when the forward bound does not vouch for them.
    limit : int
        Most iterations a right-hand side; 2 n, at least 200, unless told otherwise.
    keep : int
        Directions to recycle for later right-hand sides; 0 for none.
    bad : array
        (N, N) booleans: cells known to be bad.
    grid : tuple
        Rows and columns of the grid that the unknowns live on, row by row, where the pattern of A does not show it;
        looked at where A is larger than the array.
    planned : Planned
        From an earlier :class:`Solution` for the same matrix, ridge, noise, form, bad cells, configuration and method.

    Errors: :class:`InputError` for what cannot be used, singular matrices and names that are none among it, and where
    no plan is stable, with the reason; :class:`NotSolvedError` when the tolerance is not reached, with the best
    residual, or when no inverse reaches it on models; ``ToolMissing`` for an engine that is not installed;
    :class:`~ohmloop.host.device.TrapError` when a program on the chip gets nowhere for a trap.
    """
    held = checked_matrix(matrix)
    y = checked_rhs(b, held.shape[0])
    _options(engine, tol, method, form, limit, keep, digits)
    die, on_chip = _die(config, chip, device, seed), method in PROGRAMS
    dense = held.toarray() if scipy.sparse.issparse(held) else held
    n, complex_matrix = dense.shape[1], np.iscomplexobj(dense)
    if complex_matrix and noise is not None:
        raise InputError("noise: is for real least squares; pose a complex one as a real one")
    source = Source(remap.realified(dense), checked_number("ridge", ridge), checked_noise(noise, len(y)), form,
                    die.config, method, checked_bad(bad, die.config.size))
    check_lines(dense, source.ridge)
    if bad is not None and on_chip:
        raise InputError(f"bad: cells are avoided by methods on the host only, not by {method}")
    if grid is not None and (complex_matrix or not source.is_square):
        raise InputError("grid: is for square real systems")
    points = checked_grid(grid, n)
    if planned is not None:
        planned.source.check(source)
    if on_chip and device is None and engine == STATIC:
        raise InputError(f"engine: {method} needs a chip, and {STATIC} is the settled model alone; use model")
    columns = _real_columns(y, complex_matrix)
    turned = f"{n} complex unknowns are solved for as {2 * n} real ones" if complex_matrix else ""
    with ExitStack() as stack:
        if on_chip:
            device = device or stack.enter_context(Device(die.config, engine, die))
            work = planned or posed(source, partial(choice_for, method, device=device))
            iterate = OnChip(method, device, work.choice.inverse.loops[0])
        else:
            choose = partial(inverse_for, config=die.config, params=die.params, right_hand_sides=columns.shape[1],
                             tol=max(tol, 1e-12), bad=source.bad, grid=points)
            work, iterate = planned or posed(source, choose, definite=method == "fcg"), METHODS[method]
        solves = loops_on(engine, work.choice.inverse.loops, die, device, stack)
        run = _Run(work, solves, iterate, tol, limit, keep, on_iteration)
        answers = [run.answer(column) for column in columns.T]
        counted, written, counters = solves.solves, solves.reprogrammings, dict(solves.counters)
        warnings = run.warnings([result for _, result in answers], tol, digits)
    x, results = _as_asked(answers, y, complex_matrix)
    return Solution(
        x=x[:, 0] if np.ndim(b) == 1 else x,
        relative_residuals=tuple(result.residual for result in results),
        certificates=tuple(result.certificate for result in results),
        iterations=tuple(result.iterations for result in results),
        histories=tuple(result.history for result in results),
        analogue_solves=counted,
        reprogrammings=written,
        predicted_iterations=work.choice.iterations,
        predicted_without=work.choice.without,
        reasons=tuple(filter(None, (turned, work.posed.what, *work.choice.reasons))),
        warnings=warnings,
        counters=counters,
        planned=replace(work, space=run.space))


@dataclass(frozen=True, eq=False)
class _Result:
    residual: float
    iterations: int
    history: np.ndarray
    unanswered: int
    certificate: Certificate


def _real_columns(y: np.ndarray, complex_matrix: bool) -> np.ndarray:
    """Real right-hand sides for y (m, k): real parts on top of imaginary ones, beside them where only y is complex."""
    if complex_matrix:
        return remap.stacked(y)
    return np.hstack([np.real(y), np.imag(y)]) if np.iscomplexobj(y) else y


def _as_asked(answers: list[tuple[np.ndarray, _Result]], y: np.ndarray,
              complex_matrix: bool) -> tuple[np.ndarray, list[_Result]]:
    """x (n, k) and an entry a right-hand side, of the answers to :func:`_real_columns`."""
    x, results = np.array([answer for answer, _ in answers]).T, [result for _, result in answers]
    if complex_matrix:
        return remap.joined(x), results
    if np.iscomplexobj(y):
        half = y.shape[1]
        merged = [_merged(*pair) for pair in zip(answers[:half], answers[half:], strict=True)]
        return x[:, :half] + 1j * x[:, half:], merged
    return x, results


def _merged(real: tuple[np.ndarray, _Result], imaginary: tuple[np.ndarray, _Result]) -> _Result:
    """What holds for x + i y, of what holds for x and y (n,): the worse of the two, iterations and histories joined."""
    (x, first), (y, second) = real, imaginary
    one, other = first.certificate, second.certificate
    size = float(np.abs(x + 1j * y).max())
    bound = float(np.hypot(one.forward_bound * np.abs(x).max(), other.forward_bound * np.abs(y).max()))
    return _Result(max(first.residual, second.residual), first.iterations + second.iterations,
                   np.concatenate([first.history, second.history[1:]]), first.unanswered + second.unanswered,
                   Certificate(max(one.backward_error, other.backward_error),
                               max(one.componentwise_backward_error, other.componentwise_backward_error),
                               max(one.condition, other.condition), bound / size if size else bound))


class _Run:
    """All right-hand sides of one problem on one chip."""

    def __init__(self, work: Planned, solves: CountingSolve, method: Callable[..., Krylov], tol: float,
                 limit: int | None, keep: int, on_iteration: OnIteration | None):
        self.solves = solves
        self.work, self.method, self.tol, self.keep, self.on_iteration = work, method, tol, keep, on_iteration
        self.limit = max(200, 2 * len(work.scaled)) if limit is None else limit
        # FCG needs the scaling that keeps the matrix symmetric, a program on the chip scales for itself, and what
        # decides about the augmented form is the residual of another one.
        self.unscales = method is fgmres and work.certified is work.posed and bool(np.ptp(work.rows))
        self.factors = Factors(work.certified.matrix)
        self.space: Space | None = work.space if keep else None

    def answer(self, y: np.ndarray) -> tuple[np.ndarray, _Result]:
        """The unknowns for one right-hand side; :class:`NotSolvedError` when the tolerance is not reached."""
        work, posed = self.work, self.work.posed
        c = work.rows * posed.rhs(y)
        # The squares of elements below 1e-154 are zero, and so would be the norm.
        peak = float(np.abs(c).max()) or 1.0
        c = c / peak
        inverse = partial(work.choice.inverse.apply, self.solves)
        u, tol, history, unanswered, unscaled = None, self.tol, np.ones(0), 0, False
        best = (math.inf, np.zeros(0), np.zeros(0))
        # Of a limit that has room for two cycles, the rows as they are get one.
        room = len(c) if self.unscales and self.limit >= 2 * len(c) else 0
        for done in range(1, ROUNDS + 2):
            left = self.limit + 1 - max(1, len(history))
            if unscaled:
                found = self._unscaled(c, inverse, tol, left, u)
            else:
                found = self.method(work.scaled, c, inverse, tol=tol, limit=left - room, start=u, recycled=self.space,
                                    keep=self.keep, on_iteration=self.on_iteration)
                self.space = found.space if self.keep else None
            history = found.residuals if u is None else np.concatenate([history, found.residuals[1:]])
            unanswered += found.unanswered
            z = peak * (work.columns * found.x)
            x = posed.answer(z)
            residual = posed.residual(x, y)
            if residual < best[0] or not len(best[1]):
                best = residual, x, z
            if best[0] <= self.tol or len(history) > self.limit or unscaled:
                break
            # The scaled residual is there, or as near as it gets; the one that counts is not.
            u = found.x
            ended = not found.solved or len(history) > self.limit - room or tol < TOL_MIN or done == ROUNDS
            if ended and not self.unscales:
                break
            unscaled = ended
            tol = 0.5 * self.tol if unscaled else tol * min(0.1, 0.5 * self.tol / residual)
        residual, x, z = best
        if not residual <= self.tol:
            # What the fit leaves of y may be all of it: then X' y is noise, and X' r as small as it gets.
            residual = min(residual, posed.orthogonality(x, y))
        if not residual <= self.tol:
            raise NotSolvedError(
                f"not solved: best relative residual {best[0]:.2g} in {len(history) - 1} iterations, {self.tol:g} was "
                f"asked for" + (f"; the chip had no answer to {unanswered} of {self.solves.solves} solves"
                                if unanswered else ""))
        # The normal form, which certifies the augmented one, has the unknowns themselves but for their unit.
        unknown = z if work.certified is posed else x * work.certified.unit
        certificate = certify(work.certified.matrix, work.certified.rhs(y), unknown, self.factors,
                              work.certified.slack(unknown, y))
        return x, _Result(residual, len(history) - 1, history, unanswered, certificate)

    def _unscaled(self, c: np.ndarray, inverse: Inverse, tol: float, limit: int, start: np.ndarray | None) -> Krylov:
        """Iterations on the residual that counts, where the scaled ones have ended.

        (B C) u = c / R has the same u. They are more than the scaled ones on most matrices, and recycle nothing.
        """
        rows = self.work.rows
        return fgmres(self.work.scaled / rows[:, None], c / rows, lambda v: inverse(rows * v), tol=tol, limit=limit,
                      start=start, keep=0, on_iteration=self.on_iteration)

    def warnings(self, results: list[_Result], tol: float, digits: float | None) -> tuple[str, ...]:
        """What certificates and the chip have to say."""
        wanted = 10.0 ** -(digits if digits is not None else max(0.0, -math.log10(tol) - DIGITS_LOST))
        found = dict.fromkeys(filter(None, (result.certificate.warning(wanted) for result in results)))
        choice = self.work.choice
        if math.isinf(choice.iterations):
            found["on models of chips this was not solved: the iterations may be those without a chip"] = None
        elif choice.iterations >= choice.without:
            found[f"the chip saves no iterations on this system: {choice.iterations:.0f} were expected with it, "
                  f"{choice.without:.0f} without"] = None
        unanswered = sum(result.unanswered for result in results)
        if unanswered:
            found[f"the chip had no answer to {unanswered} of {self.solves.solves} solves (the solution clips at every "
                  "range, or a trap); those steps were taken without it"] = None
        return tuple(found)


def _die(config: str | ChipConfig, chip: str | Die, device: Device | None, seed: int | None) -> Die:
    """The chip that is meant. Errors: :class:`InputError`."""
    if device:
        return device.die
    try:
        asked = config_named(config) if isinstance(config, str) else config
        if not isinstance(chip, Die):
            return die_named(chip, asked, seed)
    except (ConfigError, ParamsError) as error:
        raise InputError(str(error)) from None
    if chip.config != asked:
        raise InputError(f"chip: made for {chip.config.name}, not for {asked.name}; say config= as well")
    return chip


def _options(engine: str, tol: float, method: str, form: str, limit: int | None, keep: int,
             digits: float | None) -> None:
    if engine not in (STATIC, *ENGINES):
        raise InputError(f"engine: must be one of {', '.join((STATIC, *ENGINES))}, not {engine!r}")
    checked_number("tol", tol)
    if not TOL_MIN <= tol < 1.0:
        raise InputError(f"tol: must be from {TOL_MIN:g} to below 1, not {tol}")
    if method not in (*METHODS, *PROGRAMS):
        raise InputError(f"method: must be one of {', '.join((*METHODS, *PROGRAMS))}, not {method!r}")
    if form not in FORMS:
        raise InputError(f"form: must be one of {', '.join(FORMS)}, not {form!r}")
    for name, count, least in (("limit", limit, 1), ("keep", keep, 0)):
        if count is None and name == "limit":
            continue
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
            raise InputError(f"{name}: must be a whole number, not {count!r}")
        if count < least:
            raise InputError(f"{name}: must be {least} or above, not {count}")
    if digits is not None:
        checked_number("digits", digits)
