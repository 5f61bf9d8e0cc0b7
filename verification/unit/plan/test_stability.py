"""Stability: the settling table of the design, bandwidths, shifts, and the waiting times derived from them."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from ohmloop.analog.loop import LoopRates, StepTables, jacobian, static_solve
from ohmloop.analog.params import AnalogParams
from ohmloop.ensembles import ensemble, heat, oscillator
from ohmloop.plan import stability
from ohmloop.plan.scaling import embed
from ohmloop_hdl.config import CONFIGS

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))
REFERENCE, IDEAL = AnalogParams.reference(), AnalogParams.ideal()
TINY, CHIP = CONFIGS["tiny"], CONFIGS["chip64"]
UNSTABLE = (float("inf"), None)


def unquantised(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A and L of a matrix with its largest entry at full scale."""
    scaled = matrix / np.abs(matrix).max()
    return scaled, np.abs(scaled).sum(axis=1) + 1.0


@pytest.mark.parametrize(("matrix", "bandwidth", "settled_us", "damping"), [
    (heat(64), 0, 2.3, 0.52), (heat(64), 1, 4.8, None), (heat(64), 2, 9.6, None), (heat(64), 3, 19.0, None),
    (oscillator(64), 0, *UNSTABLE), (oscillator(64), 1, *UNSTABLE),
    (oscillator(64), 2, 3.2, 0.14), (oscillator(64), 3, 3.8, 0.24)])
def test_settling_table(matrix: np.ndarray, bandwidth: int, settled_us: float, damping: float | None):
    """To half an LSB of 8 bits at 0.5 pF; the table gives two digits, hence 3 %, and 0.005 of damping."""
    found = stability.settling(*unquantised(matrix), REFERENCE, bandwidth)
    assert found.half_lsb_cycles(8) * REFERENCE.clock_s * 1e6 == pytest.approx(settled_us, rel=0.03)
    if damping is not None:
        assert found.damping == pytest.approx(damping, abs=0.005)


def test_settling_of_random_families_by_their_median():
    """Medians over ten draws; single draws spread by 5 % (wishart) and 30 % (skew). Ratios between settings: 5 %."""
    print(f"OHMLOOP_SEED={SEED}")
    table = {name: np.median([[stability.settling(*unquantised(ensemble(name, 64, 30, SEED + k)), REFERENCE, setting)
                               .half_lsb_cycles(8) / 50 for setting in (0, 1, 2)] for k in range(10)], axis=0)
             for name in ("wishart", "skew")}
    assert table["wishart"][0] == pytest.approx(3.5, rel=0.05)
    assert table["wishart"] / table["wishart"][0] == pytest.approx([1, 6.5 / 3.2, 13 / 3.2], rel=0.05)
    assert table["skew"] == pytest.approx([7.8, 5.9, 9.1], rel=0.3)
    assert np.argmin(table["skew"]) == 1


def test_largest_stable_node_capacitance_of_the_oscillator_chain():
    """0.24 pF at 20 MHz, two digits; four times as much at 5 MHz, because w C is what counts."""
    A, L = unquantised(oscillator(64))

    def largest_pF(bandwidth: int) -> float:
        low, high = 0.01, 10.0
        while high / low > 1.001:
            middle = (low * high) ** 0.5
            params = replace(REFERENCE, node_capacitance_F=middle * 1e-12)
            low, high = (middle, high) if stability.settling(A, L, params, bandwidth).stable else (low, middle)
        return low

    assert largest_pF(0) == pytest.approx(0.24, abs=0.005)
    assert largest_pF(2) == pytest.approx(4 * largest_pF(0), rel=0.01)


def test_without_capacitance_the_margin_is_the_smallest_real_part():
    """diag(1, 0.5): U A = (1/2, 1/3), so the margin is 1/3 and tau = 3 / (2 pi 20 MHz / 50 MHz) = 1.19 clocks."""
    found = stability.settling(*unquantised(np.diag([1.0, 0.5])), IDEAL, 0)
    assert found.margin == pytest.approx(1 / 3)
    assert found.time_constant_cycles == pytest.approx(3 / (2 * np.pi * 0.4))
    assert found.damping == 1.0
    slow = stability.settling(*unquantised(np.diag([1.0, 0.5])), IDEAL, 3)
    assert slow.time_constant_cycles == pytest.approx(8 * found.time_constant_cycles)
    assert slow.margin == pytest.approx(1 / 3)


def test_finite_gain_moves_every_eigenvalue_by_its_inverse():
    gain = replace(IDEAL, gain_dB=40.0)
    codes = embed(np.array([[15, 0], [0, -15]]), TINY)
    assert stability.rest_eigenvalue(codes, TINY, gain) == pytest.approx(-0.5)
    assert stability.settling(*stability.nominal_loop(codes, TINY, gain), gain, 0).margin == pytest.approx(-0.49)


def test_unstable_eigenvalue_is_named_and_a_stable_loop_has_none():
    rate = LoopRates.of(IDEAL, 0).amplifier
    negative = embed(np.array([[15, 0], [0, -15]]), TINY)
    assert stability.unstable_eigenvalue(negative, TINY, IDEAL, 0) == pytest.approx(0.5 * rate)
    assert stability.unstable_eigenvalue(np.diag([15] * 4), TINY, IDEAL, 0) is None
    chain = embed((oscillator(64) * 4).astype(int), CHIP)
    assert stability.unstable_eigenvalue(chain, CHIP, IDEAL, 0) is None
    grows = stability.unstable_eigenvalue(chain, CHIP, REFERENCE, 0)
    assert grows is not None and grows.real > 0 and abs(grows.imag) > 0.1
    assert stability.unstable_eigenvalue(chain, CHIP, REFERENCE, 2) is None


def test_verdict_agrees_with_the_macro():
    """The numpy body judges by squaring its propagator; both must see the same loops run away."""
    print(f"OHMLOOP_SEED={SEED}")
    rng, verdicts = np.random.default_rng(SEED), []
    for _ in range(60):
        codes = rng.integers(-15, 16, (4, 4)) + np.diag([rng.integers(0, 12)] * 4)
        codes = np.clip(codes, -15, 15)
        for params in (IDEAL, REFERENCE):
            A, L = stability.nominal_loop(codes, TINY, params)
            runaway = StepTables(A, L, LoopRates.of(params, 1)).runaway
            assert (stability.unstable_eigenvalue(codes, TINY, params, 1) is not None) == runaway
            verdicts.append(runaway)
    assert 10 < sum(verdicts) < 110


def test_bandwidth_choice_prefers_damping_to_speed():
    codes = embed(ensemble_codes("skew"), CHIP)
    settings = [stability.settling(*stability.nominal_loop(codes, CHIP, REFERENCE), REFERENCE, k) for k in range(4)]
    choice = stability.choose_bandwidth(codes, CHIP, REFERENCE)
    assert choice is not None and choice.nominal.damping >= stability.DAMPING_MIN
    damped = [s for s in settings if s.stable and s.damping >= stability.DAMPING_MIN]
    assert choice.nominal == min(damped, key=lambda s: s.time_constant_cycles)
    assert choice.time_constant_cycles >= choice.nominal.time_constant_cycles


def test_a_loop_that_rings_at_its_only_stable_setting_gets_that_one():
    """[[2, 15], [-15, 2]] is stable at setting 3 only, with a damping ratio of 0.018; mismatch can take even that."""
    exact = replace(REFERENCE, mismatch_sigma=0.0)
    codes = embed(np.array([[2, 15], [-15, 2]]), TINY)
    choice = stability.choose_bandwidth(codes, TINY, exact)
    assert choice is not None and choice.nominal.bandwidth == 3
    assert choice.nominal.damping == pytest.approx(0.018, abs=0.001)
    assert stability.choose_bandwidth(codes, TINY, replace(REFERENCE, mismatch_sigma=0.1)) is None


def test_mismatch_can_refuse_what_is_stable_nominally():
    """Rows 15 15 / 15 15 + one code: the determinant is within mismatch of zero."""
    codes = embed(np.array([[15, 15], [14, 15]]), TINY)
    exact = replace(REFERENCE, mismatch_sigma=0.0)
    assert stability.choose_bandwidth(codes, TINY, exact) is not None
    assert stability.choose_bandwidth(codes, TINY, replace(REFERENCE, mismatch_sigma=0.1)) is None
    assert stability.choose_bandwidth(embed(np.array([[15, 15], [15, 14]]), TINY), TINY, exact) is None
    assert list(stability.mismatched_loops(codes, TINY, exact)) == []
    assert len(list(stability.mismatched_loops(codes, TINY, REFERENCE))) == 8


def test_smallest_shift_is_the_smallest():
    """[[5, 10], [10, 5]] has eigenvalue -5: five steps make it singular, six stable."""
    codes = np.array([[5, 10], [10, 5]])
    assert stability.smallest_shift(codes, TINY, IDEAL, 1e-3) == 6
    assert stability.smallest_shift(np.array([[5, 4], [4, 5]]), TINY, IDEAL, 1e-3) == 0
    assert stability.smallest_shift(np.diag([-15, -15]), TINY, IDEAL, 1e-3) is None


@pytest.mark.parametrize(("tau", "tolerance", "interval"), [
    (18.8, 1, 31), (18.8, 0, 21), (100.0, 1, 161), (100.0, 0, 110), (0.01, 1, 1), (1e9, 1, (1 << 20) - 1)])
def test_interval(tau: float, tolerance: int, interval: int):
    assert stability.interval_cycles(tau, tolerance) == interval


@pytest.mark.parametrize("tolerance", [0, 1, 2])
def test_interval_leaves_half_an_lsb(tolerance: int):
    """Of an exponential that changes by tolerance + 1 LSB within the interval, half an LSB is left at the end of it."""
    tau = 50.0
    interval = stability.interval_cycles(tau, tolerance)
    left = (tolerance + 1) / np.expm1(interval / tau)
    assert 0.48 < left <= 0.5


def test_timeout():
    assert stability.timeout_cycles(18.8, 31, CHIP) == 587
    assert stability.timeout_cycles(1000.0, 1610, CHIP) == 21662
    assert stability.timeout_cycles(1e9, (1 << 20) - 1, CHIP) == (1 << 24) - 1


def test_half_lsb_time_is_what_the_step_response_shows():
    """The heat plate, stepped clock by clock: half an LSB within 25 % of the formula, before the time-out."""
    A, L = unquantised(heat(64))
    b = np.zeros(64)
    b[27] = 0.3
    V = static_solve(A, L, b, REFERENCE.inverse_gain)
    tables = StepTables(A, L, LoopRates.of(REFERENCE, 0))
    lsb, clocks = np.abs(V).max() / 128, 1
    while np.abs(tables.jump(-b / L, -V, clocks)[1]).max() > lsb / 2:
        clocks += 1
    found = stability.settling(A, L, REFERENCE, 0)
    assert found.half_lsb_cycles(8) * 0.6 < clocks < found.half_lsb_cycles(8) * 1.25
    assert clocks < stability.timeout_cycles(found.time_constant_cycles, 31, CHIP)
    slowest = np.linalg.eigvals(jacobian(A, L, LoopRates.of(REFERENCE, 0))).real.max()
    assert found.slowest.real == pytest.approx(slowest) == pytest.approx(-0.0533, abs=5e-5)


def ensemble_codes(name: str) -> np.ndarray:
    matrix = ensemble(name, 64, 30, 0)
    return np.rint(matrix / np.abs(matrix).max() * 15).astype(int)


def test_a_thin_margin_over_the_draws_is_none():
    """Rates 1 and eight at 1 +- s have the standard deviation s sqrt(8/9): six of them reach zero at s = 0.1768."""
    def taus(s: float) -> list[float]:
        return [1.0, *(1 / (1 + sign * s) for sign in (1, -1) * 4)]

    assert stability.keeps_margin(taus(0.0)) and stability.keeps_margin(taus(0.176))
    assert not stability.keeps_margin(taus(0.178))
    assert not stability.keeps_margin([1.0, math.inf])
