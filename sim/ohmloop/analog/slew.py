"""The loop where its amplifiers slew: the input stage of an amplifier gives no more than its largest current.

With s the slew rate, in place of the linear amplifier::

    dV/dt = clip(-w (e - Vos), -s, s) - (w/A0) V

The loop is then integrated step by step, until neither what drives the input stages nor what the outputs can still
drive comes near the limit; from there on the exact jumps take over.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from ohmloop.analog.loop import LoopRates

Array = NDArray[np.floating]

CLEAR = 0.5
"""The loop counts as linear from where it stays within this part of the slew rate."""

CHUNK_CLOCKS = 4
"""Clocks between two looks whether the loop is linear."""

RELATIVE, ABSOLUTE_V = 1e-9, 1e-12
"""Error allowed in a step of the integration."""


class SlewingLoop:
    """Integrates a loop of given coupling and load.

    Parameters
    ----------
    coupling, load, rates
        As of :class:`ohmloop.analog.loop.StepTables`.
    slew_V : float
        Slew rate times the clock period: largest change of an output in one clock.
    """

    def __init__(self, coupling: Array, load: Array, rates: LoopRates, slew_V: float):
        self._coupling = np.diag(coupling) if coupling.ndim == 1 else coupling
        self._load = np.diag(load) if load.ndim == 1 else load
        self._node_V = np.linalg.solve(self._load, self._coupling)
        self._rates = rates
        self._slew_V = slew_V

    def run(self, e: Array, V: Array, error_V: Array, dc_V: Array, clocks: int) -> tuple[Array, Array, int]:
        """Integrate while the loop is not linear.

        Parameters
        ----------
        e, V : Array
            (N,) deviations from the operating point.
        error_V, dc_V : Array
            (N,) e - Vos and V at the operating point.
        clocks : int
            Clocks to go.

        Returns
        -------
        e, V, clocks
            Deviations, and the clocks that are left for a linear jump.
        """
        slaved, n = self._rates.node == 0.0, len(V)
        while clocks and self._slews(self._node_V @ V if slaved else e, V, error_V):
            step = min(clocks, CHUNK_CLOCKS)
            start = V if slaved else np.concatenate([e, V])
            end = solve_ivp(self._rate, (0.0, step), start, rtol=RELATIVE, atol=ABSOLUTE_V,
                            args=(error_V, dc_V)).y[:, -1]
            e, V = (e, end) if slaved else (end[:n], end[n:])
            clocks -= step
        return e, V, clocks

    def _slews(self, e: Array, V: Array, error_V: Array) -> bool:
        reach = np.maximum(np.abs(e), np.abs(self._node_V @ V)) + np.abs(error_V)
        return bool(self._rates.amplifier * reach.max() > CLEAR * self._slew_V)

    def _rate(self, _: float, state: Array, error_V: Array, dc_V: Array) -> Array:
        """Derivative of the deviations, a clock."""
        rates, n = self._rates, len(error_V)
        V = state[-n:]
        e = self._node_V @ V if rates.node == 0.0 else state[:n]
        stage = np.clip(-rates.amplifier * (e + error_V), -self._slew_V, self._slew_V)
        dV = stage - rates.amplifier * rates.inverse_gain * (V + dc_V)
        if rates.node == 0.0:
            return dV
        return np.concatenate([rates.node * (self._coupling @ V - self._load @ e), dV])
