"""Does the programmed loop settle, how soon, and at which amplifier bandwidth?

Everything is judged on the *programmed* codes, embedded and shifted as they go into the arrays, because rounding
moves eigenvalues. The modes of a loop are the eigenvalues s of its Jacobian (:func:`ohmloop.analog.loop.jacobian`):
2N of them on (e, V) with node capacitance, else N, those of -w (U A + 1/A0) with U = 1/L. With them::

    stable            Re s < 0 for every s
    time constant     tau = 1 / min(-Re s)
    damping ratio     min(-Re s / |s|)
    settled           to half an LSB of B bits after (B + 1) ln 2 tau

Node capacitance harms only eigenvalues of U A with an imaginary part; a lower bandwidth mends it, and costs time.
A negative real eigenvalue of U A is beyond help: no bandwidth makes it stable, a shift of the diagonal does.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ohmloop.analog.cells import Die, loop_matrices, planes_of
from ohmloop.analog.loop import LoopRates, jacobian
from ohmloop.analog.params import AnalogParams
from ohmloop.errors import InputError
from ohmloop.golden.cycles import sample_spacing
from ohmloop_hdl.config import ChipConfig
from ohmloop_hdl.loop.controller import INTERVAL_BITS, TIMEOUT_BITS
from ohmloop_hdl.macro import pins

BANDWIDTHS = range(pins.BANDWIDTHS)
"""Settings of the ``bandwidth`` pin: gain-bandwidth GBW / 2^k."""

DAMPING_MIN = 0.05
"""A setting with less damping than this is taken only when no other is stable: it rings too long under mismatch."""

MISMATCH_DRAWS = 8
"""Chips drawn from the mismatch a plan must be stable on, beside the nominal one."""

MARGIN_SIGMAS = 6.0
"""Least distance of the slowest decay rate from zero, in its standard deviations over the draws. A loop with less may
decay far slower on the next chip than on any that was drawn, and then agree with itself long before it has settled."""

INTERVAL_MAX = (1 << INTERVAL_BITS) - 1
"""Largest settling interval in clocks; the smallest is 1."""

TIMEOUT_MAX = (1 << TIMEOUT_BITS) - 1
"""Largest time-out in clocks: room for the slowest loop whose interval is not clamped."""

NON_NORMAL = 1.22
"""Worst measured settling time over the eigenvalue formula, for non-normal matrices."""

EIGENVALUE_NOISE = 1e-13
"""A real part this far below the largest mode is rounding noise of the eigenvalue solver: it counts as zero."""


class UnstableError(InputError):
    """The matrix, as it would be programmed, is unstable in the loop; ``eigenvalue`` is the offending one."""

    def __init__(self, message: str, eigenvalue: complex):
        super().__init__(message, eigenvalue)
        self.eigenvalue = eigenvalue

    def __str__(self) -> str:
        return self.args[0]


@dataclass(frozen=True)
class Settling:
    """The modes of one loop at one bandwidth setting, summed up."""

    bandwidth: int
    """Setting k of the ``bandwidth`` pin."""

    slowest: complex
    """The eigenvalue of the Jacobian with the largest real part, per clock."""

    damping: float
    """Smallest damping ratio -Re s / |s| of all modes; 1 for a loop that does not ring, negative when it grows."""

    amplifier_rate: float
    """2 pi GBW T / 2^k, per clock: the rate of a unity-gain loop at this setting."""

    @property
    def stable(self) -> bool:
        """Whether every mode decays."""
        return self.slowest.real < 0.0

    @property
    def time_constant_cycles(self) -> float:
        """Time constant of the slowest mode in clocks; infinite when unstable."""
        return -1.0 / self.slowest.real if self.stable else math.inf

    @property
    def margin(self) -> float:
        """Decay rate of the slowest mode over the amplifier rate; min Re eig(U A) + 1/A0 without node capacitance."""
        return -self.slowest.real / self.amplifier_rate

    def half_lsb_cycles(self, bits: int) -> float:
        """Clocks to settle to half an LSB of ``bits`` bits: (bits + 1) ln 2 tau."""
        return (bits + 1) * math.log(2.0) * self.time_constant_cycles


def settling(A: np.ndarray, L: np.ndarray, params: AnalogParams, bandwidth: int) -> Settling:
    """The modes of a loop with matrix A (N, N) and row load L (N,), both over G0, at one bandwidth setting.

    Worked number: the heat plate of 64 points with its largest entry at full scale, 0.5 pF, 70 dB, 20 MHz, 50 MHz
    clock: slowest mode -0.0533 a clock, tau = 18.8 clocks, half an LSB of 8 bits after 9 ln 2 tau = 117 clocks, 2.3 us.
    """
    rates = LoopRates.of(params, bandwidth)
    modes = np.linalg.eigvals(jacobian(A, L, rates))
    slowest = complex(modes[np.argmax(modes.real)])
    if abs(slowest.real) < EIGENVALUE_NOISE * np.abs(modes).max():
        # A loop that neither grows nor decays comes out of the eigenvalue solver with either sign.
        slowest = complex(0.0, slowest.imag)
    sizes = np.maximum(np.abs(modes), np.finfo(float).tiny)
    return Settling(bandwidth, slowest, float((-modes.real / sizes).min()), rates.amplifier)


def nominal_loop(codes: np.ndarray, config: ChipConfig, params: AnalogParams) -> tuple[np.ndarray, np.ndarray]:
    """Loop matrix A (N, N) and row load L (N,) over G0 of N x N codes on a chip without mismatch or wires.

    Wires change a matrix by parts of a percent and take a hundred times as long; the margin covers them.
    """
    return loop_matrices(planes_of(codes, config), Die(config, replace(params, wire_ohm=0.0)))


def mismatched_loops(codes: np.ndarray, config: ChipConfig,
                     params: AnalogParams) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A and L as :func:`nominal_loop`, on :data:`MISMATCH_DRAWS` chips with seeds 0, 1, ...; none without mismatch."""
    if params.mismatch_sigma == 0.0:
        return
    planes = planes_of(codes, config)
    for seed in range(MISMATCH_DRAWS):
        yield loop_matrices(planes, Die.sample(config, replace(params, seed=seed, wire_ohm=0.0)))


def rest_eigenvalue(codes: np.ndarray, config: ChipConfig, params: AnalogParams) -> complex:
    """The eigenvalue of U A with the smallest real part: node capacitance left out, so no bandwidth enters.

    N x N codes. The loop has no stable setting unless its real part is above -1/A0.
    """
    A, L = nominal_loop(codes, config, params)
    if np.array_equal(A, A.T):
        # L^-1/2 A L^-1/2 has the same eigenvalues and is symmetric: ten times as quick.
        return complex(np.linalg.eigvalsh(A / np.sqrt(L * L[:, None]))[0])
    eigenvalues = np.linalg.eigvals(A / L[:, None])
    return complex(eigenvalues[np.argmin(eigenvalues.real)])


def rests(codes: np.ndarray, config: ChipConfig, params: AnalogParams, margin: float = 0.0) -> bool:
    """Whether min Re eig(U A) + 1/A0 is above ``margin``: the condition every stable setting needs."""
    return rest_eigenvalue(codes, config, params).real + params.inverse_gain > margin


def unstable_eigenvalue(codes: np.ndarray, config: ChipConfig, params: AnalogParams, bandwidth: int) -> complex | None:
    """The mode that grows when ``codes`` (N x N) are closed at ``bandwidth``, per clock; None when all decay.

    What the driver asks before it programs a matrix that a user brought without a plan.
    """
    found = settling(*nominal_loop(codes, config, params), params, bandwidth)
    return None if found.stable else found.slowest


@dataclass(frozen=True)
class BandwidthChoice:
    """The setting a plan runs at, and what was seen on the way."""

    nominal: Settling
    """Modes of the chip without mismatch at the chosen setting."""

    time_constant_cycles: float
    """Slowest time constant over the nominal chip and the mismatch draws, in clocks."""


def choose_bandwidth(codes: np.ndarray, config: ChipConfig, params: AnalogParams) -> BandwidthChoice | None:
    """The bandwidth setting that settles soonest, nominal and on every mismatch draw, with a margin
    (:func:`keeps_margin`); None when none does.

    Settings with a damping ratio of at least :data:`DAMPING_MIN` come first, soonest settling first; then the others.
    """
    if not rests(codes, config, params):
        return None
    nominal = nominal_loop(codes, config, params)
    settings = [settling(*nominal, params, k) for k in BANDWIDTHS]
    stable = [s for s in settings if s.stable]
    draws = list(mismatched_loops(codes, config, params)) if stable else []
    for candidate in sorted(stable, key=lambda s: (s.damping < DAMPING_MIN, s.time_constant_cycles)):
        taus = [candidate.time_constant_cycles]
        taus += [settling(A, L, params, candidate.bandwidth).time_constant_cycles for A, L in draws]
        if keeps_margin(taus):
            return BandwidthChoice(candidate, max(taus))
    return None


def keeps_margin(taus: Sequence[float]) -> bool:
    """Whether loops of these slowest time constants, the nominal one and draws, all settle, and the next one will too.

    With r = 1/tau: mean(r) > :data:`MARGIN_SIGMAS` std(r).
    """
    if max(taus) == math.inf:
        return False
    rates = 1.0 / np.array(taus)
    return bool(rates.mean() > MARGIN_SIGMAS * rates.std())


def smallest_shift(codes: np.ndarray, config: ChipConfig, params: AnalogParams, margin: float) -> int | None:
    """The smallest number of code steps on the used diagonal that lifts min Re eig(U A) + 1/A0 above ``margin``.

    ``codes``: n x n, unshifted. Found by bisection over 0 to C; None when C steps do not do it. The result may push a
    code past C: the caller then starts from a smaller full-scale code, which keeps the proportion.
    """
    def serves(steps: int) -> bool:
        A = (codes + steps * np.eye(len(codes))) / config.code_max
        load = np.abs(A).sum(axis=1) + 1.0 + params.gpar_S / params.g0_S
        return bool(np.linalg.eigvals(A / load[:, None]).real.min() + params.inverse_gain > margin)

    low, high = -1, config.code_max
    if not serves(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high


def interval_cycles(time_constant_cycles: float, tolerance: int) -> int:
    """Clocks D between two conversions that must agree within ``tolerance`` LSB, so that half an LSB is left at most.

    What is left when two samples D apart agree is at most (tolerance + 1) / (e^(D/tau) - 1) LSB; half an LSB needs::

        D = ceil(tau ln(2 tolerance + 3))       1.10 tau at tolerance 0, 1.61 tau at tolerance 1

    Worked number: tau = 18.8 clocks at tolerance 1: D = ceil(18.8 * 1.609) = 31 clocks. Clamped to 1..2^20 - 1.
    """
    return _clamp(time_constant_cycles * math.log(2 * tolerance + 3), INTERVAL_MAX)


def timeout_cycles(time_constant_cycles: float, interval: int, config: ChipConfig) -> int:
    """Clocks after which a loop that has not settled never will.

    Twice the settling time of the worst non-normal loop, 1.22 (B + 1) ln 2 tau, and four scans one spacing apart
    (:func:`ohmloop.golden.cycles.sample_spacing`). Clamped to 1..2^24 - 1.

    Worked number: ``chip64``, tau = 18.8, D = 31: 2 * 1.22 * 9 * 0.693 * 18.8 + 4 * max(31, 75) = 587 clocks.
    """
    settled = NON_NORMAL * (config.adc_bits + 1) * math.log(2.0) * time_constant_cycles
    return _clamp(2 * settled + 4 * sample_spacing(config, interval), TIMEOUT_MAX)


def _clamp(cycles: float, largest: int) -> int:
    return max(1, math.ceil(min(cycles, largest)))
