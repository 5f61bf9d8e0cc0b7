"""What a fully digital system of the same precision answers: the fair yardstick for the chip.

It solves the same quantised matrix with the same DAC-quantised right-hand side, in float64, and rounds the solution to
the same ADC grid. What it gets wrong, quantisation explains; what the chip gets wrong beyond it, the circuit does.
"""

import numpy as np

from ohmloop.analog.converters import TIE_LSB
from ohmloop.errors import NotSolvedError
from ohmloop.golden.convert import input_codes
from ohmloop.plan.scaling import Plan, scale_rhs
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.macro.pins import DRIVE_RANGES


def digital_solve(plan: Plan, b: np.ndarray, config: ChipConfig) -> np.ndarray:
    """The answer x, n float64, of a digital system with the matrix, DAC and ADC of the chip.

    With M the codes over C and u the DAC levels (v as :func:`~ohmloop.plan.scaling.scale_rhs` makes it, rounded to
    codes)::

        y = M^-1 u,    x = (beta / alpha) y rounded to the ADC grid at the smallest range 2^k that clips nothing

    Full scale and amplifier rail are taken to be the same voltage. b: n real numbers. Errors: :class:`NotSolvedError`
    when the solution clips at the largest range, as the chip would trap.
    """
    rhs = scale_rhs(b, config)
    levels = input_codes(rhs.mantissas[: plan.n], config) / (1 << (config.dac_bits - 1))
    y = np.linalg.solve(plan.codes[: plan.n, : plan.n] / config.code_max, levels)
    codes, drive_range = convert(y, config)
    return codes * 2.0**drive_range / (1 << (config.adc_bits - 1)) * (rhs.factor / plan.alpha)


def convert(y: np.ndarray, config: ChipConfig) -> tuple[np.ndarray, int]:
    """ADC codes (int64, of the shape of y) and the drive range k that the chip ends at, y in full scales.

    k is the smallest of 0..7 at which every |y| / 2^k is strictly below full scale. The converter sees -y / 2^k and
    returns the greatest code whose threshold (code - 1/2 - 2^-20) LSB is not above it, within +-(2^(B-1) - 1); the
    sign is turned back.
    """
    drive_range = next((k for k in range(DRIVE_RANGES) if np.abs(y).max() < 2.0**k), None)
    if drive_range is None:
        raise NotSolvedError(f"clip: the solution reaches {np.abs(y).max():.3g} full scales of the drive, "
                             f"at most {1 << DRIVE_RANGES - 1} fit at the largest range")
    top = (1 << (config.adc_bits - 1)) - 1
    codes = np.floor(-y * (top + 1) / 2.0**drive_range + 0.5 + TIE_LSB)
    return -np.clip(codes, -top, top).astype(np.int64), drive_range


def relative_error(x: np.ndarray, exact: np.ndarray) -> float:
    """||x - exact|| / ||exact|| in the 2-norm; ||x|| when ``exact`` is zero."""
    return float(np.linalg.norm(np.subtract(x, exact)) / (np.linalg.norm(exact) or 1.0))


def relative_residual(matrix: np.ndarray, x: np.ndarray, b: np.ndarray) -> float:
    """||b - A x|| / ||b|| in the 2-norm; ||A x|| when b is zero."""
    return float(np.linalg.norm(b - matrix @ x) / (np.linalg.norm(b) or 1.0))
