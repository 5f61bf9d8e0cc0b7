"""The numpy body of the analogue macro: the loop in exact jumps.

Nothing is computed while the loop merely settles; clocks add up and are taken in one exact jump
(:mod:`ohmloop.analog.loop`). Where an amplifier would move faster than it can, the clocks in question are integrated
instead (:mod:`ohmloop.analog.slew`).
"""

import math

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import MacroBody
from ohmloop.analog.cells import Die, loop_matrices
from ohmloop.analog.loop import MAX_CLOCKS, LoopRates, OperatingPoint, StepTables
from ohmloop.analog.slew import SlewingLoop

Array = NDArray[np.floating]


class NumpyMacro(MacroBody):
    """Analogue macro of one chip; parameters and members are those of :class:`~ohmloop.analog.body.MacroBody`."""

    def __init__(self, die: Die):
        super().__init__(die)
        self._cells_changed()
        self._loop: _Loop | None = None
        self._pending = 0
        self._dc_e = self._dc_V = self._e = self._V = np.zeros(die.config.size)

    def _cells_changed(self) -> None:
        self._matrices: tuple[Array, Array] | None = None
        self._loops: dict[tuple[int, float], _Loop] = {}

    def _start(self, u_V: Array, gf: float) -> None:
        self._pending = 0
        self._loop = self._prepared(gf)
        if self._loop.runaway:
            self._e = self._V = np.full(self.die.config.size, np.nan)
        else:
            self._set_point(self._loop, u_V)
            self._e = self.offset_V - self._dc_e
            self._V = self._start_V - self._dc_V

    def _change(self, u_V: Array) -> None:
        assert self._loop is not None
        if self._loop.runaway:
            return
        self._jump(self._loop)
        old_e, old_V = self._dc_e, self._dc_V
        self._set_point(self._loop, u_V)
        self._e = self._e + (old_e - self._dc_e)
        self._V = self._V + (old_V - self._dc_V)

    def _pass(self, clocks: int) -> None:
        self._pending = min(self._pending + clocks, MAX_CLOCKS)

    def _outputs(self) -> Array:
        assert self._loop is not None
        if not self._frozen:
            self._jump(self._loop)
        return self._dc_V + self._V

    def _prepared(self, gf: float) -> "_Loop":
        """The loop about to close; kept as long as the cells stay as they are."""
        if self._matrices is None:
            self._matrices = loop_matrices(self._codes, self.die)
        key = (self._bandwidth, gf if self._multiply else 0.0)
        if key not in self._loops:
            self._loops[key] = _Loop(*self._matrices, self.die, self._bandwidth, gf if self._multiply else None)
        return self._loops[key]

    def _set_point(self, loop: "_Loop", u_V: Array) -> None:
        """Operating point (e, V) for a drive; e = Vos - V/A0 in both modes."""
        self._dc_V = loop.operating_point(u_V, self.offset_V)
        self._dc_e = self.offset_V - self._dc_V * self.die.params.inverse_gain

    def _jump(self, loop: "_Loop") -> None:
        """Take the clocks counted so far."""
        if not loop.runaway:
            if loop.slewing is not None:
                self._e, self._V, self._pending = loop.slewing.run(
                    self._e, self._V, self._dc_e - self.offset_V, self._dc_V, self._pending)
            self._e, self._V = loop.tables.jump(self._e, self._V, self._pending)
        self._pending = 0


class _Loop:
    """Everything about a closed loop that neither its drive nor its offsets change.

    Parameters
    ----------
    A, L : Array
        Loop matrix and row load.
    die : Die
        The chip.
    bandwidth : int
        Setting of the amplifiers.
    gf : float, optional
        Gf/G0 of multiply mode; solve mode without it.
    """

    def __init__(self, A: Array, L: Array, die: Die, bandwidth: int, gf: float | None):
        params = die.params
        rates = LoopRates.of(params, bandwidth)
        self._A, self._multiply, self._gf, self._inverse_gain = A, gf is not None, gf or 0.0, params.inverse_gain
        # Without wires, multiply mode is N loops that do not act on one another.
        separate = gf is not None and L.ndim == 1
        one = np.ones(len(L)) if L.ndim == 1 else np.eye(len(L))
        self._load = L if gf is None else L + gf * one
        coupling = A if gf is None else gf * one
        self._point = None if separate else OperatingPoint(coupling, self._load, params.inverse_gain)
        self.tables = StepTables(coupling, self._load, rates)
        self.runaway = self.tables.runaway or (self._point is not None and self._point.singular)
        self.slewing = None if math.isinf(params.slew_V_per_s) else SlewingLoop(
            coupling, self._load, rates, params.slew_V_per_s * params.clock_s)

    def operating_point(self, u_V: Array, offset_V: Array) -> Array:
        """Outputs (N,) in volts: (A + L/A0) V = -u + L Vos, or (gf + L/A0) V = -A u + L Vos."""
        drive = self._A @ u_V if self._multiply else u_V
        rhs = (self._load * offset_V if self._load.ndim == 1 else self._load @ offset_V) - drive
        if self._point is not None:
            return self._point.solve(rhs)
        return rhs / (self._gf + self._load * self._inverse_gain)
