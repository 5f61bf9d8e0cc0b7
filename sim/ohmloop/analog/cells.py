"""One sampled chip: its cells and offsets, the loop matrices its codes make, and the file other bodies load it from."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ohmloop.analog.params import AnalogParams, ParamsError
from ohmloop_hdl.config import ChipConfig

HEADER_WORDS = 11
"""Words before the offsets in a parameter file (:meth:`Die.write_file`)."""


@dataclass(frozen=True, eq=False)
class Die:
    """The part of a chip that manufacture fixes: which conductance each code gives, and each amplifier's offset."""

    config: ChipConfig
    """Sizes and widths of the chip."""

    params: AnalogParams
    """Design parameters it was made from."""

    cell_factor: NDArray[np.floating]
    """Multiplier of each cell's nominal conductance, shape (2, N, N): plane, row (summing node), column (amplifier)."""

    offset_V: NDArray[np.floating]
    """Input offset of each amplifier after auto-zero in volts, shape (N,)."""

    stuck: tuple[tuple[int, int, int, int], ...] = ()
    """Defective cells as (plane, row, column, code): each ignores writes and always holds that magnitude code.

    Requires: at most N of them, inside the arrays, codes 0 to C."""

    def __post_init__(self):
        n = self.config.size
        if self.cell_factor.shape != (2, n, n):
            raise ParamsError(f"cell_factor must have shape (2, {n}, {n}), not {self.cell_factor.shape}")
        if self.offset_V.shape != (n,):
            raise ParamsError(f"offset_V must have shape ({n},), not {self.offset_V.shape}")
        if len(self.stuck) > n:
            raise ParamsError(f"stuck must hold at most {n} cells, not {len(self.stuck)}")
        for cell in self.stuck:
            plane, row, column, code = cell
            if not (plane in (0, 1) and 0 <= row < n and 0 <= column < n and 0 <= code <= self.config.code_max):
                raise ParamsError(f"stuck must hold (plane 0-1, row 0-{n - 1}, column 0-{n - 1}, "
                                  f"code 0-{self.config.code_max}), not {cell!r}")

    @classmethod
    def sample(cls, config: ChipConfig, params: AnalogParams,
               stuck: tuple[tuple[int, int, int, int], ...] = ()) -> "Die":
        """Draw one chip from ``params``; the same ``params.seed`` draws the same chip.

        Offsets come first, then cell factors plane by plane, both from ``numpy.random.default_rng(seed)``.
        """
        n = config.size
        generator = np.random.default_rng(params.seed)
        offset_V = params.offset_sigma_V * generator.standard_normal(n)
        cell_factor = 1.0 + params.mismatch_sigma * generator.standard_normal((2, n, n))
        return cls(config, params, cell_factor, offset_V, stuck)

    def write_file(self, path: str | Path) -> Path:
        """Write the parameter file that ``ohmloop_macro.sv`` loads with ``$readmemh``; returns its path.

        One 64-bit hexadecimal word a line, a real as the bits of its IEEE double, an integer as itself:
        [0] N (integer), [1] clock period s, [2] g0_S, [3] gpar_S, [4] 1/A0, [5] gbw_Hz, [6] node_capacitance_F,
        [7] full_scale_V, [8] rail_V, [9] read_noise_V, [10] noise seed (integer); then N offsets in volts; 2*N*N cell
        factors (plane 0 row-major, then plane 1); the number of stuck cells (integer); N times plane, row, column,
        code (integers), unused places zero so that the length depends on N alone.
        """
        p, n = self.params, self.config.size
        reals = (p.clock_s, p.g0_S, p.gpar_S, p.inverse_gain, p.gbw_Hz, p.node_capacitance_F,
                 p.full_scale_V, p.rail_V, p.read_noise_V)
        words = [n, *map(_bits, reals), p.seed]
        words += map(_bits, self.offset_V.tolist())
        words += map(_bits, self.cell_factor.ravel().tolist())
        words.append(len(self.stuck))
        for cell in self.stuck + ((0, 0, 0, 0),) * (n - len(self.stuck)):
            words += cell
        path = Path(path)
        path.write_text("".join(f"{word:016x}\n" for word in words))
        return path


def _bits(value: float) -> int:
    """The IEEE 754 bits of a double as an unsigned integer."""
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def conductances(codes: NDArray, die: Die) -> NDArray[np.floating]:
    """Cell conductances over G0, shape (2, N, N), of magnitude codes 0..C of the same shape: |c|/C times the factor."""
    return codes * die.cell_factor / die.config.code_max


def loop_matrices(codes: NDArray, die: Die) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Loop matrix A (N, N) and row load L (N,), both over G0, of magnitude codes (2, N, N).

    A_ij = (G+_ij - G-_ij)/G0 and L_i = (sum_j (G+_ij + G-_ij) + Gin + Gpar)/G0. Gin counts as G0 whatever the drive
    range: the part of the input branch that does not drive is tied to the reference.
    """
    plus, minus = conductances(codes, die)
    load = (plus + minus).sum(axis=-1) + 1.0 + die.params.gpar_S / die.params.g0_S
    return plus - minus, load


def planes_of(signed_codes: NDArray, config: ChipConfig) -> NDArray[np.int64]:
    """Magnitude codes (2, N, N) of signed codes (N, N) in [-C, C]: positive in plane 0, negative in plane 1."""
    signed = np.asarray(signed_codes, dtype=np.int64)
    if signed.shape != (config.size, config.size) or np.abs(signed).max() > config.code_max:
        raise ParamsError(f"signed_codes must be {config.size} x {config.size} integers in "
                          f"[-{config.code_max}, {config.code_max}], not shape {signed.shape}, "
                          f"largest magnitude {np.abs(signed).max(initial=0)}")
    return np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)])
