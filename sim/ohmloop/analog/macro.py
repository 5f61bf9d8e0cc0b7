"""The numpy body of the analogue macro.

Two levels, one on top of the other:

* **Events** (:meth:`NumpyMacro.close`, :meth:`~NumpyMacro.advance`, :meth:`~NumpyMacro.hold`, ...): what the golden
  machine calls. Nothing is computed while the loop merely settles; clocks add up and are taken in one exact jump.
* **Pins** (:meth:`NumpyMacro.edge` once a rising clock edge, :meth:`~NumpyMacro.above` and :meth:`~NumpyMacro.sense` in
  between): the wires of :mod:`ohmloop_hdl.macro.pins`, rule for rule, for simulators that have a clock.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.buses import pack, unpack
from ohmloop.analog.cells import Die, loop_matrices
from ohmloop.analog.converters import adc_levels, dac_levels, read_noise
from ohmloop.analog.loop import MAX_CLOCKS, LoopRates, OperatingPoint, StepTables, feedback_ratio

Array = NDArray[np.floating]

START_V = 2.0 ** -20
"""Size of the output voltages a loop starts from, so that an unstable loop grows even when nothing drives it."""

START_PATTERN = 40503
"""Output i starts positive where bit 7 of START_PATTERN * i is 1: a fixed pattern with no symmetry a loop shares."""


class ContractError(RuntimeError):
    """The digital half broke a numbered rule of :mod:`ohmloop_hdl.macro.pins`; the message begins with the rule."""

    def __init__(self, rule: int, text: str):
        super().__init__(f"rule {rule}: {text}")
        self.rule = rule
        """Number of the broken rule."""


class MacroInputs(NamedTuple):
    """Levels of all pins towards the macro at one clock edge, packed as on the wires; names and order of the pins."""

    row: int = 0
    plane: int = 0
    write: int = 0
    write_data: int = 0
    read: int = 0
    dac: int = 0
    autozero: int = 0
    close_solve: int = 0
    close_multiply: int = 0
    drive_range: int = 0
    feedback: int = 0
    bandwidth: int = 0
    sample: int = 0
    mux: int = 0
    trial: int = 0

    @property
    def closed(self) -> bool:
        """A loop switch is closed (auto-zero alone leaves the loop open)."""
        return bool(self.close_solve or self.close_multiply)


class NumpyMacro:
    """Analogue macro of one chip.

    At power-up all cells hold code 0 (stuck cells their own), the loop is open, held outputs are 0 V.

    Parameters
    ----------
    die : Die
        The chip: sizes, design parameters, mismatch, offsets, stuck cells.

    Members
    -------
    held_V : Array
        (N,) outputs of the last :meth:`hold` in volts, read noise included.
    clipped : NDArray[np.bool_]
        (N,) amplifiers at a rail at the first sample that found any since the loop closed; all false while open.
    samples : int
        Falls of ``sample`` since power-up, whether the loop was open or closed; numbers the noise.
    """

    def __init__(self, die: Die):
        n = die.config.size
        self.die = die
        self.held_V: Array = np.zeros(n)
        self.clipped: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self.samples = 0
        self._levels = adc_levels(die.config.adc_bits, die.params.full_scale_V)
        self._start_V = np.where(START_PATTERN * np.arange(n) >> 7 & 1, START_V, -START_V)
        self._codes = np.zeros((2, n, n), dtype=np.int64)
        for plane, row, column, code in die.stuck:
            self._codes[plane, row, column] = code
        self._bandwidth = 0
        self._forget_arrays()
        self._closed = self._multiply = self._frozen = False
        self._pending = 0
        self._tables: StepTables | None = None
        self._dc_e = self._dc_V = self._e = self._V = np.zeros(n)
        self._last = MacroInputs()

    # Events

    def write_row(self, plane: int, row: int, codes: NDArray) -> None:
        """Store N magnitude codes 0..C in one row of plane 0 (G+) or 1 (G-); stuck cells keep their code."""
        self._need_open(2, "write")
        codes = np.array(codes, dtype=np.int64)
        for stuck_plane, stuck_row, column, code in self.die.stuck:
            if (stuck_plane, stuck_row) == (plane, row):
                codes[column] = code
        if not np.array_equal(codes, self._codes[plane, row]):
            self._codes[plane, row] = codes
            self._forget_arrays()

    def read_row(self, plane: int, row: int) -> NDArray[np.int64]:
        """N magnitude codes of one row as the cells hold them."""
        self._need_open(2, "read")
        return self._codes[plane, row].copy()

    def set_bandwidth(self, bandwidth: int) -> None:
        """Divide the amplifiers' gain-bandwidth product by 2^bandwidth, 0 to 3."""
        self._need_open(4, "change bandwidth")
        self._bandwidth = bandwidth

    def close(self, multiply: bool, dac_codes: NDArray, drive_range: int = 0, feedback: int = 0) -> None:
        """Close the loop in solve or multiply mode from reset; the next clock to be advanced is clock 1.

        Parameters
        ----------
        multiply : bool
            Multiply mode instead of solve mode.
        dac_codes : NDArray
            (N,) signed input codes.
        drive_range : int
            Solve mode: input conductance G0 / 2^drive_range, 0 to 7.
        feedback : int
            Multiply mode: feedback conductance N 4^(feedback - 2) G0, 0 to 3.
        """
        self.open()
        self._closed, self._multiply = True, multiply
        self._prepare(feedback)
        self._set_point(dac_codes, drive_range)
        if self._tables is None:
            self._e = self._V = np.full(self.die.config.size, np.nan)
        else:
            self._e = self.die.offset_V - self._dc_e
            self._V = self._start_V - self._dc_V

    def drive(self, dac_codes: NDArray, drive_range: int = 0) -> None:
        """Change the drive of a closed loop: earlier clocks count under the old one, the state stays continuous."""
        if not self._closed or self._frozen or self._tables is None:
            return
        self._jump()
        old_e, old_V = self._dc_e, self._dc_V
        self._set_point(dac_codes, drive_range)
        self._e = self._e + (old_e - self._dc_e)
        self._V = self._V + (old_V - self._dc_V)

    def advance(self, clocks: int) -> None:
        """Let ``clocks`` clock edges pass."""
        if self._closed:
            self._pending = min(self._pending + clocks, MAX_CLOCKS)

    def hold(self) -> tuple[Array, NDArray[np.bool_]]:
        """A fall of ``sample``: hold all outputs after the clocks so far and judge clipping.

        Clipping is judged on the outputs themselves, before noise: whatever is not strictly inside the rails, not a
        number included. The first sample that clips keeps its flags and freezes the loop until it opens.

        Returns
        -------
        held_V : Array
            (N,) held outputs in volts with read noise; noise about 0 V while the loop is open.
        clipped : NDArray[np.bool_]
            (N,) clip flags.
        """
        params, n = self.die.params, self.die.config.size
        output_V = np.zeros(n)
        if self._closed:
            self._jump()
            output_V = self._dc_V + self._V
            if not self._frozen:
                self.clipped = ~((output_V < params.rail_V) & (output_V > -params.rail_V))
                self._frozen = bool(self.clipped.any())
        self.held_V = output_V + read_noise(params.seed, self.samples, n, params.read_noise_V)
        self.samples += 1
        return self.held_V, self.clipped

    def open(self) -> None:
        """Open the loop: amplifiers reset, clip flags clear, held outputs stay."""
        self._closed = self._frozen = False
        self._pending = 0
        self.clipped = np.zeros(self.die.config.size, dtype=bool)

    # Pins

    def edge(self, pins: MacroInputs) -> None:
        """One rising clock edge that sees ``pins``. Raises :class:`ContractError` where they break a rule.

        In order: a fall of ``sample`` holds what the edges before this one reached; then the loop opens (and a write
        stores its row), closes (this edge is clock 1), takes a new drive (this edge is its clock 1), or just counts.
        """
        last, self._last = self._last, pins
        if pins == last:
            if self._closed:
                self.advance(1)
            return
        check_rules(pins, last)
        if last.sample and not pins.sample:
            self.hold()
        if not pins.closed:
            self.open()
            self._bandwidth = pins.bandwidth
            if pins.write:
                self.write_row(pins.plane, pins.row.bit_length() - 1, self._write_codes(pins))
        elif (pins.close_solve, pins.close_multiply) != (last.close_solve, last.close_multiply):
            self.open()
            self._bandwidth = pins.bandwidth
            self.close(bool(pins.close_multiply), self._dac_codes(pins), pins.drive_range, pins.feedback)
            self.advance(1)
        else:
            if (pins.dac, pins.drive_range) != (last.dac, last.drive_range):
                self.drive(self._dac_codes(pins), pins.drive_range)
            self.advance(1)

    def above(self, trial: int, mux: int) -> int:
        """Comparator outputs, one bit an ADC, for the packed trial codes: not (held input < level of the trial)."""
        config = self.die.config
        codes = unpack(trial, config.adcs, config.adc_bits, signed=True)
        inputs = self.held_V[mux::config.mux_steps][:config.adcs]
        return pack(~(inputs < self._levels[codes + len(self._levels) // 2]), 1)

    def sense(self, row: int, plane: int, read: int) -> int:
        """Packed codes of the selected row while ``read`` is high, else 0; bits as on the pins."""
        if not read or not row:
            return 0
        return pack(self._codes[plane, row.bit_length() - 1], self.die.config.cell_bits)

    @property
    def clipped_bits(self) -> int:
        """The ``clipped`` pins: bit i is amplifier i."""
        return pack(self.clipped, 1)

    # Inside

    def _forget_arrays(self) -> None:
        self._matrices: tuple[Array, Array] | None = None
        self._point: OperatingPoint | None = None
        self._table_cache: dict[tuple[int, int], StepTables] = {}

    def _need_open(self, rule: int, what: str) -> None:
        if self._closed:
            raise ContractError(rule, f"cannot {what} while the loop is closed; open it first")

    def _write_codes(self, pins: MacroInputs) -> NDArray[np.int64]:
        return unpack(pins.write_data, self.die.config.size, self.die.config.cell_bits)

    def _dac_codes(self, pins: MacroInputs) -> NDArray[np.int64]:
        config = self.die.config
        return unpack(pins.dac, config.size, config.dac_bits, signed=True)

    def _prepare(self, feedback: int) -> None:
        """Matrices, factors and step tables for the loop about to close; no tables if it runs away."""
        inverse_gain = self.die.params.inverse_gain
        if self._matrices is None:
            self._matrices = loop_matrices(self._codes, self.die)
        A, L = self._matrices
        if self._multiply:
            self._gf = feedback_ratio(self.die.config.size, feedback)
            self._load = L + self._gf
            key = (self._bandwidth, feedback)
            coupling = np.full(len(L), self._gf)
        else:
            self._load = L
            key = (self._bandwidth, -1)
            coupling = A
            if self._point is None:
                self._point = OperatingPoint(A, L, inverse_gain)
        if key not in self._table_cache:
            self._table_cache[key] = StepTables(coupling, self._load, LoopRates.of(self.die.params, self._bandwidth))
        singular = not self._multiply and self._point is not None and self._point.singular
        self._tables = None if singular or self._table_cache[key].runaway else self._table_cache[key]

    def _set_point(self, dac_codes: NDArray, drive_range: int) -> None:
        """Operating point (e, V) for a drive: static equation of the mode; e = Vos - V/A0 in both."""
        if self._tables is None:
            return
        assert self._matrices is not None
        A = self._matrices[0]
        config, params = self.die.config, self.die.params
        drive_range = 0 if self._multiply else drive_range
        u = dac_levels(dac_codes, config.dac_bits, params.full_scale_V, drive_range)
        offset = self._load * self.die.offset_V
        if self._multiply:
            self._dc_V = (offset - A @ u) / (self._gf + self._load * params.inverse_gain)
        else:
            assert self._point is not None
            self._dc_V = self._point.solve(offset - u)
        self._dc_e = self.die.offset_V - self._dc_V * params.inverse_gain

    def _jump(self) -> None:
        """Take the clocks counted so far in one step."""
        if self._tables is not None and not self._frozen:
            self._e, self._V = self._tables.jump(self._e, self._V, self._pending)
        self._pending = 0


def check_rules(pins: MacroInputs, last: MacroInputs) -> None:
    """Raise :class:`ContractError` if ``pins``, seen one edge after ``last``, break a rule of the contract."""
    if pins.row & (pins.row - 1):
        raise ContractError(2, f"row must be one-hot or zero, not {pins.row:#x}")
    if pins.write and pins.read:
        raise ContractError(2, "write and read must not both be high")
    if (pins.write or pins.read) and not pins.row:
        raise ContractError(2, "write and read need one word line, none is high")
    if (pins.write or pins.read) and pins.closed:
        raise ContractError(2, "write and read need an open loop, a close switch is high")
    if pins.autozero + pins.close_solve + pins.close_multiply > 1:
        raise ContractError(3, "at most one of autozero, close_solve, close_multiply may be high, not "
                               f"{pins.autozero}, {pins.close_solve}, {pins.close_multiply}")
    if pins.closed and last.closed and (pins.feedback, pins.bandwidth) != (last.feedback, last.bandwidth):
        raise ContractError(4, "feedback and bandwidth must stay while the loop is closed, not change from "
                               f"{last.feedback}, {last.bandwidth} to {pins.feedback}, {pins.bandwidth}")
