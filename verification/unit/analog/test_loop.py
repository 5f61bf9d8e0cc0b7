"""The loop equations against independent references: matrix exponential, eigenvalues, elimination."""

import numpy as np
import pytest
from scipy.linalg import expm
from verification.unit.analog.systems import definite, oscillator

from ohmloop.analog.body import feedback_ratio
from ohmloop.analog.cells import Die, loop_matrices, planes_of
from ohmloop.analog.loop import (
    LoopRates,
    OperatingPoint,
    StepTables,
    jacobian,
    static_multiply,
    static_solve,
)
from ohmloop.analog.params import AnalogParams
from ohmloop_hdl.config import CONFIGS

LAB = CONFIGS["lab"]
CHIP64 = CONFIGS["chip64"]


def loop(codes, config, params):
    """A and L of signed codes on a chip drawn from ``params``."""
    return loop_matrices(planes_of(codes, config), Die.sample(config, params))


@pytest.mark.parametrize("params", [AnalogParams.ideal(), AnalogParams.reference()], ids=["slaved", "node"])
@pytest.mark.parametrize("bandwidth", range(4))
def test_a_jump_is_the_matrix_exponential(params, bandwidth):
    A, L = loop(definite(16, 15, seed=3), LAB, params)
    rates = LoopRates.of(params, bandwidth)
    tables, exponent = StepTables(A, L, rates), jacobian(A, L, rates)
    rng = np.random.default_rng(bandwidth)
    for clocks in (1, 2, 7, 100, 1023):
        e, V = rng.standard_normal((2, 16))
        state = V if rates.node == 0.0 else np.concatenate([e, V])
        expected = (expm(exponent * clocks) @ state)
        e, V = tables.jump(e, V, clocks)
        assert V == pytest.approx(expected[-16:], abs=1e-13)
        if rates.node != 0.0:
            assert e == pytest.approx(expected[:16], abs=1e-13)


@pytest.mark.parametrize("params", [AnalogParams.ideal(), AnalogParams.reference()], ids=["slaved", "node"])
@pytest.mark.parametrize("feedback", range(4))
def test_multiply_mode_is_the_same_loop_with_its_feedback_on_the_diagonal(params, feedback):
    codes = np.random.default_rng(feedback).integers(-15, 16, (16, 16))
    _, L = loop(codes, LAB, params)
    gf = feedback_ratio(16, feedback)
    rates = LoopRates.of(params, 1)
    tables = StepTables(np.full(16, gf), L + gf, rates)
    exponent = jacobian(gf * np.eye(16), L + gf, rates)
    assert not tables.runaway
    e, V = np.random.default_rng(1).standard_normal((2, 16))
    state = V if rates.node == 0.0 else np.concatenate([e, V])
    assert tables.jump(e, V, 13)[1] == pytest.approx((expm(13 * exponent) @ state)[-16:], abs=1e-13)


def test_feedback_conductances():
    assert [feedback_ratio(64, k) for k in range(4)] == [4.0, 16.0, 64.0, 256.0]


def test_static_solve_takes_batches_and_balances_the_node_currents():
    rng = np.random.default_rng(0)
    A, L = rng.standard_normal((5, 3, 8, 8)), rng.uniform(1, 9, (5, 3, 8))
    b, offset = rng.standard_normal((2, 5, 3, 8))
    V = static_solve(A, L, b, 1e-3, offset)
    e = offset - V * 1e-3
    assert (A @ V[..., None])[..., 0] + b == pytest.approx(L * e)


def test_static_multiply_balances_the_node_currents():
    rng = np.random.default_rng(0)
    A, L, u, offset = rng.standard_normal((8, 8)), rng.uniform(1, 9, 8), *rng.standard_normal((2, 8))
    V = static_multiply(A, L, u, 8.0, 1e-3, offset)
    assert A @ u + 8.0 * V == pytest.approx((L + 8.0) * (offset - V * 1e-3))


def test_operating_point_is_the_static_solution():
    A, L = loop(definite(16, 15, seed=4), LAB, AnalogParams())
    b = np.random.default_rng(2).standard_normal(16)
    point = OperatingPoint(A, L, 1e-3)
    assert not point.singular
    assert point.solve(-b) == pytest.approx(static_solve(A, L, b, 1e-3))
    assert OperatingPoint(np.ones((4, 4)), np.ones(4), 0.0).singular


def test_tables_decide_like_the_eigenvalues():
    """The step tables and the spectrum of the Jacobian agree on every random loop, stable or not."""
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(200):
        codes = rng.integers(-15, 16, (4, 4)) + np.diag(rng.integers(0, 16, 4))
        A, L = loop(np.clip(codes, -15, 15), CONFIGS["tiny"], AnalogParams())
        rates = LoopRates.of(AnalogParams(), int(rng.integers(4)))
        unstable = bool(np.linalg.eigvals(jacobian(A, L, rates)).real.max() > 0)
        assert StepTables(A, L, rates).runaway == unstable
        seen.add(unstable)
    assert seen == {False, True}


def test_node_poles_decide_which_bandwidth_an_oscillator_chain_needs():
    params = AnalogParams()
    A, L = loop(oscillator(64, 15), CHIP64, params)
    runaway = [StepTables(A, L, LoopRates.of(params, k)).runaway for k in range(4)]
    assert runaway == [True, True, False, False]
    assert not StepTables(A, L, LoopRates.of(AnalogParams.ideal(), 0)).runaway
