"""How many iterations would the chip need with these codes? Counted on a model of one converter scan, in float64.

Distances between matrices do not tell: of two roundings the one that is nearer to A often needs more iterations. So
candidates are ranked by running the iteration that is meant to run on the chip, on a right-hand side drawn once.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ohmloop.analog.cells import Die, loop_matrices, planes_of
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.macro.pins import DRIVE_RANGES

TOLERANCE = 2.0 ** -24
"""Relative residual that is counted up to."""

GROWN = 1e3
"""A residual this many times the right-hand side will not come down again."""

Inverse = Callable[[np.ndarray], np.ndarray]
Method = Callable[[np.ndarray, Inverse, np.ndarray, int], float]
"""(matrix (n, n), what INV does, right-hand side (n,), most iterations) to iterations; infinite where none will do."""


class StaticInverse:
    """INV of one chip, settled: cells, offsets, noise and gain of the die, input and output codes, ranging.

    Parameters
    ----------
    codes : np.ndarray
        (N, N) programmed codes.
    n : int
        Elements that count.
    die : Die
        The chip; its seed also draws the noise.
    """

    def __init__(self, codes: np.ndarray, n: int, die: Die):
        config, params = die.config, die.params
        A, L = loop_matrices(planes_of(codes, config), replace(die, params=replace(params, wire_ohm=0.0)))
        inverse = np.linalg.inv(A + np.diag(L * params.inverse_gain))
        self._inverse, self._offset = inverse[:n, :n], -(inverse @ (L * die.zeroed_V))[:n] / params.full_scale_V
        self._input, self._output = 1 << config.dac_bits - 1, 1 << config.adc_bits - 1
        self._noise, self._random = params.read_noise_V / params.full_scale_V, np.random.default_rng(params.seed)

    def __call__(self, s: np.ndarray) -> np.ndarray:
        """What INV returns for ``s`` (n,); zero where no range is large enough."""
        _, exponent = np.frexp(np.abs(s).max())
        drive = np.clip(np.rint(np.ldexp(s, -exponent) * self._input), 1 - self._input, self._input - 1) / self._input
        y = self._inverse @ drive
        for drive_range in range(DRIVE_RANGES):
            output = np.ldexp(y, -drive_range) + self._offset
            if np.abs(output).max() < 1.0:
                output += self._noise * self._random.standard_normal(len(s))
                return np.ldexp(np.rint(output * self._output) / self._output, drive_range + exponent)
        return np.zeros_like(s)


def mismatch_error(codes: np.ndarray, config: ChipConfig, params: AnalogParams) -> float:
    """Root mean square of ||dX X^-1||_F over chips, X = codes / C with N x N codes, dX what mismatch makes of X.

    Each cell is off by sigma of itself, so the mean square is sigma^2 sum_ij X_ij^2 ||row j of X^-1||^2. Where it comes
    near one, the smallest eigenvalue of the loop is anybody's guess, and INV with it.
    """
    x = codes / config.code_max
    return params.mismatch_sigma * float(np.sqrt((x ** 2).sum(axis=0) @ (np.linalg.inv(x) ** 2).sum(axis=1)))


def refine_count(matrix: np.ndarray, inverse: Inverse, b: np.ndarray, limit: int) -> float:
    """Iterations of x += INV(b - A x)."""
    r, start = b, np.linalg.norm(b)
    for count in range(1, limit + 1):
        r = r - matrix @ inverse(r)
        size = np.linalg.norm(r)
        if not TOLERANCE * start < size < GROWN * start:
            return count if size <= TOLERANCE * start else math.inf
    return _extrapolated(limit, np.linalg.norm(r) / start)


def gcr_count(matrix: np.ndarray, inverse: Inverse, b: np.ndarray, limit: int) -> float:
    """Iterations of generalised conjugate residuals with one direction kept, as the program ``gcr`` has them."""
    r, q, start, slow = b, None, np.linalg.norm(b), False
    for count in range(1, limit + 1):
        w = matrix @ inverse(q if slow and q is not None else r)
        q = w if q is None else w - (w @ q) / (q @ q) * q
        if not q @ q > 0.0:
            return math.inf
        before, r = r @ r, r - (r @ q) / (q @ q) * q
        if np.linalg.norm(r) <= TOLERANCE * start:
            return count
        slow = r @ r > 7 / 8 * before
    return _extrapolated(limit, np.linalg.norm(r) / start)


def _extrapolated(limit: int, reached: np.floating | float) -> float:
    """Iterations that it would take at the pace of the first ``limit``, which reached this relative residual."""
    return limit * math.log(TOLERANCE) / math.log(reached) if reached < 0.5 else math.inf


METHODS: dict[str, Method] = {"refine": refine_count, "gcr": gcr_count}
"""Iterations that candidates can be ranked for, by the name of the program."""
