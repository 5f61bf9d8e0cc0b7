"""One sampled chip: its cells, amplifiers and converters, the loop matrices its codes make, and the file other bodies
load it from."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.converters import adc_ratios, dac_ratios
from ohmloop.analog.params import AnalogParams, ParamsError
from ohmloop.analog.wires import mesh
from ohmloop_hdl.config import ChipConfig

Array = NDArray[np.floating]

HEADER_WORDS = 14
"""Words before the offsets in a parameter file (:meth:`Die.write_file`)."""

PERFECT: Array = np.empty(0)
"""In place of an array of a :class:`Die`: that of a perfect chip."""

UPSET_SCALE = 1 << 64
"""A cell bit flips when its 64-bit hash is below this times the probability."""

_GRADIENT, _BITS, _RAILS, _DAC, _ADC, _ADC_GAIN, _COMPARATOR, _DRIFT = range(1, 9)


@dataclass(frozen=True, eq=False)
class Die:
    """The part of a chip that manufacture fixes: which conductance each code gives, amplifiers, converters.

    Arrays that are left out, or :data:`PERFECT`, are those of a perfect chip.
    """

    config: ChipConfig
    """Sizes and widths of the chip."""

    params: AnalogParams
    """Design parameters it was made from."""

    cell_factor: Array = field(default_factory=lambda: PERFECT)
    """Multiplier of each cell's conductance, shape (2, N, N): plane, row (summing node), column (amplifier)."""

    offset_V: Array = field(default_factory=lambda: PERFECT)
    """Input offset of each amplifier before auto-zero in volts, shape (N,)."""

    stuck: tuple[tuple[int, int, int, int], ...] = ()
    """Defective cells as (plane, row, column, code): each ignores writes and always holds that magnitude code.

    Requires: at most N of them, inside the arrays, codes 0 to C."""

    code_levels: Array = field(default_factory=lambda: PERFECT)
    """Conductance over G0 of every magnitude code before the factor: shape (C + 1,) for all cells, or
    (2, N, N, C + 1) cell by cell."""

    rail_gain: Array = field(default_factory=lambda: PERFECT)
    """Voltage of each column's negative rail over minus its positive one, shape (N,)."""

    dac_ratio: Array = field(default_factory=lambda: PERFECT)
    """Level over full scale of every DAC code from -2^(B-1) on, shape (1, 2^B) for all DACs, or (N, 2^B)."""

    adc_ratio: Array = field(default_factory=lambda: PERFECT)
    """Threshold over full scale of every ADC code from -2^(B-1) on, shape (1, 2^B) for all ADCs, or (adcs, 2^B)."""

    def __post_init__(self):
        config, n, c = self.config, self.config.size, self.config.code_max
        perfect: dict[str, tuple[Array, tuple[tuple[int, ...], ...]]] = {
            "cell_factor": (np.broadcast_to(1.0, (2, n, n)), ((2, n, n),)),
            "offset_V": (np.zeros(n), ((n,),)),
            "code_levels": (np.arange(c + 1) / c, ((c + 1,), (2, n, n, c + 1))),
            "rail_gain": (np.ones(n), ((n,),)),
            "dac_ratio": (dac_ratios(config.dac_bits), ((1, 1 << config.dac_bits), (n, 1 << config.dac_bits))),
            "adc_ratio": (adc_ratios(config.adc_bits),
                          ((1, 1 << config.adc_bits), (config.adcs, 1 << config.adc_bits))),
        }
        for name, (array, shapes) in perfect.items():
            given = getattr(self, name)
            if np.size(given) == 0:
                object.__setattr__(self, name, array)
            elif np.shape(given) not in shapes:
                raise ParamsError(f"{name} must have shape {' or '.join(map(str, shapes))}, not {np.shape(given)}")
            elif not np.isfinite(given).all():
                raise ParamsError(f"{name} must hold finite numbers only")
        if len(self.stuck) > n:
            raise ParamsError(f"stuck must hold at most {n} cells, not {len(self.stuck)}")
        for cell in self.stuck:
            plane, row, column, code = cell
            if not (plane in (0, 1) and 0 <= row < n and 0 <= column < n and 0 <= code <= c):
                raise ParamsError(f"stuck must hold (plane 0-1, row 0-{n - 1}, column 0-{n - 1}, "
                                  f"code 0-{c}), not {cell!r}")

    @classmethod
    def sample(cls, config: ChipConfig, params: AnalogParams,
               stuck: tuple[tuple[int, int, int, int], ...] = ()) -> "Die":
        """Draw one chip from ``params``; the same ``params.seed`` draws the same chip.

        Offsets come first, then cell factors plane by plane, both from ``numpy.random.default_rng(seed)``; every other
        effect draws from a stream of its own, so that switching one on leaves the rest of the chip as it is.
        """
        n = config.size

        def stream(effect: int) -> np.random.Generator:
            return np.random.default_rng([params.seed, effect])

        generator = np.random.default_rng(params.seed)
        offset_V = params.offset_sigma_V * generator.standard_normal(n)
        cell_factor = 1.0 + params.mismatch_sigma * generator.standard_normal((2, n, n))
        if params.drifted_offset_V:
            offset_V = offset_V + params.drifted_offset_V * stream(_DRIFT).standard_normal(n)
        if params.gradient_sigma:
            place = (np.arange(n) - (n - 1) / 2) / (n / 2)
            along_rows, along_columns = params.gradient_sigma * stream(_GRADIENT).standard_normal(2)
            cell_factor *= 1.0 + along_columns * place[:, None] + along_rows * place
        if params.warmth_C:
            cell_factor *= params.warm_cells
        return cls(config, params, cell_factor, offset_V, stuck,
                   code_levels=_bit_levels(config, params.bit_sigma, stream(_BITS)) if params.bit_sigma else PERFECT,
                   rail_gain=1.0 + params.inverter_sigma * stream(_RAILS).standard_normal(n)
                   if params.inverter_sigma else PERFECT,
                   dac_ratio=dac_ratios(config.dac_bits, params.dac_element_sigma, n, stream(_DAC))
                   if params.dac_element_sigma else PERFECT,
                   adc_ratio=_sampled_adcs(config, params, stream))

    @property
    def zeroed_V(self) -> Array:
        """Offsets (N,) in volts that auto-zero leaves."""
        return self.params.autozero_residue * self.offset_V

    @property
    def dac_V(self) -> Array:
        """Level in volts of every DAC code, (1 or N, 2^B)."""
        return self.dac_ratio * self.params.full_scale_V

    @property
    def adc_V(self) -> Array:
        """Threshold in volts of every ADC code, (1 or adcs, 2^B)."""
        return self.adc_ratio * self.params.full_scale_V

    @property
    def thresholds_V(self) -> Array:
        """Threshold in volts of every ADC code for each output, (N, 2^B)."""
        converters = np.broadcast_to(self.adc_V, (self.config.adcs, 1 << self.config.adc_bits))
        return np.repeat(converters, self.config.mux_steps, axis=0)

    @property
    def upset_limit(self) -> int:
        """A cell bit flips when its 64-bit hash is below this."""
        return min(round(self.params.upset_probability * UPSET_SCALE), UPSET_SCALE - 1)

    def input_V(self, codes: NDArray, drive_range: int = 0) -> Array:
        """Drive in volts of signed input codes (N,).

        The range is a smaller input conductance, which acts on the loop exactly like a smaller voltage. It has no
        effect in multiply mode: pass 0 there.
        """
        levels = self.dac_V
        column = np.asarray(codes) + (levels.shape[1] >> 1)
        row = np.arange(self.config.size) if len(levels) > 1 else 0
        return levels[row, column] / (1 << drive_range)

    def write_file(self, path: str | Path, codes: NDArray | None = None) -> Path:
        """Write the parameter file that ``ohmloop_macro.sv`` loads; returns its path.

        One 64-bit hexadecimal word a line, a real as the bits of its IEEE double, an integer as itself:
        [0] N (integer), [1] clock period s, [2] g0_S, [3] gpar_S, [4] 1/A0, [5] gain-bandwidth product Hz,
        [6] node_capacitance_F, [7] full_scale_V, [8] rail V, [9] read_noise_V, [10] seed (integer),
        [11] autozero_residue, [12] comparator_noise_V, [13] limit of the upset hash (integer); then N offsets before
        auto-zero in volts; N gains of the negative rails; 2*N*N cell factors (plane 0 row-major, then plane 1). Then
        tables, each behind its number of rows (integer): levels of the codes over G0, 1 or 2*N*N rows of C + 1; DAC
        levels over full scale, 1 or N rows of 2^B; ADC thresholds over full scale, 1 or adcs rows of 2^B; effective
        matrix, 0 or N rows of N and then N loads; stuck cells, rows of plane, row, column, code (integers).

        ``codes`` (N, N), signed: the file carries the effective matrix of these codes, wires included, and bodies that
        load it take that matrix whatever their cells hold. Without it, wires are left out.
        """
        p, n = self.params, self.config.size
        reals = (p.clock_s, p.g0_S, p.gpar_S, p.inverse_gain, p.warm_gbw_Hz, p.node_capacitance_F,
                 p.full_scale_V, p.swing_V, p.read_noise_V)
        words = [n, *map(_bits, reals), p.seed, _bits(p.autozero_residue), _bits(p.comparator_noise_V),
                 self.upset_limit]
        words += _words(self.offset_V) + _words(self.rail_gain) + _words(self.cell_factor)
        levels = self.code_levels.reshape(-1, self.config.code_max + 1)
        for table in (levels, self.dac_ratio, self.adc_ratio):
            words += [len(table), *_words(table)]
        if codes is None:
            words.append(0)
        else:
            A, L = loop_matrices(faults(self.stuck, planes_of(codes, self.config)), self)
            words += [n, *_words(A), *_words(L if L.ndim == 1 else L.sum(axis=1))]
        words.append(len(self.stuck))
        for cell in self.stuck:
            words += cell
        path = Path(path)
        path.write_text("".join(f"{word:016x}\n" for word in words))
        return path


def _bit_levels(config: ChipConfig, sigma: float, generator: np.random.Generator) -> Array:
    """Conductance over G0 of every code of every cell, from the spread of its resistors, (2, N, N, C + 1)."""
    weights = 2.0 ** np.arange(config.cell_bits)
    error = sigma / np.sqrt(weights) * generator.standard_normal((2, config.size, config.size, config.cell_bits))
    codes = np.arange(config.code_max + 1)
    switched = codes[:, None] >> np.arange(config.cell_bits) & 1
    return (weights * (1.0 + error)) @ switched.T / config.code_max


def _sampled_adcs(config: ChipConfig, params: AnalogParams, stream: Callable[[int], np.random.Generator]) -> Array:
    """Thresholds of the ADCs with their elements, gains and comparators."""
    if not (params.adc_element_sigma or params.adc_gain_sigma or params.comparator_offset_V):
        return PERFECT
    ratio = adc_ratios(config.adc_bits, params.adc_element_sigma, config.adcs, stream(_ADC))
    gain = 1.0 + params.adc_gain_sigma * stream(_ADC_GAIN).standard_normal((config.adcs, 1))
    offset_V = params.comparator_offset_V * stream(_COMPARATOR).standard_normal((config.adcs, 1))
    return ratio / gain - offset_V / params.full_scale_V


def _words(array: Array) -> list[int]:
    return np.ascontiguousarray(array, dtype=np.float64).view(np.uint64).ravel().tolist()


def _bits(value: float) -> int:
    """The IEEE 754 bits of a double as an unsigned integer."""
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def conductances(codes: NDArray, die: Die) -> Array:
    """Cell conductances over G0, shape (2, N, N), of magnitude codes 0..C of the same shape."""
    levels = die.code_levels
    if levels.ndim == 1:
        return die.cell_factor * levels[codes]
    return die.cell_factor * np.take_along_axis(levels, np.asarray(codes)[..., None], axis=-1)[..., 0]


def loop_matrices(codes: NDArray, die: Die) -> tuple[Array, Array]:
    """Loop matrix A and row load L of magnitude codes (2, N, N) on a chip; see :func:`matrices_of`."""
    return matrices_of(conductances(codes, die), die.rail_gain, die.params)


def matrices_of(conductance: Array, rail_gain: Array, params: AnalogParams) -> tuple[Array, Array]:
    """Loop matrix A (N, N) and row load L, both over G0, of cell conductances over G0 (2, N, N).

    Without wires A_ij = (G+_ij - (1 + eps_j) G-_ij)/G0 and L_i = (sum_j (G+_ij + G-_ij) + Gin + Gpar)/G0, L (N,),
    with 1 + eps_j = ``rail_gain`` (N,). With them, A and L (N, N) are those of the exact mesh
    (:mod:`ohmloop.analog.wires`). Gin counts as G0 whatever the drive range: the part of the input branch that does
    not drive is tied to the reference.
    """
    plus, minus = conductance
    branch = 1.0 + params.gpar_S / params.g0_S
    if params.wire_ohm == 0.0:
        return plus - rail_gain * minus, (plus + minus).sum(axis=-1) + branch
    wire = params.wire_ohm * params.g0_S
    (forward_plus, load_plus), (forward_minus, load_minus) = mesh(plus, wire), mesh(minus, wire)
    return forward_plus - rail_gain * forward_minus, load_plus + load_minus + branch * np.eye(len(plus))


def planes_of(signed_codes: NDArray, config: ChipConfig) -> NDArray[np.int64]:
    """Magnitude codes (2, N, N) of signed codes (N, N) in [-C, C]: positive in plane 0, negative in plane 1."""
    signed = np.asarray(signed_codes, dtype=np.int64)
    if signed.shape != (config.size, config.size) or np.abs(signed).max() > config.code_max:
        raise ParamsError(f"signed_codes must be {config.size} x {config.size} integers in "
                          f"[-{config.code_max}, {config.code_max}], not shape {signed.shape}, "
                          f"largest magnitude {np.abs(signed).max(initial=0)}")
    return np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)])


def faults(cells: Iterable[tuple[int, int, int, int]], codes: NDArray) -> NDArray:
    """Magnitude codes (2, N, N) with stuck cells holding their own."""
    held = np.array(codes)
    for plane, row, column, code in cells:
        held[plane, row, column] = code
    return held
