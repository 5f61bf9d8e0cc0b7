"""Many chips at once: the settled loop of a whole population, for Monte Carlo and yield.

All chips are of one design and hold the same codes. Nothing moves here: outputs are operating points, and what the
converters make of them. One chip out of many is a :class:`~ohmloop.analog.cells.Die` for the other models
(:meth:`Chips.die`).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ohmloop.analog.body import feedback_ratio
from ohmloop.analog.cells import Die, conductances, loop_matrices, planes_of
from ohmloop.analog.converters import convert
from ohmloop.analog.loop import LoopRates, jacobian
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import ChipConfig

Array = NDArray[np.floating]

CHUNK = 25
"""Chips drawn from one stream of random numbers: few enough that their matrices stay in the cache."""

_QUANTILES = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16))
"""Normal numbers, looked up with 16 random bits: seven times as fast as drawing them. They end at 4.3."""


class Chips:
    """``count`` chips that hold ``codes``.

    Chip k depends on ``params``, ``codes`` and k alone, not on ``count``: chips are drawn in chunks of :data:`CHUNK`,
    chunk c from ``numpy.random.default_rng([seed, c, effect])``. Only cells that conduct are drawn, from a table of
    65,536 quantiles. They are other chips than those of :meth:`Die.sample` with the same seed.

    Parameters
    ----------
    config : ChipConfig
        Sizes and widths.
    params : AnalogParams
        The design; its seed picks the population.
    codes : NDArray
        (N, N) signed codes.
    count : int
        How many.
    first : int
        Number of the first chip; a multiple of :data:`CHUNK`.

    Members
    -------
    A, L : Array
        (count, N, N) loop matrices and (count, N) row loads over G0, loads (count, N, N) where there are wires.
    offset_V : Array
        (count, N) offsets in volts that auto-zero leaves.
    """

    def __init__(self, config: ChipConfig, params: AnalogParams, codes: NDArray, count: int, first: int = 0):
        assert first % CHUNK == 0
        self.config, self.params, self.count, self.first = config, params, count, first
        self._planes = planes_of(codes, config)
        self._latest: tuple[int, Array, Array] | None = None
        rows, columns = np.nonzero(np.asarray(codes))
        self._cells = (self._planes[1, rows, columns] > 0).astype(np.intp), rows, columns
        own_dies = params.bit_sigma or params.gradient_sigma or params.inverter_sigma or params.wire_ohm
        if own_dies:
            dies = [self.die(k) for k in range(count)]
            matrices = [loop_matrices(self._planes, die) for die in dies]
            self.A, self.L = np.stack([A for A, _ in matrices]), np.stack([L for _, L in matrices])
            self.offset_V = np.stack([die.zeroed_V for die in dies])
        else:
            self._draw()

    def outputs_V(self, u_V: Array) -> Array:
        """Settled outputs in volts of solve mode: (A + L/A0) V = -u + L Vos.

        ``u_V``: drive in volts, (N,), (R, N) right-hand sides for all, or (count, R, N) for each its own.

        Returns (count, N), or (count, R, N).
        """
        return self._solve(self.A, self.L, u_V)

    def products_V(self, u_V: Array, feedback: int) -> Array:
        """Settled outputs in volts of multiply mode: (gf + (L + gf)/A0) V = -A u + (L + gf) Vos; shapes as above."""
        one = np.eye(self.config.size) * feedback_ratio(self.config.size, feedback)
        load = self.L + (one if self.L.ndim == 3 else np.diag(one))
        drive_V = np.atleast_2d(u_V) @ np.swapaxes(self.A, -1, -2)
        result = self._solve(np.broadcast_to(one, self.A.shape), load, drive_V)
        return result[:, 0] if u_V.ndim == 1 else result

    def stable(self, bandwidth: int) -> NDArray[np.bool_]:
        """Which loops (count,) settle at a bandwidth setting: no eigenvalue of the Jacobian grows."""
        rates = LoopRates.of(self.params, bandwidth)
        return np.array([np.linalg.eigvals(jacobian(A, L, rates)).real.max() < 0.0
                         for A, L in zip(self.A, self.L, strict=True)])

    def codes(self, outputs_V: Array, generator: np.random.Generator | None = None) -> NDArray[np.int64]:
        """Raw codes of outputs (count, N); noise of samples and decisions from ``generator``, none without it."""
        noise_V = self.params.read_noise_V
        held_V = outputs_V
        if generator is not None and noise_V:
            held_V = outputs_V + noise_V * generator.standard_normal(outputs_V.shape)
        decision_V = self.params.comparator_noise_V

        def decided(trial: NDArray[np.int64]) -> Array:
            assert generator is not None
            return decision_V * generator.standard_normal(trial.shape)

        noise = decided if generator is not None and decision_V else None
        if self._perfect_adcs:
            levels_V = Die(self.config, self.params).adc_V
            return convert(held_V.ravel(), levels_V, noise)[0].reshape(held_V.shape)
        return np.stack([convert(v, self.die(k).thresholds_V, noise)[0]
                         for k, v in enumerate(held_V)])

    def input_V(self, dac_codes: NDArray, drive_range: int = 0) -> Array:
        """Drives (1 or count, N) in volts of input codes (N,)."""
        dies = [self.die(k) for k in range(self.count)] if self.params.dac_element_sigma else [
            Die(self.config, self.params)]
        return np.stack([die.input_V(dac_codes, drive_range) for die in dies])

    def clipped(self, outputs_V: Array) -> NDArray[np.bool_]:
        """Which of the outputs are not strictly inside the rails."""
        return ~(np.abs(outputs_V) < self.params.swing_V)

    def die(self, chip: int) -> Die:
        """Chip number ``chip`` of this population, counted from :attr:`first`; cells that hold code 0 are nominal."""
        number = self.first + chip
        params = replace(self.params, seed=(self.params.seed + 1000003 * (number + 1)) % (1 << 64))
        die = Die.sample(self.config, replace(params, mismatch_sigma=0.0, offset_sigma_V=0.0,
                                              offset_drift_V_per_C=0.0, offset_per_supply=0.0))
        drawn, raw_V = self._chunk(number // CHUNK)
        cell_factor = np.array(die.cell_factor)
        cell_factor[self._cells] *= 1.0 + params.mismatch_sigma * drawn[number % CHUNK]
        return replace(die, params=params, cell_factor=cell_factor, offset_V=raw_V[number % CHUNK])

    # Inside

    @property
    def _perfect_adcs(self) -> bool:
        p = self.params
        return not (p.adc_element_sigma or p.adc_gain_sigma or p.comparator_offset_V)

    def _solve(self, coupling: Array, load: Array, drive_V: Array) -> Array:
        """(coupling + load/A0) V = -drive + load Vos, chunk by chunk so that matrices stay in the cache."""
        diagonal, full = np.arange(self.config.size), load.ndim == 3
        own = drive_V.ndim == 3
        results = []
        for start in range(0, self.count, CHUNK):
            chips = slice(start, start + CHUNK)
            loaded = np.array(coupling[chips])
            if full:
                loaded += load[chips] * self.params.inverse_gain
                offset = (load[chips] @ self.offset_V[chips, :, None])[..., 0]
            else:
                loaded[:, diagonal, diagonal] += load[chips] * self.params.inverse_gain
                offset = load[chips] * self.offset_V[chips]
            if drive_V.ndim == 1:
                results.append(np.linalg.solve(loaded, (offset - drive_V)[..., None])[..., 0])
            else:
                rhs = offset[:, None] - (drive_V[chips] if own else drive_V)
                results.append(np.swapaxes(np.linalg.solve(loaded, np.swapaxes(rhs, -1, -2)), -1, -2))
        return np.concatenate(results)

    def _chunk(self, chunk: int) -> tuple[Array, Array]:
        """Mismatch (CHUNK, cells) in standard deviations and raw offsets (CHUNK, N); the latest chunk is kept."""
        if self._latest is not None and self._latest[0] == chunk:
            return self._latest[1:]
        params, cells = self.params, len(self._cells[0])
        drawn = np.zeros((CHUNK, cells))
        if params.mismatch_sigma:
            generator = np.random.default_rng([params.seed, chunk, 0])
            bits = generator.integers(1 << 16, size=(CHUNK, cells), dtype=np.uint16)
            drawn = _QUANTILES[bits]
        raw_V = np.zeros((CHUNK, self.config.size))
        spread_V = np.hypot(params.offset_sigma_V, params.drifted_offset_V)
        if spread_V:
            raw_V = spread_V * np.random.default_rng([params.seed, chunk, 1]).standard_normal(raw_V.shape)
        self._latest = chunk, drawn, raw_V
        return drawn, raw_V

    def _draw(self) -> None:
        """Matrices of chips that differ in local mismatch and offsets only: just the cells that conduct."""
        config, params, n = self.config, self.params, self.config.size
        self.offset_V = np.empty((self.count, n))
        self.A = np.zeros((self.count, n, n))
        self.L = np.full((self.count, n), 1.0 + params.gpar_S / params.g0_S)
        planes, rows, columns = self._cells
        place, sign = rows * n + columns, np.where(planes == 0, 1.0, -1.0)
        nominal = sign * conductances(self._planes, Die(config, params))[self._cells] * params.warm_cells
        # Cells stand row by row, so a sum over part of them is the load of a row.
        filled, starts = np.unique(rows, return_index=True)
        flat = self.A.reshape(self.count, n * n)
        for start in range(0, self.count, CHUNK):
            chips = slice(start, min(start + CHUNK, self.count))
            drawn, raw_V = self._chunk((self.first + start) // CHUNK)
            taken = chips.stop - chips.start
            self.offset_V[chips] = params.autozero_residue * raw_V[:taken]
            cells = drawn[:taken] * (params.mismatch_sigma * nominal)
            cells += nominal
            if len(place) == n * n:
                self.A[chips] = cells.reshape(-1, n, n)
            else:
                flat[chips, place] = cells
            self.L[chips, filled] += np.add.reduceat(np.abs(cells), starts, axis=-1)
