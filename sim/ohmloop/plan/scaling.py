"""Scales: from the matrix and right-hand side a user has to the codes and mantissas a chip holds, and back.

One real factor alpha maps the matrix, one real factor beta the right-hand side; the chip sees neither::

    A = alpha M       M = codes / C, the matrix of the loop, C = 2^cell_bits - 1      (up to rounding)
    b = beta v        v_i = mantissa_i 2^(exponent - 31), the vector the chip is given
    M y = v           what INV returns: y = (codes / C)^-1 v. The loop inverts the sign, the ADC path negates it back
    x = (beta / alpha) y

Both factors are chosen by the same search (:func:`best_full_scale`): which integer should the largest entry become, so
that all entries together round best? Integers that share a pattern then stay exact: Poisson's 4 : -1 becomes 12 : -3.
A system of size n < N is embedded: code C on the unused diagonal, zero drive on the unused rows.

With two *digits*, for n <= N/2, an element is an integer up to C^2, held as C hi + lo in two codes. The loop is twice
as large, and its second half is a copy of the first, 1/C as high::

    [ A_hi    A_lo ] [ y  ]   [ v ]
    [ -I/C    I    ] [ y' ] = [ 0 ]        y' = y / C,  (A_hi + A_lo / C) y = v
"""

from dataclasses import dataclass

import numpy as np

from ohmloop.errors import InputError
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.fixed import EXPONENT_MIN

SLOT_HEADROOM = 1.0 + 2.0**-22
"""alpha is at least this times max|A|, so that a slot element (Q1.23, below one) can hold every A_ij / alpha."""

LARGEST = 1e150
"""A largest magnitude above this, or above zero and below its inverse, is refused: alpha and beta could overflow."""

_EXACT = 1e-12


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to round a matrix to codes.

    ``c_max``: the integer of the largest entry. ``codes``: int64, n x n, up to C, or C^2 with two digits. ``error``:
    ||A - A_rounded|| / ||A||, Frobenius.
    """

    c_max: int
    codes: np.ndarray
    error: float

    @property
    def exact(self) -> bool:
        """Nothing was lost, but for floating-point noise."""
        return self.error < _EXACT


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything the driver needs to program and run one system, and what is predicted of it."""

    codes: np.ndarray
    """int64, N x N, read-only: the cell codes to program, embedded, shift included."""

    alpha: float
    """The factor with A = alpha codes / C, in the unit of A (module docstring)."""

    n: int
    """Size of the user's system; n <= N."""

    digits: int
    """Cell codes that hold an element: 1, or 2 for a digit-split system."""

    c_max: int
    """The integer the largest entry of A was mapped to: its code, or C times its high code plus its low code."""

    shift: float
    """Such integers added to the diagonal before it was rounded; 0 means the matrix itself is solved."""

    bandwidth: int
    """Setting k of the ``bandwidth`` pin: gain-bandwidth GBW / 2^k."""

    interval_cycles: int
    """Clocks between the two conversions that must agree."""

    timeout_cycles: int
    """Clocks after which an unsettled loop is given up."""

    tolerance: int
    """LSB by which two conversions may differ and still agree."""

    slowest_time_constant_cycles: float
    """Predicted slowest time constant in clocks: the largest over the nominal matrix and the mismatch draws."""

    damping: float
    """Smallest damping ratio -Re s / |s| over the eigenvalues s of the nominal loop."""

    margin: float
    """Decay rate of the slowest nominal mode over 2 pi GBW / 2^k; without node capacitance min Re eig(U A) + 1/A0."""

    rounding_error: float
    """||A - A'|| / ||A|| in the Frobenius norm for the matrix A' that the loop holds, shift included."""

    reasons: tuple[str, ...] = ()
    """Why this plan: one sentence a decision, for an explanation on the screen."""

    @property
    def loop_size(self) -> int:
        """Rows of the loop that are in use."""
        return self.n * self.digits

    def matrix(self, config: ChipConfig) -> np.ndarray:
        """The matrix the chip solves, n x n in the user's unit: alpha codes / C, or alpha (A_hi + A_lo / C) / C."""
        held = self.codes[: self.n, : self.n]
        if self.digits == 2:
            held = config.code_max * held + self.codes[: self.n, self.n : self.loop_size]
        return self.alpha / config.code_max ** self.digits * held


@dataclass(frozen=True, eq=False)
class ScaledVector:
    """A right-hand side as the chip takes it: b_i = factor * mantissas_i * 2^(exponent - 31).

    ``mantissas``: int64, N entries within Q1.31, the unused ones zero. ``exponent``: 0, because ``factor`` (beta)
    carries the size of b and the chip keeps its whole range for what it computes; -512 when b is zero.
    """

    mantissas: np.ndarray
    exponent: int
    factor: float


def rank_candidates(matrix: np.ndarray, config: ChipConfig, digits: int = 1,
                    most: int | None = None) -> list[Candidate]:
    """The matrix rounded at full-scale codes above C/2 (C^2/2), the best ``most`` of them, or all, best first: smallest
    error, then largest code.

    ``matrix``: n x n, not all zero. codes = round half even of A / max|A| * c_max. Codes of C/2 and below are left
    out: whatever one of them holds exactly a multiple of it above C/2 holds too, and coarser rounding can look
    stable only because little of the matrix is left.
    """
    top = config.code_max ** digits
    errors = {c_max: rounding_error(matrix, code_at(matrix, c_max), c_max) for c_max in range(top // 2 + 1, top + 1)}
    best = sorted(errors, key=lambda c_max: (_bucket(errors[c_max]), -c_max))[:most]
    return [Candidate(c_max, code_at(matrix, c_max), errors[c_max]) for c_max in best]


def code_at(matrix: np.ndarray, c_max: int) -> np.ndarray:
    """Integers round half even of A / max|A| * c_max, int64, of the shape of A."""
    exact, peak = _to_unit(matrix)
    return np.rint(exact * c_max / peak).astype(np.int64)


def rounding_error(matrix: np.ndarray, codes: np.ndarray, c_max: int) -> float:
    """||A - codes max|A| / c_max|| / ||A||, Frobenius: what rounding (and a shift in ``codes``) did to A."""
    exact, peak = _to_unit(matrix)
    return float(np.linalg.norm(exact * c_max / peak - codes) / np.linalg.norm(exact * c_max / peak))


def best_full_scale(values: np.ndarray, lowest: int, highest: int) -> int:
    """The integer in [lowest, highest] that max|values| is best mapped to: least relative rounding error, then largest.

    ``values``: any shape, not all zero.
    """
    unit, peak = _to_unit(np.ravel(values))
    tops = np.arange(lowest, highest + 1)
    scaled = unit * tops[:, None] / peak
    errors = np.linalg.norm(scaled - np.rint(scaled), axis=1) / np.linalg.norm(scaled, axis=1)
    # Of equals the last, the largest code.
    return int(tops[::-1][np.argmin(np.where(errors < _EXACT, 0.0, errors)[::-1])])


def matrix_factor(peak: float, c_max: int, config: ChipConfig, digits: int = 1) -> float:
    """alpha for a matrix whose largest entry ``peak`` became code ``c_max``: peak C / c_max, with two digits C^2.

    At c_max = C a slot could not hold the largest entry, so alpha is 2^-22 larger there (:data:`SLOT_HEADROOM`),
    a thousand times finer than any cell.
    """
    return peak * max(config.code_max ** digits / c_max, SLOT_HEADROOM)


def embed(codes: np.ndarray, config: ChipConfig, digits: int = 1) -> np.ndarray:
    """n x n codes in the upper left corner of N x N ones, code C on the rest of the diagonal; int64.

    With two digits: [[hi, lo], [-1, C I]] there, 2n x 2n, codes = C hi + lo with |lo| <= C/2.
    """
    n, top = len(codes), config.code_max
    embedded = np.diag(np.full(config.size, top, dtype=np.int64))
    if digits == 1:
        embedded[:n, :n] = codes
        return embedded
    high = np.rint(codes / top).astype(np.int64)
    embedded[:n, :n], embedded[:n, n:2 * n] = high, codes - top * high
    embedded[n:2 * n, :n] = -np.eye(n, dtype=np.int64)
    return embedded


def scale_rhs(b: np.ndarray, config: ChipConfig) -> ScaledVector:
    """The right-hand side b, n <= N real numbers, as mantissas, exponent and factor beta.

    The largest |b_i| is mapped to the DAC code d in [2^(B-2), 2^(B-1) - 1] at which all of b rounds best, so at least
    half the DAC is always used: mantissa = round half even of b_i / max|b| * d * 2^(32-B), B the DAC bits.

    Errors: :class:`InputError` when b is not one-dimensional, longer than N, not finite or too large.
    """
    b = np.asarray(b, dtype=np.float64)
    if b.ndim != 1 or not 1 <= len(b) <= config.size:
        raise InputError(f"right-hand side: must be 1 to {config.size} numbers, not an array of shape {b.shape}")
    check_magnitude(b, "right-hand side")
    mantissas = np.zeros(config.size, dtype=np.int64)
    if not b.any():
        return ScaledVector(mantissas, EXPONENT_MIN, 1.0)
    top = 1 << (config.dac_bits - 1)
    code = best_full_scale(b, top // 2, top - 1)
    unit, peak = _to_unit(b)
    mantissas[: len(b)] = np.rint(unit / peak * (code << (32 - config.dac_bits))).astype(np.int64)
    return ScaledVector(mantissas, 0, float(np.abs(b).max()) * top / code)


def unscale(plan: Plan, rhs: ScaledVector, mantissas: np.ndarray, exponent: int) -> np.ndarray:
    """The user's x, n float64, from what INV left in a vector register: (beta / alpha) m 2^(exponent - 31)."""
    y = np.ldexp(np.asarray(mantissas, dtype=np.float64)[: plan.n], exponent - 31)
    return y * (rhs.factor / plan.alpha)


def check_magnitude(values: np.ndarray, what: str) -> None:
    """Raise :class:`InputError` unless all elements are finite and the largest is zero or in 1e-150 to 1e150."""
    if not np.isfinite(values).all():
        raise InputError(f"{what}: every element must be a finite number")
    peak = float(np.abs(values).max())
    if peak and not 1 / LARGEST <= peak <= LARGEST:
        raise InputError(f"{what}: the largest magnitude is {peak:.3g}, allowed are {1 / LARGEST:g} to {LARGEST:g}")


def _to_unit(values: np.ndarray) -> tuple[np.ndarray, float]:
    """``values`` times the power of two that brings the largest magnitude into [0.5, 1), and that magnitude."""
    _, exponent = np.frexp(np.abs(values).max())
    unit = np.ldexp(values, -exponent)
    return unit, float(np.abs(unit).max())


def _bucket(error: float) -> float:
    """An error for ranking; what is only floating-point noise counts as exact."""
    return 0.0 if error < _EXACT else error
