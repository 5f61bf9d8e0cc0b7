"""The front door: from a system and a tolerance to an answer that was checked, with a certificate and the reasons.

::

    matrix, right-hand sides --> one square real system (remap) --> an inverse of loops (choice, plan)
        --> flexible GMRES or CG in float64 around analogue solves --> true residual --> certificate --> Solution

An answer is called solved when ||b - A x|| / ||b||, computed from the answer in float64, is within the tolerance; for
least squares, ||X' (y - X x)|| / ||X' y||. Anything else raises. How good the answer is beyond the residual, the
certificate says.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from ohmloop.analog.cells import Die
from ohmloop.analog.measured import die_named
from ohmloop.errors import InputError, NotSolvedError
from ohmloop.host.device import PROGRAMS, Device
from ohmloop.plan.planner import CONDITION_MAX
from ohmloop.plan.preparation import equilibration
from ohmloop.solvers import remap
from ohmloop.solvers.certificate import Certificate, Factors, certify
from ohmloop.solvers.choice import Choice, inverse_for
from ohmloop.solvers.krylov import Krylov, OnIteration, fcg, fgmres
from ohmloop.solvers.loops import CountingSolve, loops_on
from ohmloop.solvers.on_chip import OnChip, choice_for
from ohmloop.solvers.problem import checked_matrix, checked_rhs
from ohmloop.solvers.recycle import KEPT, Space
from ohmloop_hdl.config import ChipConfig, config_named

TOL_MIN = 1e-15
"""Smallest tolerance: float64 itself is off by a tenth of that."""

UNEVEN = 100.0
"""Rows or columns whose largest entries differ by more than this factor are scaled before the iteration, so that its
norm sees all of them."""

ROUNDS = 5
"""Times that an iteration is resumed with a smaller tolerance because the residual that counts is not there yet."""

DIGITS_LOST = 3.0
"""Decimal digits between tolerance and forward bound that are taken for granted, unless told how many are wanted."""

METHODS: Mapping[str, Callable[..., Krylov]] = {"fgmres": fgmres, "fcg": fcg}
"""Iterations by name; ``fcg`` for symmetric and positive definite systems only."""

FORMS = ("auto", "normal", "augmented")
"""Square systems that least squares can be posed as (:mod:`ohmloop.solvers.remap`)."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Answers that meet the tolerance, and how they came about. Tuples have an entry a right-hand side."""

    x: np.ndarray
    """(n,) or (n, k), as the right-hand side was; complex where matrix or right-hand side are."""

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

    planned: "Planned"
    """What to hand to :func:`solve` for other right-hand sides with the same matrix: nothing is planned anew."""

    @property
    def certificate(self) -> Certificate:
        """The one with the largest forward bound."""
        return max(self.certificates, key=lambda found: found.forward_bound)


def solve(matrix: Any, b: Any, *, config: str | ChipConfig = "chip64", engine: str = "model",
          chip: str | Die = "reference", device: Device | None = None,
          tol: float = 1e-10, method: str = "fgmres", form: str = "auto", ridge: float = 0.0,
          noise: np.ndarray | None = None, digits: float | None = None, limit: int | None = None, keep: int = KEPT,
          seed: int | None = None, bad: np.ndarray | None = None, planned: "Planned | None" = None,
          on_iteration: OnIteration | None = None) -> Solution:
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
        least squares one of :data:`FORMS`.
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
    planned : Planned
        From an earlier :class:`Solution` for the same matrix, form and configuration.

    Errors: :class:`InputError` for what cannot be used, singular matrices among it, and where no plan is stable, with
    the reason; :class:`NotSolvedError` when the tolerance is not reached, with the best residual.
    """
    held = checked_matrix(matrix)
    y = checked_rhs(b, held.shape[0])
    die = device.die if device else chip if isinstance(chip, Die) else die_named(chip, _configuration(config), seed)
    _options(tol, method, form, limit, keep)
    complex_answer, complex_matrix = np.iscomplexobj(held) or np.iscomplexobj(y), np.iscomplexobj(held)
    columns = remap.stacked(y) if complex_matrix else np.hstack([np.real(y), np.imag(y)]) if complex_answer else y
    held = remap.realified(held)
    if noise is not None and complex_matrix:
        raise InputError("noise: is for real least squares; pose a complex one as a real one")
    if method in PROGRAMS and bad is not None:
        raise InputError(f"bad: cells are avoided by methods on the host only, not by {method}")
    if method in PROGRAMS and device is None:
        with Device(die.config, engine, die) as own:
            return solve(matrix, b, device=own, tol=tol, method=method, form=form, ridge=ridge, noise=noise,
                         digits=digits, limit=limit, planned=planned, on_iteration=on_iteration)
    work = planned or _posed(held, ridge, noise, form, die, columns.shape[1], tol, bad, method, device)
    if method == "fcg" and not np.allclose(work.scaled, work.scaled.T, rtol=1e-12, atol=0.0):
        raise InputError("method: fcg needs a symmetric positive definite matrix; use fgmres")
    with ExitStack() as stack:
        solves = loops_on(engine, work.choice.inverse.loops, die, device, stack)
        iterate = METHODS[method] if device is None or method in METHODS else \
            OnChip(method, device, work.choice.inverse.loops[0])
        run = _Run(work, solves, iterate, tol, limit, keep, on_iteration)
        answers = [run.answer(column) for column in columns.T]
        counted, written, counters = solves.solves, solves.reprogrammings, dict(solves.counters)
        warnings = run.warnings([result for _, result in answers], tol, digits)
    x = np.array([answer for answer, _ in answers]).T
    if complex_matrix:
        x = np.array([remap.joined(column) for column in x.T]).T
    elif complex_answer:
        half = x.shape[1] // 2
        x = x[:, :half] + 1j * x[:, half:]
    results = [result for _, result in answers]
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
        reasons=(*([work.posed.what] if work.posed.what else []), *work.choice.reasons),
        warnings=warnings,
        counters=counters,
        planned=work)


@dataclass(frozen=True, eq=False)
class Planned:
    """A posed problem B z = c, scaled, and the inverse for what it was scaled to: (R B C) u = R c, z = C u."""

    posed: remap.Posed
    """The square real system that is iterated on."""

    certified: remap.Posed
    """The one that certificates are for: the same, or the normal form of an augmented one."""

    rows: np.ndarray
    """R, (n,)."""

    columns: np.ndarray
    """C, (n,)."""

    scaled: np.ndarray
    """R B C, (n, n)."""

    choice: Choice
    """The inverse of it."""


@dataclass(frozen=True, eq=False)
class _Result:
    residual: float
    iterations: int
    history: np.ndarray
    unanswered: int
    certificate: Certificate


def _posed(held: Any, ridge: float, noise: np.ndarray | None, form: str, die: Die, count: int, tol: float,
           bad: np.ndarray | None, method: str, device: Device | None) -> Planned:
    """The form whose inverse is expected to need fewest iterations."""
    m, n = held.shape
    dense = held.toarray() if scipy.sparse.issparse(held) else held
    if method in PROGRAMS and device:
        choose = partial(choice_for, method, device=device)
    else:
        choose = partial(inverse_for, config=die.config, params=die.params, right_hand_sides=count,
                         tol=max(tol, 1e-12), bad=bad)
    if m == n and not ridge and noise is None:
        posed = remap.square(dense)
        return _scaled(posed, posed, choose)
    noise = None if noise is None else np.asarray(noise, dtype=np.float64)
    normal = remap.normal(dense, ridge=ridge, noise=noise)
    fits = m >= n and m + n <= die.config.size
    if form == "augmented" and not fits:
        raise InputError(f"form: augmented takes {m} + {n} unknowns and as many equations as unknowns at least; "
                         f"the array holds {die.config.size}")
    works, refusal = [], None
    for name in ("normal", "augmented"):
        if form in ("auto", name) and (name == "normal" or fits):
            posed = normal if name == "normal" else remap.augmented(dense, ridge=ridge, noise=noise)
            try:
                works.append(_scaled(posed, normal, choose))
            except InputError as error:
                refusal = refusal or error
    if not works:
        assert refusal is not None
        raise refusal
    return min(works, key=lambda work: work.choice.iterations)


def _scaled(posed: remap.Posed, certified: remap.Posed, choose: Callable[[np.ndarray], Choice]) -> Planned:
    size = np.abs(posed.matrix)
    n = len(size)
    rows, columns = np.ones(n), np.ones(n)
    across, down = size.max(axis=1), size.max(axis=0)
    if not across.all() or not down.all():
        place = int(np.argmin(across if not across.all() else down)) + 1
        raise InputError(f"matrix: singular, {'row' if not across.all() else 'column'} {place} is all zero")
    if max(across.max() / across.min(), down.max() / down.min()) > UNEVEN:
        rows, columns = equilibration(posed.matrix)
    scaled = rows[:, None] * posed.matrix * columns
    condition = np.linalg.cond(scaled)
    if not condition <= CONDITION_MAX:
        what = "matrix" if posed.what == "" else f"matrix: the {posed.what.split(' of ')[0].split(':')[0]} form is"
        raise InputError(f"{what}{':' if posed.what == '' else ''} numerically singular, condition number "
                         f"{condition:.1e} when scaled; at most {CONDITION_MAX:.0e} is allowed")
    return Planned(posed, certified, rows, columns, scaled, choose(scaled))


class _Run:
    """All right-hand sides of one problem on one chip."""

    def __init__(self, work: Planned, solves: CountingSolve, method: Callable[..., Krylov], tol: float,
                 limit: int | None, keep: int, on_iteration: OnIteration | None):
        self.solves = solves
        self.work, self.method, self.tol, self.keep, self.on_iteration = work, method, tol, keep, on_iteration
        self.limit = max(200, 2 * len(work.scaled)) if limit is None else limit
        self.factors = Factors(work.certified.matrix)
        self.space: Space | None = None

    def answer(self, y: np.ndarray) -> tuple[np.ndarray, _Result]:
        """The unknowns for one right-hand side; :class:`NotSolvedError` when the tolerance is not reached."""
        work, posed = self.work, self.work.posed
        c = work.rows * posed.rhs(y)
        # The squares of elements below 1e-154 are zero, and so would be the norm.
        peak = float(np.abs(c).max()) or 1.0
        c = c / peak
        inverse = partial(work.choice.inverse.apply, self.solves)
        u, tol, history, unanswered = None, self.tol, np.ones(0), 0
        best = (math.inf, np.zeros(0), np.zeros(0))
        for _ in range(ROUNDS):
            found = self.method(work.scaled, c, inverse, tol=tol, limit=self.limit + 1 - max(1, len(history)), start=u,
                                recycled=self.space, keep=self.keep, on_iteration=self.on_iteration)
            self.space = found.space if self.keep else None
            history = found.residuals if u is None else np.concatenate([history, found.residuals[1:]])
            unanswered += found.unanswered
            z = peak * (work.columns * found.x)
            x = posed.answer(z)
            residual = posed.residual(x, y)
            if residual < best[0] or not len(best[1]):
                best = residual, x, z
            if best[0] <= self.tol or not found.solved or len(history) > self.limit or tol < TOL_MIN:
                break
            # The scaled residual is there, the one that counts is not.
            u, tol = found.x, tol * min(0.1, 0.5 * self.tol / residual)
        residual, x, z = best
        if not residual <= self.tol:
            raise NotSolvedError(
                f"not solved: best relative residual {residual:.2g} in {len(history) - 1} iterations, {self.tol:g} was "
                f"asked for" + (f"; the chip had no answer to {unanswered} of {self.solves.solves} solves"
                                if unanswered else ""))
        # The normal form, which certifies the augmented one, has the unknowns themselves.
        unknown = z if work.certified is posed else x
        certificate = certify(work.certified.matrix, work.certified.rhs(y), unknown, self.factors,
                              work.certified.slack(unknown, y))
        return x, _Result(residual, len(history) - 1, history, unanswered, certificate)

    def warnings(self, results: list[_Result], tol: float, digits: float | None) -> tuple[str, ...]:
        """What certificates and the chip have to say."""
        wanted = 10.0 ** -(digits if digits is not None else max(0.0, -math.log10(tol) - DIGITS_LOST))
        found = dict.fromkeys(filter(None, (result.certificate.warning(wanted) for result in results)))
        choice = self.work.choice
        if choice.iterations >= choice.without:
            found[f"the chip saves no iterations on this system: {choice.iterations:.0f} were expected with it, "
                  f"{choice.without:.0f} without"] = None
        unanswered = sum(result.unanswered for result in results)
        if unanswered:
            found[f"the chip had no answer to {unanswered} of {self.solves.solves} solves (the solution clips at every "
                  "range, or a trap); those steps were taken without it"] = None
        return tuple(found)


def _configuration(config: str | ChipConfig) -> ChipConfig:
    return config_named(config) if isinstance(config, str) else config


def _options(tol: float, method: str, form: str, limit: int | None, keep: int) -> None:
    if not TOL_MIN <= tol < 1.0:
        raise InputError(f"tol: must be from {TOL_MIN:g} to below 1, not {tol}")
    if method not in METHODS and method not in PROGRAMS:
        raise InputError(f"method: must be one of {', '.join((*METHODS, *PROGRAMS))}, not {method!r}")
    if form not in FORMS:
        raise InputError(f"form: must be one of {', '.join(FORMS)}, not {form!r}")
    if limit is not None and limit < 1:
        raise InputError(f"limit: must be 1 or above, not {limit}")
    if keep < 0:
        raise InputError(f"keep: must be 0 or above, not {keep}")
