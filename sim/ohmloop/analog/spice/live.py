"""The SPICE body of the macro: ngspice in lock-step with whoever holds the pins.

At every closing the netlist of the loop is written and loaded anew, with the cells, the ranges and the offsets of that
moment; while the loop is closed only the DACs move. Clocks are counted, and ngspice runs on when a drive changes or
``sample`` falls. Amplifiers are clamped just past their rails.

**Runaway.** A runaway starts at a microvolt and looks settled for a while, so voltages alone cannot tell it from an
answer. Where the eigenvalues say that the loop grows, ngspice runs on behind the first sample until an output is at a
rail, and that is what the sample reads. Nothing is lost by it: the first clip freezes the state until the loop opens.
A loop that neither settles nor reaches a rail reads as not a number, which clips too.

One process holds one circuit: of two bodies, the one that closed its loop last has it, and the other gets an error.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.body import MacroBody
from ohmloop.analog.cells import Die, loop_matrices
from ohmloop.analog.loop import LAST_POWER, RUNAWAY, LoopRates, jacobian
from ohmloop.analog.spice.library import Simulation
from ohmloop.analog.spice.netlist import Setting, circuit, outputs, source

Array = NDArray[np.floating]

OPTIONS = "reltol=1e-4 abstol=1e-13 vntol=1e-8 chgtol=1e-19 trtol=1 gmin=1e-18"
"""Tolerances of ngspice: some 10 uV at a sample, where an LSB of 8 bits is 3 mV."""

GROWTH = -np.log(RUNAWAY) / 2 ** LAST_POWER
"""A loop whose largest growth in a clock is above this never settles: the rule of the other bodies."""

RUN_ON_CLOCKS = 1 << 15
"""How long a runaway is followed to see it clip."""

_simulations: dict[str, Simulation] = {}


class SpiceMacro(MacroBody):
    """Analogue macro of one chip as a circuit in ngspice; members are those of
    :class:`~ohmloop.analog.body.MacroBody`.

    Parameters
    ----------
    die : Die
        The chip.
    library : str | Path
        libngspice, as the dynamic linker finds it.

    Raises :class:`ohmloop.analog.spice.batch.SpiceError` where the library is missing or ngspice gives up.
    """

    def __init__(self, die: Die, library: str | Path):
        super().__init__(die)
        if str(library) not in _simulations:
            _simulations[str(library)] = Simulation(library)
        self._ngspice = _simulations[str(library)]
        self._clocks = 0
        self._range = self._loaded_range = 0
        self._grows = False
        self._last_V = self._start_V

    def close(self, multiply: bool, dac_codes: NDArray, drive_range: int = 0, feedback: int = 0) -> None:
        """See :meth:`MacroBody.close`."""
        self._range = 0 if multiply else drive_range
        super().close(multiply, dac_codes, drive_range, feedback)

    def _cells_changed(self) -> None:
        """Nothing to forget: every closing writes its netlist."""

    def _start(self, u_V: Array, gf: float) -> None:
        self._clocks, self._loaded_range = 0, self._range
        ratio = gf if self._multiply else None
        level_V = u_V * 2.0 ** self._range
        setting = Setting(self._codes, level_V, self.offset_V, self._bandwidth, self._range, ratio)
        self._grows = _grows(setting, self.die)
        n = self.die.config.size
        self._ngspice.start(self, circuit(self.die, setting, external=True), outputs(n),
                            [source(setting, i) for i in range(n)], level_V, OPTIONS, self.die.params.clock_s)

    def _change(self, u_V: Array) -> None:
        # The whole input branch is the same at every range, so another range is another level behind the one loaded.
        self._advance()
        self._ngspice.change(self, u_V * 2.0 ** self._loaded_range)

    def _pass(self, clocks: int) -> None:
        self._clocks += clocks

    def _outputs(self) -> Array:
        if self._frozen:
            return self._last_V
        if not self._clocks:
            return self._start_V
        self._advance()
        self._last_V = self._ngspice.volts(self)
        if self._grows:
            self._last_V = self._run_on(self._last_V)
        return self._last_V

    def _advance(self) -> None:
        self._ngspice.advance(self, self._clocks * self.die.params.clock_s)

    def _run_on(self, volts: Array) -> Array:
        """Outputs of a runaway: those at which it clips."""
        swing_V, end = self.die.params.swing_V, self._clocks + RUN_ON_CLOCKS
        step = 16
        while (np.abs(volts) < swing_V).all():
            if self._clocks >= end:
                return np.full_like(volts, np.nan)
            self._clocks += step
            step *= 2
            self._advance()
            volts = self._ngspice.volts(self)
        return volts


def _grows(setting: Setting, die: Die) -> bool:
    """Whether some eigenvalue of the loop lets it grow, or ring for ever."""
    A, L = loop_matrices(setting.codes, die)
    if setting.gf is not None:
        one = np.ones(len(L)) if L.ndim == 1 else np.eye(len(L))
        A, L = setting.gf * np.eye(len(L)), L + setting.gf * one
    growth = np.linalg.eigvals(jacobian(A, L, LoopRates.of(die.params, setting.bandwidth))).real.max()
    return not growth <= GROWTH
