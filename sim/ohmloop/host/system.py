"""From a planned system to a job and back: the registers that all programs of ``golden/programs`` share.

======= ================================================================================================================
v1      b, mantissas as :func:`ohmloop.plan.scaling.scale_rhs` makes them
v2      x, in units of beta / alpha, where the program ends
m0      M = A / alpha, rounded to 24 bits; the codes are the same M, to a few bits
k1      1 / tolerance^2: a program is done when ||r||^2 <= ||b||^2 / k1; a scalar can be divided by, not multiplied
k2      2^limit: iterations are counted as powers of two, for the same reason, so that the host can read the count
k3      1/2, by which the count is divided
k4      8/7: a turn that lowers ||r||^2 by less is slow
k5      2^iterations
k7      ||r||^2
======= ================================================================================================================

One factor alpha serves slot and codes: INV is then an inverse of the slot's matrix and not of a multiple of it, which
refinement needs, and x is in the same unit whichever of the two it came from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ohmloop.errors import InputError
from ohmloop.golden.assembler import program
from ohmloop.golden.settings import Settings
from ohmloop.golden.vector import ONE, Scalar
from ohmloop.host.job import RESULT, SOURCE, Job, Outcome, block_of, words_of
from ohmloop.plan.scaling import Plan, ScaledVector, unscale
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import ELEMENT_BITS, EXPONENT_MIN, MANTISSA_BITS
from ohmloop_hdl.sequencer.traps import TrapCause

LIMIT_MAX = 500
"""Most iterations that a program can count: 2^511 is the largest scalar."""

TOLERANCE = 2.0 ** -24
"""Relative residual that the programs stop at unless told otherwise: the precision of a matrix slot."""

NOTHING = Scalar(0, EXPONENT_MIN)
"""What the count holds until a program begins to count."""

TOLERANCE_MIN = 2.0 ** -255
"""Smallest tolerance that can be told: a scalar holds the square of its inverse."""

K_TOLERANCE, K_LIMIT, K_HALF, K_SLOW, K_COUNT, K_R = 1, 2, 3, 4, 5, 7
"""Scalar registers of the iterative programs."""

SLOW = 8 / 7
"""Factor by which a turn of conjugate residuals lowers ||r||^2 unless it is slow."""

K_THETA = K_LONGEST = 12
"""Where ``power_iteration`` leaves the eigenvalue, and ``multi_rhs`` the count of its longest right-hand side."""


@dataclass(frozen=True)
class Answer:
    """What an iterative program found: x (n,) in the user's unit, iterations, ||r|| / ||b|| as the chip knows it.

    ``solved``: it halted with code 0. A program that a trap stopped before it began has no iterations, and NaN for a
    residual.
    """

    x: np.ndarray
    iterations: int
    relative_residual: float
    solved: bool


def settings_of(plan: Plan, config: ChipConfig) -> Settings:
    """The registers that a plan decides; the others as after reset."""
    return Settings.reset(
        config, loop_size=plan.loop_size, vector_size=plan.n, solve_interval=plan.interval_cycles,
        timeout=plan.timeout_cycles, tolerance=plan.tolerance, bandwidth=plan.bandwidth)


def slot_elements(matrix: np.ndarray, plan: Plan, config: ChipConfig) -> np.ndarray:
    """N x N elements Q1.23 of A / alpha, rounded half to even; zero around the n x n that are used."""
    elements = np.zeros((config.size, config.size), dtype=np.int64)
    elements[:plan.n, :plan.n] = np.rint(np.ldexp(np.asarray(matrix) / plan.alpha, ELEMENT_BITS - 1))
    return elements


def slot_matrix(elements: np.ndarray, plan: Plan) -> np.ndarray:
    """The n x n matrix in the user's unit that a slot stands for: the one whose residual the chip makes small."""
    return np.ldexp(elements[:plan.n, :plan.n].astype(float), 1 - ELEMENT_BITS) * plan.alpha


def solve_job(plan: Plan, rhs: ScaledVector, config: ChipConfig) -> Job:
    """The job that runs ``solve`` once with a plan's codes, waiting times and sizes."""
    return Job(np.asarray(plan.codes), settings_of(plan, config), program("solve"),
               {SOURCE: (rhs.mantissas, rhs.exponent)})


def chop_job(plan: Plan, rhs: ScaledVector, config: ChipConfig) -> Job:
    """The job that runs ``chop``: as ``solve``, without offsets."""
    return replace(solve_job(plan, rhs, config), program=program("chop"), scalars={K_HALF: power_of_two(-1)})


def iterative_job(name: str, plan: Plan, matrix: np.ndarray, rhs: ScaledVector, config: ChipConfig, *,
                  tolerance: float = TOLERANCE, limit: int = 60) -> Job:
    """The job that runs ``refine``, ``gcr``, ``gcr5`` or ``digital`` on the system of a plan.

    ``matrix``: A as the user has it, of which the plan was made. ``tolerance``: relative residual to reach, below 1.
    """
    return Job(np.asarray(plan.codes), settings_of(plan, config), program(name),
               {SOURCE: (rhs.mantissas, rhs.exponent)}, limits(tolerance, limit) | {K_COUNT: NOTHING},
               {0: slot_elements(matrix, plan, config)}, scalar_reads=(K_COUNT, K_R))


def eigenvalue_job(plan: Plan, matrix: np.ndarray, start: ScaledVector, config: ChipConfig, *,
                   tolerance: float = 2.0 ** -18, limit: int = 200) -> Job:
    """The job that runs ``power_iteration`` from a vector ``start``.

    ``tolerance``: ||A v - theta v|| / ||A v|| to reach; the error of theta is about its square.
    """
    job = iterative_job("power_iteration", plan, matrix, start, config, tolerance=tolerance, limit=limit)
    return replace(job, scalar_reads=(*job.scalar_reads, K_THETA))


def stream_job(plan: Plan, matrix: np.ndarray, right_sides: Sequence[ScaledVector], config: ChipConfig, *,
               tolerance: float = TOLERANCE, limit: int = 60) -> Job:
    """The job that runs ``multi_rhs``: right-hand sides in by the stream, solutions out by the stream.

    Where it gives one up, those behind it stay in the stream, and what reads the stream next gets them.

    Errors: :class:`InputError` for a right-hand side of zero, which would end the batch.
    """
    for place, rhs in enumerate(right_sides):
        if not rhs.mantissas.any():
            raise InputError(f"right-hand side {place}: zero, its solution is zero; leave it out of the stream")
    end = ScaledVector(np.zeros(config.size, dtype=np.int64), EXPONENT_MIN, 1.0)
    return Job(np.asarray(plan.codes), settings_of(plan, config), program("multi_rhs"), {}, limits(tolerance, limit),
               {0: slot_elements(matrix, plan, config)},
               tuple(words_of((rhs.mantissas, rhs.exponent)) for rhs in (*right_sides, end)),
               scalar_reads=(K_COUNT, K_LONGEST))


def limits(tolerance: float, limit: int) -> dict[int, Scalar]:
    """The scalars that tell an iterative program when to stop."""
    if not TOLERANCE_MIN <= tolerance < 1:
        raise InputError(f"tolerance must be at least {TOLERANCE_MIN:.1g} and below 1, not {tolerance}")
    if not 0 <= limit <= LIMIT_MAX:
        raise InputError(f"limit must be 0 to {LIMIT_MAX} iterations, not {limit}")
    return {K_TOLERANCE: scalar_of(tolerance ** -2), K_LIMIT: power_of_two(limit), K_HALF: power_of_two(-1),
            K_SLOW: scalar_of(SLOW)}


def answer(plan: Plan, rhs: ScaledVector, outcome: Outcome) -> Answer:
    """What an iterative program left behind, halted or trapped."""
    count, status = outcome.scalars[K_COUNT], outcome.status
    b = np.linalg.norm(np.ldexp(rhs.mantissas.astype(float), rhs.exponent - (MANTISSA_BITS - 1)))
    r = math.nan if count.zero else math.sqrt(scalar_value(outcome.scalars[K_R]))
    return Answer(unscale(plan, rhs, *outcome.vectors[RESULT]), 0 if count.zero else iterations_of(count),
                  float(r / b) if b else r, status.trap is TrapCause.NONE and status.halt_code == 0)


def streamed_answers(plan: Plan, right_sides: Sequence[ScaledVector], outcome: Outcome) -> list[np.ndarray]:
    """The solutions (n,) that ``multi_rhs`` sent, in the user's unit: fewer than right-hand sides where it gave up."""
    return [unscale(plan, rhs, *block_of(words)) for rhs, words in zip(right_sides, outcome.objects, strict=False)]


def eigenvalue(plan: Plan, outcome: Outcome) -> float:
    """What ``power_iteration`` found, in the user's unit."""
    return scalar_value(outcome.scalars[K_THETA]) * plan.alpha


def iterations_of(count: Scalar) -> int:
    """Iterations that a program counted as a power of two."""
    return count.normal[1] - ONE.normal[1]


def power_of_two(power: int) -> Scalar:
    """2^power."""
    return Scalar(ONE.mantissa, ONE.exponent + power)


def scalar_of(value: float) -> Scalar:
    """The scalar nearest to a number that is not zero."""
    fraction, exponent = math.frexp(value)
    mantissa = round(math.ldexp(fraction, ELEMENT_BITS - 1))
    if abs(mantissa) >> ELEMENT_BITS - 1:
        mantissa, exponent = mantissa // 2, exponent + 1
    return Scalar(mantissa, exponent)


def scalar_value(scalar: Scalar) -> float:
    """What a scalar is worth."""
    return 0.0 if scalar.zero else math.ldexp(scalar.mantissa, scalar.exponent - (ELEMENT_BITS - 1))
