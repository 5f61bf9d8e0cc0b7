"""The loop equations: Jacobian, static point, and exact jumps over any number of clocks.

State of the loop: summing-node voltages e and amplifier outputs V, N each, as deviations from the operating point. With
T the clock period, w = 2 pi GBW/2^k and C the node capacitance::

    de/dt T = B V - P e               B = (G0 T/C) A,  P = (G0 T/C) L
    dV/dt T = -W e - (W/A0) V         W = w T

so one clock multiplies (e, V) by E = exp([[-P, B], [-W, -W/A0]]). Without node capacitance e = (A V)/L follows at once
and one clock multiplies V by E = exp(-W (A/L + 1/A0)).

L is (N,), or (N, N) where wires make the nodes load one another; P likewise, and L in place of diag(L).

*Solve mode* couples all outputs: A is N x N. *Multiply mode* is N separate loops, each with the scalar feedback
gf = Gf/G0 in place of A and L + gf in place of L; the same formulas then hold element by element.

The arithmetic (order, scaling, thresholds) is that of ``ohmloop_macro.sv``, which agrees within rounding.
"""

import math
import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from ohmloop.analog.params import AnalogParams

Array = NDArray[np.floating]

# LAPACK itself: scipy's own wrapper warns about every singular matrix, which is an ordinary input here.
_getrf, _getrs = get_lapack_funcs(("getrf", "getrs"))

TAYLOR_ORDER = 22
"""Terms of the exponential series; at a 1-norm of at most 2 the first one left out is below 2^-50."""

DECAYED = 2.0 ** -20
"""A step table with every entry inside this has forgotten the start of the loop."""

RUNAWAY = 2.0 ** 20
"""A step table with an entry outside this belongs to a loop that grows without bound."""

LAST_POWER = 24
"""Largest p for which the table of 2^p clocks is built; a loop that has not decayed by then never settles."""

MAX_CLOCKS = (1 << (LAST_POWER + 1)) - 1
"""Longest jump; any loop that gets here has decayed, so longer waits change nothing."""

SMALLEST_PIVOT = 1e-12
"""A smaller pivot in the LU factors means that the loop has no operating point."""


@dataclass(frozen=True)
class LoopRates:
    """The dimensionless constants of the loop for one clock."""

    amplifier: float
    """W = 2 pi GBW T / 2^bandwidth."""

    node: float
    """G0 T / C, or 0.0 without node capacitance."""

    inverse_gain: float
    """1/A0."""

    @classmethod
    def of(cls, params: AnalogParams, bandwidth: int) -> "LoopRates":
        """Rates of ``params`` at bandwidth setting 0 to 3."""
        amplifier = 2.0 * math.pi * params.warm_gbw_Hz * params.clock_s / (1 << bandwidth)
        capacitance = params.node_capacitance_F
        node = 0.0 if capacitance == 0.0 else params.g0_S * params.clock_s / capacitance
        return cls(amplifier, node, params.inverse_gain)


def jacobian(A: Array, L: Array, rates: LoopRates) -> Array:
    """J T of the closed loop, (2N, 2N) on (e, V), or (N, N) on V without node capacitance; one clock is exp(J T).

    A is (N, N), L is (N,) or (N, N). The loop is stable when no eigenvalue has a positive real part.
    """
    n = len(L)
    leak = rates.amplifier * rates.inverse_gain
    load = np.diag(L) if L.ndim == 1 else L
    if rates.node == 0.0:
        return -rates.amplifier * np.linalg.solve(load, A) - leak * np.eye(n)
    return np.block([[-rates.node * load, rates.node * A],
                     [-rates.amplifier * np.eye(n), -leak * np.eye(n)]])


def static_solve(A: Array, L: Array, b: Array, inverse_gain: float, offset_V: Array | float = 0.0) -> Array:
    """Operating point V of (A + diag(L)/A0) V = -b + L Vos, in volts; all leading dimensions are a batch.

    A is (..., N, N), L, b and ``offset_V`` are (..., N). Raises ``numpy.linalg.LinAlgError`` on a singular loop.
    """
    loaded = np.array(A, dtype=np.float64)
    diagonal = np.arange(loaded.shape[-1])
    loaded[..., diagonal, diagonal] += L * inverse_gain
    return np.linalg.solve(loaded, (L * offset_V - b)[..., None])[..., 0]


def static_multiply(A: Array, L: Array, u: Array, gf: float, inverse_gain: float,
                    offset_V: Array | float = 0.0) -> Array:
    """Outputs V of V (gf + L'/A0) = -A u + L' Vos with L' = L + gf, in volts; shapes as :func:`static_solve`."""
    load = L + gf
    return (load * offset_V - (A @ u[..., None])[..., 0]) / (gf + load * inverse_gain)


class OperatingPoint:
    """LU factors of A + diag(L)/A0, kept while the arrays stay as they are.

    Parameters
    ----------
    A : Array
        (N, N) loop matrix.
    L : Array
        (N,) row loads, or (N, N).
    inverse_gain : float
        1/A0.

    Members
    -------
    singular : bool
        A pivot fell below :data:`SMALLEST_PIVOT`: there is no operating point.
    """

    def __init__(self, A: Array, L: Array, inverse_gain: float):
        loaded = A + (np.diag(L) if L.ndim == 1 else L) * inverse_gain
        self._factors, self._pivots, _ = _getrf(loaded)
        self.singular = bool(np.abs(np.diag(self._factors)).min() < SMALLEST_PIVOT)

    def solve(self, rhs: Array) -> Array:
        """(N,) outputs in volts for the right-hand side -b + L Vos."""
        return _getrs(self._factors, self._pivots, rhs)[0]


class StepTables:
    """Exact propagators of 1, 2, 4, ... clocks.

    E commutes with its own exponent, so the lower block row (S1, S2) says everything::

        E11 = S2 + S1 Dr,   E12 = -S1 B/W,   Dr = (P - W/A0)/W

    (S1, S2) of 2^-s clocks is an order-22 Taylor sum with s the smallest integer that brings the 1-norm to 2 or less;
    s squarings give one clock, further squarings 2^p clocks. Without node capacitance there is no S1.

    At construction the tables are squared until they tell how the loop ends. All entries inside :data:`DECAYED`: it
    settles. An entry outside :data:`RUNAWAY` or not a number, or still undecided at 2^:data:`LAST_POWER` clocks (an
    undamped loop rings on for ever): ``runaway``. A loop judged this way clips at its first sample, however short the
    wait and even with nothing driven, instead of passing for settled while it is still small.

    Parameters
    ----------
    coupling : Array
        (N, N) loop matrix A of solve mode, or (N,) feedback gf of multiply mode.
    load : Array
        L, or L + gf in multiply mode: (N,), or (N, N) together with a coupling (N, N).
    rates : LoopRates
        Constants of one clock.

    Members
    -------
    runaway : bool
        The loop never settles.
    """

    def __init__(self, coupling: Array, load: Array, rates: LoopRates):
        self._multiply = operator.matmul if coupling.ndim == 2 else operator.mul
        self._slaved = rates.node == 0.0
        w, leak = rates.amplifier, rates.amplifier * rates.inverse_gain
        identity = np.eye(len(load)) if coupling.ndim == 2 else np.ones(len(load))
        self._load_product = operator.matmul if load.ndim == 2 else operator.mul
        if self._slaved:
            by_load = np.linalg.solve(load, coupling) if load.ndim == 2 else (coupling.T / load).T
            self._generator = -w * (by_load + rates.inverse_gain * identity)
            norm = np.abs(self._generator).sum(axis=0) if coupling.ndim == 2 else np.abs(self._generator)
            norm = norm.max()
        else:
            self._b = rates.node * coupling
            self._p = rates.node * load
            self._b_over_w = self._b / w
            self._dr = (self._p - leak * (identity if load.ndim == 2 else 1.0)) / w
            loads = np.abs(self._p).sum(axis=0) if load.ndim == 2 else self._p
            self._w, self._leak = w, leak
            columns = np.abs(self._b).sum(axis=0) if coupling.ndim == 2 else np.abs(self._b)
            norm = max((loads + w).max(), (columns + leak).max())
        halvings = 0
        while norm > 2.0:
            norm *= 0.5
            halvings += 1
        self._tables = [self._taylor(identity, 0.5 ** halvings)]
        with np.errstate(all="ignore"):
            for _ in range(halvings):
                self._tables[0] = self._square(*self._tables[0])
            self.runaway = self._runs_away()

    def jump(self, e: Array, V: Array, clocks: int) -> tuple[Array, Array]:
        """(e, V) after ``clocks`` clocks, both (N,) deviations from the operating point; e stays as it is if slaved."""
        clocks = min(clocks, MAX_CLOCKS)
        for power in range(clocks.bit_length()):
            if clocks >> power & 1:
                e, V = self._step(e, V, *self._table(power))
        return e, V

    def table(self, power: int) -> tuple[Array | None, Array]:
        """(S1, S2) of 2^power clocks; S1 is None without node capacitance."""
        return self._table(power)

    def _taylor(self, identity: Array, h: float) -> tuple[Array | None, Array]:
        r1, r2 = np.zeros_like(identity), identity
        s1, s2 = r1, r2
        for k in range(1, TAYLOR_ORDER + 1):
            scale = h / k
            if self._slaved:
                r2 = scale * self._multiply(r2, self._generator)
            else:
                r1, r2 = (scale * (-self._load_product(r1, self._p) - r2 * self._w),
                          scale * (self._multiply(r1, self._b) - r2 * self._leak))
                s1 = s1 + r1
            s2 = s2 + r2
        return (None if self._slaved else s1), s2

    def _square(self, s1: Array | None, s2: Array) -> tuple[Array | None, Array]:
        multiply = self._multiply
        if s1 is None:
            return None, multiply(s2, s2)
        e11 = s2 + self._load_product(s1, self._dr)
        e12 = -multiply(s1, self._b_over_w)
        return multiply(s2, s1) + multiply(s1, e11), multiply(s2, s2) + multiply(s1, e12)

    def _step(self, e: Array, V: Array, s1: Array | None, s2: Array) -> tuple[Array, Array]:
        multiply = self._multiply
        if s1 is None:
            return e, multiply(s2, V)
        z = self._load_product(self._dr, e) - multiply(self._b_over_w, V)
        return multiply(s2, e) + multiply(s1, z), multiply(s1, e) + multiply(s2, V)

    def _table(self, power: int) -> tuple[Array | None, Array]:
        while len(self._tables) <= power:
            self._tables.append(self._square(*self._tables[-1]))
        return self._tables[power]

    def _runs_away(self) -> bool:
        for power in range(LAST_POWER + 1):
            size = float(np.max([np.abs(s).max() for s in self._table(power) if s is not None]))
            if not size <= RUNAWAY:
                return True
            if size < DECAYED:
                return False
        return True
