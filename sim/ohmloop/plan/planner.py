"""From a matrix to a plan: check it, round it, make sure that it is stable, choose how long to wait.

Three plans of one matrix serve three ends. :func:`plan_system` rounds each element to the nearest code, as one closing
of the loop is to answer for A itself. :func:`plan_preconditioner` is for programs that know A and use the loop to get
there sooner: it may bend elements and shift the diagonal, and takes what needs the fewest iterations. For iterations on
the host, which can also scale, permute and flip signs without error, :mod:`ohmloop.plan.search` does the same.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ohmloop.analog.cells import Die
from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.golden import cycles
from ohmloop.plan import ranking, scaling, stability
from ohmloop.plan.rounding import rounded_for_inverse
from ohmloop.plan.scaling import Candidate, Plan
from ohmloop.plan.stability import BandwidthChoice, UnstableError
from ohmloop.readers import require_square
from ohmloop_hdl.config import ChipConfig

CONDITION_MAX = 1e14
"""A matrix with a larger 2-norm condition number is taken for singular: float64 cannot tell the difference."""

SHIFT_MARGIN = 1e-3
"""What a shift must lift min Re eig(U A) + 1/A0 to: a time constant of at most 1/(2 pi GBW * 0.001), 8 us at 20 MHz."""

SHIFT_ERROR_MAX = 1.0
"""A shifted matrix at least this far from A, relative to ||A||, is no plan: the zero matrix is as close."""

TOLERANCE_MAX = 15
"""LSB by which two settling conversions may differ at most: the register has 4 bits."""

CANDIDATES_MAX = 16
"""Roundings whose stability is examined, best first."""

SHIFTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Shifts of the diagonal that a preconditioner is tried with, in codes: rounding errors add up to a few."""

SCALES = (1.0, 14 / 15, 13 / 15)
"""Full-scale codes over C that a preconditioner is tried with: the diagonal of a shifted one needs room."""

FRAIL = 0.25
"""A candidate whose inverse mismatch changes by more (:func:`ohmloop.plan.ranking.mismatch_error`) comes after all
others: the counts of a few chips say nothing about the next."""

DRAWS = 2
"""Chips drawn from mismatch, offset and noise that each candidate runs on; the worst counts."""

ITERATIONS_MAX = 60
"""Iterations after which a candidate is given up."""


def plan_system(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *,
                allow_shift: bool = False, tolerance: int = 1, digits: int = 1) -> Plan:
    """The plan for A, n x n with n <= N: codes, scale, bandwidth, waiting times, and why.

    The full-scale codes above C/2 are ranked by rounding error; the first that is stable at some bandwidth, nominal and
    under mismatch, is taken. If none is, ``allow_shift`` permits adding code steps to the diagonal: the chip then
    solves another matrix, which serves as a preconditioner or inside refinement and is wrong for an answer in one
    shot, so it is refused unless asked for. ``tolerance``: LSB by which two settling conversions may differ, 0 to 15.
    ``digits``: 2 holds each element in two codes (:mod:`ohmloop.plan.scaling`), for n <= N/2; not with a shift.

    Errors: :class:`InputError` (not square, too large, not finite, singular, cannot be held in the cells),
    :class:`UnstableError` with the offending eigenvalue when no permitted plan is stable.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    check(matrix, config, tolerance, digits)
    if allow_shift and digits > 1:
        raise InputError("digits: a matrix in two digits is not shifted; plan it as a preconditioner")
    ranked = scaling.rank_candidates(matrix, config, digits, CANDIDATES_MAX)
    held = [candidate for candidate in ranked if not singular(candidate.codes)]
    for candidate in held:
        choice = stability.choose_bandwidth(scaling.embed(candidate.codes, config, digits), config, params)
        if choice is not None:
            return finish(matrix, candidate, 0, choice, config, tolerance, digits)
    shifted = _best_shift(matrix, config, params) if digits == 1 else None
    if allow_shift and shifted is not None:
        return finish(matrix, *shifted, config, tolerance)
    if not held and not allow_shift:
        raise InputError(f"matrix: rounds to a singular one in {config.cell_bits}-bit cells at every full-scale code "
                         "tried; use more cell bits, or allow a shift (not in one shot)")
    raise refusal((held or ranked)[0], shifted, config, params, digits)


def plan_preconditioner(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *, method: str = "gcr",
                        tolerance: int = 1, digits: int = 1, seed: int = 0) -> Plan:
    """The plan for A with the fewest clocks to a relative residual of 2^-24 by ``method``, one of
    :data:`ohmloop.plan.ranking.METHODS`.

    Candidates are A rounded to nearest and, where that is not exact, A with a shifted diagonal rounded so that the
    inverse suffers least (:mod:`ohmloop.plan.rounding`). Each runs the iteration on models of a few chips, on a
    right-hand side drawn from ``seed``; counts are weighed with the clocks of an iteration, and candidates that lean on
    matching cells come last. The best that is stable at some bandwidth, nominal and under mismatch, is taken, whether
    or not it got there.

    Errors: as :func:`plan_system`.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    check(matrix, config, tolerance, digits)
    if method not in ranking.METHODS:
        raise InputError(f"method: must be one of {', '.join(ranking.METHODS)}, not {method!r}")
    b = matrix @ np.random.default_rng(seed).standard_normal(len(matrix))
    dies = [Die.sample(config, replace(params, seed=draw)) for draw in range(DRAWS)]
    peak, ranked = float(np.abs(matrix).max()), []
    for shift, candidate in _preconditioners(matrix, config, digits):
        codes = scaling.embed(candidate.codes, config, digits)
        rest = stability.rest_eigenvalue(codes, config, params).real + params.inverse_gain
        if rest > 0.0 and not singular(candidate.codes):
            scaled = matrix / scaling.matrix_factor(peak, candidate.c_max, config, digits)
            inverses = [ranking.StaticInverse(codes, len(matrix), die) for die in dies]
            count = max(ranking.METHODS[method](scaled, inverse, b, ITERATIONS_MAX) for inverse in inverses)
            frail = ranking.mismatch_error(codes, config, params) > FRAIL
            ranked.append(((frail, count * iteration_cycles(rest, config, params)), shift, candidate))
    for _, shift, candidate in sorted(ranked, key=lambda item: item[0]):
        choice = stability.choose_bandwidth(scaling.embed(candidate.codes, config, digits), config, params)
        if choice is not None:
            return finish(matrix, candidate, shift, choice, config, tolerance, digits)
    raise refusal(scaling.rank_candidates(matrix, config, digits, 1)[0], None, config, params, digits)


def _preconditioners(matrix: np.ndarray, config: ChipConfig, digits: int) -> Iterator[tuple[float, Candidate]]:
    """Roundings worth a try, with their shift."""
    nearest = scaling.rank_candidates(matrix, config, digits, CANDIDATES_MAX)
    yield from ((0.0, candidate) for candidate in nearest)
    if nearest[0].exact:
        return
    top, peak = config.code_max ** digits, np.abs(matrix).max()
    for c_max in dict.fromkeys(round(top * scale) for scale in SCALES):
        for shift in SHIFTS:
            target = matrix / peak * c_max + shift * np.eye(len(matrix))
            if singular(target):
                continue
            codes = rounded_for_inverse(target, top)
            yield shift, Candidate(c_max, codes, scaling.rounding_error(matrix, codes, c_max))


def iteration_cycles(rest: float, config: ChipConfig, params: AnalogParams) -> float:
    """Clocks of a product and a closing with two scans, for a slowest rate ``rest`` of the loop over its bandwidth."""
    tau = 1.0 / (2.0 * math.pi * params.gbw_Hz * params.clock_s * rest)
    scans = 2 * max(cycles.scan_cycles(config), stability.interval_cycles(tau, 1))
    return sum(cycles.mat_cycles(config)) + scans


def check(matrix: np.ndarray, config: ChipConfig, tolerance: int, digits: int, *, condition: bool = True) -> None:
    """Raise :class:`InputError` for what no plan can be made of; ``condition``: singular matrices among it."""
    if not 0 <= tolerance <= TOLERANCE_MAX:
        raise InputError(f"tolerance: must be 0 to {TOLERANCE_MAX} LSB, not {tolerance}")
    if digits not in (1, 2):
        raise InputError(f"digits: must be 1 or 2, not {digits}")
    require_square(matrix)
    n, largest = len(matrix), config.size // digits
    if not 1 <= n <= largest:
        split = " in two digits" if digits == 2 else ""
        raise InputError(f"matrix: size {n} does not fit, one macro of {config.name} holds 1 to {largest}{split}")
    scaling.check_magnitude(matrix, "matrix")
    if not matrix.any():
        raise InputError("matrix: every element is zero")
    if condition and singular(matrix / np.abs(matrix).max()):
        raise InputError("matrix: numerically singular, condition number "
                         f"{np.linalg.cond(matrix / np.abs(matrix).max()):.1e}; "
                         f"at most {CONDITION_MAX:.0e} is allowed")


def singular(codes: np.ndarray) -> bool:
    """Whether the 2-norm condition number is above :data:`CONDITION_MAX`, or infinite."""
    return not np.linalg.cond(codes) <= CONDITION_MAX


def _best_shift(matrix: np.ndarray, config: ChipConfig,
                params: AnalogParams) -> tuple[Candidate, int, BandwidthChoice] | None:
    """The stable shifted rounding with the smallest error against A: rounding, shift, bandwidth."""
    found: list[tuple[float, Candidate, int]] = []
    c_max = config.code_max
    while c_max > 0 and len(found) < CANDIDATES_MAX:
        codes = scaling.code_at(matrix, c_max)
        steps = stability.smallest_shift(codes, config, params, SHIFT_MARGIN)
        top = None if steps is None else int(np.abs(codes + steps * np.eye(len(codes))).max())
        if steps is not None and top is not None and top <= config.code_max:
            shifted = codes + steps * np.eye(len(codes), dtype=np.int64)
            error = scaling.rounding_error(matrix, shifted, c_max)
            if error < SHIFT_ERROR_MAX:
                found.append((error, Candidate(c_max, shifted, error), steps))
        elif top is not None:
            c_max = min(c_max, c_max * config.code_max // top + 1)
        c_max -= 1
    for _, candidate, steps in sorted(found, key=lambda item: (item[0], -item[1].c_max)):
        choice = stability.choose_bandwidth(scaling.embed(candidate.codes, config), config, params)
        if choice is not None:
            return candidate, steps, choice
    return None


def finish(matrix: np.ndarray, candidate: Candidate, shift: float, choice: BandwidthChoice,
           config: ChipConfig, tolerance: int, digits: int = 1) -> Plan:
    """The plan of a rounding of ``matrix`` at a bandwidth setting."""
    tau, nominal = choice.time_constant_cycles, choice.nominal
    interval = stability.interval_cycles(tau, tolerance)
    codes = scaling.embed(candidate.codes, config, digits)
    codes.setflags(write=False)
    return Plan(
        codes=codes,
        alpha=scaling.matrix_factor(float(np.abs(matrix).max()), candidate.c_max, config, digits),
        n=len(matrix),
        digits=digits,
        c_max=candidate.c_max,
        shift=shift,
        bandwidth=nominal.bandwidth,
        interval_cycles=interval,
        timeout_cycles=stability.timeout_cycles(tau, interval, config),
        tolerance=tolerance,
        slowest_time_constant_cycles=tau,
        damping=nominal.damping,
        margin=nominal.margin,
        rounding_error=candidate.error,
        reasons=_reasons(candidate, shift, choice, interval, config, digits),
    )


def _reasons(candidate: Candidate, shift: float, choice: BandwidthChoice, interval: int,
             config: ChipConfig, digits: int) -> tuple[str, ...]:
    nominal, tau = choice.nominal, choice.time_constant_cycles
    held = "exactly" if candidate.exact else f"with a relative error of {candidate.error:.2g}"
    two = ", in two digits," if digits == 2 else ""
    reasons = [f"full-scale code {candidate.c_max} of {config.code_max ** digits}{two} holds the matrix {held}"]
    if shift:
        why = "without which no loop is stable" if isinstance(shift, int) else "which saves iterations"
        reasons.append(f"the programmed diagonal is shifted by {shift:g} code steps, {why}")
    ringing = "" if nominal.damping >= stability.DAMPING_MIN else \
        f", below {stability.DAMPING_MIN}: no stable setting rings less and survives mismatch"
    reasons.append(f"bandwidth setting {nominal.bandwidth} settles soonest, "
                   f"damping ratio {nominal.damping:.2f}{ringing}")
    reasons.append(f"slowest time constant {tau:.1f} clocks, so conversions are {interval} clocks apart")
    if interval == stability.INTERVAL_MAX:
        reasons.append("the interval is at its limit: the loop may be read before it has settled")
    return tuple(reasons)


def refusal(candidate: Candidate, shifted: tuple[Candidate, int, BandwidthChoice] | None,
            config: ChipConfig, params: AnalogParams, digits: int) -> UnstableError:
    """The error for a matrix without a stable permitted plan, its best rounding named with the eigenvalue at fault."""
    codes = scaling.embed(candidate.codes, config, digits)
    worst = stability.rest_eigenvalue(codes, config, params)
    if worst.real + params.inverse_gain <= 0.0:
        fault = (f"eigenvalue {_number(worst)} of U A at full-scale code {candidate.c_max}, "
                 f"the real part must be above {0.0 - params.inverse_gain:.2g}")
    else:
        slowest = stability.BANDWIDTHS[-1]
        grows = stability.unstable_eigenvalue(codes, config, params, slowest)
        if grows is None:
            fault = (f"eigenvalue {_number(worst)} of U A at full-scale code {candidate.c_max} "
                     "changes sign under mismatch")
        else:
            worst = grows
            fault = (f"eigenvalue {_number(worst)} per clock with {params.node_capacitance_F * 1e12:g} pF "
                     f"at each node, even at bandwidth setting {slowest}")
    hint = "no shift of the diagonal helps and keeps the matrix recognisable"
    if shifted is not None:
        hint = (f"a shift of the programmed diagonal by {shifted[1]} of {shifted[0].c_max} code steps would help, "
                "for refinement only: it solves another matrix")
    return UnstableError(f"matrix: unstable in the loop: {fault}; {hint}", worst)


def _number(value: complex) -> str:
    """A real number, or both of a conjugate pair, to three digits."""
    return f"{value.real:.3g}" + (f" +- {abs(value.imag):.3g}j" if value.imag else "")
