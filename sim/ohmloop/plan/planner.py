"""From a matrix to a plan: check it, round it, make sure that it is stable, choose how long to wait."""

import numpy as np

from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.plan import scaling, stability
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


def plan_system(matrix: np.ndarray, config: ChipConfig, params: AnalogParams, *,
                allow_shift: bool = False, tolerance: int = 1) -> Plan:
    """The plan for A, n x n with n <= N: codes, scale, bandwidth, waiting times, and why.

    The full-scale codes above C/2 are ranked by rounding error; the first that is stable at some bandwidth, nominal and
    under mismatch, is taken. If none is, ``allow_shift`` permits adding code steps to the diagonal: the chip then
    solves another matrix, which serves as a preconditioner or inside refinement and is wrong for an answer in one
    shot, so it is refused unless asked for. ``tolerance``: LSB by which two settling conversions may differ, 0 to 15.

    Errors: :class:`InputError` (not square, too large, not finite, singular, cannot be held in the cells),
    :class:`UnstableError` with the offending eigenvalue when no permitted plan is stable.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    _check(matrix, config)
    if not 0 <= tolerance <= TOLERANCE_MAX:
        raise InputError(f"tolerance: must be 0 to {TOLERANCE_MAX} LSB, not {tolerance}")
    ranked = scaling.rank_candidates(matrix, config)[:CANDIDATES_MAX]
    held = [candidate for candidate in ranked if not _singular(candidate.codes)]
    for candidate in held:
        choice = stability.choose_bandwidth(scaling.embed(candidate.codes, config), config, params)
        if choice is not None:
            return _finish(matrix, candidate, 0, choice, config, tolerance)
    shifted = _best_shift(matrix, config, params)
    if allow_shift and shifted is not None:
        return _finish(matrix, *shifted, config, tolerance)
    if not held and not allow_shift:
        raise InputError(f"matrix: rounds to a singular one in {config.cell_bits}-bit cells at every full-scale code "
                         "tried; use more cell bits, or allow a shift (not in one shot)")
    raise _refusal((held or ranked)[0], shifted, config, params)


def _check(matrix: np.ndarray, config: ChipConfig) -> None:
    require_square(matrix)
    n = len(matrix)
    if not 1 <= n <= config.size:
        raise InputError(f"matrix: size {n} does not fit, one macro of {config.name} holds 1 to {config.size}")
    scaling.check_magnitude(matrix, "matrix")
    if not matrix.any():
        raise InputError("matrix: every element is zero")
    condition = np.linalg.cond(matrix / np.abs(matrix).max())
    if not condition <= CONDITION_MAX:
        raise InputError(f"matrix: numerically singular, condition number {condition:.1e}; "
                         f"at most {CONDITION_MAX:.0e} is allowed")


def _singular(codes: np.ndarray) -> bool:
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


def _finish(matrix: np.ndarray, candidate: Candidate, shift: int, choice: BandwidthChoice,
            config: ChipConfig, tolerance: int) -> Plan:
    tau, nominal = choice.time_constant_cycles, choice.nominal
    interval = stability.interval_cycles(tau, tolerance)
    codes = scaling.embed(candidate.codes, config)
    codes.setflags(write=False)
    return Plan(
        codes=codes,
        alpha=scaling.matrix_factor(float(np.abs(matrix).max()), candidate.c_max, config),
        n=len(matrix),
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
        reasons=_reasons(candidate, shift, choice, interval, config),
    )


def _reasons(candidate: Candidate, shift: int, choice: BandwidthChoice, interval: int,
             config: ChipConfig) -> tuple[str, ...]:
    nominal, tau = choice.nominal, choice.time_constant_cycles
    held = "exactly" if candidate.error < 1e-12 else f"with a relative error of {candidate.error:.2g}"
    reasons = [f"full-scale code {candidate.c_max} of {config.code_max} holds the matrix {held}"]
    if shift:
        reasons.append(f"the programmed diagonal is shifted by {shift} code steps, without which no loop is stable")
    ringing = "" if nominal.damping >= stability.DAMPING_MIN else \
        f", below {stability.DAMPING_MIN}: no stable setting rings less and survives mismatch"
    reasons.append(f"bandwidth setting {nominal.bandwidth} settles soonest, "
                   f"damping ratio {nominal.damping:.2f}{ringing}")
    reasons.append(f"slowest time constant {tau:.1f} clocks, so conversions are {interval} clocks apart")
    if interval == stability.INTERVAL_MAX:
        reasons.append("the interval is at its limit: the loop may be read before it has settled")
    return tuple(reasons)


def _refusal(candidate: Candidate, shifted: tuple[Candidate, int, BandwidthChoice] | None,
             config: ChipConfig, params: AnalogParams) -> UnstableError:
    """The error for a matrix without a stable permitted plan, its best rounding named with the eigenvalue at fault."""
    codes = scaling.embed(candidate.codes, config)
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
