"""What all Python bodies of the analogue macro share: cells, switches, samples, converters, and the pins.

Two levels, one on top of the other:

* **Events** (:meth:`MacroBody.close`, :meth:`~MacroBody.advance`, :meth:`~MacroBody.hold`, ...): what the golden
  machine calls.
* **Pins** (:meth:`MacroBody.edge` once a rising clock edge, :meth:`~MacroBody.above` and :meth:`~MacroBody.sense` in
  between): the wires of :mod:`ohmloop_hdl.macro.pins`, rule for rule, for simulators that have a clock.

How the loop moves is up to the body: :mod:`ohmloop.analog.macro` jumps, :mod:`ohmloop.analog.spice.live` asks ngspice.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.buses import pack, unpack
from ohmloop.analog.cells import Die, faults
from ohmloop.analog.converters import convert, gaussian, hash_words, read_noise

Array = NDArray[np.floating]

UPSET_INDEX = 12
"""Last index of the hash that flips cell bits; noise uses 0 to 11 there."""

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


class MacroBody:
    """Analogue macro of one chip, without the analogue part.

    At power-up all cells hold code 0 (stuck cells their own), the loop is open, held outputs are 0 V.

    Parameters
    ----------
    die : Die
        The chip: sizes, design parameters, cells, amplifiers, converters, stuck cells.

    Members
    -------
    held_V : Array
        (N,) outputs of the last :meth:`hold` in volts, read noise included.
    clipped : NDArray[np.bool_]
        (N,) amplifiers at a rail at the first sample that found any since the loop closed; all false while open.
    samples : int
        Falls of ``sample`` since power-up, whether the loop was open or closed; numbers the noise.
    closings : int
        Times that the loop closed since power-up; numbers the upsets.
    """

    def __init__(self, die: Die):
        n = die.config.size
        self.die = die
        self.held_V: Array = np.zeros(n)
        self.clipped: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self.samples = self.closings = 0
        self._thresholds_V = die.thresholds_V
        self._start_V = start_V(n)
        self._codes = faults(die.stuck, np.zeros((2, n, n), dtype=np.int64))
        self._bandwidth = 0
        self._closed = self._multiply = self._frozen = self._zeroed = False
        self._last = MacroInputs()

    # What a body does

    def _cells_changed(self) -> None:
        """Some cell holds another code than before."""
        raise NotImplementedError

    def _start(self, u_V: Array, gf: float) -> None:
        """The loop has just closed, from reset; drive (N,) in volts, ``gf`` Gf/G0 of multiply mode."""
        raise NotImplementedError

    def _change(self, u_V: Array) -> None:
        """Another drive; clocks that passed until now count under the old one."""
        raise NotImplementedError

    def _pass(self, clocks: int) -> None:
        """Clock edges of the closed loop."""
        raise NotImplementedError

    def _outputs(self) -> Array:
        """Outputs (N,) in volts after the clocks so far; not a number if there is none to speak of."""
        raise NotImplementedError

    # Events

    @property
    def offset_V(self) -> Array:
        """Offsets (N,) of the amplifiers in volts, as the last auto-zero left them."""
        return self.die.zeroed_V if self._zeroed else self.die.offset_V

    def write_row(self, plane: int, row: int, codes: NDArray) -> None:
        """Store N magnitude codes 0..C in one row of plane 0 (G+) or 1 (G-); stuck cells keep their code."""
        self._need_open(2, "write")
        codes = np.array(codes, dtype=np.int64)
        for stuck_plane, stuck_row, column, code in self.die.stuck:
            if (stuck_plane, stuck_row) == (plane, row):
                codes[column] = code
        if not np.array_equal(codes, self._codes[plane, row]):
            self._codes[plane, row] = codes
            self._cells_changed()

    def read_row(self, plane: int, row: int) -> NDArray[np.int64]:
        """N magnitude codes of one row as the cells hold them."""
        self._need_open(2, "read")
        return self._codes[plane, row].copy()

    def set_bandwidth(self, bandwidth: int) -> None:
        """Divide the amplifiers' gain-bandwidth product by 2^bandwidth, 0 to 3."""
        self._need_open(4, "change bandwidth")
        self._bandwidth = bandwidth

    def autozero(self) -> None:
        """Amplifiers store their offset; it lasts for the next closing only."""
        self._need_open(3, "auto-zero")
        self._zeroed = True

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
        zeroed = self._zeroed
        self.open()
        self._zeroed = zeroed
        self._upset()
        self.closings += 1
        self._closed, self._multiply = True, multiply
        self._start(self._input_V(dac_codes, drive_range), feedback_ratio(self.die.config.size, feedback))

    def drive(self, dac_codes: NDArray, drive_range: int = 0) -> None:
        """Change the drive of a closed loop: earlier clocks count under the old one, the state stays continuous."""
        if self._closed and not self._frozen:
            self._change(self._input_V(dac_codes, drive_range))

    def advance(self, clocks: int) -> None:
        """Let ``clocks`` clock edges pass."""
        if self._closed and not self._frozen:
            self._pass(clocks)

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
            output_V = self._outputs()
            if not self._frozen:
                rail_V = params.swing_V
                self.clipped = ~((output_V < rail_V) & (output_V > -rail_V))
                self._frozen = bool(self.clipped.any())
        self.held_V = output_V + read_noise(params.seed, self.samples, n, params.read_noise_V)
        self.samples += 1
        return self.held_V, self.clipped

    def convert(self) -> tuple[NDArray[np.int64], Array]:
        """Raw codes (N,) of the held outputs, and the smallest distance (N,) in LSB of a decision from its threshold.

        See :func:`ohmloop.analog.converters.convert`.
        """
        return convert(self.held_V, self._thresholds_V, self._decision_noise if self._noisy else None)

    def open(self) -> None:
        """Open the loop: amplifiers reset and forget their auto-zero, clip flags clear, held outputs stay."""
        if self._closed:
            self._zeroed = False
        self._closed = self._frozen = False
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
            if pins.autozero:
                self.autozero()
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
        half = 1 << config.adc_bits - 1
        excess = inputs - self._thresholds_V[mux::config.mux_steps][np.arange(config.adcs), codes + half]
        if self._noisy:
            excess = excess + self._decision_noise(codes, mux)
        return pack(~(excess < 0.0), 1)

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

    @property
    def _noisy(self) -> bool:
        return self.die.params.comparator_noise_V > 0.0

    def _decision_noise(self, trial: NDArray[np.int64], mux: int | None = None) -> Array:
        """Noise in volts of comparing the outputs, those at ``mux`` or all, with ``trial`` in the last sample."""
        config, params = self.die.config, self.die.params
        outputs = np.arange(config.size)
        if mux is not None:
            outputs = outputs[mux::config.mux_steps]
        decision = config.size + (outputs << config.adc_bits) + trial + (1 << config.adc_bits - 1)
        return gaussian(params.seed, max(self.samples - 1, 0), decision) * params.comparator_noise_V

    def _upset(self) -> None:
        """Bits of cells that flipped since the last closing."""
        limit, config = self.die.upset_limit, self.die.config
        if not limit:
            return
        n, bits = config.size, config.cell_bits
        words = hash_words(self.die.params.seed, self.closings, np.arange(2 * n * n * bits), UPSET_INDEX)
        flips = (words < limit).reshape(2, n, n, bits)
        if flips.any():
            flipped = self._codes ^ (flips << np.arange(bits)).sum(axis=-1)
            self._codes = faults(self.die.stuck, flipped)
            self._cells_changed()

    def _input_V(self, dac_codes: NDArray, drive_range: int) -> Array:
        return self.die.input_V(dac_codes, 0 if self._multiply else drive_range)

    def _need_open(self, rule: int, what: str) -> None:
        if self._closed:
            raise ContractError(rule, f"cannot {what} while the loop is closed; open it first")

    def _write_codes(self, pins: MacroInputs) -> NDArray[np.int64]:
        return unpack(pins.write_data, self.die.config.size, self.die.config.cell_bits)

    def _dac_codes(self, pins: MacroInputs) -> NDArray[np.int64]:
        config = self.die.config
        return unpack(pins.dac, config.size, config.dac_bits, signed=True)


def start_V(size: int) -> Array:
    """Outputs (N,) in volts that a loop starts from when it closes."""
    return np.where(START_PATTERN * np.arange(size) >> 7 & 1, START_V, -START_V)


def feedback_ratio(size: int, feedback: int) -> float:
    """gf = Gf/G0 = N 4^(feedback - 2) of multiply mode, feedback 0 to 3."""
    return size * 4.0 ** (feedback - 2)


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
